"""Where a request ends leaves no doubt, or it is refused (security, rule 14; RFC 9112).

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

        :param lines: its headers.
        :param line: its request line, by default that of a POST.
        """
        first = f"POST {self.paths[to]} HTTP/1.1" if line is None else line
        return "\r\n".join([first, *lines, "", ""]).encode("latin-1")

    def smuggled(self, to: str) -> bytes:
        """Return a request with nothing wrong, of which nobody may hear."""
        body = {DJANGO: '["smuggled"]', ENGINE: SMUGGLED}[to]
        length = f"Content-Length: {len(body)}"
        return self.request(to, "Host: localhost", length) + body.encode()

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


HOST = "Host: localhost"
LENGTH = "Content-Length: {length}"
CHUNKED = "Transfer-Encoding: chunked"

DOUBTFUL = {
    "two lengths": (400, [HOST, LENGTH, "Content-Length: 0"]),
    "two lengths that are the same": (400, [HOST, LENGTH, LENGTH]),
    "two lengths in other letters": (400, [HOST, LENGTH, "content-LENGTH: 0"]),
    "two lengths in one line": (400, [HOST, "Content-Length: {length}, {length}"]),
    "a length with a sign": (400, [HOST, "Content-Length: +{length}"]),
    "a length below zero": (400, [HOST, "Content-Length: -{length}"]),
    "a length in hexadecimal": (400, [HOST, "Content-Length: 0x10"]),
    "a length with a fraction": (400, [HOST, "Content-Length: {length}.0"]),
    "a length with a blank in it": (400, [HOST, "Content-Length: 1 0"]),
    "a length of other digits": (400, [HOST, "Content-Length: \u00b2\u00b3"]),
    "an empty length": (400, [HOST, "Content-Length:"]),
    "an endless length": (400, [HOST, "Content-Length: " + "9" * 40]),
    "a length and chunks": (400, [HOST, LENGTH, CHUNKED]),
    "chunks and a length": (400, [HOST, CHUNKED, LENGTH]),
    "chunks twice": (501, [HOST, CHUNKED, CHUNKED]),
    "chunks and another coding": (501, [HOST, "Transfer-Encoding: chunked, identity"]),
    "another coding and chunks": (501, [HOST, "Transfer-Encoding: gzip, chunked"]),
    "two codings in two lines": (501, [HOST, "Transfer-Encoding: identity", CHUNKED]),
    "an unknown coding": (501, [HOST, "Transfer-Encoding: xchunked"]),
    "an unknown coding and a length": (400, [HOST, LENGTH, "Transfer-Encoding: xchunked"]),
    "an empty coding": (501, [HOST, "Transfer-Encoding:"]),
    "a coding behind a vertical tab": (400, [HOST, LENGTH, "Transfer-Encoding:\x0bchunked"]),
    "a space before the colon": (400, [HOST, LENGTH, "Transfer-Encoding : chunked"]),
    "a tab before the colon": (400, [HOST, "Content-Length\t: {length}"]),
    "a space before the name": (400, [HOST, LENGTH, " Transfer-Encoding: chunked"]),
    "a header that goes on": (400, [HOST, "Transfer-Encoding:", " chunked"]),
    "a space in a name": (400, [HOST, LENGTH, "Transfer Encoding: chunked"]),
    "a header without a colon": (400, [HOST, LENGTH, "Transfer-Encoding"]),
    "a header without a name": (400, [HOST, LENGTH, ": chunked"]),
    "a zero byte in a value": (400, [HOST, LENGTH, "A: b\0c"]),
    "a zero byte in a name": (400, [HOST, LENGTH, "A\0: b"]),
    "a carriage return in a value": (400, [HOST, LENGTH, "A: b\rTransfer-Encoding: chunked"]),
    "no host": (400, [LENGTH]),
    "two hosts": (400, [HOST, "Host: other.example", LENGTH]),
    "two hosts that are the same": (400, [HOST, HOST, LENGTH]),
    "too many headers": (431, [HOST, LENGTH, *(f"A{number}: b" for number in range(99))]),
    "a head that is too large": (431, [HOST, LENGTH, "A: " + "b" * 65_536]),
    "headers that are too large together": (
        431,
        [HOST, LENGTH, *(f"A{number}: {'b' * 8000}" for number in range(9))],
    ),
}
"""What is wrong with a request, what it is answered with, and its headers."""

REQUEST_LINES = {
    "no target": (400, "POST HTTP/1.1"),
    "no version": (400, "POST {path}"),
    "no method": (400, "{path} HTTP/1.1"),
    "nothing": (400, ""),
    "two spaces": (400, "POST  {path} HTTP/1.1"),
    "a tab": (400, "POST\t{path} HTTP/1.1"),
    "a space before it": (400, " POST {path} HTTP/1.1"),
    "a space behind it": (400, "POST {path} HTTP/1.1 "),
    "a space in the target": (400, "POST {path} x HTTP/1.1"),
    "a zero byte in the target": (400, "POST {path}\0 HTTP/1.1"),
    "a method in small letters": (400, "post {path} HTTP/1.1"),
    "a method that is no word": (400, "P(O)ST {path} HTTP/1.1"),
    "version 0.9": (400, "POST {path} HTTP/0.9"),
    "version 1.2": (400, "POST {path} HTTP/1.2"),
    "version 2": (400, "POST {path} HTTP/2.0"),
    "a version of another protocol": (400, "POST {path} ICY/1.1"),
    "too long a target": (414, "POST {path}#" + "x" * 8190 + " HTTP/1.1"),
    "too long a method": (414, "P" * 9000 + " {path} HTTP/1.1"),
}
"""What is wrong with a request line, what it is answered with, and the line."""


class TestADoubtfulHead:
    @pytest.mark.parametrize(("status", "lines"), DOUBTFUL.values(), ids=DOUBTFUL)
    def test_is_refused_with_all_that_follows(
        self, targets: Targets, to: str, status: int, lines: list[str]
    ) -> None:
        body = body_for(to)
        headers = [line.format(length=len(body)) for line in lines]
        data = targets.request(to, *headers) + body.encode() + targets.smuggled(to)
        self.assert_refused(targets.send(data), status)
        targets.assert_unaware()

    @pytest.mark.parametrize(("status", "line"), REQUEST_LINES.values(), ids=REQUEST_LINES)
    def test_begins_with_a_doubtful_line(
        self, targets: Targets, to: str, status: int, line: str
    ) -> None:
        body = body_for(to)
        head = targets.request(
            to, HOST, f"Content-Length: {len(body)}", line=line.format(path=targets.paths[to])
        )
        self.assert_refused(targets.send(head + body.encode() + targets.smuggled(to)), status)
        targets.assert_unaware()

    def test_is_refused_as_well_behind_one_that_is_not(self, targets: Targets, to: str) -> None:
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
    "a size below zero": b"-%x\r\n%b\r\n0\r\n\r\n",
    "a size with a sign": b"+%x\r\n%b\r\n0\r\n\r\n",
    "a size with a prefix": b"0x%x\r\n%b\r\n0\r\n\r\n",
    "a blank before the size": b" %x\r\n%b\r\n0\r\n\r\n",
    "no size": b"\r\n%b\r\n0\r\n\r\n",
    "an endless size": b"f" * 40 + b"\r\n%b\r\n0\r\n\r\n",
    "data that is longer than its size": b"3\r\n%b\r\n0\r\n\r\n",
    "nothing behind the data": b"%x\r\n%b0\r\n\r\n",
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
        head = targets.request(to, HOST, *(line.format(length=len(body)) for line in lines))
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

    def test_of_a_refused_websocket_is_not_either(self, targets: Targets) -> None:
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
