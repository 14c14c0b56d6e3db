"""What the engine looks at in an HTTP request, whoever read it: no headers, no WSGI, no Django."""

from collections.abc import Mapping

import msgspec

Query = Mapping[str, str]
"""The parameters of a URL."""


class EngineRequest(msgspec.Struct, frozen=True, gc=False):
    """A request for a new session, or for one that exists.

    Made for every poll, so whatever takes time to find out is left to who needs it.

    :param method: ``GET``, ``POST``, …
    :param params: the URL's parameters.
    :param address: the client's; empty for a Unix socket's.
    :param path: the URL's path as it reached the server, decoded.
    :param host: the ``Host`` header.
    :param origin: the ``Origin`` header; ``None`` where there is none.
    :param cookie: the ``Cookie`` header.
    :param user_agent: the ``User-Agent`` header.
    :param is_websocket: whether it asks to become a WebSocket.
    """

    method: str
    params: Query
    address: str = ""
    path: str = ""
    host: str = ""
    origin: str | None = None
    cookie: str = ""
    user_agent: str = ""
    is_websocket: bool = False
