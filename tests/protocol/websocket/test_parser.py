"""The server's side of RFC 6455, frame by frame."""

import tracemalloc
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socketio_server.exceptions import ProtocolError
from socketio_server.protocol.websocket.frames import RSV1, Close, CloseCode, Ping, Pong
from socketio_server.protocol.websocket.parser import Parser
from tests.protocol.websocket.steps import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    FRAMES,
    MASK,
    PING,
    PONG,
    TEXT,
    Event,
    assert_fails,
    events_of,
    frame,
    in_bytes,
    in_chunks,
    new_parser,
    outcome,
    text,
)

# Section 5.7, and the lengths around which the header grows.
MESSAGES = [
    (b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", ["Hello"]),
    (b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", [Ping(b"Hello")]),
    (b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", [Pong(b"Hello")]),
    (b"\x01\x83\x00\x00\x00\x00Hel\x80\x82\x00\x00\x00\x00lo", ["Hello"]),
    (b"\x81\x80\x37\xfa\x21\x3d", [""]),
    (b"\x82\x80\x37\xfa\x21\x3d", [b""]),
    (b"\x89\x80\x37\xfa\x21\x3d", [Ping(b"")]),
    (b"\x81\xfd\x00\x00\x00\x00" + b"x" * 125, ["x" * 125]),
    (b"\x81\xfe\x00\x7e\x00\x00\x00\x00" + b"x" * 126, ["x" * 126]),
    (b"\x82\xfe\xff\xff\x00\x00\x00\x00" + b"x" * 65535, [b"x" * 65535]),
    (b"\x82\xff\0\0\0\0\0\1\0\0\x00\x00\x00\x00" + b"x" * 65536, [b"x" * 65536]),
    (b"\x88\x80\x37\xfa\x21\x3d", [Close(None, "")]),
    (b"\x88\x82\x00\x00\x00\x00\x03\xe8", [Close(1000, "")]),
    (b"\x88\x85\x00\x00\x00\x00\x03\xe9bye", [Close(1001, "bye")]),
]


class TestBaseFraming:
    """Section 5.2."""

    @pytest.mark.parametrize(("wire", "events"), MESSAGES)
    def test_a_frame_is_an_event(self, wire: bytes, events: list[Event]) -> None:
        assert events_of(new_parser(), wire) == events

    @pytest.mark.parametrize(
        ("wire", "events"), [(wire, events) for wire, events in MESSAGES if len(wire) < 1000]
    )
    def test_a_frame_may_arrive_byte_by_byte(self, wire: bytes, events: list[Event]) -> None:
        assert events_of(new_parser(), *in_bytes(wire)) == events

    @pytest.mark.parametrize(("wire", "events"), MESSAGES)
    def test_the_next_frame_may_arrive_with_it_in_part(
        self, wire: bytes, events: list[Event]
    ) -> None:
        after = text(b"after")
        parser = new_parser()
        assert events_of(parser, text(b"before") + wire + after[:5]) == ["before", *events]
        closed = isinstance(events[-1], Close)
        assert events_of(parser, after[5:] + after) == ([] if closed else ["after", "after"])

    def test_nothing_comes_of_nothing(self) -> None:
        assert new_parser().next_event() is None

    def test_events_wait_until_they_are_asked_for(self) -> None:
        parser = new_parser()
        parser.receive_data(text(b"1") + text(b"2")[:4])
        parser.receive_data(text(b"2")[4:])
        assert parser.next_event() == "1"
        parser.receive_data(text(b"3") * 2)
        assert [parser.next_event() for _ in range(4)] == ["2", "3", "3", None]

    def test_a_large_message_arrives_in_chunks(self) -> None:
        message = "hellö wörld " * 5000
        wire = text(b"first") + text(message.encode()) + text(b"last")
        assert events_of(new_parser(), *in_chunks(wire, 1000)) == ["first", message, "last"]

    @pytest.mark.parametrize("bit", [0x40, 0x20, 0x10])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING])
    def test_reserved_bits_are_refused(self, bit: int, opcode: int) -> None:
        assert_fails(new_parser(), frame(FIN | bit | opcode), CloseCode.PROTOCOL_ERROR)

    @pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF])
    def test_unknown_opcodes_are_refused(self, opcode: int) -> None:
        assert_fails(new_parser(), frame(FIN | opcode), CloseCode.PROTOCOL_ERROR)

    @pytest.mark.parametrize(
        "header",
        [
            pytest.param(b"\x81\xfe\x00\x7d", id="16 bits for 125"),
            pytest.param(b"\x82\xfe\x00\x00", id="16 bits for 0"),
            pytest.param(b"\x81\xff\0\0\0\0\0\0\xff\xff", id="64 bits for 65535"),
            pytest.param(b"\x82\xff\0\0\0\0\0\0\0\0", id="64 bits for 0"),
            pytest.param(b"\x82\xff\x80\0\0\0\0\0\0\1", id="the first bit of 64"),
        ],
    )
    def test_a_length_must_be_proper(self, header: bytes) -> None:
        assert_fails(new_parser(), header + MASK, CloseCode.PROTOCOL_ERROR)


class TestMasking:
    """Sections 5.1 and 5.3."""

    @pytest.mark.parametrize("wire", [b"\x81\x05Hello", b"\x82\x00", b"\x89\x00", b"\x88\x00"])
    def test_an_unmasked_frame_is_refused(self, wire: bytes) -> None:
        assert_fails(new_parser(), wire, CloseCode.PROTOCOL_ERROR)

    @given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
    def test_any_mask_is_undone(self, data: bytes, mask: bytes) -> None:
        assert events_of(new_parser(), frame(FIN | BINARY, data, mask)) == [data]

    @pytest.mark.parametrize("size", [16383, 16384, 16385, 16387, 50_001])
    def test_long_messages_are_unmasked_as_well(self, size: int) -> None:
        data = bytes(number % 251 for number in range(size))
        assert events_of(new_parser(), frame(FIN | BINARY, data)) == [data]


class TestLargeFrames:
    """They are taken in pieces, of which nothing is to be seen but that errors are told sooner."""

    DATA = "".join(map(chr, range(0x20, 0x2000))).encode() * 4

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    @pytest.mark.parametrize("chunk", [997, 8191, 8192, 16_384, 65_536, 65_543])
    def test_may_arrive_in_chunks_of_any_size(self, opcode: int, chunk: int) -> None:
        wire = text(b"first") + frame(FIN | opcode, self.DATA) + text(b"last")
        message = self.DATA.decode() if opcode == TEXT else self.DATA
        assert events_of(new_parser(), *in_chunks(wire, chunk)) == ["first", message, "last"]

    @settings(max_examples=20)
    @given(st.integers(65_536, 90_000), st.binary(min_size=4, max_size=4), st.data())
    def test_may_have_any_size_and_mask(self, size: int, mask: bytes, data: st.DataObject) -> None:
        message = self.DATA[:size]
        wire = frame(FIN | BINARY, message, mask)
        ends = sorted(data.draw(st.sets(st.integers(1, len(wire)), max_size=5)) | {len(wire)})
        chunks = [wire[start:end] for start, end in pairwise([0, *ends])]
        assert events_of(new_parser(), *chunks) == [message]

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_may_be_fragments_with_control_frames_in_between(self, opcode: int) -> None:
        parser = new_parser(max_message_size=4 * len(self.DATA), max_fragments=3)
        wire = frame(opcode, self.DATA) + frame(FIN | PING, b"1")
        wire += frame(CONTINUATION, self.DATA) + frame(FIN | PING, b"2")
        wire += frame(FIN | CONTINUATION, self.DATA)
        message = self.DATA.decode() * 3 if opcode == TEXT else self.DATA * 3
        expected = [Ping(b"1"), Ping(b"2"), message]
        assert events_of(parser, *in_chunks(wire, 20_000)) == expected
        assert events_of(parser, *in_chunks(wire, 20_000)) == expected

    def test_count_as_one_fragment_each(self) -> None:
        parser = new_parser(max_message_size=4 * len(self.DATA), max_fragments=1)
        wire = frame(TEXT, self.DATA) + frame(CONTINUATION)
        *chunks, last = in_chunks(wire, 8192)
        assert events_of(parser, *chunks) == []
        assert_fails(parser, last, CloseCode.MESSAGE_TOO_BIG)

    def test_count_with_all_of_their_size(self) -> None:
        parser = new_parser(max_message_size=len(self.DATA) + 1)
        assert events_of(parser, *in_chunks(frame(TEXT, self.DATA), 8192)) == []
        assert_fails(parser, b"\x80\x82" + MASK, CloseCode.MESSAGE_TOO_BIG)

    def test_fail_before_they_end_if_they_are_no_utf_8(self) -> None:
        wire = text(b"\xff" + self.DATA)
        assert_fails(new_parser(), wire[:10_000], CloseCode.INVALID_DATA)

    def test_fail_if_they_end_within_a_character(self) -> None:
        *chunks, last = in_chunks(text(self.DATA + b"\xe2\x82"), 8192)
        parser = new_parser()
        assert events_of(parser, *chunks) == []
        assert_fails(parser, last, CloseCode.INVALID_DATA)


class TestFragmentation:
    """Section 5.4."""

    @pytest.mark.parametrize(
        ("opcode", "message"), [(TEXT, "h\u00e9llo w\U0001f600rld"), (BINARY, b"\xff\x00\xfe")]
    )
    def test_a_message_may_come_in_any_fragments(self, opcode: int, message: str | bytes) -> None:
        data = message.encode() if isinstance(message, str) else message
        wire = frame(opcode)
        for byte in in_bytes(data):  # also in the midst of a character
            wire += frame(CONTINUATION, byte)
        wire += frame(FIN | CONTINUATION)
        assert events_of(new_parser(), wire + text(b"next")) == [message, "next"]
        assert events_of(new_parser(), *in_bytes(wire)) == [message]

    def test_control_frames_may_come_in_between(self) -> None:
        wire = (
            frame(TEXT, b"one ")
            + frame(FIN | PING, b"?")
            + frame(CONTINUATION, b"two ")
            + frame(FIN | PONG, b"!")
            + frame(FIN | CONTINUATION, b"three")
        )
        assert events_of(new_parser(), wire) == [Ping(b"?"), Pong(b"!"), "one two three"]

    def test_it_is_not_empty_within_a_message(self) -> None:
        parser = new_parser()
        events_of(parser, frame(TEXT, b"one ") + frame(FIN | PONG))
        assert not parser.is_empty
        assert parser.unfinished == 4

        events_of(parser, frame(FIN | CONTINUATION, b"two"))
        assert parser.is_empty
        assert parser.unfinished == 0

    @pytest.mark.parametrize("inflates", [False, True])
    def test_its_parts_take_no_more_memory_than_they_are_counted_for(self, inflates: bool) -> None:
        """A single emoji makes every character of a ``str`` take four bytes."""
        parser = Parser(max_message_size=1_000_000, inflates=inflates)
        data = ("x" * 1000 + "\U0001f600").encode() * 500
        deflater = zlib.compressobj(wbits=-15)
        deflated = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
        wire = frame(RSV1 | TEXT, deflated) if inflates else frame(TEXT, data)
        tracemalloc.start()
        try:
            parser.receive_data(wire)
            del wire
            assert parser.next_event() is None
            taken = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert len(data) <= parser.unfinished <= 1.1 * len(data)
        assert taken <= 1.1 * parser.unfinished

    def test_a_close_in_between_ends_it(self) -> None:
        wire = frame(TEXT, b"one") + frame(FIN | CLOSE) + frame(FIN | CONTINUATION, b"two")
        assert events_of(new_parser(), wire) == [Close(None, "")]

    @pytest.mark.parametrize("first", [CONTINUATION, FIN | CONTINUATION])
    def test_a_continuation_needs_a_message(self, first: int) -> None:
        assert_fails(new_parser(), frame(first, b"x"), CloseCode.PROTOCOL_ERROR)
        parser = new_parser()
        assert events_of(parser, text(b"whole")) == ["whole"]
        assert_fails(parser, frame(first, b"x"), CloseCode.PROTOCOL_ERROR)

    @pytest.mark.parametrize("first", [TEXT, FIN | TEXT, BINARY, FIN | BINARY])
    def test_messages_do_not_nest(self, first: int) -> None:
        wire = frame(TEXT, b"one") + frame(first, b"two")
        assert_fails(new_parser(), wire, CloseCode.PROTOCOL_ERROR)

    @pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
    def test_control_frames_are_never_fragmented(self, opcode: int) -> None:
        assert_fails(new_parser(), frame(opcode), CloseCode.PROTOCOL_ERROR)


class TestControlFrames:
    """Section 5.5."""

    @pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
    def test_a_control_frame_has_at_most_125_bytes(self, opcode: int) -> None:
        data = b"\x03\xe8" + b"x" * 123
        assert len(events_of(new_parser(), frame(FIN | opcode, data))) == 1
        assert_fails(new_parser(), frame(FIN | opcode, data + b"x"), CloseCode.PROTOCOL_ERROR)

    @pytest.mark.parametrize(
        "code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
    )
    def test_a_close_may_have_these_codes(self, code: int) -> None:
        wire = frame(FIN | CLOSE, code.to_bytes(2) + "adiós".encode())
        assert events_of(new_parser(), wire) == [Close(code, "adiós")]

    @pytest.mark.parametrize(
        "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535]
    )
    def test_a_close_may_not_have_these_codes(self, code: int) -> None:
        wire = frame(FIN | CLOSE, code.to_bytes(2))
        assert_fails(new_parser(), wire, CloseCode.PROTOCOL_ERROR)

    def test_a_close_with_half_a_code_is_refused(self) -> None:
        assert_fails(new_parser(), frame(FIN | CLOSE, b"\x03"), CloseCode.PROTOCOL_ERROR)

    def test_a_closes_reason_is_utf_8(self) -> None:
        assert_fails(new_parser(), frame(FIN | CLOSE, b"\x03\xe8\xff"), CloseCode.INVALID_DATA)

    def test_nothing_is_parsed_after_a_close(self) -> None:
        parser = new_parser()
        assert events_of(parser, frame(FIN | CLOSE) + b"\xff\xff") == [Close(None, "")]
        assert events_of(parser, b"\xff\xff", text(b"late")) == []


class TestUTF8:
    """Sections 5.6 and 8.1."""

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"\xff", id="no UTF-8 at all"),
            pytest.param(b"a\x80", id="stray continuation byte"),
            pytest.param(b"\xe2\x82", id="cut off"),
            pytest.param(b"\xc0\xaf", id="overlong"),
            pytest.param(b"\xed\xa0\x80", id="surrogate"),
            pytest.param(b"\xf4\x90\x80\x80", id="beyond Unicode"),
        ],
    )
    def test_text_must_be_utf_8(self, data: bytes) -> None:
        assert_fails(new_parser(), text(data), CloseCode.INVALID_DATA)
        fragments = b"".join(frame(CONTINUATION, byte) for byte in in_bytes(data))
        wire = frame(TEXT) + fragments + frame(FIN | CONTINUATION)
        assert_fails(new_parser(), wire, CloseCode.INVALID_DATA)

    def test_a_bad_fragment_fails_before_the_message_ends(self) -> None:
        assert_fails(new_parser(), frame(TEXT, b"fine \xff"), CloseCode.INVALID_DATA)

    def test_binary_messages_need_not_be_utf_8(self) -> None:
        assert events_of(new_parser(), frame(FIN | BINARY, b"\xff")) == [b"\xff"]


class TestLimits:
    """Section 10.4: what one message may cost."""

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_a_message_may_be_as_large_as_allowed(self, opcode: int) -> None:
        (event,) = events_of(new_parser(max_message_size=1000), frame(FIN | opcode, b"x" * 1000))
        assert len(event) == 1000  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "header",
        [
            pytest.param(b"\x81\xfe\x03\xe9", id="text"),
            pytest.param(b"\x82\xfe\x03\xe9", id="binary"),
            pytest.param(b"\x01\xfe\x03\xe9", id="first fragment"),
            pytest.param(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", id="more than memory"),
        ],
    )
    def test_a_larger_one_is_refused_by_its_header(self, header: bytes) -> None:
        parser = new_parser(max_message_size=1000)
        assert_fails(parser, header + MASK, CloseCode.MESSAGE_TOO_BIG)

    def test_fragments_count_together(self) -> None:
        parser = new_parser(max_message_size=10)
        wire = frame(TEXT, b"12345") + frame(CONTINUATION, b"67890")
        assert events_of(parser, wire + frame(FIN | CONTINUATION)) == ["1234567890"]
        assert events_of(parser, wire) == []
        assert_fails(parser, b"\x80\x81" + MASK, CloseCode.MESSAGE_TOO_BIG)

    def test_each_message_has_the_limit_to_itself(self) -> None:
        wire = frame(BINARY, b"12345") + frame(FIN | CONTINUATION, b"67890")
        assert events_of(new_parser(max_message_size=10), wire * 3) == [b"1234567890"] * 3

    def test_control_frames_do_not_count(self) -> None:
        wire = frame(TEXT, b"12") + frame(FIN | PING, b"12345") + frame(FIN | CONTINUATION, b"3")
        assert events_of(new_parser(max_message_size=3), wire) == [Ping(b"12345"), "123"]

    def test_a_message_may_have_as_many_fragments_as_allowed(self) -> None:
        parser = new_parser(max_fragments=3)
        wire = frame(TEXT) + frame(CONTINUATION) + frame(FIN | CONTINUATION)
        assert events_of(parser, wire, wire) == ["", ""]
        wire = frame(TEXT) + frame(CONTINUATION) * 3
        assert_fails(parser, wire, CloseCode.MESSAGE_TOO_BIG)

    def test_a_message_of_few_bytes_may_have_few_fragments(self) -> None:
        wire = frame(TEXT) + frame(CONTINUATION) * 62
        assert events_of(new_parser(), wire + frame(FIN | CONTINUATION)) == [""]
        assert_fails(new_parser(), wire + frame(CONTINUATION) * 2, CloseCode.MESSAGE_TOO_BIG)

    def test_a_message_may_have_another_fragment_for_each_256_bytes(self) -> None:
        wire = frame(BINARY, bytes(10 * 1024)) + frame(CONTINUATION) * 102
        assert events_of(new_parser(), wire + frame(FIN | CONTINUATION)) == [bytes(10 * 1024)]
        assert_fails(new_parser(), wire + frame(CONTINUATION) * 2, CloseCode.MESSAGE_TOO_BIG)

    @pytest.mark.parametrize("size", [1024, 4096])
    def test_a_large_message_may_come_in_fragments_of_kilobytes(self, size: int) -> None:
        parser = new_parser(max_message_size=1_000_000)
        count = 1_000_000 // size
        wire = frame(BINARY, bytes(size)) + frame(CONTINUATION, bytes(size)) * (count - 1)
        assert events_of(parser, wire + frame(FIN | CONTINUATION)) == [bytes(size * count)]

    def test_the_limit_is_named(self) -> None:
        parser = new_parser(max_message_size=10)
        parser.receive_data(text(b"x" * 11))
        with pytest.raises(ProtocolError, match="at most 10 bytes"):
            parser.next_event()


class TestFailing:
    """Section 7.1.7: what is right comes through, and what is wrong ends it."""

    def test_what_came_before_the_error_is_returned_first(self) -> None:
        parser = new_parser()
        parser.receive_data(text(b"1") + frame(FIN | PING) + b"\x81\x00" + text(b"2"))
        assert parser.next_event() == "1"
        assert parser.next_event() == Ping(b"")
        assert_fails(parser, b"", CloseCode.PROTOCOL_ERROR)

    def test_an_error_is_told_by_the_first_two_bytes(self) -> None:
        assert_fails(new_parser(), b"\xc1\xff", CloseCode.PROTOCOL_ERROR)

    @given(st.binary(max_size=200) | FRAMES)
    def test_any_bytes_are_events_or_an_error_however_they_arrive(self, wire: bytes) -> None:
        whole = outcome(new_parser(max_message_size=50, max_fragments=4), [wire])
        split = outcome(new_parser(max_message_size=50, max_fragments=4), in_bytes(wire))
        assert whole == split
