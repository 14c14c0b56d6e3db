"""Where a request ends leaves no doubt, or it is refused.

What is refused reaches neither Django nor a session, and nothing behind it is answered: a proxy may
have taken that for the body, and a smuggled request for none of its business.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.client import Client
from tests.support.http import Http, Response
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.wire import Polling

DJANGO, ENGINE = "Django", "a session"
BODY = '42["message","from a doubtful request"]'
SMUGGLED = '42["message","smuggled"]'


class Targets(NamedTuple):
    """Where doubtful requests go, and who would notice that they got there."""

    server: Server
    bystander: Client
    """Gets what ``/outside/broadcast/`` sends."""

    poster: Client
    """Has its packets handled."""

    @property
    def paths(self) -> dict[str, str]:
        """Path and query of what Django answers, and of what a session does."""
        assert isinstance(self.poster.carrier, Polling)
        return {DJANGO: "/outside/broadcast/", ENGINE: self.poster.carrier.target}

    def request(self, to: str, *lines: str, line: str | None = None) -> bytes:
        """Return a request's head.

        :param lines: its headers; ``{host}`` in them is the server's.
        :param line: its request line, by default that of a POST.
        """
        first = f"POST {self.paths[to]} HTTP/1.1" if line is None else line
        host, port = self.server.address
        head = "\r\n".join([first, *lines, "", ""])
        return head.replace("{host}", f"{host}:{port}").encode("latin-1")

    def smuggled(self, to: str) -> bytes:
        """Return a request with nothing wrong, of which nobody may hear."""
        body = {DJANGO: '["smuggled"]', ENGINE: SMUGGLED}[to]
        length = f"Content-Length: {len(body)}"
        return self.request(to, HOST, length) + body.encode()

    def send(self, data: bytes) -> list[Response]:
        """Send bytes over a connection of their own, and what must not be answered behind them.

        :return: the responses.
        """
        responses = []
        with Http(self.server.address) as http:
            http.send(data)
            try:
                while True:
                    responses.append(http.read_response())
            except ConnectionError:
                return responses

    def assert_unaware(self) -> None:
        """Make sure that nothing reached Django, nor the session, which is as it was."""
        assert self.bystander.messages() == []
        assert self.poster.messages() == []
        entries = self.server.journal.entries(self.poster.id)
        assert [entry.event for entry in entries if entry.event == "on_message"] == []


@pytest.fixture
def targets(server: Server, connect: Connect) -> Targets:
    """Whom doubtful requests could reach."""
    return Targets(server, bystander=connect("websocket"), poster=connect("polling"))


@pytest.fixture(params=[DJANGO, ENGINE])
def to(request: pytest.FixtureRequest) -> str:
    """Whom the request is for."""
    name: str = request.param
    return name


def body_for(to: str) -> str:
    """Return a body that would have an effect."""
    return {DJANGO: json.dumps(["from a doubtful request"]), ENGINE: BODY}[to]


HOST = "Host: {host}"
LENGTH = "Content-Length: {length}"
CHUNKED = "Transfer-Encoding: chunked"

DOUBTFUL = {
    "two lengths": (400, [HOST, LENGTH, "Content-Length: 0"]),
    "a length and chunks": (400, [HOST, LENGTH, CHUNKED]),
    "an unknown coding": (501, [HOST, "Transfer-Encoding: xchunked"]),
    "no host": (400, [LENGTH]),
    "too many headers": (431, [HOST, LENGTH, *(f"A{number}: b" for number in range(99))]),
}
"""What is wrong with a request, what it is answered with, and its headers.

One for each way out: what else is doubtful is told in ``tests.protocol.http1`` and
``tests.faults.test_smuggling``.
"""


class TestADoubtfulHead:
    @pytest.mark.parametrize(("status", "lines"), DOUBTFUL.values(), ids=DOUBTFUL)
    def test_is_refused_with_all_that_follows(
        self, targets: Targets, to: str, status: int, lines: list[str]
    ) -> None:
        body = body_for(to)
        headers = [line.replace("{length}", str(len(body))) for line in lines]
        data = targets.request(to, *headers) + body.encode() + targets.smuggled(to)
        self.assert_refused(targets.send(data), status)
        targets.assert_unaware()

    def test_is_refused_behind_a_proper_one(self, targets: Targets, to: str) -> None:
        good = targets.request(DJANGO, HOST, line="GET /state/ HTTP/1.1")
        bad = targets.request(to, HOST, HOST, "Content-Length: 0")
        first, *others = targets.send(good + bad + targets.smuggled(to))
        assert first.status == 200
        self.assert_refused(others, 400)
        targets.assert_unaware()

    def test_of_http_1_0_has_no_chunks(self, targets: Targets, to: str) -> None:
        line = f"POST {targets.paths[to]} HTTP/1.0"
        head = targets.request(to, HOST, CHUNKED, "Connection: keep-alive", line=line)
        self.assert_refused(targets.send(head + b"0\r\n\r\n" + targets.smuggled(to)), 400)
        targets.assert_unaware()

    def test_is_told_in_the_log_without_what_the_client_sent(
        self, server: Server, targets: Targets
    ) -> None:
        targets.send(targets.request(DJANGO, HOST, "Secret : forged\x1b[31m"))
        server.wait_for_output(r"Refused \(http\): .* \(from 127\.0\.0\.1\)")
        assert "forged" not in server.output

    @staticmethod
    def assert_refused(responses: list[Response], status: int) -> None:
        """Make sure that there is one answer, and that it says that it is the last."""
        (response,) = responses
        assert response.status == status
        assert response.headers["connection"] == "close"
        assert response.body == b""


BAD_CHUNKS = {
    "a size that is no number": b"zz\r\n%b\r\n0\r\n\r\n",
    "data that is longer than its size": b"3\r\n%b\r\n0\r\n\r\n",
}
"""What is wrong with chunks, and the chunks, with places for size and data."""


class TestBadChunks:
    @pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
    def test_end_the_connection_and_nothing_of_them_is_taken(
        self, targets: Targets, chunks: bytes
    ) -> None:
        body = BODY.encode()
        data = chunks % (len(body), body) if b"%x" in chunks else chunks % body
        head = targets.request(ENGINE, HOST, CHUNKED)
        responses = targets.send(head + data + targets.smuggled(ENGINE))
        assert [response.status for response in responses] in ([], [400])
        assert targets.bystander.messages() == []
        assert "on_message" not in targets.server.journal.events(targets.poster.id)


class TestAProperHead:
    @pytest.fixture
    def http(self, server: Server) -> Iterator[Http]:
        """A connection."""
        with Http(server.address) as http:
            yield http

    @pytest.mark.parametrize(
        "lines",
        [
            ["Content-Length: {length}"],
            ["content-LENGTH:   {length}   "],
            ["Content-Length:{length}"],
            ["Content-Length: 0{length}"],
            ["Content-Length: {length}", *(f"A{number}: b" for number in range(98))],
            ["Content-Length: {length}", "A: " + "b" * 60_000],
            ["Content-Length: {length}", "A: \u00e9\u00ff", "B:", "A: again"],
        ],
        ids=lambda lines: str(lines)[:40],
    )
    def test_lets_the_request_pass(
        self, targets: Targets, http: Http, to: str, lines: list[str]
    ) -> None:
        body = {DJANGO: '["hello"]', ENGINE: '42["message","hello"]'}[to]
        head = targets.request(
            to, HOST, *(line.replace("{length}", str(len(body))) for line in lines)
        )
        http.send(head + body.encode())
        assert http.read_response().status == 200
        if to == DJANGO:
            assert targets.bystander.next_message() == "hello"
        else:
            targets.server.journal.wait_for("on_message", targets.poster.id)

    def test_may_come_in_pieces(self, targets: Targets, http: Http, to: str) -> None:
        request = targets.smuggled(to)
        for start in range(len(request)):
            http.send(request[start : start + 1])
        assert http.read_response().status == 200

    def test_may_have_chunks_behind_it(self, targets: Targets, http: Http) -> None:
        chunks = b'4\r\n42["\r\n11;a=b\r\nmessage","hello"]\r\n0\r\n\r\n'
        http.send(targets.request(ENGINE, HOST, CHUNKED) + chunks)
        assert http.read_response().body == b"ok"
        http.send(targets.request(DJANGO, HOST, line="GET /state/ HTTP/1.1"))
        assert http.read_response().text.startswith('{"clients"')
        targets.server.journal.wait_for("on_message", targets.poster.id)

    def test_may_have_a_long_target(self, http: Http) -> None:
        response = http.get("/state/?" + "x" * 8000)
        assert response.status == 200


class TestABodyThatNobodyWants:
    """It is the request's all the same, and no request of its own."""

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
    @pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
    def test_is_never_taken_for_the_next_request(
        self, targets: Targets, to: str, method: str, chunked: bool
    ) -> None:
        path = {DJANGO: "/state/", ENGINE: targets.paths[ENGINE]}[to]
        body = targets.smuggled(to)
        if to == ENGINE:
            targets.bystander.function("send", targets.poster.id, "so that no GET has to wait")
        if chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        length = CHUNKED if chunked else f"Content-Length: {len(body)}"
        line = f"{method} {path} HTTP/1.1"
        data = targets.request(to, HOST, length, line=line) + body
        with Http(targets.server.address) as http:
            http.send(data)
            http.read_response(method)
            # What follows the body is the next request, if the connection is still open.
            try:
                http.send(targets.request(DJANGO, HOST, line="GET /state/?next HTTP/1.1"))
                response = http.read_response()
            except (ConnectionError, OSError):
                pass
            else:
                assert response.text.startswith('{"clients"')
        assert targets.bystander.messages() == []
        events = targets.server.journal.events(targets.poster.id)
        assert "on_message" not in events

    def test_of_a_refused_websocket_is_never_taken_for_the_next_request(
        self, targets: Targets
    ) -> None:
        body = targets.smuggled(DJANGO)
        lines = [
            HOST,
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            f"Content-Length: {len(body)}",
        ]
        path = targets.paths[ENGINE].replace("polling", "websocket")
        head = targets.request(ENGINE, *lines, line=f"GET {path} HTTP/1.1")
        (response,) = targets.send(head + body)
        assert response.status == 400
        targets.assert_unaware()
