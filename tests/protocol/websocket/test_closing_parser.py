"""What a client sends between our close frame and its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.protocol.websocket.closing_parser import ClosingParser
from socketio_server.protocol.websocket.frames import Close, CloseCode, Ping, Pong
from socketio_server.protocol.websocket.parser import Parser
from tests.protocol.websocket.steps import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    FRAMES,
    PING,
    PONG,
    TEXT,
    assert_fails,
    events_of,
    frame,
    in_bytes,
    in_chunks,
    new_parser,
    outcome,
    text,
)

CLOSED = frame(FIN | CLOSE, b"\x03\xe8bye")


def closing_after(*chunks: bytes, parser: Parser | None = None) -> ClosingParser:
    """Return the parser that goes on after some bytes were received and handled."""
    parser = parser or new_parser()
    events_of(parser, *chunks)
    return ClosingParser(parser)


def kept(parser: ClosingParser) -> int:
    """Return how many bytes are held."""
    return len(parser._buffer)


class TestAfterOurClose:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
    @pytest.mark.parametrize("piece", [7, 65_536, 1_000_000])
    def test_messages_are_empty(self, size: int, piece: int) -> None:
        wire = frame(FIN | BINARY, b"x" * size) + CLOSED
        assert events_of(closing_after(), *in_chunks(wire, piece)) == ["", Close(1000, "bye")]

    def test_they_are_thrown_away_as_they_arrive(self) -> None:
        parser = closing_after()
        wire = frame(FIN | TEXT, b"x" * 100_000)
        for chunk in in_chunks(wire, 1000):
            events_of(parser, chunk)
            assert kept(parser) == 0

    def test_control_frames_arrive_whole(self) -> None:
        wire = (
            text(b"one")
            + frame(FIN | PING, b"ping")
            + frame(BINARY, b"two")
            + frame(FIN | PONG, b"x" * 125)
            + frame(FIN | CONTINUATION, b"three")
            + CLOSED
            + text(b"behind it")
        )
        events = ["", Ping(b"ping"), "", Pong(b"x" * 125), "", Close(1000, "bye")]
        assert events_of(closing_after(), wire) == events
        assert events_of(closing_after(), *in_bytes(wire)) == events

    @pytest.mark.parametrize(
        ("wire", "size"),
        [
            pytest.param(text(b"hello"), 1, id="one byte of a head"),
            pytest.param(text(b"hello"), 4, id="most of a head"),
            pytest.param(text(b"hello"), 8, id="some of a frame"),
            pytest.param(frame(FIN | BINARY, b"x" * 90_000), 80_000, id="most of a large one"),
            pytest.param(frame(TEXT, b"hel") + frame(FIN, b"lo"), 9, id="a fragment"),
            pytest.param(frame(FIN | PING, b"ping"), 8, id="some of a control frame"),
        ],
    )
    def test_the_frame_under_way_is_taken_to_its_end(self, wire: bytes, size: int) -> None:
        parser = closing_after(wire[:size])

        assert events_of(parser, wire[size:] + CLOSED)[-1] == Close(1000, "bye")
        assert kept(parser) == 0

    def test_data_of_a_frame_under_way_is_not_taken_for_a_frame(self) -> None:
        data = text(b"hello")
        parser: Parser = closing_after()
        assert events_of(parser, frame(FIN | BINARY, data)[: -len(data)]) == [""]

        assert parser.take_text(data) is None
        assert events_of(parser, data, CLOSED) == [Close(1000, "bye")]

    def test_nothing_of_a_message_under_way_is_kept(self) -> None:
        parser = new_parser()
        events_of(parser, frame(BINARY, b"x" * 1000), frame(FIN, b"x" * 90_000)[:80_000])
        assert parser.unfinished > 80_000

        closing = ClosingParser(parser)
        events_of(closing, b"x")
        assert closing.unfinished == 0

    def test_compressed_messages_are_not_inflated(self) -> None:
        parser = Parser(max_message_size=1000, inflates=True)
        nonsense = frame(FIN | 0x40 | TEXT, b"\xff" * 20)
        assert events_of(closing_after(parser=parser), nonsense + CLOSED) == [
            "",
            Close(1000, "bye"),
        ]

    @pytest.mark.parametrize(
        ("wire", "code"),
        [
            (b"\x81\x05hello", CloseCode.PROTOCOL_ERROR),
            (b"\x83\x80", CloseCode.PROTOCOL_ERROR),
            (b"\xc1\x80", CloseCode.PROTOCOL_ERROR),
            (b"\x09\x80", CloseCode.PROTOCOL_ERROR),
            (b"\x89\xfe", CloseCode.PROTOCOL_ERROR),
            (b"\x82\xfe\x00\x01\x00\x00\x00\x00", CloseCode.PROTOCOL_ERROR),
            (b"\x82\xff\x00\x00\x00\x00\xff\xff\xff\xff" + bytes(4), CloseCode.MESSAGE_TOO_BIG),
            (frame(FIN | CLOSE, b"\x03"), CloseCode.PROTOCOL_ERROR),
        ],
    )
    def test_what_is_no_frame_is_refused(self, wire: bytes, code: CloseCode) -> None:
        assert_fails(closing_after(), wire, code)

    def test_a_failure_before_it_stays_one(self) -> None:
        parser = new_parser()
        assert_fails(parser, b"\x83\x80", CloseCode.PROTOCOL_ERROR)
        assert_fails(ClosingParser(parser), b"", CloseCode.PROTOCOL_ERROR)

    def test_nothing_follows_the_client_s_close(self) -> None:
        assert events_of(closing_after(CLOSED), text(b"hello")) == []


class TestWhateverComes:
    @given(wire=FRAMES | st.binary(max_size=60), size=st.integers(1, 20))
    def test_it_is_the_same_however_it_comes(self, wire: bytes, size: int) -> None:
        parser = closing_after()
        assert outcome(closing_after(), [wire]) == outcome(parser, in_chunks(wire, size))
        assert kept(parser) <= 131

    @given(wire=FRAMES)
    def test_control_frames_are_those_that_would_have_been(self, wire: bytes) -> None:
        events, code = outcome(new_parser(), [wire])
        if code is None:
            controls = [event for event in events if not isinstance(event, str | bytes)]
            found, _ = outcome(closing_after(), [wire])
            assert [event for event in found if event != ""] == controls
