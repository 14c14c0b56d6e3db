"""What a client sends after our close frame, up to its own (RFC 6455 sections 1.4 and 7.1.1).

Nobody reads its messages any more (section 5.5.1). They are thrown away while they arrive, because
no client is charged for them any more.
"""

from socketio_server.exceptions import ProtocolError
from socketio_server.protocol.websocket.frames import Close, Ping, Pong
from socketio_server.protocol.websocket.parser import CONTROL, Parser

_EXTENDED = {126: 2, 127: 8}  # bytes of the extended payload length (section 5.2)


class ClosingParser(Parser):
    """Returns control frames, and for each data frame an empty message, when its head has arrived.

    The empty messages are for callers that limit the frames of one turn. Whether the frames of a
    message belong together is not checked.

    :param parser: the parser up to here, whose bytes it takes over.
    """

    __slots__ = ("_missing",)

    def __init__(self, parser: Parser) -> None:
        super().__init__(max_message_size=parser._max_message_size, inflates=parser._inflates)
        self._buffer = parser._buffer
        self._position = parser._position
        self._ended = parser._ended
        self._failure = parser._failure
        frame = parser._large_frame
        self._missing = 0 if frame is None else frame.size  # bytes of a data frame, yet to come

    def take_text(self, data: bytes) -> None:
        """Return ``None``: messages are not read (``Parser``)."""

    def next_event(self) -> str | Ping | Pong | Close | None:
        """Return the next control frame, or an empty message (``Parser``)."""
        self._throw_away()
        buffer = self._buffer
        if not buffer:
            if self._failure is not None:
                raise ProtocolError(*self._failure)
            return None
        if buffer[self._position] & CONTROL:
            frame = self._next_frame()
            if frame is not None:
                return self._take_control(*frame)
        elif self._begin_frame():
            self._throw_away()
            return ""
        self._buffer = buffer[self._position :]
        self._position = 0
        return None

    def _begin_frame(self) -> bool:
        """Read the head of a data frame; return ``False`` if it is not complete."""
        buffer, start = self._buffer, self._position
        if len(buffer) - start < 2:
            return False
        first, second = buffer[start], buffer[start + 1]
        self._check_first_bytes(first, second)
        size = second & 0x7F
        extended = _EXTENDED.get(size, 0)
        end = start + 6 + extended
        if len(buffer) < end:
            return False
        if extended:
            size = self._check_length(buffer[start + 2 : start + 2 + extended])
        if size > self._max_message_size:
            raise self._fail_too_big()
        self._missing = size
        self._move_to(end)
        return True

    def _throw_away(self) -> None:
        """Drop the data of the current frame that has arrived."""
        size = min(self._missing, len(self._buffer) - self._position)
        self._missing -= size
        self._move_to(self._position + size)

    def _move_to(self, position: int) -> None:
        """Go on from a place in the buffer."""
        if position == len(self._buffer):
            self._buffer = b""
            position = 0
        self._position = position
