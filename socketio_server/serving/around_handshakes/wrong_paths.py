"""Tells the developer of clients that ask for Socket.IO at a path where nothing is.

Only while ``DEBUG`` is on: without it, nothing is put around the application.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from socketio_server.http.engine_requests import engine_request_of
from socketio_server.net.log import show
from socketio_server.serving.around_handshakes.refused_hosts import Application

MAX_PATHS = 20
"""The most paths that are logged: clients choose them."""

logger = logging.getLogger("socketio_server")


def watch(application: Application, path: str) -> Application:
    """Return Django's WSGI application, with such requests logged once for each path.

    :param path: where Socket.IO is.
    """
    told = {path}

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = application(environ, start_response)
        if getattr(response, "status_code", None) == 404:
            request = engine_request_of(environ)
            is_client = {"EIO", "transport"} <= request.params.keys()
            if is_client and request.path not in told and len(told) <= MAX_PATHS:
                told.add(request.path)
                logger.warning(
                    "A Socket.IO client asks for %s; Socket.IO is at %s: correct the client's "
                    "`path` (said once)",
                    show(request.path),
                    show(path),
                )
        return response

    return call
