"""One HTTP connection: a request handler for gevent's WSGI server, built on gevent-websocket's.

Three kinds of requests: those that carry a ``sid`` are answered by the engine and never reach
Django; a handshake goes through the whole Django stack, whose view asks for the WebSocket by
leaving its request in the environ under ``UPGRADE_KEY``; all others are Django's alone.
gevent-websocket does the WebSocket handshake only; after it the socket is taken out of the
handler's and its greenlet's hands.
"""

import _socket
import base64
import binascii
import errno
import gzip
import logging
import re
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qsl

import gevent
from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler

from socketio_server import framing
from socketio_server.connection import Connection
from socketio_server.engine import Engine, is_websocket
from socketio_server.options import Options
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.session import Session
from socketio_server.transports.polling import Response, error_response

UPGRADE_KEY = "socketio_server.upgrade"
"""Where the handshake view leaves its request in the environ, to ask for the WebSocket."""

WEBSOCKET_VERSION = "13"  # RFC 6455 section 4.1
_KEY_SIZE = 16  # bytes of a decoded Sec-WebSocket-Key, same section
_REPLACED_HEADERS = {b"content-length", b"content-type", b"connection", b"upgrade"}
"""Headers of the view's answer that a 101 may not carry, or that the handshake sets itself."""

_GZIP = re.compile(r"(?:^|[,\s])(?:gzip|\*)(?!\s*;\s*q=0(?:\.0*)?(?:\s*,|\s*$))", re.IGNORECASE)
"""Matches an ``Accept-Encoding`` that takes gzip (RFC 9110 section 12.5.3)."""

access_logger = logging.getLogger("django.server")


class HandlerContext(Protocol):
    """What a handler needs of its server."""

    engine: Engine
    options: Options
    path: str
    loop: Any


class RequestHandler(WebSocketHandler):  # type: ignore[misc]  # untyped
    """Serves the HTTP requests of one connection, until it becomes a WebSocket."""

    server: "HandlerContext"
    socket: Any  # None once it was taken out of the handler's hands

    _deadline: gevent.Timeout | None = None  # while a request's head is awaited
    is_detached = False
    """Whether the socket lives on as a WebSocket."""

    _has_answered = False  # a request came on this connection before

    def read_requestline(self) -> str:
        """Wait for a request, no longer than a connection may be idle (overrides pywsgi's)."""
        options = self.server.options
        self.socket.settimeout(options.body_timeout)
        wait = options.keep_alive_timeout if self._has_answered else options.head_timeout
        self._deadline = gevent.Timeout.start_new(wait)
        self._has_answered = True
        try:
            line: str = super().read_requestline()
        except gevent.Timeout as timeout:
            self._cancel_deadline()
            raise TimeoutError("no request came") from timeout  # pywsgi closes without a word
        except BaseException:
            self._cancel_deadline()
            raise
        if not line:
            self._cancel_deadline()
        return line

    def read_request(self, raw_requestline: str) -> bool:
        """Read a request's head, no longer than it may take (overrides pywsgi's)."""
        try:
            framing.check_request_line(raw_requestline)
            return bool(super().read_request(raw_requestline))
        except gevent.Timeout as timeout:
            raise framing.BadHead("the head took too long", status=408) from timeout
        finally:
            self._cancel_deadline()

    def MessageClass(self, rfile: Any, *args: Any) -> Any:
        """Read the headers (overrides pywsgi's, which is too lenient)."""
        return framing.read_headers(rfile.readline, is_http_11=self.request_version == "HTTP/1.1")

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.close()
            self._deadline = None

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        """Refuse a request that can't be read; the connection ends (overrides pywsgi's)."""
        status = HTTPStatus(ex.status if isinstance(ex, framing.BadHead) else 400)
        address = _address(self.client_address)
        self.server.engine.stats.refuse("http", address, f"{ex} (from {address})")
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
        return str(status.value), f"{head}Content-Length: 0\r\n\r\n".encode()

    def run_application(self) -> None:
        """Answer one request (overrides gevent-websocket's, which upgrades before it asks)."""
        if self._is_for_session():
            self._serve_session()
        elif is_websocket(self.environ) and not self._can_become_websocket():
            self._write_response(error_response(ErrorCode.BAD_REQUEST))
        else:
            pywsgi.WSGIHandler.run_application(self)

    def process_result(self) -> None:
        """Write the application's answer, or do the upgrade that the view asked for."""
        request = self.environ.pop(UPGRADE_KEY, None)
        if request is not None and self.code == HTTPStatus.SWITCHING_PROTOCOLS:
            connection, data = self._switch_protocols(self.response_headers)
            self.server.engine.open_websocket(request, connection, data)
        else:
            super().process_result()

    def finalize_headers(self) -> None:
        """Announce that the connection ends, where it does: pywsgi would close without a word."""
        super().finalize_headers()
        names = {name.lower() for name, _ in self.response_headers}
        if self.close_connection and b"connection" not in names:
            self.response_headers.append((b"Connection", b"close"))

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

    def log_request(self) -> None:
        """Log the request as Django's own ``runserver`` does; the polls of a session only to
        debug."""
        code = abs(self.code or 0)
        level = logging.DEBUG if self._is_for_session() else logging.INFO
        if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            level = logging.ERROR
        elif code >= HTTPStatus.BAD_REQUEST:
            level = logging.WARNING
        if access_logger.isEnabledFor(level):
            arguments = (self.requestline, code or "-", self.response_length)
            access_logger.log(level, '"%s" %s %s', *arguments, extra={"status_code": code})

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

    def _is_for_session(self) -> bool:
        """Whether the request carries a ``sid``, and so is the engine's business alone."""
        environ = self.environ
        return bool(
            environ
            and "sid=" in environ["QUERY_STRING"]
            and environ["PATH_INFO"] == self.server.path
            and "sid" in dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        )

    def _serve_session(self) -> None:
        engine = self.server.engine
        if not is_websocket(self.environ):
            self._write_response(engine.respond(self.environ, self.socket))
            return
        session = engine.find_upgradable(self.environ)
        if isinstance(session, Session) and self._can_become_websocket():
            connection, data = self._switch_protocols([])
            engine.probe_websocket(session, connection, data)
        else:
            refused = session if isinstance(session, Response) else None
            self._write_response(refused or error_response(ErrorCode.BAD_REQUEST))

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

    def _write_response(self, response: Response | None) -> None:
        """Write one of the engine's answers; ``None``: the client has gone."""
        if response is None:
            self.close_connection = True
            return
        body, coding = self._compress(response)
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(body))),
            *coding,
            ("Cache-Control", "no-store"),
            *self.server.engine.cors_headers(self.environ),
        ]
        if response.closes:
            self.close_connection = True
        if is_websocket(self.environ):
            headers.append(("Sec-WebSocket-Version", WEBSOCKET_VERSION))
        status = HTTPStatus(response.status)
        self.start_response(f"{status.value} {status.phrase}", headers)
        self.write(b"" if self.command == "HEAD" else body)

    def _compress(self, response: Response) -> tuple[bytes, list[tuple[str, str]]]:
        """Return an answer's body, compressed where it is worth it, and the headers that say so."""
        threshold = self.server.options.compression_threshold
        if threshold is None or len(response.body) < threshold:
            return response.body, []
        vary = ("Vary", "Accept-Encoding")
        if not _GZIP.search(self.environ.get("HTTP_ACCEPT_ENCODING", "")):
            return response.body, [vary]
        body = gzip.compress(response.body, compresslevel=1, mtime=0)
        return body, [("Content-Encoding", "gzip"), vary]

    def _switch_protocols(
        self, view_headers: list[tuple[bytes, bytes]]
    ) -> tuple[Connection, bytes]:
        """Answer 101 and take the socket out of this handler's hands.

        pywsgi would read and throw away what the client sends next on its way out, and close the
        socket; so it must not have it any more.

        :param view_headers: the view's headers, of which cookies and the like are kept.
        :return: the connection, not started, and what the client sent behind its handshake.
        """
        kept = [item for item in view_headers if item[0].lower() not in _REPLACED_HEADERS]
        self.upgrade_connection()
        self.response_headers += kept
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
        leave = partial(self.server.engine.admission.leave, _address(self.client_address))
        return Connection(raw, self.server.loop, self.server.options, leave), data


def _address(client_address: Any) -> str:
    """Return the address of a client; empty for a Unix socket's."""
    return client_address[0] if isinstance(client_address, tuple) else ""
