"""Members: which handlers run for them, and that nothing of them is left after the end."""

import gc
import json
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from socketio_server.dispatch.member import Member
from socketio_server.dispatch.router import NamespaceRouter
from socketio_server.engine.engine import Engine
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session
from socketio_server.engine.transports.websocket import UpgradedConnection
from socketio_server.events import Registry, Reject
from socketio_server.sockets.delivery import Delivery
from socketio_server.sockets.socket import Socket
from socketio_server.testing import SocketIOClient
from tests.fakes.engine import HERE, FakeExchange, packets
from tests.fakes.hub import settle
from tests.fakes.server import FakeServer
from tests.fakes.websocket import websocket


class TestSelect:
    def test_handlers_are_chosen_once_for_the_channels_that_are_held(self) -> None:
        """Not for each message: patterns may be slow."""
        server = FakeServer()
        event = server.registry.on_message
        event(lambda *args: None, channel="^room")
        delivery = server.connect().socket._delivery
        member = delivery.owner
        assert isinstance(member, Member)
        member.socket.subscribe("room")
        chosen = member.select(event)

        assert len(chosen) == 1
        assert member.select(event) is chosen
        member.socket.unsubscribe("room")
        assert member.select(event) == ()


PER_CLIENT = (Delivery, Member, NamespaceRouter, Session, Socket)
"""The objects that each client has."""


class Note:
    """An object that handlers keep in the context."""


class Census:
    """Counts what is alive of clients while no garbage collector runs."""

    def __init__(self) -> None:
        self.notes: weakref.WeakSet[Note] = weakref.WeakSet()
        # Kept alive, so that what other tests have left is not freed in between.
        self._before = self._find()

    def take_notes(self, registry: Registry) -> None:
        """Keep an object in the context of each client, also of those that are refused."""

        @registry.on_connect
        def connect(request: Any, socket: Socket, context: dict[str, Any]) -> None:
            context["note"] = Note()
            self.notes.add(context["note"])
            socket.subscribe("room")
            socket.emit("question", callback=lambda *values: socket, timeout=1000)

        @registry.on_message
        def message(request: Any, socket: Socket, context: Any, message: Any) -> None:
            socket.send_and_broadcast_channel(message)

        @registry.on_error
        def error(request: Any, socket: Socket, context: Any, exception: Exception) -> None: ...

    @property
    def alive(self) -> dict[str, int]:
        """The objects of clients, by type, that were not there before."""
        return dict(self._names(self._find()) - self._names(self._before))

    def _find(self) -> list[object]:
        return [thing for thing in gc.get_objects() if type(thing) in PER_CLIENT]

    def _names(self, objects: list[object]) -> Counter[str]:
        return Counter(type(thing).__name__ for thing in objects)


@pytest.fixture
def census() -> Iterator[Census]:
    gc.collect()
    gc.disable()
    yield Census()
    gc.enable()


def connect_over_polling(engine: Engine) -> str:
    """Open a session, and join the main namespace; return its ``sid``."""
    opened = engine.open_polling(EngineRequest("GET", {"EIO": "4"}, site=HERE), None, None)
    sid: str = json.loads(packets(opened.body)[0][1:])["sid"]
    post(engine, sid, "40")
    return sid


def post(engine: Engine, sid: str, payload: str) -> None:
    """Send packets over polling."""
    exchange = FakeExchange()
    query = {"transport": "polling", "sid": sid}
    transport = engine.find_polled(EngineRequest("POST", query, host=HERE.host))
    transport.answer_post(payload.encode(), "text/plain;charset=UTF-8", exchange)  # type: ignore[union-attr]
    settle()


class TestAfterTheEnd:
    """Socket, member, router and session are freed without the garbage collector."""

    @pytest.fixture
    def server(self, census: Census) -> FakeServer:
        server = FakeServer()
        census.take_notes(server.registry)
        return server

    @pytest.fixture
    def engine(self, server: FakeServer) -> Engine:
        return Engine(
            server.loop,
            server.options,
            server.dispatcher.accept,
            server.stats,
            clock=server.loop.clock,
        )

    def test_nothing_is_left_of_a_client_over_polling(
        self, server: FakeServer, engine: Engine, census: Census
    ) -> None:
        sid = connect_over_polling(engine)
        post(engine, sid, '42["message","hello"]')
        assert census.alive == dict.fromkeys((kind.__name__ for kind in PER_CLIENT), 1)

        post(engine, sid, "1")
        server.loop.advance(1000)

        assert census.alive == {}
        assert not census.notes

    def test_nothing_is_left_of_a_client_over_websocket(
        self, server: FakeServer, engine: Engine, census: Census
    ) -> None:
        with websocket(server.loop, server.options) as (connection, client):
            opening = EngineRequest("GET", {"EIO": "4"}, is_websocket=True, site=HERE)
            engine.open_websocket(opening, None, UpgradedConnection(connection))
            client.send("40", '42["message","hello"]')
            server.loop.run()
            settle()
            assert census.alive == dict.fromkeys((kind.__name__ for kind in PER_CLIENT), 1)

            client.close()
            server.loop.run()
            settle()
            server.loop.advance(1000)
        del connection

        assert census.alive == {}
        assert not census.notes

    def test_nothing_is_left_of_a_namespace_that_the_client_left(
        self, server: FakeServer, census: Census
    ) -> None:
        client = server.connect()
        client.send("1")

        assert census.alive == {"NamespaceRouter": 1, "Session": 1}
        assert not census.notes

    def test_nothing_is_left_of_a_client_that_the_server_disconnected(
        self, server: FakeServer, census: Census
    ) -> None:
        client = server.connect()
        client.socket.disconnect()
        settle()

        assert census.alive == {"NamespaceRouter": 1, "Session": 1}
        assert not census.notes

    def test_nothing_is_left_of_a_client_that_was_refused(
        self, server: FakeServer, census: Census
    ) -> None:
        @server.registry.on_connect
        def refuse(request: object, socket: Socket, context: object) -> None:
            raise Reject("no")

        client = server.open()
        client.send("0")

        assert census.alive == {"NamespaceRouter": 1, "Session": 1}
        assert not census.notes

    def test_nothing_is_left_of_a_client_whose_handler_raised(
        self, server: FakeServer, census: Census
    ) -> None:
        @server.registry.on_message
        def fail(request: object, socket: Socket, context: object, message: object) -> None:
            raise LookupError

        client = server.connect()
        client.emit("message", "hello")
        client.send("1")

        assert census.alive == {"NamespaceRouter": 1, "Session": 1}
        assert not census.notes

    def test_a_socket_that_a_user_keeps_keeps_no_more_than_its_delivery_and_session(
        self, server: FakeServer, census: Census
    ) -> None:
        client = server.connect()
        socket = client.socket
        client.send("1")
        session = client.session
        client.leave()
        del client

        assert census.alive == {"Socket": 1, "Delivery": 1, "Session": 1}
        assert not socket.connected()
        assert not session.is_open


class TestAfterTheEndOfATestClient:
    def test_nothing_is_left_of_it(self, census: Census) -> None:
        registry = Registry()
        census.take_notes(registry)
        client = SocketIOClient(registry=registry)
        client.connect()
        client.send("hello")
        assert census.alive == dict.fromkeys((kind.__name__ for kind in PER_CLIENT), 1)
        client.disconnect()
        del client

        assert census.alive == {}
        assert not census.notes
