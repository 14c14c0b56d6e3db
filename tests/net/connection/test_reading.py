"""What arrives on a connection, and the handler that gets it."""

import socket as socket_module

import pytest

from socketio_server.net.connection import READ_SIZE, Connection
from socketio_server.net.queued_output import LostBecause
from socketio_server.options import Options
from tests.fakes.loop import FakeLoop
from tests.fakes.net import RecordingConnectionHandler, queued_output, socket_pair
from tests.net.connection.wire import BIG, Wire


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
