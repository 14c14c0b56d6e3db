"""Socket.IO packets, as the protocol's revision 5 and the reference parser have them."""

import copy
import tracemalloc
from sys import getsizeof
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from socketio_server.exceptions import DecodeError
from socketio_server.protocol.names import RESERVED_EVENTS
from socketio_server.protocol.socketio import (
    Assembly,
    Encoded,
    Encoder,
    Packet,
    PacketType,
    decode,
    decode_kept,
    encode_connect,
    encode_disconnect,
    keep,
    read_head,
)

CONNECT = PacketType.CONNECT
DISCONNECT = PacketType.DISCONNECT
EVENT = PacketType.EVENT
ACK = PacketType.ACK
CONNECT_ERROR = PacketType.CONNECT_ERROR
BINARY_EVENT = PacketType.BINARY_EVENT
BINARY_ACK = PacketType.BINARY_ACK

# Packets that a client sends, in the one way in which they are written.
CLIENT_PACKETS = [
    ("0", Packet(CONNECT)),
    ('0{"token":"123"}', Packet(CONNECT, "/", {"token": "123"})),
    ("0/admin,", Packet(CONNECT, "/admin")),
    ('0/admin,{"sid":"x"}', Packet(CONNECT, "/admin", {"sid": "x"})),
    ("1", Packet(DISCONNECT)),
    ("1/admin,", Packet(DISCONNECT, "/admin")),
    ('4{"message":"no"}', Packet(CONNECT_ERROR, "/", {"message": "no"})),
    ('4"no"', Packet(CONNECT_ERROR, "/", "no")),
]

# Events and acknowledgements: the same wire in both directions.
EVENTS = [
    ('2["hello"]', Packet(EVENT, "/", ["hello"])),
    ('2["hello",1]', Packet(EVENT, "/", ["hello", 1])),
    ('2["message","2[1]"]', Packet(EVENT, "/", ["message", "2[1]"])),
    ('2["a",null,true,1.5,{"b":[]}]', Packet(EVENT, "/", ["a", None, True, 1.5, {"b": []}])),
    ('2["\u20ac","\U0001f600"]', Packet(EVENT, "/", ["€", "😀"])),
    ('2["","a\\nb"]', Packet(EVENT, "/", ["", "a\nb"])),
    ('2/admin,["hello"]', Packet(EVENT, "/admin", ["hello"])),
    ('2/admin,456["project:delete",123]', Packet(EVENT, "/admin", ["project:delete", 123], 456)),
    ('20["hello"]', Packet(EVENT, "/", ["hello"], 0)),
    ('212["hello"]', Packet(EVENT, "/", ["hello"], 12)),
    ('2/a-b/c?d=1,["hello"]', Packet(EVENT, "/a-b/c?d=1", ["hello"])),
]
ACKS = [
    ("30[]", Packet(ACK, "/", [], 0)),
    ('312["ok",1]', Packet(ACK, "/", ["ok", 1], 12)),
    ("3/admin,456[]", Packet(ACK, "/admin", [], 456)),
    ('3999999999999999["connect"]', Packet(ACK, "/", ["connect"], 999999999999999)),
]

# Text, attachments, and the packet that they make; the same wire in both directions.
BINARY_PACKETS = [
    (
        '51-["hello",{"_placeholder":true,"num":0}]',
        (b"\x01\x02\x03",),
        Packet(EVENT, "/", ["hello", b"\x01\x02\x03"]),
    ),
    (
        '52-/admin,7["a",{"b":[{"_placeholder":true,"num":0}]},{"_placeholder":true,"num":1}]',
        (b"", b"\xff"),
        Packet(EVENT, "/admin", ["a", {"b": [b""]}, b"\xff"], 7),
    ),
    (
        '61-/admin,456[{"_placeholder":true,"num":0}]',
        (b"\x01",),
        Packet(ACK, "/admin", [b"\x01"], 456),
    ),
]


TEXT = st.text(st.characters(exclude_categories=["Cs"]))

# What arrives as it was sent.
MESSAGES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary(max_size=20),
    lambda children: (
        st.lists(children) | st.dictionaries(TEXT.filter("_placeholder".__ne__), children)
    ),
    max_leaves=20,
)


class TestPacketEncoding:
    """Section "Packet encoding": from the wire."""

    @pytest.mark.parametrize(("wire", "packet"), CLIENT_PACKETS + EVENTS + ACKS)
    def test_a_packet_is_type_namespace_id_and_data(self, wire: str, packet: Packet) -> None:
        assert decode(wire) == packet

    @pytest.mark.parametrize(
        ("wire", "packet"),
        [
            ("0/admin", Packet(CONNECT, "/admin")),
            ("1/admin", Packet(DISCONNECT, "/admin")),
            ("0/,", Packet(CONNECT)),
            ('2/,["hello"]', Packet(EVENT, "/", ["hello"])),
            ('2 [ "hello" , 1 ] ', Packet(EVENT, "/", ["hello", 1])),
            ('2["hello", 1]\n', Packet(EVENT, "/", ["hello", 1])),
            ('2007["hello"]', Packet(EVENT, "/", ["hello"], 7)),
            (r'2["\u0068\u00e9\ud83d\ude00"]', Packet(EVENT, "/", ["hé😀"])),
        ],
    )
    def test_other_ways_of_writing_it_are_understood(self, wire: str, packet: Packet) -> None:
        assert decode(wire) == packet

    @pytest.mark.parametrize(
        "wire",
        [
            pytest.param("", id="empty"),
            pytest.param("7", id="no such type"),
            pytest.param('["hello"]', id="no type"),
            pytest.param("x", id="letter for a type"),
            pytest.param('\u0662["hello"]', id="Arabic digit for a type"),
            pytest.param('2\u0661["hello"]', id="Arabic digit for an id"),
            pytest.param('2\u00b2["hello"]', id="superscript digit for an id"),
            pytest.param('2-1["hello"]', id="negative id"),
            pytest.param('21.5["hello"]', id="fraction for an id"),
            pytest.param('21234567890123456["hello"]', id="id of 16 digits"),
            pytest.param('2/admin["hello"]', id="namespace without an end"),
            pytest.param('2admin,["hello"]', id="namespace without a slash"),
        ],
    )
    def test_a_bad_head_is_an_error(self, wire: str) -> None:
        with pytest.raises(DecodeError):
            decode(wire)

    @pytest.mark.parametrize(
        "wire",
        [
            pytest.param("0[]", id="CONNECT with an array"),
            pytest.param('0"x"', id="CONNECT with a string"),
            pytest.param("0null", id="CONNECT with null"),
            pytest.param("01", id="CONNECT with an id"),
            pytest.param("1{}", id="DISCONNECT with data"),
            pytest.param("1null", id="DISCONNECT with null"),
            pytest.param("15", id="DISCONNECT with an id"),
            pytest.param("2", id="EVENT without data"),
            pytest.param("27", id="EVENT with an id only"),
            pytest.param("2[]", id="EVENT without a name"),
            pytest.param("2[1]", id="EVENT with a number for a name"),
            pytest.param('2[["hello"]]', id="EVENT with an array for a name"),
            pytest.param("2[null]", id="EVENT with null for a name"),
            pytest.param('2{"a":1}', id="EVENT with an object"),
            pytest.param('2"hello"', id="EVENT with a string"),
            pytest.param("3[]", id="ACK without an id"),
            pytest.param("31", id="ACK without data"),
            pytest.param("31{}", id="ACK with an object"),
            pytest.param("31null", id="ACK with null"),
            pytest.param("4", id="CONNECT_ERROR without data"),
            pytest.param("4[]", id="CONNECT_ERROR with an array"),
            pytest.param('41{"message":"no"}', id="CONNECT_ERROR with an id"),
        ],
    )
    def test_data_must_have_the_shape_of_its_type(self, wire: str) -> None:
        with pytest.raises(DecodeError):
            decode(wire)

    @pytest.mark.parametrize("event_name", sorted(RESERVED_EVENTS))
    @pytest.mark.parametrize("head", ["2", "2/admin,", "27", "50-"])
    def test_reserved_events_never_come_in(self, head: str, event_name: str) -> None:
        with pytest.raises(DecodeError, match="reserved"):
            decode(f'{head}["{event_name}"]')

    def test_the_reserved_events_are_the_reference_parsers(self) -> None:
        assert {
            "connect",
            "connect_error",
            "disconnect",
            "disconnecting",
            "newListener",
            "removeListener",
        } == RESERVED_EVENTS


WIRES = (
    st.text()
    | st.text('0123456789-/,[]{}"\\:abn_.eE \ud800')
    | st.from_regex(r'\A[0-7]([0-9]{1,3}-)?(/[a-z]*,)?[0-9]{0,20}[\[{"].*\Z')
)


class TestAnyText:
    """Nothing that a client sends does more than raise ``DecodeError``."""

    @given(WIRES)
    @example('51-["a",{"_placeholder":true,"num":0}]')
    def test_any_text_is_a_packet_or_an_error(self, wire: str) -> None:
        try:
            head = read_head(wire)
            packet = decode(wire, [b""] * head.attachments)
        except DecodeError:
            return
        assert packet.namespace.startswith("/")

    @given(WIRES)
    @example('51-["a",{"_placeholder":true,"num":0}]')
    @example('2["a"]')
    def test_its_head_is_that_of_the_packet(self, wire: str) -> None:
        """What the head refuses is no packet; what it takes is one, or malformed inside."""
        try:
            head = read_head(wire)
        except DecodeError:
            with pytest.raises(DecodeError):
                decode(wire)
            return
        try:
            packet = decode(wire, [b""] * head.attachments)
        except DecodeError:
            return
        plain = {BINARY_EVENT: EVENT, BINARY_ACK: ACK}.get(head.type, head.type)
        assert (plain, head.namespace, head.ack_id) == (
            packet.type,
            packet.namespace,
            packet.ack_id,
        )
        assert (head.start == len(wire)) == (packet.data is None)


class TestBinaryPackets:
    """Section "Packet encoding", binary packets: placeholders, and attachments that follow."""

    @pytest.mark.parametrize(("wire", "attachments", "packet"), BINARY_PACKETS)
    def test_the_last_attachment_completes_the_packet(
        self, wire: str, attachments: tuple[bytes, ...], packet: Packet
    ) -> None:
        head = read_head(wire)
        assert head.attachments == len(attachments)
        assembly = Assembly(wire, head, max_size=100)
        *first, last = attachments
        assert [assembly.add(attachment) for attachment in first] == [False] * len(first)
        assert assembly.add(last)
        assert assembly.decode() == packet

    def test_the_search_for_placeholders_may_wait(self) -> None:
        pauses: list[str] = []
        wire = '51-["a",{"_placeholder":true,"num":0}]'
        packet = decode(wire, [b"x"], lambda: pauses.append("pause"))
        assert (packet.data, pauses) == (["a", b"x"], ["pause"])
        decode('2["a"]', (), lambda: pauses.append("pause"))
        assert pauses == ["pause"]

    def test_placeholders_may_come_in_any_order(self) -> None:
        wire = '52-["a",{"_placeholder":true,"num":1},{"num":0,"_placeholder":true}]'
        packet = decode(wire, [b"zero", b"one"])
        assert packet == Packet(EVENT, "/", ["a", b"one", b"zero"])

    def test_there_must_be_as_many_as_were_announced(self) -> None:
        wire = '52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        for attachments in ([], [b"one"], [b"one", b"two", b"three"]):
            with pytest.raises(DecodeError):
                decode(wire, attachments)

    @pytest.mark.parametrize(
        ("wire", "packet"),
        [
            ('50-["hello",1]', Packet(EVENT, "/", ["hello", 1])),
            ('60-/admin,7["hello"]', Packet(ACK, "/admin", ["hello"], 7)),
        ],
    )
    def test_without_attachments_it_is_a_plain_packet(self, wire: str, packet: Packet) -> None:
        assert decode(wire) == packet

    @pytest.mark.parametrize(
        "wire",
        [
            pytest.param('5["hello"]', id="no count"),
            pytest.param('5-["hello"]', id="empty count"),
            pytest.param('5\u0661-["hello"]', id="Arabic digit"),
            pytest.param('5-1-["hello"]', id="negative count"),
            pytest.param('511-["hello"]', id="more than allowed"),
            pytest.param('5999999999-["hello"]', id="far more than allowed"),
            pytest.param('59999999999999999999-["hello"]', id="absurdly many"),
            pytest.param('21-["hello"]', id="count on a plain event"),
            pytest.param("31-1[]", id="count on a plain ack"),
            pytest.param("01-", id="count on a CONNECT"),
            pytest.param('51-[{"_placeholder":true,"num":0}]', id="placeholder for a name"),
            pytest.param("61-[]", id="ack without an id"),
            pytest.param('50-["a",{"_placeholder":true,"num":0}]', id="none announced, one there"),
        ],
    )
    def test_a_bad_head_is_an_error(self, wire: str) -> None:
        with pytest.raises(DecodeError):
            decode(wire)

    def test_how_many_are_allowed_can_be_chosen(self) -> None:
        assert read_head('511-["hello"]', max_attachments=11).attachments == 11
        with pytest.raises(DecodeError, match="11 attachments, at most 2 are allowed"):
            read_head('511-["hello"]', max_attachments=2)

    @pytest.mark.parametrize(
        "wire",
        [
            pytest.param('51-["a"]', id="none"),
            pytest.param('52-["a",{"_placeholder":true,"num":0}]', id="too few"),
            pytest.param(
                '51-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
                id="too many",
            ),
            pytest.param(
                '52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]', id="twice"
            ),
            pytest.param('51-["a",{"_placeholder":true,"num":1}]', id="out of range"),
            pytest.param('51-["a",{"_placeholder":true,"num":-1}]', id="negative"),
            pytest.param('51-["a",{"_placeholder":true,"num":0.0}]', id="fraction"),
            pytest.param('51-["a",{"_placeholder":true,"num":false}]', id="boolean"),
            pytest.param('51-["a",{"_placeholder":true,"num":"0"}]', id="string"),
            pytest.param('51-["a",{"_placeholder":true,"num":"splice"}]', id="name of a method"),
            pytest.param('51-["a",{"_placeholder":true}]', id="no number"),
            pytest.param('51-["a",{"_placeholder":1,"num":0}]', id="not quite a placeholder"),
        ],
    )
    def test_placeholders_must_fit_the_attachments_exactly(self, wire: str) -> None:
        attachments = [b""] * read_head(wire).attachments
        with pytest.raises(DecodeError):
            decode(wire, attachments)

    def test_attachments_together_are_bounded(self) -> None:
        wire = '52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        assembly = Assembly(wire, read_head(wire), max_size=8)
        assembly.add(b"12345")
        assert assembly.add(b"678")
        assembly = Assembly(wire, read_head(wire), max_size=8)
        assembly.add(b"12345")
        with pytest.raises(DecodeError, match="9 bytes, at most 8 are allowed"):
            assembly.add(b"6789")

    def test_a_placeholder_in_a_plain_event_is_plain_data(self) -> None:
        packet = decode('2["a",{"_placeholder":true,"num":0}]')
        assert packet == Packet(EVENT, "/", ["a", {"_placeholder": True, "num": 0}])


class TestPacketsThatWait:
    @pytest.mark.parametrize("argument", ["short", "ascii" * 1000, "😀" + "x" * 1000, "\ud800" * 9])
    def test_are_decoded_as_those_that_do_not(self, argument: str) -> None:
        wire = f'2/admin,7["message","{argument}"]'
        try:
            packet = decode(wire)
        except DecodeError:
            with pytest.raises(DecodeError):
                decode_kept(keep(wire))
        else:
            assert decode_kept(keep(wire)) == packet

    def test_one_character_does_not_make_all_others_large(self) -> None:
        wire = '2["message","😀' + "x" * 100_000 + '"]'
        assert getsizeof(wire) > 400_000
        assert getsizeof(keep(wire)) < 110_000

    def test_with_attachments_are_as_large_as_all_of_it(self) -> None:
        wire = '51-["message",{"_placeholder":true,"num":0}]'
        assembly = Assembly(wire, read_head(wire), max_size=100_000)
        assembly.add(b"x" * 10_000)
        assert 10_000 < getsizeof(assembly) < 10_500

    def test_with_attachments_are_decoded_in_either_form(self) -> None:
        text = "😀" + "x" * 1000
        wire = f'51-["message","{text}",{{"_placeholder":true,"num":0}}]'
        assembly = Assembly(keep(wire), read_head(wire), max_size=100_000)
        assembly.add(b"data")
        assert getsizeof(assembly) < 1300
        assert assembly.decode().data == ["message", text, b"data"]

    def test_take_no_memory_for_their_text_while_the_search_for_placeholders_pauses(self) -> None:
        text = '51-["a",{"_placeholder":true,"num":0},"\U0001f600"' + " " * 1_000_000 + "]"
        assembly = Assembly(keep(text), read_head(text), max_size=10)
        assembly.add(b"data")
        taken: list[int] = []
        tracemalloc.start()
        try:
            decode_kept(assembly, lambda: taken.append(tracemalloc.get_traced_memory()[0]))
        finally:
            tracemalloc.stop()
        assert taken
        assert max(taken) < 1_000_000


class TestSending:
    """Sections "Sending and receiving data" and "Acknowledgement": to the wire."""

    @pytest.mark.parametrize(("wire", "packet"), EVENTS)
    def test_an_event_is_written_as_it_is_read(self, wire: str, packet: Packet) -> None:
        assert encoded(packet) == Encoded(wire.encode(), ())

    @pytest.mark.parametrize(("wire", "packet"), ACKS)
    def test_an_acknowledgement_is_written_as_it_is_read(self, wire: str, packet: Packet) -> None:
        assert encoded(packet) == Encoded(wire.encode(), ())

    @pytest.mark.parametrize(("wire", "attachments", "packet"), BINARY_PACKETS)
    def test_binary_data_is_written_as_it_is_read(
        self, wire: str, attachments: tuple[bytes, ...], packet: Packet
    ) -> None:
        assert encoded(packet) == Encoded(wire.encode(), attachments)

    @pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
    def test_every_kind_of_binary_data_is_an_attachment(self, wrap: Any) -> None:
        made = Encoder().event("a", [wrap(b"\x00\x01")])
        assert made.text == b'51-["a",{"_placeholder":true,"num":0}]'
        assert made.attachments == (b"\x00\x01",)
        assert type(made.attachments[0]) is bytes

    def test_the_callers_objects_are_never_changed(self) -> None:
        message = {"a": [b"1", {"b": (b"2", bytearray(b"3"))}], None: {"c": b"4"}}
        before = copy.deepcopy(message)
        made = Encoder().event("message", [message])
        assert made.text.startswith(b"54-")
        assert made.attachments == (b"1", b"2", b"3", b"4")
        assert message == before

    @given(MESSAGES, st.none() | st.integers(0, 10**15 - 1), st.sampled_from(["/", "/a", "/a/b"]))
    def test_what_is_sent_is_what_arrives(
        self, message: Any, ack_id: int | None, namespace: str
    ) -> None:
        made = Encoder().event("message", [message], namespace=namespace, ack_id=ack_id)
        packet = decode(made.text.decode(), made.attachments)
        assert packet == Packet(EVENT, namespace, ["message", message], ack_id)


class TestNamespaces:
    """Sections "Connection to a namespace" and "Disconnection from a namespace"."""

    def test_the_answer_to_connect_carries_the_public_id(self) -> None:
        assert encode_connect("wZX3oN0bSVIhsaknAAAI") == b'0{"sid":"wZX3oN0bSVIhsaknAAAI"}'
        assert encode_connect("x", namespace="/admin") == b'0/admin,{"sid":"x"}'

    def test_a_refusal_carries_a_message_and_perhaps_data(self) -> None:
        encoder = Encoder()
        assert encoder.connect_error("Invalid namespace") == b'4{"message":"Invalid namespace"}'
        assert (
            encoder.connect_error("no", {"a": 1}, namespace="/admin")
            == b'4/admin,{"message":"no","data":{"a":1}}'
        )
        assert encoder.connect_error("no", False) == b'4{"message":"no","data":false}'

    def test_a_refusal_carries_no_binary_data(self) -> None:
        with pytest.raises(TypeError, match="binary"):
            Encoder().connect_error("no", b"\x00")

    def test_a_disconnect_carries_nothing(self) -> None:
        assert encode_disconnect() == b"1"
        assert encode_disconnect(namespace="/admin") == b"1/admin,"

    def test_namespaces_are_utf_8(self) -> None:
        assert encode_disconnect(namespace="/ä") == b"1/\xc3\xa4,"


def encoded(packet: Packet, encoder: Encoder | None = None) -> Encoded:
    """Encode an event or acknowledgement as the server would send it."""
    encoder = encoder or Encoder()
    if packet.type is ACK:
        assert packet.ack_id is not None
        return encoder.ack(packet.ack_id, packet.data, namespace=packet.namespace)
    event_name, *args = packet.data
    return encoder.event(event_name, args, namespace=packet.namespace, ack_id=packet.ack_id)
