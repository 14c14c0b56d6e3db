"""The engine's answers as bytes of HTTP: pure, and made in one piece for one ``send``."""

import gzip
from collections.abc import Iterable
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
    headers: Iterable[tuple[str, str]],
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
    body = response.body
    head = [
        f"HTTP/1.1 {response.status} {_PHRASES[response.status]}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        "Cache-Control: no-store\r\n"
    ]
    if compression_threshold is not None and len(body) >= compression_threshold:
        head.append("Vary: Accept-Encoding\r\n")
        if takes_gzip(accept_encoding):
            head.append("Content-Encoding: gzip\r\n")
            body = gzip.compress(body, compresslevel=1, mtime=0)
    head += [f"{name}: {value}\r\n" for name, value in headers]
    if closes:
        head.append("Connection: close\r\n")
    head.append(f"Content-Length: {len(body)}\r\nDate: ")
    return b"%b%b\r\n\r\n%b" % ("".join(head).encode(), date, b"" if without_body else body)
