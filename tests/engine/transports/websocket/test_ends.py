"""How a WebSocket ends: by the session, by the client, or by neither."""

import pytest

from socketio_server.net.queued_output import LostBecause
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.websocket.frames import Close, Opcode, Pong
from tests.engine.transports.websocket.link import Link
from tests.fakes.engine import outgoing
from tests.support.websocket import frame

CLOSE_TIMEOUT = Options().close_timeout


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

    @pytest.mark.parametrize("size", [900, 500])
    def test_nothing_that_the_client_sends_after_it_is_kept(self, link: Link, size: int) -> None:
        """Nobody would be charged for it."""
        begun = frame(Opcode.BINARY, b"x" * 900)
        link.client.send_bytes(begun[:size])
        link.loop.run()
        link.transport.close(CloseReason.FORCED_CLOSE)
        link.client.send_bytes(begun[size:] + frame(Opcode.BINARY, b"x" * 900)[:-1])
        link.loop.run()

        assert link.transport._parser.unfinished == 0

    def test_a_ping_after_it_is_answered(self, link: Link) -> None:
        link.transport.close(CloseReason.FORCED_CLOSE)
        link.client.send_bytes(frame(Opcode.TEXT, b"4too late") + frame(Opcode.PING, b"hello"))
        link.loop.run()

        assert link.client.received() == [Close(1000, ""), Pong(b"hello")]

    @pytest.mark.parametrize("size", [3, 400])
    def test_a_close_behind_a_frame_under_way_is_found(self, link: Link, size: int) -> None:
        begun = frame(Opcode.TEXT, b"4" + b"x" * 800)
        link.client.send_bytes(begun[:size])
        link.loop.run()
        link.transport.close(CloseReason.FORCED_CLOSE)
        link.client.send_bytes(begun[size:] + frame(Opcode.CLOSE, b"\x03\xe8"))
        link.loop.run()

        link.client.received()
        assert link.client.is_cut

    def test_a_close_among_frames_that_wait_is_found(self, link: Link) -> None:
        link.session.on_packet = lambda packet: link.transport.pause_reading()
        link.client.send_bytes(2 * frame(Opcode.TEXT, b"4x") + frame(Opcode.CLOSE, b"\x03\xe8"))
        link.loop.run()
        link.transport.close(CloseReason.FORCED_CLOSE)
        link.loop.run()

        assert link.session.messages == ["x"]
        link.client.received()
        assert link.client.is_cut

    def test_what_the_client_sends_after_it_leaves_turns_to_the_others(self) -> None:
        link = Link(Options(max_events_per_turn=5))
        link.start()
        link.transport.close(CloseReason.FORCED_CLOSE)
        link.client.send_bytes(frame(Opcode.TEXT, b"") * 20 + frame(Opcode.CLOSE, b"\x03\xe8"))
        for _ in range(3):
            link.loop.turn()
        assert not link.connection.closed

        link.loop.run()
        assert link.connection.closed
        link.close()

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

    def test_nothing_that_waits_for_its_turn_is_kept(self) -> None:
        link = Link(Options(max_events_per_turn=1))
        link.start()
        link.client.send_bytes(frame(Opcode.TEXT, b"4hello") * 100)
        link.loop.turn()
        link.client.sock.close()
        link.transport.give_up(LostBecause.ERROR)
        link.loop.turn()

        assert link.transport._parser.is_empty

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
