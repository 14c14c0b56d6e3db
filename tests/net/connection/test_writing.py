"""Writing without waiting: what the kernel takes at once, and what is sent later."""

import socket as socket_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.net.connection import Connection
from socketio_server.net.queued_output import ENTRY_COST, MESSAGE_COST, LostBecause
from socketio_server.options import Options
from tests.fakes.loop import FakeLoop
from tests.fakes.net import RecordingConnectionHandler, queued_output, read_available, socket_pair
from tests.net.connection.wire import BIG, Wire


class TestWriting:
    def test_a_write_is_sent_on_the_spot(self, wire: Wire) -> None:
        wire.connection.write(b"hello")

        assert read_available(wire.peer) == b"hello"
        assert wire.connection.queued == 0

    def test_what_the_kernel_does_not_take_is_queued_and_sent_later(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        assert 0 < wire.connection.queued < len(BIG)

        assert wire.drain() == BIG
        assert wire.connection.queued == 0

    def test_what_is_written_later_stays_behind_what_is_queued(self, wire: Wire) -> None:
        written = wire.fill()
        wire.connection.write(b"then this")
        wire.connection.write(b" and that")

        assert wire.drain() == written + b"then this and that"

    def test_writes_go_out_on_the_spot_again_once_the_queue_is_empty(self, wire: Wire) -> None:
        wire.fill()
        wire.drain()

        wire.connection.write(b"at once")
        assert read_available(wire.peer) == b"at once"

    def test_nothing_is_watched_for_writing_once_the_queue_is_empty(self, wire: Wire) -> None:
        before = len(wire.loop.watchers)
        wire.fill()
        assert len(wire.loop.watchers) > before

        wire.drain()
        wire.loop.advance(100.0)  # the timers that all connections share end by themselves
        assert len(wire.loop.watchers) == before

    def test_an_error_is_reported_by_the_loop_and_not_raised(self, wire: Wire) -> None:
        wire.connection.pause_reading()
        wire.peer.close()

        wire.connection.write(b"to nobody")
        assert wire.handler.lost == []

        wire.loop.run()
        assert wire.handler.lost == [LostBecause.ERROR]

    def test_an_error_while_bytes_are_queued_is_reported(self, wire: Wire) -> None:
        wire.connection.pause_reading()
        wire.fill()
        wire.peer.close()
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.ERROR]
        assert wire.output.total == 0

    def test_an_error_before_the_start_is_reported_after_it(self, options: Options) -> None:
        """The client was gone when the server said the first word: its handler must learn it."""
        loop = FakeLoop()
        handler = RecordingConnectionHandler(loop)
        with socket_pair() as (ours, peer):
            connection = Connection(ours, loop, queued_output(loop, options))
            peer.close()
            connection.write(b"to nobody")

            connection.start(handler)
            loop.run()

        assert handler.lost == [LostBecause.ERROR]

    @given(
        sizes=st.lists(st.integers(0, 60_000), max_size=20),
        reads=st.lists(st.integers(1, 100_000), max_size=20),
    )
    def test_every_byte_arrives_once_and_in_order(self, sizes: list[int], reads: list[int]) -> None:
        with socket_pair() as (ours, peer):
            ours.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_SNDBUF, 10_000)
            wire = Wire(ours, peer, Options(max_queued_bytes=10_000_000))
            peer.setblocking(False)
            written = received = b""
            for i in range(max(len(sizes), len(reads))):
                if i < len(sizes):
                    data = BIG[i : i + sizes[i]]
                    wire.connection.write(data)
                    written += data
                if i < len(reads):
                    try:
                        received += peer.recv(reads[i])
                    except BlockingIOError:
                        wire.loop.turn()
            received += wire.drain()
            wire.connection.abort()

        assert received == written


class TestTheOrder:
    def test_what_is_written_first_goes_before_what_is_queued(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.connection.write(b"a message")
        wire.connection.write_first(b"a ping, ")

        # Only the one that is partly sent comes before it.
        assert wire.drain() == BIG + b"a ping, a message"

    def test_what_is_corked_keeps_its_order(self, wire: Wire) -> None:
        wire.connection.cork()
        wire.connection.write(b"a message, ")
        wire.connection.write_first(b"a ping, ")
        wire.connection.write_first(b"another")
        wire.connection.uncork()

        assert read_available(wire.peer) == b"a message, a ping, another"

    def test_what_is_written_first_keeps_its_own_order(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.connection.write(b"a message")
        for text in (b"1, ", b"2, ", b"3, "):
            wire.connection.write_first(text)

        assert wire.drain() == BIG + b"1, 2, 3, a message"

    def test_the_same_data_waits_once(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        for _ in range(100):
            wire.connection.write_first(b"a ping, ")
            wire.connection.write_first(b"a pong, ")

        assert wire.drain() == BIG + b"a ping, a pong, "

    def test_what_goes_first_counts_as_queued(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.connection.write_first(b"a ping")
        assert wire.output.total == len(BIG) + len(b"a ping") + 2 * (MESSAGE_COST + ENTRY_COST)

        wire.drain()
        assert wire.output.total == 0

    def test_too_much_that_goes_first_closes_the_connection(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.connection.write_first(bytes(wire.output.max_queued_bytes))
        wire.loop.run()

        assert wire.connection.closed

    def test_the_same_object_for_several_peers_counts_for_each(self, options: Options) -> None:
        """A peer that does not read must not keep it the oldest of the queued messages."""
        ping = b"a ping"
        with socket_pair() as (ours, peer), socket_pair() as (ours2, peer2):
            first, second = Wire(ours, peer, options), Wire(ours2, peer2, options)
            second.connection.output = first.output
            for wire in (first, second):
                wire.connection.write(BIG[:-1] + b"x")
            before = first.output.total
            for wire in (first, second):
                wire.connection.write_first(ping)
            assert first.output.total == before + 2 * (len(ping) + MESSAGE_COST + ENTRY_COST)
            for wire in (first, second):
                wire.connection.abort()

    def test_where_nothing_is_queued_it_is_sent_at_once(self, wire: Wire) -> None:
        wire.connection.write_first(b"a ping")

        assert read_available(wire.peer) == b"a ping"

    def test_after_a_close_it_is_dropped(self, wire: Wire) -> None:
        written = wire.fill()
        wire.connection.close()
        wire.connection.write_first(b"a ping")

        assert wire.drain() == written


class TestCork:
    @pytest.fixture
    def options(self) -> Options:
        return Options(max_queued_bytes=5000)

    def test_corked_writes_wait_for_each_other(self, wire: Wire) -> None:
        wire.connection.cork()
        wire.connection.write(b"one ")
        wire.connection.write(b"two")
        assert read_available(wire.peer) == b""

        wire.connection.uncork()
        assert read_available(wire.peer) == b"one two"

    def test_writes_go_out_on_the_spot_again_after_it(self, wire: Wire) -> None:
        wire.connection.cork()
        wire.connection.uncork()
        wire.connection.write(b"at once")

        assert read_available(wire.peer) == b"at once"

    def test_uncorking_what_is_not_corked_changes_nothing(self, wire: Wire) -> None:
        wire.connection.uncork()
        wire.connection.write(b"at once")
        wire.connection.uncork()

        assert read_available(wire.peer) == b"at once"

    def test_corked_writes_stay_behind_what_is_queued(self, wire: Wire) -> None:
        written = wire.fill()
        wire.connection.cork()
        wire.connection.write(b"corked")
        wire.connection.uncork()

        assert wire.drain() == written + b"corked"

    def test_the_limit_counts_only_what_the_kernel_does_not_take(self, wire: Wire) -> None:
        wire.connection.cork()
        for _ in range(20):
            wire.connection.write(b"x" * 1000)
        wire.connection.uncork()

        assert wire.drain() == b"x" * 20_000
        assert wire.handler.lost == []

    def test_the_limit_holds_for_what_is_corked(self, wire: Wire) -> None:
        wire.fill()
        wire.connection.cork()
        wire.connection.write(b"x" * 5000)
        wire.connection.uncork()
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.OVERFLOW]

    def test_a_connection_that_is_closed_while_corked_sends_what_it_has(self, wire: Wire) -> None:
        wire.connection.cork()
        wire.connection.write(b"last words")
        wire.connection.close()
        wire.connection.uncork()
        wire.loop.run()

        assert read_available(wire.peer) == b"last words"
        assert wire.handler.lost == [LostBecause.CLOSED]

    def test_a_connection_that_is_aborted_while_corked_sends_nothing(self, wire: Wire) -> None:
        wire.connection.cork()
        wire.connection.write(b"too late")
        wire.connection.abort()
        wire.connection.uncork()
        wire.loop.run()

        assert read_available(wire.peer) == b""
        assert wire.handler.lost == [LostBecause.CLOSED]
