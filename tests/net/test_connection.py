"""Connections on real sockets: reading, writing without waiting, backpressure, the end.

The loop stands still until a test moves it; ``RecordingConnectionHandler`` insists that it is only
ever called by the loop.
"""

import socket as socket_module
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.net.connection import READ_SIZE, Connection
from socketio_server.net.queued_output import ENTRY_COST, LostBecause
from socketio_server.options import Options
from tests.fakes import (
    FakeLoop,
    RecordingConnectionHandler,
    is_at_end,
    queued_output,
    read_available,
    socket_pair,
)

BIG = bytes(range(256)) * 8192  # 2 MB: more than any kernel takes at once


class Wire:
    """A started connection, its handler, its loop, and the peer's socket."""

    def __init__(
        self,
        ours: socket_module.socket,
        peer: socket_module.socket,
        options: Options,
        on_closed: Callable[[], None] | None = None,
    ) -> None:
        self.loop = FakeLoop()
        self.handler = RecordingConnectionHandler(self.loop)
        self.output = queued_output(self.loop, options)
        self.connection = Connection(ours, self.loop, self.output)
        self.connection.on_closed = on_closed
        self.connection.start(self.handler)
        self.peer = peer

    def drain(self) -> bytes:
        """Read as the peer until nothing more comes."""
        data = b""
        while True:
            self.loop.run()
            piece = read_available(self.peer)
            if not piece:
                return data
            data += piece

    def fill(self) -> bytes:
        """Write until the kernel takes no more and a byte is queued; return what was written."""
        written = b""
        while not self.connection.queued:
            self.connection.write(b"x" * 1000)
            written += b"x" * 1000
        return written


@pytest.fixture
def options() -> Options:
    return Options(max_queued_bytes=10_000_000, stall_timeout=10.0)


@pytest.fixture
def wire(options: Options) -> Iterator[Wire]:
    with socket_pair() as (ours, peer):
        made = Wire(ours, peer, options)
        yield made
        made.connection.abort()


class TestReading:
    def test_bytes_arrive_in_order(self, wire: Wire) -> None:
        wire.peer.sendall(b"one ")
        wire.loop.run()
        wire.peer.sendall(b"two")
        wire.loop.run()

        assert wire.handler.received == b"one two"

    def test_more_than_one_read_takes_arrives_all_the_same(self, wire: Wire) -> None:
        sent = BIG[: READ_SIZE + READ_SIZE // 2]
        wire.peer.sendall(sent)
        wire.loop.run()

        assert wire.handler.received == sent

    def test_what_somebody_read_before_comes_first(self, options: Options) -> None:
        loop = FakeLoop()
        handler = RecordingConnectionHandler(loop)
        with socket_pair() as (ours, peer):
            peer.sendall(b"late")
            connection = Connection(ours, loop, queued_output(loop, options))

            connection.start(handler, b"early ")
            assert handler.received == b""  # nothing comes but from the loop
            loop.run()

            assert handler.received == b"early late"
            connection.abort()

    def test_a_paused_connection_leaves_the_bytes_in_the_kernel(self, wire: Wire) -> None:
        wire.connection.pause_reading()
        wire.connection.pause_reading()
        wire.peer.sendall(b"waits")
        wire.loop.run()
        assert wire.handler.received == b""

        wire.connection.resume_reading()
        wire.connection.resume_reading()
        wire.loop.run()
        assert wire.handler.received == b"waits"

    def test_the_end_comes_after_the_last_bytes(self, wire: Wire) -> None:
        wire.peer.sendall(b"bye")
        wire.peer.close()
        wire.loop.run()

        assert wire.handler.received == b"bye"
        assert wire.handler.lost == [LostBecause.EOF]
        assert wire.connection.closed

    def test_a_reset_is_an_error(self, wire: Wire) -> None:
        wire.connection.write(b"never read")
        wire.peer.close()  # with unread data: the kernel answers with a reset
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.ERROR]

    def test_nothing_comes_after_a_handler_closed_the_connection(self, options: Options) -> None:
        loop = FakeLoop()

        class Closing(RecordingConnectionHandler):
            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                connection.close()

        handler = Closing(loop)
        with socket_pair() as (ours, peer):
            connection = Connection(ours, loop, queued_output(loop, options))
            connection.start(handler, b"first")
            peer.sendall(b"second")
            loop.run()

        assert handler.received == b"first"
        assert handler.lost == [LostBecause.CLOSED]


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
        assert wire.output.total == len(BIG) + len(b"a ping") + 2 * ENTRY_COST

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
            assert first.output.total == before + 2 * (len(ping) + ENTRY_COST)
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


class TestWhatWaits:
    """The account that all connections share."""

    def test_is_what_the_kernel_did_not_take(self, wire: Wire) -> None:
        wire.connection.write(b"sent")
        assert wire.output.total == 0

        wire.connection.write(BIG)
        assert wire.output.total == len(BIG) + ENTRY_COST
        wire.connection.write(b"more")
        assert wire.output.total == len(BIG) + 4 + 2 * ENTRY_COST

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
        assert wire.output.total == len(BIG) + ENTRY_COST

    def test_above_the_high_water_mark_each_write_is_noted(self, wire: Wire) -> None:
        wire.connection.write(b"x" * 1000)
        assert wire.output.crossings == 0

        wire.connection.write(BIG)
        wire.connection.write(b"more")
        assert wire.output.crossings == 2


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


class TestClosing:
    def test_closing_is_seen_by_the_peer_and_told_by_the_loop(self, wire: Wire) -> None:
        wire.connection.close()
        assert wire.connection.closed
        assert wire.handler.lost == []

        wire.loop.run()
        assert is_at_end(wire.peer)
        assert wire.handler.lost == [LostBecause.CLOSED]

    def test_what_is_queued_goes_out_first(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.connection.close()
        assert wire.connection.closed
        wire.loop.run()
        assert wire.handler.lost == []

        assert wire.drain() == BIG
        assert is_at_end(wire.peer)
        assert wire.handler.lost == [LostBecause.CLOSED]

    def test_a_peer_that_does_not_read_keeps_nothing_open(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.connection.close()
        wire.loop.advance(10.0)

        assert wire.handler.lost == [LostBecause.STALLED]

    @pytest.mark.parametrize("queued", [b"", BIG], ids=["nothing queued", "bytes queued"])
    def test_writing_after_a_close_does_nothing(self, wire: Wire, queued: bytes) -> None:
        wire.connection.write(queued)
        wire.connection.close()
        wire.connection.write(b"after the close")

        assert wire.drain() == queued

    def test_nothing_is_read_after_a_close(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.connection.close()
        wire.connection.resume_reading()
        wire.peer.sendall(b"too late")
        wire.loop.run()

        assert wire.handler.received == b""

    def test_an_abort_drops_what_is_queued(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.connection.abort()
        assert wire.output.total == 0
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.CLOSED]
        assert len(read_available(wire.peer)) < len(BIG)
        assert is_at_end(wire.peer)

    def test_an_abort_ends_a_close_that_takes_too_long(self, wire: Wire) -> None:
        wire.connection.write(BIG)
        wire.connection.close()
        wire.connection.abort()
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.CLOSED]

    @pytest.mark.parametrize("queued", [b"", BIG], ids=["nothing queued", "bytes queued"])
    def test_hanging_up_ends_our_half_once_all_is_sent(self, wire: Wire, queued: bytes) -> None:
        wire.connection.write(queued)
        wire.connection.hang_up()
        wire.connection.write(b"after it")

        assert wire.connection.closed
        assert wire.drain() == queued
        assert is_at_end(wire.peer)
        assert wire.handler.lost == []

    def test_after_hanging_up_the_peer_may_go_on_sending_for_nothing(self, wire: Wire) -> None:
        wire.connection.hang_up()
        for piece in range(0, len(BIG), READ_SIZE):
            wire.peer.sendall(BIG[piece : piece + READ_SIZE])
            wire.loop.run()
            wire.connection.pause_reading()

        assert wire.handler.received == b""
        assert wire.handler.lost == []
        assert is_at_end(wire.peer)  # and not a reset

    def test_a_peer_that_owed_us_reading_may_do_so_as_well(self, wire: Wire) -> None:
        written = wire.fill()
        wire.connection.pause_reading()
        wire.connection.hang_up()
        wire.peer.sendall(b"too late")

        assert wire.drain() == written
        assert wire.handler.received == b""
        assert is_at_end(wire.peer)

    def test_the_connection_that_hung_up_ends_when_the_peer_closes(self, wire: Wire) -> None:
        wire.connection.hang_up()
        wire.peer.close()
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.EOF]
        assert not wire.loop.watchers

    def test_the_connection_that_hung_up_ends_when_it_is_aborted(self, wire: Wire) -> None:
        wire.connection.hang_up()
        wire.connection.hang_up()
        wire.connection.abort()
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.CLOSED]
        assert not wire.loop.watchers

    def test_hanging_up_on_a_peer_that_has_gone_raises_nothing(self, wire: Wire) -> None:
        wire.peer.close()
        wire.connection.hang_up()
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.EOF]

    @pytest.mark.parametrize(
        "end",
        [
            pytest.param(lambda wire: wire.connection.close(), id="close"),
            pytest.param(lambda wire: wire.connection.abort(), id="abort"),
            pytest.param(lambda wire: wire.peer.close(), id="by the peer"),
        ],
    )
    def test_its_descriptor_is_given_back_once(
        self, options: Options, end: Callable[[Wire], None]
    ) -> None:
        released: list[str] = []
        with socket_pair() as (ours, peer):
            wire = Wire(ours, peer, options, lambda: released.append("released"))
            end(wire)
            wire.loop.run()
            wire.connection.abort()
            wire.loop.run()

            assert ours.fileno() == -1
        assert released == ["released"]

    def test_the_end_is_told_once(self, wire: Wire) -> None:
        wire.connection.abort(LostBecause.STALLED)
        wire.connection.abort()
        wire.connection.close()
        wire.connection.write(b"nobody there")
        wire.connection.cork()
        wire.connection.uncork()
        wire.connection.pause_reading()
        wire.connection.resume_reading()
        wire.loop.run()

        assert wire.handler.lost == [LostBecause.STALLED]
        assert not wire.loop.watchers


class TestAPeerThatSendsNoMore:
    """It may still read: whoever has something for it keeps the connection open."""

    @pytest.fixture
    def half_closed(self, wire: Wire) -> Wire:
        wire.handler.has_more_to_say = True
        wire.peer.sendall(b"a question")
        wire.peer.shutdown(socket_module.SHUT_WR)
        wire.loop.run()
        return wire

    def test_is_told_once_behind_its_last_bytes(self, half_closed: Wire) -> None:
        assert half_closed.handler.received == b"a question"
        assert half_closed.handler.ends == 1
        half_closed.loop.wake_up()
        half_closed.loop.run()

        assert half_closed.handler.ends == 1
        assert half_closed.handler.lost == []
        assert not half_closed.loop.watchers

    def test_is_written_to(self, half_closed: Wire) -> None:
        half_closed.connection.write(b"the answer")
        half_closed.connection.close()
        half_closed.loop.run()

        assert read_available(half_closed.peer) == b"the answer"
        assert is_at_end(half_closed.peer)
        assert half_closed.handler.lost == [LostBecause.CLOSED]

    def test_takes_more_than_the_kernel_does_at_once(self, half_closed: Wire) -> None:
        half_closed.connection.write(BIG)

        assert half_closed.drain() == BIG
        assert half_closed.handler.lost == []

    def test_is_not_told_again_after_a_pause(self, half_closed: Wire) -> None:
        half_closed.connection.pause_reading()
        half_closed.connection.resume_reading()
        half_closed.loop.run()

        assert half_closed.handler.ends == 1

    def test_is_told_to_another_handler_that_goes_on(self, half_closed: Wire) -> None:
        other = RecordingConnectionHandler(half_closed.loop)
        half_closed.connection.start(other)
        half_closed.loop.run()

        assert other.ends == 1
        assert other.lost == [LostBecause.EOF]

    def test_is_lost_where_there_is_nothing_for_it(self, wire: Wire) -> None:
        wire.peer.shutdown(socket_module.SHUT_WR)
        wire.loop.run()

        assert wire.handler.ends == 1
        assert wire.handler.lost == [LostBecause.EOF]
        assert is_at_end(wire.peer)

    def test_is_not_told_while_it_is_not_read_from(self, wire: Wire) -> None:
        wire.connection.pause_reading()
        wire.peer.shutdown(socket_module.SHUT_WR)
        wire.loop.run()
        assert wire.handler.ends == 0

        wire.connection.resume_reading()
        wire.loop.run()
        assert wire.handler.ends == 1


class TestAnotherHandler:
    def test_gets_what_comes_from_then_on(self, wire: Wire) -> None:
        wire.peer.sendall(b"one")
        wire.loop.run()
        other = RecordingConnectionHandler(wire.loop)
        wire.connection.start(other)
        wire.peer.sendall(b"two")
        wire.loop.run()

        assert (wire.handler.received, other.received) == (b"one", b"two")

    def test_gets_first_what_came_before(self, wire: Wire) -> None:
        other = RecordingConnectionHandler(wire.loop)
        wire.peer.sendall(b" late")
        wire.connection.start(other, b"early")
        wire.loop.run()

        assert other.received == b"early late"
        assert wire.handler.received == b""

    def test_is_read_for_even_if_the_first_had_paused(self, wire: Wire) -> None:
        wire.connection.pause_reading()
        other = RecordingConnectionHandler(wire.loop)
        wire.connection.start(other)
        wire.peer.sendall(b"hello")
        wire.loop.run()

        assert other.received == b"hello"

    def test_is_told_of_the_end_instead_of_the_first(self, wire: Wire) -> None:
        other = RecordingConnectionHandler(wire.loop)
        wire.connection.start(other)
        wire.connection.abort()
        wire.loop.run()

        assert wire.handler.lost == []
        assert other.lost == [LostBecause.CLOSED]


class TestHasEnded:
    """Looks at a peer of whom the loop has not told yet."""

    def test_a_peer_that_is_there_has_not(self, wire: Wire) -> None:
        assert not wire.connection.has_ended()

    def test_a_peer_that_says_something_has_not_and_nothing_of_it_is_lost(self, wire: Wire) -> None:
        wire.peer.sendall(b"hello")
        assert not wire.connection.has_ended()
        wire.loop.run()

        assert wire.handler.received == b"hello"

    @pytest.mark.parametrize(
        "leave",
        [
            pytest.param(lambda wire: wire.peer.close(), id="closed"),
            pytest.param(lambda wire: wire.peer.shutdown(socket_module.SHUT_WR), id="half closed"),
            pytest.param(lambda wire: wire.connection.abort(), id="closed by us"),
        ],
    )
    def test_one_that_has_gone_has(self, wire: Wire, leave: Callable[[Wire], None]) -> None:
        leave(wire)
        assert wire.connection.has_ended()
        assert wire.handler.lost == []  # nobody is told but by the loop

    def test_one_that_broke_off_has(self, wire: Wire) -> None:
        wire.connection.write(b"never read")
        wire.peer.close()  # with unread data: the kernel answers with a reset
        assert wire.connection.has_ended()
        wire.loop.run()

        assert len(wire.handler.lost) == 1


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


class TestSilence:
    """Of a peer that is not read from, only the kernel can tell that it is gone."""

    @pytest.mark.skipif(
        not hasattr(socket_module, "TCP_USER_TIMEOUT"), reason="the platform has no such option"
    )
    def test_over_tcp_the_kernel_is_told_how_long_it_may_last(self, options: Options) -> None:
        loop = FakeLoop()
        with (
            socket_module.create_server(("127.0.0.1", 0)) as listener,
            socket_module.create_connection(listener.getsockname()) as ours,
        ):
            connection = Connection(ours, loop, queued_output(loop, options))
            connection.limit_silence(45.5)
            option = socket_module.TCP_USER_TIMEOUT
            assert ours.getsockopt(socket_module.IPPROTO_TCP, option) == 45_500
            connection.abort()

    def test_over_other_sockets_it_may_last_as_long_as_it_likes(self, wire: Wire) -> None:
        wire.connection.limit_silence(45.0)
        wire.connection.write(b"x")
        assert wire.drain() == b"x"

    def test_of_one_that_has_gone_already_is_no_error(self, options: Options) -> None:
        loop = FakeLoop()
        ours = socket_module.socket()
        connection = Connection(ours, loop, queued_output(loop, options))
        connection.abort()
        connection.limit_silence(45.0)
