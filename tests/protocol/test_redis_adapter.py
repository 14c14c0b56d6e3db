"""The wire of ``@socket.io/redis-adapter`` and ``@socket.io/redis-emitter``."""

from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from socketio_server.exceptions import DecodeError
from socketio_server.protocol.redis_adapter import (
    MAX_ROOMS,
    Broadcast,
    ChannelNames,
    decode_broadcast,
    decode_event,
    encode_broadcast,
)

EMITTER_HELLO = bytes.fromhex(
    "93 a7656d6974746572"
    "83 a474797065 02 a464617461 92 a568656c6c6f 01 a36e7370 a12f"
    "83 a5726f6f6d73 91 a5726f6f6d31 a5666c616773 80 a6657863657074 90"
)
"""What the emitter publishes for ``io.to("room1").emit("hello", 1)``."""

ADAPTER_HELLO = bytes.fromhex(
    "93 a6616263646566"
    "83 a474797065 02 a464617461 92 a568656c6c6f c403010203 a36e7370 a62f61646d696e"
    "83 a5726f6f6d73 92 a161 a162 a6657863657074 91 a163 a5666c616773 81 a8766f6c6174696c65 c3"
)
"""What an adapter publishes for ``io.of("/admin").to(["a", "b"]).except("c").volatile.emit(…)``."""

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)


def message(
    *args: Any, packet: Any = None, opts: Any = None, uid: Any = "abcdef", nsp: Any = "/"
) -> bytes:
    """Encode a broadcast of the event ``hello``, or parts that are not as they should be."""
    packet = {"type": 2, "data": ["hello", *args], "nsp": nsp} if packet is None else packet
    opts = {"rooms": [], "except": [], "flags": {}} if opts is None else opts
    return msgspec.msgpack.encode([uid, packet, opts])


def with_value(encoded: str) -> bytes:
    """Return a broadcast whose only argument is an encoded value."""
    return message("X").replace(b"\xa1X", bytes.fromhex(encoded))


def nested(depth: int) -> Any:
    """Return arrays in arrays."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def read(encoded: bytes) -> tuple[Broadcast, list[Any]]:
    """Decode a broadcast and its event."""
    broadcast, data = decode_broadcast(encoded)
    return broadcast, decode_event(data) if isinstance(data, Raw) else data


def large(encoded: bytes) -> bytes:
    """Return the same broadcast with more bytes than small ones have."""
    uid, packet, opts = msgspec.msgpack.decode(encoded, type=tuple[Any, dict[str, Raw], Any])
    return msgspec.msgpack.encode([uid, {**packet, "ignored": "x" * 5000}, opts])


class TestBroadcast:
    def test_the_emitters_bytes_are_read(self) -> None:
        assert read(EMITTER_HELLO) == (
            Broadcast("emitter", "/", rooms=("room1",)),
            ["hello", 1],
        )

    def test_the_adapters_bytes_are_read_and_written(self) -> None:
        broadcast = Broadcast("abcdef", "/admin", ("a", "b"), ("c",), volatile=True)
        data = ["hello", b"\1\2\3"]
        assert read(ADAPTER_HELLO) == (broadcast, data)
        assert encode_broadcast(broadcast, data) == ADAPTER_HELLO

    @pytest.mark.parametrize("small", [EMITTER_HELLO, ADAPTER_HELLO])
    def test_is_read_alike_if_it_is_large(self, small: bytes) -> None:
        assert read(large(small)) == read(small)

    def test_without_a_namespace_it_is_for_the_main_one(self) -> None:
        broadcast, _ = decode_broadcast(message(packet={"type": 2, "data": ["a"]}))
        assert broadcast.namespace == "/"

    def test_an_older_emitters_binary_event_is_an_event(self) -> None:
        data = message(packet={"type": 5, "data": ["a", b"b"]})
        assert read(data)[1] == ["a", b"b"]

    def test_numbers_of_rooms_are_written_as_javascript_does(self) -> None:
        data = message(opts={"rooms": [42, 1.5, 3.0], "except": [7]})
        broadcast, _ = decode_broadcast(data)
        assert broadcast.rooms == ("42", "1.5", "3")
        assert broadcast.skip == ("7",)

    @given(
        data=st.lists(values),
        rooms=st.lists(st.text()).map(tuple),
        skip=st.lists(st.text()).map(tuple),
        volatile=st.booleans(),
    )
    def test_what_is_written_is_read_again(
        self, data: list[Any], rooms: tuple[str, ...], skip: tuple[str, ...], volatile: bool
    ) -> None:
        broadcast, event = Broadcast("abcdef", "/", rooms, skip, volatile), ["name", *data]
        assert read(encode_broadcast(broadcast, event)) == (broadcast, event)

    @pytest.mark.parametrize(
        ("integer", "arrives"), [(2**70, 2.0**70), (-(2**70), -(2.0**70)), (10**400, inf)]
    )
    def test_has_integers_that_are_too_large_as_floats(self, integer: int, arrives: float) -> None:
        data = ["news", {"numbers": [integer, 1]}]
        _, found = read(encode_broadcast(Broadcast("uid", "/"), data))
        assert found == ["news", {"numbers": [arrives, 1]}]

    @pytest.mark.parametrize(
        "encoded",
        [
            pytest.param("d40100", id="an unknown extension"),
            pytest.param("91" * 101 + "00", id="too deep"),
        ],
    )
    def test_tells_whom_it_is_for_before_its_event_is_decoded_if_it_is_large(
        self, encoded: str
    ) -> None:
        broadcast, data = decode_broadcast(large(with_value(encoded)))
        assert broadcast.namespace == "/"
        assert isinstance(data, Raw)
        with pytest.raises(DecodeError):
            decode_event(data)


class TestExtensions:
    @pytest.mark.parametrize(
        ("encoded", "value"),
        [
            pytest.param("d6ff52ef1572", datetime(2014, 2, 3, 4, 5, 6, tzinfo=UTC), id="32 bits"),
            pytest.param(
                "d7ff0000000052ef1572", datetime(2014, 2, 3, 4, 5, 6, tzinfo=UTC), id="64"
            ),
            pytest.param(
                "c70cff00000000ffffffffffffffff",
                datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
                id="96 bits",
            ),
            pytest.param(
                "d70000000000000003e8", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), id="old"
            ),
            pytest.param("d40000", None, id="undefined"),
            pytest.param("c70300010203", b"\1\2\3", id="an ArrayBuffer"),
        ],
    )
    def test_of_notepack_are_read(self, encoded: str, value: Any) -> None:
        assert read(with_value(encoded))[1] == ["hello", value]

    @pytest.mark.parametrize("encoded", ["d40100", "c7030500ff00", "d7007fffffffffffffff"])
    def test_of_others_and_impossible_dates_are_refused(self, encoded: str) -> None:
        with pytest.raises(DecodeError):
            read(with_value(encoded))


class TestMalformedBroadcasts:
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"{}", id="JSON"),
            pytest.param(b"\xc1", id="no MessagePack"),
            pytest.param(EMITTER_HELLO + b"\xc0", id="bytes behind it"),
            pytest.param(message(uid=1), id="a number as uid"),
            pytest.param(message(nsp=1), id="a number as namespace"),
            pytest.param(message(packet={"type": 1, "nsp": "/"}), id="no data"),
            pytest.param(message(packet={"type": 1, "data": ["a"]}), id="a DISCONNECT"),
            pytest.param(message(packet={"type": 2, "data": "a"}), id="text as data"),
            pytest.param(message(packet={"type": 2, "data": []}), id="no name"),
            pytest.param(message(packet={"type": 2, "data": [1]}), id="a number as name"),
            pytest.param(message(packet={"type": 2, "data": ["disconnect"]}), id="a reserved name"),
            pytest.param(message(packet=[]), id="an array as packet"),
            pytest.param(message(opts="x"), id="text as opts"),
            pytest.param(message(opts={}), id="no rooms"),
            pytest.param(message(opts={"rooms": "x"}), id="text as rooms"),
            pytest.param(message(opts={"rooms": [[]]}), id="an array as room"),
            pytest.param(message(opts={"rooms": [], "except": 1}), id="a number as except"),
            pytest.param(message(opts={"rooms": [1] * (MAX_ROOMS + 1)}), id="too many rooms"),
            pytest.param(message(opts={"rooms": [], "flags": {"a": []}}), id="an array as flag"),
            pytest.param(message(nested(101)), id="too deep"),
            pytest.param(with_value("91" * 100_000 + "00"), id="much too deep"),
            pytest.param(with_value("ddffffffff"), id="an array of four thousand million"),
        ],
    )
    def test_are_refused(self, data: bytes) -> None:
        with pytest.raises(DecodeError):
            read(data)

    @pytest.mark.parametrize(
        "data",
        [
            message(nested(101)),
            message(packet={"type": 1, "data": ["a"]}),
            message(packet={"type": 2, "data": "a"}),
            message(packet={"type": 2, "data": []}),
            message(packet={"type": 2, "data": ["disconnect"]}),
            message(nsp=1),
        ],
    )
    def test_are_refused_if_they_are_large(self, data: bytes) -> None:
        with pytest.raises(DecodeError):
            read(large(data))

    def test_what_is_just_not_too_deep_is_read(self) -> None:
        assert read(message(nested(99)))[1] == ["hello", nested(99)]

    def test_what_is_large_is_read_in_parts(self) -> None:
        pauses: list[None] = []
        _, data = decode_broadcast(message([nested(50)] * 100))
        assert isinstance(data, Raw)
        assert decode_event(data, lambda: pauses.append(None))[1] == [nested(50)] * 100
        assert len(pauses) > 50

    @pytest.mark.parametrize("whole", [EMITTER_HELLO, ADAPTER_HELLO])
    def test_what_is_cut_off_is_refused(self, whole: bytes) -> None:
        for end in range(len(whole)):
            with pytest.raises(DecodeError):
                read(whole[:end])

    @given(st.binary())
    def test_noise_is_refused_or_read_and_nothing_else(self, data: bytes) -> None:
        with suppress(DecodeError):
            read(data)

    @given(values, values, values)
    def test_parts_of_any_kind_are_refused_or_read_and_nothing_else(
        self, uid: Any, packet: Any, opts: Any
    ) -> None:
        with suppress(DecodeError):
            read(message(uid=uid, packet=packet, opts=opts))


class TestChannels:
    @pytest.fixture
    def channels(self) -> ChannelNames:
        return ChannelNames("socket.io")

    def test_a_broadcast_to_one_room_has_its_own(self, channels: ChannelNames) -> None:
        assert channels.broadcast("/") == b"socket.io#/#"
        assert channels.broadcast("/", ("a",)) == b"socket.io#/#a#"
        assert channels.broadcast("/", ("a", "b")) == b"socket.io#/#"

    def test_requests_and_responses_have_theirs(self, channels: ChannelNames) -> None:
        assert channels.request("/x") == b"socket.io-request#/x#"
        assert channels.response("/x") == b"socket.io-response#/x#"
        assert channels.response("/x", "abcdef") == b"socket.io-response#/x#abcdef#"

    def test_the_pattern_of_sockets_has_twenty_places(self, channels: ChannelNames) -> None:
        assert channels.to_sockets("/") == b"socket.io#/#" + b"?" * 20 + b"#"

    def test_the_pattern_takes_prefix_and_namespace_as_they_are(self) -> None:
        pattern = ChannelNames(r"a*[b]?\c").to_sockets("/x?")
        assert pattern == rb"a\*\[b\]\?\\c#/x\?#" + b"?" * 20 + b"#"
