"""Several processes: the broker between them, and what they don't share."""

from collections.abc import Iterable
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from socketio_server.checks.settings import with_options
from socketio_server.options import Options
from socketio_server.registry.events import REGISTRY
from socketio_server.serving.brokers import NOT_INSTALLED, make_publisher
from socketio_server.sockets.this_process import CLIENTS


@with_options("broker_url", "broker_prefix")
def check_broker(url: str | None, prefix: str) -> Iterable[CheckMessage]:
    """E006: the libraries for ``SOCKETIO_BROKER_URL`` are there, and understand it."""
    if url is None:
        return
    try:
        make_publisher(CLIENTS, url, prefix, clock=monotonic)
    except ImproperlyConfigured as error:
        is_missing = str(error) == NOT_INSTALLED
        yield Error(str(error), hint=_WITHOUT if is_missing else _URLS, id="socketio_server.E006")


_WITHOUT = "Or remove SOCKETIO_BROKER_URL: a server of one process needs no broker."
_URLS = (
    "It is as redis://user:password@host:6379/0, redis://:password@host:6379/0, "
    "rediss://host:6379/0 (TLS), unix:///path/to/redis.sock or "
    'redis+sentinel://host:26379/service/0, with options behind a "?": the page "Run several '
    'processes" of the documentation describes them.'
)


@with_options("broker_url")
def check_namespaces(url: str | None) -> Iterable[CheckMessage]:
    """E007: clients may join each namespace that a handler names, also with a broker."""
    if url is None:
        return
    for namespace in sorted(REGISTRY.namespaces):
        if "#" in namespace:
            yield Error(
                f"A handler is for the namespace {namespace!r}, which no client may join with "
                "SOCKETIO_BROKER_URL: a '#' separates the parts of Redis's channel names.",
                hint="Rename the namespace.",
                id="socketio_server.E007",
            )


@with_options("broker_url", "broker_prefix")
def check_broker_prefix(url: str | None, prefix: str) -> Iterable[CheckMessage]:
    """W005, with ``--deploy``: servers are not kept apart by the numbers of databases only."""
    if url is not None and prefix == Options().broker_prefix and _names_a_database(url):
        yield Warning(
            "SOCKETIO_BROKER_URL names a database of Redis, which keeps no servers apart: what is "
            "published on one is heard on all.",
            hint=(
                "Set SOCKETIO_BROKER_PREFIX, a name for each site, or for production and staging; "
                "or use database 0."
            ),
            id="socketio_server.W005",
        )


def _names_a_database(url: str) -> bool:
    """Return whether a URL of Redis names another database than 0."""
    parts = urlsplit(url)
    last = "" if parts.scheme == "unix" else parts.path.rpartition("/")[2]
    (database,) = parse_qs(parts.query).get("db", [last])[:1]
    return database.isdigit() and int(database) > 0


@with_options("broker_url")
def check_caches(url: str | None) -> Iterable[CheckMessage]:
    """W010: with a broker, sessions and caches are not in the memory of each process."""
    if url is None:
        return
    in_memory = [alias for alias, cache in settings.CACHES.items() if _is_in_memory(cache)]
    holds_sessions = settings.SESSION_ENGINE in _CACHED_SESSIONS
    if holds_sessions and settings.SESSION_CACHE_ALIAS in in_memory:
        yield Warning(
            f"Sessions are in the cache {settings.SESSION_CACHE_ALIAS!r}, which each process has "
            "in its own memory: who logs in or out in one may not be so in the others.",
            hint="Keep sessions in the database, or in a cache of all processes, Redis say.",
            id="socketio_server.W010",
        )
        in_memory.remove(settings.SESSION_CACHE_ALIAS)
    if not settings.is_overridden("CACHES"):  # type: ignore[misc]  # django-stubs' own lack
        return  # Django's own, which many projects never use
    for alias in in_memory:
        yield Warning(
            f"Each process has the cache {alias!r} in its own memory: what one of them sets or "
            "deletes there, the others don't see.",
            hint="Use a cache of all processes, Redis say; or silence this check.",
            id="socketio_server.W010",
        )


_CACHED_SESSIONS = {
    "django.contrib.sessions.backends.cache",
    "django.contrib.sessions.backends.cached_db",
}


def _is_in_memory(cache: dict[str, Any]) -> bool:
    return cache.get("BACKEND") == "django.core.cache.backends.locmem.LocMemCache"
