"""What the project is told of sockets, besides its handlers: in which order, and exactly once."""

from typing import Any

import pytest

from socketio_server.dispatch.happenings import Happening
from socketio_server.events import Reject
from socketio_server.protocol.close_reasons import CloseReason
from tests.fakes.hub import settle
from tests.fakes.server import FakeClient, FakeServer, RecordingHooks

CONNECTED: tuple[Happening, dict[str, object]] = (Happening.CLIENT_CONNECTED, {})


def subscribed(channel: str) -> tuple[Happening, dict[str, object]]:
    return Happening.CHANNEL_SUBSCRIBED, {"channel": channel}


def unsubscribed(channel: str, reason: object = None) -> tuple[Happening, dict[str, object]]:
    return Happening.CHANNEL_UNSUBSCRIBED, {"channel": channel, "reason": reason}


def disconnected(reason: CloseReason) -> tuple[Happening, dict[str, object]]:
    return Happening.CLIENT_DISCONNECTED, {"reason": reason}


@pytest.fixture
def hooks() -> RecordingHooks:
    return RecordingHooks()


@pytest.fixture
def told(hooks: RecordingHooks) -> list[tuple[Happening, dict[str, object]]]:
    return hooks.told


@pytest.fixture
def server(hooks: RecordingHooks) -> FakeServer:
    return FakeServer(hooks=hooks)


Told = list[tuple[Happening, dict[str, object]]]


class TestAConnection:
    def test_is_told_when_it_is_made_and_when_it_has_ended(
        self, server: FakeServer, told: Told
    ) -> None:
        client = server.connect()
        assert told == [CONNECTED]
        client.leave(CloseReason.PING_TIMEOUT)
        assert told == [CONNECTED, disconnected(CloseReason.PING_TIMEOUT)]

    def test_that_is_refused_is_not_told(self, server: FakeServer, told: Told) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Any, context: object) -> None:
            socket.subscribe("room")
            raise Reject

        server.open().send("0")
        assert told == []

    def test_is_told_before_its_channels_and_behind_them(
        self, server: FakeServer, told: Told
    ) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Any, context: object) -> None:
            socket.subscribe("a")
            socket.subscribe("b")
            socket.unsubscribe("a")

        server.connect().leave()
        assert told == [
            CONNECTED,
            subscribed("b"),
            unsubscribed("b", CloseReason.TRANSPORT_CLOSE),
            disconnected(CloseReason.TRANSPORT_CLOSE),
        ]

    def test_has_gone_when_its_end_is_told(
        self, server: FakeServer, hooks: RecordingHooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found: list[object] = []

        def look(happening: Happening, socket: Any, **details: object) -> None:
            found.append((happening, len(server.clients), list(socket.channels)))

        client = server.connect(channels=["room"])
        monkeypatch.setattr(hooks, "tell", look)
        client.leave()
        assert found == [
            (Happening.CHANNEL_UNSUBSCRIBED, 0, []),
            (Happening.CLIENT_DISCONNECTED, 0, []),
        ]


class TestAChannel:
    @pytest.fixture
    def client(self, server: FakeServer, told: Told) -> FakeClient:
        client = server.connect()
        told.clear()
        return client

    @pytest.mark.parametrize("has_handler", [True, False])
    def test_is_told_when_the_client_comes_and_goes(
        self, server: FakeServer, client: FakeClient, told: Told, has_handler: bool
    ) -> None:
        if has_handler:
            server.registry.on_subscribe(lambda request, socket, context, channel: None)
        client.emit("__subscribe__", "room")
        client.emit("__subscribe__", "room")
        client.emit("__unsubscribe__", "room")
        client.emit("__unsubscribe__", "room")
        assert told == [subscribed("room"), unsubscribed("room")]

    def test_is_told_when_the_server_puts_a_socket_on_it(
        self, client: FakeClient, told: Told
    ) -> None:
        client.socket.subscribe("room")
        client.socket.subscribe("room")
        client.socket.unsubscribe("room")
        assert told == [subscribed("room"), unsubscribed("room")]

    def test_that_is_refused_is_not_told(
        self, server: FakeServer, client: FakeClient, told: Told
    ) -> None:
        @server.registry.on_subscribe
        def subscribe(request: object, socket: Any, context: object, channel: str) -> bool:
            socket.subscribe("another")
            return False

        client.emit("__subscribe__", "room")
        assert told == [subscribed("another")]

    def test_is_told_when_its_handlers_have_let_the_client_in(
        self, server: FakeServer, client: FakeClient, told: Told
    ) -> None:
        seen: list[object] = []

        @server.registry.on_subscribe
        def subscribe(request: object, socket: Any, context: object, channel: str) -> None:
            seen.extend(told)

        client.emit("__subscribe__", "room")
        assert seen == []
        assert told == [subscribed("room")]


class TestAHandlerThatRaises:
    @pytest.fixture
    def client(self, server: FakeServer, told: Told) -> FakeClient:
        """A client whose messages make a handler raise."""

        @server.registry.on_message
        def message(request: object, socket: Any, context: object, message: str) -> None:
            raise LookupError(message)

        client = server.connect()
        told.clear()
        return client

    def test_is_told_each_time(self, client: FakeClient, told: Told) -> None:
        client.emit("message", "a")
        client.emit("message", "b")
        failures = [details for happening, details in told]
        assert [details["event"] for details in failures] == ["on_message"] * 2
        assert [str(details["exception"]) for details in failures] == ["a", "b"]
        assert {happening for happening, _ in told} == {Happening.HANDLER_FAILED}

    def test_is_reported_as_often_as_it_is_logged(
        self, client: FakeClient, hooks: RecordingHooks, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.emit("message", "a")
        client.emit("message", "b")
        ((event, error),) = hooks.reported
        assert event == "on_message"
        assert str(error) == "a"
        assert len(caplog.records) == 1

    def test_in_on_error_is_told_too(
        self, server: FakeServer, client: FakeClient, hooks: RecordingHooks
    ) -> None:
        @server.registry.on_error
        def error(request: object, socket: Any, context: object, exception: object) -> None:
            raise OSError

        client.emit("message", "a")
        assert [event for event, _ in hooks.reported] == ["on_message", "on_error"]
        assert [details["event"] for _, details in hooks.told] == ["on_message", "on_error"]

    def test_is_not_one_whose_message_is_of_the_wrong_type(
        self, server: FakeServer, hooks: RecordingHooks, told: Told
    ) -> None:
        @server.registry.on("number")
        def number(request: object, socket: Any, context: object, number: int) -> None:
            pass

        client = server.connect()
        told.clear()
        client.emit("number", "one")
        settle()
        assert told == []
        assert hooks.reported == []
