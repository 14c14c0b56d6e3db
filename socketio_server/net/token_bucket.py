"""A token bucket: a sustained rate, and a burst above it. Pure: the caller passes the time."""


class TokenBucket:
    """Limits events to a rate, and allows a burst above it.

    Use it in one of two ways: ``take`` needs the time for each event, and refuses events above the
    limit; ``spend`` needs no time, and events above the limit are throttled (``wait``).

    :param rate: events a second in the long run; tokens are refilled at this rate.
    :param burst: tokens in a full bucket: events that may come at once.
    :param now: seconds of a clock that never goes back.
    :param tokens: tokens at the beginning; ``None``: a full bucket.
    """

    __slots__ = ("_burst", "_rate", "_since", "_tokens")

    def __init__(self, rate: float, burst: int, now: float, tokens: int | None = None) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst if tokens is None else tokens)
        self._since = now

    def take(self, now: float) -> bool:
        """Take a token; return ``False`` if there is none."""
        self._refill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def spend(self) -> bool:
        """Count an event that is not refused; return ``False`` if ``wait`` must be called now."""
        self._tokens -= 1
        return self._tokens >= 0

    def wait(self, now: float) -> float:
        """Return how many seconds to wait before the next event; 0 if it is within the limit."""
        self._refill(now)
        return max(0.0, -self._tokens / self._rate)

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._since) * self._rate)
        self._since = now
