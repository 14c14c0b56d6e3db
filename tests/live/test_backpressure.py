"""Peers that are slower, or faster, than the server (security, rule 10 and "What we promise")."""

import json

import pytest

from tests.support.client import Client
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.wire import Polling, TransportName

CHUNK = "x" * 20_000
ENOUGH = 500
"""So many chunks are more than the server, the kernel and the reader's buffer hold together."""


@pytest.fixture
def slow(frugal: Server, connect: Connect, transport: TransportName) -> Client:
    """A client that reads nothing from now on."""
    client = connect(transport, to=frugal, receive_buffer=4096)
    client.subscribe("room-flood")
    return client


class TestASlowReader:
    def test_is_closed_in_the_end_and_nobody_else_is_slowed_down(
        self, frugal: Server, connect: Connect, slow: Client
    ) -> None:
        sender, other = connect(to=frugal), connect(to=frugal)
        other.subscribe("room-flood")
        sent = 0
        while "on_finish" not in frugal.journal.events(slow.id):
            sender.method("broadcast_channel", f"{sent} {CHUNK}", "room-flood")
            assert other.next_message() == f"{sent} {CHUNK}"
            sent += 1
            assert sent < ENOUGH
            if sent % 50 == 0:
                assert sender.messages() == []
        last = frugal.journal.entries(slow.id)[-1]
        assert last.details["close_reason"] == "transport error"

    def test_that_reads_in_time_loses_nothing(self, frugal: Server, connect: Connect) -> None:
        sender, reader = connect(to=frugal), connect(to=frugal)
        for number in range(ENOUGH):
            sender.function("send", reader.id, f"{number} {CHUNK}")
            if number % 5 == 4:
                expected = [f"{n} {CHUNK}" for n in range(number - 4, number + 1)]
                assert reader.next_messages(5) == expected

    def test_is_closed_when_it_makes_no_progress(self, impatient: Server, connect: Connect) -> None:
        sender = connect(to=impatient)
        stalled = connect(to=impatient, receive_buffer=4096)
        stalled.subscribe("room-flood")
        for _ in range(100):
            sender.method("broadcast_channel", CHUNK, "room-flood")
        last = impatient.journal.wait_for("on_finish", stalled.id)[-1]
        assert last.details["close_reason"] == "transport error"
        assert sender.messages() == []


class TestAFastWriter:
    def test_loses_nothing_while_its_handlers_are_busy(
        self, server: Server, connect: Connect, gate: str
    ) -> None:
        client, other = connect("websocket"), connect("websocket")
        client.ask_later("message", {"do": "wait", "gate": gate})
        for number in range(1000):
            client.send(number)
        assert other.messages() == []
        other.open(gate)
        client.messages()
        assert [
            entry.details["args"][0]
            for entry in server.journal.entries(client.id, "bare")
            if entry.event == "on_message"
        ] == list(range(1000))

    def test_over_polling_waits_for_its_answer_while_its_handlers_are_busy(
        self, server: Server, connect: Connect, gate: str
    ) -> None:
        client, other = connect("polling"), connect("websocket")
        client.ask_later("message", {"do": "wait", "gate": gate})
        server.journal.wait_for("waiting", client.id)
        packets = [f'42["message",{number}]' for number in range(1000)]
        client.carrier.send_later(*packets)  # type: ignore[attr-defined]
        assert other.messages() == []
        other.open(gate)
        client.carrier.wait_for_ok()  # type: ignore[attr-defined]
        client.messages()
        assert [
            entry.details["args"][0]
            for entry in server.journal.entries(client.id, "bare")
            if entry.event == "on_message"
        ] == list(range(1000))

    def test_gets_all_answers_however_much_they_are_together(
        self, frugal: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport, to=frugal)
        client.do("remember", key="much", value=CHUNK)
        numbers = range(1000, 1040)  # the answers are four times what may be queued
        question = json.dumps(["message", {"do": "attribute", "name": "context"}])
        packets = [f"42{number}{question}" for number in numbers]
        if isinstance(client.carrier, Polling):
            client.carrier.send_later(*packets)
        else:
            with frugal.stopped():  # so that it reads them in one go
                client.carrier.send(*packets)
        for number in numbers:
            assert client.answer_to(number) == [[{"much": CHUNK}]]
