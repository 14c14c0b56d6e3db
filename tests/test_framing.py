"""What the head of a request must look like (security, rule 14; RFC 9112 sections 3, 5 and 6)."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.framing import (
    MAX_HEAD_SIZE,
    MAX_HEADERS,
    MAX_REQUEST_LINE,
    BadHead,
    Headers,
    read_headers,
    split_request_line,
)

HOST = "Host: example.com"


def read(*lines: str, is_http_11: bool = True, end: str = "\r\n") -> Headers:
    """Read header lines, and the empty line behind them."""
    head = "".join(line + end for line in (*lines, "")).encode("latin-1")
    return read_headers(BytesIO(head + b"the body\r\n").readline, is_http_11=is_http_11)


class TestRequestLine:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("GET / HTTP/1.1\r\n", ("GET", "/", "HTTP/1.1")),
            ("GET / HTTP/1.0\r\n", ("GET", "/", "HTTP/1.0")),
            ("GET / HTTP/1.1\n", ("GET", "/", "HTTP/1.1")),
            ("POST /a/?b=c&d=%20~! HTTP/1.1\r\n", ("POST", "/a/?b=c&d=%20~!", "HTTP/1.1")),
            ("OPTIONS * HTTP/1.1\r\n", ("OPTIONS", "*", "HTTP/1.1")),
            ("GET http://a.example/b HTTP/1.1\r\n", ("GET", "http://a.example/b", "HTTP/1.1")),
            ("A" * 20 + " / HTTP/1.1\r\n", ("A" * 20, "/", "HTTP/1.1")),
        ],
    )
    def test_is_method_target_and_version(self, line: str, expected: tuple[str, str, str]) -> None:
        assert split_request_line(line) == expected

    @pytest.mark.parametrize(
        "line",
        [
            "\r\n",
            "GET\r\n",
            "GET /\r\n",
            "GET / \r\n",
            "/ HTTP/1.1\r\n",
            " GET / HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET /  HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            "GET\t/\tHTTP/1.1\r\n",
            "GET /a b HTTP/1.1\r\n",
            "GET / HTTP/1.1",
            "GET / HTTP/1.1\r",
            "GET / HTTP/1.1\r\r\n",
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/0.9\r\n",
            "GET / HTTP/1.2\r\n",
            "GET / HTTP/2.0\r\n",
            "GET / HTTP/1.10\r\n",
            "GET / HTTP/1,1\r\n",
            "GET / http/1.1\r\n",
            "GET / HTTPS/1.1\r\n",
            "get / HTTP/1.1\r\n",
            "G3T / HTTP/1.1\r\n",
            "GET\0 / HTTP/1.1\r\n",
            "GET /\0 HTTP/1.1\r\n",
            "GET /\r HTTP/1.1\r\n",
            "GET /ë HTTP/1.1\r\n",
            "GET /\x7f HTTP/1.1\r\n",
            "A" * 21 + " / HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n",
            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        ],
        ids=ascii,
    )
    def test_is_nothing_else(self, line: str) -> None:
        with pytest.raises(BadHead, match="request line") as refused:
            split_request_line(line)
        assert refused.value.status == 400

    def test_may_be_long(self) -> None:
        path = "/" + "x" * (MAX_REQUEST_LINE - len("GET / HTTP/1.1\r\n"))
        assert split_request_line(f"GET {path} HTTP/1.1\r\n")[1] == path

    @pytest.mark.parametrize("end", [" HTTP/1.1\r\n", ""])
    def test_may_not_be_longer(self, end: str) -> None:
        line = "GET /".ljust(MAX_REQUEST_LINE + 1 - len(end), "x") + end
        with pytest.raises(BadHead, match="too long") as refused:
            split_request_line(line)
        assert refused.value.status == 414


class TestHeaders:
    def test_are_found_whatever_the_case_of_their_names(self) -> None:
        headers = read(HOST, "CONTENT-type: text/plain", "x-OTHER: Value")
        assert headers.get("Content-Type") == headers.get("content-type") == "text/plain"
        assert headers.get("X-Other") == "Value"
        assert headers.get("Nothing") is None
        assert headers.get("Nothing", "else") == "else"

    def test_have_values_without_the_blanks_around_them(self) -> None:
        headers = read("Host:\t example.com \t", "A:1", "B:", "C:  ")
        assert [headers.get(name) for name in ("host", "a", "b", "c")] == [
            "example.com",
            "1",
            "",
            "",
        ]

    def test_may_have_any_bytes_of_text_as_values(self) -> None:
        value = "".join(map(chr, (*range(0x21, 0x7F), *range(0x80, 0x100))))
        assert read(HOST, f"A: {value}\tx").get("a") == value + "\tx"

    def test_of_one_name_are_the_first_of_them(self) -> None:
        assert read(HOST, "A: one", "A: two").get("a") == "one"

    def test_are_given_as_lines_in_their_order(self) -> None:
        headers = read(HOST, "A: one", "B: two", "a: three")
        assert headers.headers == ["host: example.com", "a: one", "b: two", "a: three"]

    def test_end_with_the_empty_line(self) -> None:
        stream = BytesIO(b"Host: example.com\r\n\r\nA: of the body\r\n")
        headers = read_headers(stream.readline, is_http_11=True)
        assert headers.get("a") is None
        assert stream.read() == b"A: of the body\r\n"

    def test_may_end_their_lines_with_a_line_feed_alone(self) -> None:
        assert read(HOST, "A: one", end="\n").get("a") == "one"

    @pytest.mark.parametrize(
        "line",
        [
            "No colon",
            ": no name",
            "Space : before the colon",
            "Tab\t: before the colon",
            " Space: before the name",
            "\tTab: before the name",
            "Two words: as a name",
            "Naïve: name",
            "Na(me): with what is no token",
            'Na"me": with what is no token',
            "Name\0: with a zero byte",
            "A: zero\0byte",
            "A: carriage\rreturn",
            "A: carriage return at the end\r",
            "A: escape\x1b[0m",
            "A: delete\x7f",
            "A: vertical\x0btab",
        ],
        ids=ascii,
    )
    def test_that_are_malformed_are_refused(self, line: str) -> None:
        for lines in ((HOST, line), (line, HOST), (HOST, line, "A: b")):
            with pytest.raises(BadHead, match="a header is malformed") as refused:
                read(*lines)
            assert refused.value.status == 400

    def test_that_go_on_in_the_next_line_are_refused(self) -> None:
        with pytest.raises(BadHead, match="a header is malformed"):
            read(HOST, "A: one", " and more")

    @pytest.mark.parametrize("head", [b"", b"Host: a", b"Host: a\r\n", b"Host: a\r\nB: c"])
    def test_that_break_off_are_refused(self, head: bytes) -> None:
        with pytest.raises(BadHead, match="a header is malformed"):
            read_headers(BytesIO(head).readline, is_http_11=True)

    @given(st.binary(max_size=200))
    def test_are_read_or_refused_whatever_comes(self, head: bytes) -> None:
        try:
            headers = read_headers(BytesIO(head).readline, is_http_11=True)
        except BadHead:
            return
        assert headers.get("host") is not None


class TestSize:
    def test_of_a_head_may_be_so_many_lines(self) -> None:
        headers = read(HOST, *(f"A{number}: x" for number in range(1, MAX_HEADERS)))
        assert len(headers.headers) == MAX_HEADERS

    def test_of_a_head_may_not_be_more_lines(self) -> None:
        with pytest.raises(BadHead, match="the head is too large") as refused:
            read(HOST, *(f"A{number}: x" for number in range(MAX_HEADERS)))
        assert refused.value.status == 431

    def test_of_a_head_may_be_so_many_bytes(self) -> None:
        size = MAX_HEAD_SIZE - len(f"{HOST}\r\nA: \r\n\r\n")
        assert read(HOST, "A: " + "x" * size).get("a") == "x" * size

    @pytest.mark.parametrize("more", [1, 2, 3, MAX_HEAD_SIZE])
    def test_of_a_head_may_not_be_more_bytes(self, more: int) -> None:
        size = MAX_HEAD_SIZE - len(f"{HOST}\r\nA: \r\n\r\n") + more
        with pytest.raises(BadHead, match="the head is too large") as refused:
            read(HOST, "A: " + "x" * size)
        assert refused.value.status == 431

    def test_is_judged_before_all_was_read(self) -> None:
        stream = BytesIO(b"Host: a\r\n" + b"A: x\r\n" * 1_000_000)
        with pytest.raises(BadHead, match="the head is too large"):
            read_headers(stream.readline, is_http_11=True)
        assert stream.tell() <= MAX_HEAD_SIZE


class TestContentLength:
    @pytest.mark.parametrize("length", ["0", "5", "000005", "9" * 18])
    def test_is_a_number(self, length: str) -> None:
        assert read(HOST, f"Content-Length: {length}").get("content-length") == length

    @pytest.mark.parametrize(
        "length",
        [
            "",
            "+5",
            "-5",
            "5.0",
            "0x5",
            "1e1",
            "5 5",
            "5, 5",
            "5,5",
            "5;",
            "five",
            "\u0665",
            "1_0",
            "9" * 19,
        ],
    )
    def test_is_nothing_else(self, length: str) -> None:
        with pytest.raises(BadHead, match="Content-Length") as refused:
            read(HOST, f"Content-Length: {length.encode().decode('latin-1')}")
        assert refused.value.status == 400

    @pytest.mark.parametrize("second", ["5", "6"])
    def test_is_given_once(self, second: str) -> None:
        with pytest.raises(BadHead, match="Content-Length") as refused:
            read(HOST, "Content-Length: 5", "A: b", f"content-length: {second}")
        assert refused.value.status == 400


class TestTransferEncoding:
    @pytest.mark.parametrize("coding", ["chunked", "Chunked", "CHUNKED"])
    def test_may_be_chunked(self, coding: str) -> None:
        assert read(HOST, f"Transfer-Encoding: {coding}").get("transfer-encoding") == coding

    @pytest.mark.parametrize(
        "codings",
        [
            ["gzip"],
            ["gzip, chunked"],
            ["chunked, gzip"],
            ["chunked, chunked"],
            ["identity"],
            ["xchunked"],
            ["chunked;q=1"],
            ['"chunked"'],
            [""],
            ["chunked,"],
            ["chunked", "chunked"],
            ["gzip", "chunked"],
            ["chunked", "identity"],
        ],
        ids=repr,
    )
    def test_of_another_kind_is_not_understood(self, codings: list[str]) -> None:
        with pytest.raises(BadHead, match="Transfer-Encoding") as refused:
            read(HOST, *(f"Transfer-Encoding: {coding}" for coding in codings))
        assert refused.value.status == 501

    @pytest.mark.parametrize("coding", ["chunked", "gzip", ""])
    def test_beside_a_length_is_refused(self, coding: str) -> None:
        lines = ["Content-Length: 5", f"Transfer-Encoding: {coding}"]
        for order in (lines, lines[::-1]):
            with pytest.raises(BadHead, match="Transfer-Encoding") as refused:
                read(HOST, *order)
            assert refused.value.status == 400

    def test_in_http_1_0_is_refused(self) -> None:
        with pytest.raises(BadHead, match="Transfer-Encoding") as refused:
            read(HOST, "Transfer-Encoding: chunked", is_http_11=False)
        assert refused.value.status == 400


class TestHost:
    @pytest.mark.parametrize("is_http_11", [True, False])
    def test_may_be_there_once(self, is_http_11: bool) -> None:
        assert read(HOST, is_http_11=is_http_11).get("host") == "example.com"

    def test_may_be_missing_in_http_1_0(self) -> None:
        assert read("A: b", is_http_11=False).get("host") is None

    def test_may_not_be_missing_in_http_1_1(self) -> None:
        with pytest.raises(BadHead, match="Host") as refused:
            read("A: b")
        assert refused.value.status == 400

    @pytest.mark.parametrize("is_http_11", [True, False])
    @pytest.mark.parametrize("second", ["example.com", "other.example"])
    def test_may_not_be_there_twice(self, is_http_11: bool, second: str) -> None:
        with pytest.raises(BadHead, match="Host") as refused:
            read(HOST, f"Host: {second}", is_http_11=is_http_11)
        assert refused.value.status == 400
