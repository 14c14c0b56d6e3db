"""Which pages may talk to the server: the browser's ``Origin`` against the request's own host.

Browsers let any page open a WebSocket to any host, cookies included; only this check keeps a
foreign page from acting as its visitor (RFC 6455 section 10.2). Clients that are no browsers send
no origin.
"""

from functools import lru_cache
from urllib.parse import urlsplit

ANY = "*"
"""Allows every origin."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


@lru_cache(maxsize=1024)
def is_allowed(origin: str | None, host: str, allowed: tuple[str, ...]) -> bool:
    """Return whether a request may come from a page of ``origin``.

    :param origin: the request's ``Origin`` header; ``None`` if it has none.
    :param host: the request's ``Host`` header.
    :param allowed: further origins, as ``scheme://host[:port]``, or ``*`` for any.
    """
    if origin is None or ANY in allowed or origin in allowed:
        return True
    try:
        page, server = urlsplit(origin), urlsplit(f"//{host}")
        if page.scheme not in _DEFAULT_PORTS or not page.hostname:
            return False
        default = _DEFAULT_PORTS[page.scheme]
        return (page.hostname, page.port or default) == (server.hostname, server.port or default)
    except ValueError:  # a port that is no number, brackets that don't match
        return False


def cors_headers(
    method: str, origin: str | None, host: str, allowed: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Return the headers that let a page of another, allowed origin read the answer (CORS).

    :param method: the request's.

    The other parameters are those of ``is_allowed``.
    """
    if origin is None or not is_allowed(origin, host, allowed):
        return ()
    headers = [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
    if ANY not in allowed:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    if method == "OPTIONS":
        headers.append(("Access-Control-Allow-Methods", "GET, POST"))
        headers.append(("Access-Control-Allow-Headers", "Content-Type"))
    return tuple(headers)
