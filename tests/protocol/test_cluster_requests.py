"""The requests and responses of ``@socket.io/redis-adapter``."""

from collections.abc import Iterator
from contextlib import suppress
from sys import getsizeof
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from socketio_server.exceptions import DecodeError
from socketio_server.protocol.cluster_requests import (
    ACKNOWLEDGEMENT,
    CLIENT_COUNT,
    EVENT_ANSWER,
    MAX_JOINED,
    Ask,
    Disconnect,
    FetchSockets,
    Join,
    Leave,
    ListRooms,
    ListSockets,
    Request,
    Response,
    ServerEvent,
    decode_request,
    decode_request_id,
    decode_response,
    decode_value,
    encode_request,
    encode_response,
    encode_value,
    estimate_size,
)
from socketio_server.protocol.redis_adapter import MAX_ROOMS, Opts, Packet


def nested(depth: int) -> list[Any]:
    """Return arrays in arrays."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


OPTS = Opts(rooms=["a"], skip=["b"])

REQUESTS: list[tuple[bytes, Request]] = [
    (b'{"uid":"u","requestId":"r","type":1}', ListRooms(uid="u", request_id="r")),
    (
        b'{"uid":"u","type":2,"opts":{"rooms":["a"],"except":["b"]},"rooms":["c"]}',
        Join(uid="u", opts=OPTS, rooms=["c"]),
    ),
    (
        b'{"uid":"u","type":3,"opts":{"rooms":["a"],"except":["b"]},"rooms":["c"]}',
        Leave(uid="u", opts=OPTS, rooms=["c"]),
    ),
    (
        b'{"uid":"u","type":4,"opts":{"rooms":["a"],"except":["b"]},"close":true}',
        Disconnect(uid="u", opts=OPTS, close=True),
    ),
    (
        b'{"uid":"u","requestId":"r","type":5,"opts":{"rooms":["a"],"except":["b"]}}',
        FetchSockets(uid="u", request_id="r", opts=OPTS),
    ),
    (b'{"uid":"u","type":6,"data":["hi",1]}', ServerEvent(uid="u", data=["hi", 1])),
    (
        b'{"uid":"u","requestId":"r","type":6,"data":["hi"]}',
        ServerEvent(uid="u", request_id="r", data=["hi"]),
    ),
    (
        bytes.fromhex(
            "85 a3756964 a175 a9726571756573744964 a172 a474797065 07"
            "a67061636b6574 83 a474797065 02 a464617461 92 a26869 c40101 a36e7370 a12f"
            "a46f707473 83 a5726f6f6d73 91 a161 a6657863657074 91 a162 a5666c616773 80"
        ),
        Ask(
            uid="u",
            request_id="r",
            packet=Packet(2, encode_value(["hi", b"\1"]), "/"),
            opts=Opts(rooms=["a"], skip=["b"], flags={}),
        ),
    ),
]
"""What Node writes, in its order of keys."""

RESPONSES: list[tuple[bytes, Response]] = [
    (b'{"requestId":"r","sockets":["s"]}', Response(request_id="r", sockets=["s"])),
    (b'{"requestId":"r","rooms":["a",42]}', Response(request_id="r", rooms=["a", 42])),
    (
        b'{"type":6,"requestId":"r","data":[1]}',
        Response(type=EVENT_ANSWER, request_id="r", data=[1]),
    ),
    (b'{"type":6,"requestId":"r"}', Response(type=EVENT_ANSWER, request_id="r")),
    (
        b'{"type":8,"requestId":"r","clientCount":3}',
        Response(type=CLIENT_COUNT, request_id="r", client_count=3),
    ),
    (
        bytes.fromhex("83 a474797065 09 a9726571756573744964 a172 a67061636b6574 a56669727374"),
        Response(type=ACKNOWLEDGEMENT, request_id="r", packet=encode_value("first")),
    ),
    (
        bytes.fromhex("82 a474797065 09 a9726571756573744964 a172"),
        Response(type=ACKNOWLEDGEMENT, request_id="r"),
    ),
]
"""What Node writes; a value that is undefined there is missing."""


class TestRequests:
    @pytest.mark.parametrize(("data", "request_"), REQUESTS)
    def test_are_written_and_read_as_node_does(self, data: bytes, request_: Request) -> None:
        assert encode_request(request_) == data
        assert decode_request(data) == request_

    def test_of_older_servers_are_read(self) -> None:
        data = b'{"requestId":"r","type":0,"rooms":["a"]}'
        assert decode_request(data) == ListSockets(request_id="r", rooms=["a"])

    def test_of_the_emitter_have_no_sender(self) -> None:
        data = b'{"type":4,"opts":{"rooms":[],"except":[]},"close":false}'
        assert decode_request(data) == Disconnect(opts=Opts(rooms=[]))

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"{}",
            b'{"type":4}',
            b'{"type":4,"opts":"x"}',
            b'{"type":4,"opts":{"rooms":"x"}}',
            b'{"type":4,"opts":{"rooms":[]},"close":"yes"}',
            b'{"type":2,"opts":{"rooms":[]}}',
            b'{"type":5,"opts":{"rooms":[]}}',
            b'{"type":1,"requestId":1}',
            b'{"type":6,"data":[]}',
            b'{"type":6,"data":["disconnect"]}',
            b'{"type":6,"data":["a",' + b"[" * 200 + b"]" * 200 + b"]}",
            b'{"type":6,"data":["a",' + b"[" * 100_000,
            b'{"type":2,"opts":{"rooms":[],"except":[]},"rooms":[' + b"1," * MAX_JOINED + b"1]}",
            b'{"type":3,"opts":{"rooms":[],"except":[]},"rooms":[' + b"1," * MAX_JOINED + b"1]}",
            b'{"type":0,"requestId":"r","rooms":[' + b"1," * MAX_ROOMS + b"1]}",
            b'{"type":10}',
            b'{"type":"4"}',
            b'{"requestId":"\xff","type":1}',
            msgspec.msgpack.encode({"type": 7, "requestId": "r", "packet": 1, "opts": {}}),
        ],
    )
    def test_that_are_malformed_are_refused(self, data: bytes) -> None:
        with pytest.raises(DecodeError):
            decode_request(data)

    @pytest.mark.parametrize("data", [data for data, _ in REQUESTS])
    def test_that_are_cut_off_are_refused(self, data: bytes) -> None:
        for end in range(len(data)):
            with pytest.raises(DecodeError):
                decode_request(data[:end])

    @given(st.binary() | st.binary().map(lambda noise: b"{" + noise))
    def test_noise_is_refused_or_read_and_nothing_else(self, data: bytes) -> None:
        with suppress(DecodeError):
            decode_request(data)
        with suppress(DecodeError):
            decode_response(data)


class TestResponses:
    @pytest.mark.parametrize(("data", "response"), RESPONSES)
    def test_are_written_and_read_as_node_does(self, data: bytes, response: Response) -> None:
        assert encode_response(response) == data
        assert decode_response(data) == response

    @pytest.mark.parametrize("data", [data for data, _ in RESPONSES])
    def test_tell_what_they_are_to(self, data: bytes) -> None:
        assert decode_request_id(data) == "r"

    @pytest.mark.parametrize("data", [b"", b"{}", b"{", b'{"requestId":1}', b"\x93\1\2\3", b"\xc1"])
    def test_that_tell_nothing_are_refused(self, data: bytes) -> None:
        with pytest.raises(DecodeError):
            decode_request_id(data)

    def test_without_a_value_differ_from_those_with_null(self) -> None:
        none: Any = decode_response(b'{"type":6,"requestId":"r","data":null}')
        assert none.data is None
        assert decode_response(b'{"type":6,"requestId":"r"}').data is UNSET

    @pytest.mark.parametrize(
        "data",
        [
            b"{}",
            b'{"requestId":1}',
            b'{"requestId":"r","sockets":"x"}',
            b'{"requestId":"r","clientCount":"x"}',
            b'{"requestId":"r","clientCount":-1}',
            b'{"requestId":"r","rooms":[[]]}',
            b"\x93\x01\x02\x03",
            b'{"type":9,"requestId":"r","packet":1}',
            msgspec.msgpack.encode({"requestId": "r", "data": nested(200)}),
            msgspec.json.encode({"type": 6, "requestId": "r", "data": nested(200)}),
            msgspec.json.encode({"requestId": "r", "sockets": [{"id": "s", "data": nested(200)}]}),
            msgspec.json.encode(
                {"requestId": "r", "sockets": [{"id": "s", "handshake": {"a": nested(200)}}]}
            ),
        ],
    )
    def test_that_are_malformed_are_refused(self, data: bytes) -> None:
        with pytest.raises(DecodeError):
            decode_response(data)


def parts_of(value: Any) -> Iterator[Any]:
    """Yield a value and what is in it."""
    yield value
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from parts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from parts_of(item)


class TestValuesOfAcknowledgements:
    """They are decoded only when their caller's turn has come."""

    @pytest.mark.parametrize("value", [None, 1, "é", b"\0", [1, {"a": [b"x"]}]])
    def test_come_as_they_were(self, value: Any) -> None:
        response = Response(type=9, request_id="r", packet=encode_value(value))
        assert encode_response(response) == msgspec.msgpack.encode(
            {"type": 9, "requestId": "r", "packet": value}
        )
        packet = decode_response(encode_response(response)).packet
        assert packet is not UNSET
        assert decode_value(bytes(packet)) == value

    def test_may_be_malformed_or_too_deep_and_their_response_is_read(self) -> None:
        response = Response(type=9, request_id="r", packet=encode_value(nested(200)))
        packet = decode_response(encode_response(response)).packet
        assert packet is not UNSET
        for data in (bytes(packet), b"\x92\x01", b"\xc1", b""):
            with pytest.raises(DecodeError):
                decode_value(data)

    def test_are_decoded_in_parts_where_they_are_large(self) -> None:
        pauses: list[None] = []
        value = [nested(50)] * 100
        assert decode_value(bytes(encode_value(value)), lambda: pauses.append(None)) == value
        assert len(pauses) > 50

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param([[] for _ in range(50_000)], id="empty arrays"),
            pytest.param([{} for _ in range(50_000)], id="empty maps"),
            pytest.param([{"": 1} for _ in range(50_000)], id="maps"),
            pytest.param([nested(90) for _ in range(500)], id="deep arrays"),
            pytest.param([number / 7 for number in range(50_000)], id="numbers"),
            pytest.param([f"{number:05}" for number in range(50_000)], id="short texts"),
            pytest.param({f"{number}": "é" for number in range(50_000)}, id="a large map"),
            pytest.param({"😀" + "k" * 50_000: 1}, id="a long key"),
            pytest.param({"a": [{"b": "c"}] * 9, "d": b"e" * 10_000}, id="a little of all"),
            pytest.param({"a": "😀" * 50_000}, id="emojis"),
        ],
    )
    def test_are_estimated_as_too_large_rather_than_too_small(self, value: Any) -> None:
        size = sum(map(getsizeof, parts_of(value)))
        assert estimate_size(bytes(encode_value(value))) > 0.8 * size

    def test_are_not_overestimated_where_they_are_text_or_binary(self) -> None:
        """Its bytes look as those of other values."""
        value = {"texts": ["漢字" * 50] * 1_000, "data": bytes(range(256)) * 1_000}
        data = bytes(encode_value(value))
        assert estimate_size(data) < 6 * len(data)

    @pytest.mark.parametrize(
        ("value", "most"),
        [
            pytest.param([number / 7 for number in range(50_000)], 44, id="floats"),
            pytest.param([2**40, -1000, None, True, 0.5] * 10_000, 44, id="numbers of all sizes"),
            pytest.param([1] * 50_000, 8, id="small numbers"),
        ],
    )
    def test_are_not_overestimated_where_they_are_numbers_alone(
        self, value: Any, most: int
    ) -> None:
        assert estimate_size(bytes(encode_value(value))) <= (most + 1) * len(value)

    @given(st.binary(min_size=1))
    def test_of_any_kind_are_estimated(self, data: bytes) -> None:
        assert estimate_size(data) >= 0
