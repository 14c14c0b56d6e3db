"""One request of Django's: a handler of gevent's WSGI server, built on gevent-websocket's.

A handshake goes through the whole Django stack, whose view asks for the WebSocket by leaving its
request in the environ under ``UPGRADE_KEY``; so does everything that is not Socket.IO's. Reading
the request and keeping the connection are ``http``'s; gevent-websocket does the WebSocket handshake
only, and after it the connection is taken out of the handler's hands.
"""

import base64
import binascii
import contextvars
import io
import logging
import re
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler

from socketio_server.engine.engine import Engine
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session
from socketio_server.engine.transports.websocket import UpgradedConnection
from socketio_server.http.engine_requests import engine_request_of, is_websocket
from socketio_server.net.log import MAX_LOGGED
from socketio_server.options import Options
from socketio_server.protocol.deflate import agree_on_deflate
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.requests import Head
from socketio_server.protocol.http1.responses import Response, encode_response, http_date

if TYPE_CHECKING:
    from socketio_server.http.connection import HttpConnection

UPGRADE_KEY = "socketio_server.upgrade"
"""Where the handshake view leaves its request in the environ, to ask for the WebSocket."""

WEBSOCKET_VERSION = "13"  # RFC 6455 section 4.1
_KEY_SIZE = 16  # bytes of a decoded Sec-WebSocket-Key, same section
_REPLACED_HEADERS = {"content-length", "content-type", "connection", "upgrade"}
"""Headers of the view's answer that a 101 may not carry, or that the handshake sets itself."""

_SID = re.compile(r"\bsid=[^&\s]*")  # a secret: never logged

access_logger = logging.getLogger("django.server")
logger = logging.getLogger("socketio_server.http")


class HandlerContext(Protocol):
    """What a handler needs of its server."""

    engine: Engine
    options: Options
    application: Any

    environ: dict[str, Any]
    """What is the same in the environ of every request."""


class _LeftAlone:
    """Instead of pywsgi's input, whose rest it would throw away: where a body ends is ``http``'s
    business."""

    def _discard(self) -> None:
        """Do nothing."""


_LEFT_ALONE = _LeftAlone()


class RequestHandler(WebSocketHandler):  # type: ignore[misc]  # untyped
    """Answers one request, in a worker's greenlet (``Job``).

    :param connection: where the request came from.
    :param body: what the request's body can be read from, if it has one.
    :param upgrade: that of a WebSocket that wants to take over a session, as the engine sees it;
        ``None`` for all other requests.
    """

    server: "HandlerContext"
    socket: "HttpConnection"

    def __init__(
        self,
        connection: "HttpConnection",
        head: Head,
        server: HandlerContext,
        *,
        body: io.IOBase | None,
        upgrade: EngineRequest | None,
    ) -> None:
        super().__init__(connection, connection.address, server, rfile=body or io.BytesIO())
        self._head = head
        self._upgrade = upgrade
        self._is_detached = False  # the connection lives on as a WebSocket
        self._view_headers: list[tuple[str, str]] = []  # of a handshake's answer
        self.requestline = head.line
        self.command, self.path = head.method, head.target
        self.request_version = head.version
        self.close_connection = head.closes
        self.wsgi_input = _LEFT_ALONE

    def work(self) -> None:
        """Answer the request (``Job``), in context variables of its own."""
        contextvars.Context().run(self._answer)

    def _answer(self) -> None:
        try:
            self.environ = self.get_environ()
            if self._upgrade is not None:
                self._serve_upgrade(self._upgrade)
            else:
                self.application = self.server.application
                self.handle_one_response()
        except OSError:  # the client has gone
            self.close_connection = True
        except Exception:  # a fault of ours must not end the worker
            logger.exception("Internal error in answering a request")
            self.close_connection = True
        if not self._is_detached:
            self.socket.request_done(closes=self.close_connection)

    def get_environ(self) -> dict[str, Any]:
        """Return the request's environ (PEP 3333; overrides pywsgi's: the head is parsed)."""
        head = self._head
        path, _, query = head.target.partition("?")
        host = self.client_address
        environ = dict(self.server.environ)
        environ.update(head.headers.environ)
        environ["REQUEST_METHOD"] = head.method
        environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
        environ["QUERY_STRING"] = query
        environ["SERVER_PROTOCOL"] = head.version
        if isinstance(host, tuple):
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = host[0], str(host[1])
        environ["wsgi.input"] = self.rfile
        environ["wsgi.input_terminated"] = True
        return environ

    def run_application(self) -> None:
        """Let Django answer (overrides gevent-websocket's, which upgrades before it asks)."""
        if is_websocket(self.environ) and not self._can_become_websocket():
            self._write_response(self._refuse_websocket(), engine_request_of(self.environ))
        else:
            pywsgi.WSGIHandler.run_application(self)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Any:
        """Begin the answer (PEP 3333), or take what the view wants in that to a handshake."""
        if UPGRADE_KEY in self.environ and status.startswith("101"):
            self.code = HTTPStatus.SWITCHING_PROTOCOLS
            self._view_headers = headers
            return self.write
        return super().start_response(status, headers, exc_info)

    def process_result(self) -> None:
        """Write the application's answer, or do the upgrade that the view asked for."""
        context = self.environ.pop(UPGRADE_KEY, None)
        if context is not None and self.code == HTTPStatus.SWITCHING_PROTOCOLS:
            connection = self.socket.connection
            connection.cork()  # the handshake's answer and the session's first packet go together
            try:
                upgraded = self._switch_protocols(self._view_headers)
                request = engine_request_of(self.environ)
                self.server.engine.open_websocket(request, context, upgraded)
            finally:
                connection.uncork()
        elif self.command == "HEAD":
            self.write(b"")  # the headers alone, which pywsgi leaves to the application
        else:
            super().process_result()

    def finalize_headers(self) -> None:
        """Announce that the connection ends, where it does: pywsgi would close without a word."""
        super().finalize_headers()
        self.close_connection = self.close_connection or not self.socket.is_read
        names = {name.lower() for name, _ in self.response_headers}
        if self.close_connection and b"connection" not in names:
            self.response_headers.append((b"Connection", b"close"))

    def log_request(self) -> None:
        """Log the request as Django's own ``runserver`` does, errors at a higher level."""
        code = abs(self.code or 0)
        level = logging.INFO
        if code >= 500:
            level = logging.ERROR
        elif code >= 400:
            level = logging.WARNING
        log_access(self._head, code, self.response_length, level)

    def _serve_upgrade(self, request: EngineRequest) -> None:
        """Let a WebSocket try to take over a session."""
        engine = self.server.engine
        session = engine.find_upgradable(request)
        if isinstance(session, Session) and self._can_become_websocket():
            self.headers_sent = False
            engine.probe_websocket(session, self._switch_protocols([]))
        else:
            refused = session if isinstance(session, Response) else None
            self._write_response(refused or self._refuse_websocket(), request)
            log_access(self._head, self.code, self.response_length, logging.DEBUG)

    def _refuse_websocket(self) -> Response:
        return self.server.engine.refuse(
            ErrorCode.BAD_REQUEST,
            self.socket.host,
            why="a WebSocket whose handshake is malformed",
        )

    def _can_become_websocket(self) -> bool:
        """Check what gevent-websocket would answer with a 500, or let pass."""
        environ = self.environ
        try:
            key = base64.b64decode(environ.get("HTTP_SEC_WEBSOCKET_KEY", ""), validate=True)
        except (binascii.Error, ValueError):
            return False
        return (
            len(key) == _KEY_SIZE
            and environ["REQUEST_METHOD"] == "GET"
            and environ.get("HTTP_SEC_WEBSOCKET_VERSION") == WEBSOCKET_VERSION
            and self.request_version == "HTTP/1.1"
            and not self._head.has_body
        )

    def _write_response(self, response: Response, request: EngineRequest) -> None:
        """Write one of the engine's answers to a WebSocket's request."""
        headers = self.server.engine.cors_headers(request)
        self.close_connection = self.close_connection or response.closes
        answer = encode_response(
            response,
            headers=(*headers, ("Sec-WebSocket-Version", WEBSOCKET_VERSION)),
            date=http_date(int(time())),
            accept_encoding=self.environ.get("HTTP_ACCEPT_ENCODING", ""),
            compression_threshold=self.server.options.compression_threshold,
            closes=self.close_connection,
            without_body=self.command == "HEAD",
        )
        self.code = HTTPStatus(response.status)
        self._sendall(answer)

    def _write_with_headers(self, data: bytes) -> None:
        """Send headers and body in one go: two sends cost a delayed acknowledgement's 40 ms."""
        self.headers_sent = True
        self.finalize_headers()
        head = [b"HTTP/1.1 ", self.status, b"\r\n"]
        for name, value in self.response_headers:
            head += (name, b": ", value, b"\r\n")
        head.append(b"\r\n")
        if self.response_use_chunked and data:
            head += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            head.append(data)
        self._sendall(b"".join(head))

    def _sendall(self, data: bytes) -> None:
        """Send, as long as the client goes on taking (overrides pywsgi's)."""
        self.socket.sendall(data)
        self.response_length += len(data)

    def _switch_protocols(self, view_headers: list[tuple[str, str]]) -> UpgradedConnection:
        """Answer 101 and take the connection out of this handler's hands.

        :param view_headers: the view's headers, of which cookies and the like are kept.
        """
        self.upgrade_connection()
        self.response_headers += [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in view_headers
            if name.lower() not in _REPLACED_HEADERS
        ]
        offers = self.environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "")
        deflates = self.server.options.per_message_deflate
        agreement = agree_on_deflate(offers) if deflates else None
        if agreement is not None:
            answer = agreement.answer.encode()
            self.response_headers.append((b"Sec-WebSocket-Extensions", answer))
        self.write(b"")
        # Its finalizer would send a close frame, or look for somebody to tell, for 25 µs.
        del self.websocket.closed
        del self.websocket
        for key in ("wsgi.websocket", "wsgi.websocket_version"):
            self.environ.pop(key, None)
        self._is_detached = True
        connection, data = self.socket.detach()
        return UpgradedConnection(
            connection, data, None if agreement is None else agreement.window_bits
        )


def log_access(head: Head, code: int, size: int, level: int) -> None:
    """Log a request as Django's own ``runserver`` does.

    :param head: the request's.
    :param code: the answer's status.
    :param size: the answer's bytes.
    """
    if access_logger.isEnabledFor(level):
        line = _SID.sub("sid=…", head.line)
        if len(line) > MAX_LOGGED:
            line = line[:MAX_LOGGED] + "…"
        arguments = (line, code or "-", size)
        access_logger.log(level, '"%s" %s %s', *arguments, extra={"status_code": code})
