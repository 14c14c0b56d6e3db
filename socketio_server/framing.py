"""How an HTTP request's head must look: stricter than gevent's ``pywsgi``, which guesses.

Where a proxy and the server behind it disagree on where a request ends, a client can smuggle one
past the proxy (RFC 9112 section 11.2); so whatever could be read in two ways is refused. Pure
functions.
"""

import re
from collections.abc import Callable

from socketio_server.exceptions import SocketIOError

MAX_REQUEST_LINE = 8190
MAX_HEADERS = 100
MAX_HEAD_SIZE = 65_536

# A token, a colon, and what may be in a value (RFC 9110 sections 5.6.2 and 5.5).
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r?\n")
_LENGTH = re.compile("[0-9]{1,18}")
_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) ([\x21-\x7e]+) (HTTP/1\.[01])\r?\n")


class BadHead(SocketIOError, ValueError):
    """Raised when a request's head can't be accepted.

    :param status: the HTTP status to answer with.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


def split_request_line(line: str) -> tuple[str, str, str]:
    """Return a request line's method, target and version (RFC 9112 section 3).

    :raises BadHead: if it is too long, or not ``METHOD target HTTP/1.x``.
    """
    if len(line) > MAX_REQUEST_LINE:
        raise BadHead("the request line is too long", status=414)
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadHead("the request line is malformed")
    method, target, version = match.groups()
    return method, target, version


class Headers:
    """A request's headers, with as much of an e-mail message's interface as pywsgi asks for.

    The standard library parses headers as those of e-mail, which takes longer than all else that is
    done for a polling request (measured).

    :param fields: names in lower case, and values, each in order of arrival.
    """

    status = ""  # pywsgi looks here for what went wrong in parsing

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._first: dict[str, str] = {}
        for name, value in fields:
            self._first.setdefault(name, value)
        self._fields = fields

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first header of that name."""
        return self._first.get(name.lower(), default)

    getheader = get

    def __delitem__(self, name: str) -> None:
        del self._first[name.lower()]

    @property
    def typeheader(self) -> str | None:
        """The Content-Type."""
        return self._first.get("content-type")

    @property
    def headers(self) -> list[str]:
        """All headers, as the lines that they came in."""
        return [f"{name}: {value}" for name, value in self._fields]


def read_headers(readline: Callable[[int], bytes], *, is_http_11: bool) -> Headers:
    """Read the header lines of a request, up to and with the empty line (RFC 9112 section 5).

    :param readline: reads one line of at most so many bytes.
    :return: the headers, each of which is well-formed, and which leave no doubt about the body.
    :raises BadHead: if a line is malformed, there are too many, or the body's length is in doubt.
    """
    fields: list[tuple[str, str]] = []
    left = MAX_HEAD_SIZE
    while True:
        line = readline(left + 1)
        left -= len(line)
        if left < 0 or len(fields) > MAX_HEADERS:
            raise BadHead("the head is too large", status=431)
        if line in (b"\r\n", b"\n"):
            break
        match = _FIELD.fullmatch(line)
        if match is None:
            raise BadHead("a header is malformed")
        name, value = match.groups()
        fields.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))
    _check_fields(fields, is_http_11=is_http_11)
    return Headers(fields)


def _check_fields(fields: list[tuple[str, str]], *, is_http_11: bool) -> None:
    """Check the headers that say where the request ends, and for whom it is (RFC 9112 3.2, 6)."""
    lengths = [value for name, value in fields if name == "content-length"]
    codings = [value.lower() for name, value in fields if name == "transfer-encoding"]
    hosts = sum(name == "host" for name, _ in fields)
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        raise BadHead("Content-Length is malformed")
    if codings and (lengths or not is_http_11):
        raise BadHead("Transfer-Encoding is out of place")
    if codings and codings != ["chunked"]:
        raise BadHead("Transfer-Encoding is not understood", status=501)
    if hosts > 1 or (is_http_11 and not hosts):
        raise BadHead("exactly one Host is needed")
