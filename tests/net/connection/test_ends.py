"""The ends of a connection, and of the peer's half of it."""

import socket as socket_module
from collections.abc import Callable

import pytest

from socketio_server.net.connection import READ_SIZE
from socketio_server.net.queued_output import LostBecause
from socketio_server.options import Options
from tests.fakes.net import RecordingConnectionHandler, is_at_end, read_available, socket_pair
from tests.net.connection.wire import BIG, Wire


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

    def test_a_release_tells_nobody(self, wire: Wire) -> None:
        wire.connection.release()
        wire.connection.socket.close()
        wire.loop.run()

        assert wire.connection.closed
        assert wire.handler.lost == []

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
