"""Engine.IO packets over a WebSocket, and what breaks the protocol."""

import pytest

from socketio_server.engine.transports.base import PING
from socketio_server.exceptions import DecodeError
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import Packet, PacketType
from socketio_server.protocol.websocket.frames import Close, Opcode, Pong
from tests.engine.transports.websocket.link import Link
from tests.fakes.engine import outgoing
from tests.fakes.websocket import WebSocketPeer
from tests.support.websocket import frame


class TestPackets:
    def test_its_name_is_websocket(self, link: Link) -> None:
        assert link.transport.name == "websocket"

    def test_a_text_frame_is_a_packet(self, link: Link) -> None:
        link.send("4hello", "3", "2probe")

        assert link.session.packets == [
            Packet(PacketType.MESSAGE, "hello"),
            Packet(PacketType.PONG),
            Packet(PacketType.PING, "probe"),
        ]

    def test_a_binary_frame_is_a_binary_message(self, link: Link) -> None:
        link.send(b"\x01\x02")

        assert link.session.packets == [Packet(PacketType.MESSAGE, b"\x01\x02")]

    def test_a_text_frame_of_base64_is_a_binary_message(self, link: Link) -> None:
        """What the JavaScript client sends with ``forceBase64``."""
        link.send("bAQID")

        assert link.session.packets == [Packet(PacketType.MESSAGE, b"\x01\x02\x03")]

    def test_a_message_may_come_in_fragments(self, link: Link) -> None:
        link.client.send_bytes(frame(Opcode.TEXT, b"4hel", fin=False))
        link.loop.run()
        link.client.send_bytes(frame(Opcode.CONTINUATION, b"lo"))
        link.loop.run()

        assert link.session.messages == ["hello"]

    def test_what_came_with_the_handshake_is_handled_first(self, options: Options) -> None:
        link = Link(options, frame(Opcode.TEXT, b"4first"))
        link.client.send("4second")
        link.start()
        link.loop.run()

        assert link.session.messages == ["first", "second"]
        link.close()

    def test_a_message_is_sent_on_the_spot(self, link: Link) -> None:
        link.transport.send(outgoing("hello"))
        link.transport.send(PING)

        assert link.client.received() == ["4hello", "2"]

    def test_attachments_go_as_binary_frames_behind_their_packet(self, link: Link) -> None:
        link.transport.send(outgoing("51-[]", b"\x01", b"\x02"))

        assert link.client.received() == ["451-[]", b"\x01", b"\x02"]

    def test_a_websocket_ping_is_answered_with_its_data(self, link: Link) -> None:
        link.client.send_bytes(frame(Opcode.PING, b"data"))
        link.loop.run()

        assert link.client.received() == [Pong(b"data")]
        assert link.session.packets == []

    def test_a_websocket_pong_changes_nothing(self, link: Link) -> None:
        link.client.send_bytes(frame(Opcode.PONG, b"unasked"))
        link.send("4hello")

        assert link.session.messages == ["hello"]
        assert link.client.received() == []


class TestWhatBreaksTheProtocol:
    @pytest.mark.parametrize(
        ("data", "code"),
        [
            pytest.param(b"\x81\x05hello", 1002, id="unmasked"),
            pytest.param(frame(0x40 | Opcode.TEXT, b"4"), 1002, id="reserved bit"),
            pytest.param(frame(0x3, b""), 1002, id="unknown opcode"),
            pytest.param(frame(Opcode.PING, b"x" * 126), 1002, id="long ping"),
            pytest.param(frame(Opcode.CLOSE, b"\x03\xed"), 1002, id="bad close code"),
            pytest.param(frame(Opcode.TEXT, b"4\xff"), 1007, id="bad UTF-8"),
            pytest.param(frame(Opcode.TEXT, b"4" * 1001), 1009, id="too big"),
            pytest.param(
                frame(Opcode.TEXT, b"4", fin=False)
                + frame(Opcode.CONTINUATION, b"4", fin=False) * 4,
                1009,
                id="too many fragments",
            ),
            pytest.param(frame(Opcode.TEXT, b"9"), 1007, id="unknown packet type"),
            pytest.param(frame(Opcode.TEXT, b""), 1007, id="empty packet"),
        ],
    )
    def test_it_closes_with_the_code_for_it(self, link: Link, data: bytes, code: int) -> None:
        link.client.send_bytes(data)
        link.loop.run()

        (event,) = link.client.received()
        assert isinstance(event, Close)
        assert event.code == code
        assert link.client.is_cut
        assert link.session.closed == [CloseReason.PARSE_ERROR]

    def test_what_was_right_before_it_counts(self, link: Link) -> None:
        link.client.send_bytes(frame(Opcode.TEXT, b"4right") + b"\xff\xff\xff\xff")
        link.loop.run()

        assert link.session.messages == ["right"]
        assert link.session.closed == [CloseReason.PARSE_ERROR]

    def test_what_the_session_can_not_decode_closes_too(self, link: Link) -> None:
        def refuse(packet: Packet) -> None:
            raise DecodeError("no such thing")

        link.session.on_packet = refuse
        link.send("4nonsense", "4behind it")

        assert link.session.messages == ["nonsense"]
        assert link.session.closed == [CloseReason.PARSE_ERROR]
        (event,) = link.client.received()
        assert isinstance(event, Close)
        assert event.code == 1007

    def test_a_client_may_then_send_all_it_has_before_it_reads(self, link: Link) -> None:
        """Its bytes are read and dropped; else both would wait."""
        for letter in "abcde":
            link.transport.send(outgoing(letter * 200_000))
        link.send("9")
        assert link.transport.is_catching_up

        link.client.sock.setblocking(False)
        for _ in range(20):
            link.client.send_bytes(b"x" * 50_000)
            link.loop.run()

    def test_a_client_that_does_not_go_then_is_cut_off(self, link: Link) -> None:
        link.send("9")
        link.loop.advance(1.9)
        link.client.send_bytes(b"whatever" * 1000)
        link.loop.run()
        assert link.loop.watchers

        link.loop.advance(0.1)
        assert not link.loop.watchers
        assert link.session.messages == []

    def test_it_is_told(self, link: Link) -> None:
        link.send("9")

        assert link.session.refusals == ["packet: no Engine.IO packet type"]


class TestFakePeer:
    """The tests' own client speaks as RFC 6455 wants it, or the above would mean little."""

    def test_large_frames_arrive_both_ways(self) -> None:
        link = Link(Options())
        link.start()
        text = "€" * 30_000  # 90 kB: a length of eight bytes
        link.send("4" + text, "4" + text[:1000])
        link.transport.send(outgoing(text))
        received: list[object] = []
        while not received:
            link.loop.run()
            received += link.client.received()

        assert link.session.messages == [text, text[:1000]]
        assert received == ["4" + text]
        assert isinstance(link.client, WebSocketPeer)
        link.close()
