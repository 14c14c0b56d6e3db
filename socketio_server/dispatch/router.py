"""The Socket.IO packets of one session, routed to its sockets, one per namespace.

Decides what may come when (Socket.IO protocol v5, "Connection to a namespace"); the packets' form
is in ``protocol.socketio``, and what a socket's packets do is the dispatcher's.
"""

import logging
from contextvars import Context
from typing import TYPE_CHECKING, Any

from socketio_server.engine.session import Session
from socketio_server.engine.transports.base import Outgoing
from socketio_server.exceptions import DecodeError
from socketio_server.net.refusals import RefusalKind
from socketio_server.protocol import engineio, engineio3, socketio, socketio4
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import MAIN_NAMESPACE
from socketio_server.protocol.socketio import Packet, PacketType
from socketio_server.sockets.socket import Socket

if TYPE_CHECKING:
    from socketio_server.dispatch.dispatcher import Dispatcher

_EVENT = PacketType.EVENT  # globals are found faster than attributes
_NONE: frozenset[str] = frozenset()

logger = logging.getLogger("socketio_server")


class NamespaceRouter:
    """Routes one session's packets (its ``SessionHandler``). Never blocks.

    :param request: the Django request of the handshake.
    :param scope: the context variables that handlers run with.
    :param captured: what else the hooks are to restore for them.
    """

    __slots__ = (
        "_assembly",
        "_closing",
        "_decode",
        "_dispatcher",
        "_full",
        "_left",
        "_sockets",
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
        dispatcher: "Dispatcher",
    ) -> None:
        self.session = session
        self.request = request
        self.scope = scope
        self.captured = captured
        self._dispatcher = dispatcher
        self._sockets: dict[str, Socket] = {}  # by namespace
        self._assembly: socketio.Assembly | None = None  # while attachments are due
        self._left = _NONE  # namespaces that we took the client out of
        self._decode = socketio4.decode if self._is_old else socketio.decode
        # Once the session is to end: the sockets whose goodbye is still held back.
        self._closing: list[Socket] | None = None
        self._full = 0  # sockets whose inbox is full

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
        dispatcher = self._dispatcher
        dispatcher.stats.messages_in += 1
        packet = self._decode(data, dispatcher.options.max_attachments)
        if packet.type is _EVENT and (socket := self._sockets.get(packet.namespace)) is not None:
            socket.inbox.put(packet)  # nearly every packet
        elif packet.attachments:
            options = dispatcher.options
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
        """Let every socket end, after what came before (``SessionHandler``)."""
        sockets, self._sockets = self._sockets, {}
        self._dispatcher.router_closed(self)
        for socket in sockets.values():
            _end(socket, reason)

    def caught_up(self) -> None:
        """Have the handlers go on that had to wait for the client (``SessionHandler``)."""
        for socket in self._sockets.values():
            socket.inbox.release()

    def disconnect(self, socket: Socket) -> None:
        """Take a socket out of its namespace (``SocketOwner``)."""
        namespace = socket.namespace
        if self._sockets.get(namespace) is socket:
            del self._sockets[namespace]
            self._left |= {namespace}
            packet = socketio.encode_disconnect(namespace=namespace)
            socket.deliver(Outgoing(engineio.MESSAGE + packet))
            _end(socket, CloseReason.SERVER_NAMESPACE_DISCONNECT)

    def disconnect_all(self) -> None:
        """Take the client out of all namespaces, and end its session (``SocketOwner``)."""
        sockets = list(self._sockets.values())
        for socket in sockets:
            self.disconnect(socket)
        self._closing = [socket for socket in sockets if socket.is_gated]
        self._close_if_told()

    def gate_opened(self, socket: Socket) -> None:
        """What was held back from a socket's client was sent (``SocketOwner``)."""
        if self._closing is not None:
            self._closing = [other for other in self._closing if other is not socket]
            self._close_if_told()

    def _close_if_told(self) -> None:
        if not self._closing:
            self.session.close(CloseReason.FORCED_SERVER_CLOSE)

    def inbox_full(self, full: bool) -> None:
        """Read no more from the client while any of its sockets has enough to do."""
        self._full += 1 if full else -1
        if full and self._full == 1:
            self.session.pause_reading()
        elif not self._full:
            self.session.resume_reading()

    def answer(self, socket: Socket) -> None:
        """Tell the client that it joined the socket's namespace, and under which id."""
        encode = socketio4.encode_connect if self._is_old else socketio.encode_connect
        packet = encode(socket.id, namespace=socket.namespace)
        self.session.send(Outgoing(engineio.MESSAGE + packet))

    def refuse(self, socket: Socket, message: str, data: Any) -> None:
        """Tell the client that it may not join the socket's namespace, and why."""
        if self._sockets.get(socket.namespace) is socket:
            del self._sockets[socket.namespace]
        self._send_connect_error(socket.namespace, message, data)

    def _route(self, packet: Packet) -> None:
        if packet.type is PacketType.CONNECT:
            self._connect(packet)
            return
        socket = self._sockets.get(packet.namespace)
        if socket is None:
            if packet.namespace not in self._left:  # else it was on its way when we said goodbye
                raise DecodeError("a packet for a namespace that is not connected")
        elif packet.type is PacketType.EVENT:
            socket.inbox.put(packet)
        elif packet.type is PacketType.ACK:
            if packet.ack_id is not None:
                socket.settle(packet.ack_id, packet.data)
        elif packet.type is PacketType.DISCONNECT:
            del self._sockets[socket.namespace]
            _end(socket, CloseReason.CLIENT_NAMESPACE_DISCONNECT)
        else:
            raise DecodeError(f"a client may not send a packet of type {packet.type.name}")

    def _connect(self, packet: Packet) -> None:
        namespace = packet.namespace
        if self._is_old and namespace == MAIN_NAMESPACE and namespace in self._sockets:
            return  # it asks for what it has
        if namespace in self._sockets:
            raise DecodeError("a namespace was joined twice")
        if not self._may_join(namespace):
            self.session.client_refused(
                RefusalKind.NAMESPACE, "an invalid namespace, or too many of them"
            )
            self._send_connect_error(namespace, "Invalid namespace")
            return
        socket = self._dispatcher.make_socket(self, namespace, auth=packet.data)
        self._sockets[namespace] = socket
        if self._left:
            self._left -= {namespace}
        socket.inbox.put(packet)

    def _may_join(self, namespace: str) -> bool:
        """Return whether a client may join a namespace; a long name is kept nowhere, nor tried."""
        options = self._dispatcher.options
        return (
            len(self._sockets) < options.max_namespaces
            and len(namespace) <= options.max_channel_length
            and self._dispatcher.has_namespace(namespace)
        )

    def _send_connect_error(self, namespace: str, message: str, data: Any = None) -> None:
        dispatcher = self._dispatcher
        encoder = dispatcher.old_encoder if self._is_old else dispatcher.encoder
        try:
            packet = encoder.connect_error(message, data, namespace=namespace)
        except TypeError:
            logger.exception("The data of a refusal can't be sent; the client goes without")
            packet = encoder.connect_error(str(message), namespace=namespace)
        self.session.send(Outgoing(engineio.MESSAGE + packet))


def _end(socket: Socket, reason: CloseReason) -> None:
    """Have a socket's last handlers run, after what came before."""
    socket.lose_client()
    socket.inbox.put_last(reason)
