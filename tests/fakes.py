"""Stand-ins for what the package's parts are given: a loop, peers, and recorders of calls upward.

The loop's clock is moved by hand while its watchers look at real descriptors, so that connections
are tested on real sockets without a moment of waiting.
"""

import select
import socket as socket_module
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gevent

from socketio_server.connection import Connection, LostBecause
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.protocol.engineio import CloseReason
from socketio_server.protocol.websocket import Close, Opcode, Ping, Pong
from socketio_server.session import Session, SessionHandler
from socketio_server.transports.base import Outgoing, Transport, TransportHandler

PATIENCE = 20.0
"""Seconds after which a test that waits in the real hub has failed."""

MOMENT = 1e-9
"""A time in seconds that has always passed already by the clock that the engine reads."""


def settle() -> None:
    """Let all greenlets run until each of them has ended or waits for another."""
    assert gevent.get_hub().join(timeout=PATIENCE), "the hub never came to rest"


# --- The loop ---------------------------------------------------------------------------------


class FakeWatcher:
    """What ``FakeLoop`` gives for a descriptor or a timer."""

    def __init__(self, loop: "FakeLoop") -> None:
        self._loop = loop
        self._closed = False
        self.callback: Callable[[], Any] | None = None  # None while it is stopped

    def start(self, callback: Callable[..., Any], *args: Any) -> None:
        assert not self._closed, "a closed watcher was started"
        self.callback = lambda: callback(*args)
        self._loop.watchers[self] = None

    def stop(self) -> None:
        self.callback = None
        self._loop.watchers.pop(self, None)

    def close(self) -> None:
        self.stop()
        self._closed = True


class FakeIO(FakeWatcher):
    """A watcher of a real descriptor."""

    def __init__(self, loop: "FakeLoop", fd: int, events: int) -> None:
        super().__init__(loop)
        self.fd = fd
        self.mask = (select.POLLIN if events & 1 else 0) | (select.POLLOUT if events & 2 else 0)

    def is_due(self) -> bool:
        poll = select.poll()
        poll.register(self.fd, self.mask)
        return bool(poll.poll(0))


class FakeTimer(FakeWatcher):
    """A timer by the loop's own clock; it goes off once."""

    def __init__(self, loop: "FakeLoop", after: float) -> None:
        super().__init__(loop)
        self.after = after
        self.due = 0.0

    def start(self, callback: Callable[..., Any], *args: Any) -> None:
        super().start(callback, *args)
        self.due = self._loop.now + self.after

    def is_due(self) -> bool:
        return self.due <= self._loop.now


class FakeLoop:
    """A gevent loop that stands still until a test moves it (``Loop``)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.running = False
        """Whether a callback of the loop is being run."""
        self.watchers: dict[FakeWatcher, None] = {}
        """Those that are started."""
        self._callbacks: deque[Callable[[], Any]] = deque()

    def clock(self) -> float:
        return self.now

    def io(self, fd: int, events: int) -> FakeIO:
        if fd < 0:
            raise ValueError(f"fd must be non-negative: {fd}")  # gevent's own words
        return FakeIO(self, fd, events)

    def timer(self, after: float, repeat: float = 0.0) -> FakeTimer:
        assert not repeat
        return FakeTimer(self, after)

    def run_callback(self, func: Callable[..., Any], *args: Any) -> None:
        self._callbacks.append(lambda: func(*args))

    def turn(self) -> bool:
        """Run what is due, each thing once; return whether anything was."""
        callbacks = list(self._callbacks)
        self._callbacks.clear()
        for callback in callbacks:
            self._run(callback)
        due = [watcher for watcher in self.watchers if watcher.is_due()]
        for watcher in due:
            if watcher.callback is not None:  # not stopped by one before it
                callback = watcher.callback
                if isinstance(watcher, FakeTimer):
                    watcher.stop()
                self._run(callback)
        return bool(callbacks or due)

    def run(self) -> None:
        """Run what is due, and what becomes due by that, until nothing is."""
        for _ in range(10_000):
            if not self.turn():
                return
        raise AssertionError("the loop never came to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass, and run everything at its time."""
        self.run()
        until = self.now + seconds
        while timers := [t.due for t in self.watchers if isinstance(t, FakeTimer)]:
            if min(timers) > until:
                break
            self.now = min(timers)
            self.run()
        self.now = until

    @property
    def timers(self) -> int:
        """How many timers run."""
        return sum(isinstance(watcher, FakeTimer) for watcher in self.watchers)

    def _run(self, callback: Callable[[], Any]) -> None:
        self.running = True
        try:
            callback()
        finally:
            self.running = False


# --- Connections and their peers --------------------------------------------------------------


class RecordingConnectionHandler:
    """Records what a connection says (``ConnectionHandler``)."""

    def __init__(self, loop: FakeLoop) -> None:
        self.received = b""
        self.lost: list[LostBecause] = []
        self._loop = loop

    def data_received(self, data: bytes) -> None:
        assert self._loop.running, "called from outside of the loop"
        assert data, "nothing was received"
        assert not self.lost, "called after the end"
        self.received += data

    def connection_lost(self, because: LostBecause) -> None:
        assert self._loop.running, "called from outside of the loop"
        self.lost.append(because)


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


def client_frame(opcode: int, data: bytes, *, fin: bool = True) -> bytes:
    """A frame as a client sends it: masked (RFC 6455 section 5.2)."""
    size = len(data)
    head = struct.pack("!B", opcode | (0x80 if fin else 0))
    if size <= 125:
        head += struct.pack("!B", 0x80 | size)
    elif size <= 0xFFFF:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    mask = b"\x12\x34\x56\x78"
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


class WebSocketPeer:
    """A client's end of a WebSocket whose handshake is done."""

    def __init__(self, sock: socket_module.socket) -> None:
        self.sock = sock
        self._unread = b""

    def send(self, *messages: str | bytes) -> None:
        """Send messages, all in one go."""
        self.send_bytes(
            b"".join(
                client_frame(Opcode.TEXT, message.encode())
                if isinstance(message, str)
                else client_frame(Opcode.BINARY, message)
                for message in messages
            )
        )

    def send_bytes(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self, code: int = 1000) -> None:
        """Send a close frame."""
        self.send_bytes(client_frame(Opcode.CLOSE, code.to_bytes(2)))

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


@contextmanager
def socket_pair() -> Iterator[tuple[socket_module.socket, socket_module.socket]]:
    """Two sockets that are connected to each other; closed in the end, whoever has them then."""
    ours, theirs = socket_module.socketpair()
    with ours, theirs:
        yield ours, theirs


@contextmanager
def websocket(
    loop: FakeLoop, options: Options | None = None
) -> Iterator[tuple[Connection, WebSocketPeer]]:
    """A connection whose handshake is done, not started, and its client."""
    with socket_pair() as (ours, theirs):
        connection = Connection(ours, loop, options or Options())
        yield connection, WebSocketPeer(theirs)
        connection.abort()


# --- Transports and sessions ------------------------------------------------------------------


def outgoing(text: str, *attachments: bytes) -> Outgoing:
    """A message for the client, ``outgoing("hello")`` say."""
    return Outgoing(engineio.MESSAGE + text.encode(), attachments)


class RecordingTransportHandler:
    """Records what a transport says (``TransportHandler``)."""

    def __init__(self, on_packet: Callable[[engineio.Packet], None] | None = None) -> None:
        self.packets: list[engineio.Packet] = []
        self.closed: list[CloseReason] = []
        self.on_packet = on_packet

    def packet_received(self, transport: Transport, packet: engineio.Packet) -> None:
        assert not self.closed, "called after the end"
        self.packets.append(packet)
        if self.on_packet is not None:
            self.on_packet(packet)

    def transport_closed(self, transport: Transport, reason: CloseReason) -> None:
        self.closed.append(reason)

    @property
    def messages(self) -> list[str | bytes]:
        """What the packets carried, if all of them were messages."""
        assert all(packet.type is engineio.PacketType.MESSAGE for packet in self.packets)
        return [packet.data for packet in self.packets]


class RecordingTransport:
    """Keeps what it is to send (``Transport``)."""

    def __init__(self, session: TransportHandler | None = None, name: str = "websocket") -> None:
        self.name = name
        self.sent: list[str] = []
        """The packets as polling would carry them: binary ones as ``b`` and base64."""
        self.closed: list[CloseReason] = []
        self.paused = False
        self._session = session

    def send(self, outgoing: Outgoing) -> None:
        if not self.closed:
            self.sent += (packet.decode() for packet in outgoing.packets)

    def close(self, reason: CloseReason) -> None:
        if not self.closed:
            self.closed.append(reason)
            if self._session is not None:
                self._session.transport_closed(self, reason)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class RecordingSessionHandler:
    """Records what a session says (``SessionHandler``)."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.closed: list[CloseReason] = []

    def text_received(self, data: str) -> None:
        assert not self.closed, "called after the end"
        self.messages.append(data)

    def binary_received(self, data: bytes) -> None:
        assert not self.closed, "called after the end"
        self.messages.append(data)

    def session_closed(self, reason: CloseReason) -> None:
        self.closed.append(reason)


class RecordingKeeper:
    """Records what sessions say to the engine (``SessionKeeper``)."""

    def __init__(self) -> None:
        self.pongs = 0
        self.probing = False
        self.ended: list[Transport] = []

    def pong_received(self, session: Session) -> None:
        self.pongs += 1

    def probe_started(self, session: Session) -> None:
        self.probing = True

    def probe_ended(self, session: Session) -> None:
        self.probing = False

    def session_ended(self, session: Session, last_transport: Transport) -> None:
        self.ended.append(last_transport)


def make_session(
    handler: SessionHandler | None = None,
    *,
    keeper: RecordingKeeper | None = None,
    name: str = "websocket",
) -> tuple[Session, RecordingTransport]:
    """A session that has begun, over a transport that keeps what is sent."""
    session = Session("the-secret", keeper or RecordingKeeper())
    transport = RecordingTransport(session, name)
    session.start(transport, handler or RecordingSessionHandler(), b"0{}")
    return session, transport


def receive(session: Session, *messages: str | bytes) -> None:
    """Let a session's client send messages."""
    for message in messages:
        packet = engineio.Packet(engineio.PacketType.MESSAGE, message)
        session.packet_received(session.transport, packet)


def packets(body: bytes) -> Sequence[str]:
    """The packets of a polling payload."""
    return body.decode().split("\x1e")
