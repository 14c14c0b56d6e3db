"""Requests of Django's own: large ones in both directions, and those that follow each other."""

from hashlib import sha256

import pytest

from tests.support.client import Client
from tests.support.http import Http
from tests.support.server import Server
from tests.support.tools import PATIENCE
from tests.support.types import Connect
from tests.support.views import outside
from tests.support.wire import Polling

SIZE = 32_000_000
"""Bytes that are more than all buffers on the way hold together."""

MUCH = 16_000_000
"""Bytes that the server's memory may not grow by while so much more is under way."""

STANDSTILL = 0.3
"""Seconds in which nothing of what was sent is taken, after which nothing will be."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def send_what_is_taken(http: Http, data: bytes) -> int:
    """Send until nothing is taken any more; return how much was."""
    sent = 0
    http.sock.settimeout(STANDSTILL)
    try:
        while sent < len(data):
            sent += http.sock.send(data[sent : sent + 100_000])
    except TimeoutError:
        pass
    http.sock.settimeout(PATIENCE)
    return sent


class TestALargeUpload:
    @pytest.mark.one_process("measures the memory of one process")
    def test_waits_for_who_reads_it_and_arrives_whole(self, server: Server, gate: str) -> None:
        data = bytes(range(256)) * (SIZE // 256)
        with Http(server.address) as http:
            before = server.memory
            length = {"Content-Length": str(len(data))}
            http.send_request("POST", f"/upload/?gate={gate}", headers=length)
            sent = send_what_is_taken(http, data)
            assert sent < len(data)
            assert server.memory - before < MUCH
            outside(server, "open_gate", gate)
            http.send(data[sent:])
            assert http.read_response().text == sha256(data).hexdigest()
            assert server.memory - before < MUCH

    def test_in_chunks_is_refused_because_django_would_not_see_it(self, server: Server) -> None:
        with Http(server.address) as http:
            line = "POST /upload/ HTTP/1.1"
            http.send(f"{line}\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            response = http.read_response()
        assert response.status == 411
        assert response.headers["connection"] == "close"

    def test_that_nobody_reads_is_answered_so_that_the_client_can_read_it(
        self, server: Server
    ) -> None:
        with Http(server.address) as http:
            http.send_request("POST", "/nowhere/", b"x" * 3_000_000)
            assert http.read_response().status == 404
            assert http.read_to_the_end() == b""

    def test_is_asked_for_where_the_client_wants_to_be(self, server: Server) -> None:
        headers = {"Expect": "100-continue", "Content-Length": "5"}
        with Http(server.address) as http:
            http.send_request("POST", "/upload/", headers=headers)
            assert http.read_exactly(len(CONTINUE)) == CONTINUE
            http.send(b"hello")
            assert http.read_response().text == sha256(b"hello").hexdigest()

    def test_is_not_asked_for_where_nobody_reads_it(self, server: Server) -> None:
        headers = {"Expect": "100-continue", "Content-Length": "5"}
        with Http(server.address) as http:
            http.send_request("POST", "/nowhere/", headers=headers)
            assert http.read_response().status == 404


class TestALargeDownload:
    @pytest.mark.parametrize("query", ["", "?pieces"], ids=["in one piece", "in many"])
    def test_goes_as_fast_as_the_client_takes_it_and_arrives_whole(
        self, server: Server, connect: Connect, query: str
    ) -> None:
        bystander = connect(to=server)
        with Http(server.address, receive_buffer=65_536) as http:
            http.send_request("GET", f"/download/{SIZE}/{query}")
            assert http.has_response(PATIENCE)
            assert bystander.messages() == []
            body = http.read_response().body
        assert sha256(body).digest() == sha256(bytes(range(256)) * (SIZE // 256)).digest()

    def test_of_a_client_that_leaves_harms_nobody(self, server: Server, connect: Connect) -> None:
        bystander = connect(to=server)
        seen = len(server.output)
        with Http(server.address, receive_buffer=65_536) as http:
            http.send_request("GET", f"/download/{SIZE}/?pieces")
            assert http.has_response(PATIENCE)
        assert bystander.messages() == []
        assert "Traceback" not in server.output[seen:]


class TestAnswersWithoutABody:
    @pytest.mark.parametrize("status", [204, 304])
    def test_have_none_whatever_the_view_returns(self, server: Server, status: int) -> None:
        with Http(server.address) as http:
            for _ in range(2):
                response = http.get(f"/nothing/{status}/")
                assert response.status == status
                assert "content-length" not in response.headers
            assert http.get("/state/").status == 200


class TestTheAbsoluteFormOfATarget:
    def test_is_answered_like_the_usual_one(self, server: Server) -> None:
        with Http(server.address) as http:
            assert http.get("http://localhost/state/").text.startswith('{"clients"')


class TestRequestsThatFollowEachOther:
    @pytest.fixture
    def client(self, connect: Connect) -> Client:
        """A client over polling."""
        return connect("polling")

    @pytest.mark.parametrize("ends", [False, True], ids=["open", "half closed"])
    def test_without_waiting_are_answered_in_order(
        self, server: Server, client: Client, ends: bool
    ) -> None:
        assert isinstance(client.carrier, Polling)
        requests = [
            ("POST", "/upload/", "one"),
            ("POST", client.carrier.target, '42["message","two"]'),
            ("GET", "/nowhere/", ""),
            ("POST", client.carrier.target, '42["message","four"]'),
            ("POST", "/upload/", "five"),
            ("GET", "/download/256/", ""),
        ]
        with Http(server.address) as http:
            for method, path, body in requests:
                http.send_request(method, path, body)
            if ends:
                http.end()
            responses = [http.read_response() for _ in requests]
        assert [response.status for response in responses] == [200, 200, 404, 200, 200, 200]
        assert responses[0].text == sha256(b"one").hexdigest()
        assert responses[1].body == b"ok"
        assert responses[3].body == b"ok"
        assert responses[4].text == sha256(b"five").hexdigest()
        assert responses[5].body == bytes(range(256))
        client.messages()
        messages = server.journal.entries(client.id, "bare")[-2:]
        assert [entry.details["args"] for entry in messages] == [["two"], ["four"]]

    def test_on_many_connections_wait_for_nobody_else_s(self, server: Server, gate: str) -> None:
        """Each has a greenlet while it is answered; none of them is in the way of another."""
        waiting = [Http(server.address) for _ in range(50)]
        for http in waiting:
            http.send_request("POST", f"/upload/?gate={gate}", "hello")
        with Http(server.address) as http:
            assert http.post("/upload/", "hello").status == 200
            assert not any(other.has_response() for other in waiting)
            outside(server, "open_gate", gate)
        for http in waiting:
            assert http.read_response().text == sha256(b"hello").hexdigest()
            http.close()
