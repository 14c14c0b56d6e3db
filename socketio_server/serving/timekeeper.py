"""Real time, as it passes in a server."""

from collections.abc import Callable

import gevent
from gevent.event import Event


class GeventTimekeeper:
    """Real time, in which other greenlets go on (``sockets.acknowledgements.Timekeeper``)."""

    def wait(self, event: Event, timeout: float | None) -> None:
        """Wait until the event is set, or ``timeout`` seconds."""
        event.wait(timeout)

    def call_later(self, seconds: float, func: Callable[[], None]) -> Callable[[], None]:
        """Have ``func`` called in a greenlet of its own.

        :return: a function that cancels the call.
        """
        timer = gevent.spawn_later(seconds, func)
        return lambda: timer.kill(block=False)
