"""Engine.IO packets and payloads, as revision 3 and engine.io-parser 2.x have them."""

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from socketio_server.exceptions import DecodeError
from socketio_server.protocol import engineio, engineio3
from socketio_server.protocol.engineio import Packet, PacketType
from socketio_server.protocol.engineio3 import (
    BINARY_CONTENT_TYPE,
    decode_binary_packet,
    decode_packet,
    decode_payload,
    encode_binary,
    encode_binary_packet,
    encode_open,
    encode_payload,
)

MESSAGE = PacketType.MESSAGE

# Packets, and the payloads that they make in both forms.
PAYLOADS = [
    ([Packet(MESSAGE, "hello")], b"6:4hello", b"\x00\x06\xff4hello"),
    ([Packet(PacketType.PING)], b"1:2", b"\x00\x01\xff2"),
    ([Packet(PacketType.PING, "probe")], b"6:2probe", b"\x00\x06\xff2probe"),
    ([Packet(MESSAGE, "")], b"1:4", b"\x00\x01\xff4"),
    (
        [Packet(MESSAGE, "a:b"), Packet(PacketType.CLOSE), Packet(MESSAGE, "3:4")],
        b"4:4a:b1:14:43:4",
        b"\x00\x04\xff4a:b\x00\x01\xff1\x00\x04\xff43:4",
    ),
    ([Packet(MESSAGE, "x" * 123)], b"124:4" + b"x" * 123, b"\x00\x01\x02\x04\xff4" + b"x" * 123),
    # A euro sign is one code unit and three bytes, an emoji two and four.
    (
        [Packet(MESSAGE, "\u20ac"), Packet(PacketType.PONG)],
        b"2:4\xe2\x82\xac1:3",
        b"\x00\x04\xff4\xe2\x82\xac\x00\x01\xff3",
    ),
    (
        [Packet(MESSAGE, "\U0001f600"), Packet(MESSAGE, "a\U0001f600b\U0001f600")],
        b"3:4\xf0\x9f\x98\x807:4a\xf0\x9f\x98\x80b\xf0\x9f\x98\x80",
        b"\x00\x05\xff4\xf0\x9f\x98\x80\x00\x01\x01\xff4a\xf0\x9f\x98\x80b\xf0\x9f\x98\x80",
    ),
    ([Packet(MESSAGE, b"\x01\x02\x03\x04")], b"10:b4AQIDBA==", b"\x01\x05\xff\x04\x01\x02\x03\x04"),
    (
        [Packet(MESSAGE, "\u20ac"), Packet(MESSAGE, b""), Packet(MESSAGE, b"\xff\x00")],
        b"2:4\xe2\x82\xac2:b46:b4/wA=",
        b"\x00\x04\xff4\xe2\x82\xac\x01\x01\xff\x04\x01\x03\xff\x04\xff\x00",
    ),
]

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MESSAGES = st.lists(TEXT | st.binary(), min_size=1, max_size=16)


def binary_payload(packets: list[Packet]) -> bytes:
    """Join packets as clients do, in the binary form; the server always sends the text form."""
    body = b""
    for packet, wire in zip(packets, map(as_binary, packets), strict=True):
        is_binary = isinstance(packet.data, bytes)
        digits = bytes(map(int, str(len(wire))))
        body += b"%c%b\xff%b" % (is_binary, digits, wire)
    return body


class TestPackets:
    """Section "Packet"."""

    @pytest.mark.parametrize(
        ("wire", "packet"),
        [
            ("0", Packet(PacketType.OPEN)),
            ("1", Packet(PacketType.CLOSE)),
            ("2", Packet(PacketType.PING)),
            ("2probe", Packet(PacketType.PING, "probe")),
            ("3probe", Packet(PacketType.PONG, "probe")),
            ("4hello", Packet(MESSAGE, "hello")),
            ("4\u20ac \U0001f600", Packet(MESSAGE, "\u20ac \U0001f600")),
            ("4", Packet(MESSAGE)),
            ("5", Packet(PacketType.UPGRADE)),
            ("6", Packet(PacketType.NOOP)),
            ("b4AQIDBA==", Packet(MESSAGE, b"\x01\x02\x03\x04")),
            ("b4", Packet(MESSAGE, b"")),
        ],
    )
    def test_a_text_packet_is_its_type_and_its_data(self, wire: str, packet: Packet) -> None:
        assert decode_packet(wire) == packet

    @pytest.mark.parametrize(
        "wire",
        [
            pytest.param("", id="empty"),
            pytest.param("7", id="no such type"),
            pytest.param("hello", id="no type"),
            pytest.param("\u0664hello", id="Arabic digit"),
            pytest.param("\x04hello", id="binary type in text"),
            pytest.param("b", id="base64 without a type"),
            pytest.param("bAQIDBA==", id="base64 as in revision 4"),
            pytest.param("b2AQIDBA==", id="binary ping"),
            pytest.param("b4AQIDBA", id="base64 without padding"),
            pytest.param("b4AQ ID", id="space in base64"),
            pytest.param("b4AQ-_", id="base64 of the other alphabet"),
            pytest.param("b4\u00e4\u00e4", id="base64 that is not ASCII"),
            pytest.param("b\u0664AQIDBA==", id="Arabic digit before base64"),
        ],
    )
    def test_a_bad_text_packet_is_an_error(self, wire: str) -> None:
        with pytest.raises(DecodeError):
            decode_packet(wire)

    @given(st.binary())
    def test_a_binary_message_has_its_type_in_its_first_byte(self, data: bytes) -> None:
        wire = encode_binary_packet(data)
        assert wire == b"\x04" + data
        assert decode_binary_packet(wire) == Packet(MESSAGE, data)

    @given(st.binary())
    def test_a_binary_message_survives_base64(self, data: bytes) -> None:
        wire = encode_binary(data)
        assert wire == b"b4" + base64.b64encode(data)
        assert decode_packet(wire.decode()) == Packet(MESSAGE, data)

    @pytest.mark.parametrize("wire", [b"", b"4hello", b"\x02probe", b"\x00", b"\x07", b"\xff"])
    def test_only_messages_are_binary(self, wire: bytes) -> None:
        with pytest.raises(DecodeError):
            decode_binary_packet(wire)

    @given(st.text() | st.text("b4AQ=").map("b4".__add__))
    def test_any_text_is_a_packet_or_an_error(self, wire: str) -> None:
        try:
            packet = decode_packet(wire)
        except DecodeError:
            return
        if isinstance(packet.data, bytes):
            assert encode_binary(packet.data).startswith(b"b4")
        else:
            assert f"{packet.type:d}{packet.data}" == wire


class TestTextPayloads:
    """Section "Payload": lengths in UTF-16 code units, binary messages in base64."""

    @pytest.mark.parametrize(("packets", "body", "_"), PAYLOADS)
    def test_each_packet_has_its_length_before_it(
        self, packets: list[Packet], body: bytes, _: bytes
    ) -> None:
        assert list(decode_payload(body, 16)) == packets
        assert encode_payload(map(as_text, packets)) == body

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"0:", id="no packets as engine.io-parser writes it"),
            pytest.param(b"6:4hello0:", id="empty last packet"),
            pytest.param(b":", id="no length"),
            pytest.param(b"4hello", id="no length and no colon"),
            pytest.param(b"4hello\x1e2", id="payload of revision 4"),
            pytest.param(b"6", id="length only"),
            pytest.param(b"6:", id="nothing after the length"),
            pytest.param(b"6:4hell", id="shorter than it says"),
            pytest.param(b"5:4hello", id="longer than it says"),
            pytest.param(b"6:4hello6", id="half a length after it"),
            pytest.param(b"6:4hello\n", id="newline after it"),
            pytest.param(b"06:4hello", id="leading zero"),
            pytest.param(b"+6:4hello", id="sign"),
            pytest.param(b"-6:4hello", id="minus sign"),
            pytest.param(b" 6:4hello", id="space"),
            pytest.param(b"6 :4hello", id="space before the colon"),
            pytest.param(b"6.0:4hello", id="fraction"),
            pytest.param(b"6e0:4hello", id="exponent"),
            pytest.param(b"0x6:4hello", id="hexadecimal"),
            pytest.param("\u0666:4hello".encode(), id="Arabic digit"),
            pytest.param("\u2076:4hello".encode(), id="superscript digit"),
            pytest.param(b"9999999999:4hello", id="ten digits"),
            pytest.param(b"9" * 100_000 + b":4hello", id="digits without end"),
            pytest.param(b"999999999:4hello", id="far longer than the body"),
            pytest.param(b"5:hello", id="no type"),
            pytest.param(b"1:7", id="unknown type"),
            pytest.param(b"2:4\xff", id="not UTF-8"),
            pytest.param(b"2:4\xed\xa0\x80", id="surrogate in UTF-8"),
            pytest.param(b"\xef\xbb\xbf1:2", id="byte order mark"),
            pytest.param(b"4:4\xe2\x82\xac", id="length in bytes"),
            pytest.param(b"2:4\xf0\x9f\x98\x80", id="length in characters"),
            pytest.param(b"2:4\xf0\x9f\x98\x801:2", id="length ends within a character"),
            pytest.param(b"9:b4AQIDBA=", id="base64 without padding"),
            pytest.param(b"9:bAQIDBA==", id="base64 without a type"),
            pytest.param(b"\x00\x06\xff4hello", id="binary form"),
        ],
    )
    def test_one_bad_packet_spoils_the_payload(self, body: bytes) -> None:
        with pytest.raises(DecodeError):
            list(decode_payload(body, 16))

    def test_as_many_packets_as_allowed_may_come(self) -> None:
        assert len(list(decode_payload(b"1:2" * 16, 16))) == 16

    def test_one_packet_more_is_an_error_that_names_the_limit(self) -> None:
        with pytest.raises(DecodeError, match="more than 16 packets"):
            list(decode_payload(b"1:2" * 17, 16))

    def test_nothing_is_looked_at_beyond_the_limit(self) -> None:
        with pytest.raises(DecodeError, match="more than 16 packets"):
            list(decode_payload(b"1:2" * 17 + b"rubbish", 16))

    @given(MESSAGES)
    @example(["\U0001f600", "\uffff\U00010000", "1:2", "", b""])
    def test_messages_survive_a_payload(self, messages: list[str | bytes]) -> None:
        packets = [Packet(MESSAGE, message) for message in messages]
        assert list(decode_payload(encode_payload(map(as_text, packets)), 16)) == packets

    @given(
        st.binary()
        | st.lists(
            st.sampled_from([b"1", b"2", b":", b"4", b"b4", b"AQ==", b"\xf0\x9f\x98\x80", b"\xff"])
        ).map(b"".join)
    )
    def test_any_body_is_packets_or_an_error(self, body: bytes) -> None:
        try:
            packets = list(decode_payload(body, 4))
        except DecodeError:
            return
        assert 1 <= len(packets) <= 4
        if body.count(b"b4") == 0:
            assert encode_payload(map(as_text, packets)) == body


class TestBinaryPayloads:
    """Section "Payload", where XHR2 is supported: lengths in bytes, binary messages as they are."""

    @pytest.mark.parametrize(("packets", "_", "body"), PAYLOADS)
    def test_each_packet_has_its_kind_and_length_before_it(
        self, packets: list[Packet], _: bytes, body: bytes
    ) -> None:
        assert list(decode_payload(body, 16, content_type=BINARY_CONTENT_TYPE)) == packets
        assert binary_payload(packets) == body

    @pytest.mark.parametrize(
        "content_type",
        ["application/octet-stream", "Application/Octet-Stream; charset=UTF-8"],
    )
    def test_the_content_type_tells_the_form(self, content_type: str) -> None:
        body = b"\x01\x02\xff\x04x"
        assert list(decode_payload(body, 1, content_type=content_type)) == [Packet(MESSAGE, b"x")]
        with pytest.raises(DecodeError):
            list(decode_payload(b"1:2", 1, content_type=content_type))

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain;charset=UTF-8", "text/plain", "application/octet-streams"]
    )
    def test_every_other_content_type_is_text(self, content_type: str) -> None:
        assert list(decode_payload(b"1:2", 1, content_type=content_type)) == [
            Packet(PacketType.PING)
        ]

    def test_a_text_packet_may_be_a_binary_message_in_base64(self) -> None:
        body = b"\x00\x06\xffb4AQ=="
        assert list(decode_payload(body, 1, content_type=BINARY_CONTENT_TYPE)) == [
            Packet(MESSAGE, b"\x01")
        ]

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"\x00", id="kind only"),
            pytest.param(b"\x00\x06", id="no end of the length"),
            pytest.param(b"\x00\xff", id="no length"),
            pytest.param(b"\x00\x00\xff", id="empty packet"),
            pytest.param(b"\x00\x06\xff", id="nothing after the length"),
            pytest.param(b"\x00\x06\xff4hell", id="shorter than it says"),
            pytest.param(b"\x00\x05\xff4hello", id="longer than it says"),
            pytest.param(b"\x02\x06\xff4hello", id="unknown kind"),
            pytest.param(b"\x00\x0a\xff4hello", id="no digit"),
            pytest.param(b"\x006\xff4hello", id="ASCII digit"),
            pytest.param(b"\x00\x00\x06\xff4hello", id="leading zero"),
            pytest.param(b"\x00" + b"\x09" * 9 + b"\xff4hello", id="far longer than the body"),
            pytest.param(b"\x00" + b"\x09" * 10 + b"\xff4hello", id="ten digits"),
            pytest.param(b"\x00" + b"\x01" * 100_000, id="digits without end"),
            pytest.param(b"\x00\x01\xff7", id="unknown type"),
            pytest.param(b"\x00\x02\xff4\xff", id="not UTF-8"),
            pytest.param(b"\x00\x03\xff4\xf0\x9f\x98\x80", id="length in code units"),
            pytest.param(b"\x01\x06\xff4hello", id="type as a digit in a binary packet"),
            pytest.param(b"\x01\x01\xff\x02", id="binary ping"),
            pytest.param(b"6:4hello", id="text form"),
        ],
    )
    def test_one_bad_packet_spoils_the_payload(self, body: bytes) -> None:
        with pytest.raises(DecodeError):
            list(decode_payload(body, 16, content_type=BINARY_CONTENT_TYPE))

    def test_packets_are_limited(self) -> None:
        body = b"\x00\x01\xff2" * 16
        assert len(list(decode_payload(body, 16, content_type=BINARY_CONTENT_TYPE))) == 16
        with pytest.raises(DecodeError, match="more than 15 packets"):
            list(decode_payload(body, 15, content_type=BINARY_CONTENT_TYPE))

    @given(MESSAGES)
    def test_messages_survive_a_payload(self, messages: list[str | bytes]) -> None:
        packets = [Packet(MESSAGE, message) for message in messages]
        body = binary_payload(packets)
        assert list(decode_payload(body, 16, content_type=BINARY_CONTENT_TYPE)) == packets

    @given(
        st.binary()
        | st.lists(
            st.sampled_from([b"\x00", b"\x01", b"\x02", b"\xff", b"\x04", b"4", b"2", b"\x09"])
        ).map(b"".join)
    )
    def test_any_body_is_packets_or_an_error(self, body: bytes) -> None:
        try:
            packets = list(decode_payload(body, 4, content_type=BINARY_CONTENT_TYPE))
        except DecodeError:
            return
        assert 1 <= len(packets) <= 4
        if b"b4" not in body:
            assert binary_payload(packets) == body


class TestHandshake:
    """Section "Anatomy of an Engine.IO session"."""

    def test_the_open_packet_is_revision_4s_without_max_payload(self) -> None:
        wire = encode_open(
            sid="lv_VI97HAXpY6yYWAAAC", upgrades=["websocket"], ping_interval=25.0, ping_timeout=0.3
        )
        assert wire == (
            b'0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],'
            b'"pingInterval":25000,"pingTimeout":300}'
        )
        newer = engineio.encode_open(
            sid="x", upgrades=(), ping_interval=1.0, ping_timeout=1.0, max_payload=1
        )
        assert set(json.loads(newer[1:])) - set(json.loads(wire[1:])) == {"maxPayload"}

    def test_the_revision_is_three(self) -> None:
        assert engineio3.PROTOCOL_VERSION == 3


def as_text(packet: Packet) -> bytes:
    """Return what the packet looks like in a text payload."""
    if isinstance(packet.data, bytes):
        return encode_binary(packet.data)
    return f"{packet.type:d}{packet.data}".encode()


def as_binary(packet: Packet) -> bytes:
    """Return what the packet looks like in a binary payload."""
    if isinstance(packet.data, bytes):
        return encode_binary_packet(packet.data)
    return as_text(packet)
