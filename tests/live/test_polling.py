"""HTTP long-polling: GETs that wait, POSTs that bring, and limits (Engine.IO protocol)."""

from operator import attrgetter

import pytest

from tests.support.client import Client
from tests.support.http import Http
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.views import outside
from tests.support.wire import Polling, target

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.fixture
def client(connect: Connect) -> Client:
    """A client over polling."""
    return connect("polling")


@pytest.fixture
def polling(client: Client) -> Polling:
    """Its session."""
    assert isinstance(client.carrier, Polling)
    return client.carrier


class TestPost:
    def test_is_answered_with_ok(self, client: Client, polling: Polling) -> None:
        response = polling.post('42["message","hello"]')
        assert (response.status, response.body) == (200, b"ok")

    def test_may_bring_many_packets_which_are_taken_in_order(
        self, server: Server, client: Client, polling: Polling
    ) -> None:
        polling.send(*(f'42["message",{number}]' for number in range(1000)))
        client.messages()
        received = [
            entry.details["args"][0]
            for entry in server.journal.entries(client.id, "bare")
            if entry.event == "on_message"
        ]
        assert received == list(range(1000))

    def test_may_come_in_chunks(self, server: Server, client: Client, polling: Polling) -> None:
        packet = b'42["message","in chunks"]'
        chunks = b"".join(b"%x\r\n%b\r\n" % (1, packet[i : i + 1]) for i in range(len(packet)))
        with Http(server.address) as http:
            http.begin_post(polling.target, chunks + b"0\r\n\r\n")
            assert http.read_response().body == b"ok"
        client.messages()
        assert server.journal.entries(client.id, "bare")[-1].details["args"] == ["in chunks"]

    def test_may_come_in_many_chunks_and_even_more_pieces(
        self, server: Server, client: Client, polling: Polling
    ) -> None:
        packet = b'42["message","' + b"x" * 300 + b'"]'
        parts = [packet[start : start + 7] for start in range(0, len(packet), 7)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        with Http(server.address) as http:
            http.begin_post(polling.target)
            for byte in chunks + b"0\r\nTrailer: x\r\n\r\n":
                http.send(bytes([byte]))
            assert http.read_response().body == b"ok"
            assert http.post(polling.target, "3").body == b"ok"  # and nothing is left over
        client.messages()
        assert server.journal.entries(client.id, "bare")[-1].details["args"] == ["x" * 300]

    def test_is_asked_for_where_the_client_wants_to_be(
        self, server: Server, client: Client, polling: Polling
    ) -> None:
        packet = '42["message","as you wish"]'
        headers = {"Expect": "100-continue", "Content-Length": str(len(packet))}
        with Http(server.address) as http:
            http.send_request("POST", polling.target, headers=headers)
            assert http.read_exactly(len(CONTINUE)) == CONTINUE
            http.send(packet.encode())
            assert http.read_response().body == b"ok"
        client.messages()
        assert server.journal.entries(client.id, "bare")[-1].details["args"] == ["as you wish"]

    def test_of_maxpayload_bytes_is_taken(
        self, server: Server, client: Client, polling: Polling
    ) -> None:
        packet = '42["message","{}"]'
        text = "x" * (client.carrier.handshake["maxPayload"] - len(packet) + 2)
        assert polling.post(packet.replace("{}", text)).status == 200
        client.messages()
        assert server.journal.entries(client.id, "bare")[-1].details["args"] == [text]

    def test_that_is_too_large_is_refused_with_413_before_it_was_sent(
        self, server: Server, polling: Polling
    ) -> None:
        size = polling.handshake["maxPayload"] + 1
        with Http(server.address) as http:
            http.send_request("POST", polling.target, headers={"Content-Length": str(size)})
            response = http.read_response()
        assert response.status == 413
        assert response.headers["connection"].lower() == "close"

    def test_of_more_than_maxpayload_bytes_is_not_asked_for(
        self, server: Server, polling: Polling
    ) -> None:
        size = polling.handshake["maxPayload"] + 1
        headers = {"Expect": "100-continue", "Content-Length": str(size)}
        with Http(server.address) as http:
            http.send_request("POST", polling.target, headers=headers)
            assert http.read_response().status == 413

    def test_that_is_too_large_is_refused_legibly_to_a_client_that_sends_it_all_the_same(
        self, server: Server, polling: Polling
    ) -> None:
        """With a reset it would lose the answer (RFC 9112 section 9.6)."""
        size = 3 * polling.handshake["maxPayload"]
        with Http(server.address) as http:
            http.send_request("POST", polling.target, b"4" * size)
            assert http.read_response().status == 413
            assert http.read_to_the_end() == b""

    def test_of_more_than_maxpayload_bytes_in_chunks_is_refused_with_413(
        self, server: Server, polling: Polling
    ) -> None:
        with Http(server.address) as http:
            http.begin_post(polling.target)
            size = polling.handshake["maxPayload"] + 1
            http.send(b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n")
            assert http.read_response().status == 413

    def test_that_is_too_large_leaves_other_clients_alone(
        self, connect: Connect, polling: Polling
    ) -> None:
        other = connect("polling")
        polling.post("4" * (polling.handshake["maxPayload"] + 1))
        assert other.messages() == []


class TestGet:
    def test_waits_until_there_is_something(
        self, server: Server, client: Client, polling: Polling
    ) -> None:
        polling.start_poll()
        assert polling.post("3").body == b"ok"
        assert not polling.has_answer()
        outside(server, "send", client.id, "hello")
        assert client.next_message() == "hello"

    def test_brings_all_that_waits_in_order(self, client: Client) -> None:
        client.do("count", to=50)
        assert client.next_messages(50) == list(range(50))

    def test_beside_one_that_waits_ends_the_session(
        self, server: Server, client: Client, polling: Polling
    ) -> None:
        with Http(server.address) as one, Http(server.address) as other:
            for http in (one, other):  # of several workers, either may be the first
                http.send_request("GET", polling.target)
            answers = sorted((one.read_response(), other.read_response()), key=attrgetter("status"))
        assert [answer.status for answer in answers] == [200, 400]
        assert answers[0].text == "1"
        last = server.journal.wait_for("on_finish", client.id)[-1]
        assert last.details["close_reason"] == "parse error"
        with Http(server.address) as http:
            assert http.get(polling.target).json["code"] == 1

    def test_gets_what_came_after_the_one_before_went_away(
        self, server: Server, client: Client, polling: Polling
    ) -> None:
        with Http(server.address) as http:
            http.send_request("GET", polling.target)
            polling.post("3")  # the server has seen the GET before it answers this
        polling.post("3")
        client.do_without_answer("count", to=20)
        assert client.next_messages(20) == list(range(20))

    def test_that_goes_away_at_once_does_no_harm(
        self, server: Server, client: Client, polling: Polling
    ) -> None:
        for _ in range(3):
            with Http(server.address) as http:
                http.send_request("GET", polling.target)
        client.do_without_answer("count", to=20)
        assert client.next_messages(20) == list(range(20))
        assert "on_finish" not in server.journal.events(client.id)

    @pytest.mark.one_process("lets one process stand still")
    @pytest.mark.parametrize("connections", ["new", "open"])
    def test_after_several_that_went_away_gets_all_though_the_server_sees_them_together(
        self, server: Server, client: Client, polling: Polling, connections: str
    ) -> None:
        gone = [Http(server.address) for _ in range(3)]
        if connections == "open":
            for http in gone:
                assert http.get("/state/").status == 200
        with server.stopped():
            for http in gone:
                http.send_request("GET", polling.target)
                http.close()
            polling.start_poll()
        client.do_without_answer("count", to=20)
        assert client.next_messages(20) == list(range(20))
        assert "on_finish" not in server.journal.events(client.id)

    @pytest.mark.one_process("lets one process stand still")
    def test_that_goes_away_takes_nothing_with_it_that_is_sent_at_that_moment(
        self, server: Server, client: Client, polling: Polling
    ) -> None:
        with Http(server.address) as http, Http(server.address) as poster:
            http.send_request("GET", polling.target)
            polling.post("3")  # the server has seen the GET before it answers this
            with server.stopped():
                poster.send_request("POST", polling.target, '42["message",{"do":"count","to":20}]')
                http.close()
            assert poster.read_response().body == b"ok"
        assert client.next_messages(20) == list(range(20))

    def test_is_released_when_the_client_closes(self, client: Client, polling: Polling) -> None:
        polling.start_poll()
        assert polling.post("1").body == b"ok"
        assert polling.finish() == ["6"]

    def test_is_released_when_the_server_closes(self, client: Client, polling: Polling) -> None:
        polling.start_poll()
        assert polling.post("4garbage").status == 400
        assert polling.finish()[-1] == "1"


class TestConnections:
    def test_serve_many_requests(self, server: Server) -> None:
        with Http(server.address) as http:
            for _ in range(3):
                sid = http.get(target("polling")).text.split('"')[3]
                session = target("polling", sid=sid)
                assert http.post(session, "40").body == b"ok"
                assert http.get(session).text.startswith("40{")
                assert http.post(session, "1").body == b"ok"

    @pytest.mark.parametrize("request_of", ["a handshake", "a session"])
    def test_that_the_client_wants_closed_are_closed_and_the_response_says_so(
        self, server: Server, session: Polling, request_of: str
    ) -> None:
        is_handshake = request_of == "a handshake"
        method, body = ("GET", "") if is_handshake else ("POST", "3")
        path = target("polling") if is_handshake else session.target
        with Http(server.address) as http:
            response = http.request(method, path, body, {"Connection": "close"})
            assert response.status == 200
            assert response.headers["connection"].lower() == "close"
            assert http.read_to_the_end() == b""

    def test_go_on_after_requests_that_follow_each_other_without_waiting(
        self, server: Server, client: Client, polling: Polling
    ) -> None:
        with Http(server.address) as http:
            for number in range(3):
                http.send_request("POST", polling.target, f'42["message",{number}]')
            assert [http.read_response().body for _ in range(3)] == [b"ok"] * 3
        client.messages()
        assert server.journal.entries(client.id, "bare")[-1].details["args"] == [2]
