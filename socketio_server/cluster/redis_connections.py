"""Connections to Redis, made by redis-py from the broker's URL."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from redis import ConnectionPool, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

SENTINEL_SCHEME = "redis+sentinel"
SENTINEL_PORT = 26379

PROTOCOL = 2
"""The version of RESP: what is published comes as plain arrays."""

CONNECT_TIMEOUT = 2.0
"""Seconds that a connection may take to be made."""

FAULTS = (RedisError, OSError)
"""What redis-py raises if Redis can't be reached, or refuses."""


class RedisConnection(Protocol):
    """A connection of redis-py."""

    def connect(self) -> object:
        """Connect, unless it is connected."""

    def disconnect(self) -> object:
        """Disconnect. Idempotent."""

    def send_packed_command(self, command: Sequence[bytes], check_health: bool = True) -> object:
        """Send commands as they are."""

    def read_response(self) -> Any:
        """Wait for the next answer, or what else Redis sends."""


Connect = Callable[[], RedisConnection]
"""Makes a connection, which is not yet connected."""


def connector(url: str, timeout: float) -> Connect:
    """Return a function that makes connections; see ``connection_pool``."""
    return connection_pool(url, timeout).make_connection


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
