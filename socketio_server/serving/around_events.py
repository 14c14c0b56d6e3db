"""What happens around handlers because they are Django's: database connections, the message log."""

import logging
from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar
from datetime import datetime, tzinfo
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created
from django.http import HttpRequest
from django.utils import timezone, translation
from greenlet import getcurrent

from socketio_server.net.connection import Loop
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.log import MAX_LOGGED
from socketio_server.net.workers import Worker, WorkerPool

message_logger = logging.getLogger("socketio_server.messages")


class DjangoHooks:
    """Does around each event what Django does around each request (``EventHooks``).

    Django's own functions take 7 µs where nothing is connected (measured), as much as the rest of
    an event; so they run only in workers that have opened a database connection, which are dirty
    until it is closed.

    :param message_log_format: ``SOCKETIO_MESSAGE_LOG_FORMAT``.
    :param release: has a worker let go of its connections when it has been idle for so long;
        ``None``: they are closed after each event, as ``CONN_MAX_AGE`` says.
    """

    refusals: tuple[type[Exception], ...] = (PermissionDenied,)

    def __init__(
        self, message_log_format: str | None, release: "IdleRelease | None" = None
    ) -> None:
        self._release = release
        self._usual = Surroundings(settings.LANGUAGE_CODE, timezone.get_default_timezone())
        self._traces = (
            # It activates that nothing is translated: like any language, but loads no catalogs.
            find_trace(translation.deactivate_all),
            find_trace(partial(timezone.activate, self._usual.timezone)),
        )
        self._format = message_log_format
        self.logs_messages = message_log_format is not None
        connection_created.connect(self._on_connection_created)

    def capture(self, request: HttpRequest) -> "Surroundings | None":
        """Return the language and time zone that are active, if they are not the settings' own.

        Django takes 8 µs to say of either that none was activated (measured), together a twentieth
        of a handshake. So it is asked only where something may have been.
        """
        if not any(trace is None or trace.get(None) is not None for trace in self._traces):
            return None
        language = translation.get_language() or settings.LANGUAGE_CODE
        captured = Surroundings(language, timezone.get_current_timezone())
        return None if captured == self._usual else captured

    def restore(self, captured: "Surroundings") -> None:
        """Activate them for the handlers of an event."""
        translation.activate(captured.language)
        timezone.activate(captured.timezone)

    def before_event(self) -> None:
        """Make sure that no broken or outdated connection is used, as on ``request_started``."""
        reset_queries()
        close_old_connections()

    def after_event(self) -> None:
        """Release connections as on ``request_finished``, but keep good ones for the worker's next
        event, if that comes soon."""
        worker = getcurrent()
        if self._release is not None and isinstance(worker, Worker):
            self._release.put_off(worker)
        close_connections()

    def log_message(self, request: HttpRequest, kind: str, message: Any) -> None:
        """Log what a client did, as django-socketio did; never raises."""
        if self._format is None or not message_logger.isEnabledFor(logging.INFO):
            return
        values = _Values(
            request.META,
            TYPE=kind,
            MESSAGE=escape(str(message)),
            TIME=str(datetime.now().replace(microsecond=0)),
        )
        try:
            line = self._format % values
        except (TypeError, ValueError):
            message_logger.exception("SOCKETIO_MESSAGE_LOG_FORMAT does not fit its values")
        else:
            message_logger.info("%s", line)

    def _on_connection_created(self, **kwargs: Any) -> None:
        worker = getcurrent()
        if isinstance(worker, Worker):
            worker.is_dirty = True


class IdleRelease:
    """Closes the database connections of workers that have been idle for a while.

    :param pool: the workers, of which an idle one closes its own connections: they are its
        thread's, as far as Django can tell.
    :param timeout: seconds.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        pool: WorkerPool,
        loop: Loop,
        timeout: float,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._pool = pool
        self._timeout = timeout
        self._clock = clock
        self._idle: Deadlines[Worker] = Deadlines(loop, timeout, self._close, clock=clock)

    def put_off(self, worker: Worker) -> None:
        """Let the worker's connections be young enough for its next event. Runs in the worker."""
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


def find_trace(activate: Callable[[], None]) -> ContextVar[Any] | None:
    """Return the context variable that is set wherever something was activated.

    Which one that is, and whether there is one, depends on the version of asgiref, which keeps
    Django's state; so it is tried out, in a context of its own.

    :param activate: activates something.
    :return: ``None`` if there is not exactly one: its absence would say nothing.
    """
    context = Context()
    context.run(activate)
    return next(iter(context)) if len(context) == 1 else None


class Surroundings(NamedTuple):
    """What middleware may have activated for a request."""

    language: str
    timezone: tzinfo


class _Values(dict[str, Any]):
    """The keys of ``request.META`` and a few more; a key that is missing is ``-``."""

    def __init__(self, meta: Mapping[str, Any], **more: str) -> None:
        super().__init__(meta, **more)

    def __missing__(self, key: str) -> str:
        return "-"


def escape(text: str) -> str:
    """Return what a client sent in a form that can't forge log lines or fill the disk."""
    if len(text) > MAX_LOGGED:
        text = text[:MAX_LOGGED] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
