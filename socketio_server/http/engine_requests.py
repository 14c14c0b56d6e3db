"""From WSGI's names to the engine's: makes the ``EngineRequest`` of a request (PEP 3333)."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from socketio_server.engine.request import EngineRequest, Query

PATH_KEY = "socketio_server.path"
"""Where the environ has the path as it reached the server, which an application may make another of
(``SCRIPT_NAME``, middleware)."""

MAX_PARAMETERS = 200
"""Parameters of a query that are looked at."""


def engine_request(
    headers: Mapping[str, Any], method: str, params: Query, address: str, path: str
) -> EngineRequest:
    """Return the engine's view of a request, from its parts.

    :param headers: the request's headers, as WSGI names them.
    :param method: ``GET``, ``POST``, …
    :param params: the URL's parameters.
    :param address: the client's address.
    :param path: the URL's path, decoded.
    """
    get = headers.get
    return EngineRequest(
        method,
        params,
        address,
        path,
        get("HTTP_HOST", ""),
        get("HTTP_ORIGIN"),
        get("HTTP_COOKIE", ""),
        get("HTTP_USER_AGENT", ""),
        "HTTP_UPGRADE" in headers and is_websocket(headers),
        get("HTTP_SEC_FETCH_SITE") == "cross-site",
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
        environ.get(PATH_KEY, ""),
    )


def is_websocket(headers: Mapping[str, Any]) -> bool:
    """Return whether a request asks to become a WebSocket (RFC 6455 section 4.2.1).

    :param headers: the request's headers, as WSGI names them.
    """
    return (
        headers.get("HTTP_UPGRADE", "").lower() == "websocket"
        and "upgrade" in headers.get("HTTP_CONNECTION", "").lower()
    )


def decode_path(path: str) -> str:
    """Return the path of a request line, decoded as WSGI wants it: bytes as Latin-1."""
    return unquote_to_bytes(path).decode("latin-1") if "%" in path else path


def parse_query(query: str) -> Query:
    """Return the parameters of a query string; the last one of each name.

    If there are very many, only the last count, because clients add theirs at the end.

    :param query: the part of a URL behind the question mark.
    """
    parts = query.rsplit("&", MAX_PARAMETERS)[-MAX_PARAMETERS:]
    if "%" in query or "+" in query:
        return dict(parse_qsl("&".join(parts), keep_blank_values=True))
    params = {}
    for part in parts:  # nearly every query; much faster than the standard library
        key, _, value = part.partition("=")
        params[key] = value
    return params
