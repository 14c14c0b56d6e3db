"""Acknowledgements that a caller waits for: who pays for them, and how they are decoded."""

from typing import Any

import gevent
import pytest
from gevent.event import Event

from socketio_server.dispatch.decoded_memory import SMALL
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.socket import Socket
from tests.dispatch.router.steps import settle_all
from tests.fakes.hub import PATIENCE, settle, wait_for
from tests.fakes.server import FakeClient, FakeServer
from tests.sockets.steps import ack_id_of

ARRAYS = 30_000
"""Empty arrays in a large answer, which take about two megabytes once they are decoded."""

ANSWER = "[[" + ",".join(["[]"] * ARRAYS) + "]]"


def make_server(**options: Any) -> FakeServer:
    """A server whose handler of messages asks its client two questions, and keeps the answers."""
    server = FakeServer(Options(**options))

    @server.registry.on_message
    def handle(request: object, socket: Socket, context: Any, message: str) -> None:
        context["first"] = socket.call("first", timeout=PATIENCE)
        context["second"] = socket.call("second", timeout=PATIENCE)

    return server


def ask_all(*clients: FakeClient) -> "gevent.Greenlet[..., Any]":
    """Ask these clients at once, in a greenlet of the caller's own."""
    caller = clients[0].socket
    call = gevent.spawn(caller.call, "question", to="asked", timeout=PATIENCE)
    settle()
    return call


def answer(client: FakeClient, event: str = "question", values: str = ANSWER) -> None:
    """Answer the question that came last."""
    ack_id = ack_id_of(client.received()[-1], event)
    client.send(f"3{ack_id}{values}")


def crowd(server: FakeServer, count: int) -> list[FakeClient]:
    """Clients that a call asks."""
    return [server.connect(channels=["asked"]) for _ in range(count)]


class TestAnAnswerThatWaits:
    """For those of other clients, or for its caller."""

    def test_is_charged_to_its_client_until_it_is_read(self) -> None:
        server = make_server()
        first, second = crowd(server, 2)
        call = ask_all(first, second)
        answer(first)
        assert server.dispatcher.total.bytes > len(ANSWER)
        assert first.router.other_bytes > len(ANSWER)

        answer(second, values="[1]")
        answers = call.get(timeout=PATIENCE)
        assert len(answers.values[first.id]) == ARRAYS
        assert answers.values[second.id] == 1
        assert server.dispatcher.total.bytes == first.router.other_bytes == 0

    def test_is_not_if_it_is_small(self) -> None:
        server = make_server()
        first, second = crowd(server, 2)
        call = ask_all(first, second)
        answer(first, values='["' + "x" * (SMALL - 100) + '"]')
        assert first.router.other_bytes == 0
        call.kill()

    def test_is_dropped_with_its_client_where_all_clients_hold_too_much(self) -> None:
        server = make_server(max_pending_total=150_000)
        clients = crowd(server, 3)
        call = ask_all(*clients)
        answer(clients[0])
        answer(clients[1])
        assert len([client for client in clients if client.closed]) == 1
        assert server.dispatcher.total.bytes < 100_000

        answer(clients[2], values="[2]")
        answers = call.get(timeout=PATIENCE)
        assert len(answers.values) == 2
        assert len(answers.missing) == 1
        assert server.dispatcher.total.bytes == 0

    def test_may_be_dropped_as_well_when_its_client_has_gone(self) -> None:
        server = make_server(max_pending_total=100_000)
        gone, other = crowd(server, 2)
        call = ask_all(gone, other)
        gone_id = gone.id
        answer(gone)
        gone.leave()
        assert server.dispatcher.total.bytes > len(ANSWER)
        answer(other, values='["' + "x" * 20_000 + '"]')

        answers = call.get(timeout=PATIENCE)
        assert (list(answers.values), answers.missing) == ([other.id], (gone_id,))
        assert server.dispatcher.total.bytes == 0

    def test_is_read_although_its_client_has_gone(self) -> None:
        server = make_server()
        gone, other = crowd(server, 2)
        call = ask_all(gone, other)
        gone_id = gone.id
        answer(gone)
        gone.leave()
        other.leave()

        assert len(call.get(timeout=PATIENCE).values[gone_id]) == ARRAYS
        assert server.dispatcher.total.bytes == 0

    def test_is_dropped_where_its_caller_is_killed(self) -> None:
        server = make_server()
        first, second = crowd(server, 2)
        call = ask_all(first, second)
        answer(first)
        call.kill()
        settle()

        assert server.dispatcher.total.bytes == first.router.other_bytes == 0

    @pytest.mark.parametrize("when", ["again", "too late", "never asked"])
    def test_is_not_kept_if_nobody_waits_for_it(self, when: str) -> None:
        server = make_server()
        client = server.connect(channels=["asked"])
        call = ask_all(client)
        ack_id = ack_id_of(client.received()[-1], "question")
        if when == "again":
            client.send(f"3{ack_id}[1]")
        elif when == "too late":
            call.kill()
            settle()
        elif when == "never asked":
            ack_id += 1
        client.send(f"3{ack_id}{ANSWER}")
        call.kill()
        settle()

        assert server.dispatcher.total.bytes == client.router.other_bytes == 0

    def test_ends_the_session_if_it_is_malformed(self) -> None:
        server = make_server()
        client = server.connect(channels=["asked"])
        call = ask_all(client)
        client_id = client.id
        answer(client, values=ANSWER[:-1])
        settle_all(server)

        assert call.get(timeout=PATIENCE).missing == (client_id,)
        assert client.closed == [CloseReason.PARSE_ERROR]
        assert server.dispatcher.total.bytes == server.dispatcher.decoded_memory.taken == 0

    def test_may_have_attachments(self) -> None:
        server = make_server()
        client = server.connect(channels=["asked"])
        call = ask_all(client)
        client_id = client.id
        ack_id = ack_id_of(client.received()[-1], "question")
        place = '{"_placeholder":true,"num":0}'
        client.send(f"61-{ack_id}[{ANSWER},{place}]", b"x" * 60_000)

        arrays, data = call.get(timeout=PATIENCE).values[client_id]
        assert (len(arrays[0]), len(data)) == (ARRAYS, 60_000)
        assert server.dispatcher.total.bytes == server.dispatcher.decoded_memory.taken == 0


class TestRoomForAnAnswer:
    """It is needed for what a large one takes once it is decoded."""

    def test_is_taken_until_the_handler_has_ended(self) -> None:
        server = make_server()
        client = server.connect()
        socket = client.socket
        client.emit("message", "go")
        answer(client, "first")
        wait_for(lambda: "first" in socket.context)
        assert server.dispatcher.decoded_memory.taken > ARRAYS * 50

        answer(client, "second", "[2]")
        assert socket.context["second"] == 2
        assert server.dispatcher.decoded_memory.taken == 0

    def test_is_given_back_where_the_handler_takes_room_for_another(self) -> None:
        """A handler that asks a thousand clients, one by one, keeps no thousand answers."""
        server = make_server()
        gate = Event()

        @server.registry.on("ask")
        def ask(request: object, socket: Socket, context: Any) -> None:
            for event in ("first", "second"):
                context[event] = len(socket.call(event, timeout=PATIENCE))
            gate.wait()

        client = server.connect()
        context = client.socket.context
        client.emit("ask")
        answer(client, "first")
        wait_for(lambda: "first" in context)
        taken = server.dispatcher.decoded_memory.taken
        answer(client, "second")
        wait_for(lambda: "second" in context)
        assert server.dispatcher.decoded_memory.taken == taken

        gate.set()
        settle()
        assert server.dispatcher.decoded_memory.taken == 0

    def test_is_given_back_at_once_by_callers_that_are_no_handlers(self) -> None:
        server = make_server()
        client = server.connect(channels=["asked"])
        call = ask_all(client)
        answer(client)

        assert len(call.get(timeout=PATIENCE).values) == 1
        assert server.dispatcher.decoded_memory.taken == 0

    def test_is_waited_for(self) -> None:
        server = make_server(max_decoded_total=2_000_000)
        keeper, other = server.connect(), server.connect()
        contexts = keeper.socket.context, other.socket.context
        for client in (keeper, other):
            client.emit("message", "go")
            answer(client, "first")
        wait_for(lambda: "first" in contexts[0])
        settle()
        assert "first" not in contexts[1]

        answer(keeper, "second", "[2]")
        wait_for(lambda: not server.loop.turn() and "first" in contexts[1])
        other.leave()
        settle()
        assert server.dispatcher.decoded_memory.taken == 0

    def test_is_not_waited_for_any_longer_than_a_client_that_takes_nothing(self) -> None:
        """Then the call has no answer, and the client goes whose handlers keep the room."""
        server = make_server(max_decoded_total=2_000_000, stall_timeout=0.01)
        keeper, other = server.connect(), server.connect(channels=["asked"])
        context, other_id = keeper.socket.context, other.id
        keeper.emit("message", "go")
        answer(keeper, "first")
        wait_for(lambda: "first" in context)

        call = ask_all(other)
        answer(other)
        assert call.get(timeout=PATIENCE).missing == (other_id,)
        assert (keeper.closed, other.closed) == ([CloseReason.TRANSPORT_ERROR], [])
        settle()
        assert server.dispatcher.decoded_memory.taken == server.dispatcher.total.bytes == 0

    def test_that_a_caller_itself_has_taken_costs_no_client_its_session(self) -> None:
        server = make_server(max_decoded_total=4_000_000, stall_timeout=0.01)
        clients = crowd(server, 3)
        call = ask_all(*clients)
        for client in clients:
            answer(client)

        answers = call.get(timeout=PATIENCE)
        assert (len(answers.values), len(answers.missing)) == (1, 2)
        assert [client.closed for client in clients] == [[], [], []]
        assert server.dispatcher.decoded_memory.taken == server.dispatcher.total.bytes == 0

    def test_is_given_back_where_a_caller_that_waits_for_it_is_killed(self) -> None:
        server = make_server(max_decoded_total=2_000_000)
        keeper, other = server.connect(), server.connect(channels=["asked"])
        context = keeper.socket.context
        keeper.emit("message", "go")
        answer(keeper, "first")
        wait_for(lambda: "first" in context)

        call = ask_all(other)
        answer(other)
        call.kill()
        keeper.leave()
        settle()
        assert server.dispatcher.decoded_memory.taken == server.dispatcher.total.bytes == 0
