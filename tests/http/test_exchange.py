"""Requests and their answers: those of sessions and those of an application."""

import gc
import json
import logging
import socket as socket_module
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.http.engine_requests import PATH_KEY, engine_request_of
from socketio_server.http.wsgi import END_KEY, SIZE_KEY
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from tests.fakes.engine import FakeExchange, outgoing
from tests.fakes.net import socket_pair
from tests.http.site import (
    BIG,
    CHUNKED,
    Peer,
    Site,
    bytes_of,
    greet,
    head,
    ignore,
    in_chunks,
    request,
    site_at,
    wait_for,
)


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
            handshake = replace(engine_request_of(environ), site=site_at(environ[PATH_KEY]))
            site.engine.open_polling(handshake, "request", None)
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

    def test_while_the_server_stops_the_connection_ends_with_the_goodbye_and_not_before(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        site.sessions[0].send(outgoing("last words"))
        site.engine.drain(gevent.sleep)
        peer.send(request("GET", target))
        assert (words := peer.answer()).body == b"4last words"
        assert "connection" not in words.headers
        assert not site.engine.is_drained

        peer.send(request("GET", target))
        assert (goodbye := peer.answer()).body == b"1"
        assert goodbye.headers["connection"] == "close"
        assert peer.is_cut
        assert site.engine.is_drained

    def test_while_the_server_stops_those_that_fetch_nothing_end_the_connection(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        site.engine.drain(gevent.sleep)
        peer.send(request("OPTIONS", target))

        answer = peer.answer()
        assert (answer.status, answer.headers["connection"]) == (204, "close")
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
        answer = peer.read()

        assert (b"\r\nConnection: close\r\n" in answer) is closes
        assert not (closes and b"keep-alive" in answer)
        assert peer.is_cut is closes

    @pytest.mark.parametrize("options", [Options(allowed_origins=("https://good.test",))])
    def test_a_page_of_an_allowed_origin_may_read_the_answer(self, peer: Peer, target: str) -> None:
        peer.send(request("POST", target, b"3", "Origin: https://good.test"))
        assert peer.answer().headers["access-control-allow-origin"] == "https://good.test"

        peer.send(request("POST", target, b"3"))  # not a page's
        assert "access-control-allow-origin" not in peer.answer().headers

    def test_a_page_of_another_origin_is_refused(self, peer: Peer, target: str) -> None:
        peer.send(head("GET", target, "Origin: http://evil.test"))
        assert peer.answer().status == 403


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

    def test_tell_their_size_if_it_is_large(self, site: Site, peer: Peer) -> None:
        told = []

        def note(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            told.append((environ.get(SIZE_KEY, 0), END_KEY in environ))
            return greet(environ, start)

        site.application = note
        lines = f"X-Large: {'x' * 60_000}", f"Cookie: {'x' * 1000}"
        peer.send(
            head("GET", "/", lines[1]), head("GET", "/" + "x" * 8000), head("GET", "/", *lines)
        )
        (usual, _), (of_target, _), (of_headers, _) = told
        assert [may_be_freed for _, may_be_freed in told] == [False, True, True]
        assert usual == 0
        assert 8000 < of_target < 8100
        assert 61_000 < of_headers < 61_100

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
        site.application = wait_for(go_on)
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


class TestAnAnswerToAPoll:
    """What its client has yet to read counts as what waits for a WebSocket does."""

    @pytest.fixture
    def options(self) -> Options:
        return Options(
            max_queued_bytes=1_500_000, stall_timeout=10.0, max_lag=30.0, max_time_per_turn=1000.0
        )

    @pytest.fixture
    def peer(self, peer: Peer) -> Peer:
        """A client whose connection holds little on its way."""
        peer.connection._sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_SNDBUF, 4096)
        return peer

    def answer(self, peer: Peer, target: str, *lines: str, size: int = 900_000) -> None:
        """Have a GET answered, which was the last session's."""
        peer.send(request("GET", target, None, *lines))
        peer.site.sessions[-1].send(outgoing("x" * size))
        peer.site.run()
        assert peer.connection.queued > 0

    def test_counts_until_it_is_read(self, site: Site, peer: Peer, target: str) -> None:
        self.answer(peer, target)
        assert site.engine.output.total > 900_000

        assert peer.answer().body == b"4" + b"x" * 900_000
        assert site.engine.output.total == 0

    def test_arrives_whole_even_if_not_all_of_it_may_wait(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        for _ in range(2):
            self.answer(peer, target, size=1_499_950)
            assert peer.connection.queued <= 1_500_000
            assert peer.answer().body == b"4" + b"x" * 1_499_950

    def test_leaves_nothing_for_the_garbage_collector_if_its_session_ends(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        self.answer(peer, target)
        assert peer.http._underway is not None
        exchange = weakref.ref(peer.http._underway.exchange)
        gc.disable()
        try:
            site.sessions[-1].close(CloseReason.PING_TIMEOUT)
            site.run()
            assert peer.answer().body == b"4" + b"x" * 900_000
            assert exchange() is None
        finally:
            gc.enable()

    def test_has_the_time_of_a_websocket(self, site: Site, peer: Peer, target: str) -> None:
        self.answer(peer, target, size=20_000)
        site.loop.advance(9.0)
        assert not peer.connection.closed

        site.loop.advance(1.0)
        assert peer.connection.closed
        assert site.stats.refusals.counts == {"stalled": 1}
        assert site.sessions[0].close_reason is CloseReason.TRANSPORT_ERROR

    def test_ends_the_session_of_a_client_that_reads_too_little_of_it(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        self.answer(peer, target)
        for _ in range(6):
            site.loop.advance(6.0)
            for _ in range(16):
                peer.sock.recv(4096)
                site.run()

        assert peer.connection.closed
        assert site.stats.refusals.counts == {"lagging": 1}
        assert site.sessions[0].close_reason is CloseReason.TRANSPORT_ERROR

    @pytest.mark.parametrize("lines", [[], ["Connection: close"]])
    def test_ends_the_session_if_the_client_goes_before_it_is_read(
        self, site: Site, peer: Peer, target: str, lines: list[str]
    ) -> None:
        """Its messages would be missing without a word."""
        self.answer(peer, target, *lines)
        peer.sock.recv(4096)
        peer.close()

        assert site.sessions[0].close_reason is CloseReason.TRANSPORT_ERROR
        assert site.engine.output.total == 0

    def test_ends_the_session_if_a_callback_of_its_connection_raises(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        self.answer(peer, target)
        peer.http.callback_raised()
        site.run()

        assert peer.connection.closed
        assert site.sessions[0].close_reason is CloseReason.TRANSPORT_ERROR

    @pytest.mark.parametrize("options", [Options(max_queued_total=20_450, max_time_per_turn=1000)])
    def test_ends_the_session_if_there_is_no_room_for_it(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        """It has its head besides the messages, for which there was."""
        peer.send(request("GET", target))
        site.sessions[0].send(outgoing("x" * 20_000))
        assert site.engine.output.total < 20_450
        site.run()

        assert peer.connection.closed
        assert site.stats.refusals.counts == {"queued total": 1}
        assert site.sessions[0].close_reason is CloseReason.TRANSPORT_ERROR

    def test_ends_the_session_if_the_kernel_takes_nothing_of_it(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        """The connection breaks just then."""
        peer.send(request("GET", target))
        peer.connection._sock.shutdown(socket_module.SHUT_WR)
        site.sessions[0].send(outgoing("hello"))
        site.run()

        assert peer.connection.closed
        assert site.sessions[0].close_reason is CloseReason.TRANSPORT_ERROR

    @pytest.mark.parametrize("lines", [[], ["Connection: close"]])
    def test_once_it_is_read_leaves_the_session_to_go_on(
        self, site: Site, peer: Peer, target: str, lines: list[str]
    ) -> None:
        self.answer(peer, target, *lines)
        assert peer.answer().status == 200
        assert peer.is_cut is bool(lines)
        peer.close()

        assert site.sessions[0].is_open

    def test_is_missed_even_before_the_loss_is_reported(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        """Another connection's GET may be first."""
        self.answer(peer, target)
        peer.connection.abort()
        poll, transport = FakeExchange(), site.sessions[0].transport
        assert isinstance(transport, PollingTransport)
        transport.answer_get(poll)
        assert poll.status == 400
        site.run()

        assert site.sessions[0].close_reason is CloseReason.PARSE_ERROR

    @pytest.mark.parametrize("lines", [[], ["Connection: close"]])
    def test_is_the_only_one_of_its_session(
        self, site: Site, peer: Peer, target: str, lines: list[str]
    ) -> None:
        self.answer(peer, target, *lines)
        with socket_pair() as (ours, theirs):
            other = Peer(site, ours, theirs)
            other.send(request("GET", target))
            assert other.answer().status == 400

        assert site.sessions[0].close_reason is CloseReason.PARSE_ERROR

    def test_is_read_even_if_the_next_one_on_its_connection_is_not(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        """Proxies send the requests of several clients over one connection."""
        self.answer(peer, target)
        assert peer.answer().status == 200
        self.answer(peer, site.open_session())
        with socket_pair() as (ours, theirs):
            other = Peer(site, ours, theirs)
            other.send(request("GET", target))
            site.sessions[0].send(outgoing("hello"))
            site.run()
            assert other.answer().body == b"4hello"
            other.close()

    def test_is_finished_before_the_next_request_is_read(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        self.answer(peer, target)
        peer.send(request("POST", target, b"4hello"))
        assert site.handlers[0].messages == []

        assert [answer.body[-2:] for answer in peer.answers()] == [b"xx", b"ok"]
        assert site.handlers[0].messages == ["hello"]


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
        assert site.stats.refusals.counts == {"download": 1}
        sent = len(peer.read())
        assert f'"GET /a HTTP/1.1" 200 {sent} (cut off)' in caplog.text

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
        self, site: Site, peer: Peer, caplog: pytest.LogCaptureFixture
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
        assert not [record for record in caplog.records if record.levelno > logging.INFO]

    @pytest.mark.parametrize("count", [1, 2])
    def test_one_is_finished_to_who_sends_no_more(self, site: Site, peer: Peer, count: int) -> None:
        site.application = self.download
        peer.send(request("GET", "/a") * count)
        peer.end()

        assert [answer.body for answer in peer.answers()] == [BIG] * count
        assert peer.is_cut
