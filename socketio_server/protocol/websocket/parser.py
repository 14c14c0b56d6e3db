"""The server's side of RFC 6455 after the handshake: bytes in, messages and control frames out.

The caller feeds the parser with received bytes and asks it for the next event. The parser never
blocks, and checks a frame's header before it keeps any of the frame. The caller does the handshake,
and answers a ping by a pong, a close or a ``ProtocolError`` by a close. The only extension is
permessage-deflate (RFC 7692, ``permessage_deflate`` beside this module), if it was negotiated; any
other reserved bit is an error.

This is the server's hot path: one received chunk is nearly always one short text frame.
"""

import codecs
import sys

from socketio_server.exceptions import DecodeError, ProtocolError
from socketio_server.protocol.websocket.frames import (
    FIN,
    MAX_CONTROL_SIZE,
    RSV1,
    Close,
    CloseCode,
    Opcode,
    Ping,
    Pong,
)
from socketio_server.protocol.websocket.masking import (
    UNMASK_PIECE,
    piece_key,
    read_short_text,
    unmask,
    unmask_pieces,
)
from socketio_server.protocol.websocket.permessage_deflate import READ_COST, Inflater

CONTROL = 0x08
"""The bit that control frames' opcodes share."""

_RESERVED_BITS = 0x70
_MASKED = 0x80
_TEXT_FRAME = FIN | Opcode.TEXT

# Every first byte that a frame may have; control frames are never fragmented (section 5.5).
_FIRST_BYTES = frozenset(
    [fin | opcode for fin in (0, FIN) for opcode in (0x0, 0x1, 0x2)]
    + [FIN | opcode for opcode in (0x8, 0x9, 0xA)]
)

_COMPRESSED_FIRST_BYTES = frozenset(
    [fin | RSV1 | opcode for fin in (0, FIN) for opcode in (Opcode.TEXT, Opcode.BINARY)]
)

# The codes that a close frame may carry, sections 7.4.1 and 7.4.2 and the IANA registry: 1004 to
# 1006 and 1015 are reserved.
_CLOSE_CODES = (range(1000, 1004), range(1007, 1015), range(3000, 5000))

_BAD_UTF8 = "invalid UTF-8"
_UTF8_DECODER = codecs.getincrementaldecoder("utf-8")

_FEW_FRAGMENTS = 64
"""Frames that any message may have, because senders flush small pieces."""

_FRAGMENT_SHARE = 16
"""One in so many of the frames that a message may have needs no bytes to explain it, if that is
more."""

_FRAGMENT_SIZE = 256
"""Bytes of a message that explain one more frame."""

_LARGE = 65_536
"""Bytes from which on a frame is taken in pieces: more than one read brings."""

_MORE = 0x3
"""The opcode of later pieces of a large frame: a reserved one, so that no client's frame has it."""


class _FragmentedMessage:
    """A message that arrives in several frames, in pieces of a large frame, or compressed."""

    __slots__ = ("decoder", "frames", "inflated", "inflater", "is_final", "parts", "size")

    def __init__(self, *, is_text: bool, is_compressed: bool) -> None:
        # Each piece is inflated and decoded at once, so that a bad or too big one is refused early.
        self.inflater = Inflater() if is_compressed else None
        self.decoder = _UTF8_DECODER() if is_text else None  # None for a binary message
        # Bytes of a text message, too: a single emoji makes every character of a str take four.
        self.parts: list[bytes] = []
        self.frames = 0
        self.is_final = False  # whether the last frame, or its last piece, was taken
        self.size = 0  # bytes of all frames so far, before inflating
        self.inflated = 0  # bytes after inflating, if the message is compressed

    @property
    def held(self) -> int:
        """The bytes of memory that the message takes so far."""
        return self.size if self.inflater is None else self.inflated + self.inflater.held


class _LargeFrame:
    """A data frame that is unmasked while it arrives.

    Unmasking takes longer than anything else here, and other clients would wait while a whole large
    frame is unmasked. Its pieces are handled as if the client had sent fragments.
    """

    __slots__ = ("fin", "key", "mask", "size")

    def __init__(self, fin: int, mask: bytes | bytearray, size: int) -> None:
        self.fin = fin  # the FIN bit of the last piece
        self.mask = mask
        self.key = piece_key(mask)
        self.size = size  # bytes still missing


class Parser:
    """Turns a client's bytes into messages and control frames (RFC 6455 section 5).

    After :meth:`receive_data`, call :meth:`next_event` until it returns ``None``, at once or over
    time: the rest waits in the buffer. An idle parser holds no buffer.

    :param max_message_size: bytes that one message may have, in one frame or in several, both
        before and after inflating.
    :param max_fragments: frames that one message may have, at most; one of few bytes may have
        fewer, because the other clients wait while its frames are taken.
    :param inflates: whether messages may be compressed, because the handshake agreed on it.
    """

    __slots__ = (
        "_buffer",
        "_ended",
        "_failure",
        "_inflates",
        "_large_frame",
        "_max_fragments",
        "_max_message_size",
        "_message",
        "_position",
        "lacks_room",
        "room",
    )

    def __init__(
        self, *, max_message_size: int, max_fragments: int = 1024, inflates: bool = False
    ) -> None:
        self._max_message_size = max_message_size
        self._max_fragments = max_fragments
        self._inflates = inflates
        self._buffer: bytes | bytearray = b""  # a bytearray while a frame arrives in pieces
        self._position = 0  # where the unread part of the buffer begins
        self._message: _FragmentedMessage | None = None  # None between messages
        self._large_frame: _LargeFrame | None = None  # within a message only
        self._failure: tuple[CloseCode, str] | None = None  # the peer's fault
        self._ended = False  # after a close frame or a failure: further bytes are discarded
        self.room = sys.maxsize
        """Bytes that may be inflated until the caller makes more room. To read compressed ones
        takes time, too: each needs as much room as ``READ_COST`` inflated ones, if that is more."""
        self.lacks_room = False
        """Whether a message waits for ``room``: until then ``next_event`` returns ``None``."""

    def take_text(self, data: bytes) -> str | None:
        """Return the message, if the received bytes are exactly one short text frame.

        The fast path for nearly every read. After ``None`` nothing has changed: call
        :meth:`receive_data` and :meth:`next_event`.

        :param data: the received bytes.
        :return: the message; ``None`` if the bytes need the full parser.
        """
        size = len(data) - 6
        if (
            0 <= size <= 125
            and data[0] == _TEXT_FRAME
            and data[1] == _MASKED | size
            and size <= self._max_message_size
            and not self._buffer
            and self._message is None
            and not self._ended
        ):
            return read_short_text(data, 0, size)
        return None

    def receive_data(self, data: bytes) -> None:
        """Take received bytes; discard them after a close frame or an error.

        :param data: the bytes, not empty.
        """
        if self._ended:
            return
        if not self._buffer:
            self._buffer = data
            return
        if type(self._buffer) is bytes:
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    @property
    def is_empty(self) -> bool:
        """Whether all received bytes were returned as events, and none was wrong: nothing is left,
        nor is a message in fragments under way.
        """
        return not self._buffer and self._message is None and self._failure is None

    @property
    def unfinished(self) -> int:
        """The bytes of memory that received frames take which were not returned as events."""
        size = len(self._buffer) - self._position
        return size if self._message is None else size + self._message.held

    def next_event(self) -> str | bytes | Ping | Pong | Close | None:
        """Return the next message or control frame, if it is complete.

        :return: a text message as ``str``, a binary one as ``bytes``, a control frame, or ``None``
            if more bytes are needed, or after a close.
        :raises ProtocolError: if the peer broke the protocol or a limit, after all events before it
            have been returned; again at every later call.
        """
        if self.lacks_room:
            message = self._inflate_rest()
            if message is not None or self.lacks_room:
                return message
        buffer, start = self._buffer, self._position
        if not buffer:
            if self._failure is not None:
                raise ProtocolError(*self._failure)
            return None
        if (
            buffer[start] == _TEXT_FRAME
            and len(buffer) - start > 6
            and _MASKED <= buffer[start + 1] <= _MASKED | 125
            and self._message is None
            and (text := self._take_short_text(buffer, start)) is not None
        ):
            return text
        while (frame := self._next_frame()) is not None:
            first, data = frame
            if first == _TEXT_FRAME:
                return self._decode_text(data)
            if first & CONTROL:
                return self._take_control(first, data)
            message = self._take_data(first, data)
            if message is not None:
                return message
            if self.lacks_room:
                return None
        if self._position:  # drop the bytes that were read
            self._buffer = self._buffer[self._position :]
            self._position = 0
        return None

    def _take_short_text(self, buffer: bytes | bytearray, start: int) -> str | None:
        """Return a text message in one short frame, if the frame is complete and valid.

        The fast path for several short frames in one read.
        """
        size = buffer[start + 1] & 0x7F
        end = start + 6 + size
        if end > len(buffer) or size > self._max_message_size:
            return None
        text = read_short_text(buffer, start, size)
        if text is None:
            return None  # invalid UTF-8: the full parser refuses it
        if end == len(buffer):
            self._buffer = b""
            end = 0
        self._position = end
        return text

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Return the next frame's first byte and its data, if it is complete (section 5.2).

        A large frame is returned in pieces, with first bytes as if it had been fragmented.
        """
        if self._large_frame is not None:
            return self._next_piece(self._large_frame)
        buffer = self._buffer
        start = self._position
        if len(buffer) - start < 2:
            return None
        first, second = buffer[start], buffer[start + 1]
        limit = self._max_message_size
        if first != _TEXT_FRAME or second < _MASKED or self._message is not None:
            limit = self._check_start(first, second)
        head = start + 6  # the mask's end
        length = second & 0x7F
        if length > 125:
            extended = 2 if length == 126 else 8
            head += extended
            if len(buffer) < head:
                return None
            length = self._check_length(buffer[start + 2 : start + 2 + extended])
        if length > limit:
            raise self._fail_too_big()
        end = head + length
        if len(buffer) < end:
            if length < _LARGE or len(buffer) - head < UNMASK_PIECE:
                return None
            self._position = head
            self._large_frame = _LargeFrame(first & FIN, buffer[head - 4 : head], length)
            piece = self._next_piece(self._large_frame)
            assert piece is not None  # the buffer holds enough for one
            return first & ~FIN, piece[1]
        data = unmask(buffer[head:end], buffer[head - 4 : head])
        if end == len(buffer):
            self._buffer = b""
            end = 0
        self._position = end
        return first, data

    def _next_piece(self, frame: _LargeFrame) -> tuple[int, bytes] | None:
        """Return the next piece of a large frame, with the first byte of a continuation."""
        buffer, start = self._buffer, self._position
        first, end = _MORE, start + frame.size
        if end <= len(buffer):
            first |= frame.fin
            self._large_frame = None
        else:
            end = len(buffer) - (len(buffer) - start) % UNMASK_PIECE
            if end == start:
                return None
        frame.size -= end - start
        data = unmask_pieces(buffer[start:end], frame.mask, frame.key)
        if end == len(buffer):
            self._buffer = b""
            end = 0
        self._position = end
        return first, data

    def _check_start(self, first: int, second: int) -> int:
        """Check a frame's first two bytes; return how many bytes of data it may have."""
        self._check_first_bytes(first, second)
        if first & CONTROL:  # section 5.5; may come between the frames of a message (5.4)
            if second & 0x7F > MAX_CONTROL_SIZE:
                raise self._fail(CloseCode.PROTOCOL_ERROR, "control frame is too long")
            return MAX_CONTROL_SIZE
        message = self._message
        is_continuation = first & 0x0F == Opcode.CONTINUATION
        if is_continuation != (message is not None):  # section 5.4
            raise self._fail(
                CloseCode.PROTOCOL_ERROR,
                "continuation frame outside a message"
                if is_continuation
                else "new message before the last one ended",
            )
        if message is None:
            return self._max_message_size
        few = max(_FEW_FRAGMENTS, self._max_fragments // _FRAGMENT_SHARE)
        size = max(message.size, message.inflated)
        most = min(self._max_fragments, few + size // _FRAGMENT_SIZE)
        if message.frames >= most:
            raise self._fail(
                CloseCode.MESSAGE_TOO_BIG,
                f"too many fragments, at most {most} are allowed (SOCKETIO_MAX_FRAGMENTS)",
            )
        return self._max_message_size - message.size

    def _check_first_bytes(self, first: int, second: int) -> None:
        """Check a frame's first two bytes as far as its kind and size don't matter."""
        if first not in _FIRST_BYTES and not (self._inflates and first in _COMPRESSED_FIRST_BYTES):
            raise self._fail(CloseCode.PROTOCOL_ERROR, _explain_first_byte(first))
        if second < _MASKED:  # section 5.1
            raise self._fail(CloseCode.PROTOCOL_ERROR, "frame is not masked")

    def _check_length(self, extended: bytes | bytearray) -> int:
        """Return an extended payload length (section 5.2), if it is valid."""
        length = int.from_bytes(extended)
        if length <= (125 if len(extended) == 2 else 0xFFFF):
            raise self._fail(CloseCode.PROTOCOL_ERROR, "frame length is not in its shortest form")
        if length >> 63:
            raise self._fail(CloseCode.PROTOCOL_ERROR, "frame length has its first bit set")
        return length

    def _take_data(self, first: int, data: bytes) -> str | bytes | None:
        """Take a data frame or a piece of one; return the message if that completes it (5.4)."""
        is_final = first & FIN != 0
        message = self._message
        if message is None:
            if is_final and not first & RSV1:
                return data  # binary: next_event returns whole text messages itself
            message = self._message = _FragmentedMessage(
                is_text=first & 0x0F == Opcode.TEXT, is_compressed=first & RSV1 != 0
            )
        if first & 0x0F != _MORE:
            message.frames += 1
        message.size += len(data)
        message.is_final = is_final
        if message.inflater is not None:
            message.inflater.receive(data, is_last=is_final)
            return self._inflate_next(message, message.inflater)
        return self._append(message, data, is_final=is_final)

    def _append(
        self, message: _FragmentedMessage, data: bytes, *, is_final: bool
    ) -> str | bytes | None:
        """Add data to a message; return the message if that completes it."""
        if message.decoder is not None:
            try:
                message.decoder.decode(data, is_final)
            except UnicodeDecodeError as exc:
                raise self._fail(CloseCode.INVALID_DATA, _BAD_UTF8) from exc
        message.parts.append(data)
        if not is_final:
            return None
        self._message = None
        whole = b"".join(message.parts)
        message.parts.clear()  # before it is decoded
        return whole if message.decoder is None else whole.decode()

    def _inflate_next(self, message: _FragmentedMessage, inflater: Inflater) -> str | bytes | None:
        """Inflate a frame's data as far as there is room, if the result is not too big (RFC 7692
        section 7.2.2); return the message if that completes it.
        """
        self.lacks_room = self.room <= 0
        if self.lacks_room:
            return None
        allowed = self._max_message_size - message.inflated
        unread = inflater.unread
        try:
            data = inflater.inflate(min(allowed + 1, self.room), self.room // READ_COST + 1)
        except DecodeError as exc:
            raise self._fail(CloseCode.INVALID_DATA, str(exc)) from exc
        if len(data) > allowed:
            raise self._fail_too_big()
        message.inflated += len(data)
        self.room -= max(len(data), READ_COST * (unread - inflater.unread))
        self.lacks_room = not inflater.is_done
        return self._append(message, data, is_final=message.is_final and not self.lacks_room)

    def _inflate_rest(self) -> str | bytes | None:
        """Go on with the message that lacks room; return it if that completes it."""
        message = self._message
        assert message is not None
        assert message.inflater is not None  # no other message lacks room
        return self._inflate_next(message, message.inflater)

    def _take_control(self, first: int, data: bytes) -> Ping | Pong | Close:
        """Return a control frame as an event (section 5.5)."""
        opcode = first & 0x0F
        if opcode == Opcode.PING:
            return Ping(data)
        if opcode == Opcode.PONG:
            return Pong(data)
        return self._take_close(data)

    def _take_close(self, data: bytes) -> Close:
        """Return a close frame's code and reason (5.5.1), and discard all bytes after it."""
        if not data:
            self.end()
            return Close(None, "")
        if len(data) == 1:
            raise self._fail(CloseCode.PROTOCOL_ERROR, "close frame with half a close code")
        code = int.from_bytes(data[:2])
        if not any(code in codes for codes in _CLOSE_CODES):
            raise self._fail(CloseCode.PROTOCOL_ERROR, "close frame with an invalid close code")
        reason = self._decode_text(data[2:])
        self.end()
        return Close(code, reason)

    def _decode_text(self, data: bytes) -> str:
        """Decode complete text (section 8.1)."""
        try:
            return data.decode()
        except UnicodeDecodeError as exc:
            raise self._fail(CloseCode.INVALID_DATA, _BAD_UTF8) from exc

    def _fail_too_big(self) -> ProtocolError:
        """Note that a message is too big; return the error to raise for it."""
        return self._fail(
            CloseCode.MESSAGE_TOO_BIG,
            f"message is too big, at most {self._max_message_size} bytes are allowed "
            "(SOCKETIO_MAX_PAYLOAD)",
        )

    def _fail(self, code: CloseCode, reason: str) -> ProtocolError:
        """Note that the peer broke the protocol; return the error to raise for it."""
        self.end()
        self._failure = code, reason
        return ProtocolError(code, reason)

    def end(self) -> None:
        """Drop the buffered bytes, and discard all further ones."""
        self._ended = True
        self._buffer = b""
        self._position = 0
        self._message = None
        self._large_frame = None


def _explain_first_byte(first: int) -> str:
    """Return why no frame may have this first byte."""
    if first & _RESERVED_BITS:
        return "reserved bits are set"
    if first & 0x0F in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
        return "fragmented control frame"
    return "unknown opcode"
