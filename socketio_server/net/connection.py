"""A TCP connection on the event loop: reads bytes as they arrive, writes without ever waiting.

One ``Connection`` owns one non-blocking socket. It does not interpret the bytes, and passes them to
the ``ConnectionHandler`` that ``start`` got. All methods run on the loop's own thread, and may be
called from loop callbacks and from handlers alike, because none of them switches greenlets.

The write path is the fast path of a broadcast: one attempt to ``send`` on the spot. A message that
the kernel does not accept is queued without a copy, because many clients may share it. gevent's own
``sendall`` would call ``getsockopt`` before each send and wait for slow peers. ``write`` never
calls the handler: a failure is reported by a later loop callback, because a broadcast's recipients
must not change while it runs.
"""

import _socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Protocol

from socketio_server.net.loop import CallbackOwner, IOWatcher, Loop, Watcher
from socketio_server.net.queued_output import Backlog, LostBecause, QueuedOutput

READ_SIZE = 65_536
"""Bytes asked for in one ``recv``: a read of 64 kB costs no more than one of 4 kB."""

MAX_PIECES = 512
"""Messages in one ``sendmsg``: the kernel accepts no more than 1,024."""

Data = bytes | bytearray | memoryview

_NOTHING: deque[Data] = deque()
"""The queue of all connections that have ended: writes are dropped while there is one."""

SMALL = 16_384
"""Bytes of several messages that are joined to be sent: quicker than to pass each to the kernel."""

_USER_TIMEOUT: int | None = getattr(_socket, "TCP_USER_TIMEOUT", None)
_TCP_FAMILIES = frozenset({_socket.AF_INET, _socket.AF_INET6})

_READ, _WRITE = 1, 2  # libev's event masks, which gevent's loops expect


class ConnectionHandler(CallbackOwner, Protocol):
    """Gets a connection's bytes. Called in loop callbacks: must never block."""

    @property
    def is_download(self) -> bool:
        """Whether the peer may pause for long (``Holder``)."""

    def data_received(self, data: bytes) -> None:
        """Handle the next bytes; there is at least one."""

    def drained(self) -> None:
        """No more bytes are queued than the mark of ``tell_when_drained``."""

    def eof_received(self) -> bool:
        """The peer has closed its side; return whether there are yet bytes to send to it.

        Otherwise the connection is lost.
        """

    def connection_lost(self, because: LostBecause) -> None:
        """The connection is gone; called exactly once, as the last call, unless it is released."""


class Connection:
    """A non-blocking socket with its read watcher and write buffer.

    :param sock: a connected stream socket, which the connection owns from here on.
    :param loop: the gevent loop that watches it.
    :param output: the account of the messages that are queued for all clients, and their limits.
    """

    __slots__ = (
        "_backlog",
        "_buffer",
        "_closed_because",
        "_closing",
        "_corked",
        "_handler",
        "_hanging_up",
        "_loop",
        "_offset",
        "_paused",
        "_reader",
        "_sock",
        "_tells_at",
        "_writer",
        "high_water",
        "on_closed",
        "output",
        "queued",
    )

    def __init__(
        self,
        sock: _socket.socket,
        loop: Loop,
        output: QueuedOutput,
    ) -> None:
        if sock.timeout != 0.0:
            sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._handler: ConnectionHandler | None = None
        self._reader: IOWatcher | None = None
        self.on_closed: Callable[[], None] | None = None
        """Called once when the socket is closed; must not block."""
        self._paused = False  # the handler wants no more bytes for now
        self.output = output
        """The account of the messages that are queued for all clients, and their limits."""
        # The queued messages, in order; None while there are none: write() may send at once.
        self._buffer: deque[Data] | None = None
        self._offset = 0  # how many bytes of the first message were sent
        self.queued = 0
        """Bytes that the kernel has not accepted yet; after a loss, those that it never will."""
        self.high_water = output.high_water
        """Bytes that may be queued before senders wait for the peer; negative once it is closed,
        because senders that never wait would keep the loop from reporting the loss."""
        self._corked = False
        self._tells_at: int | None = None  # the mark of tell_when_drained
        self._writer: Watcher | None = None  # while the kernel's buffer is full
        self._backlog: Backlog | None = None  # while there is a writer
        self._closing = False  # close() or hang_up() was called: acted on once the buffer is empty
        self._hanging_up = False  # it was hang_up()
        self._closed_because: LostBecause | None = None  # None while the socket is open

    @property
    def congested(self) -> bool:
        """Whether the kernel accepts no more bytes for now."""
        return self._writer is not None

    @property
    def closed(self) -> bool:
        """Whether the socket is closed, or about to be once its buffer is empty."""
        return self._closed_because is not None or self._closing

    def start(
        self, handler: ConnectionHandler, data: bytes = b"", *, goes_first: bool = False
    ) -> None:
        """Begin to read, or replace the handler.

        :param handler: gets the bytes, and the end.
        :param data: bytes that were read from the socket already; the handler gets them first.
        :param goes_first: whether this connection is read before others in a turn of the loop.
        """
        if self._closed_because is not None:
            self._loop.run_callback(_report_loss, handler, self._closed_because)
            return
        self._handler = handler
        if self._reader is None:
            self._reader = self._loop.io(self._sock.fileno(), _READ)
        if goes_first:
            self._reader.stop()
            self._reader.priority = 1
        self._paused = False
        if not self._closing:
            self._loop.start(self._reader, Connection._on_readable, self)
        if data:
            self._loop.run_callback(Connection._on_early_data, self, data)

    @property
    def socket(self) -> _socket.socket:
        """The socket, for another process (``release``); closed after the end."""
        return self._sock

    def pause_reading(self) -> None:
        """Stop reading, and leave the peer's bytes in the kernel. Idempotent."""
        self._paused = True
        if self._reader is not None and not self._hanging_up:
            self._reader.stop()

    def resume_reading(self) -> None:
        """Read again. Idempotent."""
        self._paused = False
        self._read_if_wanted()

    def write(self, data: Data) -> None:
        """Send ``data``, or queue the bytes that the kernel does not accept now; after a close, do
        nothing.

        Never waits, and never raises what the socket does. Closes the connection if too many bytes
        are queued, or for too long (``QueuedOutput``).
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
            self._buffer = deque((data,))
            self._offset = sent
            self.queued = len(data) - sent
            self._wait_for_room()
            self._look_at_queue()

    def write_first(self, data: bytes) -> None:
        """Send ``data`` before the messages that wait for the peer.

        It goes behind a message that is partly sent, and behind the data of earlier calls. The same
        data is queued once.
        """
        buffer = self._buffer
        first = bytearray(data)  # its type marks it as data of this method
        if buffer is None or self._backlog is None:
            self.write(first)
        elif not self.closed:
            place = 1 if self._offset else 0
            while place < len(buffer) and type(buffer[place]) is bytearray:
                if buffer[place] == first:
                    return
                place += 1
            buffer.insert(place, first)
            self.queued += len(first)
            self._backlog.add(first)
            self._look_at_queue()

    def cork(self) -> None:
        """Hold writes back until ``uncork``, which sends them together.

        The answers to several messages of one read go out as one, because a second ``send`` right
        after the first costs nearly as much as the first.
        """
        if self._buffer is None:
            self._corked = True
            self._buffer = deque()

    def uncork(self) -> None:
        """Send the corked messages."""
        if self._corked:
            self._corked = False
            if self._writer is None and self._closed_because is None:
                self._flush()

    def tell_when_drained(self, mark: int = 0) -> bool:
        """Call the handler's ``drained`` as soon as no more than ``mark`` bytes are queued.

        :return: ``False`` if there are no more already; then ``drained`` is not called.
        """
        if self._writer is None or self.queued <= mark:
            return False
        self._tells_at = mark
        return True

    def limit_silence(self, seconds: float) -> None:
        """Have the kernel give up a peer that acknowledged no bytes for so many seconds.

        For peers that are not read from, because their silence proves nothing. Only over TCP, and
        only on platforms with ``TCP_USER_TIMEOUT``.
        """
        if _USER_TIMEOUT is not None and self._sock.family in _TCP_FAMILIES:
            with suppress(OSError):  # the peer has gone already
                self._sock.setsockopt(_socket.IPPROTO_TCP, _USER_TIMEOUT, round(seconds * 1000))

    def has_ended(self) -> bool:
        """Return whether the peer has closed or broken the connection; never waits."""
        if self._closed_because is not None:
            return True
        try:
            return not self._sock.recv(1, _socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close once all queued bytes were sent; read no more. Idempotent."""
        if self.closed:
            return
        self._closing = True
        self.high_water = -1
        self.pause_reading()
        if self._buffer is None:
            self._fail(LostBecause.CLOSED)

    def hang_up(self) -> None:
        """Send the queued bytes, half-close, and wait until the peer closes. Idempotent.

        For peers that may be in the midst of sending: bytes that reach a closed socket are answered
        with a reset, which can destroy bytes that the peer has not read yet. Therefore the peer's
        bytes are read, and dropped. After calling this, ``abort`` the connection if the peer takes
        too long.
        """
        if self.closed:
            return
        self._closing = self._hanging_up = True
        self.high_water = -1
        if self._buffer is None:
            self._finish()

    def abort(self, because: LostBecause = LostBecause.CLOSED) -> None:
        """Close now, and drop the queued bytes. Idempotent."""
        self._fail(because)

    def release(self) -> None:
        """End the connection in this process, but leave the socket open for another one.

        The handler is called no more.
        """
        self._handler = None
        self._end(LostBecause.CLOSED)

    def callback_raised(self) -> None:
        """Close now (``CallbackOwner``)."""
        self._fail(LostBecause.FAULT)

    def _enqueue(self, data: Data) -> None:
        if self._buffer is None or self._closing or self._closed_because is not None:
            return
        self._buffer.append(data)
        self.queued += len(data)
        if self._backlog is not None:
            self._backlog.add(data)
        if self.queued > self.high_water:
            self._look_at_queue()

    def _look_at_queue(self) -> None:
        """Count a crossing of the high-water mark; give up a peer with too many queued bytes."""
        output = self.output
        self.uncork()  # the kernel may accept corked bytes
        if self.queued > output.high_water:
            output.crossings += 1
            if self.queued > output.max_queued_bytes:
                self._fail(LostBecause.OVERFLOW)

    def _flush(self) -> None:
        """Send the queued messages; go back to direct writes when the queue is empty."""
        buffer = self._buffer
        while buffer:
            try:
                sent = self._send_several(buffer)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._fail(LostBecause.ERROR)
                return
            self._drop(buffer, sent)
            if not sent or self._offset:
                self._wait_for_room()
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

    def _send_several(self, buffer: deque[Data]) -> int:
        """Send from the front of the queue in one go; return how many bytes the kernel accepted."""
        first = memoryview(buffer[0])[self._offset :] if self._offset else buffer[0]
        if len(buffer) == 1:
            return self._sock.send(first)
        pieces = [first, *islice(buffer, 1, MAX_PIECES)]
        if self.queued <= SMALL:
            return self._sock.send(b"".join(pieces))
        return self._sock.sendmsg(pieces)

    def _drop(self, buffer: deque[Data], sent: int) -> None:
        """Remove the sent bytes from the queue."""
        backlog = self._backlog
        self.queued -= sent
        if not self.queued and backlog is None:
            buffer.clear()
            self._offset = 0
            return
        if backlog is not None and sent:
            backlog.taken(sent)
        sent += self._offset
        while buffer and sent >= len(buffer[0]):
            data = buffer.popleft()
            sent -= len(data)
            if backlog is not None:
                backlog.discard(data)
        self._offset = sent

    def _finish(self) -> None:
        """Close, or half-close, after all queued bytes were sent."""
        if not self._hanging_up:
            self._fail(LostBecause.CLOSED)
            return
        self._buffer = deque()  # writes from here on end in _enqueue, which drops them
        with suppress(OSError):  # the peer was faster
            self._sock.shutdown(_socket.SHUT_WR)
        if self._reader is not None:
            self._loop.start(self._reader, Connection._on_readable, self)

    def _read_if_wanted(self) -> None:
        wanted = not (self._paused or self._closing)
        if self._reader is not None and wanted:
            self._loop.start(self._reader, Connection._on_readable, self)

    def _wait_for_room(self) -> None:
        """Send the rest when the kernel accepts more bytes; until then, a backlog counts it."""
        if self._writer is None and self._buffer is not None:
            self._writer = self._loop.io(self._sock.fileno(), _WRITE)
            self._loop.start(self._writer, Connection._flush, self)
            backlog = self._backlog = Backlog(self, self.output)
            backlog.taken(self._offset)
            for data in tuple(self._buffer):
                if not backlog.closed:
                    backlog.add(data)

    def _stop_waiting(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._backlog is not None:
            self._backlog.close(self._buffer)
            self._backlog = None

    # --- Holder -------------------------------------------------------------------------------

    @property
    def is_download(self) -> bool:
        """Whether its handler allows long pauses (``Holder``)."""
        return self._handler is not None and self._handler.is_download

    is_excused = False
    """The kernel tells when the peer has read some bytes (``Holder``)."""

    def try_again(self) -> None:
        """Send as many bytes as the kernel accepts now (``Holder``)."""
        self._flush()

    def give_up(self, because: LostBecause) -> None:
        """Close the connection of a peer that reads too little (``Holder``)."""
        self._fail(because)

    # ------------------------------------------------------------------------------------------

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
        """Stop reading, because the loop would report the end of file again and again."""
        if self._handler is None or not self._handler.eof_received():
            self._fail(LostBecause.EOF)
        elif self._reader is not None:
            self._reader.close()
            self._reader = None

    def _fail(self, because: LostBecause) -> None:
        """Close the socket now, and tell the handler from the loop."""
        if self._closed_because is None:
            try:
                self._end(because)
            finally:  # whatever that raises
                self._sock.close()

    def _end(self, because: LostBecause) -> None:
        self._closed_because = because
        handler, self._handler = self._handler, None
        try:
            if self._writer is not None or self._backlog is not None:
                self._stop_waiting()
        finally:  # whatever that raises
            self._buffer = _NOTHING
            self._offset = 0
            self.high_water = -1
            if self._reader is not None:
                self._reader.close()
                self._reader = None
            if handler is not None:
                self._loop.run_callback(_report_loss, handler, because)
            if self.on_closed is not None:
                self.on_closed()


def _report_loss(handler: ConnectionHandler, because: LostBecause) -> None:
    handler.connection_lost(because)
