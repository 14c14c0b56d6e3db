"""Lets in the requests of pages that may talk to the server; what an origin is, ``origins`` knows.

A session remembers the site of its handshake: its later requests must be of that site's pages, or
of allowed ones, and for the same host.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from socketio_server.engine import origins
from socketio_server.engine.origins import Site
from socketio_server.engine.request import EngineRequest
from socketio_server.net.log import show
from socketio_server.net.refusals import RefusalKind
from socketio_server.options import Options
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.responses import Response

logger = logging.getLogger("socketio_server")


class Refuse(Protocol):
    """Counts a refused request, and returns its answer (``Engine.refuse``)."""

    def __call__(
        self,
        code: ErrorCode,
        address: str,
        *,
        kind: RefusalKind | None = None,
        why: str | None = None,
    ) -> Response:
        """Refuse a request of a client at an address."""


class OriginGuard:
    """Decides which pages and hosts the requests of a server may have.

    :param site_of: returns the site of a session, by its ``sid``; ``None`` if it is not known.
    """

    def __init__(
        self, options: Options, site_of: Callable[[str], Site | None], refuse: Refuse
    ) -> None:
        self._allowed = options.allowed_origins
        self._site_of_session = site_of
        self._refuse = refuse
        self._told_of_tls = False  # logged that a proxy seems to end TLS

    def allows(self, request: EngineRequest) -> bool:
        """Return whether the page that sends a request, if any, may talk to the server."""
        origin = request.origin
        if origin is None:
            return not request.is_cross_site  # an image, say, in a page of another site
        if origin in self._allowed or origins.ANY in self._allowed:
            return True
        site = self._site_of(request)
        if site is None or not site.is_own(origin):
            return False
        if site.own_behind_tls is not None and origin.startswith("https:"):
            self._tell_of_tls(origin)
        return True

    def cors_headers(self, request: EngineRequest) -> tuple[tuple[str, str], ...]:
        """Return the headers that let a page of another, allowed origin read the answer."""
        origin = request.origin
        if origin is None or not self.allows(request):
            return ()
        return origins.cors_headers(request.method, origin, self._allowed)

    def refuse(self, request: EngineRequest) -> Response:
        """Count a request whose page's origin is not allowed, and return its answer."""
        site = self._site_of(request)
        own = show(request.host if site is None else site.own)
        why = (
            "a page of another site sends a request without an origin"
            if request.origin is None
            else f"origin {show(request.origin)} is neither {own} nor in SOCKETIO_ALLOWED_ORIGINS"
        )
        return self._refuse(ErrorCode.FORBIDDEN, request.address, why=why)

    def refuse_host(self, request: EngineRequest, why: str = "not in ALLOWED_HOSTS") -> Response:
        """Count a request for a host that it may not be for, and return its answer.

        :param why: what the host is; by default, that it is not the project's.
        """
        why = f"host {show(request.host)} is {why}"
        return self._refuse(ErrorCode.FORBIDDEN, request.address, kind=RefusalKind.HOST, why=why)

    def refuse_elsewhere(self, request: EngineRequest, site: Site) -> Response | None:
        """Refuse a session's request of a foreign page, or for another host than its handshake's;
        return ``None`` if it may be answered.

        :param site: the session's.
        """
        if request.origin is None and not request.is_cross_site and request.host == site.host:
            return None  # nearly every poll
        if not self.allows(request):
            return self.refuse(request)
        if not site.is_at(request.host):
            return self.refuse_host(request, "not that of the session's handshake")
        return None

    def _site_of(self, request: EngineRequest) -> Site | None:
        """Return the site of a handshake or of a request's session, if it is known."""
        if request.site is not None:
            return request.site
        return self._site_of_session(request.params.get("sid", ""))

    def _tell_of_tls(self, origin: str) -> None:
        """Log once that a page was served over TLS, but its request seems not to be."""
        if not self._told_of_tls:
            self._told_of_tls = True
            logger.warning(
                "A page of %s is let in although its request seems to be plain HTTP: if a proxy "
                "ends TLS, tell Django by SECURE_PROXY_SSL_HEADER (said once)",
                show(origin),
            )
