"""Runs the WSGI application for one request (PEP 3333), in a handler of gevent's WSGI server.

The exchange reads the request and owns the connection; it is the handler's socket. An application
accepts a WebSocket by answering 101, with an ``Upgrade`` in the environ under ``UPGRADE_KEY``.
"""

import contextvars
import errno
import io
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from gevent import pywsgi

from socketio_server.engine.engine import Engine
from socketio_server.engine.request import EngineRequest
from socketio_server.http.access_log import level_of, log_access
from socketio_server.http.engine_requests import PATH_KEY, decode_path
from socketio_server.http.upgrade import Upgradable, switch_protocols
from socketio_server.net.connection import Connection
from socketio_server.options import Options
from socketio_server.protocol.http1.bodies import encode_chunk
from socketio_server.protocol.http1.responses import encode_head, http_date

UPGRADE_KEY = "socketio_server.upgrade"
"""The key of the environ under which the handshake view accepts a WebSocket."""

USUAL_SIZE = 2048
"""Bytes of a request's target and headers up to which the environ does not tell how many it has."""

SIZE_KEY = "socketio_server.request_size"
"""The key of the environ with the bytes of a request's target and headers, if they are many."""

END_KEY = "socketio_server.end"
"""The key of the environ for a function that the application wants called when the exchange of a
large request is over; the environ of others does not have it."""


class Upgrade(NamedTuple):
    """An accepted handshake over WebSocket.

    :param request: the engine's view of it.
    :param context: for the session's handler.
    """

    request: EngineRequest
    context: Any


logger = logging.getLogger("socketio_server.http")


class HandlerServer(Protocol):
    """The server, as its handlers see it."""

    engine: Engine
    options: Options
    application: Any
    environ: dict[str, Any]
    """The keys that every request's environ begins with."""
    wall_clock: Callable[[], float]
    """Seconds since the epoch."""
    is_copy: bool
    """Whether this process was forked from the server's, which has the connections."""

    def request_ended(self, size: int) -> None:
        """Count the bytes of a request to the application that is over; must not raise."""


class HandlerSocket(Upgradable, Protocol):
    """The exchange, as its handler sees it; pywsgi calls it a socket."""

    address: Any

    @property
    def tcp(self) -> Connection:
        """The connection."""

    @property
    def is_gone(self) -> bool:
        """Whether the connection is closed."""

    @property
    def is_whole(self) -> bool:
        """Whether the request has arrived completely; if not, its answer ends the connection."""

    unsent: int
    """Bytes that the last call of ``sendall`` could not send, if it raised an error."""

    def sendall(self, data: bytes) -> None:
        """Send; wait if the peer reads too slowly.

        :raises BrokenPipeError: if the peer has disconnected, or reads nothing more.
        """

    def done(self, *, closes: bool) -> None:
        """End the exchange after its answer, unless its connection has become a WebSocket.

        :param closes: whether the connection ends with that.
        """


class _NoInput:
    """Replaces pywsgi's input, which would discard the body's rest: that is up to the exchange."""

    def _discard(self) -> None:
        """Do nothing."""


_NO_INPUT = _NoInput()


_Base: Any = pywsgi.WSGIHandler  # its stubs accept gevent's own server and socket only


class RequestHandler(_Base):  # type: ignore[misc]  # for the same reason
    """Answers one request, in a worker's greenlet (``Job``).

    :param body: the request's body, if it has one.
    """

    server: HandlerServer
    socket: HandlerSocket

    def __init__(
        self, exchange: HandlerSocket, server: HandlerServer, body: io.BufferedIOBase | None
    ) -> None:
        super().__init__(exchange, exchange.address, server, rfile=body or io.BytesIO())
        head = self._head = exchange.head
        self.provided_date: str | None = None  # the application's Date header
        self._upgrade_headers: list[tuple[str, str]] = []  # headers of the application's 101
        self._is_complete = True  # no part of the answer was refused
        self.requestline = head.line
        self.command, self.path = head.method, head.target
        self.request_version = head.version
        self.close_connection = head.headers.closes
        self.wsgi_input = _NO_INPUT

    def work(self) -> None:
        """Answer the request (``Job``), in a new context."""
        contextvars.Context().run(self._answer)

    def _answer(self) -> None:
        try:
            self.environ = self.get_environ()
            self.application = self.server.application
            self.handle_one_response()
        except OSError:  # the client has disconnected
            self.close_connection = True
        except Exception:  # an internal error must not end the worker
            logger.exception("Internal error while answering a request")
            self.close_connection = True
        self.socket.done(closes=self.close_connection)
        self._finish()

    def _finish(self) -> None:
        """Let the application free what the request has kept, and count the request's bytes."""
        end = None if self.environ is None else self.environ.pop(END_KEY, None)
        if end is not None:
            end()
        headers = self._head.headers
        self.server.request_ended(headers.size + headers.content_length)

    def get_environ(self) -> dict[str, Any]:
        """Return the request's environ (PEP 3333; overrides pywsgi's, which parses the head)."""
        head = self._head
        path, _, query = head.target.partition("?")
        host = self.client_address
        environ = dict(self.server.environ)
        environ.update(head.headers.environ)
        environ["REQUEST_METHOD"] = head.method
        environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = environ[PATH_KEY] = decode_path(path)
        environ["QUERY_STRING"] = query
        environ["SERVER_PROTOCOL"] = head.version
        size = len(head.target) + head.headers.size
        if size > USUAL_SIZE:
            environ[SIZE_KEY] = size
        if size + head.headers.content_length > USUAL_SIZE:
            environ[END_KEY] = None
        if isinstance(host, tuple):
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = host[0], str(host[1])
        environ["wsgi.input"] = self.rfile
        environ["wsgi.input_terminated"] = True
        return environ

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Any:
        """Begin the answer (PEP 3333), or keep the headers for the 101."""
        if UPGRADE_KEY in self.environ and status.startswith("101"):
            self.code = HTTPStatus.SWITCHING_PROTOCOLS
            self._upgrade_headers = headers
            return self.write
        if status[:3] in ("204", "304"):  # and pywsgi refuses a length
            headers = [header for header in headers if header[0].lower() != "content-length"]
        return super().start_response(status, headers, exc_info)

    def process_result(self) -> None:
        """Write the application's answer, or open the WebSocket that it accepted."""
        upgrade = self.environ.pop(UPGRADE_KEY, None)
        if upgrade is not None and self.code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._open_websocket(upgrade)
        elif self._has_no_body:
            self.write(b"")  # only the headers; pywsgi would write the application's body
        else:
            super().process_result()

    def _open_websocket(self, upgrade: Upgrade) -> None:
        """Turn the connection into a WebSocket with a new session."""
        exchange, server = self.socket, self.server
        if exchange.is_gone:
            raise BrokenPipeError(errno.EPIPE, "the client has disconnected")
        connection = exchange.tcp
        connection.cork()  # send the 101 and the session's first packet together
        try:
            upgraded = switch_protocols(
                exchange,
                may_deflate=server.options.per_message_deflate,
                headers=self._upgrade_headers,
            )
            server.engine.open_websocket(upgrade.request, upgrade.context, upgraded)
        except BaseException:  # an internal error; nobody reads from the connection
            connection.callback_raised()
            raise
        finally:
            connection.uncork()

    @property
    def _has_no_body(self) -> bool:
        """Whether the answer ends with its head (RFC 9112 section 6.3)."""
        return self.command == "HEAD" or self.code in (204, 304)

    def finalize_headers(self) -> None:
        """Add ``Date``, and ``Connection: close`` if the connection ends, which pywsgi does not.

        It also ends with an answer that has neither a length nor chunks, as in HTTP/1.0.
        """
        if self.provided_date is None:
            date = http_date(int(self.server.wall_clock()))
            self.response_headers.append((b"Date", date))
            self.provided_date = ""  # so that pywsgi adds none by its own clock
        super().finalize_headers()
        headers = self.response_headers
        has_end = (
            self._has_no_body
            or self.response_use_chunked
            or any(name.lower() == b"content-length" for name, _ in headers)
        )
        if self.server.engine.draining or not (has_end and self.socket.is_whole):
            self.close_connection = True
        if self.close_connection:
            headers[:] = [header for header in headers if header[0].lower() != b"connection"]
            headers.append((b"Connection", b"close"))

    def log_request(self) -> None:
        """Log the request as Django's own ``runserver`` does, with errors at a higher level."""
        status = abs(self.code or 0)
        size, complete = self.response_length, self._is_complete
        log_access(self._head, status, size, level_of(status), complete=complete)

    def _write_with_headers(self, data: bytes) -> None:
        """Send headers and body at once, because a second send may wait for a delayed TCP ACK."""
        self.headers_sent = True
        self.finalize_headers()
        head = encode_head(self.status, self.response_headers)
        body = encode_chunk(data) if self.response_use_chunked and data else data
        self._sendall(head + body)

    def _sendall(self, data: bytes) -> None:
        """Send and count the bytes (overrides pywsgi's)."""
        try:
            self.socket.sendall(data)
        except BrokenPipeError:
            self.response_length += len(data) - self.socket.unsent
            self._is_complete = False
            raise
        self.response_length += len(data)
