"""HTTP connections on real sockets: requests of sessions and of an application, in any order.

The loop stands still until a test moves it. Only the application's requests have greenlets, in the
hub of the test's own thread.
"""

import gc
import json
import socket as socket_module
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.engine.engine import Engine
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session
from socketio_server.http.body import StreamedBody
from socketio_server.http.connection import (
    MOVES,
    HttpConnection,
    State,
    make_deadlines,
    write_size_of,
)
from socketio_server.http.engine_requests import engine_request_of
from socketio_server.net.connection import READ_SIZE, Connection
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.statistics import Stats
from socketio_server.net.workers import WorkerPool
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from tests.fakes import (
    FakeIO,
    FakeLoop,
    RecordingSessionHandler,
    WebSocketPeer,
    is_at_end,
    outgoing,
    read_available,
    settle,
    socket_pair,
)
from tests.support.websocket import frame

BIG = bytes(range(256)) * 16_384  # 4 MB: more than any buffer on the way
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Answer(NamedTuple):
    """An answer; ``headers`` by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Site:
    """A server without a socket of its own (``HttpServer``), and the sessions that it has."""

    path = "/socket.io/"

    def __init__(self, options: Options) -> None:
        self.loop: Any = FakeLoop()
        self.options = options
        self.stats = Stats(self.loop.clock)
        self.engine = Engine(self.loop, options, self.accept, self.stats, clock=self.loop.clock)
        self.request_workers = WorkerPool(gevent.get_hub(), options, 100, clock=monotonic)
        self.environ: dict[str, Any] = {"wsgi.url_scheme": "http"}
        self.application: Application = greet
        self.sessions: list[Session] = []
        self.handlers: list[RecordingSessionHandler] = []
        clock = self.loop.clock
        self.wall_clock = lambda: 784_111_777.0
        self.write_size = write_size_of(options)
        self.deadlines = make_deadlines(self.loop, options, clock)
        self.stream_deadlines = Deadlines(
            self.loop, options.body_timeout, StreamedBody.time_out, clock=clock
        )

    def accept(self, session: Session, request: object) -> RecordingSessionHandler:
        self.sessions.append(session)
        self.handlers.append(RecordingSessionHandler())
        return self.handlers[-1]

    def open_session(self) -> str:
        """Open a session over polling; return the target of its requests."""
        query = {"EIO": "4", "transport": "polling"}
        handshake = EngineRequest("GET", query, path=self.path)
        self.engine.open_polling(handshake, "request", None)
        return f"{self.path}?EIO=4&transport=polling&sid={self.sessions[-1].sid}"

    def run(self) -> None:
        """Let everything happen that can, on the loop and in greenlets."""
        for _ in range(3):
            self.loop.run()
            settle()
        self.loop.run()

    def has_no_deadlines(self) -> bool:
        """Whether nothing is waited for on any connection."""
        return not self.stream_deadlines and not any(self.deadlines.values())


class Peer:
    """A client's end of a connection."""

    def __init__(self, site: Site, ours: socket_module.socket, sock: socket_module.socket) -> None:
        self.site = site
        self.sock = sock
        self.connection = Connection(ours, site.loop, site.engine.output)
        self.http = HttpConnection(self.connection, ("192.0.2.1", 1234), site)
        self.http.start()
        self._unread = b""

    def send(self, *data: bytes) -> None:
        """Send pieces, each of which arrives before the next is sent."""
        for piece in data:
            self.sock.sendall(piece)
            self.site.run()

    def end(self) -> None:
        """Send no more, but read on."""
        self.sock.shutdown(socket_module.SHUT_WR)
        self.site.run()

    def close(self) -> None:
        """Go away."""
        self.sock.close()
        self.site.run()

    def read(self) -> bytes:
        """Read until nothing more comes."""
        data = b""
        while piece := read_available(self.sock):
            data += piece
            self.site.run()
        return data

    def answers(self) -> list[Answer]:
        """Return the answers that have come since the last call; each must be whole."""
        data = self._unread + self.read()
        answers = []
        while data:
            head, _, data = data.partition(b"\r\n\r\n")
            line, *lines = head.decode("latin-1").split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
            size = int(headers.get("content-length", 0))
            assert len(data) >= size, "an answer is not whole"
            answers.append(Answer(int(line.split(" ")[1]), headers, data[:size]))
            data = data[size:]
        return answers

    def answer(self) -> Answer:
        """Return the only answer that has come since the last call."""
        (answer,) = self.answers()
        return answer

    def statuses(self) -> list[int]:
        """Return the statuses of the answers that have come since the last call."""
        return [answer.status for answer in self.answers()]

    @property
    def is_cut(self) -> bool:
        """Whether the server has closed, and all before that was read."""
        return is_at_end(self.sock)


def greet(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Tell what was asked for, and what came with it."""
    body = environ["wsgi.input"].read()
    text = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} ".encode() + body
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


def ignore(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer without a look at what came."""
    start_response("200 OK", [("Content-Length", "7")])
    return [b"ignored"]


def request(
    method: str, target: str, body: bytes | None = None, *lines: str, version: str = "1.1"
) -> bytes:
    """Return a request."""
    headers = ["Host: localhost", *lines]
    if body is not None:
        headers.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{method} {target} HTTP/{version}", *headers, "", ""])
    return head.encode() + (body or b"")


def head(method: str, target: str, *lines: str) -> bytes:
    """Return a request's head."""
    return request(method, target, None, *lines)


def in_chunks(*chunks: bytes) -> bytes:
    """Return a body in chunks, up to its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


def bytes_of(data: bytes) -> list[bytes]:
    """Return data, byte by byte."""
    return [bytes([byte]) for byte in data]


def send_what_is_taken(peer: Peer, data: bytes) -> bytes:
    """Send data until no more of it is taken; return the rest."""
    view = memoryview(data)
    peer.sock.setblocking(False)
    blocked = False
    while view:
        try:
            view = view[peer.sock.send(view[:READ_SIZE]) :]
            blocked = False
        except BlockingIOError:
            if blocked:
                break
            blocked = True
            peer.site.run()
    peer.site.run()
    return bytes(view)


CHUNKED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture
def options() -> Options:
    return Options(max_time_per_turn=1000.0, max_payload=1000, max_queued_bytes=300_000)


@pytest.fixture
def site(options: Options) -> Site:
    return Site(options)


@pytest.fixture
def peer(site: Site) -> Iterator[Peer]:
    with socket_pair() as (ours, theirs):
        made = Peer(site, ours, theirs)
        yield made
        made.connection.abort()
        site.run()
        assert site.has_no_deadlines(), "a deadline outlived its connection"
        watched = [watcher for watcher in site.loop.watchers if isinstance(watcher, FakeIO)]
        assert watched == [], "something stayed behind in the loop"


@pytest.fixture
def target(site: Site) -> str:
    """Where the requests of a session go, whose opening packet was fetched."""
    return site.open_session()


class TestRequestsOfASession:
    def test_a_get_is_answered_when_there_is_something(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.send(request("GET", target))
        assert peer.answers() == []

        site.sessions[0].send(outgoing("hello"))
        site.run()
        answer = peer.answer()
        assert (answer.status, answer.body) == (200, b"4hello")
        assert "connection" not in answer.headers

    def test_a_post_is_taken_in_and_answered(self, site: Site, peer: Peer, target: str) -> None:
        peer.send(request("POST", target, b"4hello\x1e4again"))

        assert peer.answer().body == b"ok"
        assert site.handlers[0].messages == ["hello", "again"]

    @pytest.mark.parametrize("coded", [False, True], ids=["length", "chunks"])
    def test_a_body_may_come_byte_by_byte(
        self, site: Site, peer: Peer, target: str, coded: bool
    ) -> None:
        if coded:
            data = head("POST", target, CHUNKED) + in_chunks(b"4he", b"llo")
        else:
            data = request("POST", target, b"4hello")
        for byte in bytes_of(data[:-1]):
            peer.sock.sendall(byte)
            site.loop.run()
        assert peer.answers() == []
        peer.send(data[-1:])

        assert peer.answer().body == b"ok"
        assert site.handlers[0].messages == ["hello"]

    def test_one_connection_serves_many(self, site: Site, peer: Peer, target: str) -> None:
        for i in range(3):
            peer.send(request("POST", target, b"4%d" % i))
            assert peer.answer().body == b"ok"
            site.sessions[0].send(outgoing(str(i)))
            peer.send(request("GET", target))
            assert peer.answer().body == b"4%d" % i

    def test_those_that_follow_each_other_without_waiting_are_answered_in_order(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.send(
            request("POST", target, b"4one")
            + request("GET", target)
            + request("POST", target, b"4two")
        )
        assert [answer.body for answer in peer.answers()] == [b"ok"]
        assert site.handlers[0].messages == ["one"]  # the second waits for the GET's answer

        site.sessions[0].send(outgoing("at last"))
        site.run()
        assert [answer.body for answer in peer.answers()] == [b"4at last", b"ok"]
        assert site.handlers[0].messages == ["one", "two"]

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("&sid=", "&sid=un"),  # there is no such session
            ("/socket.io/", "/elsewhere/socket.io/"),  # not under this path
            ("EIO=4&", ""),
            ("transport=polling&", ""),
            ("sid=", "a-sid="),
        ],
    )
    def test_one_that_is_not_of_a_session_is_the_application_s(
        self, peer: Peer, target: str, old: str, new: str
    ) -> None:
        target = target.replace(old, new)
        peer.send(request("GET", target))

        assert peer.answer().body == f"GET {target.partition('?')[0]} ".encode()

    def test_one_s_path_is_the_one_of_the_handshake_however_it_is_encoded(
        self, site: Site, peer: Peer
    ) -> None:
        site.path = "/\xc3\xa9t\xc3\xa9/socket.io/"  # as WSGI decodes it
        _, _, query = site.open_session().partition("?")
        site.sessions[0].send(outgoing("hello"))
        peer.send(request("GET", f"/%C3%A9t%C3%A9/socket.io/?{query}"))

        assert peer.answer().body == b"4hello"

    def test_a_handshake_s_path_is_as_it_came_whatever_the_application_makes_of_it(
        self, site: Site, peer: Peer
    ) -> None:
        def move(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/sub", "/moved/"
            site.engine.open_polling(engine_request_of(environ), "request", None)
            return ignore(environ, start)

        site.application = move
        peer.send(request("GET", "/a%20b/socket.io/?EIO=4&transport=polling"))
        assert peer.answer().status == 200

        sid = site.sessions[0].sid
        peer.send(request("POST", f"/a%20b/socket.io/?EIO=4&transport=polling&sid={sid}", b"1"))
        assert peer.answer().body == b"ok"

    def test_one_of_a_session_that_is_over_is_refused_and_the_connection_ends(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        peer.send(request("GET", target))
        assert peer.answer().body == b"1"
        peer.send(request("GET", target))
        answer = peer.answer()

        assert answer.status == 400
        assert json.loads(answer.body)["code"] == 1
        assert answer.headers["connection"] == "close"
        assert peer.is_cut

    @pytest.mark.parametrize(
        ("lines", "version", "closes"),
        [
            (["Connection: close"], "1.1", True),
            ([], "1.0", True),
            (["Connection: keep-alive"], "1.0", False),
        ],
    )
    def test_the_client_may_have_the_connection_closed(
        self, peer: Peer, target: str, lines: list[str], version: str, closes: bool
    ) -> None:
        peer.send(request("POST", target, b"3", *lines, version=version))

        assert (peer.answer().headers.get("connection") == "close") is closes
        assert peer.is_cut is closes

    def test_a_page_of_another_origin_is_refused(self, peer: Peer, target: str) -> None:
        peer.send(head("GET", target, "Origin: http://evil.test"))
        assert peer.answer().status == 403


class TestBodiesOfASession:
    """Sizes are judged before anything is kept (security, 6)."""

    def assert_refused(self, site: Site, peer: Peer, status: int) -> None:
        answer = peer.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert site.handlers[0].messages == []
        assert site.handlers[0].closed == [CloseReason.PARSE_ERROR]
        assert site.stats.refusals.counts == {"body": 1}

    def test_as_much_as_is_allowed_may_come(self, peer: Peer, target: str) -> None:
        peer.send(request("POST", target, b"4" + b"x" * 999))
        assert peer.answer().status == 200

    def test_more_is_refused_before_it_comes(self, site: Site, peer: Peer, target: str) -> None:
        peer.send(head("POST", target, "Content-Length: 1001"))
        self.assert_refused(site, peer, 413)

    def test_more_in_chunks_is_refused_as_soon_as_it_is_too_much(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.send(head("POST", target, CHUNKED), b"3e9\r\n4" + b"x" * 999)
        assert peer.answers() == []
        peer.send(b"x")
        self.assert_refused(site, peer, 413)

    @pytest.mark.parametrize("chunks", [b"x\r\n", b"3\r\n4hello\r\n", b"1\r\n4\r\n0\r\nx\r\n"])
    def test_malformed_chunks_are_refused(
        self, site: Site, peer: Peer, target: str, chunks: bytes
    ) -> None:
        peer.send(head("POST", target, CHUNKED), chunks)
        self.assert_refused(site, peer, 400)

    @pytest.mark.parametrize(
        "start",
        [
            request("POST", "{target}", b"4hello")[:-1],
            head("POST", "{target}", CHUNKED) + b"5\r\n4hel",
            head("POST", "{target}", CHUNKED) + b"5\r\n4hell\r\n0\r\n",
        ],
        ids=["length", "chunks", "trailers"],
    )
    def test_one_that_breaks_off_is_refused(
        self, site: Site, peer: Peer, target: str, start: bytes
    ) -> None:
        peer.send(start.replace(b"{target}", target.encode()))
        peer.end()

        self.assert_refused(site, peer, 400)
        assert peer.is_cut

    def test_one_that_never_ends_is_given_up(self, site: Site, peer: Peer, target: str) -> None:
        peer.send(head("POST", target, "Content-Length: 100"))
        for _ in range(3):
            site.loop.advance(site.options.body_timeout / 4)
            peer.send(b"4")
        assert peer.answers() == []

        site.loop.advance(site.options.body_timeout / 4)
        self.assert_refused(site, peer, 408)

    def test_one_that_came_in_time_is_not(self, site: Site, peer: Peer, target: str) -> None:
        site.sessions[0].pause_reading()
        peer.send(head("POST", target, "Content-Length: 6"), b"4hel", b"lo")
        site.loop.advance(2 * site.options.body_timeout)
        assert peer.answers() == []

        site.sessions[0].resume_reading()
        site.run()
        assert peer.answer().status == 200

    @pytest.mark.parametrize("method", ["GET", "OPTIONS"])
    def test_one_that_nobody_wants_is_no_request(
        self, site: Site, peer: Peer, target: str, method: str
    ) -> None:
        smuggled = request("POST", target, b"4smuggled")
        site.sessions[0].send(outgoing("so that no GET has to wait"))
        peer.send(request(method, target, smuggled) + request("POST", target, b"4good"))

        assert len(peer.answers()) == 2
        assert site.handlers[0].messages == ["good"]

    def test_one_that_is_too_large_ends_no_session_that_it_is_not_for(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.send(head("OPTIONS", target, "Content-Length: 1001"))

        assert peer.answer().status == 413
        assert site.handlers[0].closed == []

    def test_a_refused_request_has_none(self, site: Site, peer: Peer, target: str) -> None:
        smuggled = request("POST", target, b"4smuggled")
        peer.send(request("PUT", target, smuggled))

        assert peer.answer().status == 400
        assert site.handlers[0].messages == []

    def test_a_client_that_asks_is_told_to_send_it(self, peer: Peer, target: str) -> None:
        peer.send(head("POST", target, "Content-Length: 6", EXPECT))
        assert peer.read() == CONTINUE

        peer.send(b"4hello")
        assert peer.answer().body == b"ok"

    @pytest.mark.parametrize("line", [EXPECT, "Expect: 100-Continue"])
    def test_one_that_does_not_wait_is_not_told(self, peer: Peer, target: str, line: str) -> None:
        peer.send(request("POST", target, b"4hello", line))
        assert peer.answer().body == b"ok"

    def test_nor_is_one_whose_body_is_too_large(self, peer: Peer, target: str) -> None:
        peer.send(head("POST", target, "Content-Length: 1001", EXPECT))
        assert peer.answer().status == 413


class TestClientsThatGoAway:
    def test_a_get_that_waits_makes_room_for_the_next(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        for _ in range(3):
            with socket_pair() as (ours, theirs):
                other = Peer(site, ours, theirs)
                other.send(request("GET", target))
                other.close()
        peer.send(request("GET", target))
        site.sessions[0].send(outgoing("hello"))
        site.run()

        assert peer.answer().body == b"4hello"
        assert site.handlers[0].closed == []

    @pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
    def test_several_and_the_next_may_be_seen_in_one_turn_in_any_order(
        self, site: Site, peer: Peer, target: str, order: list[int]
    ) -> None:
        pairs = [socket_module.socketpair() for _ in range(3)]
        for _, theirs in pairs:
            theirs.sendall(request("GET", target))
            theirs.close()
        peer.sock.sendall(request("GET", target))
        for number in order:
            if number == 3:
                peer.connection.start(peer.http)
            else:
                connection = Connection(pairs[number][0], site.loop, site.engine.output)
                HttpConnection(connection, ("192.0.2.1", 1234), site).start()
        site.run()
        site.sessions[0].send(outgoing("hello"))
        site.run()

        assert peer.answer().body == b"4hello"
        assert site.handlers[0].closed == []

    def test_a_get_that_waits_is_forgotten_with_its_connection(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.send(request("GET", target))
        assert site.sessions[0].transport.writable
        peer.connection.abort()
        site.run()

        assert not site.sessions[0].transport.writable

    def test_nothing_is_lost_with_a_get_whose_client_has_gone_unnoticed(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        with socket_pair() as (ours, theirs):
            other = Peer(site, ours, theirs)
            other.send(request("GET", target))
            site.sessions[0].send(outgoing("not lost"))
            theirs.close()
            site.run()
        peer.send(request("GET", target))

        assert peer.answer().body == b"4not lost"

    def test_a_get_ends_with_its_client_s_half_of_the_connection(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.send(request("GET", target))
        peer.end()

        assert peer.is_cut

    def test_a_post_that_waits_is_answered_to_whoever_still_listens(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        site.sessions[0].pause_reading()
        peer.send(request("POST", target, b"4hello"))
        peer.end()
        assert not peer.is_cut

        site.sessions[0].resume_reading()
        site.run()
        answer = peer.answer()
        assert (answer.body, answer.headers["connection"]) == (b"ok", "close")
        assert peer.is_cut

    def test_one_that_waits_counts_even_if_nobody_does(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        site.sessions[0].pause_reading()
        peer.send(request("POST", target, b"4hello"))
        peer.close()
        site.sessions[0].resume_reading()
        site.run()

        assert site.handlers[0].messages == ["hello"]
        assert site.handlers[0].closed == []

    @pytest.mark.parametrize("start", [b"", b"G", b"GET / HTTP/1.1\r\n"])
    def test_where_no_request_is_complete_it_is_over_at_once(
        self, peer: Peer, start: bytes
    ) -> None:
        peer.send(start)
        peer.end()

        assert peer.is_cut

    def test_between_two_requests_as_well(self, peer: Peer) -> None:
        peer.send(request("GET", "/a"))
        assert peer.answer().status == 200
        peer.end()

        assert peer.is_cut

    @pytest.mark.parametrize("count", [1, 3])
    def test_all_that_was_asked_for_is_answered(self, peer: Peer, target: str, count: int) -> None:
        peer.sock.sendall((request("POST", target, b"3") + request("GET", "/a")) * count)
        peer.end()

        assert peer.statuses() == [200, 200] * count
        assert peer.is_cut

    def test_even_if_the_end_is_seen_before_the_loop_s_next_turn(
        self, peer: Peer, target: str
    ) -> None:
        peer.http.data_received(request("POST", target, b"3") * 2)
        assert peer.http.eof_received()

        assert peer.statuses() == [200, 200]
        assert peer.is_cut

    def test_but_for_a_get_that_would_have_to_wait(self, peer: Peer, target: str) -> None:
        peer.sock.sendall(request("POST", target, b"3") + request("GET", target))
        peer.end()

        assert peer.statuses() == [200]
        assert peer.is_cut

    def test_and_an_upload_that_lacks_something_is_an_error(self, site: Site, peer: Peer) -> None:
        peer.sock.sendall(request("GET", "/a") + request("POST", "/b", b"the body")[:-1])
        peer.end()

        assert peer.statuses() == [200]
        assert peer.is_cut

    def test_an_answer_that_is_on_its_way_is_finished_and_the_connection_ends_with_it(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        text = "x" * 280_000
        peer.send(request("GET", target))
        site.sessions[0].send(outgoing(text))
        site.run()
        peer.end()

        assert peer.answer().body == b"4" + text.encode()
        assert peer.is_cut

    @pytest.mark.parametrize("start", [b"", b"GET /b HTTP"])
    def test_so_is_one_whose_request_is_over_while_its_end_waits_for_the_client(
        self, site: Site, peer: Peer, target: str, start: bytes
    ) -> None:
        peer.connection._sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_SNDBUF, 4096)
        text = "x" * 60_000
        peer.send(request("GET", target))
        site.sessions[0].send(outgoing(text))
        site.run()
        assert peer.connection.queued > 0
        peer.sock.sendall(start)
        peer.end()

        assert peer.answer().body == b"4" + text.encode()
        assert peer.is_cut

    def test_and_so_is_the_refusal_of_a_body_that_breaks_off_meanwhile(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.connection._sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_SNDBUF, 4096)
        peer.send(request("GET", target))
        site.sessions[0].send(outgoing("x" * 60_000))
        site.run()
        peer.sock.sendall(request("POST", target, b"4hello")[:-1])
        peer.end()

        assert peer.statuses() == [200, 400]
        assert peer.is_cut

    def test_and_what_was_not_asked_for_in_full_is_not(self, peer: Peer) -> None:
        peer.sock.sendall(request("GET", "/a") + b"GET /b HTTP")
        peer.end()

        assert peer.statuses() == [200]
        assert peer.is_cut

    def test_nor_is_a_body_of_a_session_that_lacks_something(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.sock.sendall(request("GET", "/a") + request("POST", target, b"4hello")[:-1])
        peer.end()

        assert peer.statuses() == [200, 400]
        assert site.handlers[0].closed == [CloseReason.PARSE_ERROR]
        assert peer.is_cut


class TestRequestsOfTheApplication:
    def test_are_answered(self, peer: Peer) -> None:
        peer.send(request("GET", "/some/path?query"))
        assert peer.answer().body == b"GET /some/path "

    def test_one_connection_serves_many(self, peer: Peer) -> None:
        for i in range(3):
            peer.send(request("POST", f"/{i}", b"body %d" % i))
            assert peer.answer().body == b"POST /%d body %d" % (i, i)

    def test_may_come_byte_by_byte(self, peer: Peer) -> None:
        peer.send(*bytes_of(request("POST", "/a", b"the body")))

        assert peer.answer().body == b"POST /a the body"

    def test_that_follow_each_other_without_waiting_are_answered_in_order(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.send(
            request("POST", "/a", b"one")
            + request("POST", target, b"4two")
            + request("POST", "/c", b"three")
            + request("GET", "/d")
        )

        bodies = [answer.body for answer in peer.answers()]
        assert bodies == [b"POST /a one", b"ok", b"POST /c three", b"GET /d "]
        assert site.handlers[0].messages == ["two"]

    @given(cuts=st.lists(st.integers(1, 400), max_size=8, unique=True))
    def test_are_the_same_however_they_come(self, cuts: list[int]) -> None:
        site = Site(Options(max_time_per_turn=1000.0))
        data = (
            request("POST", "/a", b"one")
            + request("POST", site.open_session(), b"4two")
            + request("POST", "/c", b"three")
        )
        ends = [*sorted(cuts), len(data)]
        with socket_pair() as (ours, theirs):
            peer = Peer(site, ours, theirs)
            peer.send(*(data[a:b] for a, b in zip([0, *ends], ends, strict=False) if b > a))
            bodies = [answer.body for answer in peer.answers()]
            peer.connection.abort()

        assert bodies == [b"POST /a one", b"ok", b"POST /c three"]
        assert site.handlers[0].messages == ["two"]

    def test_a_head_request_gets_the_headers_alone(self, peer: Peer) -> None:
        peer.send(request("HEAD", "/a"))
        assert peer.read().endswith(b"\r\n\r\n")

    @pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
    def test_a_status_that_allows_no_body_sends_none(
        self, site: Site, peer: Peer, status: str
    ) -> None:
        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            start(status, [("Content-Length", "9"), ("Content-Type", "application/json")])
            return [b'{"ok": 1}']

        site.application = answer
        peer.send(request("GET", "/a") * 2)

        first, second = peer.answers()
        assert (first.status, first.body) == (int(status[:3]), b"")
        assert "content-length" not in first.headers
        assert second == first

    @pytest.mark.parametrize(
        ("target", "seen"),
        [
            ("http://other.example/a?b=c", ("other.example", "/a", "b=c")),
            ("HTTP://other.example:8000/", ("other.example:8000", "/", "")),
            ("https://other.example", ("other.example", "/", "")),
            ("http://other.example?b=http://c/", ("other.example", "/", "b=http://c/")),
        ],
    )
    def test_a_target_may_be_in_absolute_form(
        self, site: Site, peer: Peer, target: str, seen: tuple[str, str, str]
    ) -> None:
        environs: list[dict[str, Any]] = []

        def look(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            environs.append(dict(environ))
            return ignore(environ, start)

        site.application = look
        peer.send(request("GET", target) + request("GET", "/b"))

        assert peer.statuses() == [200, 200]
        keys = ("HTTP_HOST", "PATH_INFO", "QUERY_STRING")
        assert tuple(environs[0][key] for key in keys) == seen
        assert environs[1]["HTTP_HOST"] == "localhost"

    def test_in_http_1_0_the_connection_goes_on_if_both_want_that(
        self, peer: Peer, target: str
    ) -> None:
        for path in ("/a", target):
            peer.send(request("GET", path, None, "Connection: keep-alive", version="1.0"))
            peer.site.sessions[0].send(outgoing("hello"))
            peer.site.run()
            assert peer.answer().headers["connection"] == "keep-alive"
        peer.send(request("GET", "/a", version="1.0"))
        assert peer.answer().headers["connection"] == "close"
        assert peer.is_cut

    def test_an_answer_without_length_says_that_its_end_is_the_connection_s(
        self, site: Site, peer: Peer
    ) -> None:
        def stream(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            start("200 OK", [])
            yield b"one"
            yield b"two"

        site.application = stream
        peer.send(request("GET", "/a", None, "Connection: keep-alive", version="1.0"))
        lines, _, body = peer.read().partition(b"\r\n\r\n")

        assert lines.count(b"Connection: ") == 1
        assert b"Connection: close" in lines
        assert body == b"onetwo"
        assert peer.is_cut

    def test_the_client_may_have_the_connection_closed(self, peer: Peer) -> None:
        peer.send(head("GET", "/a", "Connection: close"))

        assert peer.answer().headers["connection"] == "close"
        assert peer.is_cut

    def test_an_answer_of_unknown_length_is_in_chunks(self, site: Site, peer: Peer) -> None:
        def stream(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            start("200 OK", [])
            yield b"one "
            yield b"two"

        site.application = stream
        peer.send(request("GET", "/a"))
        assert peer.read().endswith(b"\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n")

        site.application = greet
        peer.send(request("GET", "/a"))
        assert peer.answer().status == 200

    def test_one_that_takes_its_time_holds_nobody_up(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        go_on = Event()

        def wait(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            go_on.wait()
            return greet(environ, start)

        site.application = wait
        peer.send(request("GET", "/slow"))
        with socket_pair() as (ours, theirs):
            other = Peer(site, ours, theirs)
            other.send(request("POST", target, b"4hello"))
            assert other.answer().body == b"ok"
            other.close()
        assert peer.answers() == []

        go_on.set()
        site.run()
        assert peer.answer().status == 200

    def test_a_fault_of_the_server_s_own_ends_its_connection_and_no_more(
        self, site: Site, peer: Peer, caplog: pytest.LogCaptureFixture
    ) -> None:
        environ, site.environ = site.environ, None  # type: ignore[assignment]
        peer.send(request("GET", "/a"))
        site.environ = environ

        assert peer.answers() == []
        assert peer.is_cut
        assert [record.levelname for record in caplog.records] == ["ERROR"]


class TestUploads:
    """Bodies that the application reads, as fast as it does."""

    def collect(self, site: Site) -> list[bytes]:
        """Have the application read what comes, piece by piece as it comes."""
        pieces: list[bytes] = []

        def read(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            while piece := environ["wsgi.input"].read1():
                pieces.append(piece)
            return ignore(environ, start)

        site.application = read
        return pieces

    def test_a_large_one_arrives_whole(self, site: Site, peer: Peer) -> None:
        pieces = self.collect(site)
        assert send_what_is_taken(peer, request("POST", "/a", BIG)) == b""

        assert b"".join(pieces) == BIG
        assert peer.answer().body == b"ignored"

    def test_one_that_nobody_reads_yet_waits_in_the_kernel(self, site: Site, peer: Peer) -> None:
        go_on = Event()
        pieces: list[bytes] = []

        def read(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            go_on.wait()
            pieces.append(environ["wsgi.input"].read())
            return ignore(environ, start)

        site.application = read
        rest = send_what_is_taken(peer, request("POST", "/a", BIG))
        assert len(rest) > len(BIG) // 2

        go_on.set()
        assert send_what_is_taken(peer, rest) == b""
        assert pieces == [BIG]
        assert peer.answer().body == b"ignored"

    def test_one_that_nobody_wants_is_thrown_away_and_the_connection_ends(
        self, site: Site, peer: Peer
    ) -> None:
        """With a reset the client would lose the answer; so it is read to the end first."""
        site.application = ignore
        assert send_what_is_taken(peer, request("POST", "/a", BIG)) == b""

        answer = peer.answer()
        assert answer.body == b"ignored"
        assert answer.headers["connection"] == "close"
        assert peer.is_cut
        peer.close()
        assert site.has_no_deadlines()

    def test_after_a_small_one_that_nobody_wants_the_connection_goes_on(
        self, site: Site, peer: Peer
    ) -> None:
        site.application = ignore
        peer.send(request("POST", "/a", request("GET", "/smuggled")))
        answer = peer.answer()
        assert answer.body == b"ignored"
        assert "connection" not in answer.headers
        site.application = greet
        peer.send(request("GET", "/a"))

        assert peer.answer().body == b"GET /a "

    def test_one_that_breaks_off_is_an_error_to_who_reads_it(self, site: Site, peer: Peer) -> None:
        errors: list[OSError] = []

        def read(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            try:
                return greet(environ, start)
            except OSError as error:
                errors.append(error)
                raise

        site.application = read
        peer.send(request("POST", "/a", b"the body")[:-1])
        assert errors == []
        peer.end()

        assert [type(error) for error in errors] == [ConnectionResetError]
        assert peer.answers() == []
        assert peer.is_cut

    def test_so_is_one_whose_connection_is_lost(self, site: Site, peer: Peer) -> None:
        errors: list[OSError] = []

        def read(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            try:
                return greet(environ, start)
            except OSError as error:
                errors.append(error)
                raise

        site.application = read
        peer.send(request("POST", "/a", b"the body")[:-1])
        peer.connection.abort()
        site.run()

        assert [type(error) for error in errors] == [ConnectionResetError]

    def test_one_that_was_read_leaves_nothing_for_the_garbage_collector(
        self, site: Site, peer: Peer
    ) -> None:
        bodies: list[weakref.ref[StreamedBody]] = []

        def read(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            bodies.append(weakref.ref(environ["wsgi.input"].raw))
            return greet(environ, start)

        site.application = read
        gc.disable()
        try:
            peer.send(request("POST", "/a", b"the body"))
            assert [body() for body in bodies] == [None]
        finally:
            gc.enable()

    @pytest.mark.parametrize("lines", [[CHUNKED], [CHUNKED, EXPECT]])
    def test_one_in_chunks_is_refused_because_django_would_not_see_it(
        self, site: Site, peer: Peer, caplog: pytest.LogCaptureFixture, lines: list[str]
    ) -> None:
        pieces = self.collect(site)
        peer.send(head("POST", "/a", *lines) + in_chunks(b"hello") + request("GET", "/smuggled"))

        answer = peer.answer()
        assert (answer.status, answer.headers["connection"]) == (411, "close")
        assert b"Content-Length" in answer.body
        assert pieces == []
        assert site.stats.refusals.counts == {"body": 1}
        assert "chunked request body" in caplog.text

    def test_one_that_stands_still_is_given_up(self, site: Site, peer: Peer) -> None:
        errors: list[OSError] = []

        def read(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            for _ in range(2):
                try:
                    environ["wsgi.input"].read()
                except OSError as error:
                    errors.append(error)
            return ignore(environ, start)

        site.application = read
        peer.send(request("POST", "/a", b"the body")[:-1])
        site.loop.advance(site.options.body_timeout)
        site.run()

        assert [type(error) for error in errors] == [TimeoutError, TimeoutError]
        assert site.stats.refusals.counts == {"slow request": 1}
        assert peer.answer().body == b"ignored"
        assert peer.is_cut

    def test_one_that_moves_on_is_not(self, site: Site, peer: Peer) -> None:
        pieces = self.collect(site)
        peer.send(head("POST", "/a", "Content-Length: 3"))
        for byte in bytes_of(b"abc"):
            site.loop.advance(site.options.body_timeout * 0.9)
            peer.send(byte)

        assert pieces == [b"a", b"b", b"c"]
        assert peer.answer().body == b"ignored"

    def test_a_client_that_asks_is_told_to_send_it_once_somebody_reads(
        self, site: Site, peer: Peer
    ) -> None:
        pieces = self.collect(site)
        peer.send(head("POST", "/a", "Content-Length: 10", EXPECT))
        assert peer.read() == CONTINUE

        peer.send(b"hello", b"world")
        assert pieces == [b"hello", b"world"]
        assert peer.answer().body == b"ignored"

    def test_where_nobody_does_it_is_not_told(self, site: Site, peer: Peer) -> None:
        site.application = ignore
        peer.send(head("POST", "/a", "Content-Length: 10", EXPECT))

        assert peer.answer().body == b"ignored"
        assert peer.is_cut


class TestDownloads:
    """Answers that the client takes as fast as it likes."""

    @pytest.fixture
    def options(self) -> Options:
        return Options(
            max_queued_bytes=20_000,
            stall_timeout=10.0,
            max_lag=30.0,
            download_timeout=300.0,
            max_time_per_turn=1000.0,
        )

    def download(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", str(len(BIG)))])
        return [BIG]

    def test_a_large_one_arrives_whole(self, site: Site, peer: Peer) -> None:
        """However little may wait for a client, since no more of it does."""
        site.application = self.download
        peer.send(request("GET", "/a"))
        assert peer.connection.queued <= 20_000

        assert peer.answer().body == BIG
        peer.send(request("GET", "/a"))
        assert peer.answer().body == BIG

    def test_one_of_a_session_as_well(self, site: Site, peer: Peer, target: str) -> None:
        peer.sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 4096)
        text = "x" * 19_000
        peer.send(*[request("GET", target)] * 3)
        bodies = []
        for _ in range(3):
            site.sessions[0].send(outgoing(text))
            site.run()
            bodies += [answer.body for answer in peer.answers()]

        assert bodies == [b"4" + text.encode()] * 3

    def test_a_client_may_pause_for_minutes(self, site: Site, peer: Peer) -> None:
        """It is no client of Socket.IO, which others may have to wait for."""
        site.application = self.download
        peer.send(request("GET", "/a"))
        site.loop.advance(299.0)

        assert peer.answer().body == BIG

    def test_a_client_that_never_goes_on_is_given_up(
        self, site: Site, peer: Peer, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.application = self.download
        with caplog.at_level("INFO"):
            peer.send(request("GET", "/a"))
            site.loop.advance(300.0)
            site.run()

        assert peer.connection.closed
        assert site.stats.refusals.counts == {"slow client": 1}
        sent = len(peer.read())
        assert f'"GET /a HTTP/1.1" 200 {sent} (cut off)' in caplog.text

    def test_a_poll_has_no_more_time_than_a_websocket(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.connection._sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_SNDBUF, 4096)
        peer.send(request("GET", target))
        site.sessions[0].send(outgoing("x" * 19_000))
        site.run()
        assert peer.connection.queued > 0

        site.loop.advance(10.0)
        assert peer.connection.closed

    def test_an_application_that_waits_for_one_hears_of_that(self, site: Site, peer: Peer) -> None:
        closed: list[str] = []

        class Chunks(list[bytes]):
            def close(self) -> None:
                closed.append("closed")

        def download(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            start("200 OK", [("Content-Length", str(len(BIG)))])
            return Chunks([BIG])

        site.application = download
        peer.send(request("GET", "/a"))
        assert closed == []
        peer.connection.abort()
        site.run()

        assert closed == ["closed"]

    def test_who_sends_to_a_client_that_has_gone_learns_of_it_at_once(
        self, site: Site, peer: Peer
    ) -> None:
        """Else an endless answer would keep everybody from their turn for ever."""
        sent: list[int] = []

        def stream(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            start("200 OK", [])
            for number in range(100):
                yield b"x"
                sent.append(number)
                if number == 2:
                    peer.sock.close()

        site.application = stream
        peer.send(request("GET", "/a"))

        assert sent == [0, 1, 2]
        assert peer.connection.closed

    @pytest.mark.parametrize("count", [1, 2])
    def test_one_is_finished_to_who_sends_no_more(self, site: Site, peer: Peer, count: int) -> None:
        site.application = self.download
        peer.send(request("GET", "/a") * count)
        peer.end()

        assert [answer.body for answer in peer.answers()] == [BIG] * count
        assert peer.is_cut


class TestBadHeads:
    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"GET\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            (request("POST", "/", b"x", "Content-Length: 2"), 400),
            (request("POST", "/", b"x", CHUNKED), 400),
            (head("POST", "/", "Transfer-Encoding: gzip"), 501),
            (b"GET /" + b"x" * 9000, 414),
            (head("GET", "/", "A: " + "x" * 70_000), 431),
        ],
    )
    def test_are_refused_and_nothing_behind_them_is_answered(
        self, site: Site, peer: Peer, data: bytes, status: int
    ) -> None:
        peer.send(data + request("GET", "/smuggled"))
        answer = peer.answer()

        assert (answer.status, answer.body) == (status, b"")
        assert answer.headers["connection"] == "close"
        assert peer.is_cut
        assert site.stats.refusals.counts == {"http": 1}

    def test_are_refused_as_well_behind_good_ones(self, site: Site, peer: Peer) -> None:
        peer.send(request("GET", "/a") + b"nonsense\r\n\r\n")
        assert peer.statuses() == [200, 400]

    def test_are_told_in_the_log_with_the_address_alone(
        self, peer: Peer, caplog: pytest.LogCaptureFixture
    ) -> None:
        peer.send(b"secret nonsense\r\n\r\n")

        assert "192.0.2.1" in caplog.text
        assert "secret" not in caplog.text


class TestTheLastAnswer:
    """The client shall be able to read it, whatever it sends meanwhile (RFC 9112 section 9.6)."""

    def refuse(self, peer: Peer, target: str) -> None:
        peer.send(head("POST", target, "Content-Length: 10000000"))

    def test_comes_before_the_end_of_what_we_say(self, peer: Peer, target: str) -> None:
        self.refuse(peer, target)
        assert peer.answer().status == 413
        assert peer.is_cut

    def test_is_there_for_a_client_that_goes_on_sending(self, peer: Peer, target: str) -> None:
        self.refuse(peer, target)
        for _ in range(100):
            peer.send(b"x" * 10_000)

        assert peer.answer().status == 413

    def test_is_followed_by_nothing(self, site: Site, peer: Peer, target: str) -> None:
        self.refuse(peer, target)
        peer.send(request("POST", target, b"4smuggled"), request("GET", "/smuggled"))

        assert peer.statuses() == [413]
        assert site.handlers[0].messages == []

    def test_reaches_a_client_that_sends_all_it_has_before_it_reads(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        """Its bytes, of which too many wait here, are read and dropped; else both would wait."""
        peer.sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 4096)
        peer.send(head("GET", target, "Connection: close"))
        peer.send(*[b"x" * 10_000] * 8)
        text = "y" * 250_000
        site.sessions[0].send(outgoing(text))
        site.run()
        assert peer.connection.queued > 0
        assert send_what_is_taken(peer, b"x" * 1_000_000) == b""

        assert peer.answer().body == b"4" + text.encode()
        assert peer.is_cut

    def test_ends_the_connection_once_the_client_closes(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        self.refuse(peer, target)
        assert not site.has_no_deadlines()
        peer.close()

        assert peer.connection.closed
        assert site.has_no_deadlines()

    def test_or_when_it_takes_too_long_over_that(self, site: Site, peer: Peer, target: str) -> None:
        self.refuse(peer, target)
        site.loop.advance(site.options.close_timeout / 2)
        peer.send(b"and on it goes")
        assert not site.has_no_deadlines()

        site.loop.advance(site.options.close_timeout / 2)
        assert site.has_no_deadlines()


class TestStates:
    def test_know_where_a_connection_may_go_from_each(self) -> None:
        assert set(MOVES) == set(State)

    @pytest.mark.parametrize("state", [state for state in State if state is not State.GONE])
    def test_may_all_end_with_the_loss_of_the_connection(self, state: State) -> None:
        assert State.GONE in MOVES[state]

    def test_are_left_for_no_other_than_the_table_names(self, peer: Peer) -> None:
        with pytest.raises(AssertionError, match="HEAD to FLUSHING"):
            peer.http._move_to(State.FLUSHING)


class TestDeadlines:
    def test_a_head_has_so_much_time(self, site: Site, peer: Peer) -> None:
        for byte in bytes_of(b"GET / HTTP"):
            site.loop.advance(site.options.head_timeout / 11)
            peer.send(byte)
        assert not peer.connection.closed

        site.loop.advance(site.options.head_timeout / 10)
        assert peer.connection.closed
        assert peer.answers() == []
        assert site.stats.refusals.counts == {"slow request": 1}

    def test_so_has_a_connection_that_says_nothing(self, site: Site, peer: Peer) -> None:
        site.loop.advance(site.options.head_timeout)
        assert peer.connection.closed

    def test_between_two_requests_there_is_so_much(self, site: Site, peer: Peer) -> None:
        for _ in range(3):
            peer.send(request("GET", "/a"))
            assert peer.answer().status == 200
            site.loop.advance(site.options.keep_alive_timeout * 0.9)
        site.loop.advance(site.options.keep_alive_timeout * 0.1)

        assert peer.connection.closed
        assert site.stats.refusals.counts == {}

    def test_the_head_of_a_second_request_has_as_much_as_the_first(
        self, site: Site, peer: Peer
    ) -> None:
        peer.send(request("GET", "/a"), b"GET")
        site.loop.advance(site.options.head_timeout - 0.1)
        assert not peer.connection.closed

        site.loop.advance(0.1)
        assert peer.connection.closed

    def test_a_poll_may_wait_for_ever(self, site: Site, peer: Peer, target: str) -> None:
        peer.send(request("GET", target))
        assert site.has_no_deadlines()

    def test_an_application_may_take_its_time(self, site: Site, peer: Peer) -> None:
        go_on = Event()

        def wait(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            go_on.wait()
            return greet(environ, start)

        site.application = wait
        peer.send(request("GET", "/a"))
        assert site.has_no_deadlines()
        go_on.set()
        site.run()


class TestWebSockets:
    LINES = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )

    @pytest.fixture
    def upgrade(self, target: str) -> bytes:
        return head("GET", target.replace("polling", "websocket"), *self.LINES)

    def become_websocket(self, peer: Peer) -> WebSocketPeer:
        """Read the answer to the handshake."""
        peer.sock.setblocking(True)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += peer.sock.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
        return WebSocketPeer(peer.sock)

    def test_may_take_over_a_session(self, site: Site, peer: Peer, upgrade: bytes) -> None:
        peer.send(upgrade)
        websocket = self.become_websocket(peer)
        websocket.send("2probe")
        site.run()
        assert websocket.received() == ["3probe"]

        websocket.send("5", "4hello")
        site.run()
        assert site.handlers[0].messages == ["hello"]
        websocket.close()
        site.run()

    def test_are_read_before_requests_that_came_at_the_same_moment(
        self, site: Site, peer: Peer, target: str, upgrade: bytes
    ) -> None:
        with socket_pair() as (ours, theirs):
            other = Peer(site, ours, theirs)
            peer.send(upgrade)
            websocket = self.become_websocket(peer)
            websocket.send("2probe", "5")
            other.send(request("GET", target))

            assert other.answer().status == 400
            assert site.sessions[0].transport.name == "websocket"
            websocket.close()
            other.connection.abort()
            site.run()

    def test_may_send_before_they_are_answered(
        self, site: Site, peer: Peer, upgrade: bytes
    ) -> None:
        frames = frame(1, b"2probe") + frame(1, b"5") + frame(1, b"4hello")
        peer.send(upgrade + frames)
        websocket = self.become_websocket(peer)

        assert websocket.received() == ["3probe"]
        assert site.handlers[0].messages == ["hello"]
        websocket.close()
        site.run()

    @pytest.mark.parametrize(
        ("offered", "agreed"), [("p1", "p1"), ("p1, p2", "p1"), ("p2 ,p1", "p2")]
    )
    def test_get_the_first_subprotocol_that_they_offer(
        self, site: Site, peer: Peer, upgrade: bytes, offered: str, agreed: str
    ) -> None:
        line = f"Sec-WebSocket-Protocol: {offered}\r\n\r\n".encode()
        peer.send(upgrade.removesuffix(b"\r\n") + line)

        answer = peer.answer()
        assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, agreed)
        WebSocketPeer(peer.sock).close()
        site.run()

    def test_that_offer_none_get_none(self, site: Site, peer: Peer, upgrade: bytes) -> None:
        peer.send(upgrade)

        answer = peer.answer()
        assert answer.status == 101
        assert "sec-websocket-protocol" not in answer.headers
        WebSocketPeer(peer.sock).close()
        site.run()

    def test_of_clients_that_have_gone_by_then_end(
        self, site: Site, peer: Peer, upgrade: bytes
    ) -> None:
        peer.sock.sendall(upgrade)
        peer.end()

        assert peer.connection.closed
        assert site.sessions[0].can_upgrade

    def test_have_no_deadlines_of_http(self, site: Site, peer: Peer, upgrade: bytes) -> None:
        peer.send(upgrade)
        assert site.has_no_deadlines()
        self.become_websocket(peer).close()
        site.run()

    def test_for_a_session_that_there_is_not_are_the_application_s(
        self, peer: Peer, upgrade: bytes
    ) -> None:
        peer.send(upgrade.replace(b"&sid=", b"&sid=un"))

        assert peer.answer().body == b"GET /socket.io/ "

    def test_without_a_session_are_not_the_application_s_business_if_they_are_malformed(
        self, site: Site, peer: Peer
    ) -> None:
        asked: list[str] = []

        def ask(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            asked.append(environ["PATH_INFO"])
            return ignore(environ, start)

        site.application = ask
        peer.send(head("GET", "/a", *self.LINES[:-1]))
        answer = peer.answer()

        assert answer.status == 400
        assert answer.headers["sec-websocket-version"] == "13"
        assert asked == []
        assert peer.is_cut

    def test_that_are_refused_are_told_so(self, site: Site, peer: Peer, upgrade: bytes) -> None:
        peer.send(upgrade.replace(b"13", b"12"))
        answer = peer.answer()

        assert answer.status == 400
        assert answer.headers["sec-websocket-version"] == "13"
        assert peer.is_cut
        assert site.sessions[0].can_upgrade


class TestWhateverComes:
    """In whatever pieces, and wherever it breaks off."""

    PARTS = (
        request("GET", "/a"),
        request("POST", "/b", b"the body"),
        request("POST", "/c", b"three"),
        head("POST", "/c", CHUNKED),
        head("POST", "/d", "Content-Length: 5", EXPECT),
        request("GET", "{target}"),
        request("POST", "{target}", b"4hello"),
        request("POST", "{target}", b"nonsense"),
        head("POST", "{target}", CHUNKED) + in_chunks(b"4hel", b"lo"),
        head("POST", "{target}", "Content-Length: 5000", EXPECT),
        head("GET", "{target}", *TestWebSockets.LINES),
        b"GET / HTTP/1.1\r\n",
        b"nonsense\r\n\r\n",
        b"\r\n",
        b"\0",
    )

    @given(
        parts=st.lists(st.sampled_from(PARTS), max_size=5),
        cuts=st.lists(st.integers(1, 600), max_size=5, unique=True),
        sent=st.floats(0.0, 1.0),
        reads=st.booleans(),
    )
    def test_nothing_of_it_stays_behind(
        self, parts: list[bytes], cuts: list[int], sent: float, reads: bool
    ) -> None:
        site = Site(Options(max_time_per_turn=1000.0, max_payload=1000))
        site.application = greet if reads else ignore
        data = b"".join(parts).replace(b"{target}", site.open_session().encode())
        data = data[: int(len(data) * sent)]
        ends = [*sorted(cuts), len(data)]
        with socket_pair() as (ours, theirs):
            peer = Peer(site, ours, theirs)
            for start, end in zip([0, *ends], ends, strict=False):
                if data[start:end]:
                    with suppress(BrokenPipeError):  # the server may have enough of it
                        peer.send(data[start:end])
            peer.end()
            peer.read()

            assert peer.connection.closed
        assert site.has_no_deadlines()
        assert [w for w in site.loop.watchers if isinstance(w, FakeIO)] == []
