"""Verifies the browser's ``Origin`` header against the request's host.

Browsers let any page open a WebSocket to any host, cookies included; only this check prevents a
foreign page from acting as its visitor (RFC 6455 section 10.2). Other clients send no origin.
"""

from functools import lru_cache
from urllib.parse import urlsplit

ANY = "*"
"""Allows every origin."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


@lru_cache(maxsize=1024)
def is_allowed(origin: str | None, host: str, allowed: tuple[str, ...]) -> bool:
    """Return whether pages of ``origin`` may send a request.

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
    except ValueError:  # an invalid port, or unbalanced brackets
        return False


def cors_headers(
    method: str, origin: str | None, host: str, allowed: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Return the headers that let a page of another, allowed origin read the answer (CORS).

    :param method: the request's method.

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
