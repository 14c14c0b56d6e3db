"""Pages of other origins: which may connect, and whether their cookies get there."""

from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from socketio_server.checks.settings import with_options
from socketio_server.engine import origins


@with_options("allowed_origins")
def check_origins(allowed: Sequence[str]) -> Iterable[CheckMessage]:
    """E005: each allowed origin is written as browsers write it. W001: not every page of the web
    may talk to the server.
    """
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


_ORIGINS_HINT = (
    'An origin is scheme, host and port, as in "https://example.com" or "http://localhost:8000"; '
    "each is listed by itself, because patterns are not supported."
)


@with_options("public_url", "allowed_origins")
def check_public_url(url: str, allowed: Sequence[str]) -> Iterable[CheckMessage]:
    """W006: the host of ``SOCKETIO_PUBLIC_URL`` lets pages of other hosts in. W007: the session's
    cookie gets there.
    """
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
