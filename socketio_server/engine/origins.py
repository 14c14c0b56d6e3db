"""Verifies the browser's ``Origin`` header against the site that its request is for.

Browsers let any page open a WebSocket to any host, cookies included; only this check prevents a
foreign page from acting as its visitor (RFC 6455 section 10.2). Other clients send no origin.
"""

import re
from collections.abc import Callable
from ipaddress import ip_address
from weakref import WeakValueDictionary

import msgspec

ANY = "*"
"""Allows every origin."""

NULL = "null"
"""The origin of local files and of pages in sandboxed frames (RFC 6454 section 7.3)."""

MAX_ORIGIN = 300
"""Characters of an origin that may be a site's own, which is enough for any name of a host: answers
repeat it, and their heads are cached."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

# An address as people write it: scheme, user, host, port and the rest.
_ADDRESS = re.compile(
    r"(?:([a-z][a-z0-9+.-]*):)?//(?:[^/?#@]*@)?"
    r"(\[[0-9a-f:.]+\]|[^/?#@:\[\]]*)(?::([0-9]{1,5}))?(?:[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_HOST = re.compile(r"[a-z0-9._-]+")
_PAGE_SCHEMES = {"ws": "http", "wss": "https"}


class Site(msgspec.Struct, frozen=True, weakref=True):
    """Where a handshake was sent to; the later requests of its session must go there too.

    :param path: the URL's path, as in ``EngineRequest``.
    :param host: the ``Host`` header.
    :param own: the origin of the site's own pages.
    :param own_behind_tls: their origin if a proxy has ended TLS without the project's knowledge;
        ``None`` if the request was secure.
    """

    path: str
    host: str
    own: str
    own_behind_tls: str | None

    def is_own(self, origin: str) -> bool:
        """Return whether an origin is that of the site's own pages."""
        if len(origin) > MAX_ORIGIN:
            return False
        if origin == self.own or origin == self.own_behind_tls:  # as browsers write it
            return True
        scheme, _, host = origin.partition("://")
        scheme = scheme.lower()
        return scheme in _DEFAULT_PORTS and _origin(scheme, host) in (self.own, self.own_behind_tls)

    def is_at(self, host: str) -> bool:
        """Return whether a ``Host`` header names the site's host."""
        return host == self.host or _without_port(host) == _without_port(self.host)


def site_of(
    path: str,
    host: str,
    forwarded_host: str = "",
    *,
    is_secure: bool,
    find_public_host: Callable[[], str],
) -> Site:
    """Return the site of a handshake; one object for all sessions that it is the site of.

    :param path: the URL's path.
    :param host: the ``Host`` header.
    :param forwarded_host: the ``X-Forwarded-Host`` header.
    :param is_secure: whether the request came over TLS, as far as the project knows.
    :param find_public_host: returns the host that browsers see, which a proxy may have replaced;
        called for the first of the sessions that last, because it depends on the headers only.
    :raises Exception: whatever ``find_public_host`` raises.
    """
    key = path, host, forwarded_host, is_secure
    site = _sites.get(key) if host else None  # without a host, it depends on the server's address
    if site is None:
        public_host = find_public_host()
        over_tls = _origin("https", public_host)
        site = Site(
            path,
            host,
            over_tls if is_secure else _origin("http", public_host),
            None if is_secure else over_tls,
        )
        _sites[key] = site
    return site


_sites: WeakValueDictionary[tuple[str, str, str, bool], Site] = WeakValueDictionary()
"""The sites of the sessions that last."""


def cors_headers(method: str, origin: str, allowed: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the headers that let a page of another, allowed origin read the answer (CORS).

    :param method: the request's method.
    :param origin: the allowed origin.
    :param allowed: the allowed origins of other sites.
    """
    if ANY in allowed:
        headers = [("Access-Control-Allow-Origin", ANY)]
    else:
        headers = [
            ("Access-Control-Allow-Origin", origin),
            ("Vary", "Origin"),
            ("Access-Control-Allow-Credentials", "true"),
        ]
    if method == "OPTIONS":
        headers.append(("Access-Control-Allow-Methods", "GET, POST"))
        headers.append(("Access-Control-Allow-Headers", "Content-Type"))
    return tuple(headers)


def spell(address: str) -> str | None:
    """Return the origin of an address as browsers write it in the header (RFC 6454 section 6.2).

    :param address: of a page or its host, as people write it.
    :return: the origin; ``None`` if it is not clear which one is meant.
    """
    text = address.strip()
    if text.lower() == NULL:
        return NULL
    match = _ADDRESS.fullmatch(text if "//" in text else f"//{text}")
    if match is None:
        return None
    scheme, host, port = match.groups()
    try:
        host = _spell_host(host)
    except ValueError:
        return None
    if scheme is None:
        scheme = "http" if host in ("localhost", "127.0.0.1", "[::1]") else "https"
    scheme = scheme.lower()
    if scheme == "file":
        return "file://"
    if not host or int(port or 0) > 65_535:
        return None
    scheme = _PAGE_SCHEMES.get(scheme, scheme)
    written = f"{host}:{int(port)}" if port else host
    return _origin(scheme, written) if scheme in _DEFAULT_PORTS else f"{scheme}://{written}"


def _spell_host(host: str) -> str:
    """Return a host as browsers write it; empty if it is.

    :raises ValueError: if it is none.
    """
    if host.startswith("["):
        return f"[{ip_address(host[1:-1]).compressed}]"
    name = host.lower() if host.isascii() else host.encode("idna").decode()
    if name and _HOST.fullmatch(name) is None:
        raise ValueError("not a host")
    return name


def _origin(scheme: str, host: str) -> str:
    """Return the origin of a host, without its scheme's default port."""
    return f"{scheme}://{host.lower().removesuffix(_DEFAULT_PORTS[scheme])}"


def _without_port(host: str) -> str:
    """Return a host without a default port."""
    return host.lower().removesuffix(":80").removesuffix(":443")
