"""One HTTP/1.1 connection on the event loop: its requests, one after another.

Receives the connection's bytes (``ConnectionHandler``), finds the heads of requests, gives each
request to an exchange, keeps the bytes of the next request until the exchange is over, and ends the
connection (RFC 9112 sections 9.3 to 9.6). Everything here runs in loop callbacks, or is called by
an exchange.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum, auto
from typing import Any, NamedTuple, Protocol

from socketio_server.http.body import BODY_HIGH_WATER
from socketio_server.http.engine_requests import decode_path, engine_request, parse_query
from socketio_server.http.exchange import ExchangeServer, SessionExchange, WsgiExchange
from socketio_server.net.connection import Connection
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.handover import Outcome, Waiter
from socketio_server.net.loop import Loop
from socketio_server.net.queued_output import SLOW, LostBecause
from socketio_server.net.refusals import RefusalKind
from socketio_server.options import Options
from socketio_server.protocol.http1.requests import BadHead, Head, find_head_end, parse_head
from socketio_server.protocol.http1.responses import (
    CONTINUE,
    Response,
    encode_response,
    http_date,
)


class State(IntEnum):  # hashed faster than an Enum
    """The state of a connection."""

    IDLE = auto()
    """Waits for the next request."""
    HEAD = auto()
    """Receives the head of a request; also the state of a new connection."""
    MOVING = auto()
    """Waits until another worker has room for it."""
    BODY = auto()
    """Receives the body of a session's request, which is answered when the body is complete."""
    STREAMING = auto()
    """Answers a request while its body arrives."""
    ANSWERING = auto()
    """Answers a request that has arrived completely, until the kernel has taken the answer."""
    LINGERING = auto()
    """The last answer is written; further bytes of the peer are dropped until it closes."""
    CLOSING = auto()
    """The last answer is written, and the connection closes when it is sent."""
    GONE = auto()
    """The connection was lost, or became a WebSocket."""


IDLE, HEAD, MOVING, BODY, STREAMING, ANSWERING, LINGERING, CLOSING, GONE = State

_BEGINNINGS = {BODY, STREAMING, ANSWERING}  # of an exchange
_ENDS = {LINGERING, CLOSING, GONE}

MOVES: Mapping[State, frozenset[State]] = {
    IDLE: frozenset({HEAD, MOVING} | _BEGINNINGS | _ENDS),
    HEAD: frozenset({MOVING} | _BEGINNINGS | _ENDS),
    MOVING: frozenset(_BEGINNINGS | _ENDS),
    BODY: frozenset({ANSWERING} | _ENDS),
    STREAMING: frozenset({ANSWERING} | _ENDS),
    ANSWERING: frozenset({IDLE} | _ENDS),
    LINGERING: frozenset({GONE}),
    CLOSING: frozenset({GONE}),
    GONE: frozenset(),
}
"""The states that may follow each state."""

KEPT = 4096
"""Bytes that may arrive behind a request before it is answered: with more, reading pauses."""

_HAS_SOMETHING_TO_SEND = frozenset({MOVING, STREAMING, ANSWERING, CLOSING})


class HttpServer(ExchangeServer, Protocol):
    """The server, as its connections see it."""

    deadlines: "Mapping[State, Deadlines[HttpConnection] | None]"
    """Limits of the time in each state (``make_deadlines``)."""
    write_size: int
    """The most bytes of one write (``write_size_of``)."""

    has_siblings: bool
    """Whether other workers may have the sessions that requests ask for."""

    def hand_over(
        self,
        tcp: Connection,
        address: Any,
        owner: str | None,
        data: bytes,
        head_size: int,
        waiter: Waiter,
    ) -> Outcome:
        """Hand a connection over to another worker.

        :param owner: the worker's name, from a session's id; ``None``: any that takes new clients.
        :param data: the request that the worker is to answer, and all bytes behind it.
        :param head_size: bytes of the request's head; 0 if it is not complete.
        :param waiter: called when there is room, if there is none now.
        """


class _Underway(NamedTuple):
    """An answer of which the peer has yet to read some."""

    exchange: SessionExchange | WsgiExchange | None
    rest: bytes | memoryview
    """Bytes that are not written yet: there are any if the answer has more than may be queued, or
    the connection was lost meanwhile."""
    closes: bool
    """Whether the connection ends with it."""


class HttpConnection:
    """Reads the requests of one connection, and lets exchanges answer them one after another.

    :param address: the peer's address, as ``accept`` returned it.
    """

    __slots__ = (
        "_buffer",
        "_scanned",
        "_state",
        "_underway",
        "address",
        "exchange",
        "host",
        "peer_ended",
        "server",
        "tcp",
    )

    def __init__(self, tcp: Connection, address: Any, server: HttpServer) -> None:
        self.address = address
        self.host: str = address[0] if isinstance(address, tuple) else ""
        """The client's address; empty for a Unix socket."""
        self.tcp = tcp
        self.server = server
        self._state = HEAD
        self._buffer = b""  # received bytes, not used yet
        self._scanned = 0  # bytes of the buffer in which no head ends
        self.peer_ended = False
        """Whether the peer has half-closed the connection: it sends no more, but may read."""
        self.exchange: SessionExchange | WsgiExchange | None = None
        """The current exchange; ``None`` between two, and while an answer is under way."""
        # The answer that the peer has yet to read; one that ends the connection stays until that.
        self._underway: _Underway | None = None

    def start(self, data: bytes | None = None, head_size: int = 0) -> None:
        """Start reading.

        :param data: the bytes that another worker has read already; ``None`` if it is new.
        :param head_size: how many of them are a request's head; 0 if it is not complete.
        """
        state = self._state = IDLE if data == b"" else HEAD
        self.tcp.start(self)
        if data:
            self._read_head(data, head_size, has_moved=True)
        if self._state is state:
            deadlines = self.server.deadlines[state]
            assert deadlines is not None  # both have one
            deadlines.add(self)

    def _move_to(self, state: State) -> None:
        """Change the state, and with it the deadline."""
        old, deadlines = self._state, self.server.deadlines
        assert state in MOVES[old], f"{old.name} to {state.name}"
        if (left := deadlines[old]) is not None:
            left.discard(self)
        if (entered := deadlines[state]) is not None:
            entered.add(self)
        self._state = state

    # --- The loop's side: ConnectionHandler ---------------------------------------------------

    @property
    def is_download(self) -> bool:
        """Whether the application answers (``ConnectionHandler``)."""
        return isinstance(self.exchange, WsgiExchange)

    def data_received(self, data: bytes) -> None:
        """Take bytes (``ConnectionHandler``)."""
        state = self._state
        if state is IDLE or state is HEAD:
            self._read_head(self._buffer + data if self._buffer else data)
        elif self.exchange is not None and (state is BODY or state is STREAMING):
            self._read_body(self.exchange, data)
        elif state is ANSWERING:
            self._keep(data)

    def drained(self) -> None:
        """Go on writing, because the peer has read enough (``ConnectionHandler``)."""
        if self._underway is not None:
            self._write_answer(*self._underway)
        elif self.exchange is not None:
            self.exchange.drained()

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for another worker (``Waiter``)."""
        return self._state is MOVING

    def try_again(self) -> None:
        """Move now, because the other worker has room, or has gone (``Waiter``)."""
        if self.is_waiting:
            self._read_head(self._buffer)

    def move_away(self) -> None:
        """Move to a worker that takes new clients, if there is one, before a request has come."""
        if self._state not in (IDLE, HEAD):
            return
        outcome = self.server.hand_over(self.tcp, self.address, None, self._buffer, 0, self)
        if outcome is Outcome.MOVED:
            self._forget()

    def eof_received(self) -> bool:
        """The peer half-closed the connection (``ConnectionHandler``); answer its requests."""
        self.peer_ended = True
        if self._state is IDLE and self._buffer:
            return True  # its next request waits for its turn
        if self._state is IDLE or self._state is HEAD:
            self._end()
        elif self.exchange is not None and not self.exchange.peer_ended():
            return False
        return self._state in _HAS_SOMETHING_TO_SEND

    def connection_lost(self, because: LostBecause) -> None:
        """The connection is gone (``ConnectionHandler``)."""
        exchange, self.exchange = self.exchange, None
        if self._underway is not None and self._has_unread(self._underway):
            exchange = self._underway.exchange  # there is no other
        self._underway = None
        self._buffer = b""
        try:
            if self._state is not GONE:  # it has become a WebSocket
                self._move_to(GONE)
            if because in SLOW:
                self.server.engine.stats.refusals.add(
                    SLOW[because], self.host, f"{because.value} (from {self.host})"
                )
        finally:
            if exchange is not None:
                exchange.lost(because)

    def callback_raised(self) -> None:
        """Close the connection, and end the session of its request (``CallbackOwner``)."""
        self.tcp.callback_raised()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.lost(LostBecause.FAULT)

    def timed_out(self) -> None:
        """The connection has been in its state for too long."""
        if isinstance(self.exchange, SessionExchange):
            self.exchange.body_timed_out()
            return
        if self._state is MOVING:
            self._refuse(503)
            return
        if self._state is HEAD:
            why = "request head did not arrive in time (SOCKETIO_HEAD_TIMEOUT)"
            self.report_slow(why, RefusalKind.SLOW_HEAD)
        self.tcp.abort()

    def report_slow(self, why: str, kind: RefusalKind = RefusalKind.SLOW_BODY) -> None:
        """Count and log a client that is too slow (``Carrier``).

        :param kind: whether its head or its body is.
        """
        self.server.engine.stats.refusals.add(kind, self.host, f"{why} (from {self.host})")

    # --- Heads --------------------------------------------------------------------------------

    def _read_head(self, data: bytes, head_size: int = 0, *, has_moved: bool = False) -> None:
        """Begin an exchange when the head of a request is complete.

        :param head_size: as in ``start``.
        :param has_moved: whether another worker has found that the request is for this one.
        """
        try:
            end = head_size or find_head_end(data, self._scanned)
            if end is not None:
                self._scanned = 0
                if not has_moved and self.server.has_siblings and self._pass_on(data, end):
                    return
                head = parse_head(data[:end])
        except BadHead as error:
            self._refuse_head(error)
            return
        if end is not None:
            self._buffer = data[end:]
            self._begin(head)
        elif self.peer_ended:
            self._end()
        else:
            self._buffer = data
            self._scanned = len(data)
            if self._state is IDLE:
                self._move_to(HEAD)

    def _refuse_head(self, error: BadHead) -> None:
        """Answer a malformed request, and end the connection: the request's end can't be found."""
        self.server.engine.stats.refusals.add(
            RefusalKind.HTTP, self.host, f"{error} (from {self.host})"
        )
        self._refuse(error.status)

    def _refuse(self, status: int) -> None:
        """Answer a request without an exchange, and end the connection."""
        date = http_date(int(self.server.wall_clock()))
        self.tcp.write(encode_response(Response(status, b""), date=date, closes=True))
        self._end()

    def _pass_on(self, data: bytes, head_size: int) -> bool:
        """Hand the connection over if another worker has the session that a request asks for, or
        if this one stops and another takes new clients.

        :param data: what was received, from the beginning of the request's head.
        :return: whether the request is no longer ours to answer now.
        """
        request_line = data[: data.find(b"\n")]
        if b"sid=" in request_line:
            owner = self.server.engine.find_owner(request_line)
            if owner is None:
                return False
        elif self.server.engine.draining:
            owner = None
        else:
            return False
        return self._hand_over(owner, data, head_size)

    def _hand_over(self, owner: str | None, data: bytes, head_size: int) -> bool:
        """Hand the connection over; return whether there was a worker that may take it.

        :param owner: the worker's name; ``None``: any that takes new clients.
        """
        outcome = self.server.hand_over(self.tcp, self.address, owner, data, head_size, self)
        if outcome is Outcome.MOVED:
            self._forget()
        elif outcome is Outcome.WAITS:
            self._wait_to_move(data)
        elif outcome is Outcome.BUSY:
            self._refuse(503)
        else:
            self.tcp.resume_reading()
        return outcome is not Outcome.GONE

    def _forget(self) -> None:
        """Leave the connection to another worker."""
        self._move_to(GONE)
        self.tcp.release()

    def _wait_to_move(self, data: bytes) -> None:
        """Read no more until the connection moves."""
        if self._state is not MOVING:
            self._move_to(MOVING)
        self.tcp.pause_reading()
        self._buffer = data

    def _begin(self, head: Head) -> None:
        """Begin an exchange, with the bytes of its body that arrived with the head."""
        exchange = self.exchange = self._exchange_for(head)
        has_body = head.headers.has_body
        if not has_body:
            self._move_to(ANSWERING)
            if self._buffer:
                self._keep(b"")
        exchange.start()
        if self.exchange is not exchange:
            return  # it was refused, or the connection has become a WebSocket
        if not has_body:
            exchange.complete()
            return
        data, self._buffer = self._buffer, b""
        self._read_body(exchange, data)
        if self._state is BODY and not data and head.expects_continue:
            self.tcp.write(CONTINUE)
        if self.peer_ended:
            exchange.peer_ended()  # which does nothing if it is over

    def _read_body(self, exchange: SessionExchange | WsgiExchange, data: bytes) -> None:
        """Give bytes to an exchange, up to the end of its body."""
        behind = exchange.receive(data)
        if behind is not None:
            self._move_to(ANSWERING)
            if behind:
                self._keep(behind)
            exchange.complete()
        elif self._state in (IDLE, HEAD):  # it was not refused
            self._move_to(BODY if exchange.awaits_body else STREAMING)

    def _exchange_for(self, head: Head) -> SessionExchange | WsgiExchange:
        path, _, query = head.target.partition("?")
        if "sid=" in query:
            path, params = decode_path(path), parse_query(query)
            if self.server.engine.has_session(path, params):
                environ, method = head.headers.environ, head.method
                request = engine_request(environ, method, params, self.host, path)
                return SessionExchange(self, head, request)
        return WsgiExchange(self, head)

    # --- The exchange's side: Carrier ---------------------------------------------------------

    @property
    def is_whole(self) -> bool:
        """Whether the request has arrived completely (``Carrier``)."""
        return self._state is ANSWERING

    @property
    def is_last(self) -> bool:
        """Whether no request can follow (``Carrier``)."""
        return self.peer_ended and not self._buffer

    def write_some(self, data: bytes | memoryview) -> memoryview | None:
        """Write data until the peer must read some of it first (``Carrier``)."""
        tcp, size = self.tcp, self.server.write_size
        while len(data) > size:
            data = memoryview(data)
            tcp.write(data[:size])
            data = data[size:]
            if tcp.tell_when_drained():
                return data
        tcp.write(data)
        return None

    def answer(self, data: bytes, *, closes: bool) -> None:
        """Write the answer, and end the exchange (``Carrier``)."""
        if self._state is ANSWERING:
            self._write_answer(self.exchange, data, closes)
        else:
            self.tcp.write(data)
            self.end_exchange(closes=closes)

    def is_underway(self, exchange: SessionExchange | WsgiExchange) -> bool:
        """Return whether the peer has yet to read some of its answer (``Carrier``)."""
        answer = self._underway
        return answer is not None and answer.exchange is exchange and self._has_unread(answer)

    def end_exchange(self, *, closes: bool) -> None:
        """Wait for the next request, or end the connection (``Carrier``)."""
        self.exchange = None
        if closes or not self.is_whole or (self.peer_ended and not self._buffer):
            self._end()
            return
        self._move_to(IDLE)
        if self._buffer:
            self.server.engine.turns.add(HttpConnection._read_on, self)  # there may be very many

    def detach(self) -> tuple[Connection, bytes]:
        """Hand over the connection (``Carrier``)."""
        self._move_to(GONE)
        self.exchange = None
        data, self._buffer = self._buffer, b""
        return self.tcp, data

    # ------------------------------------------------------------------------------------------

    def _write_answer(
        self,
        exchange: SessionExchange | WsgiExchange | None,
        data: bytes | memoryview,
        closes: bool,
    ) -> None:
        """Write as much of an answer as may be queued: there it counts (``QueuedOutput``).

        The next request has to wait until the kernel has taken all of it.
        """
        tcp, most = self.tcp, self.tcp.output.max_queued_bytes
        while data:
            rest = memoryview(data)[most:] if len(data) > most else b""
            tcp.write(data[:most])
            if tcp.closed:  # that failed, which the loop reports
                self._note_underway(_Underway(exchange, data, closes))
                return
            if tcp.queued:
                self._note_underway(_Underway(exchange, rest, closes))
                if tcp.tell_when_drained() and (rest or not closes):
                    return
            data = rest
        if not closes:
            self._underway = None
        self.end_exchange(closes=closes)

    def _note_underway(self, answer: _Underway) -> None:
        """Note that the peer has yet to read some of an answer, or never will."""
        self.exchange = None
        self._underway = answer

    def _has_unread(self, answer: _Underway) -> bool:
        """Return whether the peer has yet to read some of an answer, or never will."""
        return bool(answer.rest) or self.tcp.queued > 0

    def _keep(self, data: bytes) -> None:
        """Keep bytes of the next request until this one is answered."""
        self._buffer += data
        if len(self._buffer) > KEPT:
            self.tcp.pause_reading()

    def _read_on(self) -> None:
        """Read the bytes that arrived while the last request was answered."""
        if self._state is IDLE and self._buffer:
            self.tcp.resume_reading()
            self._read_head(self._buffer)

    def _end(self) -> None:
        """End the connection behind the last answer.

        If the peer may still send bytes, linger: read and drop them, because closing before they
        are read would reset the connection, and the peer could lose the answer (RFC 9112 9.6).
        """
        if self.peer_ended or (self.is_whole and not self._buffer):
            self._move_to(CLOSING)
            self.tcp.close()
            return
        self._move_to(LINGERING)
        self._buffer = b""
        self.tcp.resume_reading()  # because a peer may send everything before it reads the answer
        self.tcp.hang_up()


def make_deadlines(
    loop: Loop, options: Options, clock: Callable[[], float]
) -> Mapping[State, Deadlines[HttpConnection] | None]:
    """Return the deadlines of all connections of a server.

    :param clock: a monotonic clock, in seconds.
    """
    limits = {
        IDLE: options.keep_alive_timeout,
        HEAD: options.head_timeout,
        MOVING: options.stall_timeout,
        BODY: options.body_timeout,
        LINGERING: options.close_timeout,
    }
    return {
        state: Deadlines(
            loop,
            limits[state],
            HttpConnection.timed_out,
            clock=clock,
            on_raised=HttpConnection.callback_raised,
        )
        if state in limits
        else None
        for state in State
    }


def write_size_of(options: Options) -> int:
    """Return the most bytes of one write: fewer than a slow peer is closed for."""
    return max(1, min(BODY_HIGH_WATER, options.max_queued_bytes // 2))
