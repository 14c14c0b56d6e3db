"""RFC 6455 over real sockets, with compression (RFC 7692) and without: a case for each kind of rule
that the Autobahn test suite looks at. ``tests.protocol.test_websocket`` has all of them.

The suite itself is run by hand, see ``tests.autobahn``; its echo server, which sends every message
back as it came, is used here as well. What the standard leaves to Engine.IO, and the limits, are in
``test_websocket`` and ``test_deflate``.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest

from tests.autobahn.process import echo_server
from tests.support.server import Address
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Closed,
    Frame,
    WebSocket,
    frame,
    frame_head,
)

NORMAL, GOING_AWAY, PROTOCOL_ERROR, INVALID_DATA = 1000, 1001, 1002, 1007

RSV1 = 0b100
"""The reserved bit of a compressed message's first frame (RFC 7692 section 6)."""

TAIL = b"\0\0\xff\xff"

RESERVED_OPCODE = 0x3
"""RFC 6455 section 5.2."""


class Heard(NamedTuple):
    """What came from the server: frames, and how it closed."""

    frames: list[Frame]
    code: int | None


class Echo(WebSocket):
    """A WebSocket of the echo server's.

    :param offer: what is offered of compression.
    """

    def __init__(self, address: Address, offer: str = "permessage-deflate") -> None:
        super().__init__(address, "/", {"Sec-WebSocket-Extensions": offer})
        self.answer = self.response.headers.get("sec-websocket-extensions")
        """What the server said to the offer."""

    def hear(self) -> Heard:
        """Return all that comes until the server closes, messages inflated."""
        frames = []
        try:
            while True:
                frames.append(self._inflate(self.receive()))
        except Closed as closed:
            assert self.read_to_the_end() == b""
            return Heard(frames, closed.code)

    def converse(self, chunks: Iterable[bytes], *, close: int | None = NORMAL) -> Heard:
        """Send bytes, and close; return what came.

        :param chunks: what to send, each by itself: the server may close in between.
        :param close: the code to close with; ``None`` leaves it to the server to close.
        """
        with suppress(ConnectionError):
            for chunk in chunks:
                self.send(chunk)
            if close is not None:
                self.send(closing(close))
        return self.hear()

    def _inflate(self, received: Frame) -> Frame:
        """Check that messages are compressed where that was agreed on; return them inflated."""
        is_message = received.opcode in (TEXT, BINARY)
        assert received.reserved == (RSV1 if is_message and self.answer is not None else 0)
        if not received.reserved:
            return received
        return Frame(received.opcode, inflate(received.data))


def inflate(data: bytes) -> bytes:
    """Return a message of its compressed form, which needs no other (RFC 7692 section 7.2.2)."""
    return zlib.decompressobj(wbits=-15).decompress(data + TAIL)


def deflate(data: bytes, window_bits: int = 15) -> bytes:
    """Return a message's compressed form (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-window_bits)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def closing(code: int, reason: bytes = b"") -> bytes:
    """Return a client's close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


def fragments(opcode: int, parts: Sequence[bytes]) -> list[bytes]:
    """Return a message in so many frames."""
    last = len(parts) - 1
    return [
        frame(CONTINUATION if number else opcode, part, fin=number == last)
        for number, part in enumerate(parts)
    ]


def pieces(data: bytes, size: int) -> list[bytes]:
    """Return data in pieces of a size."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def whole(frames: Iterable[bytes]) -> list[bytes]:
    """Return frames as they go out in one go."""
    return [b"".join(frames)]


def compressible(size: int) -> bytes:
    """Return so many bytes of text that can be compressed, but not to nothing."""
    return b" ".join(b"%d" % (number * number) for number in range(size // 4))[:size].ljust(size)


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[bool, Address]]:
    """The echo servers: one without compression, and one with it."""
    with ExitStack() as stack:
        yield {
            deflates: stack.enter_context(echo_server(deflates=deflates))
            for deflates in (False, True)
        }


@pytest.fixture
def plain(addresses: dict[bool, Address]) -> Iterator[Echo]:
    """A WebSocket without compression."""
    echo = Echo(addresses[False])
    assert echo.answer is None
    yield echo
    echo.cut()


@pytest.fixture
def compressing(addresses: dict[bool, Address]) -> Iterator[Echo]:
    """A WebSocket with compression."""
    echo = Echo(addresses[True])
    assert echo.answer is not None
    yield echo
    echo.cut()


@pytest.fixture(params=["plain", "compressing"])
def echo(request: pytest.FixtureRequest) -> Echo:
    """A WebSocket without compression, and one with it: it need not be used."""
    echo: Echo = request.getfixturevalue(request.param)
    return echo


class TestFraming:
    """Section 5.2; the suite's sections 1 and 9."""

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    @pytest.mark.parametrize("size", [0, 126, 65_536, 1_000_000])
    def test_messages_of_every_length_come_back(self, echo: Echo, opcode: int, size: int) -> None:
        data = compressible(size)
        assert echo.converse([frame(opcode, data)]) == ([Frame(opcode, data)], NORMAL)

    def test_many_messages_come_back_in_order(self, echo: Echo) -> None:
        messages = [b"%d %b" % (number, compressible(256)) for number in range(200)]
        heard = echo.converse(whole(frame(TEXT, message) for message in messages))
        assert heard == ([Frame(TEXT, message) for message in messages], NORMAL)

    def test_a_frame_that_is_not_masked_fails(self, echo: Echo) -> None:
        """Section 5.1."""
        assert echo.converse([frame(TEXT, masked=False)], close=None) == ([], PROTOCOL_ERROR)

    def test_a_length_that_is_not_a_proper_one_fails_at_once(self, echo: Echo) -> None:
        head = struct.pack("!BBH", 0x81, 0xFE, 125)  # in 16 bits
        assert echo.converse([head + b"mask"], close=None) == ([], PROTOCOL_ERROR)


class TestPings:
    """Sections 5.5.2 and 5.5.3; the suite's section 2."""

    @pytest.mark.parametrize("data", [b"", b"\xfe" * 125])
    def test_a_ping_is_answered_with_its_data(self, echo: Echo, data: bytes) -> None:
        assert echo.converse([frame(PING, data)]) == ([Frame(PONG, data)], NORMAL)

    def test_a_ping_that_is_too_long_fails_at_once(self, echo: Echo) -> None:
        """Section 5.5."""
        data = frame_head(0x80 | PING, 126) + b"mask"
        assert echo.converse([data], close=None) == ([], PROTOCOL_ERROR)

    def test_a_pong_that_nobody_asked_for_is_ignored(self, echo: Echo) -> None:
        heard = echo.converse([frame(PONG, b"unasked"), frame(PING, "asked")])
        assert heard == ([Frame(PONG, b"asked")], NORMAL)


class TestReservedBits:
    """Section 5.2; the suite's section 3."""

    def test_fail_after_all_that_came_before(self, plain: Echo) -> None:
        frames = [frame(TEXT, "before"), frame(TEXT, reserved=4), frame(PING)]
        heard = plain.converse(whole(frames), close=None)
        assert heard == ([Frame(TEXT, b"before")], PROTOCOL_ERROR)

    def test_fail_with_compression_but_for_its_own(self, compressing: Echo) -> None:
        frames = [frame(TEXT, "before"), frame(TEXT, b"\0", reserved=2)]
        heard = compressing.converse(frames, close=None)
        assert heard == ([Frame(TEXT, b"before")], PROTOCOL_ERROR)

    def test_of_compression_fail_on_continuations(self, compressing: Echo) -> None:
        first, last = pieces(deflate(b"Hello"), 4)
        frames = [
            frame(TEXT, first, fin=False, reserved=RSV1),
            frame(CONTINUATION, last, reserved=RSV1),
        ]
        assert compressing.converse(frames, close=None) == ([], PROTOCOL_ERROR)


class TestOpcodes:
    """Section 5.2; the suite's section 4."""

    def test_that_are_reserved_fail_after_all_that_came_before(self, echo: Echo) -> None:
        frames = [frame(TEXT, "before"), frame(RESERVED_OPCODE), frame(PING)]
        heard = echo.converse(whole(frames), close=None)
        assert heard == ([Frame(TEXT, b"before")], PROTOCOL_ERROR)


class TestFragmentation:
    """Section 5.4; the suite's sections 5 and 10."""

    def test_control_frames_may_come_in_between(self, echo: Echo) -> None:
        one, two, three = fragments(TEXT, [b"one ", b"two ", b"three"])
        frames = [one, frame(PING, "1"), two, frame(PONG, "?"), frame(PING, "2"), three]
        received = [Frame(PONG, b"1"), Frame(PONG, b"2"), Frame(TEXT, b"one two three")]
        heard = echo.converse(pieces(b"".join([*frames, frame(PING, "3")]), 1))
        assert heard == ([*received, Frame(PONG, b"3")], NORMAL)

    def test_a_ping_in_between_is_answered_before_the_message_is_there(self, echo: Echo) -> None:
        one, two = fragments(TEXT, [b"one ", b"two"])
        echo.send(one + frame(PING, "in between"))
        assert echo.receive() == Frame(PONG, b"in between")
        assert echo.converse([two]) == ([Frame(TEXT, b"one two")], NORMAL)

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_a_large_message_may_come_in_many_fragments(self, echo: Echo, opcode: int) -> None:
        data = compressible(200_000)
        heard = echo.converse(whole(fragments(opcode, pieces(data, 1300))))
        assert heard == ([Frame(opcode, data)], NORMAL)

    def test_a_control_frame_in_fragments_fails(self, echo: Echo) -> None:
        """Section 5.5."""
        heard = echo.converse(whole(fragments(PING, [b"", b""])), close=None)
        assert heard == ([], PROTOCOL_ERROR)

    def test_a_continuation_of_nothing_fails(self, echo: Echo) -> None:
        frames = [frame(TEXT, "x"), frame(CONTINUATION, "of nothing"), frame(TEXT, "after")]
        heard = echo.converse(whole(frames), close=None)
        assert heard == ([Frame(TEXT, b"x")], PROTOCOL_ERROR)

    def test_a_message_within_a_message_fails(self, echo: Echo) -> None:
        frames = [frame(TEXT, "one", fin=False), frame(BINARY, "two")]
        assert echo.converse(whole(frames), close=None) == ([], PROTOCOL_ERROR)


VALID = "a\u00e9\u03ba\u1f79\u65e5\u672c\U0001f600".encode()
"""Section 8.1, RFC 3629: characters of every length."""

SURROGATE = b"\xed\xa0\x80"
"""Text that must be refused, as soon as its last byte is there at the latest."""


class TestUTF8:
    """Section 8.1; the suite's section 6."""

    def test_valid_text_may_be_cut_anywhere(self, echo: Echo) -> None:
        frames = fragments(TEXT, [b"", *pieces(VALID, 1), b""])
        assert echo.converse(whole(frames)) == ([Frame(TEXT, VALID)], NORMAL)

    def test_invalid_text_fails(self, echo: Echo) -> None:
        frames = [frame(TEXT, b"before"), frame(TEXT, b"fine " + SURROGATE + b" fine"), frame(PING)]
        heard = echo.converse(whole(frames), close=None)
        assert heard == ([Frame(TEXT, b"before")], INVALID_DATA)

    def test_invalid_text_fails_before_the_message_ends(self, echo: Echo) -> None:
        frames = [frame(TEXT, b"fine", fin=False), frame(CONTINUATION, SURROGATE, fin=False)]
        assert echo.converse(frames, close=None) == ([], INVALID_DATA)

    def test_a_message_that_ends_within_a_character_fails(self, echo: Echo) -> None:
        heard = echo.converse(fragments(TEXT, [b"fine ", VALID[:-1]]), close=None)
        assert heard == ([], INVALID_DATA)


class TestClosing:
    """Sections 5.5.1 and 7; the suite's section 7."""

    def test_a_close_without_a_code_is_answered_without_one(self, echo: Echo) -> None:
        assert echo.converse([frame(CLOSE)], close=None) == ([], None)

    def test_a_close_is_answered_with_its_code_whatever_its_reason(self, echo: Echo) -> None:
        reason = "adi\u00f3s \U0001f600".encode()
        assert echo.converse([closing(3000, reason)], close=None) == ([], 3000)

    def test_a_code_that_may_not_be_sent_fails(self, echo: Echo) -> None:
        """Section 7.4."""
        assert echo.converse([closing(1005, b"why")], close=None) == ([], PROTOCOL_ERROR)

    def test_a_reason_that_is_not_utf_8_fails(self, echo: Echo) -> None:
        heard = echo.converse([closing(1000, b"fine " + SURROGATE)], close=None)
        assert heard == ([], INVALID_DATA)

    def test_nothing_counts_after_a_close(self, echo: Echo) -> None:
        frames = [frame(TEXT, "before"), closing(GOING_AWAY), frame(TEXT, "late"), b"\xff" * 20]
        heard = echo.converse(whole(frames), close=None)
        assert heard == ([Frame(TEXT, b"before")], GOING_AWAY)

    def test_what_came_before_a_close_comes_back_however_long_it_is(self, echo: Echo) -> None:
        data = compressible(262_144)
        frames = [frame(TEXT, data), frame(TEXT, "last"), closing(GOING_AWAY)]
        heard = echo.converse(whole(frames), close=None)
        assert heard == ([Frame(TEXT, data), Frame(TEXT, b"last")], GOING_AWAY)

    def test_a_close_ends_a_message_that_is_not_complete(self, echo: Echo) -> None:
        one, two = fragments(TEXT, [b"one ", b"two"])
        heard = echo.converse(whole([one, closing(GOING_AWAY), two]), close=None)
        assert heard == ([], GOING_AWAY)


class TestCompression:
    """RFC 7692; the suite's sections 12 and 13."""

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    @pytest.mark.parametrize("size", [0, 256, 131_072])
    @pytest.mark.parametrize("fragment", [None, 256])
    def test_compressed_messages_come_back(
        self, compressing: Echo, opcode: int, size: int, fragment: int | None
    ) -> None:
        messages = [b"%d %b" % (number, compressible(size)) for number in range(5)]
        frames = (
            piece
            for message in messages
            for piece in compressed(opcode, deflate(message), fragment)
        )
        received = [Frame(opcode, message) for message in messages]
        assert compressing.converse(whole(frames)) == (received, NORMAL)

    @pytest.mark.parametrize(
        "offer",
        [
            "",
            "; client_max_window_bits=9",
            "; server_no_context_takeover; server_max_window_bits=12",
            "; server_max_window_bits=8, permessage-deflate; server_no_context_takeover",
        ],
    )
    def test_whatever_is_offered_there_is_an_agreement(
        self, addresses: dict[bool, Address], offer: str
    ) -> None:
        echo = Echo(addresses[True], f"permessage-deflate{offer}")
        assert echo.answer is not None
        data = compressible(20_000)
        heard = echo.converse(compressed(TEXT, deflate(data, 9), None))
        assert heard == ([Frame(TEXT, data)], NORMAL)
        echo.cut()

    def test_control_frames_may_come_in_between(self, compressing: Echo) -> None:
        one, two, three = compressed(TEXT, deflate(b"Hello Hello"), 4)
        frames = [one, frame(PING, "1"), two, frame(PING, "2"), three]
        received = [Frame(PONG, b"1"), Frame(PONG, b"2"), Frame(TEXT, b"Hello Hello")]
        assert compressing.converse(whole(frames)) == (received, NORMAL)

    def test_text_must_be_utf_8_once_inflated(self, compressing: Echo) -> None:
        frames = compressed(TEXT, deflate(b"fine " + SURROGATE + b" fine"), None)
        assert compressing.converse(frames, close=None) == ([], INVALID_DATA)

    def test_a_compressed_message_fails_where_none_was_agreed_on(self, plain: Echo) -> None:
        frames = compressed(TEXT, deflate(b"Hello"), None)
        assert plain.converse(frames, close=None) == ([], PROTOCOL_ERROR)


def compressed(opcode: int, data: bytes, size: int | None) -> list[bytes]:
    """Return the frames of a compressed message.

    :param data: its compressed form.
    :param size: of the data of each frame; ``None`` for a single frame.
    """
    first, *others = pieces(data, size) if size else [data]
    last = len(others) - 1
    return [
        frame(opcode, first, fin=not others, reserved=RSV1),
        *(frame(CONTINUATION, part, fin=at == last) for at, part in enumerate(others)),
    ]
