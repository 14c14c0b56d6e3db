"""The older revisions against the parsers that ``socket.io-client`` 2.x really has, in Node.

Each side reads what the other wrote; the tables are those of the other tests.
"""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from socketio_server.protocol import engineio, engineio3, socketio, socketio4
from socketio_server.protocol.engineio import Packet, PacketType
from socketio_server.protocol.socketio import Encoded
from tests.protocol.test_engineio3 import PAYLOADS, as_text, binary_payload
from tests.protocol.test_socketio import ACKS, BINARY_PACKETS, EVENTS, encoded
from tests.support.tools import PATIENCE, require

SCRIPT = Path(__file__).parent / "parsers.mjs"
CLIENT = Path(__file__).parents[2] / "node_modules" / "socket.io-client-2"

PACKETS = [packets for packets, *_ in PAYLOADS]


@pytest.fixture(autouse=True, scope="module")
def _peer() -> None:
    """Skip where Node or the client is missing."""
    require("node")
    require("socket.io-client 2.x (npm ci)", found=CLIENT.exists())


def ask(*questions: dict[str, Any]) -> list[Any]:
    """Have the parsers answer questions."""
    process = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(questions),
        capture_output=True,
        encoding="utf-8",
        timeout=2 * PATIENCE,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    answers: list[Any] = json.loads(process.stdout)
    assert len(answers) == len(questions)
    return answers


class TestEngineIO:
    """engine.io-parser 2.x."""

    @pytest.mark.parametrize("is_binary", [False, True])
    def test_it_reads_our_payloads(self, is_binary: bool) -> None:
        bodies = [
            binary_payload(packets)
            if is_binary
            else engineio3.encode_payload(map(as_text, packets))
            for packets in PACKETS
        ]
        answers = ask(
            *[
                {"ask": "decodePayload", "wire": freeze(body) if is_binary else body.decode()}
                for body in bodies
            ]
        )
        assert answers == [[as_theirs(packet) for packet in packets] for packets in PACKETS]

    @pytest.mark.parametrize("supports_binary", [False, True])
    def test_we_read_its_payloads(self, supports_binary: bool) -> None:
        answers = ask(
            *[
                {
                    "ask": "encodePayload",
                    "packets": [as_theirs(packet) for packet in packets],
                    "supportsBinary": supports_binary,
                }
                for packets in PACKETS
            ]
        )
        forms = set()
        for answer, packets in zip(answers, PACKETS, strict=True):
            is_text = isinstance(answer, str)
            forms.add(is_text)
            content_type = "text/plain;charset=UTF-8" if is_text else "application/octet-stream"
            body = answer.encode() if is_text else thaw(answer)
            assert list(engineio3.decode_payload(body, 16, content_type=content_type)) == packets
        assert forms == ({True, False} if supports_binary else {True})

    def test_it_reads_our_frames(self) -> None:
        frames = [
            engineio.PROBE_PONG.decode(),
            freeze(engineio3.encode_binary_packet(b"\x00\xff")),
            engineio3.encode_binary(b"\x00\xff").decode(),
        ]
        answers = ask(*[{"ask": "decodePacket", "wire": frame} for frame in frames])
        assert answers == [
            {"type": "pong", "data": "probe"},
            {"type": "message", "data": freeze(b"\x00\xff")},
            {"type": "message", "data": freeze(b"\x00\xff")},
        ]

    def test_we_read_its_frames(self) -> None:
        message = {"type": "message", "data": freeze(b"\x00\xff")}
        ping, binary, base64_text = ask(
            {"ask": "encodePacket", "packet": {"type": "ping"}, "supportsBinary": True},
            {"ask": "encodePacket", "packet": message, "supportsBinary": True},
            {"ask": "encodePacket", "packet": message, "supportsBinary": False},
        )
        assert engineio3.decode_packet(ping) == Packet(PacketType.PING)
        expected = Packet(PacketType.MESSAGE, b"\x00\xff")
        assert engineio3.decode_binary_packet(thaw(binary)) == expected
        assert engineio3.decode_packet(base64_text) == expected

    def test_it_reads_our_handshake(self) -> None:
        opening = engineio3.encode_open(
            sid="x", upgrades=["websocket"], ping_interval=25.0, ping_timeout=20.0
        )
        body = engineio3.encode_payload([opening, engineio.MESSAGE + b"0"])
        (packets,) = ask({"ask": "decodePayload", "wire": body.decode()})
        assert packets == [
            {"type": "open", "data": opening.decode()[1:]},
            {"type": "message", "data": "0"},
        ]


class TestSocketIO:
    """socket.io-parser 3.x."""

    @pytest.mark.parametrize(
        ("wire", "packet"),
        [
            (socketio4.encode_connect("x"), {"type": 0, "nsp": "/"}),
            (socketio4.encode_connect("x", namespace="/admin"), {"type": 0, "nsp": "/admin"}),
            (socketio4.encode_disconnect(), {"type": 1, "nsp": "/"}),
            (socketio4.encode_disconnect(namespace="/admin"), {"type": 1, "nsp": "/admin"}),
            (
                socketio4.Encoder().connect_error("Not authorized"),
                {"type": 4, "nsp": "/", "data": "Not authorized"},
            ),
            (
                socketio4.Encoder().connect_error("12", namespace="/admin"),
                {"type": 4, "nsp": "/admin", "data": "12"},
            ),
        ],
    )
    def test_it_reads_our_packets(self, wire: bytes, packet: dict[str, Any]) -> None:
        assert ask({"ask": "decode", "parts": [wire.decode()]}) == [packet]

    def test_it_reads_our_events_and_acknowledgements(self) -> None:
        packets = [packet for _, packet in EVENTS + ACKS] + [p for *_, p in BINARY_PACKETS]
        answers = ask(
            *[
                {"ask": "decode", "parts": parts_of(encoded(packet, socketio4.Encoder()))}
                for packet in packets
            ]
        )
        for answer, packet in zip(answers, packets, strict=True):
            assert answer["nsp"] == packet.namespace
            assert answer["data"] == freeze_all(packet.data)
            assert answer.get("id") == packet.ack_id

    def test_we_read_its_connects(self) -> None:
        """The client puts the query into the namespace itself."""
        plain, with_query, leaving = ask(
            {"ask": "encode", "packet": {"type": 0, "nsp": "/admin"}},
            {"ask": "encode", "packet": {"type": 0, "nsp": "/admin?token=1&b=%2C"}},
            {"ask": "encode", "packet": {"type": 1, "nsp": "/admin"}},
        )
        connect = socketio.PacketType.CONNECT
        assert socketio4.decode(plain[0]) == socketio.Packet(connect, "/admin")
        assert socketio4.decode(with_query[0]) == socketio.Packet(
            connect, "/admin", query="token=1&b=%2C"
        )
        assert socketio4.decode(leaving[0]) == socketio.Packet(
            socketio.PacketType.DISCONNECT, "/admin"
        )

    def test_we_read_its_events_and_acknowledgements(self) -> None:
        packets = [packet for _, packet in EVENTS + ACKS] + [p for *_, p in BINARY_PACKETS]
        binary = [False] * len(EVENTS + ACKS) + [True] * len(BINARY_PACKETS)
        answers = ask(
            *[
                {
                    "ask": "encode",
                    "packet": {
                        "type": packet.type + 3 * is_binary,
                        "nsp": packet.namespace,
                        "data": freeze_all(packet.data),
                        "id": packet.ack_id,
                    },
                }
                for packet, is_binary in zip(packets, binary, strict=True)
            ]
        )
        for (text, *attachments), packet in zip(answers, packets, strict=True):
            assert socketio4.decode(text, list(map(thaw, attachments))) == packet


def freeze(data: bytes) -> dict[str, str]:
    """Return bytes as they go through JSON."""
    return {"base64": base64.b64encode(data).decode()}


def thaw(data: dict[str, str]) -> bytes:
    """Return bytes that went through JSON."""
    return base64.b64decode(data["base64"])


def freeze_all(data: Any) -> Any:
    """Return a value with all its bytes as they go through JSON."""
    if isinstance(data, bytes):
        return freeze(data)
    if isinstance(data, list):
        return [freeze_all(item) for item in data]
    if isinstance(data, dict):
        return {key: freeze_all(item) for key, item in data.items()}
    return data


def as_theirs(packet: Packet) -> dict[str, Any]:
    """Return a packet as engine.io-parser has it."""
    data = freeze(packet.data) if isinstance(packet.data, bytes) else packet.data
    return {"type": packet.type.name.lower(), "data": data}


def parts_of(packet: Encoded) -> list[Any]:
    """Return the messages that a packet is."""
    return [packet.text.decode(), *map(freeze, packet.attachments)]
