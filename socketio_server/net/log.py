"""How a client's text is logged, and an exception told from another."""

from collections.abc import Iterator
from typing import Any

MAX_LOGGED = 200
"""Characters of a client's text that are logged."""


def show(text: str) -> str:
    """Return a client's text in quotes, escaped and not too long."""
    return repr(text[:MAX_LOGGED])


def place_of(error: BaseException) -> tuple[str, int] | None:
    """Return the file and line in which an exception was raised."""
    trace = error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno


def beginning_of(value: Any) -> str:
    """Return ``str(value)``, or a little more of its beginning than is logged.

    All of a large message would take a quarter of a second, and a hundred times its memory.

    :param value: what a client has sent, decoded.
    """
    if isinstance(value, str):
        return value
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > MAX_LOGGED:
            break
    return text


def _pieces(value: Any) -> Iterator[str]:
    """Yield the parts of a decoded value's ``repr``; of long text only the beginning."""
    if isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield ", " if number else ""
            yield from _pieces(key)
            yield ": "
            yield from _pieces(item)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(item)
        yield "]"
    elif isinstance(value, (str, bytes)):
        yield repr(value[: MAX_LOGGED + 1])
    else:
        yield repr(value)
