"""JSON as Socket.IO packets carry it: text in, values out, and values in, text and attachments out.

Hides the JSON library from ``protocol.socketio`` and adds what that needs beyond one: bounded depth
and one exception on the way in; binary data taken out and foreign types converted on the way out.
Placeholders (https://github.com/socketio/socket.io-protocol, section Packet encoding) are made here
and found again in ``protocol.socketio``.

msgspec rather than the standard library's ``json``: for short messages about five times as fast,
the search for binary data included. Dates, times and durations are written as msgspec does it, in
ISO 8601 like Django's encoder, but with all six digits of the microseconds.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any
from uuid import UUID

import msgspec

from socketio_server.exceptions import DecodeError

MAX_DEPTH = 100
"""How deep arrays and objects of a packet may nest: no honest message comes near, and code that
recurses over what it got stays well below Python's recursion limit."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

# With "\\" out of the way every \u is an escape: a high half without a low one after it, and the
# other way round.
_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level down, and one up: -1
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def parse(text: str) -> Any:
    """Parse what a client sent.

    :param text: JSON.
    :return: its value, with U+FFFD for lone surrogates.
    :raises DecodeError: if it is malformed, nested too deep, holds too large a number or takes more
        memory than there is.
    """
    if len(text) > 2 * MAX_DEPTH and _is_too_deep(text):  # depth n takes 2n brackets
        raise DecodeError(f"JSON is nested deeper than {MAX_DEPTH} levels")
    if "\\u" in text and ("\\ud" in text or "\\uD" in text):
        text = _replace_lone_surrogates(text)
    try:
        return _decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError, MemoryError) as exc:
        raise DecodeError("malformed JSON") from exc


def _replace_lone_surrogates(text: str) -> str:
    r"""Replace what msgspec refuses in JSON that JavaScript wrote.

    JavaScript's strings may hold half a character, and its ``JSON.stringify`` writes one as an
    escape (``"\ud800"``), which is no Unicode text.
    """
    if "\0" in text:  # never valid in JSON, so it can stand in for something below
        return text
    return _LONE_SURROGATE.sub(r"\\ufffd", text.replace(r"\\", "\0")).replace("\0", r"\\")


def _is_too_deep(text: str) -> bool:
    """Tell whether arrays and objects nest deeper than allowed, before any of them is made.

    The answer is meaningless for malformed JSON, which fails to parse.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    data = text.encode("utf-8", "surrogatepass")
    if b'"' in data:  # strings, which may hold brackets, are every other part
        data = b"".join(data.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    steps = memoryview(data.translate(_STEPS, _NO_BRACKETS)).cast("b")
    return max(accumulate(steps), default=0) > MAX_DEPTH


# What msgspec writes as we want it, if it is exactly of this type.
_SCALARS = frozenset(
    [str, int, float, bool, type(None), datetime, date, time, timedelta, Decimal, UUID]
)
_BINARY = (bytes, bytearray, memoryview)
_KEPT = (*_BINARY, datetime, date, time, timedelta, Decimal, UUID)

# Subclasses like Django's SafeString, whose own __str__ gives a SafeString again.
_EXACT: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
_CONSTANT_KEYS = {None: "null", False: "false", True: "true"}


class Dumper:
    """Writes JSON for what applications send; ``protocol.socketio.Encoder`` says what that may be.

    :param default: called with an object of a foreign type; returns what to write instead or raises
        ``TypeError``. ``None``: there are no others than msgspec knows.
    """

    __slots__ = ("_default",)

    def __init__(self, default: Callable[[Any], Any] | None) -> None:
        self._default = default

    def dump(self, values: tuple[Any, ...]) -> tuple[bytes, tuple[bytes, ...]]:
        """Write an array: at once if msgspec takes it as it stands, as it nearly always does.

        :param values: its items.
        :return: the JSON, and the binary data that placeholders in it stand for.
        :raises TypeError: if something can't be encoded, or is circular or too deep.
        """
        try:
            if _is_native(values):
                return _encode(values), ()
        except (TypeError, UnicodeEncodeError, RecursionError):
            pass  # unusual keys, lone surrogates, or what fails below with a better message
        return self.dump_foreign(values)

    def dump_foreign(self, value: Any) -> tuple[bytes, tuple[bytes, ...]]:
        """Write any value, converted first; the rest is as for :meth:`dump`."""
        attachments: list[bytes] = []
        try:
            return _encode(self._convert(value, attachments)), tuple(attachments)
        except RecursionError as exc:
            raise TypeError("data is circular or nested too deep to be encoded") from exc
        except ValueError as exc:
            raise TypeError(f"data can't be encoded: {exc}") from exc

    def _convert(self, value: Any, attachments: list[bytes]) -> Any:
        """Return a copy that msgspec takes as it stands, with placeholders for binary data."""
        if isinstance(value, dict):
            return {_to_key(k): self._convert(v, attachments) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._convert(item, attachments) for item in value]
        if isinstance(value, _BINARY):
            attachments.append(bytes(value))
            return {"_placeholder": True, "num": len(attachments) - 1}
        if type(value) is str:
            return _to_text(value)
        if type(value) in _SCALARS:
            return value
        # What comes back is of builtin types, but may hold all of the above.
        builtin = msgspec.to_builtins(value, builtin_types=_KEPT, enc_hook=self._to_native)
        return self._convert(builtin, attachments)

    def _to_native(self, value: Any) -> Any:
        """Return what stands for an object that msgspec does not know (its ``enc_hook``)."""
        for base, exact in _EXACT:
            if isinstance(value, base):
                return exact(value)
        if self._default is None:
            raise TypeError(f"an object of type {type(value).__name__} can't be encoded")
        return self._default(value)


def _is_native(values: Iterable[Any]) -> bool:
    """Tell whether msgspec writes all of this as we want it: no binary data, no foreign types.

    msgspec would write binary data as base64 by itself, so it must be found before.
    """
    for value in values:
        cls = type(value)
        if cls in _SCALARS:
            continue
        if cls is dict:
            if not _is_native(value.values()):
                return False
        elif cls is list or cls is tuple:
            if not _is_native(value):
                return False
        else:
            return False
    return True


def _to_key(key: Any) -> Any:
    """Return an object's key as ``json`` writes it, where msgspec alone would not."""
    if isinstance(key, str):
        return _to_text(str.__str__(key))
    if key is None or isinstance(key, bool):
        return _CONSTANT_KEYS[key]
    return int(key) if isinstance(key, int) else key


def _to_text(text: str) -> str:
    """Return a string that UTF-8 can carry, with U+FFFD for lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
