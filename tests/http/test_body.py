"""Bodies as they arrive, without a connection."""

import pytest

from socketio_server.http.body import BODY_HIGH_WATER, CollectedBody, StreamedBody
from socketio_server.net.deadlines import Deadlines
from socketio_server.protocol.http1.bodies import BadBody
from socketio_server.protocol.http1.requests import Head, parse_head
from socketio_server.protocol.http1.responses import CONTINUE
from tests.fakes.loop import FakeLoop


def head(*lines: str) -> Head:
    """Return the head of a request that has certain headers."""
    return parse_head("\r\n".join(["POST / HTTP/1.1", "Host: a", *lines, "", ""]).encode())


class TestACollectedBody:
    def test_may_have_as_many_bytes_as_are_allowed(self) -> None:
        body = CollectedBody(head("Content-Length: 5"), 5)
        assert body.receive(b"hel") is None
        assert body.receive(b"lo, world") == b", world"
        assert body.join() == b"hello"

    def test_may_arrive_in_many_parts(self) -> None:
        body = CollectedBody(head("Content-Length: 5"), 5)
        for part in (b"", b"h", b"el", b"lo"):
            body.receive(part)
        assert body.join() == b"hello"

    def test_that_is_dropped_ends_where_it_would_have(self) -> None:
        body = CollectedBody(head("Content-Length: 5"), 5)
        body.receive(b"hel")
        body.drop()
        assert body.receive(b"lo, world") == b", world"
        assert body.join() == b""

    def test_is_refused_before_it_comes_if_its_head_announces_more(self) -> None:
        with pytest.raises(BadBody) as refused:
            CollectedBody(head("Content-Length: 6"), 5)
        assert refused.value.status == 413

    def test_in_chunks_is_refused_as_soon_as_it_has_more(self) -> None:
        body = CollectedBody(head("Transfer-Encoding: chunked"), 5)
        assert body.receive(b"5\r\nhello\r\n") is None
        with pytest.raises(BadBody) as refused:
            body.receive(b"1\r\n!")
        assert refused.value.status == 413

    def test_is_refused_if_it_is_malformed(self) -> None:
        body = CollectedBody(head("Transfer-Encoding: chunked"), 5)
        with pytest.raises(BadBody) as refused:
            body.receive(b"x\r\n")
        assert refused.value.status == 400


class Source:
    """The exchange of a streamed body (``BodySource``): notes what it is asked for."""

    def __init__(self) -> None:
        self.body: StreamedBody | None = None
        """Gets bytes when the peer is told to send them."""
        self.is_read = True
        self.sent = b""
        self.slow: list[str] = []

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def sendall(self, data: bytes) -> None:
        self.sent += data
        if self.body is not None:
            self.body.receive(b"hello")

    def report_slow(self, why: str) -> None:
        self.slow.append(why)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def deadlines() -> Deadlines[StreamedBody]:
    loop = FakeLoop()
    return Deadlines(loop, 10.0, StreamedBody.time_out, clock=loop.clock)


class TestAStreamedBody:
    def test_is_read_from_the_peer_no_faster_than_by_its_reader(
        self, source: Source, deadlines: Deadlines[StreamedBody]
    ) -> None:
        body = StreamedBody(head("Content-Length: 1000000"), source, deadlines)
        body.receive(b"x" * BODY_HIGH_WATER)
        assert source.is_read
        body.receive(b"x")
        assert not source.is_read

        assert len(body.read(BODY_HIGH_WATER) or b"") == BODY_HIGH_WATER
        assert not source.is_read  # some of it is still unread
        assert body.read(2) == b"x"
        assert source.is_read

    def test_that_is_complete_pauses_nothing(
        self, source: Source, deadlines: Deadlines[StreamedBody]
    ) -> None:
        """The next request may be behind it."""
        body = StreamedBody(head(f"Content-Length: {BODY_HIGH_WATER + 1}"), source, deadlines)
        assert body.receive(b"x" * (BODY_HIGH_WATER + 1) + b"behind") == b"behind"
        assert source.is_read
        assert body.readall() == b"x" * (BODY_HIGH_WATER + 1)
        assert body.read(1) == b""

    def test_that_breaks_off_is_an_error_behind_the_bytes_that_have_come(
        self, source: Source, deadlines: Deadlines[StreamedBody]
    ) -> None:
        body = StreamedBody(head("Content-Length: 5"), source, deadlines)
        body.receive(b"hel")
        body.break_off(ConnectionResetError("gone"))

        assert body.read(5) == b"hel"
        for _ in range(2):
            with pytest.raises(ConnectionResetError, match="gone"):
                body.read(5)
        assert not source.is_read

    def test_ends_with_its_first_error_and_takes_no_more(
        self, source: Source, deadlines: Deadlines[StreamedBody]
    ) -> None:
        body = StreamedBody(head("Content-Length: 5"), source, deadlines)
        body.break_off(TimeoutError("too late"))
        assert body.receive(b"hello") is None
        body.break_off(ConnectionResetError("gone"))

        assert not source.is_read
        with pytest.raises(TimeoutError, match="too late"):
            body.read(5)

    def test_that_is_complete_can_break_off_no_more(
        self, source: Source, deadlines: Deadlines[StreamedBody]
    ) -> None:
        body = StreamedBody(head("Content-Length: 5"), source, deadlines)
        body.receive(b"hello")
        body.break_off(ConnectionResetError("gone"))
        assert body.readall() == b"hello"

    def test_that_comes_as_soon_as_it_is_asked_for_is_not_overlooked(
        self, source: Source, deadlines: Deadlines[StreamedBody]
    ) -> None:
        lines = ("Content-Length: 10", "Expect: 100-continue")
        source.body = body = StreamedBody(head(*lines), source, deadlines)
        assert body.read(5) == b"hello"
        assert source.sent == CONTINUE
        assert not deadlines

        body.receive(b"world")
        assert body.readall() == b"world"
        assert source.sent == CONTINUE  # once
