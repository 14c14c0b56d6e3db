"""RFC 6455 over real sockets, with compression (RFC 7692) and without: what the Autobahn test suite
looks at, told again in short: a case for each rule. ``tests.protocol.test_websocket`` has the rest.

The suite itself is run by hand, see ``tests.autobahn``; its echo server, which sends every message
back as it came, is used here as well. What the standard leaves to Engine.IO, and the limits, are in
``test_websocket`` and ``test_deflate``.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
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

RESERVED_OPCODES = [0x3, 0xB]
"""A data frame's and a control frame's of the opcodes that are reserved (RFC 6455 section 5.2)."""


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


def byte_by_byte(frames: Iterable[bytes]) -> list[bytes]:
    """Return frames as each of their bytes goes out by itself."""
    return pieces(b"".join(frames), 1)


def compressible(size: int) -> bytes:
    """Return so many bytes of text that can be compressed, but not to nothing."""
    return b" ".join(b"%d" % (number * number) for number in range(size // 4))[:size].ljust(size)


Chop = Callable[[Iterable[bytes]], list[bytes]]


chopped = pytest.mark.parametrize("chop", [whole, byte_by_byte])
"""Runs a test with what is sent in one go, and byte by byte."""


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
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1_000_000])
    def test_messages_of_every_length_come_back(self, echo: Echo, opcode: int, size: int) -> None:
        data = compressible(size)
        assert echo.converse([frame(opcode, data)]) == ([Frame(opcode, data)], NORMAL)

    @pytest.mark.parametrize("size", [0, 16, 256, 4096])
    def test_many_messages_come_back_in_order(self, echo: Echo, size: int) -> None:
        messages = [b"%d %b" % (number, compressible(size)) for number in range(200)]
        heard = echo.converse(whole(frame(TEXT, message) for message in messages))
        assert heard == ([Frame(TEXT, message) for message in messages], NORMAL)

    @pytest.mark.parametrize("opcode", [TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE])
    def test_a_frame_that_is_not_masked_fails(self, echo: Echo, opcode: int) -> None:
        """Section 5.1."""
        assert echo.converse([frame(opcode, masked=False)], close=None) == ([], PROTOCOL_ERROR)

    @pytest.mark.parametrize(
        "head",
        [
            pytest.param(struct.pack("!BBH", 0x81, 0xFE, 125), id="125 in 16 bits"),
            pytest.param(struct.pack("!BBQ", 0x82, 0xFF, 125), id="125 in 64 bits"),
            pytest.param(struct.pack("!BBQ", 0x82, 0xFF, 65_535), id="65535 in 64 bits"),
            pytest.param(struct.pack("!BBQ", 0x81, 0xFF, 1 << 63), id="the first of 64 bits"),
        ],
    )
    def test_a_length_that_is_not_a_proper_one_fails_at_once(self, echo: Echo, head: bytes) -> None:
        assert echo.converse([head + b"mask"], close=None) == ([], PROTOCOL_ERROR)


class TestPings:
    """Sections 5.5.2 and 5.5.3; the suite's section 2."""

    @chopped
    @pytest.mark.parametrize(
        "data", [b"", b"text", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125]
    )
    def test_a_ping_is_answered_with_its_data(self, echo: Echo, chop: Chop, data: bytes) -> None:
        assert echo.converse(chop([frame(PING, data)])) == ([Frame(PONG, data)], NORMAL)

    @pytest.mark.parametrize("opcode", [PING, PONG])
    @pytest.mark.parametrize("size", [126, 65_536])
    def test_a_ping_that_is_too_long_fails_at_once(
        self, echo: Echo, opcode: int, size: int
    ) -> None:
        """Section 5.5."""
        data = frame_head(0x80 | opcode, size) + b"mask"
        assert echo.converse([data], close=None) == ([], PROTOCOL_ERROR)

    @chopped
    @pytest.mark.parametrize("data", [b"", b"unasked", b"\xff" * 125])
    def test_a_pong_that_nobody_asked_for_is_ignored(
        self, echo: Echo, chop: Chop, data: bytes
    ) -> None:
        heard = echo.converse(chop([frame(PONG, data), frame(PING, "asked")]))
        assert heard == ([Frame(PONG, b"asked")], NORMAL)


class TestReservedBits:
    """Section 5.2; the suite's section 3."""

    @chopped
    @pytest.mark.parametrize("reserved", [1, 2, 4])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
    def test_fail_after_all_that_came_before(
        self, plain: Echo, chop: Chop, opcode: int, reserved: int
    ) -> None:
        frames = [frame(TEXT, "before"), frame(opcode, reserved=reserved), frame(PING)]
        heard = plain.converse(chop(frames), close=None)
        assert heard == ([Frame(TEXT, b"before")], PROTOCOL_ERROR)

    @pytest.mark.parametrize("reserved", [1, 2])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
    def test_fail_with_compression_but_for_its_own(
        self, compressing: Echo, opcode: int, reserved: int
    ) -> None:
        frames = [frame(TEXT, "before"), frame(opcode, b"\0", reserved=reserved)]
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

    @chopped
    @pytest.mark.parametrize("data", [b"", b"data"])
    @pytest.mark.parametrize("opcode", RESERVED_OPCODES)
    def test_that_are_reserved_fail_after_all_that_came_before(
        self, echo: Echo, chop: Chop, opcode: int, data: bytes
    ) -> None:
        frames = [frame(TEXT, "before"), frame(opcode, data), frame(PING)]
        heard = echo.converse(chop(frames), close=None)
        assert heard == ([Frame(TEXT, b"before")], PROTOCOL_ERROR)

    @pytest.mark.parametrize("opcode", RESERVED_OPCODES)
    def test_that_are_reserved_fail_between_fragments(self, echo: Echo, opcode: int) -> None:
        frames = [frame(TEXT, "one", fin=False), frame(opcode), frame(CONTINUATION, "two")]
        assert echo.converse(frames, close=None) == ([], PROTOCOL_ERROR)


class TestFragmentation:
    """Section 5.4; the suite's sections 5 and 10."""

    @chopped
    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    @pytest.mark.parametrize(
        "parts",
        [
            pytest.param([b"one ", b"two"], id="two"),
            pytest.param([b"one ", b"two ", b"three ", b"four"], id="four"),
            pytest.param([b"", b"", b""], id="nothing in three"),
            pytest.param([b"", b"one", b"", b"two", b""], id="nothing in some"),
        ],
    )
    def test_fragments_make_a_message(
        self, echo: Echo, chop: Chop, opcode: int, parts: list[bytes]
    ) -> None:
        heard = echo.converse(chop(fragments(opcode, parts)))
        assert heard == ([Frame(opcode, b"".join(parts))], NORMAL)

    @chopped
    def test_control_frames_may_come_in_between(self, echo: Echo, chop: Chop) -> None:
        one, two, three = fragments(TEXT, [b"one ", b"two ", b"three"])
        frames = [one, frame(PING, "1"), two, frame(PONG, "?"), frame(PING, "2"), three]
        received = [Frame(PONG, b"1"), Frame(PONG, b"2"), Frame(TEXT, b"one two three")]
        assert echo.converse(chop([*frames, frame(PING, "3")])) == (
            [*received, Frame(PONG, b"3")],
            NORMAL,
        )

    def test_a_ping_in_between_is_answered_before_the_message_is_there(self, echo: Echo) -> None:
        one, two = fragments(TEXT, [b"one ", b"two"])
        echo.send(one + frame(PING, "in between"))
        assert echo.receive() == Frame(PONG, b"in between")
        assert echo.converse([two]) == ([Frame(TEXT, b"one two")], NORMAL)

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    @pytest.mark.parametrize("size", [100, 1300, 65_536])
    def test_a_large_message_may_come_in_many_fragments(
        self, echo: Echo, opcode: int, size: int
    ) -> None:
        data = compressible(200_000)
        heard = echo.converse(whole(fragments(opcode, pieces(data, size))))
        assert heard == ([Frame(opcode, data)], NORMAL)

    @chopped
    @pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
    def test_a_control_frame_in_fragments_fails(self, echo: Echo, chop: Chop, opcode: int) -> None:
        """Section 5.5."""
        heard = echo.converse(chop(fragments(opcode, [b"", b""])), close=None)
        assert heard == ([], PROTOCOL_ERROR)

    @chopped
    @pytest.mark.parametrize("fin", [True, False])
    @pytest.mark.parametrize(
        ("before", "received"),
        [
            pytest.param([], [], id="at the start"),
            pytest.param([frame(TEXT, "x")], [Frame(TEXT, b"x")], id="after a message"),
            pytest.param(fragments(TEXT, [b"x", b"y"]), [Frame(TEXT, b"xy")], id="after fragments"),
        ],
    )
    def test_a_continuation_of_nothing_fails(
        self, echo: Echo, chop: Chop, before: list[bytes], received: list[Frame], fin: bool
    ) -> None:
        frames = [*before, frame(CONTINUATION, "of nothing", fin=fin), frame(TEXT, "after")]
        assert echo.converse(chop(frames), close=None) == (received, PROTOCOL_ERROR)

    @chopped
    @pytest.mark.parametrize("fin", [True, False])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_a_message_within_a_message_fails(
        self, echo: Echo, chop: Chop, opcode: int, fin: bool
    ) -> None:
        frames = [frame(TEXT, "one", fin=False), frame(opcode, "two", fin=fin)]
        assert echo.converse(chop(frames), close=None) == ([], PROTOCOL_ERROR)


def encoded(code: int, size: int) -> bytes:
    """Return a code point as UTF-8 would have it in so many bytes, be that allowed or not."""
    tail = [0x80 | code >> 6 * number & 0x3F for number in reversed(range(size - 1))]
    lead = 0xFF << (7 - size + 1) & 0xFF if size > 1 else 0
    return bytes([lead | code >> 6 * (size - 1), *tail])


VALID = {
    "characters of every length": "a\u00e9\u03ba\u1f79\u65e5\u672c\U0001f600".encode(),
    "last of Unicode": encoded(0x10FFFF, 4),
    "last before the surrogates": encoded(0xD7FF, 3),
    "no character": encoded(0xFFFF, 3),
}
"""Section 8.1, RFC 3629: text that must be taken."""

INVALID = {
    "one continuation byte too many": encoded(0x20AC, 3) + b"\x80",
    "three bytes without their last": encoded(0xFFFF, 3)[:-1] + b" ",
    "impossible byte": b"\xfe",
    "overlong last of two bytes": encoded(0x7FF, 3),
    "first beyond Unicode": encoded(0x110000, 4),
    "surrogate": encoded(0xD800, 3),
}
"""Text that must be refused, as soon as its last byte is there at the latest."""


def table(texts: dict[str, bytes]) -> pytest.MarkDecorator:
    """Run a test for every text of a table."""
    parameters = [pytest.param(data, id=name) for name, data in texts.items()]
    return pytest.mark.parametrize("data", parameters)


class TestUTF8:
    """Section 8.1; the suite's section 6."""

    @table(VALID)
    def test_valid_text_comes_back(self, echo: Echo, data: bytes) -> None:
        text = b"before " + data + b" after"
        heard = echo.converse([frame(TEXT, text)])
        assert heard == ([Frame(TEXT, text)], NORMAL)

    @table(VALID)
    def test_valid_text_may_be_cut_anywhere(self, echo: Echo, data: bytes) -> None:
        frames = fragments(TEXT, [b"", *pieces(data, 1), b""])
        assert echo.converse(whole(frames)) == ([Frame(TEXT, data)], NORMAL)

    @table(INVALID)
    def test_invalid_text_fails(self, echo: Echo, data: bytes) -> None:
        frames = [frame(TEXT, b"before"), frame(TEXT, b"fine " + data + b" fine"), frame(PING)]
        heard = echo.converse(whole(frames), close=None)
        assert heard == ([Frame(TEXT, b"before")], INVALID_DATA)

    @table(INVALID)
    def test_invalid_text_fails_before_the_message_ends(self, echo: Echo, data: bytes) -> None:
        frames = [frame(TEXT, b"fine", fin=False), frame(CONTINUATION, data, fin=False)]
        assert echo.converse(frames, close=None) == ([], INVALID_DATA)

    @pytest.mark.parametrize("missing", [1, 2, 3])
    def test_a_message_that_ends_within_a_character_fails(self, echo: Echo, missing: int) -> None:
        data = "\U0001f600".encode()[:-missing]
        heard = echo.converse(fragments(TEXT, [b"fine ", data]), close=None)
        assert heard == ([], INVALID_DATA)

    def test_a_character_does_not_go_on_in_the_next_message(self, echo: Echo) -> None:
        one, two = pieces("\u00e9".encode(), 1)
        heard = echo.converse([frame(TEXT, one), frame(TEXT, two)], close=None)
        assert heard == ([], INVALID_DATA)


class TestClosing:
    """Sections 5.5.1 and 7; the suite's section 7."""

    @chopped
    @pytest.mark.parametrize("code", [1000, 1003, 1014, 4999])
    def test_a_close_is_answered_with_its_code(self, echo: Echo, chop: Chop, code: int) -> None:
        assert echo.converse(chop([closing(code)]), close=None) == ([], code)

    def test_a_close_without_a_code_is_answered_without_one(self, echo: Echo) -> None:
        assert echo.converse([frame(CLOSE)], close=None) == ([], None)

    @pytest.mark.parametrize("reason", [b"", b"bye", "adi\u00f3s \U0001f600".encode(), b"x" * 123])
    def test_a_close_may_have_a_reason(self, echo: Echo, reason: bytes) -> None:
        assert echo.converse([closing(3000, reason)], close=None) == ([], 3000)

    @pytest.mark.parametrize(
        "code",
        [0, 999, 1005, 2999, 5000],
    )
    @pytest.mark.parametrize("reason", [b"", b"why"])
    def test_a_code_that_may_not_be_sent_fails(self, echo: Echo, code: int, reason: bytes) -> None:
        """Section 7.4."""
        assert echo.converse([closing(code, reason)], close=None) == ([], PROTOCOL_ERROR)

    @table(INVALID)
    def test_a_reason_that_is_not_utf_8_fails(self, echo: Echo, data: bytes) -> None:
        assert echo.converse([closing(1000, b"fine " + data)], close=None) == ([], INVALID_DATA)

    @chopped
    @pytest.mark.parametrize(
        "after",
        [
            pytest.param(closing(1001), id="another close"),
            pytest.param(frame(TEXT, "late"), id="a message"),
            pytest.param(frame(PING, "late"), id="a ping"),
            pytest.param(b"\xff" * 20, id="rubbish"),
        ],
    )
    def test_nothing_counts_after_a_close(self, echo: Echo, chop: Chop, after: bytes) -> None:
        frames = [frame(TEXT, "before"), closing(GOING_AWAY), after]
        heard = echo.converse(chop(frames), close=None)
        assert heard == ([Frame(TEXT, b"before")], GOING_AWAY)

    def test_what_came_before_a_close_comes_back_however_long_it_is(self, echo: Echo) -> None:
        data = compressible(262_144)
        frames = [frame(TEXT, data), frame(TEXT, "last"), closing(GOING_AWAY)]
        heard = echo.converse(whole(frames), close=None)
        assert heard == ([Frame(TEXT, data), Frame(TEXT, b"last")], GOING_AWAY)

    @chopped
    def test_a_close_ends_a_message_that_is_not_complete(self, echo: Echo, chop: Chop) -> None:
        one, two = fragments(TEXT, [b"one ", b"two"])
        heard = echo.converse(chop([one, closing(GOING_AWAY), two]), close=None)
        assert heard == ([], GOING_AWAY)


class TestCompression:
    """RFC 7692; the suite's sections 12 and 13."""

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    @pytest.mark.parametrize("size", [0, 16, 64, 256, 1024, 4096, 8192, 65_536, 131_072])
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
            "; client_max_window_bits",
            "; client_max_window_bits=9",
            "; server_no_context_takeover",
            "; server_no_context_takeover; client_no_context_takeover",
            "; server_max_window_bits=9",
            "; server_max_window_bits=15",
            "; server_no_context_takeover; server_max_window_bits=9",
            "; server_no_context_takeover; server_max_window_bits=15",
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

    @chopped
    def test_control_frames_may_come_in_between(self, compressing: Echo, chop: Chop) -> None:
        one, two, three = compressed(TEXT, deflate(b"Hello Hello"), 4)
        frames = [one, frame(PING, "1"), two, frame(PING, "2"), three]
        received = [Frame(PONG, b"1"), Frame(PONG, b"2"), Frame(TEXT, b"Hello Hello")]
        assert compressing.converse(chop(frames)) == (received, NORMAL)

    @table(INVALID)
    def test_text_must_be_utf_8_once_inflated(self, compressing: Echo, data: bytes) -> None:
        frames = compressed(TEXT, deflate(b"fine " + data + b" fine"), None)
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
