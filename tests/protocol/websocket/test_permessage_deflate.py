"""permessage-deflate, as RFC 7692 describes it: the offers, and messages against zlib by hand."""

import random
import tracemalloc
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from socketio_server.exceptions import ProtocolError
from socketio_server.protocol.websocket.frames import (
    Close,
    CloseCode,
    Opcode,
    Ping,
    encode_deflated_frame,
)
from socketio_server.protocol.websocket.parser import Parser
from socketio_server.protocol.websocket.permessage_deflate import (
    DEFLATE_ANSWER,
    READ_COST,
    WINDOW_BITS,
    agree_on_deflate,
)
from tests.protocol.websocket.steps import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    TEXT,
    assert_fails,
    events_of,
    frame,
    in_bytes,
    in_chunks,
    outcome,
    text,
)

RSV1 = 0x40

TAIL = b"\x00\x00\xff\xff"

EMPTY = b"\x00" + TAIL
"""A whole block that inflates to nothing."""

# Section 7.2.3, "Hello" in every way that the RFC shows but one that needs context.
HELLO = [
    pytest.param(bytes.fromhex("f2 48 cd c9 c9 07 00"), id="7.2.3.1 one block"),
    pytest.param(bytes.fromhex("00 05 00 fa ff 48 65 6c 6c 6f 00"), id="7.2.3.3 no compression"),
    pytest.param(bytes.fromhex("f3 48 cd c9 c9 07 00 00"), id="7.2.3.4 BFINAL set"),
    pytest.param(bytes.fromhex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00"), id="7.2.3.5 two blocks"),
]

SHARES_WINDOW = bytes.fromhex("f2 00 11 00 00")
"""The second "Hello" of section 7.2.3.2, which refers to the first."""


def deflated(data: bytes, *, window_bits: int = 15, level: int = 6, final: bool = False) -> bytes:
    """Return a message as a peer compresses it (section 7.2.1)."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -window_bits)
    compressed = compressor.compress(data)
    if final:
        return compressed + compressor.flush() + b"\x00"
    compressed += compressor.flush(zlib.Z_SYNC_FLUSH)
    assert compressed.endswith(TAIL)
    return compressed[:-4]


def bomb(size: int) -> bytes:
    """Return a compressed message of so many equal letters, made without holding them."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    pieces = [compressor.compress(b"x" * 100_000) for _ in range(size // 100_000)]
    return b"".join(pieces) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]


def compressed_text(data: bytes) -> bytes:
    """Return what is compressed already as a text message in one frame."""
    return frame(FIN | RSV1 | TEXT, data)


def new_parser(*, max_message_size: int = 100_000, max_fragments: int = 1024) -> Parser:
    """Return a parser that takes compressed messages, with room enough for the examples."""
    return Parser(max_message_size=max_message_size, max_fragments=max_fragments, inflates=True)


class TestNegotiation:
    """Sections 5 and 7.1."""

    @pytest.mark.parametrize(
        "offers",
        [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=15",
            'permessage-deflate; client_max_window_bits="10"',
            r'permessage-deflate; client_max_window_bits="1\0"',
            "permessage-deflate ; client_max_window_bits = 10 ",
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover; "
            "client_max_window_bits=12",
            "\tpermessage-deflate\t;\tclient_max_window_bits\t",
            # Section 7.1.3's fallback: the first offer can't be accepted, the second can.
            "permessage-deflate; client_max_window_bits; server_max_window_bits=8, "
            "permessage-deflate; client_max_window_bits",
            "x-webkit-deflate-frame, permessage-deflate",
            "permessage-deflate, permessage-bzip2; level=9",
            'foo; bar="baz; qux, quux", permessage-deflate',
            ", ,permessage-deflate,",
        ],
    )
    def test_an_offer_that_the_answer_fits_is_accepted(self, offers: str) -> None:
        assert agree_on_deflate(offers) == DEFLATE_ANSWER

    @pytest.mark.parametrize(
        ("offers", "bits"),
        [
            ("permessage-deflate; server_max_window_bits=13", 13),
            ("permessage-deflate; server_max_window_bits=14; client_max_window_bits", 14),
            ('permessage-deflate; server_max_window_bits="12"', 12),
            ("permessage-deflate; server_max_window_bits = 15 ", 15),
            (
                "permessage-deflate; server_max_window_bits=12; unknown, "
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=13, "
                "permessage-deflate",
                13,
            ),
        ],
    )
    def test_a_window_that_is_asked_for_is_promised(self, offers: str, bits: int) -> None:
        """Section 7.1.2.1."""
        answer = f"{DEFLATE_ANSWER}; server_max_window_bits={bits}"
        assert agree_on_deflate(offers) == answer

    @pytest.mark.parametrize(
        "offers",
        [
            pytest.param("", id="nothing"),
            pytest.param(",", id="nothing twice"),
            pytest.param("x-webkit-deflate-frame", id="another extension"),
            pytest.param("permessage-deflate2", id="longer name"),
            pytest.param("permessage-deflate=1", id="name with a value"),
            pytest.param("client_max_window_bits", id="no name"),
            pytest.param("permessage-deflate;", id="empty parameter"),
            pytest.param("permessage-deflate; foo", id="unknown parameter"),
            pytest.param("permessage-deflate; foo=1", id="unknown parameter with a value"),
            pytest.param("permessage-deflate; Client_Max_Window_Bits", id="case of a parameter"),
            pytest.param(
                "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
                id="repeated flag",
            ),
            pytest.param(
                "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
                id="repeated parameter",
            ),
            pytest.param(
                "permessage-deflate; server_no_context_takeover=1", id="flag with a value"
            ),
            pytest.param("permessage-deflate; client_no_context_takeover=", id="empty value"),
            pytest.param("permessage-deflate; client_max_window_bits=", id="no bits"),
            pytest.param('permessage-deflate; client_max_window_bits=""', id="no bits in quotes"),
            pytest.param("permessage-deflate; client_max_window_bits=7", id="too few bits"),
            pytest.param("permessage-deflate; client_max_window_bits=16", id="too many bits"),
            pytest.param("permessage-deflate; client_max_window_bits=010", id="leading zero"),
            pytest.param("permessage-deflate; client_max_window_bits=+10", id="sign"),
            pytest.param("permessage-deflate; client_max_window_bits=1 0", id="space in bits"),
            pytest.param("permessage-deflate; client_max_window_bits=\u0661\u0660", id="Arabic"),
            pytest.param("permessage-deflate; client_max_window_bits=\u00b9\u2070", id="raised"),
            *(
                pytest.param(
                    f"permessage-deflate; server_max_window_bits={bits}",
                    id=f"our window is larger than {bits} bits",
                )
                for bits in (8, 9, 10, 11)
            ),
            pytest.param(
                "permessage-deflate; server_max_window_bits=16", id="our window too small"
            ),
            pytest.param(
                "permessage-deflate; server_max_window_bits=09", id="leading zero of ours"
            ),
            pytest.param("permessage-deflate; server_max_window_bits", id="server bits missing"),
            pytest.param("permessage-deflate; server_max_window_bits=", id="no bits of ours"),
            pytest.param(
                "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
                id="repeated window",
            ),
            pytest.param('foo; bar="baz, permessage-deflate, qux"', id="within quotes"),
            pytest.param('foo; bar="baz, permessage-deflate', id="quotes without an end"),
            pytest.param('permessage-deflate; client_max_window_bits=1"0"', id="quotes within"),
            pytest.param('permessage-deflate; client_max_window_bits="10" 1', id="after quotes"),
            pytest.param('permessage-deflate; client_max_window_bits=" 10"', id="space in quotes"),
            pytest.param('"permessage-deflate"', id="name in quotes"),
        ],
    )
    def test_anything_else_is_declined(self, offers: str) -> None:
        assert agree_on_deflate(offers) is None

    def test_offers_that_take_long_to_read_are_declined(self) -> None:
        offers = "permessage-deflate" + " " * 2000
        assert agree_on_deflate(offers[:1000]) == DEFLATE_ANSWER
        assert agree_on_deflate(offers[:1001]) is None

    def test_the_answer_takes_no_context_over_on_either_side(self) -> None:
        assert DEFLATE_ANSWER == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        )
        assert agree_on_deflate(DEFLATE_ANSWER) == DEFLATE_ANSWER

    @given(
        st.text()
        | st.lists(
            st.sampled_from(
                [
                    "permessage-deflate",
                    "client_max_window_bits",
                    "server_no_context_takeover",
                    *';,="\\ ',
                    "10",
                ]
            ),
            max_size=30,
        ).map("".join)
    )
    def test_any_header_is_judged(self, offers: str) -> None:
        if (answer := agree_on_deflate(offers)) is not None:
            assert "permessage-deflate" in offers
            assert agree_on_deflate(f"foo, {offers}") == answer


class TestCompressedMessages:
    """Sections 6 and 7.2."""

    @pytest.mark.parametrize("data", HELLO)
    def test_the_rfcs_examples_are_inflated(self, data: bytes) -> None:
        assert events_of(new_parser(), compressed_text(data)) == ["Hello"]
        assert events_of(new_parser(), frame(FIN | RSV1 | BINARY, data)) == [b"Hello"]

    @pytest.mark.parametrize("data", HELLO)
    def test_a_frame_may_arrive_byte_by_byte(self, data: bytes) -> None:
        assert events_of(new_parser(), *in_bytes(compressed_text(data))) == ["Hello"]

    @pytest.mark.parametrize("data", HELLO)
    def test_a_message_may_come_in_any_fragments(self, data: bytes) -> None:
        wire = frame(RSV1 | TEXT)
        for byte in in_bytes(data):
            wire += frame(CONTINUATION, byte)
        wire += frame(FIN | CONTINUATION)
        assert events_of(new_parser(), wire) == ["Hello"]
        assert events_of(new_parser(), *in_bytes(wire)) == ["Hello"]

    def test_a_large_frame_may_arrive_in_chunks(self) -> None:
        message = random.Random(1).randbytes(90_000)
        wire = frame(FIN | RSV1 | BINARY, deflated(message)) + text(b"last")
        assert events_of(new_parser(), *in_chunks(wire, 20_000)) == [message, "last"]

    def test_the_rfcs_example_in_two_fragments_is_inflated(self) -> None:
        wire = frame(RSV1 | TEXT, bytes.fromhex("f2 48 cd"))
        wire += frame(FIN | CONTINUATION, bytes.fromhex("c9 c9 07 00"))
        assert events_of(new_parser(), wire) == ["Hello"]

    def test_an_empty_message_is_one_byte(self) -> None:
        """Section 7.2.3.6."""
        assert events_of(new_parser(), compressed_text(b"\x00")) == [""]
        assert events_of(new_parser(), frame(FIN | RSV1 | BINARY, b"\x00")) == [b""]

    def test_compressed_and_plain_messages_may_alternate(self) -> None:
        wire = (
            text(b"one")
            + compressed_text(deflated(b"two"))
            + frame(BINARY, b"th")
            + frame(FIN | CONTINUATION, b"ree")
            + frame(RSV1 | TEXT, deflated(b"four")[:2])
            + frame(FIN | PING, b"?")
            + frame(FIN | CONTINUATION, deflated(b"four")[2:])
            + frame(FIN | BINARY, b"five")
            + frame(FIN | CLOSE)
        )
        events = ["one", "two", b"three", Ping(b"?"), "four", b"five", Close(None, "")]
        assert events_of(new_parser(), wire) == events
        assert events_of(new_parser(), *in_bytes(wire)) == events

    def test_no_context_is_taken_over(self) -> None:
        """Section 7.2.3.2: what refers to the message before it can't be inflated."""
        hello = bytes.fromhex("f2 48 cd c9 c9 07 00")
        parser = new_parser()
        assert events_of(parser, compressed_text(hello)) == ["Hello"]
        assert_fails(parser, compressed_text(SHARES_WINDOW), CloseCode.INVALID_DATA)

    @pytest.mark.parametrize("window_bits", range(9, 16))
    @pytest.mark.parametrize("level", [0, 1, 9])
    def test_any_window_is_understood(self, window_bits: int, level: int) -> None:
        message = b"".join(b"%d, " % number for number in range(10_000))
        data = deflated(message, window_bits=window_bits, level=level)
        assert events_of(new_parser(), frame(FIN | RSV1 | BINARY, data)) == [message]

    def test_several_blocks_may_say_that_they_are_the_last(self) -> None:
        one, two = (deflated(data, final=True)[:-1] for data in (b"one ", b"two "))
        data = one + two + deflated(b"three")
        assert events_of(new_parser(), compressed_text(data)) == ["one two three"]

    @pytest.mark.parametrize("first", [0x41, 0x42, 0xC1, 0xC2])
    def test_without_the_extension_the_bit_is_refused(self, first: int) -> None:
        parser = Parser(max_message_size=1000)
        assert_fails(parser, frame(first, deflated(b"Hello")), CloseCode.PROTOCOL_ERROR)

    @pytest.mark.parametrize(
        "first", [FIN | PING, FIN | PONG, FIN | CLOSE, CONTINUATION, FIN | CONTINUATION]
    )
    def test_only_a_messages_first_frame_has_the_bit(self, first: int) -> None:
        assert_fails(new_parser(), frame(RSV1 | first), CloseCode.PROTOCOL_ERROR)
        start = frame(RSV1 | TEXT, deflated(b"Hello")[:3])
        assert_fails(new_parser(), start + frame(RSV1 | first), CloseCode.PROTOCOL_ERROR)

    def test_messages_do_not_nest(self) -> None:
        wire = frame(TEXT, b"one") + compressed_text(deflated(b"two"))
        assert_fails(new_parser(), wire, CloseCode.PROTOCOL_ERROR)

    @pytest.mark.parametrize("bit", [0x20, 0x10])
    def test_other_reserved_bits_stay_refused(self, bit: int) -> None:
        assert_fails(new_parser(), frame(FIN | bit | TEXT), CloseCode.PROTOCOL_ERROR)
        assert_fails(new_parser(), frame(FIN | RSV1 | bit | TEXT), CloseCode.PROTOCOL_ERROR)


class TestBadData:
    """What does not inflate fails as what is not UTF-8 does (RFC 6455 section 7.4.1, 1007)."""

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="not even an empty block"),
            pytest.param(b"\xff", id="unknown type of block"),
            pytest.param(b"Hello", id="not compressed"),
            pytest.param(zlib.compress(b"Hello"), id="with a header"),
            pytest.param(deflated(b"Hello") + TAIL, id="with its tail"),
            pytest.param(bytes.fromhex("f2 48 cd c9 c9 07"), id="cut off at the end"),
            pytest.param(bytes.fromhex("f2 48 cd"), id="cut off in the middle"),
            pytest.param(bytes.fromhex("00 05 00 fa ff 48 65"), id="plain block cut off"),
            pytest.param(bytes.fromhex("00 05 00 ff ff 48 65 6c 6c 6f 00"), id="bad length"),
            pytest.param(bytes.fromhex("f3 48 cd c9 c9 07 00"), id="BFINAL and no block after it"),
            pytest.param(deflated(b"x", final=True) + b"\xff", id="BFINAL and rubbish after it"),
            pytest.param(b"\x03\x00" * 20 + b"\x00", id="BFINAL over and over"),
        ],
    )
    def test_bad_deflate_data_is_refused(self, data: bytes) -> None:
        assert_fails(new_parser(), compressed_text(data), CloseCode.INVALID_DATA)
        assert_fails(new_parser(), frame(FIN | RSV1 | BINARY, data), CloseCode.INVALID_DATA)
        fragments = b"".join(frame(CONTINUATION, byte) for byte in in_bytes(data))
        wire = frame(RSV1 | TEXT) + fragments + frame(FIN | CONTINUATION)
        assert_fails(new_parser(), wire, CloseCode.INVALID_DATA)

    def test_a_bad_fragment_fails_before_the_message_ends(self) -> None:
        assert_fails(new_parser(), frame(RSV1 | TEXT, b"\xff"), CloseCode.INVALID_DATA)

    def test_text_is_utf_8_once_inflated(self) -> None:
        wire = compressed_text(deflated("h\u00e9llo w\U0001f600rld".encode()))
        assert events_of(new_parser(), wire) == ["h\u00e9llo w\U0001f600rld"]
        for data in (b"\xff", b"\xe2\x82", b"\xed\xa0\x80"):
            wire = compressed_text(deflated(data))
            assert_fails(new_parser(), wire, CloseCode.INVALID_DATA)
            assert events_of(new_parser(), frame(FIN | RSV1 | BINARY, deflated(data))) == [data]

    @pytest.mark.parametrize("inflates", [True, False])
    @given(wire=st.data())
    def test_any_bytes_are_events_or_an_error_however_they_arrive(
        self, inflates: bool, wire: st.DataObject
    ) -> None:
        data = wire.draw(FRAMES)
        parsers = [
            Parser(max_message_size=50, max_fragments=4, inflates=inflates) for _ in range(2)
        ]
        assert outcome(parsers[0], [data]) == outcome(parsers[1], in_bytes(data))


class TestRoom:
    """How much is inflated until the caller lets it go on."""

    def test_a_message_waits_while_there_is_none(self) -> None:
        parser = new_parser()
        parser.room = 400
        parser.receive_data(compressed_text(deflated(b"x" * 1000)) + text(b"next"))
        assert parser.next_event() is None
        assert parser.lacks_room
        assert parser.next_event() is None

        parser.room = 600
        assert parser.next_event() is None  # whether it ends here is not known yet

        parser.room = 1
        assert parser.next_event() == "x" * 1000
        assert not parser.lacks_room
        assert parser.next_event() == "next"

    def test_it_is_for_all_messages_together(self) -> None:
        parser = new_parser()
        parser.room = 1500
        parser.receive_data(compressed_text(deflated(b"x" * 1000)) * 2)
        assert parser.next_event() == "x" * 1000
        assert parser.next_event() is None
        assert parser.lacks_room

    def test_what_is_read_needs_room_though_it_inflates_to_nothing(self) -> None:
        parser = new_parser()
        parser.room = 100 * READ_COST
        parser.receive_data(compressed_text(EMPTY * 1000 + b"\x00"))
        waits = 0
        while parser.next_event() is None:
            assert parser.lacks_room
            parser.room = 100 * READ_COST
            waits += 1
        assert 40 <= waits <= 60

    def test_the_same_room_is_for_both(self) -> None:
        """A message that inflates to more than was read for it needs no more room for that."""
        message = b"some text " * 100
        data = deflated(message)
        parser = new_parser()
        parser.room = len(message) + 1
        assert READ_COST * len(data) < parser.room
        parser.receive_data(compressed_text(data))
        assert parser.next_event() == message.decode()

    def test_it_is_needed_by_the_last_byte_that_a_message_may_have_too(self) -> None:
        """Empty blocks behind it are read no more slowly than others."""
        parser = new_parser(max_message_size=1000)
        compressor = zlib.compressobj(wbits=-15)
        data = compressor.compress(b"x" * 1000) + compressor.flush(zlib.Z_SYNC_FLUSH)
        parser.receive_data(compressed_text(data + EMPTY * 100 + b"\x00"))
        assert parser.next_event() == "x" * 1000
        assert not parser.lacks_room

    def test_messages_that_are_not_compressed_need_none(self) -> None:
        parser = new_parser()
        parser.room = 0
        parser.receive_data(text(b"plain"))
        assert parser.next_event() == "plain"

    @given(
        st.lists(st.binary(max_size=2000), min_size=1, max_size=4),
        st.integers(1, 700),
        st.booleans(),
    )
    @example(fragments=[b"ab"], room=1, ends_blocks=True)
    def test_however_little_it_is_messages_are_the_same(
        self, fragments: list[bytes], room: int, ends_blocks: bool
    ) -> None:
        compressor = zlib.compressobj(wbits=-15)
        flush = zlib.Z_SYNC_FLUSH
        frames = [compressor.compress(data) + compressor.flush(flush) for data in fragments]
        first = RSV1 | BINARY
        wire = b""
        for data in frames[:-1]:
            wire += frame(first, data)
            first = CONTINUATION
        last = frames[-1] + b"\x03\x00" + frames[0] if ends_blocks else frames[-1]
        wire += frame(FIN | first, last.removesuffix(TAIL))
        parser = new_parser()
        parser.receive_data(wire + text(b"next"))
        found = []
        for _ in range(20_000):
            parser.room = room
            found.append(parser.next_event())
            if found[-1] == "next":
                break
        whole = b"".join(fragments) + (fragments[0] if ends_blocks else b"")
        assert [event for event in found if event is not None] == [whole, "next"]

    def test_a_message_too_big_is_refused_as_soon_as_it_is(self) -> None:
        parser = new_parser(max_message_size=1000)
        parser.room = 900
        parser.receive_data(compressed_text(deflated(b"x" * 5000)))
        assert parser.next_event() is None
        parser.room = 900
        with pytest.raises(ProtocolError, match="at most 1000 bytes"):
            parser.next_event()
        with pytest.raises(ProtocolError, match="at most 1000 bytes"):
            parser.next_event()


class TestLimits:
    """What a compressed message may cost: the size is limited on the wire and inflated."""

    def test_a_message_may_inflate_to_as_much_as_allowed(self) -> None:
        wire = compressed_text(deflated(b"x" * 1000))
        assert events_of(new_parser(max_message_size=1000), wire * 2) == ["x" * 1000] * 2

    def test_a_byte_more_is_refused_and_the_limit_named(self) -> None:
        wire = compressed_text(deflated(b"x" * 1001))
        assert_fails(new_parser(max_message_size=1000), wire, CloseCode.MESSAGE_TOO_BIG)
        parser = new_parser(max_message_size=1000)
        parser.receive_data(wire)
        with pytest.raises(ProtocolError, match="at most 1000 bytes"):
            parser.next_event()

    def test_fragments_count_together(self) -> None:
        data = deflated(b"12345" * 2)
        wire = frame(RSV1 | TEXT, data[:4]) + frame(FIN | CONTINUATION, data[4:])
        assert events_of(new_parser(max_message_size=len(data)), wire) == ["1234512345"]
        compressor = zlib.compressobj(wbits=-15)
        fragments = [
            compressor.compress(b"x" * 600) + compressor.flush(zlib.Z_SYNC_FLUSH) for _ in range(2)
        ]
        parser = new_parser(max_message_size=1000)
        assert events_of(parser, frame(RSV1 | BINARY, fragments[0])) == []
        # Not final, and yet too big already.
        assert_fails(parser, frame(CONTINUATION, fragments[1]), CloseCode.MESSAGE_TOO_BIG)

    def test_a_frame_too_large_as_it_comes_is_refused_by_its_header(self) -> None:
        parser = new_parser(max_message_size=1000)
        assert_fails(parser, b"\xc1\xfe\x03\xe9\x00\x00\x00\x00", CloseCode.MESSAGE_TOO_BIG)

    def test_fragments_too_large_as_they_come_are_refused(self) -> None:
        """They inflate to nothing: it is the wire's bytes that count here."""
        parser = new_parser(max_message_size=10)
        empty_block = b"\x00" + TAIL
        assert events_of(parser, frame(RSV1 | TEXT, empty_block * 2)) == []
        assert_fails(parser, frame(FIN | CONTINUATION, b"\x00"), CloseCode.MESSAGE_TOO_BIG)

    def test_a_message_may_have_as_many_fragments_as_allowed(self) -> None:
        wire = frame(RSV1 | TEXT) + frame(CONTINUATION, b"\x00") + frame(FIN | CONTINUATION)
        assert events_of(new_parser(max_fragments=3), wire) == [""]
        assert_fails(new_parser(max_fragments=2), wire, CloseCode.MESSAGE_TOO_BIG)

    def test_what_a_message_inflates_to_explains_its_fragments(self) -> None:
        compressor = zlib.compressobj(wbits=-15)
        pieces = [
            compressor.compress(b"x" * 4000) + compressor.flush(zlib.Z_SYNC_FLUSH)
            for _ in range(240)
        ]
        first, *others, last = pieces
        wire = frame(RSV1 | BINARY, first) + b"".join(frame(CONTINUATION, each) for each in others)
        wire += frame(FIN | CONTINUATION, last.removesuffix(TAIL))
        assert events_of(new_parser(max_message_size=1_000_000), wire) == [b"x" * 960_000]

    @pytest.mark.parametrize("is_split", [False, True])
    def test_a_bomb_never_takes_more_memory_than_a_message(self, is_split: bool) -> None:
        data = bomb(200_000_000)
        assert len(data) < 200_000
        half = len(data) // 2
        wire = (
            frame(RSV1 | TEXT, data[:half]) + frame(FIN | CONTINUATION, data[half:])
            if is_split
            else compressed_text(data)
        )
        tracemalloc.start()
        try:
            assert_fails(new_parser(max_message_size=1_000_000), wire, CloseCode.MESSAGE_TOO_BIG)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4_000_000

    def test_a_bomb_of_final_blocks_is_refused(self) -> None:
        """Each of them would cost a copy of all that follow."""
        assert_fails(
            new_parser(max_message_size=1_000_000),
            compressed_text(b"\x03\x00" * 499_999),
            CloseCode.INVALID_DATA,
        )


class TestEncoding:
    """Section 7.2.1: what the server sends compressed."""

    def test_hello_is_the_rfcs_example(self) -> None:
        assert encode_deflated_frame(Opcode.TEXT, b"Hello") == bytes.fromhex(
            "c1 07 f2 48 cd c9 c9 07 00"
        )

    def test_an_empty_message_is_one_byte(self) -> None:
        assert encode_deflated_frame(Opcode.TEXT, b"") == b"\xc1\x01\x00"
        assert encode_deflated_frame(Opcode.BINARY, b"") == b"\xc2\x01\x00"

    def test_frames_do_not_depend_on_what_was_sent_before(self) -> None:
        frames = {encode_deflated_frame(Opcode.TEXT, b"again and again") for _ in range(3)}
        assert len(frames) == 1

    @pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 100_000, 1_000_000])
    def test_it_is_worth_its_while(self, size: int) -> None:
        message = (b'{"id":12345,"name":"somebody","text":"hello world"},' * size)[:size]
        sent = encode_deflated_frame(Opcode.TEXT, message)
        assert peer_inflates(sent) == (True, message)
        assert len(sent) < size / 10 + 100

    @given(st.binary() | st.binary(min_size=1).map(lambda data: data * 5000))
    @example(b"x" * 65536)
    def test_a_peer_inflates_what_was_deflated(self, message: bytes) -> None:
        assert peer_inflates(encode_deflated_frame(Opcode.BINARY, message)) == (False, message)

    @pytest.mark.parametrize("size", [100, 4096, 30_000, 200_000])
    def test_a_peer_with_our_window_inflates_it(self, size: int) -> None:
        """Section 7.1.2.1."""
        message = b"".join(b"%d, " % number for number in range(size))[:size]
        sent = encode_deflated_frame(Opcode.BINARY, message)
        assert peer_inflates(sent, window_bits=WINDOW_BITS) == (False, message)

    def test_a_smaller_window_counts(self) -> None:
        """Else the test above would test nothing."""
        message = random.Random(1).randbytes(1000) * 2
        sent = encode_deflated_frame(Opcode.BINARY, message)
        with pytest.raises(zlib.error, match="distance too far back"):
            peer_inflates(sent, window_bits=9)

    def test_a_large_message_is_deflated_at_the_fastest_level(self) -> None:
        """Others wait meanwhile, and random letters take longest."""
        message = "".join(random.Random(1).choices("ab", k=100_000)).encode()
        sent = encode_deflated_frame(Opcode.TEXT, message)
        fastest = deflated(message, window_bits=WINDOW_BITS, level=1)
        assert sent.endswith(fastest)
        assert fastest != deflated(message, window_bits=WINDOW_BITS)

    @given(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.integers(0, 9),
        st.integers(9, 15),
        st.booleans(),
        st.integers(0, 20),
    )
    def test_what_a_peer_deflates_is_inflated(
        self, message: str, level: int, window_bits: int, final: bool, cut: int
    ) -> None:
        data = deflated(message.encode(), level=level, window_bits=window_bits, final=final)
        assert events_of(new_parser(), compressed_text(data)) == [message]
        wire = frame(RSV1 | TEXT, data[:cut]) + frame(FIN | CONTINUATION, data[cut:])
        assert events_of(new_parser(), wire) == [message]


# Frames that are well formed each by itself, nearly all, and that inflate, many of them.
FRAMES = st.lists(
    st.builds(
        frame,
        st.sampled_from([0x00, 0x01, 0x41, 0x42, 0x80, 0x81, 0x82, 0x89, 0xC0, 0xC1, 0xC2, 0xC9]),
        st.binary(max_size=10)
        | st.binary(max_size=60).map(deflated)
        | st.text(max_size=60).map(str.encode).map(deflated)
        | st.binary(max_size=20).map(lambda data: deflated(data, final=True)),
    ),
    max_size=8,
).map(b"".join)


def peer_inflates(wire: bytes, *, window_bits: int = 15) -> tuple[bool, bytes]:
    """Return whether a frame of the server is text, and its data as a client inflates it.

    It does so in small steps, so that it knows no more of what came before than its window holds.
    """
    assert wire[0] in (FIN | RSV1 | TEXT, FIN | RSV1 | BINARY)
    size, start = wire[1], 2
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(wire[2:start])
    assert len(wire) - start == size
    inflater = zlib.decompressobj(-window_bits)
    data, rest = b"", wire[start:] + TAIL
    while rest:
        data += inflater.decompress(rest, 256)
        rest = inflater.unconsumed_tail
    data += inflater.flush()
    assert not inflater.eof
    return wire[0] & 0x0F == TEXT, data
