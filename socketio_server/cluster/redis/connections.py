"""Connections to Redis, made by redis-py from the broker's URL.

redis-py connects: it knows TLS, passwords, Unix sockets and Sentinel. What a server sends and
receives on the connection then passes redis-py by, because that reads reply by reply, and spends
more on each than hiredis needs for all that have arrived.
"""

from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from gevent import get_hub
from gevent.ssl import SSLSocket
from hiredis import Reader
from redis import ConnectionError, ConnectionPool, InvalidResponse, RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

SENTINEL_SCHEME = "redis+sentinel"
SENTINEL_PORT = 26379

PROTOCOL = 2
"""The version of RESP: what is published comes as plain arrays."""

CONNECT_TIMEOUT = 2.0
"""Seconds that a connection may take to be made."""

READ_SIZE = 65_536
"""Bytes asked for in one read."""

FAULTS = (RedisError, OSError)
"""What is raised if Redis can't be reached, or refuses."""


_NO_REPLY = object()
"""Stands for a reply that has not arrived in full."""


class RedisConnection(Protocol):
    """A connection to Redis. One greenlet may send while another receives.

    All but ``disconnect`` raise one of ``FAULTS`` if Redis is lost.
    """

    def connect(self) -> None:
        """Connect, and wait until it is."""

    def disconnect(self) -> None:
        """Disconnect. Idempotent."""

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
    :param timeout: seconds that Redis may be silent for while somebody waits.
    """

    def __init__(self, connection: Any, timeout: float) -> None:
        self._connection = connection
        self._hub = get_hub()
        self._timer = self._hub.loop.timer(timeout, timeout)
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

    def send(self, commands: bytes) -> None:
        """Send commands (``RedisConnection``)."""
        # At first without gevent's sendall, which asks the kernel for its buffer's size.
        sent = self._sock.send(commands)
        if sent < len(commands):
            self._sock.sendall(memoryview(commands)[sent:])

    def receive(self) -> list[Any]:
        """Wait for replies (``RedisConnection``)."""
        replies: list[Any] = []
        while not replies:
            if self._readable is not None:
                self._wait(self._readable)
            data = self._sock.recv(READ_SIZE)
            if not data:
                raise ConnectionError("it has closed the connection")
            self._reader.feed(data)
            replies.extend(iter(self._reader.gets, _NO_REPLY))
        return replies

    def _wait(self, readable: Any) -> None:
        """Wait for bytes: with one timer for all times, and before ``recv`` is tried in vain.

        gevent's ``recv`` makes a timer each time, which takes longer than the rest.

        :raises TimeoutError: if none come in time.
        """
        self._timer.again(self._hub.cancel_wait, readable, TimeoutError("timed out"))
        try:
            self._hub.wait(readable)
        finally:
            self._timer.stop()


def connector(url: str, timeout: float) -> Connect:
    """Return a function that makes connections; see ``connection_pool``."""
    pool = connection_pool(url, timeout)
    return lambda: _Connection(pool.make_connection(), timeout)


def connection_pool(url: str, timeout: float) -> ConnectionPool:
    """Return a pool of connections to Redis.

    :param url: ``redis://``, ``rediss://``, ``unix://`` or ``redis+sentinel://``.
    :param timeout: seconds that Redis may take to read or to answer.
    :raises ValueError: if the URL is malformed.
    """
    if url.startswith(f"{SENTINEL_SCHEME}:"):
        pool = _sentinel_pool(url, timeout)
    elif "," in urlsplit(url).netloc:
        raise ValueError("it names several servers, and Redis Cluster and shards are not supported")
    else:
        pool = ConnectionPool.from_url(url, protocol=PROTOCOL)
    # redis-py counts connections that were given up, too, and refuses more than so many.
    pool.max_connections = UNLIMITED
    options = pool.connection_kwargs
    if options["protocol"] != PROTOCOL:
        raise ValueError(f"its protocol must be {PROTOCOL}")
    # redis-py would try again by itself, and a message that is published again comes twice.
    options.update(socket_timeout=timeout, decode_responses=False, retry=Retry(NoBackoff(), 0))
    if not url.startswith("unix:"):
        options["socket_connect_timeout"] = min(timeout, CONNECT_TIMEOUT)
    try:
        pool.make_connection()
    except (TypeError, RedisError) as error:  # an unknown option
        raise ValueError(str(error)) from error
    return pool


def _sentinel_pool(url: str, timeout: float) -> ConnectionPool:
    """Return a pool of connections to the master that Redis Sentinel names."""
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    service, _, db = parts.path.strip("/").partition("/")
    sentinels = []
    for host in hosts.split(","):
        address = urlsplit(f"//{host}")
        sentinels.append((address.hostname or "localhost", address.port or SENTINEL_PORT))
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py's own lack
        sentinels,
        sentinel_kwargs={"socket_timeout": timeout, "socket_connect_timeout": CONNECT_TIMEOUT},
        username=unquote(username) or None,
        password=unquote(password) or None,
        db=int(db or 0),
        protocol=PROTOCOL,
    )
    pool: ConnectionPool = sentinel.master_for(unquote(service)).connection_pool  # type: ignore[no-untyped-call]
    return pool


def describe(url: str) -> str:
    """Return where Redis is, for the log: the URL without name and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


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


UNLIMITED = 2**31 - 1
"""Connections of one pool: those who use it decide."""
