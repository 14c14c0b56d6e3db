"""What is held back for slow clients is bounded."""

from gevent.event import Event

from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.socket import Socket
from tests.fakes.hub import settle
from tests.fakes.net import queued_output
from tests.fakes.server import FakeServer


def let_slow_ones_wait(server: FakeServer) -> Event:
    """Keep ``on_connect`` of clients with the request ``"slow"`` until the event is set."""
    go_on = Event()

    @server.registry.on_connect
    def connect(request: object, socket: Socket, context: object) -> None:
        if request == "slow":
            go_on.wait()

    return go_on


class TestSlowClients:
    def test_what_is_held_back_for_all_is_bounded(self) -> None:
        server = FakeServer(Options(max_queued_total=50_000))
        server.clients.output = queued_output(server.loop, server.options)
        go_on = let_slow_ones_wait(server)
        sender = server.connect()
        slow = server.open(request="slow")
        slow.send("0")
        sender.socket.broadcast("x" * 10_000)
        assert server.clients.output.total > 10_000
        for _ in range(9):
            sender.socket.broadcast("x" * 10_000)
        assert slow.closed == [CloseReason.TRANSPORT_ERROR]
        go_on.set()
        settle()

        assert server.clients.output.total == 0
        assert sender.closed == []

    def test_what_is_held_back_for_one_is_bounded(self) -> None:
        """While its ``on_connect`` runs, messages to it wait."""
        server = FakeServer(Options(max_queued_bytes=1000))
        go_on = let_slow_ones_wait(server)
        sender = server.connect()
        slow = server.open(request="slow")
        slow.send("0")
        for _ in range(20):
            sender.socket.broadcast("x" * 100)
        go_on.set()
        settle()

        assert slow.closed == [CloseReason.TRANSPORT_ERROR]
        assert slow.refusals == [
            "queued: too many bytes were held back for the client (SOCKETIO_MAX_QUEUED_BYTES)"
        ]
        assert sender.closed == []
