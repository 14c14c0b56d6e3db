"""The Socket.IO packets of one session, routed to its members, one per namespace.

Decides what may come when (Socket.IO protocol v5, "Connection to a namespace"); the packets' form
is in ``protocol.socketio``, and what a member's packets do is the dispatcher's.
"""

import logging
from contextvars import Context
from typing import Any, Protocol

from socketio_server.dispatch.member import Member
from socketio_server.engine.session import Session
from socketio_server.engine.transports.base import Outgoing
from socketio_server.exceptions import DecodeError
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Stats
from socketio_server.options import Options
from socketio_server.protocol import engineio, engineio3, socketio, socketio4
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import MAIN_NAMESPACE
from socketio_server.protocol.socketio import Encoder, Packet, PacketType

_EVENT = PacketType.EVENT
_NONE: frozenset[str] = frozenset()

logger = logging.getLogger("socketio_server")


class RouterKeeper(Protocol):
    """The dispatcher, as its routers see it."""

    @property
    def options(self) -> Options:
        """The limits of packets and namespaces."""

    @property
    def stats(self) -> Stats:
        """Counts packets."""

    @property
    def encoder(self) -> Encoder:
        """Encodes refusals."""

    @property
    def old_encoder(self) -> Encoder:
        """Encodes refusals for clients of Socket.IO 4."""

    def has_namespace(self, namespace: str) -> bool:
        """Return whether clients may join a namespace."""

    def add_member(self, router: "NamespaceRouter", namespace: str, auth: Any) -> Member:
        """Return the new member for a client that asks to join a namespace."""

    def router_closed(self, router: "NamespaceRouter") -> None:
        """The router's session is over."""


class NamespaceRouter:
    """Routes one session's packets (``SessionHandler``, ``MemberRouter``). Never blocks.

    :param request: the Django request of the handshake.
    :param scope: the context variables that handlers run with.
    :param captured: what else the hooks are to restore for them.
    """

    __slots__ = (
        "_assembly",
        "_closing",
        "_decode",
        "_full",
        "_keeper",
        "_left",
        "_members",
        "captured",
        "request",
        "scope",
        "session",
    )

    def __init__(
        self,
        session: Session,
        request: Any,
        scope: Context,
        captured: Any,
        keeper: RouterKeeper,
    ) -> None:
        self.session = session
        self.request = request
        self.scope = scope
        self.captured = captured
        self._keeper = keeper
        self._members: dict[str, Member] = {}  # by namespace
        self._assembly: socketio.Assembly | None = None  # while attachments are due
        self._left = _NONE  # namespaces that we took the client out of
        self._decode = socketio4.decode if self._is_old else socketio.decode
        # Once the session is to end: the members whose goodbye is still held.
        self._closing: list[Member] | None = None
        self._full = 0  # members whose inbox is full

    @property
    def _is_old(self) -> bool:
        """Whether the client speaks Engine.IO 3, and so Socket.IO 4."""
        return self.session.revision == engineio3.PROTOCOL_VERSION

    def session_started(self) -> None:
        """Take a client of Socket.IO 4 into the main namespace, for which it does not ask."""
        if self._is_old:
            self._connect(Packet(PacketType.CONNECT))

    def text_received(self, data: str) -> None:
        """Route a packet (``SessionHandler``)."""
        if self._assembly is not None:
            raise DecodeError("text while attachments are due")
        keeper = self._keeper
        keeper.stats.messages_in += 1
        packet = self._decode(data, keeper.options.max_attachments)
        if packet.type is _EVENT and (member := self._members.get(packet.namespace)) is not None:
            member.put(packet)  # nearly every packet
        elif packet.attachments:
            options = keeper.options
            self._assembly = socketio.Assembly(packet, max_size=options.max_payload)
        else:
            self._route(packet)

    def binary_received(self, data: bytes) -> None:
        """Take an attachment, and route the packet when it was the last (``SessionHandler``)."""
        if self._assembly is None:
            raise DecodeError("an attachment that belongs to no packet")
        packet = self._assembly.add(data)
        if packet is not None:
            self._assembly = None
            self._route(packet)

    def session_closed(self, reason: CloseReason) -> None:
        """Have every member's last handlers run (``SessionHandler``)."""
        members, self._members = self._members, {}
        self._keeper.router_closed(self)
        for member in members.values():
            _end(member, reason)

    def disconnect(self, member: Member) -> None:
        """Take a member out of its namespace (``MemberRouter``)."""
        namespace = member.delivery.namespace
        if self._members.get(namespace) is member:
            del self._members[namespace]
            self._left |= {namespace}
            packet = socketio.encode_disconnect(namespace=namespace)
            goodbye = Outgoing(engineio.MESSAGE + packet)
            _end(member, CloseReason.SERVER_NAMESPACE_DISCONNECT, goodbye)

    def disconnect_all(self) -> None:
        """Take the client out of all namespaces, and end its session (``MemberRouter``)."""
        members = list(self._members.values())
        for member in members:
            self.disconnect(member)
        self._closing = [member for member in members if member.delivery.is_held]
        self._close_if_told()

    def messages_released(self, member: Member) -> None:
        """The messages that were held for a member are sent (``MemberRouter``)."""
        if self._closing is not None:
            self._closing = [other for other in self._closing if other is not member]
            self._close_if_told()

    def _close_if_told(self) -> None:
        if not self._closing:
            self.session.close(CloseReason.FORCED_SERVER_CLOSE)

    def inbox_full(self, full: bool) -> None:
        """Read no more from the client while any member has enough to do (``MemberRouter``)."""
        self._full += 1 if full else -1
        if full and self._full == 1:
            self.session.pause_reading()
        elif not self._full:
            self.session.resume_reading()

    def answer(self, member: Member) -> None:
        """Tell the client that it joined the namespace, and under which id (``MemberRouter``)."""
        encode = socketio4.encode_connect if self._is_old else socketio.encode_connect
        packet = encode(member.delivery.id, namespace=member.delivery.namespace)
        self.session.send(Outgoing(engineio.MESSAGE + packet))

    def refuse(self, member: Member, message: str, data: Any) -> None:
        """Tell the client that it may not join the namespace, and why (``MemberRouter``)."""
        namespace = member.delivery.namespace
        if self._members.get(namespace) is member:
            del self._members[namespace]
        self._send_connect_error(namespace, message, data)

    def _route(self, packet: Packet) -> None:
        if packet.type is PacketType.CONNECT:
            self._connect(packet)
            return
        member = self._members.get(packet.namespace)
        if member is None:
            if packet.namespace not in self._left:  # else it was on its way when we said goodbye
                raise DecodeError("a packet for a namespace that is not connected")
        elif packet.type is PacketType.EVENT:
            member.put(packet)
        elif packet.type is PacketType.ACK:
            if packet.ack_id is not None:
                member.delivery.acknowledged(packet.ack_id, packet.data)
        elif packet.type is PacketType.DISCONNECT:
            del self._members[packet.namespace]
            _end(member, CloseReason.CLIENT_NAMESPACE_DISCONNECT)
        else:
            raise DecodeError(f"a client may not send a packet of type {packet.type.name}")

    def _connect(self, packet: Packet) -> None:
        namespace = packet.namespace
        if self._is_old and namespace == MAIN_NAMESPACE and namespace in self._members:
            return  # it asks for what it has
        if namespace in self._members:
            raise DecodeError("a namespace was joined twice")
        if not self._may_join(namespace):
            self.session.client_refused(
                RefusalKind.NAMESPACE, "an invalid namespace, or too many of them"
            )
            self._send_connect_error(namespace, "Invalid namespace")
            return
        member = self._keeper.add_member(self, namespace, packet.data)
        self._members[namespace] = member
        if self._left:
            self._left -= {namespace}
        member.put(packet)

    def _may_join(self, namespace: str) -> bool:
        """Return whether a client may join a namespace; a long name is kept nowhere, nor tried."""
        options = self._keeper.options
        return (
            len(self._members) < options.max_namespaces
            and len(namespace) <= options.max_channel_length
            and self._keeper.has_namespace(namespace)
        )

    def _send_connect_error(self, namespace: str, message: str, data: Any = None) -> None:
        keeper = self._keeper
        encoder = keeper.old_encoder if self._is_old else keeper.encoder
        try:
            packet = encoder.connect_error(message, data, namespace=namespace)
        except TypeError:
            logger.exception("The data of a refusal can't be sent; the client goes without")
            packet = encoder.connect_error(str(message), namespace=namespace)
        self.session.send(Outgoing(engineio.MESSAGE + packet))


def _end(member: Member, reason: CloseReason, goodbye: Outgoing | None = None) -> None:
    """Let nothing more reach a client, and have the last handlers run, after what came before."""
    member.delivery.close(reason, goodbye)
    member.put(reason)
