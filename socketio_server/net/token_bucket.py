"""How fast one client may send: a sustained rate, and a burst above it. Pure."""


class RateLimit:
    """A token bucket that costs no clock while the burst lasts.

    :param rate: events a second, for ever.
    :param burst: events on top, once; they come back at the same rate.
    :param left: how many of these are left to begin with; ``None``: all.
    """

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, rate: float, burst: int, now: float, left: int | None = None) -> None:
        self._rate = rate
        self._burst = burst
        self._left = float(burst if left is None else left)
        self._since = now

    def spend(self) -> bool:
        """Count an event; return ``False`` if ``wait`` must be asked now."""
        self._left -= 1
        return self._left >= 0

    def wait(self, now: float) -> float:
        """Refill for the time that has passed; return how many seconds to wait before the next."""
        self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        return max(0.0, -self._left / self._rate)
