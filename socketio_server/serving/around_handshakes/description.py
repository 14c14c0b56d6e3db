"""What other processes may know of a client's handshake, in the words of Node's servers."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from django.http.request import HttpHeaders

from socketio_server.serving import outside
from socketio_server.sockets.records import PRIVATE_HEADERS

TIME_KEY = "socketio_server.handshake_time"
"""The key in a request's ``META`` with the time of the handshake, in seconds since 1970."""


def describer() -> Callable[[HttpRequest], dict[str, Any]]:
    """Return a function that describes handshakes as the settings of now say."""
    shares_query = bool(outside.option("share_query"))
    return lambda request: describe(request, shares_query=shares_query)


def describe(request: HttpRequest, *, shares_query: bool) -> dict[str, Any]:
    """Return what is told of a handshake."""
    seconds = request.META.get(TIME_KEY, 0.0)
    time = datetime.fromtimestamp(seconds, UTC)
    query = request.GET.dict() if shares_query else {}
    return {
        "headers": dict(_headers_of(request)),
        "time": f"{time:%a %b %d %Y %H:%M:%S GMT%z}",
        "address": request.META.get("REMOTE_ADDR", ""),
        "xdomain": "HTTP_ORIGIN" in request.META,
        "secure": request.is_secure(),
        "issued": int(seconds * 1000),
        "url": request.get_full_path() if shares_query else request.path,
        "query": query,
        "auth": {},
    }


def _headers_of(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """Yield the headers; ``request.headers`` would keep a copy of them as long as the socket."""
    for key, value in request.META.items():
        name = HttpHeaders.parse_header_name(key)
        if name is not None and name.lower() not in PRIVATE_HEADERS:
            yield name.lower(), value
