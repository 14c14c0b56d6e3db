"""One request and its answer: ``SessionExchange`` for a session's, ``WsgiExchange`` for all others.

An exchange begins when the head of a request has arrived, gets the bytes of the body, and ends when
its answer is written. A session's request is answered in loop callbacks, without a greenlet, Django
or pywsgi, because those would take several times as long as the engine. The WSGI application runs
in a worker's greenlet.

The connection decides which bytes belong to which request, and what happens after an answer.
"""

import errno
import io
import logging
from typing import Any, Protocol

from gevent.event import Event

from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session
from socketio_server.engine.transports.exchange import BAD_REQUEST
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.http.access_log import level_of, log_access
from socketio_server.http.body import BODY_HIGH_WATER, CollectedBody, StreamedBody
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
from socketio_server.net.queued_output import LostBecause
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.workers import WorkerPool
from socketio_server.protocol.http1.bodies import BadBody
from socketio_server.protocol.http1.requests import Head
from socketio_server.protocol.http1.responses import Response, encode_response, http_date

_NO_LENGTH = "chunked request body: only one with a Content-Length can be read"


class ExchangeServer(HandlerServer, Protocol):
    """The server, as its exchanges see it."""

    request_workers: WorkerPool
    """Runs the WSGI application."""
    stream_deadlines: Deadlines[StreamedBody]
    """Bodies whose reader waits for the next bytes."""


class Carrier(Protocol):
    """The HTTP connection, as its exchanges see it."""

    tcp: Connection
    address: Any
    host: str
    """The client's address; empty for a Unix socket."""
    exchange: "SessionExchange | WsgiExchange | None"
    """The current exchange."""

    @property
    def server(self) -> ExchangeServer:
        """The connection's server."""

    @property
    def is_whole(self) -> bool:
        """Whether the request has arrived completely."""

    @property
    def is_last(self) -> bool:
        """Whether no request can follow."""

    @property
    def peer_ended(self) -> bool:
        """Whether the peer has half-closed the connection: it sends no more, but may read."""

    def write_some(self, data: bytes | memoryview) -> memoryview | None:
        """Write data until the peer must read some of it first.

        :return: the rest; write it after the call of ``drained``.
        """

    def answer(self, data: bytes, *, closes: bool) -> None:
        """Write the answer, and end the exchange.

        :param closes: whether the connection ends with that.
        """

    def is_underway(self, exchange: "SessionExchange") -> bool:
        """Return whether the peer has yet to read some of an exchange's answer."""

    def end_exchange(self, *, closes: bool) -> None:
        """End the exchange after its answer was written.

        :param closes: whether the connection ends with that.
        """

    def detach(self) -> tuple[Connection, bytes]:
        """Hand over the connection.

        :return: the connection, and bytes that arrived behind the request.
        """

    def report_slow(self, why: str) -> None:
        """Count and log a client that is too slow."""


class _Exchange:
    """The base of both kinds of exchanges."""

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
        """Whether the connection is closed, even if ``lost`` was not called yet, or another
        process has it.
        """
        return self._carrier.tcp.closed or self._carrier.server.is_copy

    def switch(self, answer: bytes) -> tuple[Connection, bytes]:
        """Send the answer to a handshake and hand over the connection (``Upgradable``).

        :return: the connection, and bytes that arrived behind the request.
        """
        self._carrier.tcp.write(answer)
        return self._carrier.detach()

    @property
    def _has_more(self) -> bool:
        """Whether the client must send another request, although the server stops."""
        return False

    def reply(
        self,
        response: Response,
        headers: tuple[tuple[str, str], ...] = (),
        level: int = logging.DEBUG,
    ) -> None:
        """Write the engine's answer, and end the exchange; do nothing if it has ended.

        :param headers: further headers.
        :param level: the access log's level.
        """
        carrier, head = self._carrier, self.head
        if carrier.exchange is not self:
            return
        server = carrier.server
        closes = (
            response.closes
            or head.headers.closes
            or carrier.is_last
            or (server.engine.draining and not self._has_more)
        )
        if not closes and head.version == "HTTP/1.0":
            headers += (("Connection", "keep-alive"),)
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
    """A request of an Engine.IO session: a poll, a POST, or a WebSocket for an upgrade.

    It is the polling transport's ``Exchange``. Everything here runs in loop callbacks.

    :param request: the engine's view of the request.
    """

    __slots__ = ("__weakref__", "_body", "_request", "_target")

    awaits_body = True
    """Whether nothing happens before all of the request has come."""

    def __init__(self, carrier: Carrier, head: Head, request: EngineRequest) -> None:
        self._carrier = carrier
        self.head = head
        self._cors = ()
        if request.origin is not None:
            self._cors = carrier.server.engine.origins.cors_headers(request)
        self._request: EngineRequest | None = request  # None after it has arrived completely
        # The transport that answers, or the answer, if it is known already; None before start.
        self._target: PollingTransport | Response | None = None
        self._body: CollectedBody | None = None  # None if there is none, or it is complete

    def start(self) -> None:
        """Find the request's transport, or refuse the request, if possible before its body."""
        request = self._request
        assert request is not None  # its body has not arrived
        if request.is_websocket:
            self._upgrade(request)
            return
        server, head = self._carrier.server, self.head
        target = self._target = server.engine.find_polled(request)
        if head.headers.has_body:
            if isinstance(target, Response) and target.closes:
                self.reply(target)
                return
            try:
                self._body = CollectedBody(head, server.options.max_payload)
            except BadBody as error:
                self._refuse_body(error.status)
                return
            if head.method != "POST":
                self._body.drop()

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes of the body; return those behind it, or ``None`` if it is not complete."""
        body, target = self._body, self._target
        assert body is not None  # the head announced one
        try:
            behind = body.receive(data)
        except BadBody as error:
            self._refuse_body(error.status)
            return None
        if behind is None and self.head.method == "POST" and isinstance(target, PollingTransport):
            target.post_arrives(self, body.size)
        return behind

    def complete(self) -> None:
        """Answer the complete request, now or later."""
        target, body, head = self._target, self._body, self.head
        assert target is not None  # start has found it
        self._body = self._request = None  # free memory, because a poll may wait for long
        if isinstance(target, Response):
            self.reply(target)
        elif head.method == "POST":
            content_type = head.headers.environ.get("CONTENT_TYPE", "")
            target.answer_post(b"" if body is None else body.join(), content_type, self)
        elif self._carrier.peer_ended:  # half-closed: no client waits for a poll like that
            self._carrier.end_exchange(closes=True)
        else:
            target.answer_get(self)

    @property
    def _has_more(self) -> bool:
        """Whether the client has yet to fetch messages or the goodbye, for which the stopping
        server accepts no other connection.
        """
        return isinstance(self._target, PollingTransport) and not self._target.is_finished

    def has_ended(self) -> bool:
        """Return whether the client has disconnected (``Exchange``)."""
        return self._carrier.tcp.has_ended()

    def is_underway(self) -> bool:
        """Return whether the client has yet to read some of the answer (``Exchange``)."""
        return self._carrier.is_underway(self)

    def drained(self) -> None:
        """Do nothing: an answer is written by the connection."""

    def body_timed_out(self) -> None:
        """Refuse the request, because its body did not arrive in time."""
        self._refuse_body(408)

    def peer_ended(self) -> bool:
        """The peer sends no more; return whether an answer may still be of use to it."""
        if self._body is not None:
            self._refuse_body(400)
            return True
        return self.head.method != "GET"  # no client half-closes and waits for a poll

    def drop_body(self) -> None:
        """Keep nothing of the body (``Exchange``); the refusal follows when all has arrived."""
        self._target = BAD_REQUEST
        if self._body is not None:
            self._body.drop()

    def abort(self) -> None:
        """Close the connection without an answer (``Exchange``)."""
        self._carrier.tcp.callback_raised()

    def lost(self, because: LostBecause) -> None:
        """The connection is gone; the session ends with it after an internal error, or if some of
        an answer's messages are lost.
        """
        target = self._target
        if isinstance(target, PollingTransport):
            if because is LostBecause.FAULT:
                target.callback_raised()
            else:
                target.request_lost(self)

    def _refuse_body(self, status: int) -> None:
        """Refuse the request because of its body, and end its session."""
        request = self._request
        assert request is not None  # it has not arrived completely
        if isinstance(self._target, PollingTransport):
            self._carrier.server.engine.body_refused(request, status)
        self.reply(BAD_REQUEST if status == 400 else Response(status, b""))

    def _upgrade(self, request: EngineRequest) -> None:
        """Begin the probe of a session's upgrade, or refuse the WebSocket."""
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
    """A request to the WSGI application; the socket of its ``RequestHandler``.

    The handler calls it from a worker's greenlet, the connection from loop callbacks.
    """

    __slots__ = ("_body", "_drained", "address", "unsent")

    awaits_body = False
    """Whether nothing happens before all of the request has come."""

    def __init__(self, carrier: Carrier, head: Head) -> None:
        self._carrier = carrier
        self.head = head
        self.address = carrier.address
        """The peer's address, as ``accept`` returned it."""
        self._body: StreamedBody | None = None  # None if the request has none
        self._drained: Event | None = None  # a greenlet waits for it, if the peer reads slowly
        self.unsent = 0
        """Bytes that the last call of ``sendall`` could not send, if it raised an error."""

    @property
    def is_whole(self) -> bool:
        """Whether the request has arrived completely; if not, its answer ends the connection."""
        return self._carrier.is_whole

    def start(self) -> None:
        """Run the application in a worker, but refuse here what it can't answer rightly."""
        carrier, head = self._carrier, self.head
        server, headers = carrier.server, head.headers.environ
        if is_websocket(headers) and not is_well_formed(head):
            request = engine_request(headers, head.method, {}, carrier.host, "")
            self._cors = server.engine.origins.cors_headers(request)
            response = refuse_malformed(server.engine, carrier.host)
            self.reply(response, (VERSION_HEADER,), level_of(response.status))
            return
        if head.headers.is_chunked:  # Django would take it for a request without a body
            server.engine.stats.refusals.add(
                RefusalKind.BODY, carrier.host, f"{_NO_LENGTH} (from {carrier.host})"
            )
            self._cors = ()
            self.reply(Response(411, f"{_NO_LENGTH}\n".encode()), level=logging.WARNING)
            return
        stream: io.BufferedReader | None = None
        if head.headers.has_body:
            self._body = StreamedBody(head, self, server.stream_deadlines)
            stream = io.BufferedReader(self._body, BODY_HIGH_WATER)
        server.request_workers.run(RequestHandler(self, server, stream))

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes of the body; return those behind it, or ``None`` if it is not complete."""
        assert self._body is not None  # the head announced one
        return self._body.receive(data)

    def complete(self) -> None:
        """Do nothing: the application runs already."""

    def drained(self) -> None:
        """Let the waiting greenlet write more, because the peer has read enough."""
        if self._drained is not None:
            self._drained.set()

    def peer_ended(self) -> bool:
        """The peer sends no more; return whether an answer may still be of use to it."""
        self._break_off()
        return True

    def lost(self, because: LostBecause) -> None:
        """The connection is gone."""
        self._break_off()
        self.drained()

    def sendall(self, data: bytes) -> None:
        """Send in the caller's greenlet, which waits if the peer reads too slowly.

        :raises BrokenPipeError: if the peer has disconnected, or reads nothing more.
        """
        carrier = self._carrier
        rest: bytes | memoryview | None = data
        while rest and not self.is_gone:
            rest = carrier.write_some(rest)
            if carrier.tcp.tell_when_drained():
                self._drained = Event()
                self._drained.wait()
        if self.is_gone:
            self.unsent = len(rest or b"") + carrier.tcp.queued
            raise BrokenPipeError(errno.EPIPE, "the client has disconnected, or reads nothing more")

    def done(self, *, closes: bool) -> None:
        """End the exchange after its answer, unless its connection has become a WebSocket.

        :param closes: whether the connection ends with that.
        """
        body, self._body = self._body, None
        if body is not None:
            body.end()
        if self._carrier.exchange is self and not self._carrier.server.is_copy:
            self._carrier.end_exchange(closes=closes)

    def pause_reading(self) -> None:
        """Pause reading from the peer (``BodySource``)."""
        self.tcp.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading from the peer (``BodySource``)."""
        self.tcp.resume_reading()

    def report_slow(self, why: str) -> None:
        """Count and log a client that is too slow (``BodySource``)."""
        self._carrier.report_slow(why)

    def _break_off(self) -> None:
        if self._body is not None:
            self._body.break_off(
                ConnectionResetError(
                    errno.ECONNRESET, "the client disconnected in the middle of its request"
                )
            )
