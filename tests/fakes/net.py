"""Connections, what they say to those above, and their peers."""

import resource
import socket as socket_module
from collections.abc import Iterator
from contextlib import contextmanager

from socketio_server.net.held_total import HeldTotal
from socketio_server.net.queued_output import LostBecause, QueuedOutput
from socketio_server.options import Options
from tests.fakes.loop import FakeLoop


class RecordingConnectionHandler:
    """Records what a connection says (``ConnectionHandler``)."""

    is_download = False

    def __init__(self, loop: FakeLoop) -> None:
        self.received = b""
        self.lost: list[LostBecause] = []
        self.drains = 0
        self.ends = 0
        self.has_more_to_say = False
        """Whether there is something to be sent yet to a peer that sends no more."""
        self._loop = loop

    def data_received(self, data: bytes) -> None:
        assert self._loop.running, "called from outside of the loop"
        assert data, "nothing was received"
        assert not self.lost, "called after the end"
        self.received += data

    def drained(self) -> None:
        assert self._loop.running, "called from outside of the loop"
        self.drains += 1

    def eof_received(self) -> bool:
        assert self._loop.running, "called from outside of the loop"
        assert not self.lost, "called after the end"
        self.ends += 1
        return self.has_more_to_say

    def connection_lost(self, because: LostBecause) -> None:
        assert self._loop.running, "called from outside of the loop"
        self.lost.append(because)

    def callback_raised(self) -> None:
        raise AssertionError("a callback raised")


def read_available(sock: socket_module.socket) -> bytes:
    """Read what has arrived at a peer's end; its end of file looks like nothing more."""
    data = b""
    sock.setblocking(False)
    while True:
        try:
            piece = sock.recv(1 << 20)
        except BlockingIOError:
            return data
        if not piece:
            return data
        data += piece


def is_at_end(sock: socket_module.socket) -> bool:
    """Whether a peer has read everything, and the server has closed."""
    sock.setblocking(False)
    try:
        return sock.recv(1, socket_module.MSG_PEEK) == b""
    except BlockingIOError:
        return False


@contextmanager
def socket_pair() -> Iterator[tuple[socket_module.socket, socket_module.socket]]:
    """Two sockets that are connected to each other; closed in the end, whoever has them then."""
    ours, theirs = socket_module.socketpair()
    with ours, theirs:
        yield ours, theirs


def queued_output(
    loop: FakeLoop, options: Options | None = None, held_total: HeldTotal | None = None
) -> QueuedOutput:
    """What waits for all clients of a server."""
    return QueuedOutput(loop, options or Options(), clock=loop.clock, held_total=held_total)


@contextmanager
def without_descriptors() -> Iterator[None]:
    """Let this process open no file and no socket (a limit of 0 would keep it from polling)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
