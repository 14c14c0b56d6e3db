"""The timekeeper of a server, with real time."""

from collections.abc import Callable
from time import monotonic

import gevent
from django.db import connections
from gevent.event import Event
from greenlet import getcurrent

from socketio_server.net.deadlines import LATE_TURNS


class GeventTimekeeper:
    """Waits in real time, while other greenlets run (``sockets.acknowledgements.Timekeeper``).

    :param patience: seconds that a sender waits for a client whose event it does not handle.
    :param is_stopping: tells whether the server stops, because then no sender waits for clients.
    """

    def __init__(self, patience: float, is_stopping: Callable[[], bool]) -> None:
        self.patience = patience
        self.dropped = 0
        self._is_stopping = is_stopping

    @property
    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return monotonic()

    def may_wait(self) -> bool:
        """Return whether the caller may wait for a client.

        It may not in a loop callback, which must never block, nor inside a database transaction,
        which would hold its locks at a client's pace.
        """
        return not (
            getcurrent() is gevent.get_hub()
            or self._is_stopping()
            or any(db.in_atomic_block for db in connections.all(initialized_only=True))
        )

    def let_others_run(self, seconds: float = 0.0) -> None:
        """Return after so many seconds, in which the loop has polled all descriptors at least."""
        hub = gevent.get_hub()
        if seconds > 0.0:
            hub.loop.update_now()  # a timer counts from when the loop's turn began
        hub.wait(hub.loop.timer(seconds))

    def wait(self, event: Event, timeout: float | None) -> None:
        """Wait until the event is set, or ``timeout`` seconds."""
        if not event.wait(timeout):
            self._catch_up()

    def call_later(self, seconds: float, func: Callable[[], None]) -> Callable[[], None]:
        """Call ``func`` in a new greenlet after so many seconds.

        :return: a function that cancels the call.
        """

        def run() -> None:
            self._catch_up()
            func()

        timer = gevent.spawn_later(seconds, run)
        return lambda: timer.kill(block=False)

    def _catch_up(self) -> None:
        """Let the loop read what has arrived in time, if it is or was late (``Deadlines``)."""
        for _ in range(LATE_TURNS):
            self.let_others_run()
