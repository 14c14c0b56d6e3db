"""Frames of a client, byte by byte, and what a parser makes of them."""

from itertools import cycle

import pytest
from hypothesis import strategies as st

from socketio_server.exceptions import ProtocolError
from socketio_server.protocol.websocket.frames import Close, CloseCode, Ping, Pong
from socketio_server.protocol.websocket.parser import Parser

Event = str | bytes | Ping | Pong | Close

MASK = b"\x37\xfa\x21\x3d"  # of the RFC's examples
FIN = 0x80
CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
CLOSE, PING, PONG = 0x8, 0x9, 0xA


def frame(first: int, data: bytes = b"", mask: bytes = MASK) -> bytes:
    """Return a client's frame, masked byte by byte as section 5.3 has it."""
    size = len(data)
    if size <= 125:
        length = bytes([0x80 | size])
    elif size <= 0xFFFF:
        length = bytes([0x80 | 126]) + size.to_bytes(2)
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8)
    masked = bytes(byte ^ key for byte, key in zip(data, cycle(mask), strict=False))
    return bytes([first]) + length + mask + masked


def text(data: bytes) -> bytes:
    """Return a text message in one frame."""
    return frame(FIN | TEXT, data)


def new_parser(*, max_message_size: int = 100_000, max_fragments: int = 1024) -> Parser:
    """Return a parser with room enough for the examples."""
    return Parser(max_message_size=max_message_size, max_fragments=max_fragments)


def events_of(parser: Parser, *chunks: bytes) -> list[Event]:
    """Feed a parser and return every event that comes out."""
    events = []
    for chunk in chunks:
        parser.receive_data(chunk)
        while (event := parser.next_event()) is not None:
            events.append(event)
    return events


def in_bytes(data: bytes) -> list[bytes]:
    """Return data in chunks of one byte."""
    return in_chunks(data, 1)


def in_chunks(data: bytes, size: int) -> list[bytes]:
    """Return data in chunks of some bytes."""
    return [data[i : i + size] for i in range(0, len(data), size)]


def assert_fails(parser: Parser, data: bytes, code: CloseCode) -> None:
    """Check that the next event is this failure, and stays it."""
    parser.receive_data(data)
    for _ in range(2):
        with pytest.raises(ProtocolError) as raised:
            parser.next_event()
        assert raised.value.code == code
        assert len(raised.value.reason.encode()) <= 123
        parser.receive_data(text(b"too late"))


# Frames that are well formed each by itself, nearly all, but not always in this order.
FRAMES = st.lists(
    st.builds(
        frame,
        st.sampled_from([0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x09, 0xC1]),
        st.binary(max_size=20) | st.text(max_size=5).map(str.encode),
    ),
    max_size=8,
).map(b"".join)


def outcome(parser: Parser, chunks: list[bytes]) -> tuple[list[Event], int | None]:
    """Return the events, and the close code of the failure after them if there was one."""
    events: list[Event] = []
    try:
        for chunk in chunks:
            parser.receive_data(chunk)
            while (event := parser.next_event()) is not None:
                events.append(event)
    except ProtocolError as error:
        return events, error.code
    return events, None
