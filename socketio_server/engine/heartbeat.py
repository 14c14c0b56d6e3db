"""Heartbeats: whether a session's client is still there."""

from collections.abc import Callable
from typing import Generic, TypeVar

from socketio_server.net.deadlines import Deadlines
from socketio_server.net.loop import Loop

T = TypeVar("T")


class Heartbeat(Generic[T]):
    """Asks every session now and then whether its client is still there (Engine.IO v4: server
    pings).

    :param ping: sends a session a ping.
    :param expire: a ping went unanswered for ``timeout`` seconds.
    :param clock: seconds that never go back.
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
    ) -> None:
        self._pings: Deadlines[T] = Deadlines(loop, interval, self._ping, clock=clock)
        self._pongs: Deadlines[T] = Deadlines(loop, timeout, expire, clock=clock)
        self._send_ping = ping

    def add(self, session: T) -> None:
        """Begin to ask a session's client."""
        self._pings.add(session)

    def pong(self, session: T) -> None:
        """The client answered; a pong that nobody asked for changes nothing."""
        if self._pongs.discard(session):
            self._pings.add(session)

    def ask_again(self, session: T) -> None:
        """Send another ping at once, because of the last one nothing can be concluded."""
        self._ping(session)

    def discard(self, session: T) -> None:
        """Ask no more."""
        self._pings.discard(session)
        self._pongs.discard(session)

    def clear(self) -> None:
        """Ask nobody any more, and stop the timers."""
        self._pings.clear()
        self._pongs.clear()

    def _ping(self, session: T) -> None:
        self._pongs.add(session)
        self._send_ping(session)
