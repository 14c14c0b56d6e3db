"""Heartbeats: they find out whether a session's client is still connected."""

from collections.abc import Callable
from typing import Generic, TypeVar

from socketio_server.net.deadlines import Deadlines
from socketio_server.net.loop import Loop

T = TypeVar("T")

SLACK = 0.01
"""Seconds that a ping may be late at the client's cost: timers are, and their delays add up."""


class Heartbeat(Generic[T]):
    """Sends pings to sessions, and expects pongs (Engine.IO v4: the server pings).

    :param ping: called to send a session a ping.
    :param expire: called if a session did not answer a ping within ``timeout`` seconds.
    :param clock: a monotonic clock, in seconds.
    :param on_raised: called with a session for which one of these raised.
    """

    __slots__ = ("_pings", "_pongs", "_send_ping")

    def __init__(
        self,
        loop: Loop,
        *,
        interval: float,
        timeout: float,
        ping: Callable[[T], None],
        expire: Callable[[T], None],
        clock: Callable[[], float],
        on_raised: Callable[[T], object] = lambda session: None,
    ) -> None:
        self._pings: Deadlines[T] = Deadlines(
            loop, interval, self._ping_due, clock=clock, turns=0, on_raised=on_raised
        )
        self._pongs: Deadlines[T] = Deadlines(
            loop, timeout, expire, clock=clock, on_raised=on_raised
        )
        self._send_ping = ping

    def add(self, session: T) -> None:
        """Begin to ping a session."""
        self._pings.add(session)

    def pong(self, session: T) -> None:
        """Note a client's pong; ignore one without a ping before it."""
        if self._pongs.discard(session):
            self._pings.add(session)

    def ask_again(self, session: T) -> None:
        """Send another ping at once, because the last one proves nothing."""
        self._ping(session)

    def discard(self, session: T) -> None:
        """Stop pinging a session."""
        self._pings.discard(session)
        self._pongs.discard(session)

    def clear(self) -> None:
        """Stop pinging all sessions, and stop the timers."""
        self._pings.clear()
        self._pongs.clear()

    def _ping_due(self, session: T) -> None:
        """Send a ping; the client's time is counted from when it was due, if it is hardly late."""
        self._ping(session, ago=min(self._pings.lateness, SLACK))

    def _ping(self, session: T, ago: float = 0.0) -> None:
        self._pongs.add(session, ago)
        self._send_ping(session)
