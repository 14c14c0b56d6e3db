"""All of a server above its sessions, and clients of it."""

import dataclasses
import json
from collections.abc import Sequence
from itertools import count

from django.http import HttpRequest

from socketio_server.dispatch.developer_hints import DeveloperHints
from socketio_server.dispatch.dispatcher import Dispatcher
from socketio_server.dispatch.event_hooks import EventHooks, WrapHandler
from socketio_server.dispatch.happenings import Happening
from socketio_server.dispatch.member import MemberRouter
from socketio_server.dispatch.middleware import CallNext
from socketio_server.engine.session import Session
from socketio_server.events import Registry
from socketio_server.exceptions import DecodeError
from socketio_server.net.held_total import HeldTotal
from socketio_server.net.loop import GuardedLoop
from socketio_server.net.statistics import Stats
from socketio_server.net.workers import WorkerPool
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.serving.timekeeper import GeventTimekeeper
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.subscriptions import Channels
from tests.fakes.engine import HERE, RecordingKeeper, RecordingTransport, receive
from tests.fakes.hub import UNHURRIED, make_pool, settle
from tests.fakes.loop import FakeLoop


class RecordingHooks:
    """Records what happens around handlers (``EventHooks``)."""

    refusals: tuple[type[Exception], ...] = (PermissionError,)
    absences: tuple[type[Exception], ...] = (FileNotFoundError,)
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

    def find_user(self, request: object) -> None:
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
        # However slow the machine is, no turn ends by its time, unless the test says so.
        turn = self.options.max_time_per_turn
        turn = UNHURRIED if turn == Options().max_time_per_turn else turn
        unhurried = dataclasses.replace(self.options, max_time_per_turn=turn)
        self.pool = pool or make_pool(self.options.max_concurrent_handlers, options=unhurried)
        loop = GuardedLoop(self.loop, self.stats.refusals) if is_guarded else self.loop
        self.held_total = HeldTotal(loop, self.options)
        """What all clients make the server hold."""
        self.dispatcher = Dispatcher(
            registry=self.registry,
            clients=self.clients,
            hooks=self.hooks,
            pool=self.pool,
            loop=loop,
            options=self.options,
            stats=self.stats,
            clock=self.loop.clock,
            held_total=self.held_total,
            hints=DeveloperHints(self.registry) if explains else None,
            middleware=middleware,
            on_raised=self.raised.append,
        )
        self.clients.keep_answer = self.dispatcher.remote_clients.keep

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
