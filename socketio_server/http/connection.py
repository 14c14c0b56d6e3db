"""One HTTP connection on the event loop: no request of it costs a greenlet while it is read.

Requests that carry a ``sid`` are answered by the engine, in the loop's callbacks, and reach neither
Django nor pywsgi, which would take several times as long over them as the engine (measured). A
WebSocket that wants to take over a session, and all that is Django's, go to a ``RequestHandler`` in
a worker's greenlet. The connection belongs to this object throughout; when it becomes a WebSocket,
it is handed over as it is.
"""

import errno
import io
import logging
from enum import Enum, auto
from http import HTTPStatus
from time import time
from typing import Any, Protocol

from gevent.event import Event

from socketio_server.engine.engine import Engine
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.transports.polling import PollingTransport, error_response
from socketio_server.http.engine_requests import engine_request, parse_query
from socketio_server.http.wsgi import HandlerContext, RequestHandler, log_access
from socketio_server.net.connection import SLOW, Connection, LostBecause
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.workers import WorkerPool
from socketio_server.options import Options
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1 import requests
from socketio_server.protocol.http1.requests import BadBody, BadHead, Body, Head
from socketio_server.protocol.http1.responses import Response, encode_response, http_date

PIECE = 65_536
"""Bytes that wait for the peer, or for who is to take them, before more are fetched."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""What a client waits for that wants to know whether its body is welcome (RFC 9110 10.1.1)."""


class HttpServer(HandlerContext, Protocol):
    """What a connection needs of its server."""

    engine: Engine
    options: Options
    path: str
    loop: Any
    request_workers: WorkerPool
    """Runs Django's requests."""
    head_deadlines: "Deadlines[HttpConnection]"
    """Connections on which the head of a request is incomplete."""
    idle_deadlines: "Deadlines[HttpConnection]"
    """Connections on which a further request is awaited."""
    body_deadlines: "Deadlines[HttpConnection]"
    """Connections on which the body of a session's request is incomplete."""
    closing_deadlines: "Deadlines[HttpConnection]"
    """Connections on which nothing is to come any more."""


class _State(Enum):
    """What a connection is at."""

    HEAD = auto()  # the head of a request is awaited
    BODY = auto()  # the body of a session's request is awaited
    ANSWERING = auto()  # a request is being answered
    FLUSHING = auto()  # its answer is on its way
    CLOSING = auto()  # all was said; what the client still sends is thrown away
    GONE = auto()  # it was lost, or became a WebSocket


# Globals are found faster than an enumeration's members.
_HEAD, _BODY, _ANSWERING, _FLUSHING, _CLOSING, _GONE = _State


class HttpConnection:
    """Reads the requests of one connection, and answers those of sessions.

    It is the connection's ``ConnectionHandler``, the polling transport's ``Exchange``, and what a
    ``RequestHandler`` knows as its socket.

    :param address: the peer's, as the socket gave it.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_closes",
        "_drained",
        "_found",
        "_has_ended",
        "_head",
        "_looked_at",
        "_outbox",
        "_parts",
        "_piece",
        "_request",
        "_server",
        "_size",
        "_state",
        "_upload",
        "address",
        "connection",
    )

    def __init__(self, connection: Connection, address: Any, server: HttpServer) -> None:
        self.address = address
        self.connection = connection
        self._server = server
        # Bytes that it may be given at once: never so many that it gives up the peer.
        self._piece = max(1, min(PIECE, server.options.max_queued_bytes // 2))
        self._state = _HEAD
        self._buffer = b""  # what came and was not used yet
        self._looked_at = 0  # bytes of it in which no head ends
        self._has_ended = False  # the peer sends no more
        self._head: Head | None = None  # of the request that is read or answered
        self._closes = False  # the connection ends with its answer
        # Of a session's request: as the engine sees it, what it is for, and its body so far.
        self._request: EngineRequest | None = None
        self._found: PollingTransport | Response | None = None
        self._body: Body | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._upload: RequestBody | None = None  # takes the body of a request of Django's
        self._outbox: memoryview | None = None  # of an answer, what the connection did not get yet
        self._drained: Event | None = None  # while a greenlet waits for the peer to take more

    def start(self) -> None:
        """Begin to read."""
        self._server.head_deadlines.add(self)
        self.connection.start(self)

    # --- The loop's side: ConnectionHandler ---------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes came (``ConnectionHandler``)."""
        state = self._state
        if state is _HEAD:
            self._read_head(self._buffer + data if self._buffer else data)
        elif state is _BODY:
            self._read_body(data)
        elif self._upload is not None:
            self._read_upload(self._upload, data)
        elif state is not _CLOSING:
            self._keep(data)

    def drained(self) -> None:
        """The peer has taken what waited for it (``ConnectionHandler``)."""
        if self._drained is not None:
            self._drained.set()
        elif self._outbox is not None:
            self._send_on(self._outbox)

    def eof_received(self) -> bool:
        """The peer sends no more (``ConnectionHandler``); what it asked for is answered still."""
        self._has_ended = True
        self._read_on()
        if self._upload is not None:
            self._upload.end(is_complete=False)
        if self._state is _BODY:
            self._refuse_body(error_response(ErrorCode.BAD_REQUEST))
        is_get = self._head is not None and self._head.method == "GET"
        if is_get and isinstance(self._found, PollingTransport):
            return False  # nobody waits for what is to come without being there
        return self._state in (_ANSWERING, _FLUSHING)

    def connection_lost(self, because: LostBecause) -> None:
        """The connection is gone (``ConnectionHandler``)."""
        if because in SLOW:
            self._server.engine.stats.refusals.add(
                RefusalKind.SLOW_CLIENT, self.host, f"{because.value} (from {self.host})"
            )
        found, self._found = self._found, None
        self._state = _GONE
        self._forget_deadlines()
        if isinstance(found, PollingTransport):
            found.poll_lost(self)
        if self._upload is not None:
            self._upload.end(is_complete=False)
        if self._drained is not None:
            self._drained.set()

    # --- The transport's side: Exchange -------------------------------------------------------

    def reply(self, response: Response) -> None:
        """Answer the request of a session (``Exchange``)."""
        head, request = self._head, self._request
        if self._state not in (_ANSWERING, _BODY) or head is None or request is None:
            return
        self._found = None
        self._state = _ANSWERING
        closes = head.closes or response.closes or self._is_last
        server = self._server
        environ = head.headers.environ
        answer = encode_response(
            response,
            headers=server.engine.cors_headers(request),
            date=http_date(int(time())),
            accept_encoding=environ.get("HTTP_ACCEPT_ENCODING", ""),
            compression_threshold=server.options.compression_threshold,
            closes=closes,
            without_body=head.method == "HEAD",
        )
        log_access(head, response.status, len(answer), logging.DEBUG)
        self._closes = closes
        self._state = _FLUSHING
        self._send_on(answer)

    def has_ended(self) -> bool:
        """Return whether the client has gone (``Exchange``)."""
        return self._is_gone or self.connection.has_ended()

    # --- The greenlet's side ------------------------------------------------------------------

    def sendall(self, data: bytes) -> None:
        """Send in the caller's greenlet, which waits while the peer does not take it.

        :raises BrokenPipeError: if the peer has gone, or takes nothing any more.
        """
        view, size = memoryview(data), self._piece
        while view and not self._is_gone:
            self.connection.write(view[:size])
            view = view[size:]
            if self.connection.tell_when_drained():
                self._drained = Event()
                self._drained.wait()
                self._drained = None
        if self._is_gone:
            raise BrokenPipeError(errno.EPIPE, "the client has gone, or takes no more")

    @property
    def _is_gone(self) -> bool:
        """Whether nothing can be sent any more, even if the loop has not told of it yet."""
        return self._state is _GONE or self.connection.closed

    @property
    def is_read(self) -> bool:
        """Whether all of the request has come; if not, the connection ends with its answer."""
        if self._body is not None:
            return self._body.is_complete
        return self._head is not None and not self._head.has_body

    def fileno(self) -> int:
        """Return what gevent-websocket asks a socket for, and never uses here."""
        return -1

    def request_done(self, *, closes: bool) -> None:
        """The request was answered.

        :param closes: whether the connection ends with that.
        """
        self._closes = closes or not self.is_read
        self._upload = None
        if self._state is _ANSWERING:
            self._end_exchange()

    def detach(self) -> tuple[Connection, bytes]:
        """Let the connection become a WebSocket.

        :return: the connection, and what came on it behind the request.
        """
        self._state = _GONE
        self._forget_deadlines()
        data, self._buffer = self._buffer, b""
        return self.connection, data

    def want_body(self) -> None:
        """Somebody waits for the request's body: ask for more of it."""
        self.connection.resume_reading()

    # --- Deadlines ----------------------------------------------------------------------------

    def give_up_head(self) -> None:
        """Cut the connection: the client took too long over a request's head."""
        self._too_slow("a head took too long")
        self.connection.abort()

    def give_up_upload(self) -> None:
        """The body of a request of Django's stands still; its reader knows."""
        self._too_slow("a body stood still")

    def give_up_body(self) -> None:
        """Refuse the request: the client took too long over its body."""
        self._refuse_body(Response(408, b""))

    def cut(self) -> None:
        """Close the connection: no further request came, or the client did not close it."""
        self.connection.abort()

    @property
    def host(self) -> str:
        """The client's address; empty for a Unix socket's."""
        return self.address[0] if isinstance(self.address, tuple) else ""

    # ------------------------------------------------------------------------------------------

    def _too_slow(self, why: str) -> None:
        self._server.engine.stats.refusals.add(
            RefusalKind.SLOW_REQUEST, self.host, f"{why} (from {self.host})"
        )

    @property
    def _is_last(self) -> bool:
        """Whether no request can follow this one."""
        return self._has_ended and not self._buffer

    def _read_head(self, data: bytes) -> None:
        """Take what came of a request's head, and serve the request when it is complete."""
        server = self._server
        try:
            end = requests.find_head_end(data, self._looked_at)
            if end is None and self._has_ended:
                self.connection.close()
                return
            if end is None:
                self._buffer = data
                self._looked_at = len(data)
                if server.idle_deadlines.discard(self):
                    server.head_deadlines.add(self)
                return
            self._head = head = requests.parse_head(data[:end])
        except BadHead as error:
            self._refuse_head(error)
            return
        self._buffer = data[end:]
        self._looked_at = 0
        if not server.idle_deadlines.discard(self):
            server.head_deadlines.discard(self)
        self._state = _ANSWERING
        path, _, query = head.target.partition("?")
        params = parse_query(query) if "sid=" in query and path == server.path else {}
        if "sid" not in params:
            self._serve_application(head, None)
            return
        request = engine_request(head.headers.environ, head.method, params, self.host)
        if request.is_websocket:
            self._serve_application(head, request)
        else:
            self._serve_session(head, request)

    def _refuse_head(self, error: BadHead) -> None:
        """Answer a request that can't be read; where it ends can't be told."""
        self._forget_deadlines()
        self._server.engine.stats.refusals.add(
            RefusalKind.HTTP, self.host, f"{error} (from {self.host})"
        )
        status = HTTPStatus(error.status)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
        self.connection.write(f"{head}Content-Length: 0\r\n\r\n".encode())
        self._linger()

    # --- Requests of sessions -----------------------------------------------------------------

    def _serve_session(self, head: Head, request: EngineRequest) -> None:
        """Let the engine answer a request that carries a ``sid``."""
        self._request = request
        engine, headers = self._server.engine, head.headers
        found = self._found = engine.find_polled(request)
        self._body = None
        if not head.has_body or (isinstance(found, Response) and found.closes):
            self._answer(head, found, b"")
        elif headers.content_length > self._server.options.max_payload:
            self._refuse_body(Response(413, b""))
        else:
            self._await_body(head)

    def _await_body(self, head: Head) -> None:
        """Collect the body of a request."""
        self._state = _BODY
        self._body = requests.body_of(head)
        self._parts = []
        self._size = 0
        data, self._buffer = self._buffer, b""
        if not data and expects_continue(head):
            self.connection.write(CONTINUE)
        if data:
            self._read_body(data)
        if self._state is _BODY and self._has_ended:
            self._refuse_body(error_response(ErrorCode.BAD_REQUEST))
        elif self._state is _BODY:
            self._server.body_deadlines.add(self)

    def _read_body(self, data: bytes) -> None:
        """Take what came of a body, and answer the request when it is complete."""
        body = self._body
        assert body is not None  # one is awaited
        try:
            part, self._buffer = body.receive(data)
        except BadBody:
            self._refuse_body(error_response(ErrorCode.BAD_REQUEST))
            return
        self._size += len(part)
        if self._size > self._server.options.max_payload:
            self._refuse_body(Response(413, b""))
            return
        self._parts.append(part)
        if body.is_complete and self._head is not None and self._found is not None:
            self._server.body_deadlines.discard(self)
            self._state = _ANSWERING
            parts, self._parts = self._parts, []
            self._answer(self._head, self._found, b"".join(parts))

    def _answer(self, head: Head, found: PollingTransport | Response, body: bytes) -> None:
        if isinstance(found, Response):
            self.reply(found)
        elif head.method == "GET" and self._has_ended:
            self.connection.close()  # nobody waits for what is to come without being there
        elif head.method == "GET":
            found.answer_get(self)
        else:
            found.answer_post(body, head.headers.environ.get("CONTENT_TYPE", ""), self)

    def _refuse_body(self, response: Response) -> None:
        """Refuse a request because of its body, and end the session that it was for."""
        self._server.body_deadlines.discard(self)
        if isinstance(self._found, PollingTransport) and self._request is not None:
            self._server.engine.body_refused(self._request, response.status)
        self.reply(response)

    # --- Requests of Django's -----------------------------------------------------------------

    def _serve_application(self, head: Head, upgrade: EngineRequest | None) -> None:
        """Let a greenlet answer a request.

        :param upgrade: that of a WebSocket that wants to take over a session, as the engine sees
            it; ``None`` for all other requests.
        """
        stream: io.IOBase | None = None
        self._body = None
        if head.has_body:
            self._body = requests.body_of(head)
            upload = self._upload = RequestBody(
                self, self._server.options.body_timeout, CONTINUE if expects_continue(head) else b""
            )
            stream = io.BufferedReader(upload, PIECE)
            data, self._buffer = self._buffer, b""
            if data:
                self._read_upload(upload, data)
            if self._has_ended:
                upload.end(is_complete=False)
        handler = RequestHandler(self, head, self._server, body=stream, upgrade=upgrade)
        self._server.request_workers.run(handler)

    def _read_upload(self, upload: "RequestBody", data: bytes) -> None:
        """Hand a body on to who reads it; no faster than that is done."""
        assert self._body is not None  # whose it is
        try:
            part, rest = self._body.receive(data)
        except BadBody:
            upload.end(is_complete=False)
            self._upload = None
            return
        upload.feed(part)
        if self._body.is_complete:
            upload.end(is_complete=True)
            self._upload = None
            if rest:
                self._keep(rest)
        elif upload.size > PIECE:
            self.connection.pause_reading()

    # --- The end of a request -----------------------------------------------------------------

    def _keep(self, data: bytes) -> None:
        """Keep what came of the next request until this one is answered."""
        self._buffer += data
        if len(self._buffer) > PIECE:
            self.connection.pause_reading()

    def _send_on(self, data: bytes | memoryview) -> None:
        """Send what is left of an answer, no faster than the peer takes it."""
        self._outbox = None
        size = self._piece
        while len(data) > size:
            data = memoryview(data)
            self.connection.write(data[:size])
            data = data[size:]
            if self.connection.tell_when_drained():
                self._outbox = data
                return
        self.connection.write(data)
        if self._state is _FLUSHING:
            self._end_exchange()

    def _end_exchange(self) -> None:
        """The answer is on its way: await the next request, or close."""
        if self._closes or self._is_last:
            if self._has_ended or (self.is_read and not self._buffer):
                self.connection.close()
            else:
                self._linger()
            return
        self._state = _HEAD
        self._head = self._body = None
        self._server.idle_deadlines.add(self)
        if self._buffer:
            self.connection.resume_reading()
            self._server.loop.run_callback(self._read_on)

    def _read_on(self) -> None:
        """Look at what came while the last request was answered."""
        if self._state is _HEAD and self._buffer:
            self._read_head(self._buffer)

    def _linger(self) -> None:
        """Close, but not before the client has read why: closing with its bytes unread would reset
        the connection, and take our answer with it (RFC 9112 section 9.6)."""
        self._state = _CLOSING
        self._buffer = b""
        self._server.closing_deadlines.add(self)
        if self._has_ended:
            self.connection.close()
        else:
            self.connection.resume_reading()
            self.connection.hang_up()

    def _forget_deadlines(self) -> None:
        server = self._server
        for deadlines in (
            server.head_deadlines,
            server.idle_deadlines,
            server.body_deadlines,
            server.closing_deadlines,
        ):
            deadlines.discard(self)


class RequestBody(io.RawIOBase):
    """The body of a request of Django's, as it comes: read in a greenlet, which may wait for it.

    :param connection: is asked for more when that is read which has come.
    :param timeout: seconds that the body may stand still.
    :param greeting: what the client wants to be told before it sends anything.
    """

    def __init__(self, connection: HttpConnection, timeout: float, greeting: bytes) -> None:
        super().__init__()
        self._connection = connection
        self._timeout = timeout
        self._greeting = greeting
        self._data = bytearray()
        self._is_over = False  # no more will come
        self._is_complete = False  # and that is all of it
        self._arrived = Event()

    @property
    def size(self) -> int:
        """Bytes that have come and were not read."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Take what came; of a chunk's head and end that is nothing."""
        if data:
            self._data += data
            self._arrived.set()

    def end(self, *, is_complete: bool) -> None:
        """No more will come.

        :param is_complete: whether that is all of it, or the client has gone.
        """
        if not self._is_over:
            self._is_over, self._is_complete = True, is_complete
            self._arrived.set()

    def readable(self) -> bool:
        """Return ``True`` (``RawIOBase``)."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has come, or wait for something to come (``RawIOBase``).

        :return: bytes that were read; 0 at the end.
        :raises OSError: if the client went away, or took too long.
        """
        if not self._data and not self._is_over:
            self._wait()
        size = min(len(buffer), len(self._data))
        buffer[:size] = self._data[:size]
        del self._data[:size]
        if not size and not self._is_complete:
            raise ConnectionResetError(errno.ECONNRESET, "the client went away within its request")
        if not self._is_over and not self._data:
            self._connection.want_body()
        return size

    def _wait(self) -> None:
        self._arrived.clear()
        greeting, self._greeting = self._greeting, b""
        if greeting:
            self._connection.sendall(greeting)
        if not self._arrived.wait(self._timeout):
            self._connection.give_up_upload()
            raise TimeoutError("the request's body stands still")


def expects_continue(head: Head) -> bool:
    """Return whether a client wants to be told before it sends a body (RFC 9110 10.1.1)."""
    expect = head.headers.environ.get("HTTP_EXPECT", "")
    return expect.lower() == "100-continue" and head.version == "HTTP/1.1"
