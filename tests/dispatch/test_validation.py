"""Arguments that are converted to what handlers declare."""

from dataclasses import dataclass

import pytest

from socketio_server.events import ValidationError
from socketio_server.sockets.socket import Socket
from tests.dispatch.journal import Context, Journal
from tests.fakes.server import FakeClient


@dataclass
class Point:
    """What a typed handler wants."""

    x: int
    y: int


class TestTypedMessages:
    @pytest.fixture
    def client(self, server: Journal) -> FakeClient:
        """A client of a server whose handlers want points."""

        @server.registry.on_message
        def message(request: object, socket: Socket, context: Context, message: Point) -> None:
            server.entries.append(message)

        @server.registry.on("line")
        def line(request: object, socket: Socket, context: Context, a: Point, b: Point) -> None:
            server.entries.append((a, b))

        server.note("on_error")
        return server.connect()

    def test_what_fits_is_converted(self, server: Journal, client: FakeClient) -> None:
        client.emit("message", {"x": 1, "y": 2})
        client.emit("line", {"x": 1, "y": 2}, {"x": 3, "y": 4})

        assert server.entries == [Point(1, 2), (Point(1, 2), Point(3, 4))]

    @pytest.mark.parametrize("message", [None, "text", {}, {"x": 1, "y": "2"}, [1, 2]])
    def test_what_does_not_goes_to_on_error_and_to_the_acknowledgement(
        self, server: Journal, client: FakeClient, message: object
    ) -> None:
        client.emit("message", message, ack_id=1)

        assert server.errors == [ValidationError]
        assert len(server.entries) == 1
        (answer,) = client.received()
        assert answer.startswith('31[{"error":"')
        (refusal,) = client.refusals
        assert refusal.startswith(
            f"message: invalid message to on_message from socket {client.id}: 'Expected `"
        ) or refusal.endswith("missing required field `x`'")
        assert client.socket.connected()

    def test_what_does_not_fit_one_handler_leaves_the_answer_of_another(
        self, server: Journal, client: FakeClient
    ) -> None:
        server.registry.on("ask")(lambda *args: "an answer")

        @server.registry.on("ask")
        def ask(request: object, socket: Socket, context: Context, message: Point) -> None: ...

        client.emit("ask", "no point", ack_id=1)

        assert server.errors == [ValidationError]
        assert client.received() == ['31["an answer"]']
