"""A TCP connection on the event loop: reads as bytes come, writes without ever waiting.

One ``Connection`` owns one non-blocking socket. It knows nothing of what the bytes mean; whoever
was given at ``start`` (a ``ConnectionHandler``) gets them. All methods run on the loop's own
thread; none of them switches greenlets, so they may be called from loop callbacks and from
handlers alike.

The write path is the fast path of a broadcast: one attempt to ``send`` on the spot, and only what
the kernel does not take is kept. gevent's own ``sendall`` would ask ``getsockopt`` before each
send and wait for slow peers. Calls upward never come out of ``write``: a failure is reported by a
later loop callback, so a broadcast never sees its recipients change under it.
"""

import _socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol

from socketio_server.options import Options

READ_SIZE = 65_536
"""Bytes asked for in one ``recv``: a read of 64 kB costs no more than one of 4 kB."""

_READ, _WRITE = 1, 2  # libev's event masks, which gevent's loops take


class Watcher(Protocol):
    """What the loop gives for a descriptor or a timer."""

    def start(self, callback: Any, *args: Any) -> None:
        """Call back from now on."""

    def stop(self) -> None:
        """Call back no more, until it is started again."""

    def close(self) -> None:
        """Free it for good."""


class Loop(Protocol):
    """The part of a gevent loop that the server uses; tests pass their own."""

    def io(self, fd: int, events: int) -> Watcher:
        """Return a watcher of a descriptor: 1 for reading, 2 for writing, 3 for both."""

    def timer(self, after: float, repeat: float = 0.0) -> Watcher:
        """Return a timer."""

    def run_callback(self, func: Any, *args: Any) -> Any:
        """Call a function before the loop waits again."""


class LostBecause(Enum):
    """Why a connection is gone."""

    CLOSED = "closed by us"
    EOF = "closed by the peer"
    ERROR = "socket error"
    OVERFLOW = "more bytes queued than allowed"
    STALLED = "no progress while bytes were queued"


SLOW = (LostBecause.OVERFLOW, LostBecause.STALLED)
"""Why we close on a peer that takes too little."""


class ConnectionHandler(Protocol):
    """Who gets a connection's bytes. Called in loop callbacks: must never block."""

    def data_received(self, data: bytes) -> None:
        """Take the next bytes, never empty."""

    def drained(self) -> None:
        """The peer has taken what ``tell_when_drained`` was called for."""

    def eof_received(self) -> bool:
        """The peer sends no more; return whether there is yet something to be sent to it.

        Otherwise the connection is lost.
        """

    def connection_lost(self, because: LostBecause) -> None:
        """The connection is gone; called exactly once, and nothing after it."""


class Connection:
    """A non-blocking socket with its read watcher and write buffer.

    :param sock: a connected stream socket, which the connection owns from here on.
    :param loop: the gevent loop that it lives on.
    :param on_closed: called once when the socket is closed; must not block.
    """

    __slots__ = (
        "_buffer",
        "_closed_because",
        "_closing",
        "_corked",
        "_handler",
        "_hanging_up",
        "_limit",
        "_loop",
        "_on_closed",
        "_paused",
        "_reader",
        "_sock",
        "_stall_timeout",
        "_stall_timer",
        "_tells_at",
        "_writer",
        "queued",
    )

    def __init__(
        self,
        sock: _socket.socket,
        loop: Loop,
        options: Options,
        on_closed: Callable[[], None] | None = None,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._handler: ConnectionHandler | None = None
        self._reader: Watcher | None = None
        self._on_closed = on_closed
        self._paused = False  # the handler wants no more bytes for now
        self._limit = options.max_queued_bytes
        self._stall_timeout = options.stall_timeout
        # None: nothing waits, write() may send at once. Otherwise what waits, in order.
        self._buffer: deque[bytes | memoryview] | None = None
        self.queued = 0
        """Bytes that the kernel has not taken yet."""
        self._corked = False
        self._tells_at: int | None = None  # the handler is told when so many bytes are queued
        self._writer: Watcher | None = None  # while the kernel's buffer is full
        self._stall_timer: Watcher | None = None
        self._closing = False  # close() or hang_up() was called: acted on once the buffer is empty
        self._hanging_up = False  # it was hang_up()
        self._closed_because: LostBecause | None = None  # None while the socket is open

    @property
    def congested(self) -> bool:
        """Whether the kernel takes no more for now."""
        return self._writer is not None

    @property
    def closed(self) -> bool:
        """Whether the socket is closed, or about to be once its buffer is empty."""
        return self._closed_because is not None or self._closing

    def start(self, handler: ConnectionHandler, data: bytes = b"") -> None:
        """Begin to read, or let another handler go on.

        :param handler: gets the bytes, and the end.
        :param data: bytes that somebody has read from the socket already; they come first.
        """
        if self._closed_because is not None:
            self._loop.run_callback(handler.connection_lost, self._closed_because)
            return
        self._handler = handler
        if self._reader is None:
            self._reader = self._loop.io(self._sock.fileno(), _READ)
        self.resume_reading()
        if data:
            self._loop.run_callback(self._on_early_data, data)

    def pause_reading(self) -> None:
        """Stop reading, so that the peer's bytes wait in the kernel. Idempotent."""
        self._paused = True
        if self._reader is not None and not self._hanging_up:
            self._reader.stop()

    def resume_reading(self) -> None:
        """Read again. Idempotent."""
        self._paused = False
        self._read_if_wanted()

    def write(self, data: bytes | memoryview) -> None:
        """Send ``data``, or queue what the kernel does not take now; after a close, do nothing.

        Never waits and never raises. More than ``max_queued_bytes`` waiting, or
        ``stall_timeout`` without progress, closes the connection.
        """
        if self._buffer is not None:
            self._enqueue(data)
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._fail(LostBecause.ERROR)
            return
        if sent != len(data):
            self._buffer = deque()
            self._enqueue(memoryview(data)[sent:])
            if self._closed_because is None:
                self._wait_for_room()

    def cork(self) -> None:
        """Hold writes back until ``uncork``, which sends them together.

        The answers to several messages that came in one read go out as one because a second
        ``send`` right after the first costs a good part of it.
        """
        if self._buffer is None:
            self._corked = True
            self._buffer = deque()

    def uncork(self) -> None:
        """Send what ``cork`` held back."""
        if self._corked:
            self._corked = False
            if self._writer is None and self._closed_because is None:
                self._flush()

    def tell_when_drained(self, mark: int = 0) -> bool:
        """Have the handler told when no more than ``mark`` bytes are queued.

        :return: ``False`` if that is so already.
        """
        if self._writer is None or self.queued <= mark:
            return False
        self._tells_at = mark
        return True

    def has_ended(self) -> bool:
        """Return whether the peer has closed or broken the connection; looks without waiting."""
        if self._closed_because is not None:
            return True
        try:
            return not self._sock.recv(1, _socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close once all that is queued was sent. Reads no more. Idempotent."""
        if self.closed:
            return
        self._closing = True
        self.pause_reading()
        if self._buffer is None:
            self._fail(LostBecause.CLOSED)

    def hang_up(self) -> None:
        """Send all that is queued and then no more, and wait until the peer closes. Idempotent.

        For peers that may be in the midst of sending: bytes that reach a closed socket are answered
        with a reset, and that can take from the peer what it has not read yet. So they are read,
        and dropped. After calling this, ``abort`` the connection if the peer takes too long.
        """
        if self.closed:
            return
        self._closing = self._hanging_up = True
        if self._buffer is None:
            self._finish()

    def abort(self, because: LostBecause = LostBecause.CLOSED) -> None:
        """Close now, whatever is queued. Idempotent."""
        self._fail(because)

    def _enqueue(self, data: bytes | memoryview) -> None:
        if self._buffer is None or self.closed:
            return
        self._buffer.append(data)
        self.queued += len(data)
        if self.queued > self._limit:
            # While corked nothing was tried yet; what remains after uncork is judged there.
            if self._corked:
                self._corked = False
                self._flush()
            if self.queued > self._limit:
                self._fail(LostBecause.OVERFLOW)

    def _flush(self) -> None:
        """Send all that is queued; go back to direct writes when nothing is left."""
        buffer = self._buffer
        while buffer:
            data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._fail(LostBecause.ERROR)
                return
            self.queued -= sent
            buffer.clear()
            if sent != len(data):
                buffer.append(memoryview(data)[sent:])
                self._wait_for_room(progress=sent > 0)
                break
        else:
            self._stop_waiting()
            self._buffer = None
            if self._closing:
                self._finish()
                return
        if self._tells_at is not None and self.queued <= self._tells_at:
            self._tells_at = None
            if self._handler is not None:
                self._handler.drained()

    def _finish(self) -> None:
        """Close, or hang up: all that was queued is sent."""
        if not self._hanging_up:
            self._fail(LostBecause.CLOSED)
            return
        self._buffer = deque()  # writes from here on end in _enqueue, which drops them
        with suppress(OSError):  # the peer was faster
            self._sock.shutdown(_socket.SHUT_WR)
        if self._reader is not None:
            self._reader.start(self._on_readable)

    def _read_if_wanted(self) -> None:
        wanted = not (self._paused or self._closing)
        if self._reader is not None and wanted:
            self._reader.start(self._on_readable)

    def _wait_for_room(self, *, progress: bool = True) -> None:
        if self._writer is None:
            self._writer = self._loop.io(self._sock.fileno(), _WRITE)
            self._writer.start(self._flush)
        if progress or self._stall_timer is None:
            if self._stall_timer is not None:
                self._stall_timer.close()
            self._stall_timer = self._loop.timer(self._stall_timeout)
            self._stall_timer.start(self._fail, LostBecause.STALLED)

    def _stop_waiting(self) -> None:
        for watcher in (self._writer, self._stall_timer):
            if watcher is not None:
                watcher.close()
        self._writer = self._stall_timer = None

    def _on_early_data(self, data: bytes) -> None:
        if self._handler is not None and not self.closed:
            self._handler.data_received(data)

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            self._fail(LostBecause.ERROR)
            return
        if not data:
            self._end_of_file()
        elif self._handler is not None and not self._hanging_up:
            self._handler.data_received(data)

    def _end_of_file(self) -> None:
        """The peer sends no more: read no more, or it would be said again and again."""
        if self._handler is None or not self._handler.eof_received():
            self._fail(LostBecause.EOF)
        elif self._reader is not None:
            self._reader.close()
            self._reader = None

    def _fail(self, because: LostBecause) -> None:
        """Release the socket now, and tell the handler from the loop."""
        if self._closed_because is not None:
            return
        self._closed_because = because
        self._buffer = deque()  # writes from here on end in _enqueue, which drops them
        self.queued = 0
        self._stop_waiting()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._sock.close()
        if self._on_closed is not None:
            self._on_closed()
        if self._handler is not None:
            self._loop.run_callback(self._handler.connection_lost, because)
            self._handler = None
