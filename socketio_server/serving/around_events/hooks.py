"""Django's part around handlers, as the dispatcher calls it."""

from collections.abc import Callable
from time import monotonic
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, cast

from django.core.cache import caches
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from greenlet import getcurrent

from socketio_server.dispatch.happenings import Happening
from socketio_server.http.wsgi import SIZE_KEY
from socketio_server.net.loop import Loop
from socketio_server.serving.around_events import signals
from socketio_server.serving.around_events.database import DatabaseConnections, atomic_requests
from socketio_server.serving.around_events.locale import ActiveLocale, may_be_activated
from socketio_server.serving.around_events.message_log import MessageLog
from socketio_server.serving.around_events.watched_requests import RequestWatcher
from socketio_server.sockets.socket import Socket

_UNAWAITED = (CoroutineType, AsyncGeneratorType, GeneratorType)  # quicker told than their ABCs

_POOLED_CACHES = (
    "django.core.cache.backends.memcached.PyMemcacheCache",
    "django.core.cache.backends.redis.RedisCache",
    "django_redis.cache.RedisCache",
)
"""Caches that may be used by several greenlets at once, each with a connection of a pool."""

PART_SIZE = 150
"""Bytes that a cookie or parameter takes once it is parsed."""


class DjangoHooks:
    """Treats each event as Django treats a request (``EventHooks``).

    :param message_log_format: ``SOCKETIO_MESSAGE_LOG_FORMAT``.
    :param loop: the gevent loop of a server; ``None``: there are no workers.
    :param sqlite_timeout: seconds for which connections to SQLite are kept after an event.
    :param refresh_interval: ``SOCKETIO_REFRESH_INTERVAL``.
    :param clock: a monotonic clock, in seconds; Django's clock for connections.
    """

    refusals: tuple[type[Exception], ...] = (PermissionDenied,)
    absences: tuple[type[Exception], ...] = (ObjectDoesNotExist, Http404)

    def __init__(
        self,
        message_log_format: str | None,
        *,
        loop: Loop | None = None,
        sqlite_timeout: float = 0.0,
        refresh_interval: float | None = 0.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._database = DatabaseConnections(loop, sqlite_timeout, clock=clock)
        self._watcher = RequestWatcher(refresh_interval, clock)
        self.watch = self._watcher.watch
        self.find_user = self._watcher.find_user
        self._caches = {
            alias: caches.create_connection(alias)
            for alias, cache in caches.settings.items()
            if cache["BACKEND"] in _POOLED_CACHES
        }
        self.wrap_handler = atomic_requests(self.find_mistake)
        self._message_log = MessageLog(message_log_format)
        # None where nothing activates another: to ask Django takes long.
        self._settings_locale = ActiveLocale.of_settings() if may_be_activated() else None
        self.logs_messages = message_log_format is not None

    def capture(self, request: HttpRequest) -> ActiveLocale | None:
        """Return the language and time zone that are active, if they are not the settings' own.

        Also let the handlers use the caches of all sockets: Django keeps caches in context
        variables, and each socket would have connections of its own otherwise.
        """
        for alias, cache in self._caches.items():
            caches[alias] = cache
        if self._settings_locale is None:
            return None
        active = ActiveLocale.capture()
        return None if active == self._settings_locale else active

    def request_size(self, request: HttpRequest) -> int:
        """Estimate how many bytes of a handshake's request are kept with its sockets.

        Cookies and parameters may be kept once more, each by itself.
        """
        get = request.META.get
        parts = get("HTTP_COOKIE", "").count(";") + get("QUERY_STRING", "").count("&")
        size: int = get(SIZE_KEY, 0) + PART_SIZE * parts
        return size

    def restore(self, captured: ActiveLocale) -> None:
        """Activate a captured language and time zone for the handlers of an event."""
        captured.activate()

    def before_event(self) -> None:
        """Replace broken and outdated database connections."""
        if getattr(getcurrent(), "has_connections", False):
            self._database.before_event()

    def after_event(self, request: Any) -> None:
        """Save the session if handlers have changed it, and release database connections.

        Where the test client runs events, in the test's own greenlet, the connections stay.

        :raises Exception: whatever the store of sessions raises.
        """
        try:
            identity = self._watcher.find_identity(request)
            if identity is not None:
                identity.finish()
        finally:
            self.release()

    def release(self) -> None:
        """Release database connections that the worker has opened."""
        caller = cast(Any, getcurrent())
        if getattr(caller, "has_connections", False):
            self._database.after_event()
        else:
            caller.is_dirty = False

    def forget_changes(self, request: Any) -> None:
        """Don't save what handlers have changed in the session."""
        identity = self._watcher.find_identity(request)
        if identity is not None:
            identity.forget()

    def tell(self, happening: Happening, socket: Socket, **details: Any) -> None:
        """Send a signal, and treat database connections as around an event."""
        if not signals.SIGNALS[happening].receivers:
            return
        worker = getcurrent()
        if getattr(worker, "is_dirty", False):
            self.before_event()
        with self._watcher.aside(socket.request):
            signals.send(happening, socket, details)
        if getattr(worker, "is_dirty", False):
            self.release()

    def report_exception(self, socket: Socket, event_name: str, error: BaseException) -> None:
        """Tell of a handler's exception where Django tells of a view's."""
        signals.report_exception(socket, event_name, error)

    def find_mistake(self, result: Any) -> str | None:
        """Return the mistake if a handler returned an HTTP response, a coroutine or a generator."""
        if isinstance(result, HttpResponseBase):
            return (
                f"an {type(result).__name__}, which is not sent: decorators for views are not for "
                "handlers, which import login_required from socketio_server.decorators"
            )
        if isinstance(result, _UNAWAITED):
            return f"a {type(result).__name__}, which does not run: call it with async_to_sync"
        return None

    def log_message(self, request: HttpRequest, kind: str, message: Any) -> None:
        """Log a client's message or subscription, as django-socketio did; never raises."""
        self._message_log.write(request.META, kind, message)
