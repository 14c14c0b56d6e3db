"""Handlers that raise: who hears of it, and that all else goes on."""

import asyncio
import logging
import re
from typing import Any

import gevent
import pytest

from socketio_server.dispatch.middleware import EventCall
from socketio_server.events import Reject
from socketio_server.sockets.socket import Socket
from tests.dispatch.journal import Boom, Context, Journal
from tests.fakes.server import FakeClient


class TestErrors:
    @pytest.fixture
    def client(self, server: Journal) -> FakeClient:
        """A client of a server with a handler that raises between two that do not."""
        server.registry.on_message(lambda *args: server.entries.append("before"))

        @server.registry.on_message
        def explode(*args: object) -> None:
            raise Boom("secret details")

        server.registry.on_message(lambda *args: server.entries.append("after"))
        return server.connect()

    def test_on_error_runs_with_the_exception_and_the_other_handlers_run(
        self, server: Journal, client: FakeClient
    ) -> None:
        server.note("on_error")
        client.emit("message", "hi")

        assert server.entries[0] == "before"
        assert server.errors == [Boom]
        assert server.entries[2] == "after"

    def test_the_connection_goes_on(self, server: Journal, client: FakeClient) -> None:
        client.emit("message", "hi")
        client.emit("message", "again")

        assert server.entries == ["before", "after"] * 2
        assert client.socket.connected()

    def test_the_client_learns_nothing_of_it(self, client: FakeClient) -> None:
        client.emit("message", "hi", ack_id=1)

        assert client.received() == []

    def test_the_traceback_is_logged_with_event_and_public_id(
        self, client: FakeClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.emit("message", "hi")

        (record,) = caplog.records
        assert (record.name, record.levelname) == ("socketio_server", "ERROR")
        assert "on_message" in record.getMessage()
        assert client.id in record.getMessage()
        assert record.exc_info is not None
        assert record.exc_info[0] is Boom

    def test_the_same_of_one_client_is_logged_once_in_a_while(
        self, server: Journal, client: FakeClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Else a client could fill the log with tracebacks."""
        server.note("on_error")
        for _ in range(3):
            client.emit("message", "hi")
        assert len(server.errors) == 3
        assert len(caplog.records) == 1
        server.connect().emit("message", "hi")

        assert len(caplog.records) == 2

    def test_the_same_is_not_logged_again_for_a_client_that_leaves_and_joins(
        self, server: Journal, client: FakeClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(3):
            client.emit("message", "hi")
            client.send("1")
            client.send("0")

        assert server.entries == ["before", "after"] * 3
        assert len(caplog.records) == 1

    def test_each_is_reported_to_the_server_s_owner(
        self, server: Journal, client: FakeClient
    ) -> None:
        client.emit("message", "hi")
        client.emit("message", "again")

        assert [type(error) for error in server.raised] == [Boom, Boom]

    def test_another_one_is_logged_as_well(
        self, server: Journal, client: FakeClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        @server.registry.on("divide")
        def divide(request: object, socket: Socket, context: Context, by: int) -> float:
            if by == 0:
                return 1 / by
            return 2 / (by - by)

        for by in (0, 1, 0, 1):
            client.emit("divide", by)

        assert len(caplog.records) == 2

    def test_one_in_on_error_is_logged_and_goes_no_further(
        self, server: Journal, client: FakeClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        @server.registry.on_error
        def error(*args: object) -> None:
            raise LookupError

        server.note("on_error")
        client.emit("message", "hi")

        assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
        assert server.errors == [Boom]  # the second handler's, of the first error
        assert server.entries[-1] == "after"
        assert client.socket.connected()

    def test_on_error_runs_by_the_channels_held(self, server: Journal, client: FakeClient) -> None:
        registry = server.registry
        registry.on_error(lambda *args: server.entries.append("plain"))
        registry.on_error(channel="^room-")(lambda *args: server.entries.append("room"))
        server.registry.on("fail")(lambda *args: 1 / 0)
        client.emit("fail")
        client.socket.subscribe("room-1")
        client.emit("fail")

        assert server.entries == ["plain", "room"]

    @pytest.mark.parametrize(
        "error", [Boom, gevent.Timeout, SystemExit, Reject, PermissionError, asyncio.CancelledError]
    )
    def test_whatever_a_message_s_handler_raises_ends_no_more_than_itself(
        self, server: Journal, error: type[BaseException]
    ) -> None:
        @server.registry.on_message
        def message(request: object, socket: Socket, context: Context, message: str) -> None:
            if message == "raise":
                raise error()
            socket.send("still here")

        client = server.connect()
        client.emit("message", "raise")
        client.emit("message", "hi")

        assert client.messages() == ["still here"]
        assert client.closed == []

    @pytest.mark.parametrize("refusal", [Reject, PermissionError])
    def test_a_refusal_that_refuses_nothing_is_told_in_one_line(
        self,
        server: Journal,
        client: FakeClient,
        caplog: pytest.LogCaptureFixture,
        refusal: type[Exception],
    ) -> None:
        server.note("on_error")

        @server.registry.on_unsubscribe
        def leave(*args: object) -> None:
            raise refusal("sold out")

        client.emit("__unsubscribe__", "shop")

        (record,) = caplog.records
        assert record.exc_info is None
        assert re.fullmatch(
            rf"Handler of on_unsubscribe raised {refusal.__name__}\('sold out'\) for socket \S+, "
            r"which refuses nothing there: the event has happened already "
            rf"\({re.escape(__file__)}:\d+\)",
            record.getMessage(),
        )
        assert server.errors == [refusal]


class TestRefusingAMessage:
    """``Reject`` and ``PermissionDenied`` in handlers of ``on_message`` and ``on`` are answers."""

    @pytest.fixture
    def client(self, server: Journal) -> FakeClient:
        return server.connect()

    @pytest.mark.parametrize(
        ("refusal", "answer"),
        [
            (Reject("sold out"), '{"error":"sold out"}'),
            (Reject("sold out", {"left": 0}), '{"error":"sold out","data":{"left":0}}'),
            (PermissionError("members only"), '{"error":"members only"}'),
            (PermissionError(), '{"error":"Permission denied"}'),
        ],
    )
    @pytest.mark.parametrize("event", ["message", "buy"])
    def test_it_is_the_acknowledgement_and_no_error(
        self,
        server: Journal,
        client: FakeClient,
        refusal: Exception,
        answer: str,
        event: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        server.note("on_error")

        def refuse(*args: object) -> None:
            raise refusal

        server.registry.on("buy")(refuse)
        server.registry.on_message(refuse)
        client.emit(event, 1, ack_id=1)
        client.emit(event, 1)

        assert client.received() == [f"31[{answer}]"]
        assert server.entries == []
        assert caplog.records == []

    def test_the_handlers_that_follow_run_all_the_same(
        self, server: Journal, client: FakeClient
    ) -> None:
        @server.registry.on("buy")
        def refuse(*args: object) -> None:
            raise Reject("sold out")

        server.registry.on("buy")(lambda *args: server.entries.append("next"))
        client.emit("buy", ack_id=1)

        assert server.entries == ["next"]
        assert client.received() == ['31[{"error":"sold out"}]']

    def test_a_middleware_refuses_in_the_same_way(self, caplog: pytest.LogCaptureFixture) -> None:
        def middleware(call: EventCall) -> Any:
            if call.event == "buy":
                raise Reject("closed")
            return call.run()

        server = Journal(middleware=middleware)
        server.registry.on("buy")(lambda *args: None)
        client = server.connect()
        client.emit("buy", ack_id=1)

        assert client.received() == ['31[{"error":"closed"}]']
        assert caplog.records == []
