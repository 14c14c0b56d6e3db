"""Callbacks, which are called with what a client acknowledges."""

from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event

from socketio_server.events import EVERYONE
from socketio_server.serving.timekeeper import GeventTimekeeper
from socketio_server.sockets.acknowledgements import ack_ids
from socketio_server.sockets.socket import Socket
from tests.fakes.hub import settle
from tests.fakes.server import FakeClient, FakeServer
from tests.sockets.steps import ack_id_of


class TestCallbacks:
    def test_one_is_called_with_what_the_client_acknowledges(self, client: FakeClient) -> None:
        answers: list[tuple[object, ...]] = []
        client.socket.emit("question", 1, callback=lambda *values: answers.append(values))
        (packet,) = client.received()
        ack_id = ack_id_of(packet, "question")
        assert answers == []

        client.send(f'3{ack_id}["yes",2]')
        assert answers == [("yes", 2)]

    def test_it_is_called_once(self, client: FakeClient) -> None:
        answers: list[object] = []
        client.socket.emit("question", callback=answers.append)
        ack_id = ack_id_of(client.received()[0], "question")
        client.send(f"3{ack_id}[1]", f"3{ack_id}[2]")

        assert answers == [1]
        assert client.closed == []

    def test_an_acknowledgement_that_nobody_asked_for_is_ignored(self, client: FakeClient) -> None:
        client.send("3987654321[1]")

        assert client.closed == []

    def test_another_client_can_not_answer_instead(self, server: FakeServer) -> None:
        asked, other = server.connect(), server.connect()
        answers: list[object] = []
        asked.socket.emit("question", callback=answers.append)
        ack_id = ack_id_of(asked.received()[0], "question")
        other.send(f'3{ack_id}["forged"]')

        assert answers == []

    def test_a_client_that_does_not_know_yet_that_it_is_connected_can_not_answer(
        self, server: FakeServer
    ) -> None:
        """It has been asked nothing, and guesses."""
        go_on = Event()
        answers: list[object] = []

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: object) -> None:
            socket.emit("question", callback=answers.append)
            go_on.wait()

        client = server.open()
        client.send("0")
        ack_id = next(ack_ids) - 1
        client.send(f'3{ack_id}["a guess"]')
        go_on.set()
        settle()
        assert ack_id_of(client.received()[-1], "question") == ack_id
        client.send(f'3{ack_id}["answer"]')

        assert answers == ["answer"]

    def test_after_the_timeout_it_is_not_called(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        give_up: list[Callable[[], None]] = []

        class ByHand(GeventTimekeeper):
            def call_later(self, seconds: float, func: Callable[[], None]) -> Callable[[], None]:
                give_up.append(func)
                return lambda: None

        server.clients.timekeeper = ByHand(60.0, bool)
        answers: list[object] = []
        client.socket.emit("question", callback=answers.append, timeout=60.0)
        give_up[0]()
        ack_id = ack_id_of(client.received()[0], "question")
        client.send(f"3{ack_id}[1]")

        assert answers == []
        assert client.closed == []

    def test_in_time_it_is(self, client: FakeClient) -> None:
        answers: list[object] = []
        client.socket.emit("question", callback=answers.append, timeout=60.0)
        ack_id = ack_id_of(client.received()[0], "question")
        client.send(f"3{ack_id}[1]")

        assert answers == [1]

    def test_where_the_client_goes_it_is_not_called(self, client: FakeClient) -> None:
        answers: list[object] = []
        client.socket.emit("question", callback=answers.append)
        client.leave()

        assert answers == []

    def test_the_oldest_is_forgotten_where_a_client_owes_too_many(
        self, client: FakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("socketio_server.sockets.acknowledgements.MAX_PENDING", 3)
        answers: list[object] = []
        for _ in range(4):
            client.socket.emit("question", callback=answers.append)
        first, *others = (ack_id_of(packet, "question") for packet in client.received())
        client.send(f'3{first}["too late"]')
        assert answers == []
        for number, ack_id in enumerate(others):
            client.send(f"3{ack_id}[{number}]")

        assert answers == [0, 1, 2]

    def test_it_is_for_one_client_only(self, client: FakeClient) -> None:
        with pytest.raises(ValueError, match="callback"):
            client.socket.emit("question", to=EVERYONE, callback=print)

    def test_it_runs_in_the_socket_s_order_of_events(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        order: list[str] = []

        @server.registry.on_message
        def message(request: object, socket: Socket, context: object, message: str) -> None:
            gevent.sleep(0)
            order.append(message)

        client.socket.emit("question", callback=order.append)
        ack_id = ack_id_of(client.received()[0], "question")
        client.send('2["message","before"]', f'3{ack_id}["answer"]', '2["message","after"]')

        assert order == ["before", "answer", "after"]

    def test_one_that_raises_ends_nothing(self, server: FakeServer, client: FakeClient) -> None:
        errors: list[Exception] = []

        @server.registry.on_error
        def error(request: object, socket: object, context: object, error: Exception) -> None:
            errors.append(error)

        def callback(value: object) -> None:
            raise LookupError

        client.socket.emit("question", callback=callback)
        ack_id = ack_id_of(client.received()[0], "question")
        client.send(f"3{ack_id}[1]")

        assert [type(e) for e in errors] == [LookupError]
        assert client.socket.connected()
