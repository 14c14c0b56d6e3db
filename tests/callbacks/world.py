"""A server whose loop is guarded, its clients, and what makes callbacks raise."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from socketio_server.engine.engine import Engine
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session
from socketio_server.engine.transports.websocket import UpgradedConnection
from socketio_server.http.listener import HttpListener
from socketio_server.net.connection import Connection
from socketio_server.net.loop import GuardedLoop
from socketio_server.net.statistics import Stats
from socketio_server.options import Options
from socketio_server.protocol.websocket.frames import Opcode
from tests.fakes.engine import RecordingSessionHandler
from tests.fakes.hub import make_pool, settle
from tests.fakes.loop import FakeLoop
from tests.fakes.net import read_available, socket_pair
from tests.http.site import request, site_at
from tests.support.websocket import frame

LONG = 1000.0
"""Seconds between two heartbeats."""


PATH = "/socket.io/"


class Fault(Exception):
    """What a callback raises."""


class Faults:
    """Makes methods raise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.raised = 0

    def add(self, owner: Any, name: str, *, skip: int = 0, after: bool = False) -> None:
        """Have a method raise once.

        :param skip: how many calls go well before.
        :param after: whether it does its work first.
        """
        original = getattr(owner, name)
        is_property = isinstance(original, property)
        if is_property:
            original = original.fget
        left = skip

        def fail(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1 and not after:
                self.raised += 1
                raise Fault
            result = original(*args, **kwargs)
            if left == -1:
                self.raised += 1
                raise Fault
            return result

        self._monkeypatch.setattr(owner, name, property(fail) if is_property else fail)


class Client:
    """A client's end of a connection."""

    def __init__(self, world: "World", ours: Any, theirs: Any) -> None:
        self._world = world
        self._ours = ours
        self.sock = theirs

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)
        self._world.run()

    def send_text(self, *texts: str) -> None:
        """Send packets over a WebSocket, all in one go."""
        self.send(b"".join(frame(Opcode.TEXT, text.encode()) for text in texts))

    def read(self) -> bytes:
        """Read what there is."""
        data = b""
        while piece := read_available(self.sock):
            data += piece
            self._world.run()
        return data

    @property
    def has_descriptor(self) -> bool:
        """Whether the server has its end of the connection yet."""
        return bool(self._ours.fileno() != -1)


class World:
    """A server whose loop is guarded, a bystander, and the clients that a fault is to end."""

    def __init__(self, stack: ExitStack, **options: Any) -> None:
        self._stack = stack
        self.loop = FakeLoop()
        self.clock: Callable[[], float] = self.loop.clock
        stats = Stats(self.loop.clock)
        self.guarded = GuardedLoop(self.loop, stats.refusals)
        values = {"ping_interval": LONG, "ping_timeout": LONG, "max_time_per_turn": 1000.0}
        self.options = Options(**values | options)
        tell = lambda: self.clock()  # noqa: E731  # a fault may replace it
        self.engine = Engine(self.guarded, self.options, self._accept, stats, clock=tell)
        self.http = HttpListener(
            ("127.0.0.1", 0),
            lambda environ, start: self.application(environ, start),
            engine=self.engine,
            options=self.options,
            loop=self.guarded,
            clock=tell,
            wall_clock=lambda: 784_111_777.0,
            request_ended=lambda size: None,
        )
        self.http.environ = {"wsgi.url_scheme": "http"}
        self.http.request_workers = make_pool(100, options=self.options)
        self.application: Callable[..., Any] = lambda environ, start: (start("200 OK", []), [])[1]
        self.sessions: list[Session] = []
        self.handlers: list[RecordingSessionHandler] = []
        self.clients: list[Client] = []
        self.bystander = ""

    def _accept(self, session: Session, context: object) -> RecordingSessionHandler:
        self.sessions.append(session)
        self.handlers.append(RecordingSessionHandler())
        return self.handlers[-1]

    def run(self) -> None:
        for _ in range(3):
            self.loop.run()
            settle()
        self.loop.run()

    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)
        self.run()

    def _pair(self) -> Client:
        ours, theirs = self._stack.enter_context(socket_pair())
        self.clients.append(Client(self, ours, theirs))
        return self.clients[-1]

    def connect(self, data: bytes = b"") -> Client:
        """Connect, and send some bytes."""
        client = self._pair()
        self.http.handle(client._ours, ("192.0.2.1", 1234))
        if data:
            client.send(data)
        return client

    def websocket(
        self, data: bytes = b"", *, revision: str = "4", deflates: bool = False
    ) -> Client:
        """Open a session over a WebSocket."""
        client = self._pair()
        asked = EngineRequest(
            "GET", {"EIO": revision, "transport": "websocket"}, site=site_at(PATH)
        )
        connection = Connection(client._ours, self.guarded, self.engine.output)
        self.engine.open_websocket(asked, None, UpgradedConnection(connection, data, deflates))
        self.run()
        return client

    def polling(self) -> str:
        """Open a session over polling; return the target of its requests."""
        asked = EngineRequest("GET", {"EIO": "4", "transport": "polling"}, site=site_at(PATH))
        self.engine.open_polling(asked, None, None)
        return f"{PATH}?EIO=4&transport=polling&sid={self.sessions[-1].sid}"

    def post(self, target: str, *packets: str) -> bytes:
        """Send packets on a connection of their own; return the answer."""
        client = self.connect(request("POST", target, "\x1e".join(packets).encode()))
        answer = client.read()
        client.sock.close()
        self.run()
        return answer
