"""Handlers that raise: ``on_error`` hears of it, and everything goes on (semantics, section 1)."""

import pytest

from tests.live.test_ends import CHANNELS, LAST_EVENTS, join
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.views import wait_until_gone
from tests.support.wire import TransportName

EVENTS = ["on_message", "on_unsubscribe"]
LAST = ["on_disconnect", "on_unsubscribe", "on_finish"]


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

    def test_tells_the_client_nothing_of_it(
        self, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport, query={"fail": "on_unsubscribe"})
        client.unsubscribe("lobby")
        client.send({"do": "raise", "text": "a secret"})
        client.messages()
        assert "secret" not in "".join(client.packets)
        assert "failed" not in "".join(client.packets)

    def test_leaves_the_message_without_an_acknowledgement(
        self, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        ack_id = client.ask_later("message", {"do": "raise", "text": "oops"})
        client.messages()
        assert not client.is_acknowledged(ack_id)


class TestAnErrorHandlerThatRaises:
    def test_is_not_told_of_its_own_exception(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport, query={"fail": "on_error"})
        client.send({"do": "raise", "text": "oops"})
        assert client.messages() == []
        errors = [
            (entry.handler, entry.details["args"])
            for entry in server.journal.entries(client.id)
            if entry.event == "on_error"
        ]
        assert errors == [
            ("bare", ["RuntimeError('oops')"]),
            ("called", ["RuntimeError('oops')"]),
        ]


class TestRaisingAtTheEnd:
    @pytest.mark.one_process("asks one worker who is there")
    @pytest.mark.parametrize("event", LAST)
    def test_keeps_neither_the_others_nor_the_clean_up_from_running(
        self, server: Server, connect: Connect, transport: TransportName, event: str
    ) -> None:
        client = join(connect(transport, query={"fail": event}))
        client.close()
        server.journal.wait_for("on_finish", client.id)
        wait_until_gone(server, client.id)
        happened = [e for e in server.journal.entries(client.id) if e.event in LAST]
        assert [(e.event, e.handler, e.details["args"]) for e in happened] == LAST_EVENTS
        assert all(entry.details["channels"] == CHANNELS for entry in happened)
