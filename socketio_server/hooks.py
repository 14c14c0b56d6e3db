"""What happens around handlers because they are Django's: database connections, the message log."""

import logging
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import close_old_connections, connections, reset_queries
from django.db.backends.signals import connection_created
from django.http import HttpRequest
from django.utils import timezone, translation
from greenlet import getcurrent

from socketio_server.workers import Worker

message_logger = logging.getLogger("socketio_server.messages")


class DjangoHooks:
    """Does around each event what Django does around each request (``EventHooks``).

    Django's own functions take 7 µs where nothing is connected (measured), as much as the rest of
    an event; so they run only in workers that have opened a database connection, which are dirty
    until it is closed.

    :param message_log_format: ``SOCKETIO_MESSAGE_LOG_FORMAT``.
    """

    refusals: tuple[type[Exception], ...] = (PermissionDenied,)

    def __init__(self, message_log_format: str | None) -> None:
        self._usual = Surroundings(settings.LANGUAGE_CODE, timezone.get_default_timezone())
        self._format = message_log_format
        self.logs_messages = message_log_format is not None
        connection_created.connect(self._on_connection_created)

    def capture(self, request: HttpRequest) -> "Surroundings | None":
        """Return the language and time zone that are active, if they are not the settings' own."""
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
        """Release connections as on ``request_finished``: at once, unless ``CONN_MAX_AGE`` says
        else."""
        close_old_connections()
        worker = getcurrent()
        if isinstance(worker, Worker):
            worker.is_dirty = any(c.connection for c in connections.all(initialized_only=True))

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


MAX_LOGGED = 200
"""Characters of a client's text that are logged."""


def escape(text: str) -> str:
    """Return what a client sent in a form that can't forge log lines or fill the disk."""
    if len(text) > MAX_LOGGED:
        text = text[:MAX_LOGGED] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
