"""Engine.IO packets and payloads: text and bytes in, values out, and back.

Knows the wire of the Engine.IO protocol, revision 4
(https://github.com/socketio/engine.io-protocol), for both transports: packets as they travel in
WebSocket frames, and payloads (several packets in one HTTP body) as they travel over polling. The
session decides which packet may come when; ``protocol.socketio`` reads the messages.

The most frequent packets are constants, and an outgoing message is ``b"4"`` and the Socket.IO
packet as plain ``bytes``, because an object per packet would cost time on the hot path.
"""

import binascii
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum

import msgspec

from socketio_server.exceptions import DecodeError

PROTOCOL_VERSION = 4
"""The revision spoken, as in the query parameter ``EIO``."""

MESSAGE = b"4"
"""The type of a text message, in front of its data."""

CLOSE = b"1"
PING = b"2"
PONG = b"3"
UPGRADE = b"5"
NOOP = b"6"

PROBE_PING = "2probe"
"""A client's first packet on the WebSocket that it wants to upgrade to (section Upgrade)."""

PROBE_PONG = b"3probe"
"""The answer to :data:`PROBE_PING`."""

_encode_json = msgspec.json.Encoder().encode  # made once, for every handshake

_SEPARATOR = b"\x1e"
_BINARY = b"b"


class PacketType(IntEnum):
    """Packet types (section Protocol); on the wire each is its digit."""

    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    UPGRADE = 5
    NOOP = 6


class ErrorCode(IntEnum):
    """Why a request was refused; the numbers are the reference server's, and clients read them."""

    UNKNOWN_TRANSPORT = 0
    UNKNOWN_SESSION = 1
    BAD_HANDSHAKE_METHOD = 2
    BAD_REQUEST = 3
    FORBIDDEN = 4
    UNSUPPORTED_PROTOCOL_VERSION = 5


ERROR_MESSAGES = {
    ErrorCode.UNKNOWN_TRANSPORT: "Transport unknown",
    ErrorCode.UNKNOWN_SESSION: "Session ID unknown",
    ErrorCode.BAD_HANDSHAKE_METHOD: "Bad handshake method",
    ErrorCode.BAD_REQUEST: "Bad request",
    ErrorCode.FORBIDDEN: "Forbidden",
    ErrorCode.UNSUPPORTED_PROTOCOL_VERSION: "Unsupported protocol version",
}
"""The reference server's message for each code."""


class Packet(msgspec.Struct, frozen=True, gc=False):
    """One packet as a client sent it.

    ``data`` is the text behind the type's digit, or the ``bytes`` of a binary message.
    """

    type: PacketType
    data: str | bytes = ""


_MESSAGE = PacketType.MESSAGE

_TYPES = {str(int(packet_type)): packet_type for packet_type in PacketType}


def decode_packet(text: str) -> Packet:
    """Decode one text packet (section Packet encoding).

    A WebSocket's binary frame is a binary message as it stands and needs no decoding; but a client
    may send ``b`` and base64 instead, as in a payload (``forceBase64`` of the JavaScript client).

    :param text: a WebSocket's text frame, or one packet of a payload.
    :return: the packet.
    :raises DecodeError: if the type is missing or unknown, or the base64 is malformed.
    """
    # A table of the seven ASCII digits: int() would take other scripts' digits as well.
    packet_type = _TYPES.get(text[:1])
    if packet_type is not None:
        return Packet(packet_type, text[1:])
    if not text.startswith("b"):
        raise DecodeError("no Engine.IO packet type" if text else "empty Engine.IO packet")
    try:
        return Packet(PacketType.MESSAGE, binascii.a2b_base64(text[1:], strict_mode=True))
    except ValueError as exc:
        raise DecodeError("binary packet is not base64") from exc


class Payload:
    """The packets in the body of a POST, each decoded when it is taken: many small ones take ten
    times as much as the body once they are decoded.

    :param data: the body.
    """

    __slots__ = ("_data", "_start", "is_over")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._start = 0  # of the next packet
        self.is_over = False
        """Whether all packets were taken."""

    @property
    def size(self) -> int:
        """How many bytes it keeps."""
        return len(self._data)

    def take(self) -> Packet:
        """Return the next packet, unless it is over.

        :raises DecodeError: if the packet is malformed.
        """
        data, start = self._data, self._start
        end = data.find(_SEPARATOR, start)
        if end >= 0:
            part = data[start:end]
            self._start = end + 1
        else:
            part = data[start:]
            self._data = b""
            self.is_over = True
        try:
            text = part.decode()
        except ValueError as exc:
            raise DecodeError("packet is not UTF-8") from exc
        if text[:1] == "4":  # as decode_packet, for nearly every packet
            return Packet(_MESSAGE, text[1:])
        return decode_packet(text)

    def __iter__(self) -> Iterator[Packet]:
        while not self.is_over:
            yield self.take()


def decode_payload(body: bytes, max_packets: int) -> Payload:
    """Decode the body of a polling POST (section HTTP long-polling).

    :param body: the whole body; the caller limits its size.
    :param max_packets: how many packets it may hold; they are counted before the first is decoded.
    :return: its packets, at least one, which are yet to be decoded.
    :raises DecodeError: if there are too many packets.
    """
    packets = body.count(_SEPARATOR) + 1
    if packets > max_packets:
        raise DecodeError(
            f"{packets} packets in one payload, at most {max_packets} are allowed "
            "(SOCKETIO_MAX_PACKETS_PER_PAYLOAD)"
        )
    return Payload(body)


def encode_payload(packets: Iterable[bytes]) -> bytes:
    """Join encoded packets into the body of a polling response (section HTTP long-polling).

    :param packets: text packets, and binary messages as :func:`encode_binary` makes them.
    :return: the body.
    """
    return _SEPARATOR.join(packets)


def encode_binary(data: bytes) -> bytes:
    """Encode a binary message for a payload (section HTTP long-polling).

    Over WebSocket it is a binary frame instead, as it stands.

    :param data: the message.
    :return: ``b`` and the data in base64.
    """
    return _BINARY + binascii.b2a_base64(data, newline=False)


def encode_open(
    *,
    sid: str,
    upgrades: Sequence[str],
    ping_interval: float,
    ping_timeout: float,
    max_payload: int,
) -> bytes:
    """Encode the packet that opens a session (section Handshake).

    :param sid: the session's secret id.
    :param upgrades: transports that the client may upgrade to.
    :param ping_interval: seconds between heartbeats.
    :param ping_timeout: seconds that the client's answer may take.
    :param max_payload: bytes that one message or payload of the client may have.
    :return: the packet; times are whole milliseconds there.
    """
    handshake = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(ping_interval * 1000),
        "pingTimeout": round(ping_timeout * 1000),
        "maxPayload": max_payload,
    }
    return b"0" + _encode_json(handshake)


def encode_error(code: ErrorCode, message: str | None = None) -> bytes:
    """Encode the body of a refused request, as the reference server words it.

    :param code: why it was refused.
    :param message: replaces the reference's message for this code; the client may show it.
    :return: a JSON object with ``code`` and ``message``.
    """
    text = ERROR_MESSAGES[code] if message is None else message
    return msgspec.json.encode({"code": int(code), "message": text})
