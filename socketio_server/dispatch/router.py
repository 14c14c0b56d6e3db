"""Routes the Socket.IO packets of one session to its members, one per namespace.

Decides which packets are allowed when (Socket.IO protocol v5, "Connection to a namespace"); their
encoding is in ``protocol.socketio``, their effect in the dispatcher.
"""

import logging
from collections.abc import Iterator
from contextvars import Context
from sys import getsizeof
from typing import Any, Protocol

from greenlet import greenlet

from socketio_server.dispatch.answers import BoundedDecoder, ClientAnswer
from socketio_server.dispatch.auth import charge_for_auth, is_auth_too_large, return_charge
from socketio_server.dispatch.client_account import ClientAccount, InputTotal
from socketio_server.dispatch.happenings import Happening
from socketio_server.dispatch.member import Member
from socketio_server.engine.session import Session
from socketio_server.engine.transports.base import Outgoing
from socketio_server.exceptions import DecodeError
from socketio_server.net.log import show
from socketio_server.net.queued_output import LostBecause
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Stats
from socketio_server.options import Options
from socketio_server.protocol import engineio, engineio3, socketio, socketio4
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import MAIN_NAMESPACE
from socketio_server.protocol.socketio import Encoder, Head, PacketType

_EVENTS = (PacketType.EVENT, PacketType.BINARY_EVENT)

USUAL_REQUEST = 4096
"""Bytes that a handshake may take without being charged to its client."""

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

    def request_size(self, request: Any) -> int:
        """Estimate how many bytes a handshake's request takes."""

    def has_namespace(self, namespace: str) -> bool:
        """Return whether clients may join a namespace."""

    def add_member(self, router: "NamespaceRouter", namespace: str, auth_size: int) -> Member:
        """Return the new member for a client that asks to join a namespace."""

    def forget(self, member: Member) -> None:
        """Unregister a member that has no items left to handle. Idempotent."""

    def router_closed(self, router: "NamespaceRouter") -> None:
        """The router's session is over."""

    def router_left_alone(self, router: "NamespaceRouter") -> None:
        """The client was refused, and is in no namespace."""

    def attachments_due(self, router: "NamespaceRouter") -> None:
        """A binary packet waits for its attachments."""

    def attachments_settled(self, router: "NamespaceRouter") -> None:
        """No binary packet waits for attachments any more."""

    def tell(self, member: Member, happening: Happening, **details: Any) -> None:
        """Tell the project what happened to a member's socket; must not raise."""

    def taken_off(self, member: Member, channel: str) -> None:
        """A member was taken off a channel."""

    def change_user_room(self, member: Member, room: str | None) -> None:
        """Put a member into the room of its user; ``None``: it is anonymous."""

    @property
    def total(self) -> InputTotal:
        """Counts what all clients make the server hold."""

    def start_decoding(self) -> BoundedDecoder:
        """Begin to decode the answers that one caller has waited for."""


class NamespaceRouter(ClientAccount):
    """Routes one session's packets (``SessionHandler``, ``MemberRouter``). Never blocks.

    :param request: the Django request of the handshake.
    :param scope: the context variables that handlers run with.
    :param captured: the other state of the handshake, which the hooks restore for handlers.
    """

    __slots__ = (
        "__weakref__",
        "_answers",
        "_assembly",
        "_closing",
        "_ending",
        "_is_over",
        "_keeper",
        "_left_namespaces",
        "_members",
        "_protocol",
        "_session_bytes",
        "captured",
        "request",
        "scope",
        "session",
        "user_room",
    )

    is_local = True
    """Its session is one of this process (``Tenant``)."""

    def __init__(
        self,
        session: Session,
        request: Any,
        scope: Context,
        captured: Any,
        keeper: RouterKeeper,
    ) -> None:
        super().__init__(keeper.total, keeper.options)
        self.session = session
        self.request = request
        self.scope = scope
        self.captured = captured
        self.user_room: str | None = None
        """The room of the client's user; ``None`` if it is anonymous, or not known yet."""
        self._keeper = keeper
        self._members: dict[str, Member] = {}  # by namespace
        # By namespace, the members that left and whose last handlers have yet to run; None until
        # the first member leaves.
        self._ending: dict[str, Member] | None = None
        self._assembly: socketio.Assembly | None = None  # while attachments are due
        # Those that wait for a caller to decode them; None until there is one.
        self._answers: set[ClientAnswer] | None = None
        # The last max_namespaces namespaces that the server took the client out of, oldest first.
        self._left_namespaces: tuple[str, ...] = ()
        # Of a large handshake, and of messages that the transports have yet to hand up.
        self._session_bytes = 0
        self._protocol = socketio4 if self._is_old else socketio
        self._is_over = False  # whether the session is, and all members have begun to end
        # Once the session is to end: the members whose goodbye is still held.
        self._closing: list[Member] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the session lasts (``Tenant``)."""
        return self.session.is_open

    @property
    def _is_old(self) -> bool:
        """Whether the client speaks Engine.IO 3, and with it Socket.IO 4."""
        return self.session.revision == engineio3.PROTOCOL_VERSION

    def session_started(self) -> None:
        """Charge the client for a large handshake, and take one of Socket.IO 4 into the main
        namespace, for which it does not ask (``SessionHandler``).
        """
        size = self._keeper.request_size(self.request)
        if size > USUAL_REQUEST and self.session.is_open:
            self.charge_session(size)
        if self._is_old and self.session.is_open:
            self._connect("0", socketio4.read_head("0"))

    def text_received(self, data: str) -> None:
        """Route a packet (``SessionHandler``)."""
        if self._assembly is not None:
            raise DecodeError("text packet where an attachment is expected")
        self._keeper.stats.messages_in += 1
        if data.startswith("2[") and (member := self._members.get(MAIN_NAMESPACE)) is not None:
            member.put(data if data.isascii() else socketio.keep(data))  # nearly every packet
            return
        if self._closing is not None:  # the client was disconnected
            return
        keeper = self._keeper
        head = self._protocol.read_head(data, keeper.options.max_attachments)
        if head.attachments:
            max_size = keeper.options.max_payload
            self._assembly = socketio.Assembly(socketio.keep(data), head, max_size=max_size)
            keeper.attachments_due(self)
            self.charge(getsizeof(self._assembly))  # may end the session
        elif head.type is PacketType.CONNECT:
            self._connect(data, head)
        else:
            self._route(head, socketio.keep(data))

    def binary_received(self, data: bytes) -> None:
        """Add an attachment, and route the packet if it was the last (``SessionHandler``)."""
        if self._closing is not None:  # the client was disconnected
            return
        assembly = self._assembly
        if assembly is None:
            raise DecodeError("attachment that belongs to no packet")
        size = getsizeof(assembly)
        if assembly.add(data):
            self._assembly = None
            self.charge(-size)
            self._keeper.attachments_settled(self)
            self._route(assembly.head, assembly)
        else:
            self.charge(getsizeof(assembly) - size)

    def charge_session(self, change: int) -> None:
        """Charge the client for bytes that its session holds: of messages that its transports have
        yet to hand up, and of its handshake (``SessionHandler``).
        """
        self._session_bytes += change
        self.charge(change)

    def session_closed(self, reason: CloseReason) -> None:
        """Run every member's last handlers (``SessionHandler``)."""
        members, self._members = self._members, {}
        try:
            self._end_assembly()
            if self._session_bytes:
                self.charge_session(-self._session_bytes)
            self._closing = None
            self._keeper.router_closed(self)
        finally:  # whatever that raises
            self._end_all(iter(members.values()), reason)

    def _end_all(self, members: Iterator[Member], reason: CloseReason) -> None:
        """End members in their order, each whatever the one before raised, and then the session."""
        for member in members:
            try:
                try:
                    if reason is CloseReason.FORCED_SERVER_CLOSE:
                        member.drop_events()
                finally:
                    self._end(member, reason)
            except BaseException:
                self._end_all(members, reason)
                raise
        self._all_have_begun_to_end()

    def _all_have_begun_to_end(self) -> None:
        """Finish the session, now or when the last member has finished."""
        self._is_over = True
        if not self._ending:
            self.session.finish()

    def disconnect(
        self, member: Member, reason: CloseReason = CloseReason.SERVER_NAMESPACE_DISCONNECT
    ) -> None:
        """Take a member out of its namespace, and drop its waiting events (``MemberRouter``).

        Node's server, too, ignores what a client said before it was disconnected.
        """
        namespace = member.delivery.namespace
        if self._members.get(namespace) is member:
            del self._members[namespace]
            most = self._keeper.options.max_namespaces
            self._left_namespaces = (*self._left_namespaces, namespace)[-most:]
            packet = socketio.encode_disconnect(namespace=namespace)
            goodbye = Outgoing(engineio.MESSAGE + packet)
            member.drop_events()
            self._end(member, reason, goodbye)
            self.weigh()

    def disconnect_all(self) -> None:
        """Take the client out of all namespaces, and end its session (``MemberRouter``).

        Idempotent. The session ends when no goodbye is held any more, also of a member that was
        taken out before.
        """
        for member in list(self._members.values()):
            self.disconnect(member)
        self._end_assembly()
        self._closing = [
            member
            for member in self._all_members()
            if member.delivery.is_joining
            and member.delivery.close_reason is not CloseReason.CLIENT_NAMESPACE_DISCONNECT
        ]
        self._close_if_told()

    def messages_released(self, member: Member) -> None:
        """A member's held messages are sent (``MemberRouter``)."""
        if self._closing is not None:
            self._closing = [other for other in self._closing if other is not member]
            self._close_if_told()

    def _end_assembly(self) -> None:
        """Drop a binary packet that waits for its attachments."""
        assembly, self._assembly = self._assembly, None
        if assembly is not None:
            self._keeper.attachments_settled(self)
            self.charge(-getsizeof(assembly))

    def _close_if_told(self) -> None:
        if not self._closing:
            self.session.close(CloseReason.FORCED_SERVER_CLOSE)

    def pause_reading(self) -> None:
        """Read no more from the client, because too many of its packets wait."""
        self.session.pause_reading()

    def resume_reading(self) -> None:
        """Read from the client again."""
        self.session.resume_reading()

    def give_up(self, kind: RefusalKind, why: str) -> None:
        """End the session, and drop its waiting events (``Laden``, ``Tenant``)."""
        before = self.waiting_bytes + self.other_bytes
        for member in self._all_members():
            member.drop_events()
        for answer in tuple(self._answers or ()):
            answer.drop()
        if self.session.is_open or self.waiting_bytes + self.other_bytes < before:
            self.session.client_refused(kind, why)
        if self.session.is_open:
            transport = self.session.transport
            self.session.close(CloseReason.TRANSPORT_ERROR)
            transport.give_up(LostBecause.CLOSED)  # what it holds is not to wait for a goodbye
        self.weigh()

    def hold_answer(self, answer: ClientAnswer) -> None:
        """Charge the client for an answer that waits for its caller (``AnswerRouter``)."""
        if self._answers is None:
            self._answers = set()
        self._answers.add(answer)
        self.charge(answer.size)

    def let_go(self, answer: ClientAnswer) -> None:
        """Charge the client no more for an answer (``AnswerRouter``). Idempotent."""
        if self._answers is not None and answer in self._answers:
            self._answers.remove(answer)
            self.charge(-answer.size)

    def start_decoding(self) -> BoundedDecoder:
        """Begin to decode the answers that one caller has waited for (``AnswerRouter``)."""
        return self._keeper.start_decoding()

    def callback_raised(self) -> None:
        """End the session (``CallbackOwner``)."""
        self.session.callback_raised()

    def refuse_packet(self, error: DecodeError) -> None:
        """End the session, because a packet is malformed (``MemberRouter``)."""
        self.session.client_refused(RefusalKind.PACKET, str(error))
        self.session.close(CloseReason.PARSE_ERROR)

    def answer(self, member: Member) -> None:
        """Tell the client that it joined the namespace, and under which id (``MemberRouter``).

        A client that has left in the meantime gets no answer, nor does one that has asked again: it
        would take this answer for the second one's.
        """
        namespace = member.delivery.namespace
        has_left = member.delivery.close_reason is CloseReason.CLIENT_NAMESPACE_DISCONNECT
        if has_left or self._members.get(namespace, member) is not member:
            return
        encode = socketio4.encode_connect if self._is_old else socketio.encode_connect
        packet = encode(member.delivery.id, namespace=namespace)
        self.session.send(Outgoing(engineio.MESSAGE + packet))

    def refuse(self, member: Member, message: str, data: Any) -> None:
        """Tell the client that it may not join the namespace, and why (``MemberRouter``)."""
        namespace = member.delivery.namespace
        if self._members.get(namespace, member) is not member:
            return  # the client has left in the meantime, and asked again
        self._members.pop(namespace, None)
        if not self._members:
            self._keeper.router_left_alone(self)
        self._send_connect_error(namespace, message, data)

    def leave_out(self, member: Member) -> None:
        """Forget a member that could not join (``MemberRouter``)."""
        namespace = member.delivery.namespace
        if self._members.get(namespace) is member:
            del self._members[namespace]

    def is_handled_by(self, caller: greenlet) -> bool:
        """Return whether a greenlet handles an event of one of the members (``MemberRouter``)."""
        return any(member.delivery.handler is caller for member in self._all_members())

    def tell(self, member: Member, happening: Happening, **details: Any) -> None:
        """Tell the project what happened to a member's socket (``MemberRouter``)."""
        self._keeper.tell(member, happening, **details)

    def taken_off(self, member: Member, channel: str) -> None:
        """A member was taken off a channel (``MemberRouter``)."""
        self._keeper.taken_off(member, channel)

    def set_user_room(self, room: str | None) -> None:
        """Note the user, and put the client's members into the user's room.

        :param room: ``None``: the client is anonymous.
        """
        if room != self.user_room:
            self.user_room = room
            for member in self._all_members():
                self._keeper.change_user_room(member, room)

    def member_finished(self, member: Member) -> None:
        """Let the client join the namespace again, if it asked to (``MemberRouter``)."""
        namespace = member.delivery.namespace
        if member.auth_cost:
            return_charge(self, member)
        if self._ending is not None and self._ending.get(namespace) is member:
            del self._ending[namespace]
            successor = self._members.get(namespace)
            if successor is not None:
                successor.start()
            elif self._is_over and not self._ending:
                self.session.finish()

    def _route(self, head: Head, kept: socketio.Kept) -> None:
        """Route a packet to its member."""
        namespace = head.namespace
        member = self._members.get(namespace)
        if member is None:
            # Of one that was left, the packet was sent before our goodbye arrived.
            if namespace not in self._left_namespaces:
                raise DecodeError("packet for a namespace that is not connected")
        elif head.type in _EVENTS:
            member.put(kept)
        elif head.ack_id is not None:
            member.delivery.acknowledged(head.ack_id, ClientAnswer(kept, self))
        elif head.type is PacketType.DISCONNECT:
            del self._members[namespace]
            self._end(member, CloseReason.CLIENT_NAMESPACE_DISCONNECT)
        else:
            raise DecodeError(f"clients may not send packets of type {head.type.name}")

    def _connect(self, text: str, head: Head) -> None:
        namespace = head.namespace
        if self._is_old and namespace == MAIN_NAMESPACE and namespace in self._members:
            return  # the client is a member already
        if namespace in self._members:
            self._leave_unanswered(self._members[namespace])
        auth_size = len(text) - head.start
        obstacle = self._find_obstacle(namespace)
        if obstacle is not None:
            why = f"namespace {show(namespace)}: {obstacle}"
            self.session.client_refused(RefusalKind.NAMESPACE, why)
            self._send_connect_error(namespace, "Invalid namespace")
        elif auth_size and is_auth_too_large(auth_size, self._all_members(), self._keeper.options):
            self.session.client_refused(
                RefusalKind.NAMESPACE, "auth is too large (SOCKETIO_MAX_AUTH_SIZE)"
            )
            self._send_connect_error(namespace, "Auth is too large")
        else:
            self._join(namespace, text, auth_size)

    def _leave_unanswered(self, member: Member) -> None:
        """Take a client out of a namespace that it asks to join again.

        The official client sends nothing when it leaves before it was let in. After the answer it
        says that it leaves.
        """
        if not member.delivery.is_joining:
            raise DecodeError("namespace joined twice")
        del self._members[member.delivery.namespace]
        self._end(member, CloseReason.CLIENT_NAMESPACE_DISCONNECT)

    def _join(self, namespace: str, text: str, auth_size: int) -> None:
        member = self._keeper.add_member(self, namespace, auth_size)
        self._members[namespace] = member
        if self._left_namespaces:
            others = tuple(left for left in self._left_namespaces if left != namespace)
            self._left_namespaces = others
        if self._ending is not None and namespace in self._ending:
            member.postpone()
            self._ending[namespace].delivery.drop_held()
        if auth_size:
            charge_for_auth(self, member, socketio.keep(text))
        member.put(PacketType.CONNECT)
        if auth_size:  # behind all else, because it may end the session
            self.weigh()

    def _end(self, member: Member, reason: CloseReason, goodbye: Outgoing | None = None) -> None:
        """Stop delivery to a member, and run its last handlers, behind its waiting items.

        :param member: was in ``_members`` until now.
        """
        member.delivery.close(reason, goodbye)
        if member.is_postponed:  # it never joined
            member.delivery.release(accepted=False)
            member.drop(but=())
            self.weigh()
            self._keeper.forget(member)
            return
        if self._ending is None:
            self._ending = {}
        self._ending[member.delivery.namespace] = member
        member.put(reason)

    def _find_obstacle(self, namespace: str) -> str | None:
        """Return why a client may not join a namespace; no pattern is tried on an invalid name."""
        options = self._keeper.options
        if self._members or self._ending:
            joined = self._members.keys() | (self._ending or {}).keys()
            if namespace not in joined and len(joined) >= options.max_namespaces:
                return "more than SOCKETIO_MAX_NAMESPACES"
        if len(namespace) > options.max_channel_length:
            return "longer than SOCKETIO_MAX_CHANNEL_LENGTH"
        if not namespace.isprintable():
            return "has characters that can't be printed"
        if options.broker_url and "#" in namespace:  # separates the parts of Redis's channel names
            return "has a '#', with SOCKETIO_BROKER_URL"
        return None if self._keeper.has_namespace(namespace) else "no handler is registered for it"

    def _all_members(self) -> list[Member]:
        """Return the members whose last handlers have yet to run."""
        return [*self._members.values(), *(self._ending or {}).values()]

    def _send_connect_error(self, namespace: str, message: str, data: Any = None) -> None:
        keeper = self._keeper
        encoder = keeper.old_encoder if self._is_old else keeper.encoder
        try:
            packet = encoder.connect_error(message, data, namespace=namespace)
        except TypeError:
            logger.exception(
                "The data of a refusal can't be encoded; the client gets the message without it"
            )
            packet = encoder.connect_error(str(message), namespace=namespace)
        self.session.send(Outgoing(engineio.MESSAGE + packet))
