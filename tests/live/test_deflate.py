"""permessage-deflate over WebSocket (RFC 7692): off unless a setting turns it on."""

import json
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.http import Http
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    frame,
    handshake_headers,
)
from tests.support.wire import Polling, target

OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
TAIL = b"\0\0\xff\xff"
COMPRESSED = 0b100
"""The first of the three reserved bits (section 6)."""

LONG = "compressible 😀 " * 1000
MANIFOLD = ", ".join(map(str, range(2000)))
"""Repeats itself over more than the server's window."""
LIMIT = 1_000_000
"""The size of the largest message, ``SOCKETIO_MAX_PAYLOAD``."""


def deflate(data: str | bytes) -> bytes:
    """Return a message's compressed form (section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-15)
    whole = data.encode() if isinstance(data, str) else data
    deflated = compressor.compress(whole) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return deflated.removesuffix(TAIL)


def inflate(data: bytes, *, window_bits: int = 15) -> bytes:
    """Return the message of a compressed form, which needs no other (section 7.2.2).

    In small steps, so that nothing is known of what came before but what the window holds.
    """
    inflater = zlib.decompressobj(wbits=-window_bits)
    inflated, rest = b"", data + TAIL
    while rest:
        inflated += inflater.decompress(rest, 256)
        rest = inflater.unconsumed_tail
    return inflated + inflater.flush()


def event(*args: Any, ack_id: int | str = "") -> str:
    """Return the packet of an event."""
    return f"42{ack_id}{json.dumps(args, ensure_ascii=False, separators=(',', ':'))}"


class Frame(NamedTuple):
    """A frame of the server's, with its reserved bits."""

    opcode: int
    reserved: int
    data: bytes

    @property
    def text(self) -> str:
        """The message that it is."""
        assert self.opcode == TEXT
        return (inflate(self.data) if self.reserved == COMPRESSED else self.data).decode()


class Deflating:
    """A WebSocket that offers compression, and shows what came compressed.

    :param where: path and query of the handshake.
    """

    def __init__(self, server: Server, where: str, offer: dict[str, str] | None = None) -> None:
        self._http = Http(server.address)
        self._http.send_request("GET", where, headers={**handshake_headers(), **(offer or OFFER)})
        response = self._http.read_response()
        assert response.status == 101
        self.answer = response.headers.get("sec-websocket-extensions")
        """What the server said to the offer."""

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._http.send(data)

    def send_compressed(self, packet: str) -> None:
        """Send a packet in its compressed form."""
        self.send(frame(TEXT, deflate(packet), reserved=COMPRESSED))

    def receive(self) -> Frame:
        """Return the next frame."""
        first, size = self._http.read_exactly(2)
        if size >= 126:
            size = int.from_bytes(self._http.read_exactly(2 if size == 126 else 8))
        return Frame(first & 0x0F, first >> 4 & 0b111, self._http.read_exactly(size))

    def join(self) -> None:
        """Join the main namespace."""
        self.send_compressed("40")
        assert self.receive().text.startswith("40{")

    def ask(self, *args: Any) -> Frame:
        """Have the test project's handlers do something; return the answer's frame."""
        self.send_compressed(event("message", *args, ack_id=1))
        return self.receive()

    def wait_for_close(self) -> int:
        """Read until the server closes; return the code of its close frame."""
        while (received := self.receive()).opcode != CLOSE:
            pass
        assert self._http.read_to_the_end() == b""
        return int.from_bytes(received.data[:2])

    def close(self) -> None:
        """Go away."""
        self._http.close()


@pytest.fixture
def deflating(share_server: StartServer) -> Server:
    """A server that compresses over WebSocket."""
    return share_server(settings={"SOCKETIO_PER_MESSAGE_DEFLATE": True})


@pytest.fixture
def client(deflating: Server) -> Iterator[Deflating]:
    """A client of it, in the main namespace."""
    client = Deflating(deflating, target("websocket"))
    assert client.receive().text.startswith("0{")
    client.join()
    yield client
    client.close()


class TestNegotiation:
    @pytest.mark.parametrize(
        "offer",
        [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate",
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
        ],
    )
    def test_agrees_to_what_can_be_had(self, deflating: Server, offer: str) -> None:
        client = Deflating(deflating, target("websocket"), {"Sec-WebSocket-Extensions": offer})
        assert client.answer == ANSWER
        client.close()

    @pytest.mark.parametrize(
        "offer",
        [
            "x-webkit-deflate-frame",
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=11",
            "permessage-deflate; unknown",
            "permessage-deflate; client_max_window_bits=99",
        ],
    )
    def test_declines_what_can_not_be_had(self, deflating: Server, offer: str) -> None:
        client = Deflating(deflating, target("websocket"), {"Sec-WebSocket-Extensions": offer})
        assert client.answer is None
        assert client.receive().text.startswith("0{")
        client.close()

    def test_keeps_to_the_window_that_a_client_asks_for(self, deflating: Server) -> None:
        offer = {"Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=12"}
        client = Deflating(deflating, target("websocket"), offer)
        assert client.answer == f"{ANSWER}; server_max_window_bits=12"
        client.receive()
        client.join()
        received = client.ask({"do": "method", "name": "send", "args": [MANIFOLD]})
        assert received.reserved == COMPRESSED
        packet = event("message", MANIFOLD)
        assert inflate(received.data, window_bits=12) == packet.encode()
        client.close()

    def test_leaves_clients_alone_that_offer_nothing(
        self, deflating: Server, connect: Connect
    ) -> None:
        client = connect(to=deflating)
        client.method("send", LONG)
        assert client.next_message() == LONG

    def test_may_come_with_the_upgrade(self, deflating: Server) -> None:
        polling = Polling(deflating.address)
        polling.send("40")
        assert polling.receive()[0].startswith("40{")
        client = Deflating(deflating, target("websocket", sid=polling.handshake["sid"]))
        client.send_compressed("2probe")
        assert client.receive().text == "3probe"
        client.send_compressed("5")
        client.send_compressed(event("message", {"do": "method", "name": "send", "args": [LONG]}))
        received = client.receive()
        assert (received.reserved, received.text) == (COMPRESSED, event("message", LONG))
        client.close()
        polling.cut()

    def test_is_off_by_default(self, server: Server) -> None:
        client = Deflating(server, target("websocket"))
        assert client.answer is None
        opening = client.receive()
        assert (opening.reserved, opening.text[:2]) == (0, "0{")
        client.send_compressed("40")
        assert client.wait_for_close() == 1002
        client.close()


class TestMessages:
    def test_of_some_length_come_compressed(self, client: Deflating) -> None:
        received = client.ask({"do": "method", "name": "send", "args": [LONG]})
        assert received.reserved == COMPRESSED
        assert len(received.data) < 500
        assert received.text == event("message", LONG)

    def test_that_are_short_come_uncompressed(self, client: Deflating) -> None:
        answer = client.ask({"do": "nothing"})
        assert (answer.reserved, answer.text) == (0, '431["nothing"]')

    def test_are_understood_compressed_whatever_their_length(self, client: Deflating) -> None:
        for values in ([], ["x"], [LONG], ["ë😀", None, {"a": [1]}]):
            answer = client.ask({"do": "answer", "values": values})
            assert answer.text == f"431{event(*values).removeprefix('42')}"

    def test_need_not_be_compressed(self, client: Deflating) -> None:
        client.send(frame(TEXT, event("message", {"do": "nothing"}, ack_id=7)))
        assert client.receive().text == '437["nothing"]'

    def test_may_come_in_fragments(self, client: Deflating) -> None:
        data = deflate(event("message", {"do": "answer", "values": [LONG]}, ack_id=1))
        client.send(frame(TEXT, data[:10], fin=False, reserved=COMPRESSED))
        client.send(frame(PING, "in between"))
        client.send(frame(CONTINUATION, data[10:-10], fin=False))
        client.send(frame(CONTINUATION, data[-10:]))
        assert client.receive().data == b"in between"
        assert client.receive().text == f"431{json.dumps([LONG], ensure_ascii=False)}"

    def test_may_have_compressed_attachments(self, client: Deflating) -> None:
        picture = bytes(range(256)) * 40
        packet = event(
            "message",
            {"do": "answer", "values": [{"_placeholder": True, "num": 0}]},
            ack_id=1,
        )
        client.send_compressed(f"451-{packet.removeprefix('42')}")
        client.send(frame(BINARY, deflate(picture), reserved=COMPRESSED))
        assert client.receive().text == '461-1[{"_placeholder":true,"num":0}]'
        opcode, reserved, data = client.receive()
        assert (opcode, reserved) == (BINARY, COMPRESSED)
        assert len(data) < len(picture) // 10
        assert inflate(data) == picture

    def test_to_a_channel_reach_those_who_compress_and_those_who_do_not(
        self, client: Deflating, deflating: Server, connect: Connect
    ) -> None:
        others = [connect(transport, to=deflating) for transport in ("polling", "websocket")]
        sender = connect(to=deflating)
        client.send_compressed(event("__subscribe__", "room-mixed", ack_id=1))
        assert client.receive().text == "431[true]"
        for other in others:
            other.subscribe("room-mixed")
        sender.method("broadcast_channel", LONG, "room-mixed")
        assert [other.next_message() for other in others] == [LONG, LONG]
        received = client.receive()
        assert (received.reserved, received.text) == (COMPRESSED, event("message", LONG))


class TestTheLimit:
    def test_is_for_what_a_message_inflates_to(self, client: Deflating) -> None:
        around = len(event("message", "", ack_id=1))
        client.send_compressed(event("message", "x" * (LIMIT - around), ack_id=1))
        assert client.receive().text == "431[]"

    @pytest.mark.parametrize("size", [LIMIT + 1, 100 * LIMIT])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_closes_with_1009_who_goes_beyond_it_and_nobody_else_notices(
        self, client: Deflating, deflating: Server, connect: Connect, opcode: int, size: int
    ) -> None:
        bystander = connect(to=deflating)
        client.send(frame(opcode, deflate(b"4" * size), reserved=COMPRESSED))
        assert bystander.messages() == []
        assert client.wait_for_close() == 1009
        assert bystander.messages() == []

    def test_is_for_all_fragments_of_a_message_together(self, client: Deflating) -> None:
        data = deflate(b"4" * (10 * LIMIT))
        client.send(frame(TEXT, data[:1], fin=False, reserved=COMPRESSED))
        middle = [data[start : start + 100] for start in range(1, len(data), 100)]
        client.send(b"".join(frame(CONTINUATION, part, fin=False) for part in middle))
        assert client.wait_for_close() == 1009


class TestBadFrames:
    @pytest.mark.parametrize(
        ("data", "code"),
        [
            pytest.param(
                frame(TEXT, b"\xff\xff\xff", reserved=COMPRESSED), 1007, id="no deflate data"
            ),
            pytest.param(
                frame(TEXT, deflate(LONG)[:-5], reserved=COMPRESSED), 1007, id="broken off"
            ),
            pytest.param(
                frame(TEXT, deflate(b"4\xff\xfe"), reserved=COMPRESSED), 1007, id="no UTF-8"
            ),
            pytest.param(frame(PING, b"", reserved=COMPRESSED), 1002, id="compressed ping"),
            pytest.param(
                frame(TEXT, "4", fin=False) + frame(CONTINUATION, "2", reserved=COMPRESSED),
                1002,
                id="compression of a continuation",
            ),
            pytest.param(frame(TEXT, "4", reserved=0b010), 1002, id="second reserved bit"),
            pytest.param(frame(TEXT, "4", reserved=0b101), 1002, id="third reserved bit"),
        ],
    )
    def test_close_the_connection_and_nobody_else_notices(
        self, client: Deflating, deflating: Server, connect: Connect, data: bytes, code: int
    ) -> None:
        bystander = connect(to=deflating)
        client.send(data)
        assert client.wait_for_close() == code
        assert bystander.messages() == []
