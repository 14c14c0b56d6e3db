"""The WebSocket handshake (RFC 6455 section 4.2): verify a client's request, and answer with 101.

gevent-websocket computes the headers of the answer. Its handler neither reads nor writes: an
exchange sends the 101 and gives the connection to the engine's transport.
"""

import base64
import binascii
import io
import logging
from collections.abc import Iterable
from typing import Any, Protocol

from geventwebsocket.handler import WebSocketHandler

from socketio_server.engine.engine import Engine
from socketio_server.engine.transports.websocket import UpgradedConnection
from socketio_server.net.connection import Connection
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.requests import Head
from socketio_server.protocol.http1.responses import Response, encode_text_head
from socketio_server.protocol.websocket.permessage_deflate import agree_on_deflate

WEBSOCKET_VERSION = "13"  # RFC 6455 section 4.1
VERSION_HEADER = ("Sec-WebSocket-Version", WEBSOCKET_VERSION)
"""Goes with every refusal of a WebSocket (RFC 6455 section 4.4)."""

_KEY_SIZE = 16  # bytes of a decoded Sec-WebSocket-Key, section 4.1
_REPLACED_HEADERS = {"content-length", "content-type", "connection", "upgrade"}
"""Headers of an application's answer that a 101 must not carry, or that the handshake sets."""


class Upgradable(Protocol):
    """The exchange whose connection becomes a WebSocket."""

    head: Head

    def switch(self, answer: bytes) -> tuple[Connection, bytes]:
        """Send the answer and hand over the connection.

        :return: the connection, and bytes that arrived behind the request.
        """


def is_well_formed(head: Head) -> bool:
    """Return whether a WebSocket handshake may be answered with 101 (RFC 6455 section 4.2.1)."""
    environ = head.headers.environ
    try:
        key = base64.b64decode(environ.get("HTTP_SEC_WEBSOCKET_KEY", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return (
        len(key) == _KEY_SIZE
        and head.method == "GET"
        and environ.get("HTTP_SEC_WEBSOCKET_VERSION") == WEBSOCKET_VERSION
        and head.version == "HTTP/1.1"
        and not head.headers.has_body
    )


def refuse_malformed(engine: Engine, address: str) -> Response:
    """Count a malformed handshake, and return its answer."""
    return engine.refuse(ErrorCode.BAD_REQUEST, address, why="malformed WebSocket handshake")


def switch_protocols(
    exchange: Upgradable,
    *,
    may_deflate: bool,
    headers: Iterable[tuple[str, str]] = (),
) -> UpgradedConnection:
    """Answer a well-formed handshake with 101, and take over the connection.

    :param may_deflate: whether permessage-deflate may be agreed on.
    :param headers: headers of the application's answer; cookies and most others are kept.
    """
    lines = _Handshake(exchange.head).answer()
    lines += [(name, value) for name, value in headers if name.lower() not in _REPLACED_HEADERS]
    offers = exchange.head.headers.environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "")
    agreed = agree_on_deflate(offers) if may_deflate else None
    # The client gives up where it offered subprotocols and none is agreed on; they mean nothing
    # here, so it gets the first, as from the reference server.
    subprotocols = exchange.head.headers.environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
    if subprotocols:
        lines.append(("Sec-WebSocket-Protocol", subprotocols.partition(",")[0].strip()))
    if agreed is not None:
        lines.append(("Sec-WebSocket-Extensions", agreed))
    connection, data = exchange.switch(encode_text_head(101, lines))
    return UpgradedConnection(connection, data, deflates=agreed is not None)


class _Handshake(WebSocketHandler):  # type: ignore[misc]  # untyped
    """gevent-websocket's handler, used only to compute the headers of the 101.

    It gets the two headers that the answer depends on instead of a request, and no connection.
    """

    application = None
    logger = logging.getLogger("socketio_server.handshake")
    rfile = io.BytesIO()

    def __init__(self, head: Head) -> None:
        self.socket = self
        headers = head.headers.environ
        keys = ("HTTP_SEC_WEBSOCKET_KEY", "HTTP_SEC_WEBSOCKET_VERSION")
        self.environ: dict[str, Any] = {key: headers[key] for key in keys}
        self._answer: list[tuple[str, str]] = []

    def answer(self) -> list[tuple[str, str]]:
        """Return the headers of the 101."""
        self.upgrade_connection()
        # The WebSocket would send a close frame when it is deleted, or call the application; and it
        # forms a reference cycle with this object.
        del self.websocket.closed
        del self.websocket, self.socket
        self.environ.clear()
        return self._answer

    def start_response(self, status: str, headers: list[tuple[str, str]]) -> None:
        """Take the answer's headers."""
        self._answer = headers

    def sendall(self, data: bytes) -> None:
        """Never called: gevent-websocket only looks for a method of this name."""
        raise NotImplementedError
