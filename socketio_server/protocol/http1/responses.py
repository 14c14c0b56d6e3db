"""HTTP answers as bytes: the one place where the server encodes the head of an answer.

Values in, bytes out. ``encode_response`` encodes the engine's answers, for one ``send`` each;
``encode_head`` also serves Django's answers and the WebSocket handshake.
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
    lines = [b"HTTP/1.1 ", _STATUSES[status] if isinstance(status, int) else status, b"\r\n"]
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


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
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines]
    return encode_head(status, [*encoded, (b"Date", date)])
