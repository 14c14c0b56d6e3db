"""Runs the WSGI application for one request (PEP 3333): a handler of gevent's WSGI server.

Reading the request and keeping the connection belong to the exchange, which the handler knows as
its socket. An application asks for a WebSocket by answering 101 and leaving the context of its
session in the environ under ``UPGRADE_KEY``.
"""

import contextvars
import errno
import io
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from gevent import pywsgi

from socketio_server.engine.engine import Engine
from socketio_server.http.access_log import level_of, log_access
from socketio_server.http.engine_requests import engine_request_of
from socketio_server.http.upgrade import Upgradable, switch_protocols
from socketio_server.net.connection import Connection
from socketio_server.options import Options
from socketio_server.protocol.http1.bodies import encode_chunk
from socketio_server.protocol.http1.responses import encode_head, http_date

UPGRADE_KEY = "socketio_server.upgrade"
"""Where the handshake view leaves its request in the environ, to ask for the WebSocket."""

logger = logging.getLogger("socketio_server.http")


class HandlerServer(Protocol):
    """What a handler needs of its server."""

    engine: Engine
    options: Options
    application: Any
    environ: dict[str, Any]
    """What is the same in the environ of every request."""
    wall_clock: Callable[[], float]
    """Seconds since the epoch."""


class HandlerSocket(Upgradable, Protocol):
    """What a handler needs of the exchange that it answers: it is called a socket by pywsgi."""

    address: Any

    @property
    def tcp(self) -> Connection:
        """The connection."""

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be sent any more."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the request has come; if not, the connection ends with its answer."""

    def sendall(self, data: bytes) -> None:
        """Send; waits as long as the peer does not take it.

        :raises BrokenPipeError: if the peer has gone, or takes nothing any more.
        """

    def done(self, *, closes: bool) -> None:
        """The request was answered, if its connection did not become a WebSocket.

        :param closes: whether the connection ends with that.
        """


class _NoInput:
    """Instead of pywsgi's input, whose rest it would throw away: where a body ends is decided by
    the exchange.
    """

    def _discard(self) -> None:
        """Do nothing."""


_NO_INPUT = _NoInput()


_Base: Any = pywsgi.WSGIHandler  # its stubs know no server and no socket but gevent's own


class RequestHandler(_Base):  # type: ignore[misc]  # for the same reason
    """Answers one request, in a worker's greenlet (``Job``).

    :param body: what the request's body can be read from, if it has one.
    """

    server: HandlerServer
    socket: HandlerSocket

    def __init__(
        self, exchange: HandlerSocket, server: HandlerServer, body: io.BufferedIOBase | None
    ) -> None:
        super().__init__(exchange, exchange.address, server, rfile=body or io.BytesIO())
        head = self._head = exchange.head
        self.provided_date: str | None = None  # the application's
        self._upgrade_headers: list[tuple[str, str]] = []  # of the application's 101
        self.requestline = head.line
        self.command, self.path = head.method, head.target
        self.request_version = head.version
        self.close_connection = head.closes
        self.wsgi_input = _NO_INPUT

    def work(self) -> None:
        """Answer the request (``Job``), in context variables of its own."""
        contextvars.Context().run(self._answer)

    def _answer(self) -> None:
        try:
            self.environ = self.get_environ()
            self.application = self.server.application
            self.handle_one_response()
        except OSError:  # the client has gone
            self.close_connection = True
        except Exception:  # a fault of ours must not end the worker
            logger.exception("Internal error while answering a request")
            self.close_connection = True
        self.socket.done(closes=self.close_connection)

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

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Any:
        """Begin the answer (PEP 3333), or take the headers that are meant for the 101."""
        if UPGRADE_KEY in self.environ and status.startswith("101"):
            self.code = HTTPStatus.SWITCHING_PROTOCOLS
            self._upgrade_headers = headers
            return self.write
        return super().start_response(status, headers, exc_info)

    def process_result(self) -> None:
        """Write the application's answer, or do the upgrade that it asks for."""
        context = self.environ.pop(UPGRADE_KEY, None)
        if context is not None and self.code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._open_websocket(context)
        elif self.command == "HEAD":
            self.write(b"")  # the headers alone, which pywsgi leaves to the application
        else:
            super().process_result()

    def _open_websocket(self, context: Any) -> None:
        """Let the connection become a WebSocket with a session of its own."""
        exchange, server = self.socket, self.server
        if exchange.is_gone:
            raise BrokenPipeError(errno.EPIPE, "the client has gone")
        connection = exchange.tcp
        connection.cork()  # the 101 and the session's first packet go together
        try:
            upgraded = switch_protocols(
                exchange,
                may_deflate=server.options.per_message_deflate,
                headers=self._upgrade_headers,
            )
            server.engine.open_websocket(engine_request_of(self.environ), context, upgraded)
        finally:
            connection.uncork()

    def finalize_headers(self) -> None:
        """Announce that the connection ends, where it does: pywsgi would close without a word."""
        if self.provided_date is None:
            date = http_date(int(self.server.wall_clock()))
            self.response_headers.append((b"Date", date))
            self.provided_date = ""  # pywsgi would look at a clock of its own
        super().finalize_headers()
        stays = self.socket.is_whole and not self.server.engine.draining
        self.close_connection = self.close_connection or not stays
        names = {name.lower() for name, _ in self.response_headers}
        if self.close_connection and b"connection" not in names:
            self.response_headers.append((b"Connection", b"close"))

    def log_request(self) -> None:
        """Log the request as Django's own ``runserver`` does, errors at a higher level."""
        status = abs(self.code or 0)
        log_access(self._head, status, self.response_length, level_of(status))

    def _write_with_headers(self, data: bytes) -> None:
        """Send headers and body in one go: two sends cost a delayed acknowledgement's 40 ms."""
        self.headers_sent = True
        self.finalize_headers()
        head = encode_head(self.status, self.response_headers)
        body = encode_chunk(data) if self.response_use_chunked and data else data
        self._sendall(head + body)

    def _sendall(self, data: bytes) -> None:
        """Send, as long as the client goes on taking (overrides pywsgi's)."""
        self.socket.sendall(data)
        self.response_length += len(data)
