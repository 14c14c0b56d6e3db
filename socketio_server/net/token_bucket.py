"""A token bucket: a sustained rate, and a burst above it. Pure; the caller says how late it is."""


class TokenBucket:
    """Allows so many events a second, and some more at once.

    Two ways to use one: ``take`` looks at the clock each time and refuses what is too much;
    ``spend`` costs no clock while the burst lasts, and what is too much then waits (``wait``).

    :param rate: events a second, for ever; tokens come back at this rate.
    :param burst: tokens that it holds: events on top, once.
    :param now: seconds of a clock that never goes back.
    :param tokens: how many there are to begin with; ``None``: all.
    """

    __slots__ = ("_burst", "_rate", "_since", "_tokens")

    def __init__(self, rate: float, burst: int, now: float, tokens: int | None = None) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst if tokens is None else tokens)
        self._since = now

    def take(self, now: float) -> bool:
        """Take a token; return ``False``, and take none, if there is none."""
        self._refill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def spend(self) -> bool:
        """Count an event that happens anyway; return ``False`` if ``wait`` must be asked now."""
        self._tokens -= 1
        return self._tokens >= 0

    def wait(self, now: float) -> float:
        """Return how many seconds to wait before the next event."""
        self._refill(now)
        return max(0.0, -self._tokens / self._rate)

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._since) * self._rate)
        self._since = now
