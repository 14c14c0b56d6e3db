"""Content codings: choosing one to compress an answer (RFC 9110 sections 8.4.1 and 12.5.3)."""

import gzip
from collections.abc import Callable
from functools import partial
from typing import NamedTuple


class Coding(NamedTuple):
    """A content coding.

    :param name: its name in ``Accept-Encoding`` and ``Content-Encoding``, in lower case.
    :param compress: returns a body in this coding.
    """

    name: str
    compress: Callable[[bytes], bytes]


CODINGS = (Coding("gzip", partial(gzip.compress, compresslevel=1, mtime=0)),)
"""The codings that the server knows, the preferred ones first. To add a coding, add it here."""


_MAX_HEADER = 1000  # characters


def choose_coding(accept_encoding: str) -> Coding | None:
    """Return the coding for an answer; ``None`` if the client accepts none that the server knows.

    :param accept_encoding: the request's header of that name; one that takes long to read accepts
        none.
    """
    if len(accept_encoding) > _MAX_HEADER:
        return None
    weights = _weights_of(accept_encoding)
    for coding in CODINGS:
        if weights.get(coding.name, weights.get("*", 0.0)) > 0:
            return coding
    return None


def _weights_of(accept_encoding: str) -> dict[str, float]:
    """Return the weight of each coding in a client's header (section 12.4.2)."""
    weights: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        name, _, parameter = item.partition(";")
        key, _, weight = parameter.strip().partition("=")
        try:
            weights[name.strip()] = float(weight) if key.strip() == "q" else 1.0
        except ValueError:
            continue
    return weights
