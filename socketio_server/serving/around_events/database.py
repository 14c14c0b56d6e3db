"""Database connections and transactions around an event, as Django handles them for a request."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.db import close_old_connections, connections, reset_queries, transaction
from django.db.backends.signals import connection_created
from greenlet import getcurrent

from socketio_server.dispatch.event_hooks import WrapHandler
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.loop import Loop
from socketio_server.net.workers import CallJob, Worker
from socketio_server.registry.guards import layers_of

EXPIRY_INTERVAL = 1.0
"""Seconds between two looks at the connections of an idle worker."""

Handler = Callable[..., Any]


class DatabaseConnections:
    """Closes workers' connections as Django closes those of requests.

    It also closes expired connections of idle workers, because Django would do so only at their
    next event. Django keeps connections by thread, which means by worker. As long as a worker has
    one open, it is marked (``Worker.is_dirty``): connections are looked at before and after each of
    its events, and it does not end while it is idle. For other workers nothing is done, because
    Django's own functions cost as much as the rest of an event.

    :param loop: the gevent loop; ``None``: connections are closed around events only.
    :param sqlite_timeout: seconds for which connections to SQLite are kept after an event, if
        ``CONN_MAX_AGE`` would close them after it, because opening one takes longer than most
        queries.
    :param clock: Django's own clock for connections: ``time.monotonic``.
    """

    def __init__(
        self, loop: Loop | None, sqlite_timeout: float, *, clock: Callable[[], float]
    ) -> None:
        self._sqlite_timeout = sqlite_timeout
        self._clock = clock
        self._idle: Deadlines[Worker] | None = None
        if loop is not None:
            self._idle = idle = Deadlines(
                loop, EXPIRY_INTERVAL, self._expire, clock=clock, on_raised=lambda w: idle.add(w)
            )
        connection_created.connect(self._mark_dirty)

    def before_event(self) -> None:
        """Close connections that are broken or too old, as on ``request_started``."""
        close_old_connections()

    def after_event(self) -> None:
        """Close connections as on ``request_finished``, and forget the queries of ``DEBUG``."""
        reset_queries()
        self._keep_sqlite()
        close_old_connections()
        self._look_again()

    def close_expired(self) -> None:
        """Close expired connections, in an idle worker."""
        close_old_connections()
        self._look_again()

    def _keep_sqlite(self) -> None:
        until = self._clock() + self._sqlite_timeout
        for connection in connections.all(initialized_only=True):
            if connection.vendor == "sqlite" and connection.close_at is not None:
                connection.close_at = max(connection.close_at, until)

    def _look_again(self) -> None:
        """Check the current worker's open connections again, when they may have expired."""
        worker = getcurrent()
        if not isinstance(worker, Worker) or not worker.has_connections:
            return
        left = [c for c in connections.all(initialized_only=True) if c.connection is not None]
        worker.is_dirty = worker.has_connections = bool(left)
        if self._idle is None:
            return
        if any(c.close_at is not None for c in left):
            self._idle.add(worker)
        else:
            self._idle.discard(worker)

    def _expire(self, worker: Worker) -> None:
        is_idle = worker.pool.run_in(worker, CallJob(self.close_expired))
        if not is_idle and self._idle is not None:
            self._idle.add(worker)

    def _mark_dirty(self, **kwargs: Any) -> None:
        worker = getcurrent()
        if isinstance(worker, Worker):
            worker.is_dirty = worker.has_connections = True
            if self._idle is not None:  # after an event or a request
                self._idle.add(worker)


def atomic_requests(find_mistake: Callable[[Any], object]) -> WrapHandler | None:
    """Return what runs handlers in transactions, as ``ATOMIC_REQUESTS`` does views.

    A transaction is rolled back if its handler raises, refuses a client, or returns a mistake.

    :param find_mistake: tells whether the value that a handler returned is a mistake.
    :return: ``None`` if no database has ``ATOMIC_REQUESTS``.
    """
    aliases = [
        alias for alias, settings in connections.settings.items() if settings["ATOMIC_REQUESTS"]
    ]

    def make_atomic(handler: Handler, is_refusal: Callable[[Any], bool]) -> Handler:
        exempt = {
            alias
            for layer in layers_of(handler)
            for alias in getattr(layer, "_non_atomic_requests", ())
        }
        own = [alias for alias in aliases if alias not in exempt]

        def run(*args: Any) -> Any:
            with ExitStack() as transactions:
                for alias in own:
                    transactions.enter_context(transaction.atomic(using=alias))
                result = handler(*args)
                if is_refusal(result) or find_mistake(result):
                    for alias in own:
                        transaction.set_rollback(True, using=alias)
                return result

        return run

    return make_atomic if aliases else None
