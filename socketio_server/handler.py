"""One HTTP connection: a request handler for gevent's WSGI server, built on gevent-websocket's.

Three kinds of requests: those that carry a ``sid`` are answered by the engine and never reach
Django, nor most of pywsgi, which would take longer over them than the engine (measured); a
handshake goes through the whole Django stack, whose view asks for the WebSocket by leaving its
request in the environ under ``UPGRADE_KEY``; all others are Django's alone. gevent-websocket does
the WebSocket handshake only; after it the socket is taken out of the handler's and its greenlet's
hands.
"""

import _socket
import base64
import binascii
import errno
import logging
import re
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from socket import SHUT_RDWR
from time import time
from typing import Any, Protocol

from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler

from socketio_server import framing
from socketio_server.answers import Response, encode_response, http_date
from socketio_server.connection import Connection
from socketio_server.engine import Engine, Query, is_websocket, parse_query
from socketio_server.heartbeat import Deadlines
from socketio_server.options import Options
from socketio_server.protocol.deflate import DEFLATE_ANSWER, accepts_deflate
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.session import Session
from socketio_server.transports.polling import error_response
from socketio_server.transports.websocket import Upgraded

UPGRADE_KEY = "socketio_server.upgrade"
"""Where the handshake view leaves its request in the environ, to ask for the WebSocket."""

WEBSOCKET_VERSION = "13"  # RFC 6455 section 4.1
_KEY_SIZE = 16  # bytes of a decoded Sec-WebSocket-Key, same section
_REPLACED_HEADERS = {b"content-length", b"content-type", b"connection", b"upgrade"}
"""Headers of the view's answer that a 101 may not carry, or that the handshake sets itself."""

_SESSION_HEADERS = (
    ("HTTP_HOST", "host"),
    ("HTTP_ORIGIN", "origin"),
    ("HTTP_COOKIE", "cookie"),
    ("HTTP_UPGRADE", "upgrade"),
    ("HTTP_CONNECTION", "connection"),
    ("CONTENT_LENGTH", "content-length"),
    ("CONTENT_TYPE", "content-type"),
)
"""The headers that the engine looks at."""

_SID = re.compile(r"\bsid=[^&\s]*")  # a secret: never logged

access_logger = logging.getLogger("django.server")


class HandlerContext(Protocol):
    """What a handler needs of its server."""

    engine: Engine
    options: Options
    path: str
    loop: Any
    application: Any
    idle_deadlines: "Deadlines[RequestHandler]"
    """Connections on which a request is awaited."""
    head_deadlines: "Deadlines[RequestHandler]"
    """Connections on which the head of a request is incomplete."""


class RequestHandler(WebSocketHandler):  # type: ignore[misc]  # untyped
    """Serves the HTTP requests of one connection, until it becomes a WebSocket."""

    server: "HandlerContext"
    socket: Any  # None once it was taken out of the handler's hands

    is_detached = False
    """Whether the socket lives on as a WebSocket."""

    _has_answered = False  # a request came on this connection before

    def give_up(self) -> None:
        """Cut the connection: the client took too long over a request's head. Runs in the loop."""
        if self.socket is not None:
            self.server.engine.stats.refuse("slow request", self._address, "a head took too long")
            self._shut_down()

    def close_idle(self) -> None:
        """Close the connection: no further request came. Runs in the loop."""
        if self.socket is not None:
            self._shut_down()

    def _shut_down(self) -> None:
        """Wake the greenlet that reads: for it the client has gone."""
        with suppress(OSError):
            self.socket.shutdown(SHUT_RDWR)

    def handle_one_request(self) -> Any:
        """Read a request and answer it (overrides pywsgi's, with the same results).

        :return: ``None``: close the connection; ``True``: read the next; otherwise a status and the
            bytes to send before closing.
        """
        try:
            self.requestline = self._read_request_line()
            if not self.requestline:
                return None
            self._read_head()
        except OSError:  # gone, or given up
            return None
        except framing.BadHead as error:
            return self._refuse(error)
        self.response_length = 0
        target, _, query = self.path.partition("?")
        params = parse_query(query) if "sid=" in query and target == self.server.path else {}
        if "sid" in params:
            self._serve_session(params, query)
        else:
            self._serve_application()
        return None if self.close_connection or self.rfile.closed else True

    def run_application(self) -> None:
        """Let Django answer (overrides gevent-websocket's, which upgrades before it asks)."""
        if is_websocket(self.environ) and not self._can_become_websocket():
            self._write_response(error_response(ErrorCode.BAD_REQUEST), self.environ)
        else:
            pywsgi.WSGIHandler.run_application(self)

    def process_result(self) -> None:
        """Write the application's answer, or do the upgrade that the view asked for."""
        request = self.environ.pop(UPGRADE_KEY, None)
        if request is not None and self.code == HTTPStatus.SWITCHING_PROTOCOLS:
            upgraded = self._switch_protocols(self.response_headers)
            self.server.engine.open_websocket(self.environ, request, upgraded)
        elif self.command == "HEAD":
            self.write(b"")  # the headers alone, which pywsgi leaves to the application
        else:
            super().process_result()

    def finalize_headers(self) -> None:
        """Announce that the connection ends, where it does: pywsgi would close without a word."""
        super().finalize_headers()
        names = {name.lower() for name, _ in self.response_headers}
        if self.close_connection and b"connection" not in names:
            self.response_headers.append((b"Connection", b"close"))

    def log_request(self) -> None:
        """Log the request as Django's own ``runserver`` does."""
        self._log(abs(self.code or 0), logging.INFO)

    @property
    def _address(self) -> str:
        """The client's address; empty for a Unix socket's."""
        address = self.client_address
        return address[0] if isinstance(address, tuple) else ""

    def _read_request_line(self) -> str:
        """Wait for a request, no longer than a connection may be idle; return "" at its end."""
        server = self.server
        deadlines = server.idle_deadlines if self._has_answered else server.head_deadlines
        self._has_answered = True
        self.socket.settimeout(None)
        deadlines.add(self)
        try:
            line: bytes = self.rfile.readline(framing.MAX_REQUEST_LINE + 1)
        finally:
            deadlines.discard(self)
        return line.decode("latin-1")

    def _read_head(self) -> None:
        """Read the rest of a request's head.

        :raises BadHead: if it can't be accepted.
        """
        self.command, self.path, self.request_version = framing.split_request_line(self.requestline)
        is_http_11 = self.request_version == "HTTP/1.1"
        self.server.head_deadlines.add(self)
        try:
            self.headers = framing.read_headers(self.rfile.readline, is_http_11=is_http_11)
        finally:
            self.server.head_deadlines.discard(self)
        length = self.headers.get("content-length")
        self.content_length = None if length is None else int(length)
        connection = (self.headers.get("connection") or "").lower()
        self.close_connection = "close" in connection if is_http_11 else connection != "keep-alive"

    def _refuse(self, error: framing.BadHead) -> tuple[str, bytes]:
        """Return what a request is answered with that can't be read; the connection ends."""
        address = self._address
        self.server.engine.stats.refuse("http", address, f"{error} (from {address})")
        status = HTTPStatus(error.status)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
        return str(status.value), f"{head}Content-Length: 0\r\n\r\n".encode()

    def _serve_application(self) -> None:
        """Let Django answer, in the way of pywsgi."""
        if self.content_length or self.headers.get("transfer-encoding"):
            self.socket.settimeout(self.server.options.body_timeout)
        self.environ = self.get_environ()
        self.application = self.server.application
        self.handle_one_response()

    def _serve_session(self, params: Query, query: str) -> None:
        """Let the engine answer a request that carries a ``sid``."""
        engine = self.server.engine
        headers = self.headers
        environ = {"REQUEST_METHOD": self.command, "QUERY_STRING": query}
        for key, name in _SESSION_HEADERS:
            value = headers.get(name)
            if value is not None:
                environ[key] = value
        if is_websocket(environ):
            self._serve_upgrade(params)
            return
        chunked = headers.get("transfer-encoding") is not None
        body = pywsgi.Input(self.rfile, self.content_length, chunked_input=chunked)
        try:
            response = engine.respond(environ, params, body, self.socket)
            self._write_response(response, environ)
            if not self.close_connection:  # a body that nobody wanted is no request
                limit = self.server.options.max_payload
                self.close_connection = len(body.read(limit + 1)) > limit
        except OSError:  # the client went away
            self.close_connection = True

    def _serve_upgrade(self, params: Query) -> None:
        """Let a WebSocket try to take over a session."""
        engine = self.server.engine
        self.environ = self.get_environ()
        session = engine.find_upgradable(self.environ, params)
        if isinstance(session, Session) and self._can_become_websocket():
            self.headers_sent = False
            engine.probe_websocket(session, self._switch_protocols([]))
        else:
            refused = session if isinstance(session, Response) else None
            response = refused or error_response(ErrorCode.BAD_REQUEST)
            self._write_response(response, self.environ)

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
            and not self.content_length
            and "HTTP_TRANSFER_ENCODING" not in environ
        )

    def _write_response(self, response: Response | None, environ: dict[str, Any]) -> None:
        """Write one of the engine's answers; ``None``: the client has gone."""
        if response is None:
            self.close_connection = True
            return
        headers = self.server.engine.cors_headers(environ)
        if is_websocket(environ):
            headers.append(("Sec-WebSocket-Version", WEBSOCKET_VERSION))
        self.close_connection = self.close_connection or response.closes
        answer = encode_response(
            response,
            headers=headers,
            date=http_date(int(time())),
            accept_encoding=self.headers.get("accept-encoding") or "",
            compression_threshold=self.server.options.compression_threshold,
            closes=self.close_connection,
            without_body=self.command == "HEAD",
        )
        self._sendall(answer)
        self._log(response.status, logging.DEBUG)

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
        """Send, as long as the client goes on taking (overrides pywsgi's, which waits for ever)."""
        self.socket.settimeout(self.server.options.stall_timeout)
        view = memoryview(data)
        try:
            while view:
                view = view[self.socket.send(view) :]
        except TimeoutError as error:
            self.close_connection = True
            raise BrokenPipeError(errno.EPIPE, "the client takes no more") from error
        self.response_length += len(data)

    def _log(self, code: int, level: int) -> None:
        """Log an answered request, errors at a higher level."""
        if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            level = logging.ERROR
        elif code >= HTTPStatus.BAD_REQUEST:
            level = logging.WARNING
        if access_logger.isEnabledFor(level):
            line = _SID.sub("sid=…", self.requestline.rstrip())
            arguments = (line, code or "-", self.response_length)
            access_logger.log(level, '"%s" %s %s', *arguments, extra={"status_code": code})

    def _switch_protocols(self, view_headers: list[tuple[bytes, bytes]]) -> Upgraded:
        """Answer 101 and take the socket out of this handler's hands.

        pywsgi would read and throw away what the client sends next on its way out, and close the
        socket; so it must not have it any more.

        :param view_headers: the view's headers, of which cookies and the like are kept.
        """
        kept = [item for item in view_headers if item[0].lower() not in _REPLACED_HEADERS]
        self.upgrade_connection()
        self.response_headers += kept
        offers = self.environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "")
        deflates = self.server.options.per_message_deflate and accepts_deflate(offers)
        if deflates:
            answer = DEFLATE_ANSWER.encode()
            self.response_headers.append((b"Sec-WebSocket-Extensions", answer))
        self.write(b"")
        self.websocket.closed = True  # or it would send a close frame when it is collected
        del self.websocket
        for key in ("wsgi.websocket", "wsgi.websocket_version"):
            self.environ.pop(key, None)
        sock = self.socket
        sock.settimeout(0.0)
        data = self.rfile.peek()
        self.rfile.close()
        self.socket = None
        raw = _socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.is_detached = True
        leave = partial(self.server.engine.admission.leave, self._address)
        connection = Connection(raw, self.server.loop, self.server.options, leave)
        return Upgraded(connection, data, deflates)
