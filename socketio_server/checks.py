"""System checks: report mistakes of the project before the server starts.

Identifiers are stable: ``socketio_server.E…`` keeps the server from starting, ``W…`` does not.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from ipaddress import ip_address
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.contrib.staticfiles import finders
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, get_script_prefix, resolve, reverse
from django.utils import translation

from socketio_server import assets, conf
from socketio_server.engine import origins
from socketio_server.options import Options
from socketio_server.registry.events import REGISTRY, Event, Registration
from socketio_server.registry.guards import layers_of
from socketio_server.registry.patterns import literal_beginning
from socketio_server.registry.signatures import describe
from socketio_server.serving.brokers import make_publisher
from socketio_server.serving.middleware import import_middleware
from socketio_server.sockets.this_process import CLIENTS


def check_settings(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E001: each ``SOCKETIO_`` setting exists, and has a valid value."""
    for problem in conf.problems():
        yield Error(
            f"{problem.setting} {problem.message}",
            hint="The module socketio_server.options describes all settings.",
            id="socketio_server.E001",
        )


def check_urls(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E002: the server's URL is in the project's URLconf, and leads to the server's view."""
    try:
        astray = next(filter(None, map(_find_astray, _languages_of_urls())), None)
    except NoReverseMatch:
        yield Error(
            "The URLconf has no place for Socket.IO's requests.",
            hint='Add path("", include("socketio_server.urls")) to the urlpatterns.',
            id="socketio_server.E002",
        )
        return
    if astray is not None:
        yield Error(
            astray,
            hint=(
                'Put include("socketio_server.urls") before what matches the same path, and give '
                'no other URL the name "socketio".'
            ),
            id="socketio_server.E002",
        )


def _languages_of_urls() -> list[str]:
    """Return the languages in which the project's URLs may differ."""
    uses_prefixes, _ = is_language_prefix_patterns_used(settings.ROOT_URLCONF)
    if settings.USE_I18N and uses_prefixes:
        return [code for code, _ in settings.LANGUAGES]
    return [settings.LANGUAGE_CODE]


def _find_astray(language: str) -> str | None:
    """Return a message if the server's URL, in a language, leads to another view.

    :raises NoReverseMatch: if the server has no URL.
    """
    with translation.override(language):
        url = reverse("socketio")
        match = resolve("/" + unquote(url).removeprefix(get_script_prefix()))
    view = match.func
    if (view.__module__, getattr(view, "__name__", "")) == _VIEW:
        return None
    return f"Socket.IO's requests to {url} lead to another view, by the pattern {match.route!r}."


_VIEW = ("socketio_server.views", "socketio")
"""The module and name of the server's view, which the project's decorators keep."""


def check_bundle(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E003: the official client, which the build copies into the package, is a static file."""
    if finders.find(assets.CLIENT_BUNDLE) is None:
        yield Error(
            f"The static file {assets.CLIENT_BUNDLE} is missing.",
            hint=(
                "Run `pip install -e .` in the checkout of django-socketio-server, or install the "
                "package anew; and keep django.contrib.staticfiles in INSTALLED_APPS."
            ),
            id="socketio_server.E003",
        )


def check_middleware(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E004: each path in ``SOCKETIO_MIDDLEWARE`` names a callable."""
    try:
        paths = conf.option("middleware")
    except ImproperlyConfigured:
        return  # E001 says so
    for path in paths:
        try:
            import_middleware(path)
        except ImproperlyConfigured as error:
            yield Error(
                str(error),
                hint='Name a module and a callable in it, "chat.middleware.Timing" say.',
                id="socketio_server.E004",
            )


def check_broker(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E006: redis-py is there for ``SOCKETIO_BROKER_URL``, and understands it."""
    try:
        url, prefix = conf.option("broker_url"), conf.option("broker_prefix")
    except ImproperlyConfigured:
        return  # E001 says so
    if url is None:
        return
    try:
        make_publisher(CLIENTS, url, prefix, clock=monotonic)
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint="Or remove SOCKETIO_BROKER_URL: a server of one process needs no broker.",
            id="socketio_server.E006",
        )


def check_namespaces(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E007: clients may join each namespace that a handler names, also with a broker."""
    try:
        url = conf.option("broker_url")
    except ImproperlyConfigured:
        return  # E001 says so
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


def check_broker_prefix(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W005, with ``--deploy``: servers are not kept apart by the numbers of databases only."""
    try:
        url, prefix = conf.option("broker_url"), conf.option("broker_prefix")
    except ImproperlyConfigured:
        return  # E001 says so
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


def check_caches(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W010: with a broker, sessions and caches are not in the memory of each process."""
    try:
        url = conf.option("broker_url")
    except ImproperlyConfigured:
        return  # E001 says so
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


def check_sessions(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W011: handlers can change sessions, and see that one has ended."""
    if settings.SESSION_ENGINE == "django.contrib.sessions.backends.signed_cookies":
        yield Warning(
            "SESSION_ENGINE keeps sessions in cookies, which handlers can't set: their changes are "
            "lost, and who has logged out stays logged in on connections that are open.",
            hint="Keep sessions in the database or in a cache.",
            id="socketio_server.W011",
        )


def check_debug(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W003: no error page shows the project's code to other machines."""
    try:
        host = conf.option("host")
    except ImproperlyConfigured:
        return  # E001 says so
    if settings.DEBUG and not is_local(host):
        yield Warning(
            f"DEBUG is on, and others can reach {host} (SOCKETIO_HOST): its error pages show them "
            "the project's settings and code.",
            hint="Set DEBUG = False, or SOCKETIO_HOST = '127.0.0.1'.",
            id="socketio_server.W003",
        )


def is_local(address: str) -> bool:
    """Return whether only this machine can reach an address; host names other than its own
    can't.
    """
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def check_database_drivers(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W002: no database driver waits in C, where gevent can't switch to other greenlets."""
    for alias, database in settings.DATABASES.items():
        engine = str(database.get("ENGINE", ""))
        driver, hint = _PATIENT_DRIVERS.get(engine, ("", ""))
        if driver and find_spec(driver) is None:
            yield Warning(
                f"The database {alias!r} ({engine}) stops all clients while its driver waits.",
                hint=hint,
                id="socketio_server.W002",
            )


_PATIENT_DRIVERS = {
    "django.db.backends.postgresql": (
        "psycopg",
        "Install psycopg 3, which waits in Python: `pip install psycopg[binary]`.",
    ),
    "django.db.backends.mysql": (
        "pymysql",
        "Install PyMySQL, which is Python, and call `pymysql.install_as_MySQLdb()`.",
    ),
    "django.db.backends.oracle": (
        "oracledb",
        "Install python-oracledb, whose thin mode is Python: `pip install oracledb`.",
    ),
}
"""By engine, the driver that lets other greenlets run while it waits: gevent can't patch C
libraries. SQLite waits for no server, only for its own file."""


def check_connections(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W004: a database's server allows as many connections as there may be handlers."""
    try:
        handlers = conf.option("max_concurrent_handlers")
    except ImproperlyConfigured:
        return  # E001 says so
    if handlers <= USUAL_CONNECTIONS:
        return
    for alias, database in settings.DATABASES.items():
        options: Any = database.get("OPTIONS") or {}
        if database.get("ENGINE") in _PATIENT_DRIVERS and not options.get("pool"):
            yield Warning(
                f"Up to {handlers} handlers (SOCKETIO_MAX_CONCURRENT_HANDLERS) may each open a "
                f"connection to the database {alias!r}; its server allows about "
                f"{USUAL_CONNECTIONS}, unless you have told it otherwise.",
                hint=(
                    'Give it a pool: "OPTIONS": {"pool": True}, with psycopg and Django 5.1 or '
                    "later; or set SOCKETIO_MAX_CONCURRENT_HANDLERS to fewer than the server "
                    "allows."
                ),
                id="socketio_server.W004",
            )


USUAL_CONNECTIONS = 100
"""PostgreSQL's default for ``max_connections``; MySQL's is 151."""


def check_origins(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E005: each allowed origin is written as browsers write it. W001: not every page of the web
    may talk to the server.
    """
    try:
        allowed = conf.option("allowed_origins")
    except ImproperlyConfigured:
        return  # E001 says so
    for origin in allowed:
        spelling = origins.spell(origin)
        if origin != origins.ANY and origin != spelling:
            yield Error(
                f"SOCKETIO_ALLOWED_ORIGINS has {origin!r}, which is no page's origin.",
                hint=_ORIGINS_HINT if spelling is None else f"Write {spelling!r}.",
                id="socketio_server.E005",
            )
    if origins.NULL in allowed:
        yield Warning(
            'SOCKETIO_ALLOWED_ORIGINS has "null": any page can act as its visitor on this server, '
            "from a sandboxed frame.",
            hint="Serve the page from an origin of its own; an app's is its scheme and host.",
            id="socketio_server.W001",
        )
    if origins.ANY in allowed:
        yield Warning(
            'SOCKETIO_ALLOWED_ORIGINS has "*": any page can act as its visitor on this server.',
            hint="List the origins of your own pages.",
            id="socketio_server.W001",
        )


def check_public_url(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W006: the host of ``SOCKETIO_PUBLIC_URL`` lets pages of other hosts in. W007: the session's
    cookie gets there.
    """
    try:
        url, allowed = conf.option("public_url"), conf.option("allowed_origins")
    except ImproperlyConfigured:
        return  # E001 says so
    if not url:
        return
    if not allowed:
        yield Warning(
            f"SOCKETIO_PUBLIC_URL sends pages to {url}, which refuses pages of all other origins.",
            hint=(
                "List the pages' origins in SOCKETIO_ALLOWED_ORIGINS, and let the pages say "
                "io({ withCredentials: true }) if their visitors log in. If all pages are at "
                f'{url} itself, set SOCKETIO_PUBLIC_URL = "".'
            ),
            id="socketio_server.W006",
        )
    if origins.ANY in allowed:
        yield Warning(
            f'SOCKETIO_ALLOWED_ORIGINS has "*": {url} gets no cookies over polling, and pages with '
            "withCredentials can't connect.",
            hint="List the pages' origins, or let no page say withCredentials.",
            id="socketio_server.W007",
        )
    elif _SESSION_MIDDLEWARE in settings.MIDDLEWARE:
        for origin in allowed:
            remedy = _find_cookie_remedy(urlsplit(origin), urlsplit(url))
            if remedy is not None:
                yield Warning(
                    f"Pages of {origin} send no session's cookie to {url}: request.user is "
                    "anonymous there.",
                    hint=(
                        f"{remedy} The pages say io({{ withCredentials: true }}). Or pass a token "
                        "in auth, and silence this check."
                    ),
                    id="socketio_server.W007",
                )


_SESSION_MIDDLEWARE = "django.contrib.sessions.middleware.SessionMiddleware"


def _find_cookie_remedy(page: SplitResult, server: SplitResult) -> str | None:
    """Return the settings with which a page's requests to the server carry the session's cookie;
    ``None`` if they do so already, or the page is an app's.
    """
    hosts = page.hostname or "", server.hostname or ""
    if page.scheme not in ("http", "https") or hosts[0] == hosts[1]:
        return None
    # For browsers a site is a scheme and a registrable domain; the last two labels stand for that.
    domains = {".".join(host.split(".")[-2:]) for host in hosts}
    if page.scheme != server.scheme or len(domains) > 1:
        if settings.SESSION_COOKIE_SAMESITE == "None" and settings.SESSION_COOKIE_SECURE:
            return None
        return (
            'They are another site: set SESSION_COOKIE_SAMESITE = "None" and SESSION_COOKIE_SECURE '
            f"= True, and let visitors log in at {server.hostname}."
        )
    cookie_domain = (settings.SESSION_COOKIE_DOMAIN or "").removeprefix(".")
    if cookie_domain and all(f".{host}".endswith(f".{cookie_domain}") for host in hosts):
        return None
    return (
        f'Set SESSION_COOKIE_DOMAIN = ".{domains.pop()}"; SESSION_COOKIE_SAMESITE may stay "Lax".'
    )


_ORIGINS_HINT = (
    'An origin is scheme, host and port, as in "https://example.com" or "http://localhost:8000"; '
    "each is listed by itself, because patterns are not supported."
)


def check_decorators(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E008: no handler has a decorator of Django's for views, which would answer with a page."""
    for event in REGISTRY:
        for handler in dict.fromkeys(each.handler for each in event.registrations):
            if any(map(_is_for_views, layers_of(handler))):
                yield Error(
                    f"The {event.name} handler {describe(handler)} has a decorator for views.",
                    hint=(
                        "Import login_required, permission_required or user_passes_test from "
                        "socketio_server.decorators, instead of from django.contrib.auth."
                    ),
                    id="socketio_server.E008",
                )


def _is_for_views(layer: Any) -> bool:
    """Return whether a function is what Django's decorators for users make of a view."""
    names = getattr(layer, "__globals__", {})
    return bool(names.get("__name__") == "django.contrib.auth.decorators")


def check_event_names(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W012: no handler of ``events.on`` waits for an event that no client sends."""
    custom = REGISTRY.custom
    own = {each.name: each.name for each in REGISTRY if each is not custom.get(each.name)}
    meant = {**own, **_MEANT_EVENTS}
    for name in sorted(custom.keys() & meant.keys()):
        for registration in custom[name].registrations:
            yield Warning(
                f"The handler {describe(registration.handler)} waits for an event {name!r}, which "
                "no client sends by itself.",
                hint=f"Write @events.{meant[name]}; silence this check if your clients send it.",
                id="socketio_server.W012",
            )


_MEANT_EVENTS = {
    "connection": "on_connect",
    "subscribe": "on_subscribe",
    "unsubscribe": "on_unsubscribe",
}
"""What handlers may be called after servers of Node or the page's methods, and the decorators."""


def check_authorize(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W008: the pattern of each ``authorize`` handler may match a channel that is in use."""
    if any(each.pattern is None for each in REGISTRY.on_subscribe.registrations):
        return
    for guard in REGISTRY.authorize.registrations:
        used = [each for each in _with_channels() if _share_namespace(guard, each)]
        if used and not any(_may_match_both(guard, each) for each in used):
            assert guard.pattern is not None  # without one, it matches all
            yield Warning(
                f"The authorize handler {describe(guard.handler)} guards channels like "
                f"{guard.pattern.pattern!r}, which no other handler is for.",
                hint=f"Those that have handlers are like {_patterns(used)}.",
                id="socketio_server.W008",
            )


def check_unguarded_channels(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W009, with ``--deploy``: not every client may subscribe to every channel that has
    handlers.
    """
    try:
        if conf.option("subscribe_default") != "allow":
            return
    except ImproperlyConfigured:
        return  # E001 says so
    guards = REGISTRY.authorize.registrations
    unguarded = [
        each
        for each in _with_channels()
        if not any(_share_namespace(guard, each) and _covers(guard, each) for guard in guards)
    ]
    if unguarded:
        yield Warning(
            f"Every client may subscribe to channels like {_patterns(unguarded)}: no authorize "
            "handler is for them.",
            hint=(
                'Write one, which may return True; or set SOCKETIO_SUBSCRIBE_DEFAULT = "deny", if '
                "it is the server that subscribes clients."
            ),
            id="socketio_server.W009",
        )


def _with_channels() -> list[Registration]:
    """Return the handlers that have a channel pattern, but those of ``authorize``."""
    events: list[Event] = [event for event in REGISTRY if event is not REGISTRY.authorize]
    return [each for event in events for each in event.registrations if each.pattern is not None]


def _share_namespace(one: Registration, other: Registration) -> bool:
    """Return whether two handlers may be for the same namespace."""
    names = [each.namespace for each in (one, other) if isinstance(each.namespace, str)]
    return all(one.is_for(name) and other.is_for(name) for name in names)


def _may_match_both(one: Registration, other: Registration) -> bool:
    """Return whether a channel may be for both handlers, as far as their beginnings tell."""
    first, second = map(_beginning, (one, other))
    return first.startswith(second) or second.startswith(first)


def _covers(guard: Registration, other: Registration) -> bool:
    """Return whether a handler may be for all channels that another is for."""
    return _beginning(other).startswith(_beginning(guard))


def _beginning(registration: Registration) -> str:
    return "" if registration.pattern is None else literal_beginning(registration.pattern)


def _patterns(registrations: Iterable[Registration]) -> str:
    return ", ".join(sorted({repr(each.pattern.pattern) for each in registrations if each.pattern}))
