"""What the broker's URL means: pools of redis-py's connections, to one Redis or to the master that
Redis's Sentinels name.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis import ConnectionError, ConnectionPool, Redis, RedisError
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, SentinelConnectionPool

SENTINEL = "+sentinel"
"""What ends the scheme of a URL that names Redis's Sentinels."""

SENTINEL_OPTION = "sentinel_"
"""What begins the options in it that are for connections to them."""

SENTINEL_PORT = 26379

GET_MASTER = "GET-MASTER-ADDR-BY-NAME"

PROTOCOL = 2
"""The version of RESP: what is published comes as plain arrays."""

CONNECT_TIMEOUT = 2.0
"""Seconds that a connection may take to be made, unless the URL says otherwise."""

UNLIMITED = 2**31 - 1
"""Connections of one pool: those who use it decide."""

USUAL_OPTIONS = (
    "client_name",
    "db",
    "password",
    "socket_connect_timeout",
    "socket_keepalive",
    "ssl_ca_certs",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "ssl_password",
    "username",
)
"""Those of redis-py's options that a URL may have use for."""

_ESCAPES = "in a password, write / as %2F, # as %23 and ? as %3F"

FAULTS = (RedisError, OSError)
"""What is raised if Redis can't be reached, or refuses."""


def connection_pool(url: str, timeout: float) -> ConnectionPool:
    """Return a pool of connections to Redis.

    :param url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or
        ``rediss+sentinel://``.
    :param timeout: seconds that Redis may take to read or to answer.
    :raises ValueError: if the URL is malformed.
    """
    parts = urlsplit(url)
    if parts.scheme != "unix" and "@" in parts.path + parts.fragment:
        raise ValueError(f"it has an @ behind the host: {_ESCAPES}")
    if not parts.scheme.endswith(SENTINEL):
        _verify(parts)
    try:
        if parts.scheme.endswith(SENTINEL):
            pool = _sentinel_pool(url, timeout)
        else:
            pool = ConnectionPool.from_url(url, protocol=PROTOCOL)
        pool.make_connection()
    except (TypeError, RedisError) as error:
        raise ValueError(_unknown_option(parts, str(error)) or str(error)) from error
    # redis-py counts connections that were given up, too, and refuses more than so many.
    pool.max_connections = UNLIMITED
    options = pool.connection_kwargs
    if options["protocol"] != PROTOCOL:
        raise ValueError(f"its protocol must be {PROTOCOL}")
    # redis-py would try again by itself, and a message that is published again comes twice.
    options.update(socket_timeout=timeout, decode_responses=False, retry=Retry(NoBackoff(), 0))
    if parts.scheme != "unix":
        options.setdefault("socket_connect_timeout", min(timeout, CONNECT_TIMEOUT))
    return pool


def _verify(parts: SplitResult) -> None:
    """Raise ``ValueError`` if the URL of one server has what redis-py passes over, or shows."""
    if "," in parts.netloc:
        raise ValueError(
            "it names several servers, and Redis Cluster and shards are not supported yet"
        )
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"its port is no number: {_ESCAPES}") from None
    db = parts.path.removeprefix("/")
    if parts.scheme != "unix" and db and not db.isdecimal():
        raise ValueError(f"its database must be a number, not {db!r}")


def _unknown_option(parts: SplitResult, error: str) -> str | None:
    """Return which option of a URL redis-py does not know, and the remedy.

    :param error: redis-py's words, which quote the option.
    :return: ``None`` if it has refused something else.
    """
    for name, _ in parse_qsl(parts.query):
        option = name.removeprefix(SENTINEL_OPTION) if SENTINEL in parts.scheme else name
        if repr(option) not in error:
            continue
        if option in USUAL_OPTIONS and option.startswith("ssl_"):
            return f"its option {name!r} takes TLS, as rediss://"
        close = get_close_matches(option, USUAL_OPTIONS, n=1)
        hint = f": did you mean {close[0]!r}?" if close else "."
        known = ", ".join(USUAL_OPTIONS)
        return f"redis-py knows no option {name!r}{hint} It knows {known} and more."
    return None


class _Sentinels:
    """Redis's Sentinels, who know which server is the master now.

    :param addresses: hosts and ports.
    :param options: of redis-py, for connections to them.
    :raises TypeError: if redis-py does not know an option.
    """

    def __init__(self, addresses: Sequence[tuple[str, int]], options: dict[str, Any]) -> None:
        self._addresses = addresses
        self._options = options
        Redis(**options)

    def discover_master(self, service: str) -> tuple[str, int]:
        """Return the host and port of a service's master; redis-py's pool calls it.

        :raises MasterNotFoundError: if no Sentinel knows it.
        """
        failures = []
        for host, port in self._addresses:
            try:
                with Redis(host, port, **self._options) as sentinel:
                    found = sentinel.execute_command("SENTINEL", GET_MASTER, service)
            except FAULTS as fault:
                failures.append(f"{host}:{port}: {fault}")
            else:
                if found:
                    return found[0], int(found[1])
                failures.append(f"{host}:{port} does not know it")
        raise MasterNotFoundError(
            f"no Sentinel names the master of {service!r} ({'; '.join(failures)})"
        )


def _sentinel_pool(url: str, timeout: float) -> ConnectionPool:
    """Return a pool of connections to the master that Redis's Sentinels name."""
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    service, _, db = parts.path.removeprefix("/").partition("/")
    if not service:
        raise ValueError(f"it names no service: {parts.scheme}://{hosts}/service/0")
    if db and not db.isdecimal():
        raise ValueError(f"its database must be a number, not {db!r}")
    addresses = [urlsplit(f"//{host}") for host in hosts.split(",")]
    query = parse_qsl(parts.query)
    of_redis = [option for option in query if not option[0].startswith(SENTINEL_OPTION)]
    of_sentinels = [
        (name.removeprefix(SENTINEL_OPTION), value)
        for name, value in query
        if name.startswith(SENTINEL_OPTION)
    ]
    options = {
        "protocol": PROTOCOL,
        **_read(f"redis://{credentials}@/{db}?{urlencode(of_redis)}"),
        "ssl": parts.scheme.startswith("rediss"),
    }
    sentinels = _Sentinels(
        [(each.hostname or "localhost", each.port or SENTINEL_PORT) for each in addresses],
        {
            **{name: value for name, value in options.items() if name.startswith("ssl")},
            "socket_timeout": min(timeout, CONNECT_TIMEOUT),
            "socket_connect_timeout": min(timeout, CONNECT_TIMEOUT),
            **_read(f"redis://?{urlencode(of_sentinels)}"),
            "protocol": PROTOCOL,
            "decode_responses": True,
            "retry": Retry(NoBackoff(), 0),
        },
    )
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]  # redis-py's own lack
        unquote(service), sentinels, redis_connect_func=_verify_master, **options
    )


def _read(url: str) -> dict[str, Any]:
    """Return what a URL of one server says, as redis-py's options."""
    options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    return options


def _verify_master(connection: Any) -> None:
    """Begin a connection that a Sentinel has led to: after a failover it may be a replica, on which
    nobody else would hear what is published.

    :raises ConnectionError: if it is no master.
    """
    connection.on_connect()
    connection.send_command("ROLE")
    role = connection.read_response()[0]
    if role not in (b"master", "master"):
        raise ConnectionError(f"{connection.host}:{connection.port} is no master any more")


def describe(url: str) -> str:
    """Return where Redis is, for the log: the URL without name and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def masked(url: str) -> str:
    """Return the URL for a log that must tell what it says, with stars for all passwords.

    A user without a password is hidden, too: it is a password whose colon was forgotten.
    """
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    if at and not colon:
        user = "***"
    stars = "***" if colon else ""
    options = [
        (key, "***" if "password" in key else value) for key, value in parse_qsl(parts.query)
    ]
    query = f"?{urlencode(options, safe='*/:')}" if options else ""
    return f"{parts.scheme}://{user}{colon}{stars}{at}{hosts}{parts.path}{query}"
