"""Time, which passes for test clients when a test says so."""

from typing import Any

import pytest
from pytest_django import Settings

import socketio_server
from socketio_server.clients import CLIENTS
from socketio_server.events import Registry
from socketio_server.testing import SocketIOClient, clock


class TestTheClock:
    def test_a_handler_that_waits_in_vain_times_out_at_once(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("ask")
        def ask(request: Any, socket: Any, context: Any) -> str:
            try:
                socket.call("question", timeout=3600)
            except TimeoutError as error:
                return str(error)
            return "answered"

        assert client.call("ask") == "the client did not acknowledge 'question'"
        assert client.clock.now == 3600
        client.assert_received(("question",))

    def test_one_that_would_wait_for_ever_is_an_error(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("ask")
        def ask(request: Any, socket: Any, context: Any) -> None:
            socket.call("question")

        with pytest.raises(RuntimeError, match="waits for ever for an acknowledgement"):
            client.emit("ask")

    def test_one_that_waits_for_a_client_that_is_gone_is_told_so(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        with SocketIOClient(registry=registry) as gone:

            @registry.on("ask")
            def ask(request: Any, socket: Any, context: Any) -> str:
                _request, other, _context = CLIENTS[gone.session_id]
                try:
                    other.call("question")
                except TimeoutError:
                    return "gone"
                return "answered"

            gone.go_silent()
            assert client.call("ask") == "gone"
            assert gone.close_reason == "ping timeout"

    def test_an_answer_in_time_calls_the_callback(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        answers: list[Any] = []

        @registry.on("ask")
        def ask(request: Any, socket: Any, context: Any) -> None:
            socket.emit("question", callback=answers.append, timeout=10)

        client.emit("ask")
        client.clock.advance(9)
        client.acknowledge("question", "in time")
        assert answers == ["in time"]

        client.emit("ask")
        client.clock.advance(10)
        client.acknowledge("question", "too late")
        assert answers == ["in time"]

    def test_a_client_that_is_silent_is_given_up(
        self, log: list[str], client: SocketIOClient
    ) -> None:
        client.go_silent()
        client.clock.advance(44)
        assert client.connected

        client.clock.advance(1)
        assert not client.connected
        assert client.close_reason == "ping timeout"
        assert log == ["connect", "disconnect: ping timeout", "finish"]

    def test_the_settings_say_when(self, registry: Registry, settings: Settings) -> None:
        settings.SOCKETIO_PING_INTERVAL = 3
        settings.SOCKETIO_PING_TIMEOUT = 2
        with SocketIOClient(registry=registry) as client:
            client.go_silent()
            client.clock.advance(4)
            assert client.connected
            client.clock.advance(1)
            assert not client.connected

    def test_one_that_is_not_stays_for_as_long_as_it_likes(self, client: SocketIOClient) -> None:
        client.clock.advance(86_400)
        assert client.connected
        client.assert_received_nothing()

    def test_nothing_reaches_or_leaves_one_that_is_silent(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        messages = []

        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            messages.append(message)

        client.go_silent()
        client.send("hello?")
        socketio_server.broadcast("hello?")

        assert messages == []
        client.assert_received_nothing()
        with pytest.raises(TimeoutError):
            client.call("message", "hello?")

    def test_it_is_the_same_for_all_clients(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        with SocketIOClient(registry=registry) as other:
            other.go_silent()
            clock.advance(30)
            assert client.clock.now == other.clock.now == clock.now == 30
            clock.advance(15)

            assert client.connected
            assert not other.connected

    def test_it_does_not_go_back(self, client: SocketIOClient) -> None:
        with pytest.raises(ValueError, match="back"):
            client.clock.advance(-1)

    def test_it_begins_anew_when_all_have_gone(self, registry: Registry) -> None:
        with SocketIOClient(registry=registry) as client:
            client.clock.advance(10)
        with SocketIOClient(registry=registry) as client:
            assert client.clock.now == 0

    def test_it_begins_anew_when_the_server_has_disconnected_all(self, registry: Registry) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            socket.disconnect()

        with SocketIOClient(registry=registry) as client:
            client.clock.advance(10)
            client.send("disconnect me")
            assert clock.now == 0

    def test_what_it_sets_off_may_raise(self, registry: Registry, client: SocketIOClient) -> None:
        @registry.on_disconnect
        def disconnect(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        client.go_silent()
        with pytest.raises(ValueError, match="oops"):
            client.clock.advance(45)
