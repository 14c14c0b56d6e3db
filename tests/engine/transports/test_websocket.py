"""Engine.IO over a WebSocket: packets and frames, turns, pauses, and how it ends.

Real bytes on a real socket pair, moved by a loop that tests turn by hand.
"""

from collections.abc import Iterator

import pytest

from socketio_server.engine.transports.base import PING
from socketio_server.engine.transports.websocket import UpgradedConnection, WebSocketTransport
from socketio_server.exceptions import DecodeError
from socketio_server.net.turns import LARGE, Turns
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import Packet, PacketType
from socketio_server.protocol.permessage_deflate import deflate
from socketio_server.protocol.websocket import Close, Opcode, Pong
from tests.fakes.engine import RecordingTransportHandler, outgoing
from tests.fakes.loop import FakeLoop
from tests.fakes.websocket import WebSocketPeer, closings, websocket
from tests.support.websocket import frame

CLOSE_TIMEOUT = Options().close_timeout


class Link:
    """A WebSocket transport, the session above it, and its client."""

    def __init__(self, options: Options, data: bytes = b"", window_bits: int | None = None) -> None:
        self.loop = FakeLoop()
        self.session = RecordingTransportHandler()
        self._pair = websocket(self.loop, options)
        self.connection, self.client = self._pair.__enter__()
        upgraded = UpgradedConnection(self.connection, data, window_bits)
        self.transport = WebSocketTransport(
            upgraded,
            self.session,
            self.loop,
            options,
            self.loop.clock,
            closings(self.loop, options),
            Turns(self.loop, options, clock=self.loop.clock),
        )

    def start(self) -> None:
        self.transport.start()

    def send(self, *messages: str | bytes) -> None:
        """Let the client send messages in one go, and the loop run."""
        self.client.send(*messages)
        self.loop.run()

    def close(self) -> None:
        self._pair.__exit__(None, None, None)


def compressed(message: str) -> bytes:
    """Return a client's compressed text frame."""
    return frame(Opcode.TEXT, deflate(message.encode()), reserved=4)


@pytest.fixture
def options() -> Options:
    return Options(max_payload=1000, max_fragments=4)


@pytest.fixture
def link(options: Options) -> Iterator[Link]:
    made = Link(options)
    made.start()
    yield made
    made.close()


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


class TestTurns:
    """No connection keeps the loop while others wait (security, 11)."""

    @pytest.fixture
    def options(self) -> Options:
        return Options(max_events_per_turn=3)

    def test_a_chatty_client_leaves_a_turn_to_the_others(self, link: Link) -> None:
        link.client.send(*(f"4{i}" for i in range(7)))
        link.loop.turn()
        assert link.session.messages == ["0", "1", "2"]

        link.loop.run()
        assert link.session.messages == list("0123456")

    def test_what_comes_later_stays_behind(self, link: Link) -> None:
        link.client.send(*(f"4{i}" for i in range(4)))
        link.loop.turn()
        link.client.send("4last")
        link.loop.run()

        assert link.session.messages == ["0", "1", "2", "3", "last"]

    def test_a_turn_ends_when_its_time_is_over_too(self) -> None:
        link = Link(Options())
        link.loop.seconds_per_look = 1.0
        link.start()
        link.client.send(*(f"4{i}" for i in range(7)))
        link.loop.turn()
        assert 0 < len(link.session.messages) < 7

        link.loop.run()
        assert link.session.messages == list("0123456")
        link.close()

    def test_the_answers_of_one_turn_go_out_together(self, link: Link) -> None:
        seen: list[object] = []

        def answer(packet: Packet) -> None:
            link.transport.send(outgoing(f"re {packet.data!s}"))
            seen.extend(link.client.received())

        link.session.on_packet = answer
        link.send("4a", "4b")

        assert seen == []  # nothing went out while there was more to answer
        assert link.client.received() == ["4re a", "4re b"]

    def test_answers_do_not_wait_for_the_end_of_the_turn_if_no_more_follow(
        self, link: Link
    ) -> None:
        seen: list[object] = []

        def answer(packet: Packet) -> None:
            link.transport.send(outgoing(f"re {packet.data!s}"))
            link.transport.pause_reading()
            seen.extend(link.client.received())

        link.session.on_packet = answer
        link.send("4a", "4b")

        assert seen == ["4re a"]

    def test_a_client_that_ends_while_frames_wait_ends_after_a_turn(self, link: Link) -> None:
        link.client.send(*(f"4{i}" for i in range(5)))
        link.loop.turn()
        link.client.sock.close()
        link.loop.run()

        assert link.session.messages == list("01234")
        assert link.session.closed == [CloseReason.TRANSPORT_CLOSE]
        assert not link.loop.watchers


class TestInflating:
    """Compressed messages that are large once they are inflated."""

    @pytest.fixture
    def link(self) -> Iterator[Link]:
        made = Link(Options(), window_bits=15)
        made.start()
        yield made
        made.close()

    def test_waits_for_a_turn_of_its_own(self, link: Link) -> None:
        messages = ["4" + "x" * LARGE, "4small", "4" + "y" * 2 * LARGE]
        link.client.send_bytes(b"".join(map(compressed, messages)))
        link.loop.turn()
        assert link.session.packets == []
        assert not link.transport.is_reading

        link.loop.run()
        assert link.session.messages == [message[1:] for message in messages]
        assert link.transport.is_reading

    def test_small_ones_do_not_wait(self, link: Link) -> None:
        link.client.send_bytes(compressed("4small"))
        link.loop.turn()
        assert link.session.messages == ["small"]

    def test_a_client_that_goes_meanwhile_leaves_nothing(self, link: Link) -> None:
        link.client.send_bytes(compressed("4" + "x" * LARGE))
        link.loop.turn()
        link.connection.abort()
        link.loop.run()
        assert link.session.packets == []
        assert not link.loop.watchers


class TestRates:
    """A client may send so much at once, and so much a second after that (security, 12)."""

    @pytest.fixture
    def options(self) -> Options:
        return Options(
            max_packet_burst=5,
            max_packet_rate=1,
            max_websocket_pings=5,
        )

    def test_what_is_too_fast_waits_in_order(self, link: Link) -> None:
        link.client.send(*(f"4{i}" for i in range(10)))
        link.loop.run()
        assert 5 <= len(link.session.messages) < 10

        link.loop.advance(60.0)
        assert link.session.messages == list("0123456789")
        assert link.session.closed == []

    def test_a_client_that_keeps_to_the_rate_is_never_slowed_down(self, link: Link) -> None:
        for i in range(50):
            link.loop.advance(1.0)
            link.send(f"4{i}")
            assert link.session.messages[-1] == str(i)

        assert link.session.refusals == []

    def test_the_burst_comes_back_in_time(self, link: Link) -> None:
        for _ in range(10):
            link.loop.advance(60.0)
            link.session.packets.clear()
            link.send(*"44444")
            assert len(link.session.messages) == 5

        assert link.session.refusals == []

    def test_meanwhile_nothing_more_is_read(self, link: Link) -> None:
        assert link.transport.is_reading
        link.send(*(f"4{i}" for i in range(10)))
        assert not link.transport.is_reading
        link.send("4last")
        assert "last" not in link.session.messages

        link.loop.advance(60.0)
        assert link.session.messages == [*"0123456789", "last"]
        assert link.transport.is_reading

    def test_meanwhile_the_client_still_gets_its_messages(self, link: Link) -> None:
        link.send(*(f"4{i}" for i in range(10)))
        link.transport.send(outgoing("hello"))

        assert link.client.received() == ["4hello"]

    def test_pings_are_another_matter(self, link: Link) -> None:
        """They have no use here, so too many of them are an attack."""
        for _ in range(100):
            link.client.send_bytes(frame(Opcode.PING, b""))
        link.loop.advance(10.0)

        *pongs, close = link.client.received()
        assert isinstance(close, Close)
        assert close.code == 1008
        assert 5 <= len(pongs) < 100
        assert link.session.closed == [CloseReason.PARSE_ERROR]


class TestRoom:
    """Above the high-water mark senders have to wait (semantics, 3a)."""

    @pytest.fixture
    def options(self) -> Options:
        return Options(high_water=50_000)

    def test_the_session_is_told_when_there_is_room_again(self, link: Link) -> None:
        while link.transport.ask_for_room():
            link.transport.send(outgoing("x" * 10_000))
        assert 50_000 < link.transport.queued_bytes < 70_000
        assert link.session.rooms == 0

        while not link.session.rooms:
            assert link.transport.queued_bytes > 50_000
            link.client.received()
            link.loop.run()
        assert link.transport.ask_for_room()
        assert link.session.rooms == 1

    def test_what_was_only_held_back_takes_none(self, link: Link) -> None:
        """The answers to what it sent in one go wait for each other, not for the client."""
        room: list[bool] = []

        def answer(packet: Packet) -> None:
            link.transport.send(outgoing("x" * 30_000))
            room.append(link.transport.ask_for_room())

        link.session.on_packet = answer
        link.send("4a", "4b")

        assert room == [True, True]
        assert len(link.client.received()) == 2

    def test_a_client_is_read_from_whatever_waits_for_it(self, link: Link) -> None:
        while link.transport.ask_for_room():
            link.transport.send(outgoing("x" * 10_000))
        link.send("4hello")

        assert link.session.messages == ["hello"]


class TestPauses:
    def test_a_paused_transport_hands_nothing_up(self, link: Link) -> None:
        link.transport.pause_reading()
        link.transport.pause_reading()
        link.send("4waits")
        assert link.session.messages == []

        link.transport.resume_reading()
        link.loop.run()
        assert link.session.messages == ["waits"]

    def test_what_came_with_the_handshake_waits_as_well(self, options: Options) -> None:
        link = Link(options, frame(Opcode.TEXT, b"4first"))
        link.start()
        link.transport.pause_reading()
        link.send("4second")
        assert link.session.messages == []

        link.transport.resume_reading()
        link.loop.run()
        assert link.session.messages == ["first", "second"]
        link.close()

    def test_what_was_parsed_already_waits_and_stays_first(self, link: Link) -> None:
        def pause_after_first(packet: Packet) -> None:
            if packet.data == "first":
                link.transport.pause_reading()

        link.session.on_packet = pause_after_first
        link.send("4first", "4second", "4third")
        link.send("4fourth")
        assert link.session.messages == ["first"]

        link.transport.resume_reading()
        link.loop.run()
        assert link.session.messages == ["first", "second", "third", "fourth"]

    def test_resuming_hands_nothing_up_on_the_spot(self, link: Link) -> None:
        """Handlers resume their client: its next packets must not run inside them."""
        link.session.on_packet = lambda packet: link.transport.pause_reading()
        link.send("4first", "4second")
        link.transport.resume_reading()
        assert link.session.messages == ["first"]

        link.loop.run()
        assert link.session.messages == ["first", "second"]

    def test_resuming_what_is_not_paused_changes_nothing(self, link: Link) -> None:
        link.transport.resume_reading()
        link.send("4hello")

        assert link.session.messages == ["hello"]

    def test_a_pause_right_after_a_resume_holds(self, link: Link) -> None:
        link.transport.pause_reading()
        link.transport.resume_reading()
        link.transport.pause_reading()
        link.send("4waits")

        assert link.session.messages == []

    def test_messages_to_the_client_pass(self, link: Link) -> None:
        link.transport.pause_reading()
        link.transport.send(outgoing("hello"))

        assert link.client.received() == ["4hello"]


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


class TestClosing:
    @pytest.mark.parametrize(
        ("reason", "code"),
        [
            (CloseReason.SERVER_SHUTTING_DOWN, 1001),
            (CloseReason.PARSE_ERROR, 1007),
            (CloseReason.PING_TIMEOUT, 1000),
            (CloseReason.FORCED_SERVER_CLOSE, 1000),
        ],
    )
    def test_the_session_s_end_has_a_close_code(
        self, link: Link, reason: CloseReason, code: int
    ) -> None:
        link.transport.close(reason)

        assert link.client.received() == [Close(code, "")]
        assert link.session.closed == [reason]

    def test_what_was_sent_goes_out_first(self, link: Link) -> None:
        link.transport.send(outgoing("last words"))
        link.transport.close(CloseReason.FORCED_CLOSE)

        assert link.client.received() == ["4last words", Close(1000, "")]

    def test_the_client_s_answer_ends_the_connection(self, link: Link) -> None:
        link.transport.close(CloseReason.FORCED_CLOSE)
        assert not link.client.is_cut
        link.client.close()
        link.loop.run()

        assert link.client.received() == [Close(1000, "")]
        assert link.client.is_cut
        assert link.session.closed == [CloseReason.FORCED_CLOSE]
        link.loop.advance(CLOSE_TIMEOUT)
        assert not link.loop.watchers

    def test_a_client_that_does_not_answer_is_cut_off(self, link: Link) -> None:
        link.transport.close(CloseReason.FORCED_CLOSE)
        link.client.received()
        link.loop.advance(1.9)
        assert not link.client.is_cut

        link.loop.advance(0.1)
        assert link.client.is_cut
        assert link.session.closed == [CloseReason.FORCED_CLOSE]
        assert not link.loop.watchers

    def test_a_client_has_time_to_take_what_was_sent_before_it_answers(self, link: Link) -> None:
        for letter in "abcde":
            link.transport.send(outgoing(letter * 200_000))
        link.transport.close(CloseReason.FORCED_CLOSE)
        link.loop.advance(2 * CLOSE_TIMEOUT)
        received: list[object] = []
        while len(received) < 6:
            link.loop.run()
            received += link.client.received()
        assert received[-1] == Close(1000, "")
        link.loop.advance(CLOSE_TIMEOUT - 0.1)
        assert not link.client.is_cut

        link.loop.advance(0.1)
        assert link.client.is_cut

    def test_one_that_sends_nonsense_has_not(self, link: Link) -> None:
        for letter in "abcde":
            link.transport.send(outgoing(letter * 200_000))
        link.client.send_bytes(b"nonsense")
        link.loop.run()
        link.loop.advance(CLOSE_TIMEOUT)

        assert link.connection.closed

    def test_nor_has_one_that_closes_itself(self, link: Link) -> None:
        for letter in "abcde":
            link.transport.send(outgoing(letter * 200_000))
        link.client.close()
        link.loop.run()
        link.loop.advance(CLOSE_TIMEOUT)

        assert link.connection.closed

    def test_what_the_client_sends_after_it_counts_no_more(self, link: Link) -> None:
        link.transport.close(CloseReason.FORCED_CLOSE)
        link.send("4too late", b"too late", "9")

        assert link.session.packets == []
        assert link.session.closed == [CloseReason.FORCED_CLOSE]

    def test_a_paused_client_s_answer_is_read(self, link: Link) -> None:
        link.transport.pause_reading()
        link.transport.close(CloseReason.FORCED_CLOSE)
        link.client.close()
        link.loop.run()

        link.client.received()
        assert link.client.is_cut

    def test_closing_again_changes_nothing(self, link: Link) -> None:
        link.transport.close(CloseReason.PING_TIMEOUT)
        link.transport.close(CloseReason.FORCED_CLOSE)

        assert link.client.received() == [Close(1000, "")]
        assert link.session.closed == [CloseReason.PING_TIMEOUT]


class TestWhenTheClientEnds:
    @pytest.mark.parametrize("code", [1000, 1001, 4000])
    def test_its_close_is_answered_with_the_same_code(self, link: Link, code: int) -> None:
        link.client.close(code)
        link.loop.run()

        assert link.client.received() == [Close(code, "")]
        assert link.client.is_cut
        assert link.session.closed == [CloseReason.TRANSPORT_CLOSE]
        link.loop.advance(CLOSE_TIMEOUT)
        assert not link.loop.watchers

    def test_a_close_without_a_code_is_answered_without_one(self, link: Link) -> None:
        link.client.send_bytes(frame(Opcode.CLOSE, b""))
        link.loop.run()

        assert link.client.received() == [Close(None, "")]

    def test_messages_right_before_its_close_arrive(self, link: Link) -> None:
        link.client.send_bytes(frame(Opcode.TEXT, b"4bye") + frame(Opcode.CLOSE, b"\x03\xe8"))
        link.loop.run()

        assert link.session.messages == ["bye"]
        assert link.session.closed == [CloseReason.TRANSPORT_CLOSE]

    def test_going_without_a_close_is_a_transport_close(self, link: Link) -> None:
        link.client.sock.close()
        link.loop.run()

        assert link.session.closed == [CloseReason.TRANSPORT_CLOSE]

    def test_a_reset_is_a_transport_error(self, link: Link) -> None:
        link.transport.send(outgoing("never read"))
        link.client.sock.close()
        link.loop.run()

        assert link.session.closed == [CloseReason.TRANSPORT_ERROR]

    def test_a_client_that_reads_nothing_is_a_transport_error(self) -> None:
        link = Link(Options(max_queued_bytes=1000))
        link.start()
        while not link.connection.closed:
            link.transport.send(outgoing("x" * 100))
        assert link.session.closed == []  # never on the spot: others may be sent to just now
        link.loop.run()

        assert link.session.closed == [CloseReason.TRANSPORT_ERROR]
        link.close()

    def test_sending_to_a_client_that_has_gone_is_harmless(self, link: Link) -> None:
        link.client.sock.close()
        link.loop.run()
        link.transport.send(outgoing("to nobody"))
        link.transport.pause_reading()
        link.transport.resume_reading()
        link.transport.close(CloseReason.FORCED_CLOSE)
        link.loop.advance(60.0)

        assert link.session.closed == [CloseReason.TRANSPORT_CLOSE]


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
