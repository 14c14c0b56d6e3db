"""Acknowledgements of other processes' clients: who pays for them, and how they are decoded."""

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event
from msgspec import Raw

from socketio_server.cluster.broker import Responses
from socketio_server.cluster.memory import MemoryBroker
from socketio_server.dispatch.decoded_memory import SMALL
from socketio_server.options import Options
from socketio_server.protocol.cluster_requests import Response, encode_value
from socketio_server.sockets.operations import Operations
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.targets import EVERYONE, select
from tests.fakes.hub import PATIENCE, settle, wait_for
from tests.fakes.server import FakeServer

ARRAYS = 50_000
ANSWER = encode_value([[] for _ in range(ARRAYS)])
"""A large answer, which takes about four megabytes once it is decoded."""


class FarBroker(MemoryBroker):
    """Reaches another process, whose clients answer when a test says so."""

    reaches_others = True

    def __init__(self, server: FakeServer, *clients: str) -> None:
        super().__init__(server.clients)
        self._clients = list(clients)
        self._calls: list[tuple[Callable[[Response], None], Event]] = []

    def ask(
        self,
        namespace: str,
        question: Any,
        timeout: float,
        acknowledged: Callable[[Response], None] | None = None,
    ) -> Responses:
        assert acknowledged is not None
        done = Event()
        self._calls.append((acknowledged, done))
        done.wait(PATIENCE)
        asked = Response(request_id="r", client_count=1, socket_ids=self._clients)
        return Responses((asked,), 0)

    def answer(self, socket_id: str | None, value: Raw = ANSWER, *, call: int = -1) -> None:
        """Let a client answer a call; ``None``: one of Node's."""
        response = Response(type=9, request_id="r", packet=value)
        if socket_id is not None:
            response.socket_id = socket_id
        self._calls[call][0](response)

    def end(self, call: int = -1) -> None:
        """Let all have answered a call."""
        self._calls[call][1].set()


class Cluster:
    """A server, a broker, and callers that ask clients of another process."""

    def __init__(self, *clients: str, **options: Any) -> None:
        self.server = FakeServer(Options(**options))
        self.far = self.server.clients.broker = FarBroker(self.server, *clients)

    @property
    def held(self) -> int:
        """Bytes that wait, of all clients."""
        return self.server.dispatcher.total.bytes

    @property
    def taken(self) -> int:
        """Room that is taken for what is decoded."""
        return self.server.dispatcher.decoded_memory.taken

    def call(self) -> "gevent.Greenlet[..., Any]":
        """Ask all clients, in a greenlet of the caller's own."""
        envelope = select(EVERYONE).envelope("/", "question", ())
        call = gevent.spawn(Operations(self.server.clients).call, envelope, PATIENCE)
        settle()
        return call


class TestAnAnswerFromAnotherProcess:
    def test_is_charged_to_its_client_until_it_is_read(self) -> None:
        cluster = Cluster("a")
        call = cluster.call()
        cluster.far.answer("a")
        assert cluster.held > ARRAYS
        assert cluster.taken == 0

        cluster.far.end()
        assert len(call.get(timeout=PATIENCE).values["a"]) == ARRAYS
        assert cluster.held == cluster.taken == 0

    def test_is_not_if_it_is_small(self) -> None:
        cluster = Cluster("a")
        call = cluster.call()
        cluster.far.answer("a", encode_value("x" * (SMALL - 100)))
        assert cluster.held == 0
        cluster.far.end()
        assert len(call.get(timeout=PATIENCE).values["a"]) == SMALL - 100

    def test_is_dropped_where_all_hold_too_much_and_its_client_holds_most(self) -> None:
        """Two answers to different calls are of one client."""
        cluster = Cluster("a", "b", max_pending_total=175_000)
        calls = [cluster.call(), cluster.call()]
        cluster.far.answer("a", call=0)
        cluster.far.answer("a", call=1)
        cluster.far.answer("b", encode_value("x" * 90_000), call=1)
        for number in (0, 1):
            cluster.far.end(number)
        first, second = (call.get(timeout=PATIENCE) for call in calls)
        assert (list(first.values), first.missing) == ([], ("a", "b"))
        assert (list(second.values), second.missing) == (["b"], ("a",))
        assert cluster.server.stats.refusals.counts["pending"] == 1
        assert cluster.held == 0

    def test_costs_no_client_of_this_process_its_session(self) -> None:
        cluster = Cluster("a", max_pending_total=ARRAYS)
        local = cluster.server.connect()
        call = cluster.call()
        cluster.far.answer("a")
        assert cluster.held == 0
        assert not local.closed
        call.kill()

    def test_counts_once(self) -> None:
        cluster = Cluster("a")
        call = cluster.call()
        cluster.far.answer("a", encode_value("first"))
        cluster.far.answer("a")
        cluster.far.end()
        assert call.get(timeout=PATIENCE).values == {"a": "first"}
        assert cluster.held == 0

    def test_may_be_of_a_client_whose_name_nobody_tells(self) -> None:
        cluster = Cluster()
        call = cluster.call()
        cluster.far.answer(None)
        cluster.far.answer(None, encode_value(2))
        assert cluster.held > ARRAYS
        cluster.far.end()
        large, small = call.get(timeout=PATIENCE).unnamed
        assert (len(large), small) == (ARRAYS, 2)
        assert cluster.held == cluster.taken == 0

    @pytest.mark.parametrize("packet", [b"\x92\x01", b"\x91" * SMALL + b"\x90"])
    def test_is_missing_if_it_is_malformed(self, packet: bytes) -> None:
        cluster = Cluster("a")
        call = cluster.call()
        cluster.far.answer("a", Raw(packet))
        cluster.far.end()
        assert call.get(timeout=PATIENCE).missing == ("a",)
        assert cluster.server.stats.refusals.counts["cluster"] == 1
        assert cluster.held == cluster.taken == 0

    def test_is_dropped_where_its_caller_is_killed(self) -> None:
        cluster = Cluster("a")
        call = cluster.call()
        cluster.far.answer("a")
        call.kill()
        settle()
        assert cluster.held == 0


class TestRoomForAnAnswerFromAnotherProcess:
    def test_is_taken_until_the_handler_has_ended(self) -> None:
        cluster = Cluster("a")
        gate = Event()

        @cluster.server.registry.on_message
        def handle(request: object, socket: Socket, context: Any, message: str) -> None:
            context["answers"] = socket.call("question", to=EVERYONE, timeout=PATIENCE)
            gate.wait()

        client = cluster.server.connect()
        context = client.socket.context
        client.emit("message", "go")
        settle()
        cluster.far.answer("a")
        cluster.far.end()
        client.send(f"3{client.received()[-1][1:].partition('[')[0]}[1]")
        wait_for(lambda: "answers" in context)
        assert cluster.taken > ARRAYS * 50

        gate.set()
        wait_for(lambda: cluster.taken == 0)

    def test_that_is_missing_for_long_ends_nobodys_session(self) -> None:
        cluster = Cluster("a", "b", max_decoded_total=8_000_000, stall_timeout=0.01)
        local = cluster.server.connect(channels=["other"])
        envelope = select(["far"]).envelope("/", "question", ())
        call = gevent.spawn(Operations(cluster.server.clients).call, envelope, PATIENCE)
        settle()
        cluster.far.answer("a")
        cluster.far.answer("b")
        cluster.far.end()
        answers = call.get(timeout=PATIENCE)
        assert (list(answers.values), answers.missing) == (["a"], ("b",))
        assert not local.closed
        assert cluster.held == cluster.taken == 0
