"""What a test client receives, and how it acknowledges that."""

from typing import Any

import pytest

import socketio_server
from socketio_server import EVERYONE
from socketio_server.clients import CLIENTS
from socketio_server.events import Registry
from socketio_server.testing import SocketIOClient


class TestWhatHasArrived:
    @pytest.fixture(autouse=True)
    def _arrive(self, client: SocketIOClient) -> None:
        socketio_server.broadcast("hello")
        socketio_server.emit("typing", "Ann", True)
        socketio_server.broadcast([1, 2])
        socketio_server.emit("done")

    def test_received_has_names_and_arguments_in_order(self, client: SocketIOClient) -> None:
        everything = [
            ("message", "hello"),
            ("typing", "Ann", True),
            ("message", [1, 2]),
            ("done",),
        ]
        assert client.received == everything
        assert client.received == everything

    def test_messages_has_the_messages_alone(self, client: SocketIOClient) -> None:
        assert client.messages == ["hello", [1, 2]]

    def test_several_arguments_of_a_message_are_a_list(self, client: SocketIOClient) -> None:
        client.get_received()
        socketio_server.emit("message", "a", "b")

        assert client.messages == [["a", "b"]]

    def test_get_received_forgets_what_it_returns(self, client: SocketIOClient) -> None:
        assert [name for name, *_ in client.get_received()] == [
            "message",
            "typing",
            "message",
            "done",
        ]
        assert client.get_received() == client.received == client.messages == []

    def test_assert_received_takes_messages_and_events_and_forgets_them(
        self, client: SocketIOClient
    ) -> None:
        client.assert_received("hello", ("typing", "Ann", True), [1, 2], ("done",))
        client.assert_received_nothing()
        client.assert_received()

    def test_assert_received_fails_if_anything_else_has_arrived(
        self, client: SocketIOClient
    ) -> None:
        expected = ["hello", ("typing", "Ann", True), [1, 2], ("done",)]
        for wrong in (expected[:-1], expected[::-1], [*expected, "more"], []):
            with pytest.raises(AssertionError):
                client.assert_received(*wrong)
        client.assert_received(*expected)

    def test_the_failure_of_assert_received_shows_both(self, client: SocketIOClient) -> None:
        client.get_received()
        socketio_server.emit("typing", "Ann")
        with pytest.raises(AssertionError) as failure:
            client.assert_received("hello", "you")

        assert str(failure.value).splitlines() == [
            "Expected events:",
            "  ('message', 'hello')",
            "  ('message', 'you')",
            "Received events:",
            "  ('typing', 'Ann')",
        ]

    def test_assert_received_nothing_fails_if_anything_has(self, client: SocketIOClient) -> None:
        with pytest.raises(AssertionError, match=r"Expected events:\n  nothing\n"):
            client.assert_received_nothing()

    def test_it_stays_after_the_end(self, client: SocketIOClient) -> None:
        client.disconnect()
        assert client.messages == ["hello", [1, 2]]


class TestAcknowledging:
    """What the server asks its clients to acknowledge."""

    @pytest.fixture(autouse=True)
    def answers(self, registry: Registry) -> list[Any]:
        """What handlers were answered."""
        answers: list[Any] = []

        @registry.on("call")
        def call(request: Any, socket: Any, context: Any, *args: Any) -> None:
            answers.append(socket.call("question", *args, timeout=5))

        @registry.on("call back")
        def call_back(request: Any, socket: Any, context: Any, *args: Any) -> None:
            socket.emit("question", *args, callback=lambda *values: answers.append(values))
            answers.append("asked")

        return answers

    @pytest.mark.parametrize(
        ("answer", "value"),
        [
            ("yes", "yes"),
            ([1, 2], [1, 2]),
            (("yes", 3), ("yes", 3)),
            (None, None),
            (lambda: b"bytes", b"bytes"),
            (lambda: ("yes", 3), ("yes", 3)),
        ],
        ids=lambda value: "a function" if callable(value) else repr(value),
    )
    def test_on_answers_for_the_client(
        self, client: SocketIOClient, answers: list[Any], answer: Any, value: Any
    ) -> None:
        client.on("question", answer)
        client.emit("call")

        assert answers == [value]
        client.assert_received(("question",))

    def test_a_function_gets_the_events_arguments(
        self, client: SocketIOClient, answers: list[Any]
    ) -> None:
        client.on("question", lambda a, b: a + b)
        client.emit("call", 1, 2)

        assert answers == [3]

    def test_a_callback_runs_after_the_handler(
        self, client: SocketIOClient, answers: list[Any]
    ) -> None:
        client.on("question", ("yes", 3))
        client.emit("call back")

        assert answers == ["asked", ("yes", 3)]

    def test_a_callback_may_be_answered_later(
        self, client: SocketIOClient, answers: list[Any]
    ) -> None:
        client.emit("call back", 1)
        client.emit("call back", 2)
        client.assert_received(("question", 1), ("question", 2))
        assert answers == ["asked", "asked"]

        client.acknowledge("question", "first")
        client.acknowledge("question", "second", b"bytes")
        assert answers[2:] == [("first",), ("second", b"bytes")]

    def test_what_nobody_asked_for_can_not_be_acknowledged(self, client: SocketIOClient) -> None:
        socketio_server.emit("question")
        with pytest.raises(LookupError, match="no 'question' waits"):
            client.acknowledge("question")

    def test_what_the_answer_raises_is_raised_in_the_test(self, client: SocketIOClient) -> None:
        def answer() -> None:
            raise ValueError("a wrong question")

        client.on("question", answer)
        with pytest.raises(ValueError, match="a wrong question"):
            client.emit("call back")

    def test_an_answer_that_can_not_be_sent_is_raised_in_the_test(
        self, client: SocketIOClient
    ) -> None:
        client.on("question", object())
        with pytest.raises(TypeError, match="object"):
            client.emit("call back")

    def test_what_a_callback_raises_is_raised_in_the_test(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        def callback(value: Any) -> None:
            raise ValueError(f"a wrong answer: {value}")

        @registry.on("ask")
        def ask(request: Any, socket: Any, context: Any) -> None:
            socket.emit("question", callback=callback)

        client.emit("ask")
        with pytest.raises(ValueError, match="a wrong answer: 42"):
            client.acknowledge("question", 42)

    def test_callbacks_from_outside_of_handlers_run_too(
        self, client: SocketIOClient, answers: list[Any]
    ) -> None:
        client.on("question", "yes")
        _request, socket, _context = CLIENTS[client.session_id]
        socket.emit("question", callback=answers.append)

        client.assert_received(("question",))
        assert answers == ["yes"]

    def test_a_broadcast_collects_all_answers(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        with SocketIOClient(registry=registry) as other, SocketIOClient(registry=registry) as mute:
            client.on("question", 1)
            other.on("question", 2)
            answers = socketio_server.call("question", timeout=5)

            assert answers.values == {client.session_id: 1, other.session_id: 2}
            assert answers.missing == (mute.session_id,)

    def test_a_broadcast_from_a_handler_collects_all_answers(
        self, registry: Registry, client: SocketIOClient, answers: list[Any]
    ) -> None:
        @registry.on("poll")
        def poll(request: Any, socket: Any, context: Any) -> None:
            answers.append(socket.call("question", to=EVERYONE, timeout=5).values)

        with SocketIOClient(registry=registry) as other:
            client.on("question", 1)
            other.on("question", 2)
            client.emit("poll")

            assert answers == [{client.session_id: 1, other.session_id: 2}]

    def test_a_client_may_act_while_a_handler_waits_for_it(
        self, registry: Registry, client: SocketIOClient, answers: list[Any]
    ) -> None:
        """Other sockets' events are handled meanwhile; its own wait their turn."""

        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: str) -> None:
            answers.append(message)

        with SocketIOClient(registry=registry) as other:

            def answer() -> str:
                client.send("from the one who is asked")
                other.send("from another")
                return "yes"

            client.on("question", answer)
            client.emit("call")

        assert answers == ["from another", "yes", "from the one who is asked"]

    def test_what_a_client_sends_is_not_acknowledged_before_its_turn(
        self, client: SocketIOClient
    ) -> None:
        client.on("question", lambda: client.call("message"))
        with pytest.raises(TimeoutError, match="other handlers are still running"):
            client.emit("call")
