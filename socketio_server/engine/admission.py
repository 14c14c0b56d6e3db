"""Limits of connections and handshakes. Pure; the clock is passed in."""

from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import ip_address

from socketio_server.net.token_bucket import TokenBucket

HANDSHAKES_PER_SECOND = 10.0
"""Handshakes a second of one address in the long run, above its burst."""

MAX_ADDRESSES = 100_000
"""Addresses whose handshakes are counted; with more, all counters are reset."""


class Admission:
    """Counts connections and handshakes, and admits or refuses new ones.

    Loopback addresses and trusted proxies are exempt from the limits per address, because many
    clients share them.

    :param max_connections: connections of all addresses.
    :param max_per_address: connections of one address.
    :param max_burst: handshakes of one address at once; ten more a second are allowed.
    :param clock: a monotonic clock, in seconds.
    :param trusted: addresses of proxies, exempt from the limits per address.
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
        self._trusted = frozenset(trusted)
        self._clock = clock
        self._total = 0
        self._connections: dict[str, int] = {}
        self._handshakes: dict[str, TokenBucket] = {}

    @property
    def total(self) -> int:
        """Open connections."""
        return self._total

    def enter(self, address: str) -> str | None:
        """Count a connection, or return the reason why it is refused.

        After ``None``, call ``leave`` once when the connection is closed.
        """
        if self._total >= self._max_connections:
            return "too many connections"
        if self._is_counted(address):
            count = self._connections.get(address, 0)
            if count >= self._max_per_address:
                return "too many connections from one address"
            self._connections[address] = count + 1
        self._total += 1
        return None

    def leave(self, address: str) -> None:
        """Uncount a closed connection."""
        self._total -= 1
        count = self._connections.get(address, 0)
        if count > 1:
            self._connections[address] = count - 1
        else:
            self._connections.pop(address, None)

    def may_shake_hands(self, address: str) -> bool:
        """Count a handshake; return ``False`` if the address had too many lately."""
        if not self._is_counted(address):
            return True
        now = self._clock()
        bucket = self._handshakes.get(address)
        if bucket is None:
            if len(self._handshakes) >= MAX_ADDRESSES:
                self._handshakes.clear()
            bucket = TokenBucket(HANDSHAKES_PER_SECOND, self._max_burst, now)
            self._handshakes[address] = bucket
        return bucket.take(now)

    def _is_counted(self, address: str) -> bool:
        return address not in self._trusted and _is_single_client(address)


@lru_cache(maxsize=1024)
def _is_single_client(address: str) -> bool:
    """Return whether an address is not this machine's own, nor missing as a Unix socket's."""
    try:
        return not ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
