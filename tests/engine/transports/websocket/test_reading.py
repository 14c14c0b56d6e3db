"""When a WebSocket is read from: turns, inflating, rates, pauses; and when senders have room."""

from collections.abc import Iterator

import pytest

from socketio_server.net.queued_output import LostBecause
from socketio_server.net.turns import LARGE
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import Packet
from socketio_server.protocol.websocket.frames import Close, Opcode
from socketio_server.protocol.websocket.permessage_deflate import deflate
from tests.engine.transports.websocket.link import Link
from tests.fakes.engine import outgoing
from tests.support.websocket import frame

EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
"""A whole deflate block of no bytes (RFC 1951 section 3.2.4)."""


def compressed(message: str) -> bytes:
    """Return a client's compressed text frame."""
    return frame(Opcode.TEXT, deflate(message.encode()), reserved=4)


class TestTurns:
    """No connection keeps the loop while others wait."""

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

    def test_all_clients_share_the_time_of_a_turn(self) -> None:
        link = Link(Options(max_time_per_turn=10.0))
        link.start()
        link.turns.until()  # another client's frames are handled
        link.loop.now += 11.0
        link.transport.data_received(frame(Opcode.TEXT, b"4a") + frame(Opcode.TEXT, b"4b"))
        assert link.session.messages == ["a"]

        link.loop.run()
        assert link.session.messages == ["a", "b"]
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
        made = Link(Options(), deflates=True)
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

    def test_so_does_what_takes_long_to_read_and_inflates_to_nothing(self, link: Link) -> None:
        blocks = EMPTY_BLOCK * (LARGE // len(EMPTY_BLOCK))
        data = blocks + deflate(b"4late")
        link.client.send_bytes(frame(Opcode.TEXT, data, reserved=4))
        link.loop.turn()
        assert link.session.packets == []
        assert not link.transport.is_reading

        link.loop.run()
        assert link.session.messages == ["late"]

    def test_what_was_inflated_to_nothing_is_charged_to_nobody(self, link: Link) -> None:
        blocks = EMPTY_BLOCK * (LARGE // len(EMPTY_BLOCK))
        for first in (Opcode.TEXT, *[Opcode.CONTINUATION] * 20):
            reserved = 4 if first is Opcode.TEXT else 0
            link.client.send_bytes(frame(first, blocks, fin=False, reserved=reserved))
            link.loop.run()
        assert 0 < link.session.charged < 2 * LARGE

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


class TestWhatIsCharged:
    """Bytes that have arrived and are not handed up, if they are many."""

    SIZE = 150_000

    @pytest.fixture
    def options(self) -> Options:
        return Options(max_events_per_turn=3)

    def begin(self, link: Link) -> None:
        """Send the first fragment of a message."""
        link.client.send_bytes(frame(Opcode.TEXT, b"4" + b"x" * self.SIZE, fin=False))
        link.loop.run()

    @pytest.mark.parametrize("count", [1, 4])
    @pytest.mark.parametrize("control", [Opcode.PING, Opcode.PONG])
    def test_of_a_message_is_so_when_a_control_frame_comes_in_its_middle(
        self, link: Link, control: Opcode, count: int
    ) -> None:
        """RFC 6455 section 5.4 allows it."""
        self.begin(link)
        link.client.send_bytes(frame(control) * count)
        link.loop.run()
        assert link.session.charged > self.SIZE
        assert link.transport.is_receiving

        link.client.send_bytes(frame(Opcode.CONTINUATION, b"y"))
        link.loop.run()
        assert link.session.messages == ["x" * self.SIZE + "y"]
        assert link.session.charged == 0
        assert not link.transport.is_receiving

    def test_is_no_more_so_when_it_is_handed_up(self, link: Link) -> None:
        """The session charges for it from there on."""
        charged: list[int] = []
        link.session.on_packet = lambda packet: charged.append(link.session.charged)
        self.begin(link)
        link.client.send_bytes(frame(Opcode.CONTINUATION))
        link.loop.run()
        assert charged == [0]

    def test_of_frames_is_so_until_their_turn(self, link: Link) -> None:
        link.client.send(*["4" + "x" * 10_000] * 6)
        link.loop.turn()
        assert len(link.session.messages) == 3
        assert link.session.charged > 30_000

        link.loop.run()
        assert len(link.session.messages) == 6
        assert link.session.charged == 0

    def test_of_frames_is_so_while_nothing_is_handed_up(self, link: Link) -> None:
        link.session.on_packet = lambda packet: link.transport.pause_reading()
        link.send("4a", "4" + "x" * 50_000)
        assert link.session.charged > 50_000

        link.transport.resume_reading()
        link.loop.run()
        assert len(link.session.messages) == 2
        assert link.session.charged == 0

    def test_of_what_came_with_the_handshake_is_so_as_well(self, options: Options) -> None:
        link = Link(options, frame(Opcode.TEXT, b"4" + b"x" * 50_000))
        link.start()
        link.transport.pause_reading()
        link.loop.run()
        assert link.session.charged > 50_000

        link.transport.resume_reading()
        link.loop.run()
        assert link.session.charged == 0
        link.close()

    def test_is_nothing_after_the_end(self, link: Link) -> None:
        self.begin(link)
        link.client.send_bytes(frame(Opcode.PONG))
        link.loop.run()
        link.client.sock.close()
        link.loop.run()
        assert link.session.closed == [CloseReason.TRANSPORT_CLOSE]
        assert link.session.charged == 0


class TestRates:
    """A client may send so much at once, and so much a second after that."""

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


class TestRoom:
    """Above the high-water mark senders have to wait."""

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

    def test_there_is_none_between_the_loss_of_a_connection_and_its_report(
        self, link: Link
    ) -> None:
        """Otherwise a handler that goes on sending would keep the loop from reporting it."""
        link.transport.give_up(LostBecause.CROWDED)
        assert link.session.closed == []
        assert not link.transport.ask_for_room()

        link.loop.run()
        assert len(link.session.closed) == 1

    def test_there_is_none_after_the_client_s_close_frame(self, link: Link) -> None:
        while link.transport.writable:
            link.transport.send(outgoing("x" * 10_000))
        assert link.transport.ask_for_room()
        link.client.close()
        link.loop.run()
        assert link.session.closed == []
        assert not link.transport.ask_for_room()

    def test_a_client_is_read_from_whatever_waits_for_it(self, link: Link) -> None:
        while link.transport.ask_for_room():
            link.transport.send(outgoing("x" * 10_000))
        link.send("4hello")

        assert link.session.messages == ["hello"]
