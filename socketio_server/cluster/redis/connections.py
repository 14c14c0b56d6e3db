"""Connections to Redis, made by redis-py and read by hiredis.

redis-py connects: it knows TLS, passwords, Unix sockets and Sentinel. What a server sends and
receives on the connection then passes redis-py by, because that reads reply by reply, and spends
more on each than hiredis needs for all that have arrived.
"""

from collections.abc import Callable
from typing import Any, Protocol

from gevent import get_hub
from gevent.ssl import SSLSocket
from hiredis import Reader
from redis import ConnectionError, InvalidResponse, ResponseError

from socketio_server.cluster.redis.pools import connection_pool
from socketio_server.net import descriptors

READ_SIZE = 65_536
"""Bytes asked for in one read."""

TICKS = 5
"""How often, evenly spread, the loop has found no reply in full when Redis is lost. It is not where
only this process stood still."""

BYTES_PER_TICK = 250_000
"""Bytes of a long reply for which Redis has one tick more."""

MAX_REPLY = 64_000_000
"""Bytes of a reply that are kept until it is complete, at least. Redis itself by default closes a
connection for which more than 32 MiB wait."""

_NO_REPLY = object()
"""Stands for a reply that has not arrived in full."""


class RedisConnection(Protocol):
    """A connection to Redis. One greenlet may send while another receives.

    All but ``disconnect`` and ``leave_to_parent`` raise one of ``pools.FAULTS`` if Redis is lost.
    """

    def connect(self) -> None:
        """Connect, and wait until it is."""

    def disconnect(self) -> None:
        """Disconnect. Idempotent."""

    def leave_to_parent(self) -> None:
        """Let go of the connection in a process that was forked from this one."""

    def send(self, commands: bytes) -> None:
        """Send packed commands; wait until the kernel has accepted them."""

    def receive(self) -> list[Any]:
        """Wait for the next replies, and what else Redis sends; return all that have arrived.

        A command that was refused has a ``ResponseError`` for a reply.
        """


Connect = Callable[[], RedisConnection]
"""Makes a connection, which is not yet connected."""


class _Connection:
    """A connection that redis-py makes, and hiredis reads (``RedisConnection``).

    :param connection: redis-py's, not yet connected.
    :param timeout: seconds that Redis may take for a reply while somebody waits; longer for a long
        one (``BYTES_PER_TICK``).
    :param max_reply: bytes that are kept until a reply is complete.
    """

    def __init__(self, connection: Any, timeout: float, max_reply: int) -> None:
        self._connection = connection
        self._max_reply = max_reply
        self._hub = get_hub()
        # Of low priority: bytes that have come count before it.
        self._timer = self._hub.loop.timer(timeout / TICKS, timeout / TICKS, priority=-1)
        self._ticks = 0  # since replies were last waited for
        self._unread = 0  # bytes that have come since then
        self._sock: Any = None  # from connect() on
        self._readable: Any = None  # the loop's watcher of the socket, except with TLS
        self._reader = Reader(
            protocolError=InvalidResponse, replyError=ResponseError, notEnoughData=_NO_REPLY
        )

    def connect(self) -> None:
        """Connect (``RedisConnection``)."""
        self._connection.connect()
        self._sock = self._connection._sock  # it has no public name
        if not isinstance(self._sock, SSLSocket):  # that may have decrypted more than was read
            self._readable = self._hub.loop.io(self._sock.fileno(), 1)

    def disconnect(self) -> None:
        """Disconnect (``RedisConnection``)."""
        self._hub.cancel_wait(self._readable, ConnectionError("disconnected"), close_watcher=True)
        self._readable = None
        self._connection.disconnect()

    def leave_to_parent(self) -> None:
        """Let go of the connection (``RedisConnection``), even while it is being made."""
        sock = self._connection._sock
        if sock is not None:
            descriptors.leave_to_parent(sock)

    def send(self, commands: bytes) -> None:
        """Send commands (``RedisConnection``)."""
        # At first without gevent's sendall, which asks the kernel for its buffer's size.
        sent = self._sock.send(commands)
        if sent < len(commands):
            self._sock.sendall(memoryview(commands)[sent:])

    def receive(self) -> list[Any]:
        """Wait for replies (``RedisConnection``)."""
        replies: list[Any] = []
        self._ticks = self._unread = 0
        self._timer.again(self._tick)
        try:
            while not replies:
                self._read()
                replies.extend(iter(self._reader.gets, _NO_REPLY))
        finally:
            self._timer.stop()
        return replies

    def _read(self) -> None:
        """Wait for bytes, and give them to hiredis.

        One timer serves all waits, and the loop waits before ``recv`` is tried in vain: gevent's
        ``recv`` makes a timer each time, which takes longer than the rest.

        :raises TimeoutError: if they don't make a reply in time.
        :raises ConnectionError: if Redis has closed, or they are too many for a reply.
        """
        if self._readable is not None:
            self._hub.wait(self._readable)
        elif self._is_late():  # recv has a time limit, which each byte extends
            raise TimeoutError("timed out")
        data = self._sock.recv(READ_SIZE)
        if not data:
            raise ConnectionError("it has closed the connection")
        self._unread += len(data)
        if self._unread > self._max_reply:
            raise ConnectionError(f"it sends a reply of more than {self._max_reply} bytes")
        self._reader.feed(data)

    def _tick(self) -> None:
        """Count a part of the time; with the last one, end the wait."""
        self._ticks += 1
        if self._readable is not None and self._is_late():
            self._hub.cancel_wait(self._readable, TimeoutError("timed out"))

    def _is_late(self) -> bool:
        """Return whether the reply should be here."""
        return self._ticks >= TICKS + self._unread // BYTES_PER_TICK


def connector(url: str, timeout: float, max_reply: int = MAX_REPLY) -> Connect:
    """Return a function that makes connections; see ``connection_pool``.

    :param max_reply: bytes of a reply that are kept until it is complete; or ``MAX_REPLY``, if that
        is more.
    """
    pool = connection_pool(url, timeout)
    max_reply = max(max_reply, MAX_REPLY)
    return lambda: _Connection(pool.make_connection(), timeout, max_reply)


def not_redis() -> InvalidResponse:
    """Return the error to raise for a reply without the form that Redis documents for it: it is
    another service, or replies are missing, and each would be taken for another one's.
    """
    return InvalidResponse("it has sent what is no answer of Redis to what it was asked")


def pack(*words: bytes) -> bytes:
    """Return a command as Redis reads it (RESP 2, array of bulk strings)."""
    bulk = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%b" % (len(words), bulk)


def pack_publish(channel: bytes, message: bytes) -> bytes:
    """Return ``pack(b"PUBLISH", channel, message)``, which nearly all commands are, sooner."""
    return b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
        len(channel),
        channel,
        len(message),
        message,
    )
