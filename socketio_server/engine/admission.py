"""Limits of connections, handshakes and sessions. Pure; the clock is passed in."""

from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network

from socketio_server.net.refusals import RefusalKind
from socketio_server.net.token_bucket import TokenBucket

HANDSHAKES_PER_SECOND = 10.0
"""Handshakes a second of one address in the long run, above its burst."""

MAX_ADDRESSES = 100_000
"""Addresses whose handshakes are counted; with more, the one that shook hands least recently is
forgotten."""

IPV6_PREFIX = 64
"""Bits of an IPv6 address that count: whoever has one usually has all with the same beginning."""

MAX_ADDRESS_LENGTH = 64
"""Characters of an address, with the zone of IPv6; a project's middleware may set others."""

INVALID = "invalid"
"""The key of all texts that are no address: who may choose a text gains nothing by it."""

SESSIONS_PER_CONNECTION = 2
"""Sessions of one address for each connection that it may have: a client that lost its connections
comes back, while its old session waits for a heartbeat."""

FULL = (
    RefusalKind.CONNECTION,
    "too many connections (SOCKETIO_MAX_CONNECTIONS, and at most 80 % of LimitNOFILE)",
)
CROWDED = (
    RefusalKind.ADDRESS,
    "too many connections from one address (SOCKETIO_MAX_CONNECTIONS_PER_ADDRESS)",
)
"""Why a connection is refused: the process, or its address, has as many as it may."""


class Admission:
    """Counts connections, handshakes and sessions, and admits or refuses new ones.

    IPv6 addresses with the same first 64 bits count as one, and an IPv4 address counts the same if
    it is mapped into IPv6. Loopback addresses and trusted proxies are exempt from the limits per
    address, because many clients share them.

    :param max_connections: connections of all addresses.
    :param max_per_address: connections of one address.
    :param max_burst: handshakes of one address at once; ten more a second are allowed.
    :param clock: a monotonic clock, in seconds.
    :param trusted: addresses and networks of proxies, exempt from the limits per address.
    :raises ValueError: if one of these is neither.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        max_per_address: int,
        max_burst: int,
        clock: Callable[[], float],
        trusted: Collection[str] = (),
    ) -> None:
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._max_burst = max_burst
        self._trusted = tuple(map(ip_network, trusted))
        self._clock = clock
        self._known = lru_cache(maxsize=1024)(self._find_client)
        self._total = 0
        self._connections: dict[str, int] = {}
        self._sessions: dict[str, int] = {}
        self._handshakes: dict[str, TokenBucket] = {}  # the most recent last

    @property
    def total(self) -> int:
        """Open connections."""
        return self._total

    def enter(self, address: str) -> tuple[RefusalKind, str] | None:
        """Count a connection, or return how its refusal is counted, and the reason.

        After ``None``, call ``leave`` once when the connection is closed.
        """
        if self._total >= self._max_connections:
            return FULL
        client = self._known(address)  # the kernel's text, which is short
        if client is not None:
            count = self._connections.get(client, 0)
            if count >= self._max_per_address:
                return CROWDED
            self._connections[client] = count + 1
        self._total += 1
        return None

    def leave(self, address: str) -> None:
        """Uncount a closed connection."""
        self._total -= 1
        client = self._known(address)
        if client is not None:
            _uncount(self._connections, client)

    def may_open_session(self, address: str) -> bool:
        """Return ``False`` if the address has as many sessions as it may."""
        client = self._client_at(address)
        most = SESSIONS_PER_CONNECTION * self._max_per_address
        return client is None or self._sessions.get(client, 0) < most

    def session_opened(self, address: str) -> None:
        """Count a session. Call ``session_ended`` once when it has ended."""
        client = self._client_at(address)
        if client is not None:
            self._sessions[client] = self._sessions.get(client, 0) + 1

    def session_ended(self, address: str) -> None:
        """Uncount a session that has ended, with the last of its client's handlers."""
        client = self._client_at(address)
        if client is not None:
            _uncount(self._sessions, client)

    def may_shake_hands(self, address: str) -> bool:
        """Count a handshake; return ``False`` if the address had too many lately."""
        client = self._client_at(address)
        if client is None:
            return True
        now, handshakes = self._clock(), self._handshakes
        bucket = handshakes.pop(client, None)
        if bucket is None:
            if len(handshakes) >= MAX_ADDRESSES:
                del handshakes[next(iter(handshakes))]
            bucket = TokenBucket(HANDSHAKES_PER_SECOND, self._max_burst, now)
        handshakes[client] = bucket
        return bucket.take(now)

    def _client_at(self, address: str) -> str | None:
        """Return the key of the counters of an address; ``None`` if it is exempt."""
        return self._known(address) if len(address) <= MAX_ADDRESS_LENGTH else INVALID

    def _find_client(self, address: str) -> str | None:
        """Return the address or network of a client; ``None`` for trusted and loopback addresses,
        and for a Unix socket, which has none; one key for all texts that are no address.
        """
        if not address:
            return None
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return INVALID
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        client = mapped or found
        if client.is_loopback or any(found in each or client in each for each in self._trusted):
            return None
        if isinstance(client, IPv6Address):
            return str(IPv6Network((client, IPV6_PREFIX), strict=False))
        return str(client)


def _uncount(counts: dict[str, int], client: str) -> None:
    """Count one less of a client, which has one."""
    count = counts[client]
    if count > 1:
        counts[client] = count - 1
    else:
        del counts[client]
