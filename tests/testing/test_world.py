"""What the test clients of a process share, and that nothing of it is left behind."""

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from pytest_django import Settings

import socketio_server
from socketio_server import NoSocket, events
from socketio_server.channels import CHANNELS
from socketio_server.clients import CLIENTS
from socketio_server.dispatch.middleware import CallNext, EventCall
from socketio_server.events import Registry
from socketio_server.testing import SocketIOClient, clock


def announce(request: HttpRequest) -> HttpResponse:
    """A view that tells all clients something."""
    socketio_server.broadcast(request.GET["text"])
    return HttpResponse("done")


urlpatterns = [path("", include("socketio_server.urls")), path("announce/", announce)]


class TestSeveralClients:
    def test_they_hear_each_other(self, registry: Registry) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            socket.broadcast(message)

        with SocketIOClient(registry=registry) as a, SocketIOClient(registry=registry) as b:
            a.send("from a")
            b.send("from b")

            a.assert_received("from b")
            b.assert_received("from a")

    def test_each_has_the_handlers_of_its_own_registry(self, registry: Registry) -> None:
        @registry.on("name")
        def name(request: Any, socket: Any, context: Any) -> str:
            return "one"

        other = Registry()

        @other.on("name")
        def other_name(request: Any, socket: Any, context: Any) -> str:
            return "other"

        with SocketIOClient(registry=registry) as a, SocketIOClient(registry=other) as b:
            assert a.call("name") == "one"
            assert b.call("name") == "other"

    def test_views_reach_them(
        self, registry: Registry, settings: Settings, client: SocketIOClient
    ) -> None:
        settings.ROOT_URLCONF = __name__
        with SocketIOClient(registry=registry) as other:
            Client().get("/announce/", {"text": "news"})

            client.assert_received("news")
            other.assert_received("news")

    def test_messages_and_events_from_outside_reach_whom_they_are_for(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        with SocketIOClient(registry=registry) as other:
            other.subscribe("room-1")
            socketio_server.send(client.session_id, "to you")
            socketio_server.broadcast_channel("to the room", "room-1")
            socketio_server.emit("to the others", skip=[client.session_id])

            client.assert_received("to you")
            other.assert_received("to the room", ("to the others",))

    def test_when_they_have_gone_nobody_is_there(self, registry: Registry) -> None:
        with SocketIOClient(registry=registry):
            socketio_server.broadcast("hello?")
        with pytest.raises(NoSocket):
            socketio_server.broadcast("hello?")

    def test_the_events_of_each_are_handled_one_after_another(self, registry: Registry) -> None:
        log: list[str] = []

        @registry.on("begin")
        def begin(request: Any, socket: Any, context: Any) -> None:
            log.append("begin")
            socketio_server.emit("begun")
            socket.emit("confirm", callback=lambda: log.append("confirmed"))
            log.append("begun")

        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            log.append(message)

        with SocketIOClient(registry=registry) as client:
            client.on("confirm", lambda: client.send("sent before the answer"))
            client.emit("begin")

        assert log == ["begin", "begun", "sent before the answer", "confirmed"]


def count_events(call_next: CallNext) -> CallNext:
    """Middleware that has a state, and answers with it."""
    count = 0

    def middleware(call: EventCall) -> Any:
        nonlocal count
        count += 1
        return (call_next(call), count)

    return middleware


class TestMiddlewareAroundEvents:
    def test_it_is_the_settings_and_the_same_for_all_clients(
        self, registry: Registry, settings: Settings
    ) -> None:
        @registry.on("name")
        def name(request: Any, socket: Any, context: Any) -> str:
            return "a name"

        settings.SOCKETIO_MIDDLEWARE = [f"{__name__}.count_events"]
        with SocketIOClient(registry=registry) as a, SocketIOClient(registry=registry) as b:
            assert a.call("name") == ("a name", 3)  # the first two were their connections
            assert b.call("name") == ("a name", 4)


class TestNothingIsLeftBehind:
    """A test that forgets its client does not disturb the next one."""

    def test_a_client_that_was_forgotten_is_gone(self, registry: Registry, log: list[str]) -> None:
        forgotten = SocketIOClient(registry=registry)
        forgotten.connect()
        forgotten.subscribe("room-1")
        socket = CLIENTS[forgotten.session_id][1]
        with pytest.warns(ResourceWarning, match="never disconnected"):
            del forgotten

        assert not socket.connected()
        assert len(CLIENTS) == 0
        assert dict(CHANNELS) == {}
        assert log == ["connect", "subscribe room-1"]  # its handlers would run in another test
        assert clock.now == 0

    def test_one_that_a_failed_test_keeps_alive_goes_when_the_next_connects(
        self, registry: Registry, log: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forgotten = SocketIOClient(registry=registry)
        forgotten.connect()
        monkeypatch.setenv("PYTEST_CURRENT_TEST", "the next test (setup)")
        with SocketIOClient(registry=registry) as of_a_fixture:
            assert list(CLIENTS) == [of_a_fixture.session_id]
            monkeypatch.setenv("PYTEST_CURRENT_TEST", "the next test (call)")
            with SocketIOClient(registry=registry) as client:
                assert list(CLIENTS) == [of_a_fixture.session_id, client.session_id]

        assert not forgotten.connected
        assert log.count("connect") == 3
        assert log.count("finish") == 2  # its handlers would run in another test

    def test_one_that_the_server_disconnected_need_not_be(self, registry: Registry) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            socket.disconnect()

        client = SocketIOClient(registry=registry)
        client.connect()
        client.send("hi")
        del client  # a warning would fail this test

        assert len(CLIENTS) == 0

    def test_the_server_waits_in_real_time_again(self, registry: Registry) -> None:
        usual = CLIENTS.timekeeper
        with SocketIOClient(registry=registry), SocketIOClient(registry=registry):
            assert CLIENTS.timekeeper is not usual
        assert CLIENTS.timekeeper is usual

    def test_the_view_serves_nobody_beside_it(self, registry: Registry) -> None:
        with SocketIOClient(registry=registry):
            response = Client().get("/socket.io/", {"EIO": "4", "transport": "polling"})
        assert response.status_code == 503


class TestTheProjectsHandlers:
    def test_are_the_ones_that_run_unless_others_are_given(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events.on_message, "registrations", [])

        @events.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> str:
            return "the project's"

        with SocketIOClient() as client:
            assert client.call("message") == "the project's"
