"""The permessage-deflate extension (RFC 7692): its negotiation, and one message in or out.

Neither side takes over context from message to message, because then an idle connection keeps no
memory for it, and a broadcast is deflated once for all recipients. Frames, their RSV1 bit and
failures are the parser's; the caller decides which messages are compressed.
"""

import re
import zlib
from typing import NamedTuple

from socketio_server.exceptions import DecodeError

# --- Negotiation (sections 5 and 7.1) ---------------------------------------------------------

DEFLATE_ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
"""The ``Sec-WebSocket-Extensions`` header of a handshake that accepts the extension.

It limits no window: the client may use any, and must expect ours to be as large as 32 KiB, unless
it asked for a smaller one.
"""

MAX_WINDOW_BITS = 15
"""The largest window, 32 KiB, as the base-2 logarithm of its size (section 7.1.2)."""

_NAME = "permessage-deflate"
_SERVER_WINDOW = "server_max_window_bits"
_CLIENT_WINDOW = "client_max_window_bits"

_FLAGS = frozenset(["server_no_context_takeover", "client_no_context_takeover"])
_CLIENT_WINDOW_BITS = frozenset(["8", "9", "10", "11", "12", "13", "14", "15"])
_SERVER_WINDOW_BITS = _CLIENT_WINDOW_BITS - {"8"}  # zlib has no window of 8 bits

_BLANK = " \t"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_QUOTED = re.compile(r'=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?=[;,]|\Z)')
_MALFORMED = "\0"  # no character of a token


class Agreement(NamedTuple):
    """The parameters that a client and this server have agreed on.

    :param answer: the handshake's ``Sec-WebSocket-Extensions`` header.
    :param window_bits: how large a window the messages to this client may have.
    """

    answer: str
    window_bits: int


def agree_on_deflate(offers: str) -> Agreement | None:
    """Accept an offer of a ``Sec-WebSocket-Extensions`` header (section 7.1, RFC 6455 9.1).

    :param offers: the header's value; several values are joined by commas.
    :return: the agreement on the first acceptable offer, if there is one; malformed and unknown
        offers are skipped.
    """
    plain = _QUOTED.sub(_unquote, offers)
    if '"' in plain:  # a stray or unclosed quote leaves in doubt where an offer ends
        return None
    for offer in plain.split(","):
        agreement = _accept(offer)
        if agreement is not None:
            return agreement
    return None


def _unquote(match: re.Match[str]) -> str:
    """Replace a quoted value by the token in it, the only thing allowed there (RFC 6455 9.1)."""
    value = re.sub(r"\\(.)", r"\1", match[1])
    return "=" + (value if _TOKEN.fullmatch(value) else _MALFORMED)


def _accept(offer: str) -> Agreement | None:
    """Return the agreement on one offer; ``None`` if it can't be accepted."""
    name, *parameters = (part.strip(_BLANK) for part in offer.split(";"))
    if name != _NAME:
        return None
    seen: dict[str, str | None] = {}
    for parameter in parameters:
        key, equals, text = parameter.partition("=")
        key, value = key.rstrip(_BLANK), text.strip(_BLANK) if equals else None
        if key in seen or not _is_parameter(key, value):
            return None
        seen[key] = value
    bits = seen.get(_SERVER_WINDOW)
    if bits is None:
        return Agreement(DEFLATE_ANSWER, MAX_WINDOW_BITS)
    # The answer accepts a parameter by repeating it (section 7.1.2.1).
    return Agreement(f"{DEFLATE_ANSWER}; {_SERVER_WINDOW}={bits}", int(bits))


def _is_parameter(key: str, value: str | None) -> bool:
    """Return whether a parameter (sections 7.1.1 and 7.1.2) is valid and supported."""
    if key == _CLIENT_WINDOW:
        return value is None or value in _CLIENT_WINDOW_BITS
    if key == _SERVER_WINDOW:
        return value in _SERVER_WINDOW_BITS
    return key in _FLAGS and value is None


# --- Messages (section 7.2) -------------------------------------------------------------------

_TAIL = b"\x00\x00\xff\xff"  # the end of a flush; left out on the wire (section 7.2.1)

# The tail and an empty block with BFINAL set: if the stream does not reach its end with it, the
# message is truncated.
_END = _TAIL + b"\x03\x00"

# Window bits and memory level. Small ones deflate a message of this many bytes just as well, and
# are used because setting up the usual 256 KiB takes longer than deflating a short message.
_SMALL_SIZE = 4096
_SMALL = (12, 5)
_LARGE = (MAX_WINDOW_BITS, 8)

# Blocks with BFINAL set that one message may have: each costs a copy of all data behind it.
_MAX_FINAL_BLOCKS = 16


def deflate(data: bytes, *, window_bits: int = MAX_WINDOW_BITS) -> bytes:
    """Deflate a whole message (section 7.2.1).

    :param data: the message.
    :param window_bits: how large a window it may have, at least 9.
    :return: the deflated message, which inflates without any context.
    """
    bits, memory_level = _SMALL if len(data) <= _SMALL_SIZE else _LARGE
    compressor = zlib.compressobj(wbits=-min(bits, window_bits), memLevel=memory_level)
    deflated = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return deflated[: -len(_TAIL)]


class Inflater:
    """Inflates one message, frame by frame, and each frame in as many pieces as the caller wants
    (section 7.2.2).
    """

    __slots__ = ("_data", "_final_blocks", "_is_last", "_stream")

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._final_blocks = 0  # so far
        self._data = b""  # the frame's data that zlib has not read yet
        self._is_last = False

    def receive(self, data: bytes, *, is_last: bool) -> None:
        """Take the next frame's data, after that of the last one was inflated.

        :param is_last: whether the message ends with this frame.
        """
        self._data = data + _END if is_last else data
        self._is_last = is_last

    def inflate(self, max_length: int) -> bytes:
        """Inflate the next piece of the frame's data.

        :param max_length: the most bytes of the piece, at least 1.
        :return: the inflated data; if it is shorter, there is no more.
        :raises DecodeError: if the data is malformed or truncated.
        """
        try:
            inflated = self._stream.decompress(self._data, max_length)
            # Blocks may follow one with BFINAL set (section 7.2.1); for zlib it ends the stream.
            while self._stream.unused_data and len(inflated) < max_length:
                data = self._stream.unused_data
                self._restart()
                inflated += self._stream.decompress(data, max_length - len(inflated))
        except zlib.error as exc:
            raise DecodeError("malformed deflate data") from exc
        # What follows a block with BFINAL set is in `unused_data`; zlib would put it there again.
        self._data = b"" if self._stream.eof else self._stream.unconsumed_tail
        if self._is_last and not self._stream.eof and len(inflated) < max_length:
            raise DecodeError("deflate data is truncated")
        return inflated

    def _restart(self) -> None:
        """Begin a new stream after a block with BFINAL set."""
        self._final_blocks += 1
        if self._final_blocks > _MAX_FINAL_BLOCKS:
            raise DecodeError(f"more than {_MAX_FINAL_BLOCKS} deflate blocks with BFINAL set")
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
