"""From WSGI's names to the engine's: makes the ``EngineRequest`` of a request (PEP 3333)."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from socketio_server.engine.request import EngineRequest, Query


def engine_request(
    headers: Mapping[str, Any], method: str, params: Query, address: str
) -> EngineRequest:
    """Return the engine's view of a request, from its parts.

    :param headers: the request's headers, as WSGI names them.
    :param method: ``GET``, ``POST``, …
    :param params: the URL's parameters.
    :param address: the client's address.
    """
    get = headers.get
    return EngineRequest(
        method,
        params,
        address,
        get("HTTP_HOST", ""),
        get("HTTP_ORIGIN"),
        get("HTTP_COOKIE", ""),
        get("HTTP_USER_AGENT", ""),
        "HTTP_UPGRADE" in headers and is_websocket(headers),
    )


def engine_request_of(environ: Mapping[str, Any]) -> EngineRequest:
    """Return the engine's view of a WSGI request.

    :param environ: its environ, for instance Django's ``request.META``.
    """
    return engine_request(
        environ,
        environ["REQUEST_METHOD"],
        parse_query(environ.get("QUERY_STRING", "")),
        environ.get("REMOTE_ADDR", ""),
    )


def is_websocket(headers: Mapping[str, Any]) -> bool:
    """Return whether a request asks to become a WebSocket (RFC 6455 section 4.2.1).

    :param headers: the request's headers, as WSGI names them.
    """
    return (
        headers.get("HTTP_UPGRADE", "").lower() == "websocket"
        and "upgrade" in headers.get("HTTP_CONNECTION", "").lower()
    )


def parse_query(query: str) -> Query:
    """Return the parameters of a query string; the last one of each name.

    :param query: the part of a URL behind the question mark.
    """
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, keep_blank_values=True))
    params = {}
    for part in query.split("&"):  # nearly every query; much faster than the standard library
        key, _, value = part.partition("=")
        params[key] = value
    return params
