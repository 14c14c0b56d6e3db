"""Handlers that raise, in the eyes of a test."""

import logging
from typing import Any

import pytest
from pytest_django import Settings

from socketio_server.clients import CLIENTS
from socketio_server.dispatch.middleware import CallNext, EventCall
from socketio_server.events import Registry
from socketio_server.testing import ConnectionRefused, SocketIOClient


def interrupt_messages(call_next: CallNext) -> CallNext:
    """Middleware that does not get far."""

    def middleware(call: EventCall) -> Any:
        if call.event == "on_message":
            raise KeyboardInterrupt
        return call_next(call)

    return middleware


class TestHandlersThatRaise:
    @pytest.fixture
    def seen(self, registry: Registry) -> list[str]:
        """What happens besides."""
        seen: list[str] = []

        @registry.on("fail")
        def fail(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        @registry.on("fail")
        def follow(request: Any, socket: Any, context: Any) -> None:
            seen.append("the next handler")

        @registry.on_error
        def error(request: Any, socket: Any, context: Any, exception: Exception) -> None:
            seen.append(f"on_error: {exception}")

        return seen

    def test_raise_in_the_test_too(self, seen: list[str], client: SocketIOClient) -> None:
        with pytest.raises(ValueError, match="oops") as raised:
            client.emit("fail")

        assert raised.traceback[-1].name == "fail"

    def test_let_all_else_happen_as_it_does_on_a_server(
        self, seen: list[str], client: SocketIOClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        with (
            caplog.at_level(logging.ERROR, "socketio_server"),
            pytest.raises(ValueError, match="oops"),
        ):
            client.emit("fail")

        assert seen == ["on_error: oops", "the next handler"]
        assert client.connected
        assert "Handler of fail raised" in caplog.text

    def test_do_not_raise_in_the_test_if_the_client_is_told_so(
        self, registry: Registry, seen: list[str]
    ) -> None:
        with SocketIOClient(registry=registry, raise_handler_errors=False) as client:
            client.emit("fail")
            assert client.connected

        assert seen == ["on_error: oops", "the next handler"]

    def test_the_first_of_several_is_raised(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_message
        def one(request: Any, socket: Any, context: Any, message: Any) -> None:
            raise ValueError("one")

        @registry.on_message
        def two(request: Any, socket: Any, context: Any, message: Any) -> None:
            raise ValueError("two")

        with pytest.raises(ValueError, match="one"):
            client.send("hi")
        assert client.connected  # and nothing is left over

    def test_what_on_connect_raises_ends_the_connection(
        self, registry: Registry, log: list[str]
    ) -> None:
        @registry.on_connect
        def fail(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        client = SocketIOClient(registry=registry)
        with pytest.raises(ValueError, match="oops"):
            client.connect()

        assert not client.connected
        assert log == ["connect"]  # it is refused

    def test_of_on_connect_end_the_connection_where_the_client_is_told_so(
        self, registry: Registry
    ) -> None:
        @registry.on_connect
        def fail(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        with pytest.raises(ConnectionRefused, match="Internal error"):
            SocketIOClient(registry=registry, raise_handler_errors=False).connect()

    def test_what_is_raised_outside_of_a_call_is_raised_by_the_next(
        self, registry: Registry
    ) -> None:
        @registry.on_disconnect
        def disconnect(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        client = SocketIOClient(registry=registry)
        client.connect()
        CLIENTS[client.session_id][1].disconnect()
        assert not client.connected

        with pytest.raises(ValueError, match="oops"):
            client.disconnect()

    @pytest.mark.parametrize("where", ["on_connect", "on_message"])
    def test_what_is_no_exception_goes_straight_to_the_test(
        self, registry: Registry, where: str
    ) -> None:
        @getattr(registry, where)  # type: ignore[untyped-decorator]
        def interrupt(*args: Any) -> None:
            raise KeyboardInterrupt

        client = SocketIOClient(registry=registry)
        with pytest.raises(KeyboardInterrupt), client:
            client.send("hi")

        assert not client.connected
        assert len(CLIENTS) == 0

    def test_what_middleware_raises_that_is_no_exception_does_too(
        self, registry: Registry, settings: Settings
    ) -> None:
        settings.SOCKETIO_MIDDLEWARE = [f"{__name__}.interrupt_messages"]
        client = SocketIOClient(registry=registry)
        with pytest.raises(KeyboardInterrupt), client:
            client.send("hi")

        assert not client.connected
