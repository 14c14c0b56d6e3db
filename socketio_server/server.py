"""The HTTP server: gevent's WSGI server, with a request handler built on gevent-websocket's.

Three kinds of requests: those that carry a ``sid`` are answered by the engine and never reach
Django; a handshake goes through the whole Django stack, whose view asks for the WebSocket by
leaving its request in the environ under ``UPGRADE_KEY``; all others are Django's alone.
gevent-websocket does the WebSocket handshake only; after it the socket is taken out of the
handler's and its greenlet's hands.
"""

import _socket
import base64
import binascii
import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from gevent import pywsgi, socket
from geventwebsocket.handler import WebSocketHandler

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

access_logger = logging.getLogger("django.server")


class RequestHandler(WebSocketHandler):  # type: ignore[misc]  # untyped
    """Serves the HTTP requests of one connection, until it becomes a WebSocket."""

    server: "Server"
    socket: Any  # None once it was taken out of the handler's hands

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
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            ("Cache-Control", "no-store"),
            *self.server.engine.cors_headers(self.environ),
        ]
        if response.closes:
            self.close_connection = True
        if is_websocket(self.environ):
            headers.append(("Sec-WebSocket-Version", WEBSOCKET_VERSION))
        status = HTTPStatus(response.status)
        self.start_response(f"{status.value} {status.phrase}", headers)
        self.write(b"" if self.command == "HEAD" else response.body)

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
        return Connection(raw, self.server.loop, self.server.options), data


class Server(pywsgi.WSGIServer):
    """The HTTP server of one process.

    :param listener: a socket that listens already, or ``(host, port)``.
    :param application: Django's WSGI application.
    :param engine: answers what carries a ``sid``, and takes the WebSockets.
    :param path: the URL path of Engine.IO requests, ``/socket.io/`` say.
    """

    handler_class = RequestHandler

    def __init__(
        self,
        listener: Any,
        application: Any,
        *,
        engine: Engine,
        path: str,
        options: Options,
    ) -> None:
        super().__init__(
            listener,
            application,
            log=None,
            error_log=logging.getLogger("socketio_server.http"),
            environ={"wsgi.multithread": True},
        )
        self.engine = engine
        self.path = path
        self.options = options
        self.logger = logging.getLogger("socketio_server.handshake")

    def init_socket(self) -> None:
        """Listen, with options that the accepted sockets inherit."""
        super().init_socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.options.send_buffer)
