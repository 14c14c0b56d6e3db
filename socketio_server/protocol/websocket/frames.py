"""Frames: their types and codes, and how a server writes them (RFC 6455 section 5).

The parser (``protocol.websocket.parser``) returns control frames as the values of this module.
"""

from enum import IntEnum
from struct import Struct

import msgspec

from socketio_server.protocol.websocket.permessage_deflate import deflate


class Opcode(IntEnum):
    """Frame types (RFC 6455 section 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """Close codes that this server sends (RFC 6455 section 7.4.1 and its IANA registry)."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009


class Ping(msgspec.Struct, frozen=True, gc=False):
    """The client asks for a pong with the same data (section 5.5.2)."""

    data: bytes


class Pong(msgspec.Struct, frozen=True, gc=False):
    """The client answered a ping, or sent a pong unasked (section 5.5.3)."""

    data: bytes


class Close(msgspec.Struct, frozen=True, gc=False):
    """The client closes or answers a close (section 5.5.1); ``code`` is ``None`` if it has none."""

    code: int | None
    reason: str


FIN = 0x80
"""The bit of a message's last frame."""

RSV1 = 0x40
"""The bit of a compressed message's first frame (RFC 7692 section 6)."""

MAX_CONTROL_SIZE = 125
"""Bytes of data that a control frame may have."""

_SHORT_HEADS = {
    opcode: [bytes((FIN | opcode, size)) for size in range(126)]
    for opcode in (*Opcode, *(RSV1 | opcode for opcode in (Opcode.TEXT, Opcode.BINARY)))
}
"""The first two bytes of a frame by its opcode, RSV1 included, and its size."""

_MEDIUM = Struct("!BBH")
_LONG = Struct("!BBQ")


def encode_frame(opcode: int, data: bytes) -> bytes:
    """Encode a whole message or a control frame (section 5.2), unmasked as a server must.

    :param opcode: its type.
    :param data: its data: UTF-8 for text, at most 125 bytes for a control frame.
    :return: the frame.
    """
    size = len(data)
    if size <= 125:
        return _SHORT_HEADS[opcode][size] + data
    first = FIN | opcode
    if size <= 0xFFFF:
        return _MEDIUM.pack(first, 126, size) + data
    return _LONG.pack(first, 127, size) + data


def decode_frames(frames: bytes) -> list[tuple[int, bytes]]:
    """Return the messages of whole frames, each with its opcode: the inverse of ``encode_frame``.

    :param frames: the frames, one after another.
    """
    messages = []
    start = 0
    while start < len(frames):
        opcode, size = frames[start] & 0x0F, frames[start + 1]
        start += 2
        if size == 126:
            size = int.from_bytes(frames[start : start + 2])
            start += 2
        elif size == 127:
            size = int.from_bytes(frames[start : start + 8])
            start += 8
        messages.append((opcode, frames[start : start + size]))
        start += size
    return messages


def encode_deflated_frame(opcode: int, data: bytes) -> bytes:
    """Encode a whole message as a compressed frame (RFC 7692 section 7.2.1).

    It inflates without any context, so that one frame serves all clients that accept compressed
    messages.

    :param opcode: text or binary.
    :param data: the message, UTF-8 if it is text.
    :return: the frame; with short or random data it may be larger than an uncompressed one.
    """
    return encode_frame(RSV1 | opcode, deflate(data))


def encode_close(code: int | None = None, reason: str = "") -> bytes:
    """Encode a close frame (section 5.5.1).

    :param code: the close code; ``None``: neither code nor reason.
    :param reason: cut at the end of a character if it is too long for a control frame.
    :return: the frame.
    """
    if code is None:
        return encode_frame(Opcode.CLOSE, b"")
    text = reason.encode(errors="replace")[: MAX_CONTROL_SIZE - 2].decode(errors="ignore")
    return encode_frame(Opcode.CLOSE, code.to_bytes(2) + text.encode())
