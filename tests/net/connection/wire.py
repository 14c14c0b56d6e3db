"""A connection on a real socket, and its peer.

The loop stands still until a test moves it; ``RecordingConnectionHandler`` insists that it is only
ever called by the loop.
"""

import socket as socket_module
from collections.abc import Callable

from socketio_server.net.connection import Connection
from socketio_server.options import Options
from tests.fakes.loop import FakeLoop
from tests.fakes.net import RecordingConnectionHandler, queued_output, read_available

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
