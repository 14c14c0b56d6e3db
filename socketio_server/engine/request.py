"""The engine's view of an HTTP request, independent of WSGI and Django."""

from collections.abc import Mapping

import msgspec

from socketio_server.engine.origins import Site

Query = Mapping[str, str]
"""The parameters of a URL."""


class EngineRequest(msgspec.Struct, frozen=True, gc=False):
    """A request for a new session, or of an existing one.

    One is made for every poll, and therefore holds raw headers: parsing is left to their readers.

    :param method: ``GET``, ``POST``, …
    :param params: the URL's parameters.
    :param address: the client's address; empty for a Unix socket.
    :param path: the URL's path as it reached the server, decoded.
    :param host: the ``Host`` header.
    :param origin: the ``Origin`` header; ``None`` if there is none.
    :param cookie: the ``Cookie`` header.
    :param user_agent: the ``User-Agent`` header.
    :param is_websocket: whether it asks to become a WebSocket.
    :param is_cross_site: whether a browser says that a page of another site sends it.
    :param site: the site of a handshake, as the project sees it; ``None`` in later requests, which
        must be for that of their session.
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
    is_cross_site: bool = False
    site: Site | None = None
