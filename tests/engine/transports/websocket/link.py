"""A WebSocket transport with real bytes on a real socket pair, moved by a loop that tests turn."""

from socketio_server.engine.transports.websocket import UpgradedConnection, WebSocketTransport
from socketio_server.net.turns import Turns
from socketio_server.options import Options
from tests.fakes.engine import RecordingTransportHandler
from tests.fakes.loop import FakeLoop
from tests.fakes.websocket import closings, websocket


class Link:
    """A WebSocket transport, the session above it, and its client."""

    def __init__(self, options: Options, data: bytes = b"", *, deflates: bool = False) -> None:
        self.loop = FakeLoop()
        self.session = RecordingTransportHandler()
        self._pair = websocket(self.loop, options)
        self.connection, self.client = self._pair.__enter__()
        self.turns = Turns(self.loop, options, clock=self.loop.clock)
        upgraded = UpgradedConnection(self.connection, data, deflates)
        self.transport = WebSocketTransport(
            upgraded,
            self.session,
            self.loop,
            options,
            self.loop.clock,
            closings(self.loop, options),
            self.turns,
        )

    def start(self) -> None:
        self.transport.start()

    def send(self, *messages: str | bytes) -> None:
        """Let the client send messages in one go, and the loop run."""
        self.client.send(*messages)
        self.loop.run()

    def close(self) -> None:
        self._pair.__exit__(None, None, None)
