"""Where the body of a request ends, and what it holds (security, rule 14; RFC 9112 sections 6
and 7)."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.protocol.http1.bodies import (
    BadBody,
    Body,
    ChunkedBody,
    SizedBody,
    body_of,
    encode_chunk,
)
from socketio_server.protocol.http1.requests import Head, parse_head


def head_with(line: str) -> Head:
    """Return a request's head that has a certain header."""
    return parse_head(f"POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n".encode())


def receive(body: Body, pieces: Iterable[bytes]) -> tuple[bytes, bytes]:
    """Let a body take in pieces; return what belongs to it, and what comes behind."""
    received = rest = b""
    for piece in pieces:
        if body.is_complete:
            rest += piece
        else:
            part, behind = body.receive(piece)
            received += part
            rest += behind
            assert not rest or body.is_complete, "something came behind what goes on"
    return received, rest


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut data in pieces, none of which is empty."""
    ends = sorted({place % len(data) for place in places} | {len(data)} if data else set())
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """A body in chunks, up to its end."""
    coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return coded + b"0\r\n" + trailers + b"\r\n"


CUTS = st.lists(st.integers(0, 10_000), max_size=20)


class TestWhichBody:
    @pytest.mark.parametrize(
        ("line", "has_body"),
        [
            ("A: b", False),
            ("Content-Length: 0", False),
            ("Content-Length: 5", True),
            ("Transfer-Encoding: chunked", True),
        ],
    )
    def test_the_headers_say_whether_there_is_one(self, line: str, has_body: bool) -> None:
        assert head_with(line).headers.has_body is has_body

    def test_the_headers_say_how_it_comes(self) -> None:
        sized = body_of(head_with("Content-Length: 5"))
        assert sized.receive(b"hello, world") == (b"hello", b", world")
        coded = body_of(head_with("Transfer-Encoding: chunked"))
        assert coded.receive(chunked(b"hello")) == (b"hello", b"")


class TestASizedBody:
    @given(body=st.binary(min_size=1, max_size=200), behind=st.binary(max_size=20), places=CUTS)
    def test_is_the_same_however_it_comes(
        self, body: bytes, behind: bytes, places: list[int]
    ) -> None:
        decoder = SizedBody(len(body))
        assert not decoder.is_complete
        assert receive(decoder, cut(body + behind, places)) == (body, behind)
        assert decoder.is_complete

    def test_is_not_complete_without_its_last_byte(self) -> None:
        decoder = SizedBody(5)
        decoder.receive(b"hell")
        assert not decoder.is_complete


class TestAChunkedBody:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"0\r\n\r\n", b""),
            (b"000\r\n\r\n", b""),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"05\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", b"hello"),
            (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
            (b"1\r\n\n\r\n0\r\n\r\n", b"\n"),
            (b"5;name=value\r\nhello\r\n0;x\r\n\r\n", b"hello"),
            (b'5 ; name="a;b"\r\nhello\r\n0\r\n\r\n', b"hello"),
            (b"5\r\nhello\r\n0\r\nA: trailer\r\nB:\r\n\r\n", b"hello"),
        ],
    )
    def test_is_what_its_chunks_hold(self, data: bytes, expected: bytes) -> None:
        for pieces in ([data], [bytes([byte]) for byte in data]):
            decoder = ChunkedBody()
            assert receive(decoder, pieces) == (expected, b"")
            assert decoder.is_complete

    def test_may_come_at_once_in_very_many_chunks(self) -> None:
        """In a time that grows with its size: with the square of it, this would take minutes."""
        count = 100_000
        chunk = b"100\r\n" + b"x" * 256 + b"\r\n"
        body, behind = receive(ChunkedBody(), [chunk * count + b"0\r\n\r\n"])
        assert len(body) == 256 * count
        assert behind == b""

    @pytest.mark.parametrize(("size", "most"), [(1, 64), (128, 128), (255, 16_384)])
    def test_may_have_few_small_chunks(self, size: int, most: int) -> None:
        """Each costs work, however few bytes it has."""
        body = ChunkedBody()
        chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
        body.receive(chunk * most)
        with pytest.raises(BadBody, match="chunks are too small"):
            body.receive(chunk)

    def test_may_have_more_small_chunks_after_large_ones(self) -> None:
        body = ChunkedBody()
        body.receive(b"10000\r\n" + b"x" * 65_536 + b"\r\n" + b"1\r\nx\r\n" * 300)

    @pytest.mark.parametrize("behind", [b"GET / HTTP/1.1\r\n", b"\r\n", b"0\r\n\r\n"])
    def test_ends_before_what_comes_behind(self, behind: bytes) -> None:
        data = chunked(b"hello") + behind
        for pieces in ([data], [bytes([byte]) for byte in data]):
            assert receive(ChunkedBody(), pieces) == (b"hello", behind)

    @given(
        chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=10),
        trailers=st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nC:\r\n"]),
        behind=st.binary(max_size=20),
        places=CUTS,
    )
    def test_is_the_same_however_it_comes(
        self, chunks: list[bytes], trailers: bytes, behind: bytes, places: list[int]
    ) -> None:
        decoder = ChunkedBody()
        data = chunked(*chunks, trailers=trailers) + behind
        assert receive(decoder, cut(data, places)) == (b"".join(chunks), behind)
        assert decoder.is_complete

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"\r\nhello", id="no size"),
            pytest.param(b"zz\r\nhello", id="no number"),
            pytest.param(b"-5\r\nhello", id="below zero"),
            pytest.param(b"+5\r\nhello", id="a sign"),
            pytest.param(b"0x5\r\nhello", id="a prefix"),
            pytest.param(b" 5\r\nhello", id="a blank before it"),
            pytest.param(b"5 \r\nhello", id="a blank behind it"),
            pytest.param(b"5 5\r\nhello", id="two numbers"),
            pytest.param(b"1_0\r\nhello", id="a number as in Python"),
            pytest.param(b"f" * 16 + b"\r\nhello", id="an endless number"),
            pytest.param(b"5\nhello", id="a line feed alone behind the size"),
            pytest.param(b"5\r\r\nhello", id="two carriage returns"),
            pytest.param(b"5;\0\r\nhello", id="a zero byte in an extension"),
            pytest.param(b"5;\r;\r\nhello", id="a carriage return in an extension"),
            pytest.param(b"5;" + b"x" * 2000, id="an endless extension"),
            pytest.param(b"5" * 2000, id="an endless line"),
            pytest.param(b"3\r\nhello\r\n", id="more data than its size"),
            pytest.param(b"5\r\nhello0\r\n\r\n", id="no end of the data"),
            pytest.param(b"5\r\nhello\n0\r\n\r\n", id="a line feed alone behind the data"),
            pytest.param(b"5\r\nhello\rx", id="a carriage return alone behind the data"),
            pytest.param(b"0\r\n\n", id="a line feed alone at the end"),
            pytest.param(b"0\r\nno colon\r\n\r\n", id="a trailer that is no header"),
            pytest.param(b"0\r\n A: b\r\n\r\n", id="a trailer that begins with a blank"),
            pytest.param(b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", id="a request"),
            pytest.param(b"0\r\n" + b"A: b\r\n" * 2000, id="endless trailers"),
            pytest.param(b"0\r\nA: " + b"b" * 9000, id="an endless trailer"),
        ],
    )
    def test_that_is_malformed_is_refused(self, data: bytes) -> None:
        for pieces in ([data], [bytes([byte]) for byte in data]):
            with pytest.raises(BadBody):
                receive(ChunkedBody(), pieces)

    @given(data=st.binary(max_size=60), places=CUTS)
    def test_is_read_or_refused_whatever_comes(self, data: bytes, places: list[int]) -> None:
        """However it comes, the same is read, or it is refused."""
        results = []
        for pieces in ([data], cut(data, places)):
            try:
                results.append(receive(ChunkedBody(), pieces))
            except BadBody:
                results.append((b"refused", b""))
        assert results[0] == results[1]


class TestAChunkOfAnAnswer:
    def test_has_its_size_in_hexadecimal_digits(self) -> None:
        assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
