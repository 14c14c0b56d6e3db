"""How long the server waits for what a client is slow to send."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from tests.support.http import Http
from tests.support.server import Server
from tests.support.tools import PATIENCE, wait_until
from tests.support.types import Connect, StartServer
from tests.support.views import stats
from tests.support.wire import Polling, TransportName, open_carrier, open_probe

HEAD = b"GET /state/ HTTP/1.1\r\nHost: localhost\r\n"
TRICKLE = 0.05
"""Seconds between the bytes of who sends one after the other: far below every deadline."""


def wait_for_end(http: Http) -> bytes:
    """Return what the server still sends before it closes, or lets the connection break."""
    http.sock.settimeout(PATIENCE)
    with suppress(ConnectionResetError):
        return http.read_to_the_end()
    return b""


def trickle(http: Http, data: bytes) -> int:
    """Send bytes one by one, until the server closes; return how many could be sent."""
    for count, byte in enumerate(data):
        if http.has_response(TRICKLE):
            return count
        try:
            http.send(bytes([byte]))
        except OSError:
            return count
    return len(data)


HASTY = {
    "SOCKETIO_HEAD_TIMEOUT": 0.5,
    "SOCKETIO_BODY_TIMEOUT": 0.5,
    "SOCKETIO_KEEP_ALIVE_TIMEOUT": 0.5,
    "SOCKETIO_CLOSE_TIMEOUT": 0.5,
}


@pytest.fixture
def hasty(share_server: StartServer) -> Server:
    """A server that does not wait long for requests."""
    return share_server(settings=HASTY)


class TestASlowHead:
    @pytest.mark.parametrize(
        "start",
        [b"", b"G", b"GET /state/ HTTP/1.1", b"GET /state/ HTTP/1.1\r\n", HEAD, HEAD + b"A: b"],
    )
    def test_is_not_waited_for_beyond_its_deadline(self, hasty: Server, start: bytes) -> None:
        with Http(hasty.address) as http:
            http.send(start)
            assert wait_for_end(http) == b""

    def test_gets_no_more_time_because_it_never_stops(self, hasty: Server) -> None:
        with Http(hasty.address) as http:
            http.send(HEAD)
            endless = b"A: " + b"b" * 1000
            assert trickle(http, endless) < len(endless)
            assert wait_for_end(http) == b""

    def test_in_the_request_line_is_not_waited_for(self, hasty: Server) -> None:
        with Http(hasty.address) as http:
            endless = b"GET /" + b"a" * 1000
            assert trickle(http, endless) < len(endless)
            assert wait_for_end(http) == b""

    def test_of_a_second_request_is_not_waited_for(self, hasty: Server) -> None:
        with Http(hasty.address) as http:
            assert http.get("/state/").status == 200
            http.send(HEAD)
            assert wait_for_end(http) == b""

    def test_is_counted_and_logged(self, start_server: StartServer) -> None:
        hasty = start_server(settings=HASTY)  # of its own: a fault that came lately is not logged
        with Http(hasty.address) as http:
            http.send(HEAD)
            wait_for_end(http)
        hasty.wait_for_output(
            r"Refused \(slow head\): request head did not arrive in time \(SOCKETIO_HEAD_TIMEOUT\)"
        )
        assert stats(hasty)["refusals"] == {"slow head": 1}
        assert "Traceback" not in hasty.output

    def test_is_nobody_elses_concern(self, hasty: Server, connect: Connect) -> None:
        client = connect(to=hasty)
        slow = [Http(hasty.address) for _ in range(50)]
        for http in slow:
            http.send(HEAD)
        assert client.messages() == []
        for http in slow:
            assert wait_for_end(http) == b""
            http.close()
        assert client.messages() == []


class TestASlowBody:
    @pytest.mark.parametrize("size", [100, None], ids=["length", "chunked"])
    def test_of_a_session_is_answered_with_408_and_ends_it(
        self, hasty: Server, connect: Connect, size: int | None
    ) -> None:
        client, bystander = connect("polling", to=hasty), connect(to=hasty)
        assert isinstance(client.carrier, Polling)
        with Http(hasty.address) as http:
            http.begin_post(client.carrier.target, b'20\r\n42["', size=size)
            assert bystander.messages() == []
            response = http.read_response()
            assert (response.status, response.headers["connection"]) == (408, "close")
            assert wait_for_end(http) == b""
        client.wait_for_close()
        last = hasty.journal.wait_for("on_finish", client.id)[-1]
        assert last.details["close_reason"] == "parse error"

    def test_of_a_session_gets_no_more_time_because_it_never_stops(
        self, hasty: Server, connect: Connect
    ) -> None:
        client = connect("polling", to=hasty)
        assert isinstance(client.carrier, Polling)
        with Http(hasty.address) as http:
            http.begin_post(client.carrier.target, size=1000)
            endless = b"4" * 1000
            assert trickle(http, endless) < len(endless)
            assert http.read_response().status == 408

    def test_that_comes_in_time_is_taken(self, hasty: Server, connect: Connect) -> None:
        client = connect("polling", to=hasty)
        assert isinstance(client.carrier, Polling)
        body = b'42["message","hello"]'
        with Http(hasty.address) as http:
            http.begin_post(client.carrier.target, body[:5], size=len(body))
            http.send(body[5:])
            assert http.read_response().body == b"ok"
        hasty.journal.wait_for("on_message", client.id)

    def test_of_djangos_ends_the_connection_and_nothing_comes_of_it(
        self, hasty: Server, connect: Connect
    ) -> None:
        bystander = connect(to=hasty)
        body = b'["half"]'
        with Http(hasty.address) as http:
            http.begin_post("/outside/broadcast/", body, size=len(body) + 1)
            assert b" 200 " not in wait_for_end(http).partition(b"\r\n")[0]
        assert bystander.messages() == []


class TestAnIdleConnection:
    @pytest.mark.parametrize("path", ["/state/", "/nowhere/"])
    def test_is_closed_without_a_word(self, hasty: Server, path: str) -> None:
        with Http(hasty.address) as http:
            assert http.get(path).status in (200, 404)
            assert wait_for_end(http) == b""

    def test_of_a_session_is_closed_and_the_session_goes_on(
        self, hasty: Server, connect: Connect
    ) -> None:
        client = connect("polling", to=hasty)
        assert isinstance(client.carrier, Polling)
        with Http(hasty.address) as http:
            http.request("POST", client.carrier.target, '42["message","before"]')
            assert wait_for_end(http) == b""
        with Http(hasty.address) as http:
            http.request("POST", client.carrier.target, '42["message","after"]')
        hasty.journal.wait_until(
            lambda entries: len([e for e in entries if e.event == "on_message"]) == 2,
            "both messages",
            client.id,
            "bare",
        )

    def test_of_a_client_that_was_told_to_go_is_closed(self, hasty: Server) -> None:
        before = stats(hasty)["connections"]
        with Http(hasty.address) as http:
            http.send(b"GET / HTTP/1.1\r\n\r\n")
            assert http.read_response().headers["connection"] == "close"
            wait_until(lambda: stats(hasty)["connections"] <= before, "the server to close as well")

    def test_does_not_mean_a_poll_that_waits(self, hasty: Server, connect: Connect) -> None:
        client, sender = connect("polling", to=hasty), connect(to=hasty)
        assert isinstance(client.carrier, Polling)
        client.carrier.start_poll()
        with Http(hasty.address) as idle:  # for longer than it may be, while the poll waits
            assert idle.get("/state/").status == 200
            assert wait_for_end(idle) == b""
        sender.function("send", client.id, "late")
        assert client.next_message() == "late"

    def test_does_not_mean_a_websocket(self, hasty: Server, connect: Connect) -> None:
        client = connect(to=hasty)
        with Http(hasty.address) as idle:
            assert idle.get("/state/").status == 200
            assert wait_for_end(idle) == b""
        assert client.messages() == []

    def test_serves_one_request_after_the_other_in_time(self, server: Server) -> None:
        with Http(server.address) as http:
            for _ in range(20):
                assert http.get("/state/").status == 200


LIMIT = 5.0
"""Seconds for everything that a client is waited for."""

TOO_LONG = 6.5
"""Seconds for which a view computes: all deadlines that were set before it began are over then."""


@contextmanager
def computing(server: Server) -> Iterator[None]:
    """Have a view compute, so that the loop reads nothing; afterwards wait for its answer."""
    with Http(server.address) as http:
        http.send_request("POST", "/outside/compute/", json.dumps([TOO_LONG]))
        server.journal.wait_for("computing")
        yield
        assert http.read_response().status == 200


class TestALoopThatIsLate:
    """What arrives in time counts, even if the loop reads it after the deadline."""

    def test_answers_all_requests_that_arrived_in_time(self, start_server: StartServer) -> None:
        server = start_server(
            settings={
                "SOCKETIO_HEAD_TIMEOUT": LIMIT,
                "SOCKETIO_BODY_TIMEOUT": LIMIT,
                "SOCKETIO_KEEP_ALIVE_TIMEOUT": LIMIT,
                "SOCKETIO_CONNECT_TIMEOUT": LIMIT,
                "SOCKETIO_UPGRADE_TIMEOUT": LIMIT,
            }
        )
        with ExitStack() as stack:
            idle, head, body, upload = (stack.enter_context(Http(server.address)) for _ in range(4))
            poster, joining, probing = (
                stack.enter_context(closing(Polling(server.address))) for _ in range(3)
            )
            poster.send("40")
            probing.send("40")
            joining.start_poll()
            probe = stack.enter_context(closing(open_probe(probing)))
            assert idle.get("/state/").status == 200
            head.send(HEAD)
            body.begin_post(poster.target, b'42["mess', size=21)
            upload.begin_post("/upload/", b"hello", size=10)
            with computing(server):
                idle.send_request("POST", "/upload/", "late")
                head.send(b"\r\n")
                body.send(b'age","hello"]')
                upload.send(b"world")
                joining.send_later("40")
                probe.send_text("2probe")

            assert [http.read_response().status for http in (idle, head, body, upload)] == [200] * 4
            joining.wait_for_ok()
            assert joining.receive()[0].startswith("40{")
            assert probe.receive_text() == "3probe"

    @pytest.mark.parametrize("transport", ["polling", "websocket"])
    def test_takes_a_pong_that_arrived_in_time(
        self, start_server: StartServer, transport: TransportName
    ) -> None:
        server = start_server(
            settings={
                "SOCKETIO_PING_INTERVAL": 1.0,
                "SOCKETIO_PING_TIMEOUT": LIMIT,
                "SOCKETIO_KEEP_ALIVE_TIMEOUT": 60.0,
            }
        )
        with closing(open_carrier(transport, server.address)) as carrier:
            carrier.send("40")
            while "2" not in carrier.receive():
                pass
            with computing(server):
                if isinstance(carrier, Polling):
                    carrier.send_later("3")
                else:
                    carrier.send("3")
            assert "2" in carrier.receive()
