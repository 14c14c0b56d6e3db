"""One request and its answer: ``SessionExchange`` for a session's, ``WsgiExchange`` for all others.

An exchange is made when the head of a request has come, gets the bytes of the body, and is over
when its answer is written. A session's is answered in loop callbacks and costs no greenlet, since
neither Django nor pywsgi takes part: they would take several times as long as the engine. The WSGI
application runs in a worker's greenlet.

Which bytes belong to which request, and what happens on the connection after an answer, are the
connection's business.
"""

import errno
import io
import logging
from typing import Any, Protocol

from gevent.event import Event

from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session
from socketio_server.engine.transports.polling import PollingTransport, error_response
from socketio_server.http.access_log import level_of, log_access
from socketio_server.http.body import HIGH_WATER, CollectedBody, StreamedBody
from socketio_server.http.engine_requests import engine_request, is_websocket
from socketio_server.http.upgrade import (
    VERSION_HEADER,
    is_well_formed,
    refuse_malformed,
    switch_protocols,
)
from socketio_server.http.wsgi import HandlerServer, RequestHandler
from socketio_server.net.connection import Connection
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.workers import WorkerPool
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.bodies import BadBody
from socketio_server.protocol.http1.requests import Head
from socketio_server.protocol.http1.responses import Response, encode_response, http_date


class ExchangeServer(HandlerServer, Protocol):
    """What an exchange needs of its server."""

    request_workers: WorkerPool
    """Runs the WSGI application."""
    stream_deadlines: Deadlines[StreamedBody]
    """Bodies whose reader waits for the next bytes."""


class Carrier(Protocol):
    """What an exchange needs of the connection that carries it."""

    tcp: Connection
    address: Any
    host: str
    """The client's address; empty for a Unix socket's."""
    exchange: "SessionExchange | WsgiExchange | None"
    """The exchange that is under way."""

    @property
    def server(self) -> ExchangeServer:
        """The server that it belongs to."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the request has come."""

    @property
    def is_last(self) -> bool:
        """Whether no request can follow."""

    @property
    def peer_ended(self) -> bool:
        """Whether the peer has half-closed the connection: it sends no more, but may listen."""

    def write_some(self, data: bytes | memoryview) -> memoryview | None:
        """Write data up to where the peer must take some of it first.

        :return: the rest, to be written after the connection has told that it is drained.
        """

    def answer(self, data: bytes, *, closes: bool) -> None:
        """Write the answer, and end the exchange.

        :param closes: whether the connection ends with that.
        """

    def end_exchange(self, *, closes: bool) -> None:
        """End the exchange, whose answer is written.

        :param closes: whether the connection ends with that.
        """

    def detach(self) -> tuple[Connection, bytes]:
        """Let go of the connection.

        :return: the connection, and bytes that came on it behind the request.
        """

    def report_slow(self, why: str) -> None:
        """Count and log that the client took too long."""


class _Exchange:
    """What exchanges of both kinds have in common."""

    __slots__ = ("_carrier", "_cors", "head")

    _carrier: Carrier
    _cors: tuple[tuple[str, str], ...]  # headers for a page of another origin
    head: Head

    @property
    def tcp(self) -> Connection:
        """The connection."""
        return self._carrier.tcp

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be sent any more, even if the loop has not told of it yet."""
        return self._carrier.tcp.closed

    def switch(self, answer: bytes) -> tuple[Connection, bytes]:
        """Send the answer to a handshake and let go of the connection (``Upgradable``).

        :return: the connection, and bytes that came on it behind the request.
        """
        self._carrier.tcp.write(answer)
        return self._carrier.detach()

    def reply(
        self,
        response: Response,
        headers: tuple[tuple[str, str], ...] = (),
        level: int = logging.DEBUG,
    ) -> None:
        """Write the engine's answer, and end the exchange; does nothing if it has ended.

        :param headers: further headers.
        :param level: the access log's level.
        """
        carrier, head = self._carrier, self.head
        if carrier.exchange is not self:
            return
        server = carrier.server
        closes = response.closes or head.closes or carrier.is_last or server.engine.draining
        answer = encode_response(
            response,
            date=http_date(int(server.wall_clock())),
            headers=self._cors + headers,
            accept_encoding=head.headers.environ.get("HTTP_ACCEPT_ENCODING", ""),
            compression_threshold=server.options.compression_threshold,
            closes=closes,
            without_body=head.method == "HEAD",
        )
        log_access(head, response.status, len(answer), level)
        carrier.answer(answer, closes=closes)


class SessionExchange(_Exchange):
    """A request of an Engine.IO session: a poll, a POST, or a WebSocket that wants to take over.

    The polling transport knows it as its ``Exchange``. Everything here runs in loop callbacks.

    :param request: the request as the engine sees it.
    """

    __slots__ = ("_body", "_request", "_target")

    awaits_body = True
    """Whether nothing happens before all of the request has come."""

    def __init__(self, carrier: Carrier, head: Head, request: EngineRequest) -> None:
        self._carrier = carrier
        self.head = head
        cors = carrier.server.engine.cors_headers
        self._cors = cors(request) if request.origin is not None else ()
        self._request: EngineRequest | None = request  # until all of it has come
        # What answers it, or the answer, if that is clear already; None before start.
        self._target: PollingTransport | Response | None = None
        self._body: CollectedBody | None = None  # until it has come

    def start(self) -> None:
        """Find what the request is for, and refuse it if that can be done without its body."""
        request = self._request
        assert request is not None  # nothing of its body has come
        if request.is_websocket:
            self._upgrade(request)
            return
        server, head = self._carrier.server, self.head
        target = self._target = server.engine.find_polled(request)
        if head.has_body:
            if isinstance(target, Response) and target.closes:
                self.reply(target)
                return
            try:
                self._body = CollectedBody(head, server.options.max_payload)
            except BadBody as error:
                self._refuse_body(error.status)

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes of the body; return those behind it, or ``None`` if it is not complete."""
        assert self._body is not None  # one is awaited
        try:
            return self._body.receive(data)
        except BadBody as error:
            self._refuse_body(error.status)
            return None

    def complete(self) -> None:
        """Answer the request, all of which has come, now or later."""
        target, body, head = self._target, self._body, self.head
        assert target is not None  # start has found it
        self._body = self._request = None  # a poll may wait for long, and shall hold little
        if isinstance(target, Response):
            self.reply(target)
        elif head.method == "POST":
            content_type = head.headers.environ.get("CONTENT_TYPE", "")
            target.answer_post(b"" if body is None else body.join(), content_type, self)
        elif self._carrier.peer_ended:  # nobody waits for a poll's answer without being there
            self._carrier.end_exchange(closes=True)
        else:
            target.answer_get(self)

    def has_ended(self) -> bool:
        """Return whether the client has gone (``Exchange``)."""
        return self._carrier.tcp.has_ended()

    def is_underway(self) -> bool:
        """Return whether the peer has yet to take some of what was written (``Exchange``)."""
        return self._carrier.tcp.congested

    def drained(self) -> None:
        """The peer has taken what was written: of earlier answers, as this one's is to come."""

    def body_timed_out(self) -> None:
        """Refuse the request: the client took too long over its body."""
        self._refuse_body(408)

    def peer_ended(self) -> bool:
        """The peer sends no more; return whether an answer may still be of use to it."""
        if self._body is not None:
            self._refuse_body(400)
            return True
        return self.head.method != "GET"  # nobody waits for a poll's answer without being there

    def lost(self) -> None:
        """The connection is gone."""
        if isinstance(self._target, PollingTransport):
            self._target.poll_lost(self)

    def _refuse_body(self, status: int) -> None:
        """Refuse the request because of its body, and end the session that it was for."""
        request = self._request
        assert request is not None  # not all of it has come
        if isinstance(self._target, PollingTransport):
            self._carrier.server.engine.body_refused(request, status)
        self.reply(
            error_response(ErrorCode.BAD_REQUEST) if status == 400 else Response(status, b"")
        )

    def _upgrade(self, request: EngineRequest) -> None:
        """Let a WebSocket try to take over a session."""
        server = self._carrier.server
        session = server.engine.find_upgradable(request)
        if isinstance(session, Session) and is_well_formed(self.head):
            deflates = server.options.per_message_deflate
            server.engine.probe_websocket(session, switch_protocols(self, may_deflate=deflates))
            return
        if isinstance(session, Session):
            session = refuse_malformed(server.engine, self._carrier.host)
        self.reply(session, (VERSION_HEADER,))


class WsgiExchange(_Exchange):
    """A request to the WSGI application, whose ``RequestHandler`` knows it as its socket.

    The handler calls it from a worker's greenlet, the connection from loop callbacks.
    """

    __slots__ = ("_body", "_taken", "address")

    awaits_body = False
    """Whether nothing happens before all of the request has come."""

    def __init__(self, carrier: Carrier, head: Head) -> None:
        self._carrier = carrier
        self.head = head
        self.address = carrier.address
        """The peer's, as the socket gave it."""
        self._body: StreamedBody | None = None  # of a request that has one
        self._taken: Event | None = None  # while a greenlet waits for the peer to take more

    @property
    def is_whole(self) -> bool:
        """Whether all of the request has come; if not, the connection ends with its answer."""
        return self._carrier.is_whole

    def start(self) -> None:
        """Have a worker run the application; refuse a malformed handshake without asking it."""
        carrier, head = self._carrier, self.head
        server, headers = carrier.server, head.headers.environ
        if is_websocket(headers) and not is_well_formed(head):
            request = engine_request(headers, head.method, {}, carrier.host)
            self._cors = server.engine.cors_headers(request)
            response = refuse_malformed(server.engine, carrier.host)
            self.reply(response, (VERSION_HEADER,), level_of(response.status))
            return
        stream: io.BufferedReader | None = None
        if head.has_body:
            self._body = StreamedBody(head, self, server.stream_deadlines)
            stream = io.BufferedReader(self._body, HIGH_WATER)
        server.request_workers.run(RequestHandler(self, server, stream))

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes of the body; return those behind it, or ``None`` if it is not complete."""
        assert self._body is not None  # one is awaited
        return self._body.receive(data)

    def complete(self) -> None:
        """All of the request has come: the application may be answering it already."""

    def drained(self) -> None:
        """The peer has taken what was written."""
        if self._taken is not None:
            self._taken.set()

    def peer_ended(self) -> bool:
        """The peer sends no more; return whether an answer may still be of use to it."""
        self._break_off()
        return True

    def lost(self) -> None:
        """The connection is gone."""
        self._break_off()
        self.drained()

    def sendall(self, data: bytes) -> None:
        """Send in the caller's greenlet, which waits while the peer does not take it.

        :raises BrokenPipeError: if the peer has gone, or takes nothing any more.
        """
        carrier = self._carrier
        rest: bytes | memoryview | None = data
        while rest and not self.is_gone:
            rest = carrier.write_some(rest)
            if carrier.tcp.tell_when_drained():
                self._taken = Event()
                self._taken.wait()
                self._taken = None
        if self.is_gone:
            raise BrokenPipeError(errno.EPIPE, "the client has disconnected, or reads nothing more")

    def done(self, *, closes: bool) -> None:
        """The request was answered, if its connection did not become a WebSocket.

        :param closes: whether the connection ends with that.
        """
        self._body = None
        if self._carrier.exchange is self:
            self._carrier.end_exchange(closes=closes)

    def pause_reading(self) -> None:
        """Read no more of the body for now (``BodySource``)."""
        self.tcp.pause_reading()

    def resume_reading(self) -> None:
        """Read on in the body (``BodySource``)."""
        self.tcp.resume_reading()

    def report_slow(self, why: str) -> None:
        """Count and log that the client took too long (``BodySource``)."""
        self._carrier.report_slow(why)

    def _break_off(self) -> None:
        if self._body is not None:
            self._body.break_off(
                ConnectionResetError(
                    errno.ECONNRESET, "the client disconnected in the middle of its request"
                )
            )
