"""WebSockets whose handshake is done, and their clients."""

import socket as socket_module
from collections.abc import Iterator
from contextlib import contextmanager

from socketio_server.net.connection import Connection
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.queued_output import QueuedOutput
from socketio_server.options import Options
from socketio_server.protocol.websocket.frames import Close, Opcode, Ping, Pong
from tests.fakes.loop import FakeLoop
from tests.fakes.net import is_at_end, queued_output, read_available, socket_pair
from tests.support.websocket import frame


class WebSocketPeer:
    """A client's end of a WebSocket whose handshake is done."""

    def __init__(self, sock: socket_module.socket) -> None:
        self.sock = sock
        self._unread = b""

    def send(self, *messages: str | bytes) -> None:
        """Send messages, all in one go."""
        self.send_bytes(
            b"".join(
                frame(Opcode.TEXT, message.encode())
                if isinstance(message, str)
                else frame(Opcode.BINARY, message)
                for message in messages
            )
        )

    def send_bytes(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self, code: int = 1000) -> None:
        """Send a close frame."""
        self.send_bytes(frame(Opcode.CLOSE, code.to_bytes(2)))

    def received(self) -> list[str | bytes | Ping | Pong | Close]:
        """Return the messages and control frames that have arrived since the last call."""
        self._unread += read_available(self.sock)
        return list(self._frames())

    @property
    def is_cut(self) -> bool:
        """Whether the server has closed the connection, and all before that was read."""
        return is_at_end(self.sock)

    def _frames(self) -> Iterator[str | bytes | Ping | Pong | Close]:
        while len(self._unread) >= 2:
            first, size = self._unread[:2]
            start = 2
            if size >= 126:
                start += 2 if size == 126 else 8
                size = int.from_bytes(self._unread[2:start])
            if len(self._unread) < start + size:
                return
            data, self._unread = self._unread[start : start + size], self._unread[start + size :]
            yield _as_event(first, data)


def _as_event(first: int, data: bytes) -> str | bytes | Ping | Pong | Close:
    opcode = Opcode(first & 0x0F)
    assert first & 0xF0 == 0x80, "servers send whole messages, without extensions"
    if opcode is Opcode.TEXT:
        return data.decode()
    if opcode is Opcode.BINARY:
        return data
    if opcode is Opcode.CLOSE:
        return Close(int.from_bytes(data[:2]) if data else None, data[2:].decode())
    return Ping(data) if opcode is Opcode.PING else Pong(data)


def closings(loop: FakeLoop, options: Options) -> Deadlines[Connection]:
    """The WebSocket connections of a server that wait for the peer's close frame."""
    return Deadlines(loop, options.close_timeout, Connection.abort, clock=loop.clock)


@contextmanager
def websocket(
    loop: FakeLoop, options: Options | None = None, output: QueuedOutput | None = None
) -> Iterator[tuple[Connection, WebSocketPeer]]:
    """A connection whose handshake is done, not started, and its client."""
    with socket_pair() as (ours, theirs):
        connection = Connection(ours, loop, output or queued_output(loop, options))
        yield connection, WebSocketPeer(theirs)
        connection.abort()
