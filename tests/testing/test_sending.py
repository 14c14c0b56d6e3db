"""What a test client sends, and how the server acknowledges it."""

import datetime
from dataclasses import dataclass
from typing import Any

import pytest

from socketio_server.clients import CLIENTS
from socketio_server.events import Registry, ValidationError
from socketio_server.testing import SocketIOClient


class TestSending:
    def test_a_message_runs_on_message(self, registry: Registry, client: SocketIOClient) -> None:
        messages = []

        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            messages.append(message)

        client.send({"text": "hello"})
        assert messages == [{"text": "hello"}]

    def test_an_event_runs_its_handlers(self, registry: Registry, client: SocketIOClient) -> None:
        moves = []

        @registry.on("move")
        def move(request: Any, socket: Any, context: Any, x: int, y: int) -> None:
            moves.append((x, y))

        client.emit("move", 3, 4)
        assert moves == [(3, 4)]

    def test_what_handlers_send_has_arrived_when_the_call_returns(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            socket.send(message * 2)

        client.send("ha")
        client.assert_received("haha")

    def test_values_travel_as_json(self, registry: Registry, client: SocketIOClient) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            context["message"] = message
            socket.send({"on": datetime.date(2026, 1, 31), "pair": (1, 2)})

        client.send((1, {2: None}))

        _request, _socket, context = CLIENTS[client.session_id]
        assert context["message"] == [1, {"2": None}]
        client.assert_received({"on": "2026-01-31", "pair": [1, 2]})

    def test_bytes_travel_both_ways(self, registry: Registry, client: SocketIOClient) -> None:
        @registry.on("reverse")
        def reverse(request: Any, socket: Any, context: Any, data: dict[str, bytes]) -> bytes:
            socket.emit("got", data["a"], data["b"])
            return data["a"][::-1]

        answer = client.call("reverse", {"a": b"\x00\x1e\xff", "b": b""})

        assert answer == b"\xff\x1e\x00"
        client.assert_received(("got", b"\x00\x1e\xff", b""))

    def test_what_handlers_can_not_send_is_a_type_error(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            socket.send(object())

        with pytest.raises(TypeError, match="object"):
            client.send("hi")
        client.assert_received_nothing()

    @pytest.mark.parametrize("name", ["connect", "disconnect"])
    def test_reserved_names_are_refused(self, client: SocketIOClient, name: str) -> None:
        with pytest.raises(ValueError, match="reserved"):
            client.emit(name)
        with pytest.raises(ValueError, match="reserved"):
            client.call(name)

    def test_who_is_not_connected_can_not_send(self, registry: Registry) -> None:
        client = SocketIOClient(registry=registry)
        with pytest.raises(RuntimeError, match=r"connect\(\) first"):
            client.send("hi")
        with client:
            pass
        with pytest.raises(RuntimeError, match="client namespace disconnect"):
            client.send("hi")


class TestCalling:
    def test_it_returns_what_the_handler_returned(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("add")
        def add(request: Any, socket: Any, context: Any, a: int, b: int) -> int:
            return a + b

        assert client.call("add", 1, 2) == 3

    def test_a_tuple_where_there_are_several_values(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("divide")
        def divide(request: Any, socket: Any, context: Any, a: int, b: int) -> tuple[int, int]:
            return divmod(a, b)

        assert client.call("divide", 7, 2) == (3, 1)

    def test_none_where_the_acknowledgement_is_empty(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("note")
        def note(request: Any, socket: Any, context: Any) -> None:
            pass

        assert client.call("note") is None

    def test_messages_are_acknowledged_too(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: str) -> str:
            return message.upper()

        assert client.call("message", "hi") == "HI"

    def test_an_event_without_handlers_is_not_acknowledged(self, client: SocketIOClient) -> None:
        with pytest.raises(TimeoutError, match="'nothing': no handler is registered for it"):
            client.call("nothing")

    def test_an_event_whose_handler_raised_is_not_acknowledged(self, registry: Registry) -> None:
        @registry.on("fail")
        def fail(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("oops")

        with (
            SocketIOClient(registry=registry, raise_handler_errors=False) as client,
            pytest.raises(TimeoutError, match="or one raised"),
        ):
            client.call("fail")

    def test_an_event_whose_handler_ended_the_connection_is_not_acknowledged(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("quit")
        def leave(request: Any, socket: Any, context: Any) -> str:
            socket.disconnect()
            return "bye"

        with pytest.raises(TimeoutError, match="the connection ended"):
            client.call("quit")


@dataclass
class Move:
    x: int
    y: int


class TestTypedMessages:
    @pytest.fixture(autouse=True)
    def moves(self, registry: Registry) -> list[Move]:
        moves: list[Move] = []

        @registry.on("move")
        def move(request: Any, socket: Any, context: Any, move: Move) -> str:
            moves.append(move)
            return "moved"

        return moves

    def test_handlers_get_them_converted(self, client: SocketIOClient, moves: list[Move]) -> None:
        assert client.call("move", {"x": 1, "y": 2}) == "moved"
        assert moves == [Move(1, 2)]

    def test_one_that_does_not_fit_is_acknowledged_with_an_error(
        self, client: SocketIOClient, moves: list[Move]
    ) -> None:
        answer = client.call("move", {"x": 1})

        assert "missing required field `y`" in answer["error"]
        assert moves == []

    def test_one_that_does_not_fit_is_raised_where_nothing_is_acknowledged(
        self, client: SocketIOClient
    ) -> None:
        with pytest.raises(ValidationError, match="missing required field `y`"):
            client.emit("move", {"x": 1})
