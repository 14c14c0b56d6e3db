"""The engine's answers as bytes of HTTP."""

import gzip

import pytest

from socketio_server.protocol.http1.responses import (
    Response,
    encode_head,
    encode_response,
    encode_text_head,
    http_date,
)

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
TEXT = "text/plain; charset=UTF-8"
LARGE = b"4" + b"x" * 1023


def encode(
    response: Response,
    *,
    headers: tuple[tuple[str, str], ...] = (),
    accept_encoding: str = "",
    compression_threshold: int | None = 1024,
    closes: bool = False,
    without_body: bool = False,
) -> bytes:
    """Encode an answer that is like most."""
    return encode_response(
        response,
        headers=headers,
        date=DATE,
        accept_encoding=accept_encoding,
        compression_threshold=compression_threshold,
        closes=closes,
        without_body=without_body,
    )


def split(answer: bytes) -> tuple[list[str], bytes]:
    """Return an answer's header lines, and its body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n")[1:], body


class TestHttpDate:
    def test_is_in_the_form_of_the_standard(self) -> None:
        assert http_date(784111777) == DATE


class TestAHead:
    def test_is_a_status_line_and_headers_and_an_empty_line(self) -> None:
        expected = b"HTTP/1.1 404 Not Found\r\nA: 1\r\nB: \xe9\r\n\r\n"

        assert encode_head(404, [(b"A", b"1"), (b"B", b"\xe9")]) == expected
        assert encode_text_head(404, [("A", "1"), ("B", "\xe9")]) == expected

    def test_may_have_a_phrase_of_the_application_s(self) -> None:
        assert encode_head(b"418 I'm a pot", []) == b"HTTP/1.1 418 I'm a pot\r\n\r\n"

    def test_is_one_of_latin_1(self) -> None:
        with pytest.raises(UnicodeEncodeError):
            encode_text_head(200, [("A", "\u20ac")])


class TestAnAnswer:
    def test_says_how_long_it_is_and_may_not_be_cached(self) -> None:
        assert encode(Response(200, b"ok", "text/html")) == (
            b"HTTP/1.1 200 OK\r\n"
            b"Content-Type: text/html\r\n"
            b"Cache-Control: no-store\r\n"
            b"X-Content-Type-Options: nosniff\r\n"
            b"Content-Length: 2\r\n"
            b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            b"\r\n"
            b"ok"
        )

    def test_is_text_unless_it_says_otherwise(self) -> None:
        assert f"Content-Type: {TEXT}" in split(encode(Response(200, b"6")))[0]

    @pytest.mark.parametrize(
        ("status", "line"),
        [
            (204, b"HTTP/1.1 204 No Content\r\n"),
            (400, b"HTTP/1.1 400 Bad Request\r\n"),
            (403, b"HTTP/1.1 403 Forbidden\r\n"),
            (408, b"HTTP/1.1 408 Request Timeout\r\n"),
            (429, b"HTTP/1.1 429 Too Many Requests\r\n"),
        ],
    )
    def test_has_the_statuss_phrase(self, status: int, line: bytes) -> None:
        assert encode(Response(status, b"")).startswith(line)

    def test_has_further_headers(self) -> None:
        further = (("Access-Control-Allow-Origin", "https://a.example"), ("Vary", "Origin"))
        lines, _ = split(encode(Response(200, b"6"), headers=further))
        assert "Access-Control-Allow-Origin: https://a.example" in lines
        assert "Vary: Origin" in lines

    def test_echoes_the_bytes_of_a_request_as_they_came(self) -> None:
        """Headers are text of Latin-1 here (RFC 9110 section 5.5)."""
        answer = encode(Response(200, b"6"), headers=(("A", b"\xe9".decode("latin-1")),))
        assert b"\r\nA: \xe9\r\n" in answer

    def test_announces_that_the_connection_ends_where_it_does(self) -> None:
        assert "Connection: close" in split(encode(Response(400, b""), closes=True))[0]
        assert "Connection: close" not in split(encode(Response(400, b"")))[0]

    def test_to_a_head_is_the_same_without_its_body(self) -> None:
        for accepted in ("", "gzip"):
            whole = encode(Response(200, LARGE), accept_encoding=accepted)
            head = encode(Response(200, LARGE), accept_encoding=accepted, without_body=True)
            assert split(head) == (split(whole)[0], b"")


class TestResponse:
    @pytest.mark.parametrize(
        ("status", "closes"), [(200, False), (204, False), (400, True), (403, True), (503, True)]
    )
    def test_closes_the_connection_where_it_is_an_error(self, status: int, closes: bool) -> None:
        assert Response(status, b"").closes is closes


class TestCompression:
    def test_is_for_clients_that_accept_it(self) -> None:
        lines, body = split(encode(Response(200, LARGE), accept_encoding="gzip"))
        assert "Content-Encoding: gzip" in lines
        assert f"Content-Length: {len(body)}" in lines
        assert len(body) < len(LARGE)
        assert gzip.decompress(body) == LARGE

    def test_is_not_for_others(self) -> None:
        lines, body = split(encode(Response(200, LARGE), accept_encoding="br"))
        assert not any(line.startswith("Content-Encoding") for line in lines)
        assert body == LARGE

    @pytest.mark.parametrize("accepted", ["", "gzip"])
    def test_tells_caches_that_it_depends_on_the_client(self, accepted: str) -> None:
        lines, _ = split(encode(Response(200, LARGE), accept_encoding=accepted))
        assert "Vary: Accept-Encoding" in lines

    def test_is_not_for_what_is_small(self) -> None:
        lines, body = split(encode(Response(200, LARGE[:-1]), accept_encoding="gzip"))
        assert not any(line.startswith(("Content-Encoding", "Vary")) for line in lines)
        assert body == LARGE[:-1]

    def test_may_be_for_everything(self) -> None:
        answer = encode(Response(200, b"6"), accept_encoding="gzip", compression_threshold=0)
        assert gzip.decompress(split(answer)[1]) == b"6"

    def test_may_be_for_nothing(self) -> None:
        answer = encode(Response(200, LARGE), accept_encoding="gzip", compression_threshold=None)
        lines, body = split(answer)
        assert not any(line.startswith(("Content-Encoding", "Vary")) for line in lines)
        assert body == LARGE
