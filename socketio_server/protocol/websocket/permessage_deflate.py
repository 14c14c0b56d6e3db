"""The permessage-deflate extension (RFC 7692): its negotiation, and one message in or out.

Neither side takes over context from message to message, because then an idle connection keeps no
memory for it, and a broadcast is deflated once for all recipients. Frames, their RSV1 bit and
failures are the parser's; the caller decides which messages are compressed.
"""

import re
import zlib

from socketio_server.exceptions import DecodeError

# --- Negotiation (sections 5 and 7.1) ---------------------------------------------------------

DEFLATE_ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
"""The ``Sec-WebSocket-Extensions`` header of a handshake that accepts the extension.

It limits no window of the client.
"""

WINDOW_BITS = 12
"""The window of all that is sent, 4 KiB, as the base-2 logarithm of its size (section 7.1.2).

There is one for all clients, because a broadcast would have to be deflated for each.
"""

_NAME = "permessage-deflate"
_SERVER_WINDOW = "server_max_window_bits"
_CLIENT_WINDOW = "client_max_window_bits"

_FLAGS = frozenset(["server_no_context_takeover", "client_no_context_takeover"])
_CLIENT_WINDOW_BITS = frozenset(["8", "9", "10", "11", "12", "13", "14", "15"])
_SERVER_WINDOW_BITS = frozenset(["12", "13", "14", "15"])  # in which our window fits

_MAX_OFFERS = 1000  # characters

_BLANK = " \t"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_QUOTED = re.compile(r'=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?=[;,]|\Z)')
_MALFORMED = "\0"  # no character of a token


def agree_on_deflate(offers: str) -> str | None:
    """Accept an offer of a ``Sec-WebSocket-Extensions`` header (section 7.1, RFC 6455 9.1).

    :param offers: the header's value; several values are joined by commas.
    :return: the answer's header, for the first acceptable offer, if there is one; malformed and
        unknown offers are skipped, and all of them if they take long to read.
    """
    if len(offers) > _MAX_OFFERS:
        return None
    plain = _QUOTED.sub(_unquote, offers)
    if '"' in plain:  # a stray or unclosed quote leaves in doubt where an offer ends
        return None
    for offer in plain.split(","):
        answer = _accept(offer)
        if answer is not None:
            return answer
    return None


def _unquote(match: re.Match[str]) -> str:
    """Replace a quoted value by the token in it, the only thing allowed there (RFC 6455 9.1)."""
    value = re.sub(r"\\(.)", r"\1", match[1])
    return "=" + (value if _TOKEN.fullmatch(value) else _MALFORMED)


def _accept(offer: str) -> str | None:
    """Return the answer to one offer; ``None`` if it can't be accepted."""
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
        return DEFLATE_ANSWER
    # The answer accepts a parameter by repeating it (section 7.1.2.1).
    return f"{DEFLATE_ANSWER}; {_SERVER_WINDOW}={bits}"


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

# A message of up to so many bytes gets less memory, because setting up the usual amount takes
# longer than deflating a short message.
_SMALL_SIZE = 4096
_SMALL_MEMORY, _USUAL_MEMORY = 5, 8

# A message of more bytes is deflated at zlib's fastest level, because other clients wait meanwhile:
# at the usual one, a few letters in random order take ten times as long as most text.
_FAST_SIZE = 32_768
_USUAL_LEVEL, _FAST_LEVEL = 6, 1

# Blocks with BFINAL set that one message may have: each costs a copy of the data behind it.
_MAX_FINAL_BLOCKS = 16

_INFLATER_SIZE = 40_000  # bytes that zlib allocates to inflate, the window among them

READ_COST = 8
"""Inflated bytes that take as long as one that is read, at worst: a block may be empty."""


def deflate(data: bytes) -> bytes:
    """Deflate a whole message (section 7.2.1).

    :param data: the message.
    :return: the deflated message, which inflates without any context.
    """
    level = _USUAL_LEVEL if len(data) <= _FAST_SIZE else _FAST_LEVEL
    memory = _SMALL_MEMORY if len(data) <= _SMALL_SIZE else _USUAL_MEMORY
    compressor = zlib.compressobj(level, wbits=-WINDOW_BITS, memLevel=memory)
    deflated = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return deflated[: -len(_TAIL)]


class Inflater:
    """Inflates one message, frame by frame, and each frame in as many pieces as the caller wants
    (section 7.2.2).
    """

    __slots__ = ("_data", "_final_blocks", "_is_last", "_stream", "is_done")

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._final_blocks = 0  # so far
        self._data = b""  # the frame's data that zlib has not read yet
        self._is_last = False
        self.is_done = True
        """Whether all data of the frame was inflated."""

    @property
    def unread(self) -> int:
        """The bytes of the frame's data that are still to be read."""
        return len(self._data)

    @property
    def held(self) -> int:
        """The bytes of memory that inflating takes, without what was inflated."""
        return _INFLATER_SIZE + len(self._data)

    def receive(self, data: bytes, *, is_last: bool) -> None:
        """Take the next frame's data, after that of the last one was inflated.

        :param is_last: whether the message ends with this frame.
        """
        self._data = data + _END if is_last else data
        self._is_last = is_last

    def inflate(self, max_length: int, max_read: int) -> bytes:
        """Inflate the next piece of the frame's data.

        :param max_length: the most bytes of the piece, at least 1.
        :param max_read: the most bytes of the data that are read for it, at least 1.
        :return: the inflated data; ``is_done`` tells whether there is more.
        :raises DecodeError: if the data is malformed or truncated.
        """
        data, later = self._data[:max_read], self._data[max_read:]
        inflated = b""
        try:
            while True:
                # Blocks may follow one with BFINAL set (section 7.2.1); for zlib it ends the
                # stream.
                if data and self._stream.eof:
                    self._restart()
                inflated += self._stream.decompress(data, max_length - len(inflated))
                if not self._stream.eof:
                    data = self._stream.unconsumed_tail
                    break
                data = self._stream.unused_data
                if not data or len(inflated) == max_length:
                    break
        except zlib.error as exc:
            raise DecodeError("malformed deflate data") from exc
        self._data = data + later
        self.is_done = not later and len(inflated) < max_length
        if self.is_done and self._is_last and not self._stream.eof:
            raise DecodeError("deflate data is truncated")
        return inflated

    def _restart(self) -> None:
        """Begin a new stream after a block with BFINAL set."""
        self._final_blocks += 1
        if self._final_blocks > _MAX_FINAL_BLOCKS:
            raise DecodeError(f"more than {_MAX_FINAL_BLOCKS} deflate blocks with BFINAL set")
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
