"""HTTP answers as bytes: the one place where the server encodes the head of an answer.

Values in, bytes out. ``encode_response`` encodes the engine's answers, for one ``send`` each;
``encode_head`` serves Django's answers, and ``encode_text_head`` the WebSocket handshake.
"""

from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from socketio_server.protocol.http1.compression import choose_coding

_STATUSES = {status.value: f"{status.value} {status.phrase}".encode() for status in HTTPStatus}

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The answer to ``Expect: 100-continue`` that lets the client send its body (RFC 9110 10.1.1)."""


class Response(NamedTuple):
    """An answer to an HTTP request of the Engine.IO protocol."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=UTF-8"

    @property
    def closes(self) -> bool:
        """Whether the connection ends with it: after an error its input can't be trusted."""
        return self.status >= 400


@lru_cache(maxsize=2)
def http_date(seconds: int) -> bytes:
    """Return a Date header's value (RFC 9110 section 5.6.7).

    :param seconds: since the epoch.
    """
    return formatdate(seconds, usegmt=True).encode()


def encode_head(status: int | bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Encode an answer's head, with the empty line (RFC 9112 sections 4 and 5).

    :param status: the code; or code and phrase, if the phrase is not the standard one.
    :param headers: names and values, which must not contain line ends.
    """
    phrase = _STATUSES[status] if isinstance(status, int) else status
    return b"\r\n".join([b"HTTP/1.1 " + phrase, *map(b": ".join, headers), b"", b""])


def encode_text_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Encode an answer's head, with headers that are still text, as ``encode_head`` does.

    :raises UnicodeEncodeError: if a character is not one of Latin-1 (PEP 3333).
    """
    lines = "\r\n".join(["", *map(": ".join, headers), "", ""])
    return b"HTTP/1.1 " + _STATUSES[status] + lines.encode("latin-1")


def encode_response(
    response: Response,
    *,
    date: bytes,
    headers: tuple[tuple[str, str], ...] = (),
    accept_encoding: str = "",
    compression_threshold: int | None = None,
    closes: bool = False,
    without_body: bool = False,
) -> bytes:
    """Encode an answer.

    :param date: the Date header's value.
    :param headers: further headers.
    :param accept_encoding: the request's header of that name.
    :param compression_threshold: size from which the body is compressed, if the client accepts it;
        ``None``: never.
    :param closes: whether the connection ends with it.
    :param without_body: whether it answers a HEAD.
    """
    body, may_compress, coding_name = response.body, False, None
    if compression_threshold is not None and len(body) >= compression_threshold:
        may_compress = True
        coding = choose_coding(accept_encoding)
        if coding is not None:
            coding_name, body = coding.name, coding.compress(body)
    head = _encode_response_head(
        response.status,
        response.content_type,
        may_compress,
        coding_name,
        headers,
        closes,
        len(body),
        date,
    )
    return head if without_body else head + body


@lru_cache(maxsize=256)
def _encode_response_head(
    status: int,
    content_type: str,
    may_compress: bool,
    coding: str | None,
    headers: tuple[tuple[str, str], ...],
    closes: bool,
    length: int,
    date: bytes,
) -> bytes:
    """Encode an answer's head; cached, because most answers of one second have the same."""
    lines = [
        ("Content-Type", content_type),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if may_compress:
        lines.append(("Vary", "Accept-Encoding"))
    if coding is not None:
        lines.append(("Content-Encoding", coding))
    lines += headers
    if closes:
        lines.append(("Connection", "close"))
    lines.append(("Content-Length", str(length)))
    lines.append(("Date", date.decode()))
    return encode_text_head(status, lines)
