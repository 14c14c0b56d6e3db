"""The frames that the server writes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socketio_server.protocol.websocket.frames import (
    CloseCode,
    Opcode,
    encode_close,
    encode_frame,
)
from tests.protocol.websocket.steps import events_of, new_parser


class TestEncoding:
    """Frames that the server sends: whole and never masked (section 5.1)."""

    @pytest.mark.parametrize(
        ("opcode", "data", "wire"),
        [
            (Opcode.TEXT, b"Hello", b"\x81\x05Hello"),
            (Opcode.TEXT, b"", b"\x81\x00"),
            (Opcode.BINARY, b"\xff", b"\x82\x01\xff"),
            (Opcode.PING, b"", b"\x89\x00"),
            (Opcode.PONG, b"Hello", b"\x8a\x05Hello"),
            (Opcode.TEXT, b"x" * 125, b"\x81\x7d" + b"x" * 125),
            (Opcode.TEXT, b"x" * 126, b"\x81\x7e\x00\x7e" + b"x" * 126),
            (Opcode.BINARY, b"x" * 65535, b"\x82\x7e\xff\xff" + b"x" * 65535),
            (Opcode.BINARY, b"x" * 65536, b"\x82\x7f\0\0\0\0\0\1\0\0" + b"x" * 65536),
        ],
    )
    def test_the_length_takes_its_shortest_form(
        self, opcode: Opcode, data: bytes, wire: bytes
    ) -> None:
        assert encode_frame(opcode, data) == wire

    @pytest.mark.parametrize(
        ("code", "reason", "wire"),
        [
            (None, "", b"\x88\x00"),
            (CloseCode.NORMAL_CLOSURE, "", b"\x88\x02\x03\xe8"),
            (CloseCode.GOING_AWAY, "bye", b"\x88\x05\x03\xe9bye"),
            (4000, "adi\u00f3s", b"\x88\x08\x0f\xa0adi\xc3\xb3s"),
            (1000, "x" * 124, b"\x88\x7d\x03\xe8" + b"x" * 123),
            (1000, "x" * 122 + "\u20ac", b"\x88\x7c\x03\xe8" + b"x" * 122),
            (1000, "\ud800", b"\x88\x03\x03\xe8?"),
        ],
    )
    def test_a_close_has_a_code_and_as_much_reason_as_fits(
        self, code: int | None, reason: str, wire: bytes
    ) -> None:
        assert encode_close(code, reason) == wire

    @settings(max_examples=50)
    @given(st.text(st.characters(exclude_categories=["Cs"])) | st.binary())
    def test_what_is_encoded_is_what_is_parsed(self, message: str | bytes) -> None:
        is_text = isinstance(message, str)
        data = message.encode() if isinstance(message, str) else message
        sent = encode_frame(Opcode.TEXT if is_text else Opcode.BINARY, data)
        header = sent[: len(sent) - len(data)]
        masked = bytes([header[0], header[1] | 0x80]) + header[2:] + bytes(4) + data
        assert events_of(new_parser(), masked) == [message]
