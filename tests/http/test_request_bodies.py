"""Bodies of requests, as they arrive on a connection: a session's and an upload."""

import gc
import json
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from gevent.event import Event

from socketio_server.http.body import StreamedBody
from socketio_server.http.exchange import SessionExchange, WsgiExchange
from socketio_server.protocol.close_reasons import CloseReason
from tests.fakes.engine import outgoing
from tests.fakes.net import socket_pair
from tests.http.site import (
    BIG,
    CHUNKED,
    CONTINUE,
    EXPECT,
    Peer,
    Site,
    bytes_of,
    greet,
    head,
    ignore,
    in_chunks,
    note_paths,
    request,
    send_what_is_taken,
)


class TestBodiesOfASession:
    """Sizes are judged before anything is kept."""

    def assert_refused(self, site: Site, peer: Peer, status: int, kind: str = "body") -> None:
        answer = peer.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert site.handlers[0].messages == []
        assert site.handlers[0].closed == [CloseReason.PARSE_ERROR]
        assert site.stats.refusals.counts == {kind: 1}

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
        self.assert_refused(site, peer, 408, "slow body")

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

    def test_one_that_is_malformed_and_breaks_off_is_refused_once(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        data = request("GET", "/a") + head("POST", target, CHUNKED) + b"nonsense\r\n"
        peer.sock.sendall(data)
        peer.end()

        assert peer.statuses() == [200, 400]
        assert site.stats.refusals.counts == {"body": 1}

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

    def test_one_that_sends_it_already_is_not_told(self, peer: Peer, target: str) -> None:
        peer.send(head("POST", target, "Content-Length: 6", EXPECT) + b"4hel")
        assert peer.read() == b""

        peer.send(b"lo")
        assert peer.answer().body == b"ok"

    def test_one_whose_body_is_too_large_is_not_told_to_send_it(
        self, peer: Peer, target: str
    ) -> None:
        peer.send(head("POST", target, "Content-Length: 1001", EXPECT))
        assert peer.answer().status == 413


class TestBodiesOfASessionThatArriveInParts:
    """What has arrived is charged to the session, which has one at a time."""

    @pytest.fixture
    def other(self, site: Site) -> Iterator[Peer]:
        """Another connection of the same client."""
        with socket_pair() as (ours, theirs):
            yield (made := Peer(site, ours, theirs))
            made.connection.abort()
            site.run()

    @pytest.mark.parametrize("coded", [False, True], ids=["length", "chunks"])
    def test_are_charged_until_they_are_complete(
        self, site: Site, peer: Peer, target: str, coded: bool
    ) -> None:
        data = request("POST", target, b"4" + b"x" * 999)
        if coded:
            data = head("POST", target, CHUNKED) + in_chunks(b"4" + b"x" * 499, b"x" * 500)
        for byte in bytes_of(data[:-1]):
            peer.sock.sendall(byte)
            site.loop.run()
        assert site.handlers[0].charged == 1000 - (not coded)
        peer.send(data[-1:])

        assert peer.answer().status == 200
        assert site.handlers[0].charged == 0

    @pytest.mark.parametrize("reset", [False, True])
    def test_are_charged_no_more_once_their_client_has_gone(
        self, site: Site, peer: Peer, target: str, reset: bool
    ) -> None:
        peer.send(request("POST", target, b"4hello")[:-1])
        assert site.handlers[0].charged == 5
        if reset:
            peer.connection.abort()
            site.run()
        else:
            peer.close()

        assert site.handlers[0].charged == 0

    def test_have_no_second_beside_them(
        self, site: Site, peer: Peer, other: Peer, target: str
    ) -> None:
        peer.send(request("POST", target, b"4hello")[:-1])
        other.send(head("POST", target, "Content-Length: 100", EXPECT))

        answer = other.answer()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert other.is_cut
        assert site.handlers[0].closed == [CloseReason.PARSE_ERROR]
        assert site.handlers[0].charged == 0
        peer.send(b"o")
        assert peer.answer().status == 400
        assert site.handlers[0].messages == []

    def test_are_forgotten_for_the_next_if_the_loop_did_not_report_the_loss_yet(
        self, site: Site, peer: Peer, other: Peer, target: str
    ) -> None:
        peer.send(request("POST", target, b"4hello")[:-1])
        peer.connection.pause_reading()
        peer.close()
        other.send(request("POST", target, b"4hello")[:-1])
        peer.connection.resume_reading()
        site.run()
        assert peer.connection.closed
        other.send(b"o")

        assert other.answer().body == b"ok"
        assert site.handlers[0].messages == ["hello"]
        assert site.handlers[0].closed == []

    def test_are_dropped_with_their_session_and_refused_once_they_are_complete(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.send(request("POST", target, b"4" + b"x" * 999)[:-1])
        exchange = peer.http.exchange
        assert isinstance(exchange, SessionExchange)
        assert exchange._body is not None
        site.sessions[0].close(CloseReason.PING_TIMEOUT)
        assert exchange._body.join() == b""
        assert peer.answers() == []

        peer.send(b"x")
        answer = peer.answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (400, 3)

    def test_that_never_end_are_given_up_after_their_session(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.send(request("POST", target, b"4hello")[:-1])
        site.sessions[0].close(CloseReason.PING_TIMEOUT)
        site.loop.advance(site.options.body_timeout)

        assert peer.answer().status == 408
        assert site.handlers[0].closed == [CloseReason.PING_TIMEOUT]

    @pytest.mark.parametrize("method", ["GET", "OPTIONS"])
    def test_that_nobody_wants_are_not_kept(
        self, site: Site, peer: Peer, target: str, method: str
    ) -> None:
        peer.send(request(method, target, b"x" * 999)[:-1])
        exchange = peer.http.exchange
        assert isinstance(exchange, SessionExchange)
        assert exchange._body is not None

        assert exchange._body.join() == b""
        assert site.handlers[0].charged == 0


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

    def collect_errors(self, site: Site) -> list[OSError]:
        """Have the application read all at once; return the errors that this raises."""
        errors: list[OSError] = []

        def read(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            try:
                return greet(environ, start)
            except OSError as error:
                errors.append(error)
                raise

        site.application = read
        return errors

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

    def test_one_that_an_application_without_an_answer_leaves_ends_the_connection(
        self, site: Site, peer: Peer
    ) -> None:
        """Such an application is faulty; its client's bytes must not be taken for a request."""
        site.application = lambda environ, start: []
        peer.send(head("POST", "/a", "Content-Length: 100"), request("GET", "/smuggled"))

        assert peer.answers() == []
        assert peer.is_cut

    def test_one_that_breaks_off_is_an_error_to_who_reads_it(self, site: Site, peer: Peer) -> None:
        errors = self.collect_errors(site)
        peer.send(request("POST", "/a", b"the body")[:-1])
        assert errors == []
        peer.end()

        assert [type(error) for error in errors] == [ConnectionResetError]
        assert peer.answers() == []
        assert peer.is_cut

    def test_one_whose_connection_is_lost_is_an_error_to_who_reads_it(
        self, site: Site, peer: Peer
    ) -> None:
        errors = self.collect_errors(site)
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

    def test_one_that_broke_off_keeps_nothing_of_the_connection(
        self, site: Site, peer: Peer
    ) -> None:
        """A request that is in a cycle may be kept for long, and its body with it."""
        kept: list[Any] = []

        def read(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            kept.append(environ["wsgi.input"])
            return greet(environ, start)

        site.application = read
        peer.send(request("POST", "/a", b"the body")[:-1])
        assert isinstance(kept[0].raw._source, WsgiExchange)
        peer.close()

        assert not isinstance(kept[0].raw._source, WsgiExchange)
        with pytest.raises(OSError, match="disconnected"):
            kept[0].read()

    def test_one_that_was_not_read_ends_with_its_exchange(self, site: Site, peer: Peer) -> None:
        kept: list[Any] = []

        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            kept.append(environ["wsgi.input"])
            return ignore(environ, start)

        site.application = answer
        peer.send(request("POST", "/a", b"the body")[:-1])
        assert peer.answer().body == b"ignored"

        with pytest.raises(OSError, match="the request is over"):
            kept[0].read()

    def test_are_counted_with_their_heads_when_they_are_over(self, site: Site, peer: Peer) -> None:
        peer.send(request("POST", "/a", b"the body", "X-Some: header"))
        (size,) = site.ended
        assert len("the body") + len("X-Some: header") < size < 100

    @pytest.mark.parametrize("lines", [[CHUNKED], [CHUNKED, EXPECT]])
    def test_one_in_chunks_is_refused_because_django_would_not_see_it(
        self, site: Site, peer: Peer, caplog: pytest.LogCaptureFixture, lines: list[str]
    ) -> None:
        asked: list[str] = []
        site.application = note_paths(asked)
        peer.send(head("POST", "/a", *lines) + in_chunks(b"hello") + request("GET", "/smuggled"))

        answer = peer.answer()
        assert (answer.status, answer.headers["connection"]) == (411, "close")
        assert b"Content-Length" in answer.body
        assert asked == []
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
        assert site.stats.refusals.counts == {"slow body": 1}
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
