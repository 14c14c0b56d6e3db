"""Stand-ins for what the package's parts are given: a loop, peers, and recorders of calls upward.

The loop's clock is moved by hand while its watchers look at real descriptors, so that connections
are tested on real sockets without a moment of waiting.
"""

import json
import resource
import select
import socket as socket_module
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import Any

import gevent
from django.http import HttpRequest

from socketio_server.dispatch.dispatcher import Dispatcher
from socketio_server.dispatch.event_hooks import EventHooks, WrapHandler
from socketio_server.dispatch.happenings import Happening
from socketio_server.dispatch.member import MemberRouter
from socketio_server.dispatch.middleware import CallNext
from socketio_server.dispatch.unhandled import Unhandled
from socketio_server.engine.origins import site_of
from socketio_server.engine.session import Session, SessionHandler
from socketio_server.engine.transports.base import Outgoing, Transport, TransportHandler
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.events import Registry
from socketio_server.exceptions import DecodeError
from socketio_server.net.connection import Connection
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.loop import GuardedLoop
from socketio_server.net.queued_output import LostBecause, QueuedOutput
from socketio_server.net.refusals import RefusalKind, Refusals
from socketio_server.net.statistics import Stats
from socketio_server.net.turns import Turns
from socketio_server.net.workers import WorkerPool
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.http1.responses import Response
from socketio_server.protocol.websocket import Close, Opcode, Ping, Pong
from socketio_server.serving.timekeeper import GeventTimekeeper
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.subscriptions import Channels
from tests.support.websocket import frame

HERE = site_of("", "example.com", public_host="example.com", is_secure=False)
"""The site of handshakes."""

PATIENCE = 20.0
"""Seconds after which a test that waits in the real hub has failed."""

MOMENT = 1e-9
"""A time in seconds that has always passed already by the clock that the engine reads."""


TURNS = 50
"""Turns of the hub that are more than any chain of greenlets here that wake each other up."""


def settle() -> None:
    """Let all greenlets run until each of them has ended, or waits for another or for time."""
    for _ in range(TURNS):
        gevent.sleep(0)


# --- Workers ----------------------------------------------------------------------------------

UNHURRIED = 1000.0
"""More seconds than any test takes: a turn that its time does not end."""


@dataclass
class Task:
    """A job that does what it was given."""

    action: Callable[[], object]

    def work(self) -> None:
        self.action()


def make_pool(
    size: int = 1000, *, turn: float = UNHURRIED, options: Options | None = None
) -> WorkerPool:
    hub = gevent.get_hub()
    loop = GuardedLoop(hub.loop, Refusals(monotonic))
    options = options or Options(max_time_per_turn=turn)
    return WorkerPool(hub, loop, options, size, clock=monotonic)


def in_loop(action: Callable[[], object]) -> None:
    """Do something in a callback of the loop, as connections do."""
    gevent.get_hub().loop.run_callback(action)
    settle()


def wait_for(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    with gevent.Timeout(PATIENCE):
        while not condition():
            gevent.sleep(0.001)


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

    def is_due(self) -> bool:
        raise NotImplementedError


class FakeIO(FakeWatcher):
    """A watcher of a real descriptor."""

    def __init__(self, loop: "FakeLoop", fd: int, events: int, priority: int) -> None:
        super().__init__(loop)
        self.fd = fd
        self.priority = priority
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
        self.seconds_per_look = 0.0
        """How far the clock moves each time that somebody looks at it."""
        self.running = False
        """Whether a callback of the loop is being run."""
        self.watchers: dict[FakeWatcher, None] = {}
        """Those that are started."""
        self._callbacks: deque[Callable[[], Any]] = deque()

    def clock(self) -> float:
        self.now += self.seconds_per_look
        return self.now

    def io(self, fd: int, events: int, *, priority: int = 0) -> FakeIO:
        if fd < 0:
            raise ValueError(f"fd must be non-negative: {fd}")  # gevent's own words
        return FakeIO(self, fd, events, priority)

    def forget(self, fd: int) -> None:
        """Do nothing: this loop has no epoll set."""

    def timer(self, after: float) -> FakeTimer:
        return FakeTimer(self, after)

    def start(
        self, watcher: FakeWatcher, callback: Callable[..., Any], owner: Any, *args: Any
    ) -> None:
        watcher.start(callback, owner, *args)

    def call(self, callback: Callable[[Any], object], item: Any, on_raised: object) -> None:
        callback(item)

    def run_callback(self, callback: Callable[..., Any], owner: Any, *args: Any) -> None:
        self._callbacks.append(lambda: callback(owner, *args))

    def turn(self) -> bool:
        """Run what is due, each thing once; return whether anything was."""
        callbacks = list(self._callbacks)
        self._callbacks.clear()
        for callback in callbacks:
            self._run(callback)
        due = [watcher for watcher in self.watchers if watcher.is_due()]
        due.sort(key=lambda watcher: -watcher.priority if isinstance(watcher, FakeIO) else 0)
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

    def wake_up(self) -> None:
        """Run what waits for descriptors, whether they are ready or not, as loops may."""
        for watcher in [w for w in self.watchers if isinstance(w, FakeIO)]:
            if watcher.callback is not None:
                self._run(watcher.callback)

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


@contextmanager
def socket_pair() -> Iterator[tuple[socket_module.socket, socket_module.socket]]:
    """Two sockets that are connected to each other; closed in the end, whoever has them then."""
    ours, theirs = socket_module.socketpair()
    with ours, theirs:
        yield ours, theirs


def queued_output(loop: FakeLoop, options: Options | None = None) -> QueuedOutput:
    """What waits for all clients of a server."""
    return QueuedOutput(loop, options or Options(), clock=loop.clock)


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


# --- Transports and sessions ------------------------------------------------------------------


def outgoing(text: str, *attachments: bytes) -> Outgoing:
    """A message for the client, ``outgoing("hello")`` say."""
    return Outgoing(engineio.MESSAGE + text.encode(), attachments)


def make_polling(
    session: TransportHandler,
    loop: FakeLoop,
    options: Options,
    output: QueuedOutput | None = None,
) -> PollingTransport:
    """The transport of a session over polling."""
    output = output or queued_output(loop, options)
    turns = Turns(loop, options, clock=loop.clock)
    return PollingTransport(session, loop, options, loop.clock, output, turns)


@contextmanager
def without_descriptors() -> Iterator[None]:
    """Let this process open no file and no socket (a limit of 0 would keep it from polling)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class RecordingTransportHandler:
    """Records what a transport says (``TransportHandler``)."""

    def __init__(self) -> None:
        self.packets: list[engineio.Packet] = []
        self.closed: list[CloseReason] = []
        self.refusals: list[str] = []
        self.held = 0
        """Bytes of messages that are yet to be handed up."""
        self.rooms = 0
        """How often there was room again."""
        self.on_packet: Callable[[engineio.Packet], object] | None = None

    def message_received(self, transport: Transport, data: str | bytes) -> None:
        self.packet_received(transport, engineio.Packet(engineio.PacketType.MESSAGE, data))

    def packet_received(self, transport: Transport, packet: engineio.Packet) -> None:
        if self.closed:
            return  # as sessions do
        self.packets.append(packet)
        if self.on_packet is not None:
            self.on_packet(packet)

    def bytes_held(self, change: int) -> None:
        self.held += change

    def client_refused(self, kind: RefusalKind, why: str) -> None:
        self.refusals.append(f"{kind}: {why}")

    def room_made(self, transport: Transport) -> None:
        self.rooms += 1

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
        self.writable = True
        self.direct: Any = None
        self.queued_bytes = 0
        self.is_full = False
        """Whether senders have to wait."""
        self.is_taking = False
        """Whether the client takes what waits for it."""
        self._session = session

    @property
    def is_reading(self) -> bool:
        return not self.paused

    def ask_for_room(self) -> bool:
        return not self.is_full

    def give_up(self, because: LostBecause) -> None:
        self.close(CloseReason.TRANSPORT_ERROR)

    def send(self, outgoing: Outgoing) -> None:
        if not self.closed:
            self.sent += (packet.decode() for packet in outgoing.packets)

    def send_first(self, outgoing: Outgoing) -> None:
        self.send(outgoing)

    def close(self, reason: CloseReason) -> None:
        if not self.closed:
            self.closed.append(reason)
            if self._session is not None:
                self._session.transport_closed(self, reason)

    def callback_raised(self) -> None:
        self.close(CloseReason.TRANSPORT_ERROR)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class RecordingSessionHandler:
    """Records what a session says (``SessionHandler``)."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.closed: list[CloseReason] = []
        self.started = 0
        self.held = 0
        """Bytes of messages that are yet to be handed up."""

    def session_started(self) -> None:
        assert not self.messages, "called after a message"
        self.started += 1

    def text_received(self, data: str) -> None:
        assert type(data) is str
        assert not self.closed, "called after the end"
        self.messages.append(data)

    def binary_received(self, data: bytes) -> None:
        assert type(data) is bytes
        assert not self.closed, "called after the end"
        self.messages.append(data)

    def bytes_held(self, change: int) -> None:
        self.held += change

    def session_closed(self, reason: CloseReason) -> None:
        self.closed.append(reason)


class RecordingKeeper:
    """Records what sessions say to the engine (``SessionKeeper``)."""

    def __init__(self) -> None:
        self.pongs = 0
        self.pings = 0
        self.refusals: list[str] = []
        self.probing = False
        self.ended: list[Transport] = []

    def pong_received(self, session: Session) -> None:
        self.pongs += 1

    def ping_received(self, session: Session) -> None:
        self.pings += 1

    def client_refused(self, session: Session, kind: RefusalKind, why: str) -> None:
        self.refusals.append(f"{kind}: {why}")

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
    session = Session("the-secret", keeper or RecordingKeeper(), HERE)
    transport = RecordingTransport(session, name)
    session.start(transport, handler or RecordingSessionHandler(), b"0{}")
    return session, transport


def receive(session: Session, *messages: str | bytes) -> None:
    """Let a session's client send messages."""
    for message in messages:
        session.message_received(session.transport, message)


class FakeExchange:
    """A request of a polling client (``Exchange``)."""

    def __init__(self) -> None:
        self.response: Response | None = None
        """What it was answered with; ``None`` while it waits."""
        self.is_gone = False
        """Whether its client has gone, be it without anybody's knowledge."""
        self.is_slow = False
        """Whether its client has yet to take some of the answer."""

    def reply(self, response: Response) -> None:
        assert self.response is None, "answered twice"
        self.response = response

    def has_ended(self) -> bool:
        return self.is_gone

    def is_underway(self) -> bool:
        return self.is_slow

    def abort(self) -> None:
        self.is_gone = True

    @property
    def status(self) -> int:
        """The status of its answer, which it must have."""
        assert self.response is not None, "it still waits"
        return self.response.status

    @property
    def packets(self) -> list[str]:
        """The packets of its answer, which it must have."""
        assert self.response is not None, "it still waits"
        assert self.response.status == 200, self.response
        return list(packets(self.response.body))


def packets(body: bytes) -> Sequence[str]:
    """The packets of a polling payload."""
    return body.decode().split("\x1e")


# --- Servers ----------------------------------------------------------------------------------


class RecordingHooks:
    """Records what happens around handlers (``EventHooks``)."""

    refusals: tuple[type[Exception], ...] = (PermissionError,)
    wrap_handler: WrapHandler | None = None
    logs_messages = True

    def __init__(self) -> None:
        self.log: list[tuple[object, str, object]] = []
        """Each message that is to be logged: request, kind, message."""
        self.captured: object = None
        self.size_of_requests = 0
        self.restored: list[object] = []
        self.told: list[tuple[Happening, dict[str, object]]] = []
        """What happened to sockets."""
        self.reported: list[tuple[str, BaseException]] = []
        """Exceptions of handlers, each with its event."""

    def capture(self, request: object) -> object:
        return self.captured

    def request_size(self, request: object) -> int:
        return self.size_of_requests

    def restore(self, captured: object) -> None:
        self.restored.append(captured)

    def before_event(self) -> None:
        pass

    def after_event(self, request: object) -> None:
        pass

    def watch(self, request: object, router: MemberRouter) -> None:
        pass

    def join_user_room(self, request: object) -> None:
        pass

    def forget_changes(self, request: object) -> None:
        pass

    def tell(self, happening: Happening, socket: Socket, **details: object) -> None:
        self.told.append((happening, details))

    def report_exception(self, socket: Socket, event_name: str, error: BaseException) -> None:
        self.reported.append((event_name, error))

    def find_mistake(self, result: object) -> str | None:
        return "a mistake" if result == "a mistake" else None

    def log_message(self, request: object, kind: str, message: object) -> None:
        self.log.append((request, kind, message))


class FakeServer:
    """All of a server above its sessions, put together as the service does it.

    Its handlers run in real workers, in the hub of the test's own thread: ``settle`` lets them.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        hooks: EventHooks | None = None,
        middleware: CallNext | None = None,
        clients: Clients[Socket] | None = None,
        pool: WorkerPool | None = None,
        is_guarded: bool = False,
        explains: bool = False,
    ) -> None:
        self.options = options or Options()
        self.registry = Registry()
        self.raised: list[BaseException] = []
        """What handlers have raised."""
        self.clients: Clients[Socket] = Clients(Channels()) if clients is None else clients
        self.clients.timekeeper = GeventTimekeeper(self.options.stall_timeout, bool)
        self.hooks = hooks or RecordingHooks()
        self.loop = FakeLoop()
        self.stats = Stats(self.loop.clock)
        self.pool = pool or make_pool(self.options.max_concurrent_handlers, options=self.options)
        self.dispatcher = Dispatcher(
            registry=self.registry,
            clients=self.clients,
            hooks=self.hooks,
            pool=self.pool,
            loop=GuardedLoop(self.loop, self.stats.refusals) if is_guarded else self.loop,
            options=self.options,
            stats=self.stats,
            clock=self.loop.clock,
            unhandled=Unhandled(self.registry) if explains else None,
            middleware=middleware,
            on_raised=self.raised.append,
        )

    def open(
        self,
        *,
        request: object = None,
        name: str = "websocket",
        revision: int = engineio.PROTOCOL_VERSION,
    ) -> "FakeClient":
        """Open a session that has asked for no namespace."""
        return FakeClient(self, request or HttpRequest(), name, revision)

    def connect(
        self,
        *,
        request: object = None,
        name: str = "websocket",
        auth: object = None,
        channels: Sequence[str] = (),
    ) -> "FakeClient":
        """Connect a client to the main namespace, and let it subscribe to channels."""
        client = self.open(request=request, name=name)
        client.send("0" if auth is None else "0" + json.dumps(auth))
        for channel in channels:
            client.emit("__subscribe__", channel)
        client.received()
        return client


_numbers = count(1)


class FakeClient:
    """A client of a ``FakeServer``; it speaks Socket.IO packets, as text."""

    def __init__(self, server: FakeServer, request: object, name: str, revision: int) -> None:
        self.server = server
        self.keeper = RecordingKeeper()
        self.session = Session(f"secret {next(_numbers)}", self.keeper, HERE, revision)
        self.transport = RecordingTransport(self.session, name)
        self.router = server.dispatcher.accept(self.session, request)
        self.session.start(self.transport, self.router, b"0{}")
        self._read = 1  # packets that were looked at; the first opens the session

    @property
    def id(self) -> str:
        """The id that the server gave when the client joined the main namespace."""
        answer = next(p for p in reversed(self.transport.sent) if p.startswith('40{"sid":'))
        session_id: str = json.loads(answer[2:])["sid"]
        return session_id

    @property
    def socket(self) -> Socket:
        """What the server's handlers hold."""
        return self.server.clients[self.id][1]

    @property
    def closed(self) -> list[CloseReason]:
        """Why the session was closed, if it was."""
        return self.transport.closed

    def send(self, *packets: str | bytes) -> None:
        """Send Socket.IO packets and attachments, and let handlers run."""
        try:
            receive(self.session, *packets)
        except DecodeError:  # as the transports do it
            self.session.close(CloseReason.PARSE_ERROR)
        settle()

    @property
    def refusals(self) -> list[str]:
        """What was refused to it, each as its kind and the reason."""
        return self.keeper.refusals

    def emit(self, *data: object, ack_id: int | None = None) -> None:
        """Send an event."""
        self.send(f"2{'' if ack_id is None else ack_id}{json.dumps(data)}")

    def received(self) -> list[str]:
        """Return the packets and attachments that came since the last call."""
        new = self.transport.sent[self._read :]
        self._read += len(new)
        return [packet.removeprefix("4") for packet in new]

    def messages(self) -> list[object]:
        """Return the messages that came since the last call, when nothing else may have come."""
        events = [json.loads(packet.removeprefix("2")) for packet in self.received()]
        assert all(name == "message" for name, _ in events), events
        return [message for _, message in events]

    def leave(self, reason: CloseReason = CloseReason.TRANSPORT_CLOSE) -> None:
        """End the session, and let handlers run."""
        self.session.close(reason)
        settle()
