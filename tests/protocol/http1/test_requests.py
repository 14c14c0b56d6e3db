"""What the head of a request must look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.protocol.http1 import requests
from socketio_server.protocol.http1.requests import (
    MAX_CONNECTION,
    MAX_COOKIE_WORK,
    MAX_HEAD_SIZE,
    MAX_HEADERS,
    MAX_HOST,
    MAX_REQUEST_LINE,
    BadHead,
    Head,
    Headers,
    find_head_end,
    parse_head,
    parse_headers,
)

HOST = "Host: example.com"


def read(*lines: str, is_http_11: bool = True, end: str = "\r\n") -> Headers:
    """Parse header lines, and the empty line behind them."""
    block = "".join(line + end for line in (*lines, "")).encode("latin-1")
    return parse_headers(block, is_http_11)


def head_of(line: str, *lines: str) -> Head:
    """Parse a head: its request line with its end, and its headers."""
    return parse_head(line.encode("latin-1") + "\r\n".join((*lines, "", "")).encode("latin-1"))


class TestRequestLine:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("GET / HTTP/1.1\r\n", ("GET", "/", "HTTP/1.1")),
            ("GET / HTTP/1.0\r\n", ("GET", "/", "HTTP/1.0")),
            ("GET / HTTP/1.1\n", ("GET", "/", "HTTP/1.1")),
            ("POST /a/?b=c&d=%20~! HTTP/1.1\r\n", ("POST", "/a/?b=c&d=%20~!", "HTTP/1.1")),
            ("OPTIONS * HTTP/1.1\r\n", ("OPTIONS", "*", "HTTP/1.1")),
            ("A" * 20 + " / HTTP/1.1\r\n", ("A" * 20, "/", "HTTP/1.1")),
        ],
    )
    def test_is_method_target_and_version(self, line: str, expected: tuple[str, str, str]) -> None:
        head = head_of(line, HOST)
        assert (head.method, head.target, head.version) == expected
        assert head.line == line.rstrip()

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
            head_of(line, HOST)
        assert refused.value.status == 400

    def test_may_be_long(self) -> None:
        path = "/" + "x" * (MAX_REQUEST_LINE - len("GET / HTTP/1.1\r\n"))
        head = f"GET {path} HTTP/1.1\r\n{HOST}\r\n\r\n".encode()
        assert find_head_end(head) == len(head)
        assert parse_head(head).target == path

    @pytest.mark.parametrize("end", [f" HTTP/1.1\r\n{HOST}\r\n\r\n", " HTTP/1.1\r\n", ""])
    def test_may_not_be_longer(self, end: str) -> None:
        line_end = len(end.partition("\n")[0]) + ("\n" in end)
        head = "GET /".ljust(MAX_REQUEST_LINE + 1 - line_end, "x") + end
        with pytest.raises(BadHead, match="too long") as refused:
            find_head_end(head.encode())
        assert refused.value.status == 414


class TestTargets:
    """Their forms (RFC 9112 section 3.2)."""

    @pytest.mark.parametrize(
        ("target", "host", "path"),
        [
            ("http://a.example/b?c", "a.example", "/b?c"),
            ("HTTPS://[::1]:8000", "[::1]:8000", "/"),
            ("http://a.example?b", "a.example", "/?b"),
        ],
    )
    def test_the_absolute_one_has_the_host_whatever_the_header_says(
        self, target: str, host: str, path: str
    ) -> None:
        head = head_of(f"GET {target} HTTP/1.1\r\n", HOST)
        assert (head.target, head.headers.environ["HTTP_HOST"]) == (path, host)
        assert head_of("GET / HTTP/1.1\r\n", HOST).headers.environ["HTTP_HOST"] == "example.com"

    @pytest.mark.parametrize(
        "line",
        [
            "GET *",
            "GET a.example/b",
            "GET ?b",
            "GET ftp://a.example/",
            "GET http:///b",
            "GET http://user@a.example/",
            "GET http://a.example/b#c",
            "CONNECT a.example:80",
        ],
    )
    def test_are_none_other(self, line: str) -> None:
        with pytest.raises(BadHead, match="request target is malformed") as refused:
            head_of(f"{line} HTTP/1.1\r\n", HOST)
        assert refused.value.status == 400


class TestTheEndOfAHead:
    @pytest.mark.parametrize(
        ("data", "end"),
        [
            (b"", None),
            (b"GET / HTTP/1.1", None),
            (b"GET / HTTP/1.1\r\n", None),
            (b"GET / HTTP/1.1\r\n\r", None),
            (b"GET / HTTP/1.1\r\n\r\n", 18),
            (b"GET / HTTP/1.1\n\n", 16),
            (b"GET / HTTP/1.1\n\r\n", 17),
            (b"GET / HTTP/1.1\r\n\n", 17),
            (b"GET / HTTP/1.1\r\n\r\r\n", None),
            (b"GET / HTTP/1.1\r\nA: b\r\n\r\nthe body\r\n\r\n", 24),
            (b"\r\n\r\n", 4),
            (b"\n\n", 2),
        ],
    )
    def test_is_an_empty_line(self, data: bytes, end: int | None) -> None:
        assert find_head_end(data) == end

    @given(st.binary(max_size=30), st.data())
    def test_is_found_however_it_comes(self, noise: bytes, data: st.DataObject) -> None:
        """What was looked at is not looked at again, and the end is found all the same."""
        head = noise.replace(b"\n", b"") + b"\r\n" + HOST.encode() + b"\r\n\r\n"
        looked_at = 0
        while looked_at < len(head) - 1:
            size = data.draw(st.integers(looked_at, len(head) - 1))
            assert find_head_end(head[:size], looked_at) is None
            looked_at = max(size, looked_at + 1)
        assert find_head_end(head + b"\n\n", len(head) - 1) == len(head)

    @pytest.mark.parametrize("data", [b"\n\n" * 20, b"\r\n\r\n" * 20])
    def test_is_the_first(self, data: bytes) -> None:
        assert find_head_end(data) in (2, 4)


class TestHeaders:
    def test_are_named_as_wsgi_does_it_whatever_their_case(self) -> None:
        headers = read(HOST, "CONTENT-type: text/plain", "content-length: 3", "x-OTHER: Value")
        assert headers.environ == {
            "HTTP_HOST": "example.com",
            "CONTENT_TYPE": "text/plain",
            "CONTENT_LENGTH": "3",
            "HTTP_X_OTHER": "Value",
        }

    def test_have_values_without_the_blanks_around_them(self) -> None:
        headers = read("Host:\t example.com \t", "A:1", "B:", "C:  ")
        assert headers.environ == {
            "HTTP_HOST": "example.com",
            "HTTP_A": "1",
            "HTTP_B": "",
            "HTTP_C": "",
        }

    def test_may_have_any_bytes_of_text_as_values(self) -> None:
        value = "".join(map(chr, (*range(0x21, 0x7F), *range(0x80, 0x100))))
        assert read(HOST, f"A: {value}\tx").environ["HTTP_A"] == value + "\tx"

    def test_of_one_name_are_joined_in_their_order(self) -> None:
        assert read(HOST, "A: one", "B: x", "a: two", "A:").environ["HTTP_A"] == "one,two,"

    def test_cookies_are_joined_as_one_header_would_have_them(self) -> None:
        """RFC 6265 section 5.4, RFC 9113 section 8.2.3."""
        environ = read(HOST, "Cookie: a=1", "cookie: b=2; c=3").environ
        assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3"

    @pytest.mark.parametrize("name", ["X_User", "X_USER", "x-real_user", "_", "Content_Length"])
    def test_with_an_underscore_are_left_out(self, name: str) -> None:
        """``X_User`` would look like the ``X-User`` that a proxy sets, or removes."""
        assert read(HOST, f"{name}: forged").environ == {"HTTP_HOST": "example.com"}

    @pytest.mark.parametrize("forged_first", [False, True])
    def test_with_an_underscore_are_not_joined_to_others_either(self, forged_first: bool) -> None:
        lines = ["X-User: set by the proxy", "X_User: forged"]
        if forged_first:
            lines.reverse()
        assert read(HOST, *lines).environ["HTTP_X_USER"] == "set by the proxy"

    @pytest.mark.parametrize("name", ["Content_Length: 6", "Transfer_Encoding: gzip", "Host_: a"])
    def test_with_an_underscore_have_no_say_in_where_the_body_ends(self, name: str) -> None:
        headers = read(HOST, "Content-Length: 5", name)
        assert headers.content_length == 5
        assert not headers.is_chunked

    def test_end_with_the_empty_line(self) -> None:
        with pytest.raises(BadHead, match="header is malformed"):
            read(HOST, "", "A: of the body")

    def test_may_end_their_lines_with_a_line_feed_alone(self) -> None:
        assert read(HOST, "A: one", end="\n").environ["HTTP_A"] == "one"

    def test_are_the_same_for_every_request_that_has_the_same(self) -> None:
        """A client's are mostly the same in all its requests, and parsed once."""
        first = head_of("GET / HTTP/1.1\r\n", HOST, "A: one")
        second = head_of("GET /other HTTP/1.1\r\n", HOST, "A: one")
        assert first.headers is second.headers
        assert head_of("GET / HTTP/1.0\r\n", HOST, "A: one").headers is not first.headers

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
            with pytest.raises(BadHead, match="header is malformed") as refused:
                read(*lines)
            assert refused.value.status == 400

    def test_that_go_on_in_the_next_line_are_refused(self) -> None:
        with pytest.raises(BadHead, match="header is malformed"):
            read(HOST, "A: one", " and more")

    @pytest.mark.parametrize("head", [b"", b"Host: a", b"Host: a\r\n", b"Host: a\r\nB: c"])
    def test_that_break_off_are_refused(self, head: bytes) -> None:
        with pytest.raises(BadHead, match="header is malformed"):
            parse_headers(head)

    @given(st.binary(max_size=200))
    def test_are_read_or_refused_whatever_comes(self, head: bytes) -> None:
        try:
            headers = parse_headers(head)
        except BadHead:
            return
        assert "HTTP_HOST" in headers.environ


class TestSize:
    def test_of_a_head_may_be_so_many_lines(self) -> None:
        headers = read(HOST, *(f"A{number}: x" for number in range(1, MAX_HEADERS)))
        assert len(headers.environ) == MAX_HEADERS

    def test_of_a_head_may_not_be_more_lines(self) -> None:
        with pytest.raises(BadHead, match="request head is too large") as refused:
            read(HOST, *(f"A{number}: x" for number in range(MAX_HEADERS)))
        assert refused.value.status == 431

    def test_of_a_head_is_judged_by_lines_before_these_are_read(self) -> None:
        """To read thousands takes long."""
        with pytest.raises(BadHead, match="request head is too large"):
            read(HOST, *["malformed"] * MAX_HEADERS)

    def test_of_a_head_may_be_so_many_bytes(self) -> None:
        head = self.head_of_size(MAX_HEAD_SIZE)
        assert find_head_end(head) == MAX_HEAD_SIZE
        assert len(parse_head(head).headers.environ["HTTP_A"]) > MAX_HEAD_SIZE - 100

    @pytest.mark.parametrize("more", [1, 2, 3, MAX_HEAD_SIZE])
    def test_of_a_head_may_not_be_more_bytes(self, more: int) -> None:
        with pytest.raises(BadHead, match="request head is too large") as refused:
            find_head_end(self.head_of_size(MAX_HEAD_SIZE + more))
        assert refused.value.status == 431

    @staticmethod
    def head_of_size(size: int) -> bytes:
        start, end = f"GET / HTTP/1.1\r\n{HOST}\r\nA: ".encode(), b"\r\n\r\n"
        return start + b"x" * (size - len(start + end)) + end

    def test_is_judged_before_all_of_it_has_come(self) -> None:
        head = self.head_of_size(2 * MAX_HEAD_SIZE)
        assert find_head_end(head[:MAX_HEAD_SIZE]) is None
        with pytest.raises(BadHead, match="request head is too large"):
            find_head_end(head[: MAX_HEAD_SIZE + 1])

    def test_of_the_body_behind_it_does_not_count(self) -> None:
        head = self.head_of_size(100)
        assert find_head_end(head + b"x" * 2 * MAX_HEAD_SIZE) == 100


class TestCookies:
    """Some releases of Python search the rest of a quoted cookie at each backslash."""

    @pytest.fixture(autouse=True)
    def slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(requests, "_READS_COOKIES_SLOWLY", True)

    def test_with_too_many_backslashes_for_their_size_are_refused(self) -> None:
        with pytest.raises(BadHead, match="too many backslashes") as refused:
            read(HOST, 'Cookie: a="' + '\\"' * 30_000 + '"')
        assert refused.value.status == 431

    def test_of_several_headers_count_together(self) -> None:
        cookie = "Cookie: " + "\\" * 2000
        read(HOST, cookie)
        with pytest.raises(BadHead, match="too many backslashes"):
            read(HOST, cookie, cookie)

    @pytest.mark.parametrize(
        "cookie",
        [
            "a" * 60_000,
            "a" * 8_000 + "\\" * 500,
            "a" * (MAX_COOKIE_WORK // 200 - 100) + "\\" * 100,
            'messages="' + '\\"' * 1000 + '"',
        ],
    )
    def test_with_as_many_as_honest_ones_have_are_taken(self, cookie: str) -> None:
        assert read(HOST, f"Cookie: {cookie}").environ["HTTP_COOKIE"] == cookie

    def test_may_have_any_number_where_python_reads_them_fast(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(requests, "_READS_COOKIES_SLOWLY", False)
        assert read(HOST, "Cookie: " + "\\" * 60_000).environ["HTTP_COOKIE"]

    def test_are_counted_only_in_the_cookies(self) -> None:
        assert read(HOST, "X: " + "\\" * 60_000).environ["HTTP_X"]


class TestContentLength:
    @pytest.mark.parametrize("length", ["0", "5", "000005", "9" * 18])
    def test_is_a_number(self, length: str) -> None:
        headers = read(HOST, f"Content-Length: {length}")
        assert headers.content_length == int(length)
        assert not headers.is_chunked

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
        headers = read(HOST, f"Transfer-Encoding: {coding}")
        assert headers.is_chunked
        assert headers.content_length == 0

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
        assert read(HOST, is_http_11=is_http_11).environ["HTTP_HOST"] == "example.com"

    def test_may_be_missing_in_http_1_0(self) -> None:
        assert read("A: b", is_http_11=False).environ == {"HTTP_A": "b"}

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

    def test_may_not_be_two_in_one_line(self) -> None:
        with pytest.raises(BadHead, match="Host"):
            read("Host: example.com, other.example")

    def test_may_be_longer_than_any_name(self) -> None:
        host = "x" * MAX_HOST
        assert read(f"Host: {host}").environ["HTTP_HOST"] == host
        head = head_of(f"GET http://{host}/ HTTP/1.1\r\n", HOST)
        assert head.headers.environ["HTTP_HOST"] == host

    @pytest.mark.parametrize("is_in_target", [False, True])
    def test_may_not_be_very_long(self, is_in_target: bool) -> None:
        """Sessions keep it."""
        host = "x" * (MAX_HOST + 1)
        target, line = (f"http://{host}/", HOST) if is_in_target else ("/", f"Host: {host}")
        with pytest.raises(BadHead, match="Host header is too long") as refused:
            head_of(f"GET {target} HTTP/1.1\r\n", line)
        assert refused.value.status == 431


class TestConnection:
    """Whether it ends with the answer (RFC 9112 section 9.3)."""

    @pytest.mark.parametrize(
        ("version", "connection", "closes"),
        [
            ("1.1", None, False),
            ("1.1", "keep-alive", False),
            ("1.1", "close", True),
            ("1.1", "Close", True),
            ("1.1", "foo, close", True),
            ("1.1", "close-up", False),
            ("1.1", "Upgrade", False),
            ("1.0", None, True),
            ("1.0", "close", True),
            ("1.0", "keep-alive", False),
            ("1.0", "Keep-Alive", False),
            ("1.0", "foo, Keep-Alive", False),
            ("1.0", "keep-alive, close", True),
        ],
    )
    def test_is_the_client_s_choice(
        self, version: str, connection: str | None, closes: bool
    ) -> None:
        lines = [HOST] if connection is None else [HOST, f"Connection: {connection}"]
        assert head_of(f"GET / HTTP/{version}\r\n", *lines).headers.closes is closes

    def test_may_have_so_many_characters(self) -> None:
        """To read more takes long."""
        read(HOST, "Connection: " + "," * MAX_CONNECTION)
        with pytest.raises(BadHead, match="Connection header is too long") as refused:
            read(HOST, "Connection: ,", "Connection: " + "," * (MAX_CONNECTION - 1))
        assert refused.value.status == 431


class TestExpectation:
    """Whether the client waits for ``100 Continue`` (RFC 9110 section 10.1.1)."""

    @pytest.mark.parametrize(
        ("version", "line", "expects"),
        [
            ("1.1", "Expect: 100-continue", True),
            ("1.1", "Expect: 100-Continue", True),
            ("1.1", "Expect: something else", False),
            ("1.1", "A: b", False),
            ("1.0", "Expect: 100-continue", False),
        ],
    )
    def test_of_a_continue_is_one_of_http_1_1_alone(
        self, version: str, line: str, expects: bool
    ) -> None:
        head = head_of(f"POST / HTTP/{version}\r\n", HOST, line)
        assert head.expects_continue is expects
