"""The client's side of Socket.IO, in place of the official client library."""

import json
import weakref
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from socketio_server import conf
from socketio_server.dispatch.cluster_events import ClusterEvents
from socketio_server.net.statistics import Stats
from socketio_server.protocol import socketio
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import MAIN_NAMESPACE
from socketio_server.protocol.socketio import Packet, PacketType
from socketio_server.registry.events import Registry
from socketio_server.serving.around_events.hooks import DjangoHooks
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.this_process import CLIENTS
from socketio_server.testing.exceptions import ConnectionRefused
from socketio_server.testing.handshake import Handshake
from socketio_server.testing.link import Link, LinkDispatcher
from socketio_server.testing.world import world

_MAX_ATTACHMENTS = 999_999_999  # no limit for packets of the server


class Peer:
    """The internals of ``SocketIOClient``: its connections and their packets.

    The parameters are ``SocketIOClient``'s.
    """

    def __init__(
        self,
        namespace: str,
        auth: Mapping[str, Any] | None,
        handshake: Handshake,
        registry: Registry,
        *,
        raise_handler_errors: bool,
    ) -> None:
        self.namespace = namespace
        self.session_id = ""
        """The connection's public id, ``socket.session.session_id`` in handlers; empty before the
        first connection."""
        self._auth = auth
        self._handshake = handshake
        self._registry = registry
        self._raise_handler_errors = raise_handler_errors
        self._link: Link | None = None  # None before the first connection
        self._finalizer: weakref.finalize[..., Any] | None = None  # while the client is connected
        self._socket: Socket | None = None  # the server's socket, also after the connection's end
        self._joined = False  # whether the client is in the namespace
        self._left = False  # whether the server removed it from the namespace
        self._refusal: ConnectionRefused | None = None
        self._assembly: socketio.Assembly | None = None  # while attachments are missing
        self._received: list[tuple[Any, ...]] = []
        self._answers: dict[str, Any] = {}  # by event, the test's answers to acknowledge it with
        self._owed: list[Packet] = []  # events that the client has yet to acknowledge
        self._ack_ids = count()
        self._acks: dict[int, Sequence[Any]] = {}  # the server's acknowledgements
        self._encoder = socketio.Encoder()

    # --- The connection -----------------------------------------------------------------------

    def _open(self) -> None:
        """Make the handshake, and open a session."""
        self._socket = self._refusal = self._assembly = None
        self._left = False
        self._owed.clear()
        options = conf.options()
        hooks = DjangoHooks(
            options.message_log_format,
            refresh_interval=options.refresh_interval,
            clock=lambda: world.now,
        )
        stats = Stats(lambda: world.now)
        on_raised = world.errors.append if self._raise_handler_errors else None
        CLIENTS.run_cluster_event = ClusterEvents(
            self._registry, hooks, world, stats, clock=lambda: world.now, on_raised=on_raised
        ).run
        dispatcher = LinkDispatcher(
            registry=self._registry,
            clients=CLIENTS,
            hooks=hooks,
            pool=world,
            loop=world,
            options=options,
            stats=stats,
            clock=lambda: world.now,
            middleware=world.middleware(options.middleware),
            grants=world.grants,
            on_raised=on_raised,
        )
        link = Link(
            self._handshake.make(options, dispatcher),
            options,
            dispatcher,
            on_message=self._message_arrived,
            on_close=self._closed,
        )
        self._link = link
        self._finalizer = weakref.finalize(self, link.abandon)
        self._finalizer.atexit = False
        link.open()

    def _join(self) -> None:
        """Ask to join the namespace."""
        head = "0" if self.namespace == MAIN_NAMESPACE else f"0{self.namespace},"
        auth = "" if self._auth is None else json.dumps(self._auth)
        self._transmit(socketio.Encoded(f"{head}{auth}".encode()))

    def _close(self, reason: CloseReason) -> None:
        """End the connection, if there is one."""
        link, finalizer = self._link, self._finalizer
        if link is None or finalizer is None:
            return
        try:
            with world.turn():
                if self._joined and reason is CloseReason.CLIENT_NAMESPACE_DISCONNECT:
                    link.receive(socketio.encode_disconnect(namespace=self.namespace).decode())
                    reason = CloseReason.TRANSPORT_CLOSE
                link.close(reason)
        finally:
            if not world.busy:  # clean up, also after an exception
                link.drop()
                finalizer.detach()
                self._finalizer = None

    def _closed(self) -> None:
        """Note that the session is over."""
        self._joined = False

    # --- To the server ------------------------------------------------------------------------

    def _require_link(self) -> Link:
        """Return the link that carries the client's packets.

        :raises RuntimeError: if it is not connected.
        """
        world.settle()
        if self._link is None or not self._joined:
            reason = None if self._socket is None else self._socket.close_reason
            raise RuntimeError(f"the client is not connected: {reason or 'call connect() first'}")
        return self._link

    def _emit(self, event: str, args: Sequence[Any], ack_id: int | None = None) -> None:
        """Send an event."""
        self._require_link()
        self._transmit(self._encoder.event(event, args, namespace=self.namespace, ack_id=ack_id))

    def _acknowledge(self, packet: Packet, values: Sequence[Any]) -> None:
        """Acknowledge an event; after the end of the connection this does nothing."""
        assert packet.ack_id is not None  # the server asked for an acknowledgement
        self._transmit(self._encoder.ack(packet.ack_id, values, namespace=self.namespace))

    def _answer(self, packet: Packet, answer: Any) -> None:
        """Acknowledge an event with the answer that the test prepared."""
        try:
            values = answer(*packet.data[1:]) if callable(answer) else answer
            some = () if values is None else values if isinstance(values, tuple) else (values,)
            self._acknowledge(packet, some)
        except Exception as error:  # noqa: BLE001  # the test's own error: raised in the test
            world.errors.append(error)

    def _transmit(self, encoded: socketio.Encoded) -> None:
        if self._link is not None:
            self._link.receive(encoded.text.decode(), *encoded.attachments)

    # --- From the server ----------------------------------------------------------------------

    def _message_arrived(self, data: str | bytes) -> None:
        if isinstance(data, str):
            head = socketio.read_head(data, max_attachments=_MAX_ATTACHMENTS)
            if head.attachments:
                self._assembly = socketio.Assembly(data, head, max_size=2**63)
            else:
                self._packet_arrived(socketio.decode(data))
        elif self._assembly is not None and self._assembly.add(data):
            assembly, self._assembly = self._assembly, None
            self._packet_arrived(assembly.decode())

    def _packet_arrived(self, packet: Packet) -> None:
        """Take a packet; ignore it after the server's DISCONNECT, as the official client does."""
        if self._left:
            return
        if packet.type is PacketType.CONNECT:
            self._joined = True
            self.session_id = packet.data["sid"]
            self._socket = CLIENTS.find(self.session_id, self.namespace)
        elif packet.type is PacketType.CONNECT_ERROR:
            self._refusal = ConnectionRefused(packet.data["message"], packet.data.get("data"))
        elif packet.type is PacketType.DISCONNECT:
            self._joined = False
            self._left = True
            if self._link is not None:  # the client has no other namespace
                world.run_callback(Link.close, self._link, CloseReason.TRANSPORT_CLOSE)
        elif packet.type is PacketType.EVENT:
            self._event_arrived(packet)
        elif packet.ack_id is not None:
            self._acks[packet.ack_id] = packet.data

    def _event_arrived(self, packet: Packet) -> None:
        event = packet.data[0]
        self._received.append(tuple(packet.data))
        if packet.ack_id is not None:
            if event in self._answers:
                world.run_callback(Peer._answer, self, packet, self._answers[event])
            else:
                self._owed.append(packet)
