"""The common parts of polling and WebSocket: the encoded message, the interface of transports.

A transport carries the Engine.IO packets of one session and knows nothing of Socket.IO.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from socketio_server.net.connection import Connection
from socketio_server.net.loop import CallbackOwner
from socketio_server.net.queued_output import LostBecause
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.turns import LARGE
from socketio_server.protocol import engineio, engineio3
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.websocket.frames import (
    Opcode,
    decode_frames,
    encode_deflated_frame,
    encode_frame,
)

_TEXT, _BINARY = Opcode.TEXT, Opcode.BINARY


class Outgoing:
    """One Engine.IO message, encoded once for all recipients and transports.

    Kept as WebSocket frames only; other encodings are made from them.

    :param packet: the Engine.IO text packet, type digit included.
    :param attachments: binary messages that follow it.
    """

    __slots__ = ("_deflated", "_is_shared", "frames")

    def __init__(self, packet: bytes, attachments: Sequence[bytes] = ()) -> None:
        self._deflated: bytes | None = None  # encoded for the first recipient of several
        self._is_shared = False
        self.frames = encode_frame(_TEXT, packet)
        """The message as WebSocket frames, ready to be sent."""
        if attachments:
            frames = [encode_frame(_BINARY, data) for data in attachments]
            self.frames = b"".join((self.frames, *frames))

    @property
    def deflated_frames(self) -> bytes:
        """The message as compressed WebSocket frames; kept only while it is shared."""
        if self._deflated is not None:
            return self._deflated
        deflated = b"".join(
            encode_deflated_frame(opcode, data) for opcode, data in decode_frames(self.frames)
        )
        if self._is_shared:
            self._deflated = deflated
        return deflated

    def share(self) -> None:
        """Keep what is made of the message, for further recipients, until ``unshare``."""
        self._is_shared = True

    def unshare(self) -> None:
        """Keep only ``frames``, whose bytes are counted where the message waits."""
        self._is_shared = False
        self._deflated = None

    def stay_plain(self) -> None:
        """Have the message sent as it is to those who accept compressed ones, too: to all who have
        yet to get it.
        """
        self._deflated = self.frames

    @property
    def frames3(self) -> bytes:
        """The message as WebSocket frames for Engine.IO revision 3."""
        (opcode, packet), *attachments = decode_frames(self.frames)
        if not attachments:
            return self.frames
        frames = [
            encode_frame(_BINARY, engineio3.encode_binary_packet(data)) for _, data in attachments
        ]
        return b"".join((encode_frame(opcode, packet), *frames))

    @property
    def packets(self) -> list[bytes]:
        """The message as packets of a polling payload."""
        return self._cut_packets(engineio.encode_binary)

    @property
    def packets3(self) -> list[bytes]:
        """The message as packets of a polling payload of Engine.IO revision 3."""
        return self._cut_packets(engineio3.encode_binary)

    def _cut_packets(self, encode_binary: Callable[[bytes], bytes]) -> list[bytes]:
        frames = self.frames
        if len(frames) == frames[1] + 2:
            return [frames[2:]]  # nearly always it is one short frame
        return [
            data if opcode == _TEXT else encode_binary(data)
            for opcode, data in decode_frames(frames)
        ]


def limit_deflating(messages: Iterable[Outgoing]) -> None:
    """Have no more than ``LARGE`` bytes compressed of messages that go out all at once: those
    behind them stay plain.
    """
    size = 0
    for outgoing in messages:
        size += len(outgoing.frames)
        if size > LARGE:
            outgoing.stay_plain()


PING = Outgoing(engineio.PING)
PONG = Outgoing(engineio.PONG)
CLOSE = Outgoing(engineio.CLOSE)
PROBE_PONG = Outgoing(engineio.PROBE_PONG)

TOO_FAST = (
    "packets come too fast, the client is throttled "
    "(SOCKETIO_MAX_PACKET_RATE, SOCKETIO_MAX_PACKET_BURST)"
)
"""What is logged of a client that sends above the rate and the burst."""

HEARTBEATS = frozenset({PING, PONG, PROBE_PONG})
"""What is sent first (``Transport.send_first``)."""


class TransportHandler(Protocol):
    """A transport's session. Called in loop callbacks and in greenlets: must never block."""

    def message_received(self, transport: "Transport", data: str | bytes) -> None:
        """The client sent a message.

        :raises DecodeError: if it is malformed.
        """

    def packet_received(self, transport: "Transport", packet: engineio.Packet) -> None:
        """The client sent a packet of another type.

        :raises DecodeError: if the client may not send it.
        """

    def charge_session(self, change: int) -> None:
        """Charge the client for more bytes that were received and not handed up, or for fewer if
        ``change`` is negative.
        """

    def client_refused(self, kind: RefusalKind, why: str) -> None:
        """The client broke a rule: count and log it, no more."""

    def room_made(self, transport: "Transport") -> None:
        """The client has read so many bytes that there is room (``Transport.ask_for_room``)."""

    def transport_closed(self, transport: "Transport", reason: CloseReason) -> None:
        """The transport is gone; called at most once."""


class Transport(CallbackOwner, Protocol):
    """Carries the packets of one session. No method waits, so all may be called from the loop."""

    @property
    def name(self) -> str:
        """``"polling"`` or ``"websocket"``."""

    @property
    def writable(self) -> bool:
        """Whether a message would go out at once."""

    @property
    def direct(self) -> Connection | None:
        """The connection that accepts ``Outgoing.frames`` unchanged, for good; ``None``: messages
        must go through ``send``.
        """

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the client."""

    @property
    def is_reading(self) -> bool:
        """Whether the client's packets are read just now: only then can its pong be expected."""

    @property
    def is_catching_up(self) -> bool:
        """Whether messages wait for the client, which reads some of them now and then. Its pong
        need not be waited for, because its progress is watched.
        """

    @property
    def is_receiving(self) -> bool:
        """Whether the client is about to send a large message, behind which its pong waits."""

    def send(self, outgoing: Outgoing) -> None:
        """Send a message, or queue it; after a close, drop it."""

    def send_first(self, outgoing: Outgoing) -> None:
        """Send one of ``HEARTBEATS`` before the messages that are queued, unless one is queued."""

    def close(self, reason: CloseReason) -> None:
        """Send the transport's goodbye, behind all earlier messages. Idempotent."""

    def ask_for_room(self) -> bool:
        """Return whether no more than ``high_water`` bytes wait for the client.

        If more wait, the transport's handler is told when there is room (``room_made``), unless the
        transport ends.
        """

    def give_up(self, because: LostBecause) -> None:
        """Drop the queued messages, and close soon: the client is too slow, or there is no room."""

    def pause_reading(self) -> None:
        """Read no more packets from the client until ``resume_reading``. Idempotent."""

    def resume_reading(self) -> None:
        """Read packets again. Idempotent."""


class ClosedTransport:
    """A session's transport before its start and after its end: drops all messages.

    :param name: the name of the session's last transport.
    """

    __slots__ = ("name",)

    direct = None
    writable = False
    is_reading = False
    is_catching_up = False
    is_receiving = False
    queued_bytes = 0

    def __init__(self, name: str) -> None:
        self.name = name

    def send(self, outgoing: Outgoing) -> None:
        """Drop the message."""

    def send_first(self, outgoing: Outgoing) -> None:
        """Drop the message."""

    def close(self, reason: CloseReason) -> None:
        """Do nothing."""

    def callback_raised(self) -> None:
        """Do nothing."""

    def ask_for_room(self) -> bool:
        """Return ``True``."""
        return True

    def give_up(self, because: LostBecause) -> None:
        """Do nothing."""

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""
