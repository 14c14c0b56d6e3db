"""What is queued on a connection: its limits, and who is told when it is sent."""

from collections.abc import Callable

import pytest

from socketio_server.net.connection import Connection
from socketio_server.net.queued_output import ENTRY_COST, MESSAGE_COST, LostBecause
from socketio_server.options import Options
from tests.fakes.net import RecordingConnectionHandler, read_available, socket_pair
from tests.net.connection.wire import BIG, Wire


class TestBackpressure:
    @pytest.fixture
    def options(self) -> Options:
        return Options(max_queued_bytes=5000, stall_timeout=10.0)

    def test_as_much_as_is_allowed_may_wait(self, wire: Wire) -> None:
        wire.fill()
        wire.connection.write(b"x" * (5000 - wire.connection.queued))
        wire.loop.run()

        assert wire.handler.lost == []
        assert wire.connection.queued == 5000

    def test_more_than_is_allowed_closes_the_connection(self, wire: Wire) -> None:
        wire.fill()
        wire.connection.write(b"x" * (5001 - wire.connection.queued))
        assert wire.connection.closed
        assert wire.output.total == 0  # the memory is given back at once
        assert wire.handler.lost == []  # the writer's loop over recipients goes on undisturbed

        wire.loop.run()
        assert wire.handler.lost == [LostBecause.OVERFLOW]

    def test_one_write_that_is_too_large_for_the_queue_closes_it_too(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.OVERFLOW]

    def test_a_peer_that_reads_nothing_is_given_up(self, wire: Wire) -> None:
        wire.fill()
        wire.loop.advance(9.0)
        assert wire.handler.lost == []

        wire.loop.advance(1.0)
        assert wire.handler.lost == [LostBecause.STALLED]

    def test_a_peer_that_reads_slowly_is_not(self, wire: Wire) -> None:
        for _ in range(5):
            wire.fill()
            wire.loop.advance(9.0)
            assert read_available(wire.peer)
            wire.loop.run()

        assert wire.handler.lost == []

    def test_further_writes_are_no_progress(self, wire: Wire) -> None:
        wire.fill()
        for _ in range(10):
            wire.loop.advance(1.0)
            wire.connection.write(b"more")
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.STALLED]

    def test_a_wake_up_that_sends_nothing_is_no_progress(self, wire: Wire) -> None:
        wire.fill()
        wire.loop.advance(9.0)
        wire.loop.wake_up()  # for nothing: the kernel's buffer is still full
        wire.loop.advance(1.0)

        assert wire.handler.lost == [LostBecause.STALLED]

    def test_no_timer_runs_while_nothing_is_queued(self, wire: Wire) -> None:
        assert wire.loop.timers == 0
        wire.fill()
        wire.drain()
        wire.loop.advance(100.0)
        assert wire.loop.timers == 0

    def test_nothing_stays_behind_in_the_loop(self, wire: Wire) -> None:
        wire.fill()
        wire.connection.abort()
        wire.loop.advance(100.0)

        assert not wire.loop.watchers


class TestWhatWaits:
    """The account that all connections share."""

    def test_is_what_the_kernel_did_not_take(self, wire: Wire) -> None:
        wire.connection.write(b"sent")
        assert wire.output.total == 0

        wire.connection.write(BIG)
        assert wire.output.total == len(BIG) + MESSAGE_COST + ENTRY_COST
        wire.connection.write(b"more")
        assert wire.output.total == len(BIG) + 4 + 2 * (MESSAGE_COST + ENTRY_COST)

        wire.drain()
        assert wire.output.total == 0

    @pytest.mark.parametrize("end", [Connection.abort, Connection.close])
    def test_is_given_back_at_the_end(self, wire: Wire, end: Callable[[Connection], None]) -> None:
        wire.connection.write(BIG)
        end(wire.connection)
        wire.drain()

        assert wire.output.total == 0

    def test_is_not_what_only_waits_for_more_to_go_with_it(self, wire: Wire) -> None:
        wire.connection.cork()
        wire.connection.write(b"x" * 1000)
        assert wire.output.total == 0

        wire.connection.write(BIG)  # too much to be held back
        wire.connection.uncork()
        assert wire.output.total == len(BIG) + MESSAGE_COST + ENTRY_COST

    def test_above_the_high_water_mark_each_write_is_noted(self, wire: Wire) -> None:
        wire.connection.write(b"x" * 1000)
        assert wire.output.crossings == 0

        wire.connection.write(BIG)
        wire.connection.write(b"more")
        assert wire.output.crossings == 2


class TestTellWhenDrained:
    def test_where_nothing_waits_it_says_so(self, wire: Wire) -> None:
        wire.connection.write(b"hello")
        assert not wire.connection.tell_when_drained()
        wire.loop.run()

        assert wire.handler.drains == 0

    def test_else_the_handler_is_told_once_all_was_sent(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        assert wire.connection.tell_when_drained()
        wire.loop.run()
        assert wire.handler.drains == 0

        assert wire.drain() == BIG
        assert wire.handler.drains == 1

    def test_nobody_who_did_not_ask_is_told(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        assert wire.drain() == BIG
        assert wire.handler.drains == 0

    def test_who_asks_is_told_once(self, wire: Wire) -> None:
        wire.fill()
        wire.connection.tell_when_drained()
        wire.connection.tell_when_drained()
        wire.drain()
        wire.fill()
        wire.drain()

        assert wire.handler.drains == 1

    @pytest.mark.parametrize("mark", [1, 100_000, 1_000_000])
    def test_the_handler_may_be_told_earlier(self, wire: Wire, mark: int) -> None:
        wire.connection.write(BIG)
        assert not wire.connection.tell_when_drained(wire.connection.queued)
        assert wire.connection.tell_when_drained(mark)
        while not wire.handler.drains:
            assert wire.connection.queued > mark
            read_available(wire.peer)
            wire.loop.turn()

        assert wire.connection.queued <= mark

    def test_who_is_told_may_write_and_ask_again(self, options: Options) -> None:
        pieces = [BIG[:500_000]] * 4

        class Sender(RecordingConnectionHandler):
            def drained(self) -> None:
                super().drained()
                self.go_on()

            def go_on(self) -> None:
                while pieces:
                    connection.write(pieces.pop())
                    if connection.tell_when_drained():
                        return

        with socket_pair() as (ours, peer):
            wire = Wire(ours, peer, options)
            connection = wire.connection
            sender = Sender(wire.loop)
            connection.start(sender)
            sender.go_on()
            assert wire.drain() == BIG[:500_000] * 4
            connection.abort()

        assert not pieces

    def test_a_connection_that_is_lost_tells_of_that_instead(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.connection.tell_when_drained()
        wire.connection.abort()
        wire.loop.run()

        assert wire.handler.drains == 0
        assert wire.handler.lost == [LostBecause.CLOSED]
