"""The engine's answers as bytes of HTTP: pure, and made in one piece for one ``send``."""

import gzip
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Response(NamedTuple):
    """An answer to an HTTP request of the Engine.IO protocol."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=UTF-8"

    @property
    def closes(self) -> bool:
        """Whether the HTTP connection ends with it: after an error its input can't be trusted."""
        return self.status >= 400


@lru_cache(maxsize=2)
def http_date(seconds: int) -> bytes:
    """Return a Date header's value (RFC 9110 section 5.6.7).

    :param seconds: since the epoch.
    """
    return formatdate(seconds, usegmt=True).encode()


def takes_gzip(accept_encoding: str) -> bool:
    """Return whether a client takes gzip (RFC 9110 section 12.5.3).

    :param accept_encoding: the request's header of that name.
    """
    weights: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        coding, _, parameter = item.partition(";")
        name, _, weight = parameter.strip().partition("=")
        try:
            weights[coding.strip()] = float(weight) if name.strip() == "q" else 1.0
        except ValueError:
            continue
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def encode_response(
    response: Response,
    *,
    headers: tuple[tuple[str, str], ...],
    date: bytes,
    accept_encoding: str,
    compression_threshold: int | None,
    closes: bool,
    without_body: bool,
) -> bytes:
    """Return an answer as it goes over the wire.

    :param headers: further headers.
    :param date: the Date header's value.
    :param accept_encoding: the request's header of that name.
    :param compression_threshold: size from which the body is compressed, if the client takes it.
    :param closes: whether the connection ends with it.
    :param without_body: whether it answers a HEAD.
    """
    body, coding = response.body, ""
    if compression_threshold is not None and len(body) >= compression_threshold:
        coding = "Vary: Accept-Encoding\r\n"
        if takes_gzip(accept_encoding):
            coding += "Content-Encoding: gzip\r\n"
            body = gzip.compress(body, compresslevel=1, mtime=0)
    head = _encode_head(
        response.status, response.content_type, coding, headers, closes, len(body), date
    )
    return head if without_body else head + body


@lru_cache(maxsize=256)
def _encode_head(
    status: int,
    content_type: str,
    coding: str,
    headers: tuple[tuple[str, str], ...],
    closes: bool,
    length: int,
    date: bytes,
) -> bytes:
    """Return an answer's head; within a second, most are the same."""
    close = "Connection: close\r\n" if closes else ""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Cache-Control: no-store\r\n{coding}{lines}"
        f"{close}Content-Length: {length}\r\nDate: "
    )
    return head.encode() + date + b"\r\n\r\n"
