"""An engine with a fake loop, and the requests that its tests send.

Everything up to the HTTP server: requests are values, WebSockets are socket pairs. Where a test
is about deadlines their delays are a moment, and the loop's timers go off by hand.
"""

import json
from contextlib import ExitStack
from typing import Any

from msgspec.structs import replace

from socketio_server.engine import origins
from socketio_server.engine.engine import Engine
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session
from socketio_server.engine.session_cookie import Binding
from socketio_server.engine.transports.websocket import UpgradedConnection
from socketio_server.net.statistics import Stats
from socketio_server.options import Options
from socketio_server.protocol.http1.responses import Response
from tests.fakes.engine import HERE, FakeExchange, RecordingSessionHandler, packets
from tests.fakes.loop import FakeLoop
from tests.fakes.websocket import WebSocketPeer, websocket

HANDSHAKE = {"EIO": "4", "transport": "polling"}
COOKIE = "socketio-1=abc"


def request(method: str = "GET", /, **query: str) -> EngineRequest:
    """A request as the HTTP server hands it over."""
    site = None if "sid" in query else HERE
    return EngineRequest(method, query, host="example.com", site=site)


def from_page(origin: str, method: str = "GET", /, **query: str) -> EngineRequest:
    """A request of a page."""
    return replace(request(method, **query), origin=origin)


def upgrade(**query: str) -> EngineRequest:
    """A request that asks to become a WebSocket."""
    return replace(request(**query), is_websocket=True)


class Site:
    """An engine, the sessions that it accepted, and requests to it."""

    def __init__(self, **options: Any) -> None:
        self.loop = FakeLoop()
        self.options = Options(**options)
        self.stats = Stats(self.loop.clock)
        self.unknown: list[str] = []
        """The processes that unknown ids of sessions began with."""
        self.engine = Engine(
            self.loop,
            self.options,
            self.accept,
            self.stats,
            clock=self.loop.clock,
            on_unknown_sid=self.unknown.append,
        )
        self.sessions: list[Session] = []
        self.handlers: list[RecordingSessionHandler] = []
        self.requests: list[object] = []
        self._stack = ExitStack()

    def accept(self, session: Session, request: object) -> RecordingSessionHandler:
        self.sessions.append(session)
        self.handlers.append(RecordingSessionHandler())
        self.requests.append(request)
        return self.handlers[-1]

    def open_polling(self, binding: Binding | None = None, at: origins.Site = HERE) -> str:
        """Open a session over polling; return its ``sid``."""
        handshake = replace(request(**HANDSHAKE), site=at)
        response = self.engine.open_polling(handshake, "request", binding)
        (packet,) = packets(response.body)
        sid: str = json.loads(packet[1:])["sid"]
        return sid

    def open_websocket(self, data: bytes = b"") -> WebSocketPeer:
        """Open a session over a WebSocket; return its client."""
        pair = websocket(self.loop, self.options, self.engine.output)
        connection, client = self._stack.enter_context(pair)
        upgraded = UpgradedConnection(connection, data)
        self.engine.open_websocket(request(**HANDSHAKE), "request", upgraded)
        return client

    def probe(self, session: Session, data: bytes = b"") -> WebSocketPeer:
        """Let a WebSocket try to take over a session; return its client."""
        connection, client = self._stack.enter_context(websocket(self.loop, self.options))
        self.engine.probe_websocket(session, UpgradedConnection(connection, data))
        return client

    def request(self, asked: EngineRequest, body: bytes = b"") -> FakeExchange:
        """Begin a request, and let the loop run until it waits or has its answer."""
        exchange = FakeExchange()
        found = self.engine.find_polled(asked)
        if isinstance(found, Response):
            exchange.reply(found)
        elif asked.method == "GET":
            found.answer_get(exchange)
        else:
            found.answer_post(body, "text/plain;charset=UTF-8", exchange)
        self.loop.run()
        return exchange

    def respond(self, asked: EngineRequest, body: bytes = b"") -> Response:
        """Return the answer to a request that must not wait."""
        response = self.request(asked, body).response
        assert response is not None, "it waits"
        return response

    def find_upgradable(self, asked: EngineRequest) -> Session | Response:
        return self.engine.find_upgradable(asked)

    def get(self, sid: str) -> list[str]:
        """Return the packets that a GET gets at once."""
        response = self.respond(request(transport="polling", sid=sid))
        assert response.status == 200, response
        return list(packets(response.body))

    def post(self, sid: str, body: bytes) -> Response:
        return self.respond(request("POST", transport="polling", sid=sid), body)

    def close(self) -> None:
        self._stack.close()
