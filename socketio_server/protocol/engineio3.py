"""Engine.IO revision 3, spoken by ``socket.io-client`` 2.x: the differences to revision 4.

The specification is https://github.com/socketio/engine.io-protocol/tree/v3, and where it is silent
engine.io-parser 2.x. Packet types, text packets, constants, errors and close reasons are those of
``protocol.engineio``. The differences:

* The client sends PING, and the server answers with a PONG (section Packet): ``2`` gets ``3``, and
  ``2probe`` gets ``3probe``. Clients send no other data with a ping, and no other is sent back.
* A binary packet has a type, in its first byte, also as a WebSocket's binary frame
  (:func:`decode_binary_packet`, :func:`encode_binary_packet`). A client that can't send binary
  frames sends a text frame as in a payload, ``b4`` and base64.
* A payload gives each packet's length before it, in one of two forms (section Payload). The text
  form is ``<length>:<packet>`` for each packet, its length in UTF-16 code units, as JavaScript
  counts; every client reads it. The binary form (with XHR2) is sent by clients that have binary
  data to send, and read by all that did not ask for the text form with ``b64=1``.
* The handshake has no ``maxPayload``.

JSONP is not spoken.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from socketio_server.exceptions import DecodeError
from socketio_server.protocol import engineio
from socketio_server.protocol.engineio import Packet, PacketType, Payload

PROTOCOL_VERSION = 3
"""The revision spoken, as in the query parameter ``EIO``."""

BINARY_MESSAGE = b"\x04"
"""The first byte of a binary message in a WebSocket's binary frame or a binary payload."""

BINARY_CONTENT_TYPE = "application/octet-stream"
"""The content type of a payload in its binary form; anything else is its text form.

Responses carry exactly this value, because clients compare the whole header.
"""

_BASE64_MESSAGE = b"b4"

# Lengths: ASCII digits without a zero in front, so few that the number stays small.
_TEXT_HEAD = re.compile(rb"([1-9]\x00(?:[0-9]\x00){0,8}):\x00")  # in UTF-16, low byte first
_BINARY_HEAD = re.compile(rb"([\x00\x01])([\x01-\x09][\x00-\x09]{0,8})\xff")
_DIGITS = bytes.maketrans(bytes(range(10)), b"0123456789")

# --- Decoding ---------------------------------------------------------------------------------


def decode_packet(text: str) -> Packet:
    """Decode one text packet (section Packet), which may be a binary message in base64.

    :param text: a WebSocket's text frame, or one packet of a payload.
    :return: the packet.
    :raises DecodeError: if the type is missing or unknown, or base64 is malformed.
    """
    if not text.startswith("b"):
        return engineio.decode_packet(text)
    if not text.startswith("b4"):
        raise DecodeError("only messages can be binary")
    try:
        data = binascii.a2b_base64(text[2:], strict_mode=True)
    except ValueError as exc:
        raise DecodeError("binary message is not base64") from exc
    return Packet(PacketType.MESSAGE, data)


def decode_binary_packet(data: bytes) -> Packet:
    """Decode one binary packet (section Packet).

    :param data: a WebSocket's binary frame, or one binary packet of a binary payload.
    :return: the packet, always a binary message.
    :raises DecodeError: if it is empty or has another type.
    """
    if not data.startswith(BINARY_MESSAGE):
        raise DecodeError("only messages can be binary")
    return Packet(PacketType.MESSAGE, data[1:])


class _Payload(Payload):
    """The packets in the body of a POST, with their lengths before them.

    :param data: at least one packet.
    :param read: takes ``data`` and where a packet begins there; returns the packet, and where the
        next one begins.
    :param max_packets: how many packets may be taken.
    """

    __slots__ = ("_left", "_max_packets", "_read")

    def __init__(
        self, data: bytes, read: Callable[[bytes, int], tuple[Packet, int]], max_packets: int
    ) -> None:
        super().__init__(data)
        self._read = read
        self._left = self._max_packets = max_packets

    def take(self) -> Packet:
        """Return the next packet, unless it is over.

        :raises DecodeError: if the packet is malformed, or there are too many.
        """
        if not self._left:
            raise DecodeError(
                f"more than {self._max_packets} packets in one payload "
                "(SOCKETIO_MAX_PACKETS_PER_PAYLOAD)"
            )
        self._left -= 1
        packet, self._start = self._read(self._data, self._start)
        if self._start == len(self._data):
            self._data = b""
            self.is_over = True
        return packet


def decode_payload(body: bytes, max_packets: int, *, content_type: str = "") -> Payload:
    """Decode the body of a polling POST (section Payload).

    The text form is cut as UTF-16, because its lengths count code units.

    :param body: the whole body; the caller limits its size.
    :param max_packets: how many packets it may hold; decoding stops at the next one.
    :param content_type: the request's ``Content-Type``, which tells the form.
    :return: its packets, at least one, which are yet to be decoded.
    :raises DecodeError: if there are none, or text is not UTF-8.
    """
    if not body:
        raise DecodeError("empty payload")
    if content_type.partition(";")[0].strip().lower() == BINARY_CONTENT_TYPE:
        return _Payload(body, _read_binary, max_packets)
    try:
        units = body.decode().encode("utf-16-le")
    except UnicodeDecodeError as exc:
        raise DecodeError("payload is not UTF-8") from exc
    return _Payload(units, _read_text, max_packets)


def _read_text(units: bytes, start: int) -> tuple[Packet, int]:
    """Decode one packet of a text payload (``_Payload``)."""
    head = _TEXT_HEAD.match(units, start)
    if head is None:
        raise DecodeError("packet in a payload has no valid length")
    end = _end_of_packet(units, head.end(), 2 * int(head[1][::2]))
    try:
        text = units[head.end() : end].decode("utf-16-le")
    except UnicodeDecodeError as exc:
        raise DecodeError("length in a payload ends within a character") from exc
    return decode_packet(text), end


def _read_binary(body: bytes, start: int) -> tuple[Packet, int]:
    """Decode one packet of a binary payload, where lengths are bytes (``_Payload``)."""
    head = _BINARY_HEAD.match(body, start)
    if head is None:
        raise DecodeError("packet in a payload has no valid length")
    end = _end_of_packet(body, head.end(), int(head[2].translate(_DIGITS)))
    data = body[head.end() : end]
    if head[1] == b"\x01":
        return decode_binary_packet(data), end
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise DecodeError("text packet is not UTF-8") from exc
    return decode_packet(text), end


def _end_of_packet(payload: bytes, start: int, size: int) -> int:
    """Return where a packet ends, if the payload is that long."""
    if size > len(payload) - start:
        raise DecodeError("payload is shorter than a length in it says")
    return start + size


# --- Encoding ---------------------------------------------------------------------------------


def encode_binary_packet(data: bytes) -> bytes:
    """Encode a binary message for a WebSocket's binary frame or a binary payload (section Packet).

    :param data: the message.
    :return: the type's byte and the data.
    """
    return BINARY_MESSAGE + data


def encode_binary(data: bytes) -> bytes:
    """Encode a binary message for a text payload, or for a text frame to a ``b64=1`` client.

    :param data: the message.
    :return: ``b4`` and the data in base64.
    """
    return _BASE64_MESSAGE + binascii.b2a_base64(data, newline=False)


def encode_payload(packets: Iterable[bytes]) -> bytes:
    """Join encoded packets into the body of a polling response, in the form that all clients read.

    :param packets: text packets, and binary messages as :func:`encode_binary` makes them.
    :return: the body, to be sent as text in UTF-8.
    """
    return b"".join([b"%d:%b" % (_count_units(packet), packet) for packet in packets])


def encode_open(
    *, sid: str, upgrades: Sequence[str], ping_interval: float, ping_timeout: float
) -> bytes:
    """Encode the packet that opens a session (section Anatomy of an Engine.IO session).

    :param sid: the session's secret id; the client takes it for its public id as well.
    :param upgrades: transports that the client may upgrade to.
    :param ping_interval: seconds between the client's pings.
    :param ping_timeout: seconds that the server's answer may take.
    :return: the packet; times are whole milliseconds there.
    """
    handshake = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(ping_interval * 1000),
        "pingTimeout": round(ping_timeout * 1000),
    }
    return b"0" + msgspec.json.encode(handshake)


def _count_units(packet: bytes) -> int:
    """Return the length of UTF-8 in UTF-16 code units."""
    return len(packet) if packet.isascii() else len(packet.decode().encode("utf-16-le")) // 2
