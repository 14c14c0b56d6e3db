"""The heads of HTTP requests (RFC 9112 sections 2 to 6). Bytes in, values out.

Stricter than gevent's ``pywsgi``, which guesses: an ambiguous head is refused, because a client can
smuggle a request past a proxy that disagrees with the server on where a request ends (RFC 9112
section 11.2).
"""

import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from socketio_server.exceptions import SocketIOError

MAX_REQUEST_LINE = 8190
MAX_HEADERS = 100
MAX_HEAD_SIZE = 65_536

MAX_HOST = 300
"""Characters of a ``Host`` header, which is enough for any name: sessions keep it."""

MAX_CONNECTION = 300
"""Characters of a ``Connection`` header, which is enough for all its options."""

MAX_COOKIE_WORK = 2**23
"""Backslashes in a request's cookies times bytes of them, where Python reads cookies slowly."""

_READS_COOKIES_SLOWLY = sys.version_info < (3, 11, 10) or (3, 12) <= sys.version_info < (3, 12, 6)
"""Whether ``http.cookies``, which Django reads cookies with, searches all that is left of a quoted
cookie at each of its backslashes (CVE-2024-7592)."""

_CACHED_SIZE = 2048
"""Bytes up to which a parsed header block is cached.

Most clients repeat the same block in all requests, and parsing it takes longer than the rest of a
polling request. A browser's has about a kilobyte.
"""

_SHARED_SIZE = 256
"""Characters up to which a header's name or value is shared by requests, because clients could fill
a cache with values as large as a head may be."""

# A token, a colon and a value (RFC 9110 sections 5.6.2 and 5.5).
_LINE = r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r?\n"
FIELD = re.compile(_LINE)
"""A header's line, or a trailer's."""
_BLOCK = re.compile(f"(?:{_LINE})*+\r?\n")
_LENGTH = re.compile("[0-9]{1,18}")
_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) ([\x21-\x7e]+) (HTTP/1\.[01])\r?\n")
# The absolute form of a target: scheme, host and the rest (RFC 9112 section 3.2.2).
_ABSOLUTE = re.compile(r"https?://([^/?#@]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE)


class BadHead(SocketIOError, ValueError):
    """Raised when a request's head can't be accepted.

    :param status: the HTTP status to answer with.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Headers:
    """A request's headers, well-formed and clear about the body's length and the host.

    :param fields: names in lower case and values, in order of arrival.
    :param size: bytes of their lines.
    :raises BadHead: if the body's length or the host is in doubt, or cookies would take long to
        read.
    """

    __slots__ = ("closes", "content_length", "environ", "has_body", "is_chunked", "size")

    def __init__(
        self, fields: Iterable[tuple[str, str]], *, is_http_11: bool, size: int = 0
    ) -> None:
        self.environ: dict[str, str] = {}
        """The headers as WSGI names them (PEP 3333). Values of one name are joined by commas;
        names with an underscore are left out, because WSGI would confuse them with others."""
        environ = self.environ
        for name, value in fields:
            if "_" in name:
                continue
            key = _key_of(name) if len(name) <= _SHARED_SIZE else _key_of.__wrapped__(name)
            if key in environ:
                separator = "; " if key == "HTTP_COOKIE" else ","
                environ[key] += separator + value
            else:
                shared = len(value) <= _SHARED_SIZE and key not in _UNIQUE
                environ[key] = _share(value) if shared else value
        self.size = size
        """Bytes of their lines."""
        length = _check(environ, is_http_11=is_http_11)
        self.content_length = length
        """Bytes of the body; 0 if there is none, or if it is chunked."""
        self.is_chunked = "HTTP_TRANSFER_ENCODING" in environ
        """Whether the body is chunked."""
        self.has_body = length > 0 or self.is_chunked
        """Whether a body follows."""
        connection = environ.get("HTTP_CONNECTION", "")
        if len(connection) > MAX_CONNECTION:
            raise BadHead("Connection header is too long", status=431)
        wishes = {wish.strip() for wish in connection.lower().split(",")}
        self.closes = "close" in wishes or not (is_http_11 or "keep-alive" in wishes)
        """Whether the client wants the connection to end with the answer (RFC 9112 section 9.3)."""


class Head(msgspec.Struct, frozen=True):
    """The head of a request."""

    method: str
    target: str
    version: str
    headers: Headers

    @property
    def line(self) -> str:
        """The request line without its end."""
        return f"{self.method} {self.target} {self.version}"

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before its body (RFC 9110 10.1.1)."""
        expect = self.headers.environ.get("HTTP_EXPECT", "")
        return expect.lower() == "100-continue" and self.version == "HTTP/1.1"


def find_head_end(data: bytes, start: int = 0) -> int | None:
    """Return where a request's head ends; ``None`` if its end has not arrived yet.

    :param data: the head's bytes so far.
    :param start: how many of them were searched before.
    :raises BadHead: if the head is too large.
    """
    if start:
        start = max(0, start - 2)
    end = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, end if end >= 0 else len(data))
    found = bare + 2 if bare >= 0 else end + 3 if end >= 0 else None
    size = len(data) if found is None else found
    if size > MAX_REQUEST_LINE:
        if data.find(b"\n", 0, MAX_REQUEST_LINE) < 0:
            raise BadHead("request line is too long", status=414)
        if size > MAX_HEAD_SIZE:
            raise BadHead("request head is too large", status=431)
    return found


def parse_head(data: bytes) -> Head:
    """Return the head of a request (RFC 9112 sections 3 and 5).

    A target in absolute form is split into the usual one and the host, which replaces the header's.

    :param data: the head, with the empty line.
    :raises BadHead: if a line is malformed, there are too many, the body's length is in doubt, or
        cookies would take long to read.
    """
    end = data.find(b"\n") + 1
    match = _REQUEST_LINE.fullmatch(data[:end].decode("latin-1"))
    if match is None:
        raise BadHead("request line is malformed")
    method, target, version = match.groups()
    block = data[end:]
    if target[0] != "/":
        headers = parse_headers(block, version == "HTTP/1.1")
        return Head(method, _origin_form(method, target, headers), version, headers)
    parse = _parse_headers_once if len(block) <= _CACHED_SIZE else parse_headers
    return Head(method, target, version, parse(block, version == "HTTP/1.1"))


def _origin_form(method: str, target: str, headers: Headers) -> str:
    """Return another form of target as path and query (RFC 9112 section 3.2).

    :param headers: the request's own, which get the target's host.
    """
    if target == "*" and method == "OPTIONS":
        return target
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadHead("request target is malformed")
    host, rest = match.groups("/")
    _check_host(host)
    headers.environ["HTTP_HOST"] = host
    return rest if rest[0] == "/" else f"/{rest}"


def parse_headers(block: bytes, is_http_11: bool = True) -> Headers:
    """Return the headers of a request.

    :param block: their lines, with the empty line.
    :raises BadHead: as ``parse_head``.
    """
    if block.count(b"\n") > MAX_HEADERS + 1:  # before they are read, which takes long
        raise BadHead("request head is too large", status=431)
    text = block.decode("latin-1")
    if _BLOCK.fullmatch(text) is None:
        raise BadHead("header is malformed")
    fields = ((name.lower(), value.strip(" \t")) for name, value in FIELD.findall(text))
    return Headers(fields, is_http_11=is_http_11, size=len(block))


_parse_headers_once = lru_cache(maxsize=256)(parse_headers)


_UNIQUE = frozenset(["HTTP_COOKIE", "HTTP_SEC_WEBSOCKET_KEY"])
"""Headers whose values differ from client to client."""


@lru_cache(maxsize=512)
def _key_of(name: str) -> str:
    """Return a header's name in WSGI: a shared string, because sockets keep environs for hours."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"


@lru_cache(maxsize=512)
def _share(value: str) -> str:
    """Return an equal string that other requests share, for the same reason."""
    return value


def _check(environ: Mapping[str, str], *, is_http_11: bool) -> int:
    """Check the headers that tell where the request ends, its host (RFC 9112 3.2, 6) and cookies.

    :return: the body's length; 0 if there is none.
    """
    length = environ.get("CONTENT_LENGTH")
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if length is not None and _LENGTH.fullmatch(length) is None:  # a second one adds a comma
        raise BadHead("Content-Length is malformed")
    if coding is not None and (length is not None or not is_http_11):
        raise BadHead("Transfer-Encoding beside Content-Length, or in HTTP/1.0")
    if coding is not None and coding.lower() != "chunked":
        raise BadHead("Transfer-Encoding is not supported", status=501)
    host = environ.get("HTTP_HOST")
    if (host is None and is_http_11) or (host is not None and "," in host):
        raise BadHead("exactly one Host header is required")
    if host is not None:
        _check_host(host)
    cookies = environ.get("HTTP_COOKIE")
    if (
        cookies is not None
        and _READS_COOKIES_SLOWLY
        and cookies.count("\\") * len(cookies) > MAX_COOKIE_WORK
    ):
        raise BadHead("cookies have too many backslashes", status=431)
    return 0 if length is None else int(length)


def _check_host(host: str) -> None:
    """Refuse a host that is longer than any name."""
    if len(host) > MAX_HOST:
        raise BadHead("Host header is too long", status=431)
