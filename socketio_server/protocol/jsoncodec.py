"""JSON as Socket.IO packets carry it: text in, values out, and values in, text and attachments out.

Hides the JSON library from ``protocol.socketio``. Decoding adds a limit of the depth and raises one
exception for all faults; encoding takes binary data out and converts foreign types. Placeholders
(https://github.com/socketio/socket.io-protocol, section Packet encoding) are made here and resolved
in ``protocol.socketio``.

The library is msgspec, because it is several times as fast as the standard library's ``json``, even
with the search for binary data. It writes dates, times and durations in ISO 8601 like Django's
encoder, but with all six digits of the microseconds.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate
from math import isfinite, isinf
from typing import Any
from uuid import UUID

import msgspec

from socketio_server.exceptions import DecodeError

MAX_DEPTH = 100
"""How deep arrays and objects of a packet may nest: deeper than any honest message, and far below
Python's recursion limit, because handlers may recurse over their arguments."""

# What JSON takes once it is decoded, in bytes, beside one for each of its characters.
_LIST_SIZE, _DICT_SIZE = 88, 153  # of a list of up to four items, and a dict but for its members
_ITEM_SIZE, _MEMBER_SIZE = 11, 31  # of another item's place in a list, and what a dict's takes more
_NUMBER_SIZE = 28
_TEXT_SIZE, _WIDE_TEXT_SIZE = 47, 68  # of a string, the longer if its characters take four bytes

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

# A high surrogate without a low one after it, or a low one without a high one before it. Escaped
# backslashes must be removed first: only then is every \u an escape.
_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)

# msgspec takes very long to round some numbers near the ends of the range, Python does not.
# Up to so many numbers are not worth the search for three-digit exponents.
_FEW = 30
_EXPONENTS = bytes.maketrans(b"E123456789", b"e000000000")


def _to_float(text: str) -> float:
    """Return a number as msgspec does, which refuses one out of range."""
    number = float(text)
    if isinf(number):
        raise ValueError("number out of range")
    return number


_decode_slow_numbers = msgspec.json.Decoder(float_hook=_to_float).decode

_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level down, and one up: -1
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def parse(text: str) -> Any:
    """Parse a client's JSON.

    :return: its value, with U+FFFD for lone surrogates.
    :raises DecodeError: if the text is malformed, nested too deep, holds too large a number or
        takes more memory than there is.
    """
    decode = _decode
    if len(text) > 2 * MAX_DEPTH:  # depth n takes 2n brackets
        if _is_too_deep(text):
            raise DecodeError(f"JSON is nested deeper than {MAX_DEPTH} levels")
        if _may_have_slow_numbers(text):
            decode = _decode_slow_numbers
    if "\\" in text and ("\\ud" in text or "\\uD" in text):
        text = _replace_lone_surrogates(text)
    try:
        # msgspec has a str with other characters encoded, and Python keeps those bytes with it.
        return decode(text if text.isascii() else text.encode())
    except (msgspec.DecodeError, ValueError, RecursionError, MemoryError) as exc:
        raise DecodeError("malformed JSON") from exc


def estimate_size(text: str | bytes) -> int:
    """Estimate how many bytes JSON takes once it is decoded, rather too many than too few.

    Punctuation within strings only adds to it.
    """
    if isinstance(text, str):
        lists, dicts, commas = text.count("["), text.count("{"), text.count(",")
        colons, strings = text.count(":"), text.count('"') // 2
        is_narrow = text.isascii() and "\\u" not in text
    else:
        lists, dicts, commas = text.count(b"["), text.count(b"{"), text.count(b",")
        colons, strings = text.count(b":"), text.count(b'"') // 2
        is_narrow = text.isascii() and b"\\u" not in text
    size = len(text) + _TEXT_SIZE * strings
    if not is_narrow:  # some character, or its escape, may make each of a string take four bytes
        size = 4 * len(text) + _WIDE_TEXT_SIZE * strings
    numbers = max(0, commas + 1 - (strings - colons))  # no strings, but for a dict's keys
    return (
        size
        + _LIST_SIZE * lists
        + _DICT_SIZE * dicts
        + _ITEM_SIZE * commas
        + _MEMBER_SIZE * colons
        + _NUMBER_SIZE * numbers
    )


def _replace_lone_surrogates(text: str) -> str:
    r"""Replace the escapes of lone surrogates, which msgspec refuses.

    JavaScript's strings may hold a lone surrogate, which ``JSON.stringify`` writes as an escape
    (``"\ud800"``), but Unicode text may not.
    """
    if "\0" in text:  # never valid in JSON; below it stands for an escaped backslash
        return text
    return _LONE_SURROGATE.sub(r"\\ufffd", text.replace(r"\\", "\0")).replace("\0", r"\\")


def _may_have_slow_numbers(text: str) -> bool:
    """Return whether there may be many numbers that take msgspec very long."""
    if text.count(",") <= _FEW or text.count("e") + text.count("E") <= _FEW:
        return False
    data = text.encode("utf-8", "surrogatepass")
    return b"e000" in data.translate(_EXPONENTS, b"+-")


def _is_too_deep(text: str) -> bool:
    """Return whether arrays and objects nest deeper than allowed, without decoding them.

    Malformed JSON gives any answer, because it fails to parse.
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    data = text.encode("utf-8", "surrogatepass")
    if b'"' in data:  # drop the strings, which may hold brackets: every other part
        data = b"".join(data.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    steps = memoryview(data.translate(_STEPS, _NO_BRACKETS)).cast("b")
    return max(accumulate(steps), default=0) > MAX_DEPTH


# Types that msgspec encodes as we want, but not their subclasses.
_SCALARS = frozenset(
    [str, int, float, bool, type(None), datetime, date, time, timedelta, Decimal, UUID]
)
_UNCHANGED = _SCALARS - {str}
_BINARY = (bytes, bytearray, memoryview)
_KEPT = (*_BINARY, datetime, date, time, timedelta, Decimal, UUID)

# For subclasses like Django's SafeString, whose own __str__ returns a SafeString again.
_EXACT: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
_PLACEHOLDER = "_placeholder"
_CONSTANT_KEYS = {None: "null", False: "false", True: "true"}


class _Binary:
    """What is found of binary data while a message is converted."""

    __slots__ = ("attachments", "has_lookalike")

    def __init__(self) -> None:
        self.attachments: list[bytes] = []
        self.has_lookalike = False
        """Whether the message has a dict of its own that clients would take for a placeholder."""


class Dumper:
    """Encodes an application's values as JSON; ``protocol.socketio.Encoder`` lists their types.

    :param default: called with an object of a foreign type; returns its replacement or raises
        ``TypeError``. ``None`` allows only types that msgspec knows.
    """

    __slots__ = ("_default",)

    def __init__(self, default: Callable[[Any], Any] | None) -> None:
        self._default = default

    def dump(self, values: tuple[Any, ...]) -> tuple[bytes, tuple[bytes, ...]]:
        """Encode an array: without converting its items, if msgspec can take all of them.

        :param values: its items.
        :return: the JSON, and the binary data that placeholders in it stand for.
        :raises TypeError: if a value can't be encoded, or is circular or too deep.
        """
        try:
            if _is_native(values):
                return _encode(values), ()
        except (TypeError, UnicodeEncodeError, RecursionError):
            pass  # unusual keys or lone surrogates; other faults get a better message below
        return self.dump_foreign(values)

    def dump_foreign(self, value: Any) -> tuple[bytes, tuple[bytes, ...]]:
        """Convert any value, then encode it; the rest is as for :meth:`dump`."""
        binary = _Binary()
        try:
            json = _encode(self._convert(value, binary))
        except RecursionError as exc:
            raise TypeError("data is circular or nested too deep to be encoded") from exc
        except ValueError as exc:
            raise TypeError(f"data can't be encoded: {exc}") from exc
        if binary.attachments and binary.has_lookalike:
            raise TypeError(
                f"a dict with {_PLACEHOLDER!r}: True can't go with binary data: clients would put "
                "an attachment in its place"
            )
        return json, tuple(binary.attachments)

    def _convert(self, value: Any, binary: "_Binary") -> Any:
        """Return what msgspec can encode, with placeholders for binary data; the value itself, if
        that is it already.
        """
        cls = type(value)
        if cls in _UNCHANGED:
            return value
        if cls is dict or isinstance(value, dict):
            pairs = {self._to_key(k): self._convert(v, binary) for k, v in value.items()}
            if pairs.get(_PLACEHOLDER) is True:
                binary.has_lookalike = True
            return pairs
        if cls is list or cls is tuple:
            copied: list[Any] | None = None
            for index, item in enumerate(value):
                if type(item) not in _UNCHANGED:
                    converted = self._convert(item, binary)
                    if converted is not item:
                        copied = copied or [*value]
                        copied[index] = converted
            return copied or value
        if cls is str:
            return value if value.isascii() else _to_text(value)
        if isinstance(value, (list, tuple)):
            return self._convert([*value], binary)
        if isinstance(value, _BINARY):
            binary.attachments.append(bytes(value))
            return {_PLACEHOLDER: True, "num": len(binary.attachments) - 1}
        # The result is of a builtin type, but may hold values of all the types above.
        builtin = msgspec.to_builtins(value, builtin_types=_KEPT, enc_hook=self._to_native)
        return self._convert(builtin, binary)

    def _to_key(self, key: Any) -> Any:
        """Return an object's key in a form that msgspec encodes as ``json`` would."""
        if type(key) is str and key.isascii():
            return key
        if isinstance(key, str):
            return _to_text(str.__str__(key))
        if key is None or isinstance(key, bool):
            return _CONSTANT_KEYS[key]
        if isinstance(key, _BINARY):
            raise TypeError(f"a key can't be binary data: {key!r}; decode it")
        builtin = msgspec.to_builtins(key, enc_hook=self._to_native)
        return _to_text(builtin) if isinstance(builtin, str) else builtin

    def _to_native(self, value: Any) -> Any:
        """Return a replacement for an object that msgspec does not know (its ``enc_hook``)."""
        for base, exact in _EXACT:
            if isinstance(value, base):
                return exact(value)
        try:
            if self._default is None:
                raise TypeError
            return self._default(value)
        except TypeError as exc:
            raise TypeError(
                f"an object of type {type(value).__name__} can't be encoded: send its data as a "
                "dict, a list, text, a number or bytes"
            ) from exc


def _is_native(values: Iterable[Any]) -> bool:
    """Return whether msgspec encodes all values as we want: no binary data, no foreign types.

    Binary data, keys included, must be found beforehand, because msgspec would encode it as base64.
    """
    for value in values:
        cls = type(value)
        if cls in _SCALARS:
            continue
        if cls is dict:
            for key, item in value.items():
                if type(key) is bytes:
                    return False
                if type(item) not in _SCALARS and not _is_native((item,)):
                    return False
        elif cls is list or cls is tuple:
            if not _is_native(value):
                return False
        else:
            return False
    return True


_SAME = frozenset([str, int, bool, type(None)])
"""Types whose values JSON does not change."""

_PLAIN_DEPTH = 16
"""Levels that are searched for other values."""


def dump_plain(values: tuple[Any, ...]) -> bytes | None:
    """Encode an array, if JSON carries all its items as they are, but for tuples, which become
    lists.

    :return: the JSON; ``None`` also for some items that it does carry so: they are unusual, and not
        worth a search.
    """
    try:
        return _encode(values) if _is_plain(values, _PLAIN_DEPTH) else None
    except UnicodeEncodeError:  # a lone surrogate
        return None


def _is_plain(values: Iterable[Any], depth: int) -> bool:
    """Return whether JSON carries all values as they are, if their strings have no lone surrogates.

    :param depth: how many levels may follow.
    """
    for value in values:
        cls = type(value)
        if cls in _SAME:
            continue
        if cls is dict:
            for key, item in value.items():
                if type(key) is not str:
                    return False
                if type(item) not in _SAME and not (depth and _is_plain((item,), depth - 1)):
                    return False
        elif cls is list or cls is tuple:
            if not depth or not _is_plain(value, depth - 1):
                return False
        elif cls is not float or not isfinite(value):
            return False
    return True


def _to_text(text: str) -> str:
    """Return a string that UTF-8 can carry, with U+FFFD for lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
