"""Requests that a proxy and the server could read in two ways.

Each is followed, on the same connection, by a request that must not be answered: the server has to
refuse the first and close, whatever it could make of it.
"""

from tests.faults.crowd import host_of, join_over_polling, send_and_read, statuses
from tests.faults.watch import Watch, look
from tests.support.server import Server
from tests.support.wire import Polling

HEADS = {
    "two lengths": "Content-Length: 5\r\nContent-Length: 6",
    "two lengths that agree": "Content-Length: 5\r\nContent-Length: 5",
    "lengths in one header": "Content-Length: 5, 5",
    "a length with a sign": "Content-Length: +5",
    "a negative length": "Content-Length: -5",
    "a length in hex": "Content-Length: 0x5",
    "a length with an underscore": "Content-Length: 0_5",
    "a length in other digits": "Content-Length: \u0665",
    "a fraction as length": "Content-Length: 5.0",
    "an exponent as length": "Content-Length: 5e0",
    "an empty length": "Content-Length:",
    "a length of 30 digits": "Content-Length: " + "0" * 29 + "5",
    "length and coding": "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "coding and length": "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "two codings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "a list of codings": "Transfer-Encoding: chunked, chunked",
    "identity": "Transfer-Encoding: identity",
    "chunked, then identity": "Transfer-Encoding: chunked, identity",
    "a coding that is none": "Transfer-Encoding: xchunked",
    "a quoted coding": 'Transfer-Encoding: "chunked"',
    "a coding behind a vertical tab": "Transfer-Encoding: \x0bchunked",
    "a coding with a parameter": "Transfer-Encoding: chunked;q=1",
    "gzip": "Transfer-Encoding: gzip, chunked",
    "a space before the colon": "Transfer-Encoding : chunked",
    "a tab before the colon": "Content-Length\t: 5",
    "a space before the name": " Content-Length: 5",
    "a folded header": "X: a\r\n Content-Length: 5",
    "a folded coding": "Transfer-Encoding:\r\n chunked",
    "a header without a name": ": 5",
    "a line without a colon": "Content-Length 5",
    "a zero byte": "X: a\x00b",
    "a zero byte in a name": "Content\x00-Length: 5",
    "a bare CR": "X: a\rContent-Length: 5",
    "a bare CR in the coding": "Transfer-Encoding: chunked\rX: y",
    "a name in quotes": '"Content-Length": 5',
    "brackets in a name": "Content-Length[]: 5",
    "two hosts": "Host: evil.example",
}
"""Headers besides those that every request has."""

LINES = {
    "two spaces": "POST  /body/ HTTP/1.1",
    "a tab": "POST\t/body/\tHTTP/1.1",
    "no version": "POST /body/",
    "HTTP/0.9": "POST /body/ HTTP/0.9",
    "HTTP/2": "POST /body/ HTTP/2.0",
    "HTTP/1.2": "POST /body/ HTTP/1.2",
    "HTTP/01.1": "POST /body/ HTTP/01.1",
    "a version in lower case": "POST /body/ http/1.1",
    "a method in lower case": "post /body/ HTTP/1.1",
    "a space before the method": " POST /body/ HTTP/1.1",
    "a space behind the version": "POST /body/ HTTP/1.1 ",
    "a header in the line": "POST /body/ HTTP/1.1\rContent-Length: 5",
    "a zero byte in the target": "POST /bo\x00dy/ HTTP/1.1",
    "a target that is not ASCII": "POST /bodyé/ HTTP/1.1",
}
"""Request lines."""

CHUNKS = {
    "a size with a prefix": "0x5\r\nhello\r\n0\r\n\r\n",
    "a size with a sign": "+5\r\nhello\r\n0\r\n\r\n",
    "a negative size": "-5\r\nhello\r\n0\r\n\r\n",
    "a size with an underscore": "0_5\r\nhello\r\n0\r\n\r\n",
    "a space before the size": " 5\r\nhello\r\n0\r\n\r\n",
    "a space behind the size": "5 \r\nhello\r\n0\r\n\r\n",
    "no size": "\r\nhello\r\n0\r\n\r\n",
    "an extension without a size": ";a=b\r\nhello\r\n0\r\n\r\n",
    "a size that overflows": "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a size in other digits": "\u0665\r\nhello\r\n0\r\n\r\n",
    "a bare LF behind the size": "5\nhello\r\n0\r\n\r\n",
    "a bare LF behind the data": "5\r\nhello\n0\r\n\r\n",
    "more data than its size": "3\r\nhello\r\n0\r\n\r\n",
    "less data than its size": "7\r\nhello\r\n0\r\n\r\n",
    "a bare LF at the end": "5\r\nhello\r\n0\n\n",
    "a trailer that is no header": "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
}
"""Bodies of requests whose coding is chunked."""

LENGTH_5 = "Content-Length: 5\r\n\r\n42[1]"
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = "GET /mark/ HTTP/1.1\r\nHost: {host}\r\n\r\n"

REFUSED = {400, 501, 505}


def marks(server: Server) -> int:
    """Return how many requests came through to the view that must not be reached."""
    count: int = look(server, "census")["tally"].get("mark", 0)
    return count


def try_all(server: Server, cases: dict[str, str]) -> dict[str, list[int]]:
    """Send each, with a request behind it; return the statuses of the answers that are not right.

    :param cases: bytes in Latin-1 or UTF-8, with ``{host}`` for the Host header's value.
    """
    wrong = {}
    for name, text in cases.items():
        data = (text + SMUGGLED).replace("{host}", host_of(server)).encode()
        found = statuses(send_and_read(server, data))
        if len(found) > 1 or not REFUSED.issuperset(found):
            wrong[name] = found
    return wrong


class TestSmuggling:
    """The connection ends with the first request; the second is never seen."""

    def test_what_leaves_the_end_of_a_head_in_doubt_is_refused(
        self, server: Server, watch: Watch
    ) -> None:
        start = "POST /body/ HTTP/1.1\r\nHost: {host}\r\n"
        cases = {name: f"{start}{head}\r\n\r\nhello" for name, head in HEADS.items()}
        cases |= {name: f"{line}\r\nHost: {{host}}\r\n{LENGTH_5}" for name, line in LINES.items()}
        cases["no host"] = f"POST /body/ HTTP/1.1\r\n{LENGTH_5}"
        cases["a coding in HTTP/1.0"] = (
            "POST /body/ HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n"
            f"{CHUNKED}5\r\nhello\r\n0\r\n\r\n"
        )
        before = marks(server)
        with watch(server, "smuggling", "heads", inputs=len(cases)):
            assert try_all(server, cases) == {}
        assert marks(server) == before

    def test_what_leaves_the_end_of_a_body_in_doubt_is_refused_for_a_session(
        self, server: Server, watch: Watch
    ) -> None:
        before = marks(server)
        with watch(server, "smuggling", "chunked bodies for sessions", inputs=len(CHUNKS)):
            sessions: list[Polling] = []
            cases = {}
            for name, body in CHUNKS.items():
                sessions.append(join_over_polling(server))
                head = f"POST {sessions[-1].target} HTTP/1.1\r\nHost: {{host}}\r\n"
                cases[name] = head + CHUNKED + body
            assert try_all(server, cases) == {}
            for session in sessions:
                session.close()
        assert marks(server) == before

    def test_what_leaves_the_end_of_a_body_in_doubt_ends_the_connection_behind_a_view(
        self, server: Server, watch: Watch
    ) -> None:
        before = marks(server)
        with watch(server, "smuggling", "chunked bodies for views", inputs=len(CHUNKS)):
            more_than_one = {}
            for name, body in CHUNKS.items():
                head = f"POST /body/ HTTP/1.1\r\nHost: {host_of(server)}\r\n"
                smuggled = SMUGGLED.replace("{host}", host_of(server))
                data = (head + CHUNKED + body + smuggled).encode()
                found = statuses(send_and_read(server, data))
                if len(found) > 1:
                    more_than_one[name] = found
            assert more_than_one == {}
        assert marks(server) == before

    def test_what_is_in_a_body_that_no_view_reads_is_no_request(
        self, server: Server, watch: Watch
    ) -> None:
        count = 10_000
        before = marks(server)
        with watch(server, "smuggling", "requests in a body that nobody reads", inputs=count):
            smuggled = SMUGGLED.replace("{host}", host_of(server)) * count
            head = f"POST /stats/ HTTP/1.1\r\nHost: {host_of(server)}\r\n"
            length = f"Content-Length: {len(smuggled)}\r\n\r\n"
            assert statuses(send_and_read(server, (head + length + smuggled).encode())) == [200]
        assert marks(server) == before
