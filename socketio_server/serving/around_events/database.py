"""Database connections: checked before an event's handlers, and released after them."""

from collections.abc import Callable
from typing import Any

from django.db import close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created
from greenlet import getcurrent

from socketio_server.net.deadlines import Deadlines
from socketio_server.net.loop import Loop
from socketio_server.net.workers import Worker, WorkerPool


class DatabaseConnections:
    """Does for workers what Django does for requests.

    It does so only in workers that have opened a connection: these are *dirty* until none of
    theirs is open, because Django's own functions cost as much as the rest of an event.

    :param release: closes the connections of idle workers; ``None``: they are closed after each
        event, as ``CONN_MAX_AGE`` says.
    """

    def __init__(self, release: "IdleRelease | None") -> None:
        self._release = release
        connection_created.connect(self._mark_dirty)

    def before_event(self) -> None:
        """Close connections that are broken or too old, as on ``request_started``."""
        reset_queries()
        close_old_connections()

    def after_event(self) -> None:
        """Close connections as on ``request_finished``, but keep good ones for the worker's next
        event, if that comes soon.
        """
        worker = getcurrent()
        if self._release is not None and isinstance(worker, Worker):
            self._release.put_off(worker)
        close_connections()

    def _mark_dirty(self, **kwargs: Any) -> None:
        worker = getcurrent()
        if isinstance(worker, Worker):
            worker.is_dirty = True


class IdleRelease:
    """Closes the database connections of workers that have been idle for a while.

    :param pool: the workers; each closes its own connections, because Django keeps them by thread.
    :param timeout: seconds.
    :param clock: seconds that never go back.
    """

    def __init__(
        self, pool: WorkerPool, loop: Loop, timeout: float, *, clock: Callable[[], float]
    ) -> None:
        self._pool = pool
        self._timeout = timeout
        self._clock = clock
        self._idle: Deadlines[Worker] = Deadlines(loop, timeout, self._close, clock=clock)

    def put_off(self, worker: Worker) -> None:
        """Keep the worker's connections for its next event. Runs in the worker."""
        until = self._clock() + self._timeout
        for connection in connections.all(initialized_only=True):
            if connection.close_at is not None:
                connection.close_at = max(connection.close_at, until)
        self._idle.add(worker)

    def _close(self, worker: Worker) -> None:
        if worker.is_dirty:  # else they were closed already; if it works, it is put off again
            self._pool.run_in(worker, _CLOSE)


class _Close:
    """Closes the connections that are too old, of the worker that it runs in (``Job``)."""

    def work(self) -> None:
        close_connections()


_CLOSE = _Close()


def close_connections() -> None:
    """Close the current greenlet's connections that are broken or old enough, as Django does."""
    close_old_connections()
    worker = getcurrent()
    if isinstance(worker, Worker):
        worker.is_dirty = any(c.connection for c in connections.all(initialized_only=True))
