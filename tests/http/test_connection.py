"""HTTP connections: their states, deadlines and ends, and heads that are malformed."""

import socket as socket_module
from contextlib import suppress

import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.http.connection import KEPT, MOVES, State
from socketio_server.net.connection import READ_SIZE
from socketio_server.net.deadlines import GRACE
from socketio_server.options import Options
from tests.fakes.engine import outgoing
from tests.fakes.loop import FakeIO
from tests.fakes.net import read_available, socket_pair
from tests.http.site import (
    CHUNKED,
    EXPECT,
    UPGRADE,
    Peer,
    Site,
    bytes_of,
    greet,
    head,
    ignore,
    in_chunks,
    request,
    send_what_is_taken,
    wait_for,
)


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


class TestRequestsThatComeTogether:
    def test_leave_turns_to_others(self, site: Site, peer: Peer) -> None:
        """The loop serves its descriptors between two of them."""
        peer.sock.sendall(request("OPTIONS", site.open_session()) * 2)
        site.loop.turn()
        assert read_available(peer.sock).count(b"204") == 1
        site.loop.turn()
        assert not read_available(peer.sock)

        site.run()
        assert peer.statuses() == [204]


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

    def test_is_there_for_a_client_whose_late_body_comes_after_all(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.send(head("POST", target, "Content-Length: 6"))
        site.loop.advance(site.options.body_timeout)
        peer.send(b"4hello")

        assert peer.answer().status == 408

    def test_ends_the_connection_at_once_if_the_client_has_sent_nothing_else(
        self, site: Site, peer: Peer
    ) -> None:
        peer.send(head("GET", "/a", "Connection: close"))

        assert peer.answer().status == 200
        assert site.has_no_deadlines()

    def test_ends_the_connection_once_the_client_closes(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        self.refuse(peer, target)
        assert not site.has_no_deadlines()
        peer.close()

        assert peer.connection.closed
        assert site.has_no_deadlines()

    def test_ends_the_connection_when_the_client_takes_too_long_to_close(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        self.refuse(peer, target)
        site.loop.advance(site.options.close_timeout / 2)
        peer.send(b"and on it goes")
        assert not site.has_no_deadlines()

        site.loop.advance(site.options.close_timeout / 2)
        assert site.has_no_deadlines()


class TestRequestsThatFollowWithoutWaiting:
    def test_wait_in_the_kernel_if_they_are_many(self, site: Site, peer: Peer, target: str) -> None:
        peer.sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_SNDBUF, 65_536)
        peer.send(request("GET", target))
        rest = send_what_is_taken(peer, request("POST", target, b"4" + b"x" * 900) * 500)
        assert rest

        site.sessions[0].send(outgoing("at last"))
        site.run()
        while rest:
            peer.read()
            rest = send_what_is_taken(peer, rest)
        peer.read()
        assert len(site.handlers[0].messages) == 500

    def test_are_kept_up_to_one_read(self, site: Site, peer: Peer, target: str) -> None:
        """However many are answered between two reads."""
        data = memoryview(request("POST", target, b"4" + b"x" * 400) * 600)
        peer.sock.setblocking(False)
        while len(site.handlers[0].messages) < 600:
            with suppress(BlockingIOError):
                data = data[peer.sock.send(data) :]
            site.loop.turn()
            assert len(peer.http._buffer) <= KEPT + READ_SIZE
            read_available(peer.sock)

    def test_are_kept_up_to_one_read_without_bodies_as_well(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        rest = send_what_is_taken(peer, request("GET", target) * 20_000)

        assert rest
        assert KEPT < len(peer.http._buffer) <= KEPT + READ_SIZE

    def test_are_answered_as_well_if_they_come_while_an_answer_is_on_its_way(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.connection._sock.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_SNDBUF, 4096)
        text = "x" * 200_000
        peer.send(request("GET", target))
        site.sessions[0].send(outgoing(text))
        site.run()
        peer.send(request("POST", target, b"4hello"))
        assert site.handlers[0].messages == []

        assert [answer.body for answer in peer.answers()] == [b"4" + text.encode(), b"ok"]


class TestStates:
    def test_know_where_a_connection_may_go_from_each(self) -> None:
        assert set(MOVES) == set(State)

    @pytest.mark.parametrize("state", [state for state in State if state is not State.GONE])
    def test_may_all_end_with_the_loss_of_the_connection(self, state: State) -> None:
        assert State.GONE in MOVES[state]

    def test_are_left_for_no_other_than_the_table_names(self, peer: Peer) -> None:
        with pytest.raises(AssertionError, match="HEAD to IDLE"):
            peer.http._move_to(State.IDLE)


class TestDeadlines:
    def test_a_head_has_so_much_time(self, site: Site, peer: Peer) -> None:
        for byte in bytes_of(b"GET / HTTP"):
            site.loop.advance(site.options.head_timeout / 11)
            peer.send(byte)
        assert not peer.connection.closed

        site.loop.advance(site.options.head_timeout / 10)
        assert peer.connection.closed
        assert peer.answers() == []
        assert site.stats.refusals.counts == {"slow head": 1}

    def test_a_connection_that_says_nothing_has_as_much_time_as_a_head(
        self, site: Site, peer: Peer
    ) -> None:
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

    def test_between_two_there_is_as_much_however_those_before_them_came(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        """The loop may tell of bytes before it calls back for those that came with the others."""
        post = request("POST", target, b"3")
        peer.http.data_received(post * 2)
        peer.http.data_received(post)
        assert peer.statuses() == [200] * 3

        site.loop.advance(site.options.keep_alive_timeout)
        assert peer.connection.closed

    def test_the_head_of_a_second_request_has_as_much_as_the_first(
        self, site: Site, peer: Peer
    ) -> None:
        peer.send(request("GET", "/a"), b"GET")
        site.loop.advance(site.options.head_timeout - 0.1)
        assert not peer.connection.closed

        site.loop.advance(0.1)
        assert peer.connection.closed

    @pytest.mark.parametrize("options", [Options()])
    @pytest.mark.parametrize("late", [0.0, GRACE / 2, 2 * GRACE])
    def test_a_body_that_arrived_in_time_is_read_first(
        self, site: Site, peer: Peer, target: str, late: float
    ) -> None:
        """However long the loop was blocked before, even if it is on time now."""
        body = b"4" + b"x" * (2 * READ_SIZE)
        peer.send(head("POST", target, f"Content-Length: {len(body)}"))
        peer.sock.sendall(body)
        site.loop.now += site.options.body_timeout + late
        site.run()
        site.loop.advance(GRACE)

        assert peer.answer().body == b"ok"

    def test_a_poll_may_wait_for_ever(self, site: Site, peer: Peer, target: str) -> None:
        peer.send(request("GET", target))
        assert site.has_no_deadlines()

    def test_an_application_may_take_its_time(self, site: Site, peer: Peer) -> None:
        go_on = Event()
        site.application = wait_for(go_on)
        peer.send(request("GET", "/a"))
        assert site.has_no_deadlines()
        go_on.set()
        site.run()


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
        head("GET", "{target}", *UPGRADE),
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
