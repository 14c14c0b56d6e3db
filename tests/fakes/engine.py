"""Transports and sessions, each with recorders of what it says to those above."""

from collections.abc import Callable, Sequence
from typing import Any

from socketio_server.engine.origins import site_of
from socketio_server.engine.session import Session, SessionHandler
from socketio_server.engine.transports.base import Outgoing, Transport, TransportHandler
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.net.queued_output import LostBecause, QueuedOutput
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.turns import Turns
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.http1.responses import Response
from tests.fakes.loop import FakeLoop
from tests.fakes.net import queued_output

HERE = site_of("", "example.com", is_secure=False, find_public_host=lambda: "example.com")
"""The site of handshakes."""

MOMENT = 1e-9
"""A time in seconds that has always passed already by the clock that the engine reads."""


def outgoing(text: str, *attachments: bytes) -> Outgoing:
    """A message for the client, ``outgoing("hello")`` say."""
    return Outgoing(engineio.MESSAGE + text.encode(), attachments)


def make_polling(
    session: TransportHandler,
    loop: FakeLoop,
    options: Options,
    output: QueuedOutput | None = None,
    turns: Turns | None = None,
) -> PollingTransport:
    """The transport of a session over polling."""
    output = output or queued_output(loop, options)
    turns = turns or Turns(loop, options, clock=loop.clock)
    return PollingTransport(session, loop, options, loop.clock, output, turns)


class RecordingTransportHandler:
    """Records what a transport says (``TransportHandler``)."""

    def __init__(self) -> None:
        self.packets: list[engineio.Packet] = []
        self.closed: list[CloseReason] = []
        self.refusals: list[str] = []
        self.charged = 0
        """Bytes that are charged."""
        self.rooms = 0
        """How often there was room again."""
        self.on_packet: Callable[[engineio.Packet], object] | None = None

    def message_received(self, transport: Transport, data: str | bytes) -> None:
        self.packet_received(transport, engineio.Packet(engineio.PacketType.MESSAGE, data))

    def packet_received(self, transport: Transport, packet: engineio.Packet) -> None:
        if self.closed:
            return  # as sessions do
        self.packets.append(packet)
        if self.on_packet is not None:
            self.on_packet(packet)

    def charge_session(self, change: int) -> None:
        self.charged += change

    def client_refused(self, kind: RefusalKind, why: str) -> None:
        self.refusals.append(f"{kind}: {why}")

    def room_made(self, transport: Transport) -> None:
        self.rooms += 1

    def transport_closed(self, transport: Transport, reason: CloseReason) -> None:
        self.closed.append(reason)

    @property
    def messages(self) -> list[str | bytes]:
        """What the packets carried, if all of them were messages."""
        assert all(packet.type is engineio.PacketType.MESSAGE for packet in self.packets)
        return [packet.data for packet in self.packets]


class RecordingTransport:
    """Keeps what it is to send (``Transport``)."""

    def __init__(self, session: TransportHandler | None = None, name: str = "websocket") -> None:
        self.name = name
        self.sent: list[str] = []
        """The packets as polling would carry them: binary ones as ``b`` and base64."""
        self.closed: list[CloseReason] = []
        self.paused = False
        self.writable = True
        self.direct: Any = None
        self.queued_bytes = 0
        self.is_full = False
        """Whether senders have to wait."""
        self.is_catching_up = False
        """Whether the client takes what waits for it."""
        self.is_receiving = False
        """Whether a large message of the client has arrived in part."""
        self._session = session

    @property
    def is_reading(self) -> bool:
        return not self.paused

    def ask_for_room(self) -> bool:
        return not self.is_full

    def give_up(self, because: LostBecause) -> None:
        self.close(CloseReason.TRANSPORT_ERROR)

    def send(self, outgoing: Outgoing) -> None:
        if not self.closed:
            self.sent += (packet.decode() for packet in outgoing.packets)

    def send_first(self, outgoing: Outgoing) -> None:
        self.send(outgoing)

    def close(self, reason: CloseReason) -> None:
        if not self.closed:
            self.closed.append(reason)
            if self._session is not None:
                self._session.transport_closed(self, reason)

    def callback_raised(self) -> None:
        self.close(CloseReason.TRANSPORT_ERROR)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class RecordingSessionHandler:
    """Records what a session says (``SessionHandler``)."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.closed: list[CloseReason] = []
        self.started = 0
        self.charged = 0
        """Bytes that are charged."""

    def session_started(self) -> None:
        assert not self.messages, "called after a message"
        self.started += 1

    def text_received(self, data: str) -> None:
        assert type(data) is str
        assert not self.closed, "called after the end"
        self.messages.append(data)

    def binary_received(self, data: bytes) -> None:
        assert type(data) is bytes
        assert not self.closed, "called after the end"
        self.messages.append(data)

    def charge_session(self, change: int) -> None:
        self.charged += change

    def session_closed(self, reason: CloseReason) -> None:
        self.closed.append(reason)


class RecordingKeeper:
    """Records what sessions say to the engine (``SessionKeeper``)."""

    def __init__(self, output: QueuedOutput | None = None) -> None:
        self.output = output
        self.pongs = 0
        self.pings = 0
        self.refusals: list[str] = []
        self.probing = False
        self.ended: list[Transport] = []
        self.finished = 0
        """How often the client's last handler was said to have run."""

    def pong_received(self, session: Session) -> None:
        self.pongs += 1

    def ping_received(self, session: Session) -> None:
        self.pings += 1

    def client_refused(self, session: Session, kind: RefusalKind, why: str) -> None:
        self.refusals.append(f"{kind}: {why}")

    def probe_started(self, session: Session) -> None:
        self.probing = True

    def probe_ended(self, session: Session) -> None:
        self.probing = False

    def session_ended(self, session: Session, last_transport: Transport) -> None:
        self.ended.append(last_transport)

    def session_finished(self, session: Session) -> None:
        self.finished += 1


def make_session(
    handler: SessionHandler | None = None,
    *,
    keeper: RecordingKeeper | None = None,
    name: str = "websocket",
) -> tuple[Session, RecordingTransport]:
    """A session that has begun, over a transport that keeps what is sent."""
    session = Session("the-secret", keeper or RecordingKeeper(), HERE)
    transport = RecordingTransport(session, name)
    session.start(transport, handler or RecordingSessionHandler(), b"0{}")
    return session, transport


def receive(session: Session, *messages: str | bytes) -> None:
    """Let a session's client send messages."""
    for message in messages:
        session.message_received(session.transport, message)


class FakeExchange:
    """A request of a polling client (``Exchange``)."""

    def __init__(self) -> None:
        self.response: Response | None = None
        """What it was answered with; ``None`` while it waits."""
        self.is_gone = False
        """Whether its client has gone, be it without anybody's knowledge."""
        self.is_slow = False
        """Whether its client has yet to take some of the answer."""
        self.is_dropped = False
        """Whether nothing of its body is to be kept."""

    def reply(self, response: Response) -> None:
        assert self.response is None, "answered twice"
        self.response = response

    def has_ended(self) -> bool:
        return self.is_gone

    def is_underway(self) -> bool:
        return self.is_slow

    def drop_body(self) -> None:
        self.is_dropped = True

    def abort(self) -> None:
        self.is_gone = True

    @property
    def status(self) -> int:
        """The status of its answer, which it must have."""
        assert self.response is not None, "it still waits"
        return self.response.status

    @property
    def packets(self) -> list[str]:
        """The packets of its answer, which it must have."""
        assert self.response is not None, "it still waits"
        assert self.response.status == 200, self.response
        return list(packets(self.response.body))


def packets(body: bytes) -> Sequence[str]:
    """The packets of a polling payload."""
    return body.decode().split("\x1e")
