"""Request bodies as they arrive: collected for a session, or streamed to the WSGI application.

``protocol.http1.bodies`` finds the end of a body. Both classes take the connection's bytes in loop
callbacks, which must not block; a worker's greenlet reads a streamed body, and may wait.
"""

import errno
import io
from typing import Any, Protocol

from gevent.event import Event

from socketio_server.net.deadlines import Deadlines
from socketio_server.protocol.http1.bodies import BadBody, SizedBody, body_of
from socketio_server.protocol.http1.requests import Head
from socketio_server.protocol.http1.responses import CONTINUE

BODY_HIGH_WATER = 65_536
"""The high-water mark: when more bytes wait for their reader, reading from the peer pauses."""


class CollectedBody:
    """The body of a session's request, collected until it is complete.

    :param max_size: bytes that it may have.
    :raises BadBody: with status 413, if the request's head announces more.
    """

    __slots__ = ("_body", "_data", "_max_size", "size")

    def __init__(self, head: Head, max_size: int) -> None:
        if head.headers.content_length > max_size:
            raise BadBody("request body is too large", status=413)
        self._body = body_of(head)
        self._max_size = max_size
        # A bytearray if it arrives in several parts; None once it was dropped.
        self._data: bytes | bytearray | None = b""
        self.size = 0
        """Bytes that have arrived."""

    def receive(self, data: bytes) -> bytes | None:
        """Take the next bytes of the connection.

        :return: those behind the body, or ``None`` if it is not complete.
        :raises BadBody: if the body is malformed; with status 413, if it is too large.
        """
        body = self._body
        part, behind = body.receive(data)
        self.size += len(part)
        if self.size > self._max_size:
            raise BadBody("request body is too large", status=413)
        if self._data == b"":
            self._data = part
        elif self._data is not None:
            if type(self._data) is bytes:
                self._data = bytearray(self._data)
            self._data += part
        return behind if body.is_complete else None

    def drop(self) -> None:
        """Keep nothing of the body, and look for its end only."""
        self._data = None

    def join(self) -> bytes:
        """Return the body; nothing, if it was dropped."""
        return bytes(self._data or b"")


class BodySource(Protocol):
    """The exchange, as its streamed body sees it."""

    def pause_reading(self) -> None:
        """Pause reading from the peer."""

    def resume_reading(self) -> None:
        """Resume reading from the peer."""

    def sendall(self, data: bytes) -> None:
        """Send to the peer; called in the reader's greenlet."""

    def report_slow(self, why: str) -> None:
        """Count and log that the client took too long."""


class _NoSource:
    """The source of a body whose exchange is over."""

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def sendall(self, data: bytes) -> None:
        """Do nothing."""

    def report_slow(self, why: str) -> None:
        """Do nothing."""


_NO_SOURCE = _NoSource()


class StreamedBody(io.RawIOBase):
    """The body of a request to the WSGI application, read while it arrives.

    :param head: tells the length of the body.
    :param source: the exchange, which is paused when too many bytes wait for their reader.
    :param deadlines: limits how long a reader waits for the next bytes; calls ``time_out``.
    """

    def __init__(
        self, head: Head, source: BodySource, deadlines: "Deadlines[StreamedBody]"
    ) -> None:
        super().__init__()
        self._body = SizedBody(head.headers.content_length)
        self._source: BodySource = source
        self._deadlines = deadlines
        self._greeting = CONTINUE if head.expects_continue else b""  # sent before the first wait
        self._unread = bytearray()
        self._error: OSError | None = None  # why the rest of the body will not arrive
        self._changed = Event()  # set when bytes arrive, or the body ends

    def receive(self, data: bytes) -> bytes | None:
        """Take the next bytes of the connection.

        :return: those behind the body, or ``None`` if it is not complete.
        """
        if self._error is not None:
            return None  # the end of the body can't be found any more
        part, behind = self._body.receive(data)
        self._unread += part
        if self._body.is_complete:
            self._changed.set()
            return behind
        if part:  # empty if only the head has arrived
            self._changed.set()
        if len(self._unread) > BODY_HIGH_WATER:
            self._source.pause_reading()
        return None

    def break_off(self, error: OSError) -> None:
        """Give up the rest of the body; do nothing if the body is complete.

        :param error: raised in the reader, behind the bytes that have arrived.
        """
        if not self._is_over:
            self._error = error
            self._source.pause_reading()
            self._changed.set()

    def end(self) -> None:
        """Let go of the exchange, because it is over: a request may be kept for longer, and its
        body with it.
        """
        self._source = _NO_SOURCE
        self.break_off(OSError(errno.EBADF, "the request is over"))

    def callback_raised(self) -> None:
        """Give up the body (``CallbackOwner``)."""
        self.break_off(OSError(errno.EIO, "internal error"))

    def time_out(self) -> None:
        """Give up the body, because the client sends nothing while the reader waits."""
        if self._changed.is_set():  # it has, but the reader could not go on yet
            return
        self._source.report_slow("request body did not arrive in time (SOCKETIO_BODY_TIMEOUT)")
        self.break_off(TimeoutError(errno.ETIMEDOUT, "the request body did not arrive in time"))

    def readable(self) -> bool:
        """Return ``True`` (``RawIOBase``)."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read bytes that have arrived, or wait for some (``RawIOBase``).

        :return: how many were read; 0 at the end.
        :raises OSError: if the client disconnected, or was too slow.
        """
        if not self._unread and not self._is_over:
            self._wait()
        size = min(len(buffer), len(self._unread))
        buffer[:size] = self._unread[:size]
        del self._unread[:size]
        if not size and self._error is not None:
            # A new one each time, because a stored exception keeps frames, and they this object.
            raise type(self._error)(*self._error.args)
        if not self._unread and not self._is_over:
            self._source.resume_reading()
        return size

    @property
    def _is_over(self) -> bool:
        """Whether no more bytes will arrive."""
        return self._error is not None or self._body.is_complete

    def _wait(self) -> None:
        """Wait in the reader's greenlet until bytes arrive, or the body ends."""
        self._changed.clear()
        greeting, self._greeting = self._greeting, b""
        if greeting:
            self._source.sendall(greeting)
        self._deadlines.add(self)
        try:
            self._changed.wait()
        finally:
            self._deadlines.discard(self)
