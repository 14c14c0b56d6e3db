"""Handlers that raise: ``on_error`` hears of it, and everything goes on."""

import pytest

from tests.support.server import Server
from tests.support.types import Connect
from tests.support.wire import TransportName

EVENTS = ["on_message", "on_unsubscribe"]


class TestAHandlerThatRaises:
    @pytest.mark.parametrize("event", EVENTS)
    def test_does_not_end_the_connection(
        self, server: Server, connect: Connect, transport: TransportName, event: str
    ) -> None:
        client = connect(transport, query={"fail": event})
        client.subscribe("lobby")
        client.unsubscribe("lobby")
        client.send("hello")
        assert client.messages() == []
        assert server.journal.events(client.id, "bare").count(event) == 1

    @pytest.mark.parametrize("event", [*EVENTS, "on_disconnect", "on_finish"])
    def test_makes_on_error_run_with_the_exception(
        self, server: Server, connect: Connect, event: str
    ) -> None:
        client = connect(query={"fail": event})
        client.ask_later("message", "hello")
        client.subscribe("room-1")
        client.unsubscribe("room-1")
        client.disconnect()
        errors = [
            entry.details["args"]
            for entry in server.journal.wait_for("on_finish", client.id)
            if entry.event == "on_error" and entry.handler in ("bare", "room")
        ]
        assert errors == [[f"RuntimeError('failed in {event}')"]]

    @pytest.mark.parametrize("event", [*EVENTS, "on_disconnect", "on_finish", "on_error"])
    def test_is_logged_with_its_traceback(
        self, server: Server, connect: Connect, event: str
    ) -> None:
        before = len(server.output)
        client = connect(query={"fail": event})
        client.send({"do": "raise", "text": "something else"})
        client.subscribe("room-1")
        client.unsubscribe("room-1")
        client.disconnect()
        server.wait_for_output(
            r"Traceback \(most recent call last\):\n"
            r"(?s:.*)in handle\n"
            rf"(?s:.*)RuntimeError: failed in {event}",
            before,
        )
