"""Clients that end their half of a connection, or all of it."""

import socket as socket_module

import pytest
from gevent.event import Event

from socketio_server.http.connection import HttpConnection
from socketio_server.net.connection import Connection
from socketio_server.protocol.close_reasons import CloseReason
from tests.fakes.engine import outgoing
from tests.fakes.net import socket_pair
from tests.http.site import Peer, Site, request, wait_for


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
    def test_gets_that_wait_and_the_next_may_be_seen_in_one_turn_in_any_order(
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

    def test_requests_that_came_together_are_all_answered_to_whoever_still_listens(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        posts = [request("POST", target, f"4{number}".encode()) for number in range(4)]
        peer.sock.sendall(b"".join(posts))
        peer.sock.shutdown(socket_module.SHUT_WR)
        site.run()

        assert site.handlers[0].messages == ["0", "1", "2", "3"]
        assert [answer.body for answer in peer.answers()] == [b"ok"] * 4
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

    def test_a_post_that_waits_counts_even_if_nobody_listens(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        site.sessions[0].pause_reading()
        peer.send(request("POST", target, b"4hello"))
        peer.close()
        site.sessions[0].resume_reading()
        site.run()

        assert site.handlers[0].messages == ["hello"]
        assert site.handlers[0].closed == []

    def test_a_post_that_waits_counts_even_if_its_connection_is_lost(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        site.sessions[0].pause_reading()
        peer.send(request("POST", target, b"4hello"))
        peer.connection.abort()
        site.run()
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

    def test_between_two_requests_it_is_over_at_once(self, peer: Peer) -> None:
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

    def test_all_is_answered_even_if_the_end_is_seen_before_the_loop_s_next_turn(
        self, peer: Peer, target: str
    ) -> None:
        peer.http.data_received(request("POST", target, b"3") * 2)
        assert peer.http.eof_received()

        assert peer.statuses() == [200, 200]
        assert peer.is_cut

    def test_a_get_that_would_have_to_wait_is_not_answered(self, peer: Peer, target: str) -> None:
        peer.sock.sendall(request("POST", target, b"3") + request("GET", target))
        peer.end()

        assert peer.statuses() == [200]
        assert peer.is_cut

    def test_a_get_that_would_have_to_wait_behind_an_application_is_not_answered_either(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        go_on = Event()
        site.application = wait_for(go_on)
        peer.send(request("GET", "/slow") + request("GET", target))
        peer.end()
        go_on.set()
        site.run()

        assert peer.statuses() == [200]
        assert peer.is_cut

    def test_an_upload_that_lacks_something_is_not_answered(self, site: Site, peer: Peer) -> None:
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
    def test_an_answer_whose_end_waits_for_the_client_is_finished(
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

    def test_the_refusal_of_a_body_that_breaks_off_behind_an_answer_is_sent(
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

    def test_a_request_that_breaks_off_in_its_head_is_not_answered(self, peer: Peer) -> None:
        peer.sock.sendall(request("GET", "/a") + b"GET /b HTTP")
        peer.end()

        assert peer.statuses() == [200]
        assert peer.is_cut

    def test_a_session_s_body_that_lacks_something_is_refused(
        self, site: Site, peer: Peer, target: str
    ) -> None:
        peer.sock.sendall(request("GET", "/a") + request("POST", target, b"4hello")[:-1])
        peer.end()

        assert peer.statuses() == [200, 400]
        assert site.handlers[0].closed == [CloseReason.PARSE_ERROR]
        assert peer.is_cut
