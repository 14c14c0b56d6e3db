"""Peers that are slower, or faster, than the server."""

import json

import pytest

from tests.support.client import Client
from tests.support.http import Http
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import Connect, StartServer
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


MARK = 262_144
"""The high-water mark, by default."""

PIECE = 200_000


def queued_bytes(server: Server) -> int:
    """Ask the server what waits for all clients."""
    with Http(server.address) as http:
        stats = json.loads(http.request("GET", "/stats/").body)
    queued: int = stats["queued_bytes"]
    return queued


def check_messages(client: Client, count: int, size: int) -> None:
    """Take messages that a handler poured, each of which must be there, in order."""
    for number in range(count):
        message = client.next_message()
        assert message.startswith(f"{number} ")
        assert len(message) == len(f"{number} ") + size


@pytest.mark.one_process("asks one worker for its counters")
class TestAHandlerThatSendsMuch:
    def test_holds_no_more_than_the_mark_however_slow_its_client(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport, receive_buffer=4096)
        done = client.ask_later("message", {"do": "pour", "count": 100, "size": PIECE})
        wait_until(lambda: queued_bytes(server) > MARK, "messages to wait")
        for number in range(100):
            if number % 10 == 0:
                # The message that is partly sent counts as a whole, and so does the one with which
                # the handler waits.
                assert queued_bytes(server) <= MARK + 3 * PIECE + 1000
            assert client.next_message() == f"{number} {'x' * PIECE}"

        assert client.answer_to(done) == ["poured"]
        assert queued_bytes(server) == 0

    def test_lets_others_go_on(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport, receive_buffer=4096)
        done = client.ask_later("message", {"do": "pour", "count": 20, "size": PIECE})
        wait_until(lambda: queued_bytes(server) > MARK, "messages to wait")
        other = connect()
        assert other.method("send", "hello") is None
        assert other.next_message() == "hello"

        check_messages(client, 20, PIECE)
        assert client.answer_to(done) == ["poured"]

    def test_is_done_with_it_when_the_client_goes(self, server: Server, connect: Connect) -> None:
        client = connect("websocket", receive_buffer=4096)
        client.send({"do": "pour", "count": 100, "size": PIECE})
        wait_until(lambda: queued_bytes(server) > MARK, "messages to wait")
        client.close()

        server.journal.wait_for("poured", client.id)
        server.journal.wait_for("on_finish", client.id)
        assert queued_bytes(server) == 0

    def test_does_not_wait_inside_of_a_transaction(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport, receive_buffer=4096)
        client.send({"do": "pour", "count": 30, "size": PIECE, "atomic": True})
        server.journal.wait_for("poured", client.id)  # without a message read
        check_messages(client, 30, PIECE)

    def test_to_another_client_gives_that_up_when_it_stands_still(
        self, impatient: Server, connect: Connect
    ) -> None:
        stalled = connect(to=impatient, receive_buffer=4096)
        sender = connect(to=impatient)
        command = {"do": "function", "name": "send", "args": [stalled.id, "x" * PIECE]}
        for _ in range(20):  # the last of which find no such client
            sender.send(command)

        last = impatient.journal.wait_for("on_finish", stalled.id)[-1]
        assert last.details["close_reason"] == "transport error"

    def test_and_computes_behind_it_for_longer_than_a_client_may_stand_still_loses_nothing(
        self, impatient: Server, connect: Connect
    ) -> None:
        """The client had no chance to be written to meanwhile."""
        client = connect("websocket", to=impatient)
        done = client.ask_later(
            "message", {"do": "pour", "count": 1, "size": 900_000, "compute": 1.0}
        )
        check_messages(client, 1, 900_000)
        assert client.answer_to(done) == ["poured"]


@pytest.mark.one_process("asks one worker for its counters")
class TestABurstOfBroadcasts:
    def test_reaches_all_members(self, server: Server, connect: Connect) -> None:
        transports: list[TransportName] = ["websocket", "polling"] * 5
        members = [connect(transport) for transport in transports]
        for member in members:
            member.subscribe("room-burst")
        sender = connect()
        assert sender.do("pour", count=20, size=500_000, to="room-burst") == "poured"

        for member in members:
            check_messages(member, 20, 500_000)
            assert member.messages() == []
        assert queued_bytes(server) == 0

    def test_is_held_once_for_all_of_them(self, server: Server, connect: Connect) -> None:
        members = [connect("polling") for _ in range(10)]
        for member in members:
            member.subscribe("room-burst")
        connect().do("pour", count=10, size=500_000, to="room-burst")

        assert 5_000_000 < queued_bytes(server) < 5_100_000
        for member in members:
            check_messages(member, 10, 500_000)

    def test_costs_those_who_stand_still_their_connection_and_nobody_else(
        self, impatient: Server, connect: Connect
    ) -> None:
        stalled = [connect(to=impatient, receive_buffer=4096) for _ in range(3)]
        others = [connect(to=impatient) for _ in range(3)]
        for member in (*stalled, *others):
            member.subscribe("room-burst")
        sender = connect(to=impatient)
        for _ in range(5):
            sender.do("pour", count=2, size=500_000, to="room-burst")
            for member in others:
                check_messages(member, 2, 500_000)

        for member in stalled:
            last = impatient.journal.wait_for("on_finish", member.id)[-1]
            assert last.details["close_reason"] == "transport error"
        for member in others:
            assert member.messages() == []
        assert queued_bytes(impatient) == 0

    def test_takes_those_who_hold_the_oldest_when_the_process_holds_too_much(
        self, share_server: StartServer, connect: Connect
    ) -> None:
        crowded = share_server(settings={"SOCKETIO_MAX_QUEUED_TOTAL": 3_000_000})
        first, second = [connect("polling", to=crowded) for _ in range(2)]
        first.subscribe("room-1")
        second.subscribe("room-2")
        sender = connect(to=crowded)
        sender.do("pour", count=4, size=500_000, to="room-1")
        sender.do("pour", count=4, size=500_000, to="room-2")

        crowded.journal.wait_for("on_finish", first.id)
        check_messages(second, 4, 500_000)


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

    @pytest.mark.one_process("lets one process stand still")
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
