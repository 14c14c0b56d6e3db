"""The bodies of HTTP requests: where each ends, and its content (RFC 9112 sections 6 and 7).

Bytes in, values out: neither class keeps the content, nor limits its size.
"""

import re

from socketio_server.exceptions import SocketIOError
from socketio_server.protocol.http1.requests import FIELD, Head

_MAX_CHUNK_LINE = 1024
_MAX_TRAILERS = 8192
_FREE_CHUNKS = 64  # beyond them, each must have so many bytes on average:
_MIN_CHUNK = 256
# RFC 9112 section 7.1; chunk extensions, behind a semicolon, are ignored.
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")


class BadBody(SocketIOError, ValueError):
    """Raised when a request's body can't be accepted.

    :param status: the HTTP status to answer with.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class SizedBody:
    """The body of a request that says its length.

    :param length: bytes.
    """

    __slots__ = ("_missing",)

    def __init__(self, length: int) -> None:
        self._missing = length

    @property
    def is_complete(self) -> bool:
        """Whether all of it has come."""
        return not self._missing

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Take the next bytes of the connection.

        :return: those of them that belong to the body, and those behind it.
        """
        part = data[: self._missing]
        self._missing -= len(part)
        return part, data[len(part) :]


class ChunkedBody:
    """The body of a request that comes in chunks (RFC 9112 section 7.1).

    Of small ones it takes few, because each costs work, however few bytes it has.
    """

    __slots__ = ("_buffer", "_credit", "_missing", "_trailers", "is_complete")

    def __init__(self) -> None:
        self._buffer = b""  # the beginning of a line
        self._missing: int | None = None  # bytes of a chunk and its line end; None: a line is next
        self._credit = _FREE_CHUNKS * _MIN_CHUNK  # bytes that the next chunks may lack
        self._trailers: int | None = None  # bytes of trailers so far; None before the last chunk
        self.is_complete = False
        """Whether all of it has come."""

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Take the next bytes of the connection.

        :return: those of them that belong to the body, and those behind it.
        :raises BadBody: if a chunk is malformed.
        """
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        parts: list[bytes] = []
        at = 0  # an index, because slicing would copy the rest for each of very many chunks
        while at < len(data) and not self.is_complete:
            if self._missing is not None:
                taken = data[at : at + self._missing]
                parts.append(self._take_chunk(self._missing, taken))
                at += len(taken)
            else:
                end = data.find(b"\n", at, at + _MAX_CHUNK_LINE + 1) + 1
                if end:
                    self._take_line(data[at:end])
                    at = end
                elif len(data) - at > _MAX_CHUNK_LINE:
                    raise BadBody("head of a chunk is too long")
                else:
                    self._buffer = data[at:]
                    break
        return b"".join(parts), data[at:] if self.is_complete else b""

    def _take_chunk(self, missing: int, taken: bytes) -> bytes:
        """Take bytes of a chunk and its line end; return the chunk's bytes only.

        :param missing: bytes of both that were missing before.
        """
        missing -= len(taken)
        end = b"\r\n"[max(0, 2 - missing - len(taken)) : 2 - missing] if missing < 2 else b""
        if not taken.endswith(end):
            raise BadBody("chunk is longer than its size says")
        self._missing = missing or None
        return taken[: len(taken) - len(end)]

    def _take_line(self, line: bytes) -> None:
        """Take a line: a chunk's size, or a trailer."""
        if self._trailers is not None:
            self._trailers += len(line)
            if self._trailers > _MAX_TRAILERS:
                raise BadBody("trailers are too long")
            self.is_complete = line == b"\r\n"
            if not self.is_complete and FIELD.fullmatch(line.decode("latin-1")) is None:
                raise BadBody("trailer is malformed")
            return
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise BadBody("size of a chunk is malformed")
        size = int(match[1], 16)
        if size:
            self._missing = size + 2
            self._credit += size - _MIN_CHUNK
            if self._credit < 0:
                raise BadBody("chunks are too small")
        else:
            self._trailers = 0


Body = SizedBody | ChunkedBody


def body_of(head: Head) -> Body:
    """Return the body that follows a head, none of which has come yet."""
    return ChunkedBody() if head.headers.is_chunked else SizedBody(head.headers.content_length)


def encode_chunk(data: bytes) -> bytes:
    """Encode a chunk of a chunked answer; ``data`` must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)
