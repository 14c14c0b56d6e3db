"""One Engine.IO session, named by a secret ``sid``; it outlives its transports.

Knows the transports and the upgrade from one to the other (Engine.IO protocol, "Upgrade"). The
engine keeps all sessions and their deadlines; the ``SessionHandler`` reads the messages.
"""

from enum import Enum
from functools import partial
from typing import Protocol

from gevent.event import Event

from socketio_server.engine.line import Line
from socketio_server.engine.origins import Site
from socketio_server.engine.session_cookie import Binding
from socketio_server.engine.transports.base import (
    PING,
    PONG,
    PROBE_PONG,
    ClosedTransport,
    Outgoing,
    Transport,
    limit_deflating,
)
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.engine.transports.websocket import WebSocketTransport
from socketio_server.exceptions import DecodeError
from socketio_server.net.queued_output import QueuedOutput
from socketio_server.net.refusals import RefusalKind
from socketio_server.protocol import engineio, engineio3
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import PacketType

_PROBE = engineio.decode_packet(engineio.PROBE_PING)

_CLOSED = {name: ClosedTransport(name) for name in ("", "polling", "websocket")}


class SessionHandler(Protocol):
    """Gets a session's messages. Called in loop callbacks and greenlets: must never block."""

    def session_started(self) -> None:
        """The session has begun; called exactly once, before all other methods."""

    def text_received(self, data: str) -> None:
        """The client sent text; raises ``DecodeError`` to end the session for it."""

    def binary_received(self, data: bytes) -> None:
        """The client sent bytes; raises ``DecodeError`` to end the session for it."""

    def charge_session(self, change: int) -> None:
        """Charge the client for more bytes that were received and not handed up, or for fewer if
        ``change`` is negative.
        """

    def session_closed(self, reason: CloseReason) -> None:
        """The session is over; called exactly once, after all other methods.

        After this, call the session's ``finish`` once, when the last handler has run.
        """


class SessionKeeper(Protocol):
    """The engine, as its sessions see it: keeps their deadlines and forgets them at their end."""

    @property
    def output(self) -> QueuedOutput | None:
        """The account of the messages that are queued for all clients, if there is one."""

    def pong_received(self, session: "Session") -> None:
        """The client answered a heartbeat."""

    def ping_received(self, session: "Session") -> None:
        """The client sent a heartbeat, as clients of revision 3 do."""

    def client_refused(self, session: "Session", kind: RefusalKind, why: str) -> None:
        """The client broke a rule."""

    def probe_started(self, session: "Session") -> None:
        """A WebSocket probes; it has ``upgrade_timeout`` to finish."""

    def probe_ended(self, session: "Session") -> None:
        """The probe finished or failed."""

    def session_ended(self, session: "Session", last_transport: Transport) -> None:
        """The session is over."""

    def session_finished(self, session: "Session") -> None:
        """The session is over, and the last of its client's handlers has run."""


class ProbeState(Enum):
    """The progress of an upgrade to WebSocket."""

    NONE = "no WebSocket besides the transport"
    OPEN = "a WebSocket is open, and has sent nothing yet"
    PROBED = "it has sent a probe, which was answered"


class Session:
    """An Engine.IO session.

    :param sid: the secret that the client's requests carry; never shown or logged.
    :param keeper: the engine.
    :param site: where the handshake was sent to, and its other requests must go.
    :param revision: the Engine.IO revision that the client speaks, 4 or 3.
    :param address: the client's address at the handshake; for the log.
    """

    __slots__ = (
        "_handler",
        "_keeper",
        "_paused",
        "_probe",
        "_probe_state",
        "address",
        "binding",
        "close_reason",
        "line",
        "revision",
        "sid",
        "site",
        "transport",
    )

    def __init__(
        self,
        sid: str,
        keeper: SessionKeeper,
        site: Site,
        revision: int = engineio.PROTOCOL_VERSION,
        address: str = "",
    ) -> None:
        self.sid = sid
        self.revision = revision
        self.address = address
        self.site = site
        self.transport: Transport = _CLOSED[""]
        """The current transport, to which the fast path sends directly."""
        self.close_reason: CloseReason | None = None
        """Why the session ended; ``None`` while it lasts."""
        self.binding: Binding | None = None
        """The browser that the session is bound to; ``None``: every client that has the ``sid``."""
        self.line: Line | None = None
        """The senders that wait for room; ``None`` if there are none."""
        self._keeper = keeper
        self._handler: SessionHandler | None = None  # None before start and after the end
        self._probe: WebSocketTransport | None = None
        self._probe_state = ProbeState.NONE
        self._paused = False  # whether the handler has paused reading

    @property
    def is_open(self) -> bool:
        """Whether the session has begun and not ended."""
        return self._handler is not None

    @property
    def can_upgrade(self) -> bool:
        """Whether a WebSocket may try to take over."""
        return (
            self.is_open
            and self.transport.name == "polling"
            and self._probe_state is ProbeState.NONE
        )

    def start(self, transport: Transport, handler: SessionHandler, opening: bytes) -> None:
        """Begin, over the transport of the handshake.

        :param opening: the packet that opens the session, sent first.
        """
        self.transport = transport
        self._handler = handler
        transport.send(Outgoing(opening))
        handler.session_started()

    def send(self, outgoing: Outgoing) -> None:
        """Send a message to the client; after the end, drop it."""
        self.transport.send(outgoing)

    def ping(self) -> None:
        """Send a heartbeat."""
        self.transport.send_first(PING)

    def close(self, reason: CloseReason) -> None:
        """End the session, behind all messages that were sent before. Idempotent."""
        self.transport.close(reason)

    def finish(self) -> None:
        """The session is over, and the last of its client's handlers has run."""
        self._keeper.session_finished(self)

    def leave_to_parent(self) -> None:
        """Send nothing from this process, which was forked from the one that has the client."""
        self.transport = _CLOSED[self.transport.name]

    def callback_raised(self) -> None:
        """End the session and its transport now (``CallbackOwner``)."""
        self.transport.callback_raised()

    def pause_reading(self) -> None:
        """Pause reading from the client. Idempotent."""
        self._paused = True
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading from the client. Idempotent."""
        self._paused = False
        self.transport.resume_reading()

    @property
    def key(self) -> int:
        """Tells this session from others, and is no secret: a hash, which two sessions hardly ever
        share, while an object's ``id`` soon belongs to another.
        """
        return hash(self.sid)

    def ask_for_room(self) -> bool:
        """Return whether a sender need not wait: little is queued, and nobody waits before it.

        If it must, the line is woken when there is room (``wake_line``).
        """
        return self.line is None and self.transport.ask_for_room()

    def join_line(self, message: bytes) -> Event:
        """Wait for room, behind the senders that wait already.

        After calling this, call ``leave_line``, also after an exception.

        :param message: what is to be sent, which is counted as if it was queued.
        :return: an event that is set when it may be the caller's turn, or the session is over.
        """
        if self.line is None:
            self.line = Line(self, self._keeper.output)
        return self.line.join(message)

    def is_turn_of(self, place: Event) -> bool:
        """Return whether the sender at a place of the line may send."""
        line = self.line
        return line is None or (line.is_first(place) and self.transport.ask_for_room())

    def wake_line(self) -> None:
        """Let all waiting senders check whether they must go on waiting."""
        if self.line is not None:
            self.line.wake_all()

    def leave_line(self, place: Event) -> None:
        """Leave the line, and wake the next sender if there is room."""
        line = self.line
        if line is not None:
            line.leave(place)
            if line.is_empty:
                line.close()
                self.line = None
            elif self.transport.ask_for_room():
                line.wake_first()

    def start_probe(self, transport: WebSocketTransport) -> None:
        """Let a WebSocket probe for an upgrade; only if ``can_upgrade``."""
        self._probe = transport
        self._probe_state = ProbeState.OPEN
        self._keeper.probe_started(self)

    def abandon_probe(self) -> None:
        """Close the probing WebSocket, and leave the session as it is."""
        if self._probe is not None:
            self._probe.close(CloseReason.TRANSPORT_CLOSE)

    def message_received(self, transport: Transport, data: str | bytes) -> None:
        """A transport got a message (``TransportHandler``)."""
        if transport is self.transport:
            if self._handler is None:
                return
            if type(data) is str:
                self._handler.text_received(data)
            else:
                self._handler.binary_received(data)  # type: ignore[arg-type]  # the other of the two
        elif transport is self._probe:
            self.abandon_probe()

    def packet_received(self, transport: Transport, packet: engineio.Packet) -> None:
        """A transport got another packet (``TransportHandler``)."""
        if packet.type is PacketType.MESSAGE:
            self.message_received(transport, packet.data)
        elif self._probe is not None and transport is self._probe:
            self._probe_packet_received(self._probe, packet)
        elif transport is self.transport and self._handler is not None:
            if packet.type is PacketType.PONG:
                self._keeper.pong_received(self)
            elif packet.type is PacketType.PING and self.revision == engineio3.PROTOCOL_VERSION:
                self._keeper.ping_received(self)
                transport.send_first(PROBE_PONG if packet.data == "probe" else PONG)
            elif packet.type is PacketType.CLOSE:
                self.close(CloseReason.TRANSPORT_CLOSE)
            elif packet.type is not PacketType.NOOP:
                raise DecodeError(f"clients may not send packets of type {packet.type.name}")

    def charge_session(self, change: int) -> None:
        """Pass on the bytes that a transport charges for (``TransportHandler``)."""
        if self._handler is not None:
            self._handler.charge_session(change)

    def client_refused(self, kind: RefusalKind, why: str) -> None:
        """The client broke a rule (``TransportHandler``); its handlers may say so as well."""
        self._keeper.client_refused(self, kind, why)

    def room_made(self, transport: Transport) -> None:
        """The client has read some of its queue (``TransportHandler``)."""
        if transport is self.transport and self.line is not None:
            self.line.wake_first()

    def transport_closed(self, transport: Transport, reason: CloseReason) -> None:
        """A transport is gone (``TransportHandler``)."""
        if transport is self._probe:
            self._end_probe()
            if isinstance(self.transport, PollingTransport):
                self.transport.end_probe()
        elif transport is self.transport:
            self._end(reason)

    def _probe_packet_received(self, probe: WebSocketTransport, packet: engineio.Packet) -> None:
        """Advance the upgrade; any other packet ends the probe, but not the session."""
        polling = self.transport
        assert isinstance(polling, PollingTransport)  # no other is probed
        state = self._probe_state
        if state is ProbeState.OPEN and packet == _PROBE:
            self._probe_state = ProbeState.PROBED
            probe.send(PROBE_PONG)
            polling.start_probe()
        elif state is ProbeState.PROBED and packet.type is PacketType.UPGRADE:
            probe.pause_reading()
            polling.when_quiet(partial(self._upgrade, polling, probe))
        else:
            self.abandon_probe()

    def _upgrade(self, polling: PollingTransport, probe: WebSocketTransport) -> None:
        """Let the WebSocket take over, with the client's queue in its order."""
        if probe is not self._probe:  # closed before the last POST was complete
            return
        if polling.given_up:  # its queue is gone, and the session ends in the next turn of the loop
            self.abandon_probe()
            return
        self._end_probe()
        waiting = polling.hand_over()
        limit_deflating(waiting)
        self.transport = probe
        for outgoing in waiting:
            probe.send(outgoing)
        if self.line is not None and probe.ask_for_room():
            self.line.wake_first()
        if not self._paused:
            probe.resume_reading()

    def _end_probe(self) -> None:
        self._probe = None
        self._probe_state = ProbeState.NONE
        self._keeper.probe_ended(self)

    def _end(self, reason: CloseReason) -> None:
        handler, self._handler = self._handler, None
        assert handler is not None  # it has a transport, therefore it has begun
        last_transport = self.transport
        self.transport = _CLOSED[last_transport.name]
        self.close_reason = reason
        line, self.line = self.line, None
        try:
            if line is not None:
                line.wake_all()
                line.close()
            self._keeper.session_ended(self, last_transport)
            self.abandon_probe()
        finally:  # the last handlers run, whatever that raises
            handler.session_closed(reason)
