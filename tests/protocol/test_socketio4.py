"""Socket.IO packets, as the protocol's revision 4 and socket.io-parser 3.x have them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.exceptions import DecodeError
from socketio_server.protocol import socketio
from socketio_server.protocol.names import RESERVED_EVENTS
from socketio_server.protocol.socketio import Encoded, Packet, PacketType
from socketio_server.protocol.socketio4 import (
    Encoder,
    decode,
    encode_connect,
    encode_disconnect,
    read_head,
)
from tests.protocol.test_socketio import ACKS, BINARY_PACKETS, EVENTS, encoded

CONNECT = PacketType.CONNECT
EVENT = PacketType.EVENT

# Namespaces as clients may ask for them, and queries as they encode them.
NAMESPACES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=",?")).map(
    "/".__add__
)
QUERIES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=","))


class TestConnecting:
    """Sections "CONNECT" and "Connection to a non-default namespace"."""

    @pytest.mark.parametrize(
        ("wire", "packet"),
        [
            ("0", Packet(CONNECT)),
            ("0/admin,", Packet(CONNECT, "/admin")),
            ("0/admin", Packet(CONNECT, "/admin")),
            ("0/admin?token=1,", Packet(CONNECT, "/admin", query="token=1")),
            (
                "0/admin?token=1234&uid=abcd",
                Packet(CONNECT, "/admin", query="token=1234&uid=abcd"),
            ),
            ("0/admin?a=%2C%3F?b,", Packet(CONNECT, "/admin", query="a=%2C%3F?b")),
            ("0/admin?,", Packet(CONNECT, "/admin")),
            ("0/?token=1,", Packet(CONNECT, "/", query="token=1")),
            ("0/,", Packet(CONNECT)),
            ("0/a-b/c\u00e4,", Packet(CONNECT, "/a-b/c\u00e4")),
        ],
    )
    def test_a_connect_has_a_namespace_and_perhaps_a_query(self, wire: str, packet: Packet) -> None:
        assert decode(wire) == packet

    @pytest.mark.parametrize(
        "wire",
        [
            pytest.param('0{"token":"123"}', id="data"),
            pytest.param('0/admin,{"token":"123"}', id="data after a namespace"),
            pytest.param('0"token"', id="string"),
            pytest.param("01", id="id"),
            pytest.param("0/admin,1", id="id after a namespace"),
            pytest.param("01-", id="attachments"),
            pytest.param("0admin,", id="namespace without a slash"),
            pytest.param("0?token=1,", id="query without a namespace"),
            pytest.param("0/admin?a=1,b=2", id="comma in a query"),
            pytest.param("0,", id="comma only"),
            pytest.param("0\n", id="newline"),
        ],
    )
    def test_a_connect_carries_nothing_else(self, wire: str) -> None:
        with pytest.raises(DecodeError):
            decode(wire)

    @given(NAMESPACES, QUERIES)
    def test_any_namespace_and_query_arrive(self, namespace: str, query: str) -> None:
        assert decode(f"0{namespace}?{query},") == Packet(CONNECT, namespace, query=query)
        assert decode(f"0{namespace},") == Packet(CONNECT, namespace)

    def test_only_a_connect_has_a_query(self) -> None:
        assert decode('2/admin?a=1,["hello"]') == Packet(EVENT, "/admin?a=1", ["hello"])

    def test_the_servers_connect_carries_nothing(self) -> None:
        assert encode_connect("wZX3oN0bSVIhsaknAAAI") == b"0"
        assert encode_connect("x", namespace="/admin") == b"0/admin,"

    def test_a_refusal_is_the_message(self) -> None:
        encoder = Encoder()
        assert encoder.connect_error("Invalid namespace") == b'4"Invalid namespace"'
        assert (
            encoder.connect_error("Not authorized", namespace="/admin")
            == b'4/admin,"Not authorized"'
        )
        assert encoder.connect_error('"\u20ac"') == b'4"\\"\xe2\x82\xac\\""'

    def test_a_refusal_with_data_is_the_data(self) -> None:
        assert Encoder().connect_error("no", {"a": 1}) == b'4{"a":1}'
        with pytest.raises(TypeError):
            Encoder().connect_error("no", b"\x00")

    def test_a_disconnect_is_revision_5s(self) -> None:
        assert encode_disconnect() == b"1"
        assert encode_disconnect(namespace="/admin") == b"1/admin,"
        assert decode("1/admin,") == Packet(PacketType.DISCONNECT, "/admin")


class TestEvents:
    """Sections "EVENT" to "BINARY_ACK": the same packets as in revision 5, both ways."""

    @pytest.mark.parametrize(("wire", "packet"), EVENTS + ACKS)
    def test_they_are_read_as_in_revision_5(self, wire: str, packet: Packet) -> None:
        assert decode(wire) == packet

    @pytest.mark.parametrize(("wire", "attachments", "packet"), BINARY_PACKETS)
    def test_binary_packets_are_assembled_as_in_revision_5(
        self, wire: str, attachments: tuple[bytes, ...], packet: Packet
    ) -> None:
        assert read_head(wire).attachments == len(attachments)
        assert decode(wire, attachments) == packet

    @pytest.mark.parametrize(("wire", "packet"), EVENTS + ACKS)
    def test_they_are_written_as_in_revision_5(self, wire: str, packet: Packet) -> None:
        assert encoded(packet, Encoder()) == Encoded(wire.encode(), ())

    @pytest.mark.parametrize(("wire", "attachments", "packet"), BINARY_PACKETS)
    def test_binary_packets_are_written_as_in_revision_5(
        self, wire: str, attachments: tuple[bytes, ...], packet: Packet
    ) -> None:
        assert encoded(packet, Encoder()) == Encoded(wire.encode(), attachments)

    def test_foreign_types_are_encoded_as_in_revision_5(self) -> None:
        assert Encoder(default=lambda value: "it").event("a", [object()]).text == b'2["a","it"]'

    @pytest.mark.parametrize("event_name", sorted(RESERVED_EVENTS))
    def test_reserved_events_never_come_in(self, event_name: str) -> None:
        with pytest.raises(DecodeError, match="reserved"):
            decode(f'2["{event_name}"]')

    def test_attachments_are_limited(self) -> None:
        assert read_head('511-["hello"]', max_attachments=11).attachments == 11
        with pytest.raises(DecodeError, match="11 attachments, at most 10"):
            read_head('511-["hello"]')


class TestAnyText:
    """Nothing that a client sends does more than raise ``DecodeError``."""

    @given(
        st.text()
        | st.text('0123456789-/,?=[]{}"\\:abn_.eE \ud800')
        | st.from_regex(r'\A[0-7]([0-9]{1,3}-)?(/[a-z]*(\?[a-z=]*)?,)?[0-9]{0,20}[\[{"].*\Z')
    )
    def test_any_text_is_a_packet_or_an_error(self, wire: str) -> None:
        try:
            packet = decode(wire)
        except DecodeError:
            return
        assert packet.namespace.startswith("/")
        if packet.type is not CONNECT:
            assert packet == socketio.decode(wire)
