"""Logs and counts handshakes that Django's own middleware refused for their host.

``CommonMiddleware`` looks at the host before any view, and answers 400; with ``DEBUG = False``
Django logs that nowhere by default.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIRequest

from socketio_server.engine.engine import Engine
from socketio_server.http.engine_requests import engine_request_of

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def watch(application: Application, engine: Engine) -> Application:
    """Return Django's WSGI application, with such handshakes counted.

    :param engine: counts them.
    """

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = application(environ, start_response)
        if getattr(response, "status_code", None) == 400:
            request = engine_request_of(environ)
            if "EIO" in request.params and not _is_allowed(environ):
                engine.origins.refuse_host(request)
        return response

    return call


def _is_allowed(environ: dict[str, Any]) -> bool:
    try:
        WSGIRequest(environ).get_host()
    except DisallowedHost:
        return False
    return True
