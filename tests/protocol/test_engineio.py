"""Engine.IO packets and payloads, as the protocol's revision 4 describes them."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.exceptions import DecodeError
from socketio_server.protocol import engineio
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import (
    ErrorCode,
    Packet,
    PacketType,
    decode_packet,
    decode_payload,
    encode_binary,
    encode_error,
    encode_open,
    encode_payload,
)

PACKETS = [
    ("0", Packet(PacketType.OPEN)),
    ("1", Packet(PacketType.CLOSE)),
    ("2", Packet(PacketType.PING)),
    ("2probe", Packet(PacketType.PING, "probe")),
    ("3", Packet(PacketType.PONG)),
    ("3probe", Packet(PacketType.PONG, "probe")),
    ("4hello", Packet(PacketType.MESSAGE, "hello")),
    ("4€ 😀", Packet(PacketType.MESSAGE, "€ 😀")),
    ("44", Packet(PacketType.MESSAGE, "4")),
    ("4", Packet(PacketType.MESSAGE, "")),
    ("5", Packet(PacketType.UPGRADE)),
    ("6", Packet(PacketType.NOOP)),
    ("bAQID", Packet(PacketType.MESSAGE, b"\x01\x02\x03")),  # ``forceBase64`` over WebSocket
    ("b", Packet(PacketType.MESSAGE, b"")),
]

PAYLOADS = [
    (b"4hello", [Packet(PacketType.MESSAGE, "hello")]),
    # The specification's example.
    (
        b"4hello\x1e2\x1e4world",
        [
            Packet(PacketType.MESSAGE, "hello"),
            Packet(PacketType.PING),
            Packet(PacketType.MESSAGE, "world"),
        ],
    ),
    (
        b"4hello\x1ebAQIDBA==",
        [Packet(PacketType.MESSAGE, "hello"), Packet(PacketType.MESSAGE, b"\x01\x02\x03\x04")],
    ),
    (
        b"4\xe2\x82\xac\x1e3\x1eb",
        [
            Packet(PacketType.MESSAGE, "€"),
            Packet(PacketType.PONG),
            Packet(PacketType.MESSAGE, b""),
        ],
    ),
]


class TestPacketEncoding:
    """Section "Packet encoding"."""

    @pytest.mark.parametrize(("wire", "packet"), PACKETS)
    def test_a_packet_is_its_type_and_its_data(self, wire: str, packet: Packet) -> None:
        assert decode_packet(wire) == packet

    @pytest.mark.parametrize(
        "wire",
        [
            pytest.param("", id="empty"),
            pytest.param("7", id="no such type"),
            pytest.param("hello", id="no type"),
            pytest.param("bAQIDBA", id="base64 without padding"),
            pytest.param(" 4", id="space"),
            pytest.param("-1", id="sign"),
            pytest.param("\u0664hello", id="Arabic digit"),
            pytest.param("\uff14hello", id="fullwidth digit"),
            pytest.param("\u2074hello", id="superscript digit"),
        ],
    )
    def test_an_empty_packet_or_an_unknown_type_is_an_error(self, wire: str) -> None:
        with pytest.raises(DecodeError):
            decode_packet(wire)

    @given(st.text().filter(lambda text: not text.startswith("b")))
    def test_any_text_is_a_packet_or_an_error(self, wire: str) -> None:
        """A ``b`` begins binary data in base64, which has tests of its own."""
        try:
            packet = decode_packet(wire)
        except DecodeError:
            assert wire[:1] not in tuple("0123456")
        else:
            assert f"{packet.type:d}{packet.data!s}" == wire

    @pytest.mark.parametrize(
        ("wire", "packet"),
        [
            (engineio.CLOSE, Packet(PacketType.CLOSE)),
            (engineio.PING, Packet(PacketType.PING)),
            (engineio.PONG, Packet(PacketType.PONG)),
            (engineio.MESSAGE, Packet(PacketType.MESSAGE)),
            (engineio.UPGRADE, Packet(PacketType.UPGRADE)),
            (engineio.NOOP, Packet(PacketType.NOOP)),
            (engineio.PROBE_PING.encode(), Packet(PacketType.PING, "probe")),
            (engineio.PROBE_PONG, Packet(PacketType.PONG, "probe")),
        ],
    )
    def test_constants_are_packets(self, wire: bytes, packet: Packet) -> None:
        assert decode_packet(wire.decode()) == packet


class TestPayloads:
    """Section "HTTP long-polling": several packets in one body."""

    @pytest.mark.parametrize(("body", "packets"), PAYLOADS)
    def test_packets_are_separated_by_a_record_separator(
        self, body: bytes, packets: list[Packet]
    ) -> None:
        assert list(decode_payload(body, 16)) == packets
        assert encode_payload([as_wire(packet) for packet in packets]) == body

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"\x1e", id="separator only"),
            pytest.param(b"4hello\x1e", id="empty last packet"),
            pytest.param(b"\x1e4hello", id="empty first packet"),
            pytest.param(b"4hello\x1e\x1e2", id="empty packet between"),
            pytest.param(b"4hello\x1e9", id="unknown type"),
            pytest.param(b"4\xff", id="not UTF-8"),
            pytest.param(b"4\xed\xa0\x80", id="surrogate in UTF-8"),
            pytest.param(b"bAQIDBA", id="base64 without padding"),
            pytest.param(b"bAQIDBA==AQ", id="base64 after padding"),
            pytest.param(b"bAQ ID", id="space in base64"),
            pytest.param(b"bAQ-_", id="base64 of the other alphabet"),
            pytest.param(b"b\xc3\xa4\xc3\xa4", id="base64 that is not ASCII"),
        ],
    )
    def test_one_bad_packet_spoils_the_payload(self, body: bytes) -> None:
        with pytest.raises(DecodeError):
            list(decode_payload(body, 16))

    def test_as_many_packets_as_allowed_may_come(self) -> None:
        assert len(list(decode_payload(b"\x1e".join([b"2"] * 16), 16))) == 16

    def test_one_packet_more_is_an_error_that_says_so(self) -> None:
        with pytest.raises(DecodeError, match="17 packets in one payload, at most 16"):
            list(decode_payload(b"\x1e".join([b"2"] * 17), 16))

    def test_separators_count_before_any_packet_is_looked_at(self) -> None:
        with pytest.raises(DecodeError, match="1000001 packets"):
            list(decode_payload(b"\x1e" * 1_000_000, 16))

    @given(st.binary())
    def test_a_binary_message_survives_base64(self, data: bytes) -> None:
        wire = encode_binary(data)
        assert wire == b"b" + base64.b64encode(data)
        assert list(decode_payload(wire, 1)) == [Packet(PacketType.MESSAGE, data)]

    @given(
        st.lists(
            st.text(st.characters(exclude_characters="\x1e", exclude_categories=["Cs"])),
            min_size=1,
            max_size=16,
        )
    )
    def test_text_messages_survive_a_payload(self, messages: list[str]) -> None:
        body = encode_payload([engineio.MESSAGE + message.encode() for message in messages])
        assert [packet.data for packet in list(decode_payload(body, 16))] == messages

    @given(st.binary() | st.lists(st.sampled_from([b"4", b"b", b"\x1e", b"A", b"=", b"\xff"])))
    def test_any_body_is_packets_or_an_error(self, body: bytes | list[bytes]) -> None:
        body = body if isinstance(body, bytes) else b"".join(body)
        try:
            packets = list(decode_payload(body, 16))
        except DecodeError:
            return
        assert 1 <= len(packets) <= 16


class TestHandshake:
    """Section "Handshake"."""

    def test_the_open_packet_has_exactly_these_keys_and_whole_milliseconds(self) -> None:
        wire = encode_open(
            sid="lv_VI97HAXpY6yYWAAAC",
            upgrades=["websocket"],
            ping_interval=25.0,
            ping_timeout=20.0,
            max_payload=1_000_000,
        )
        assert wire == (
            b'0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],'
            b'"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
        )

    def test_fractions_of_seconds_are_rounded_to_milliseconds(self) -> None:
        wire = encode_open(
            sid="x", upgrades=(), ping_interval=0.3, ping_timeout=1.0006, max_payload=1
        )
        handshake = json.loads(wire[1:])
        assert handshake["upgrades"] == []
        assert (handshake["pingInterval"], handshake["pingTimeout"]) == (300, 1001)


class TestErrors:
    """What the reference server says to requests that it refuses."""

    @pytest.mark.parametrize(
        ("code", "body"),
        [
            (0, b'{"code":0,"message":"Transport unknown"}'),
            (1, b'{"code":1,"message":"Session ID unknown"}'),
            (2, b'{"code":2,"message":"Bad handshake method"}'),
            (3, b'{"code":3,"message":"Bad request"}'),
            (4, b'{"code":4,"message":"Forbidden"}'),
            (5, b'{"code":5,"message":"Unsupported protocol version"}'),
        ],
    )
    def test_each_code_has_its_message(self, code: int, body: bytes) -> None:
        assert encode_error(ErrorCode(code)) == body

    def test_the_message_may_be_another(self) -> None:
        assert encode_error(ErrorCode.FORBIDDEN, "Not you") == b'{"code":4,"message":"Not you"}'

    def test_close_reasons_are_the_reference_servers_strings_and_two_of_ours(self) -> None:
        assert set(CloseReason) == {
            "authorization revoked",
            "session replaced",
            "transport error",
            "transport close",
            "forced close",
            "ping timeout",
            "parse error",
            "server shutting down",
            "forced server close",
            "client namespace disconnect",
            "server namespace disconnect",
        }


def as_wire(packet: Packet) -> bytes:
    """Return what the packet looks like in a payload."""
    if isinstance(packet.data, bytes):
        return encode_binary(packet.data)
    return f"{packet.type:d}{packet.data}".encode()
