"""What a server tells of itself: to code inside it, and in its log when it is asked."""

import re
import signal
from pathlib import Path

import pytest

from tests.support.http import Http
from tests.support.project import make_project
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import Connect, StartServer
from tests.support.views import HELD, stats
from tests.support.wire import TRANSPORTS, Polling

SITE = {
    "events.py": """\
from socketio_server import events


@events.on_message
def echo(request, socket, context, message):
    socket.send(message)
    return "done"


@events.on_message(namespace="/other")
@events.on_message(channel=".")
def talk(request, socket, context, message):
    socket.send_and_broadcast_channel(message)
""",
}
NUMBERS = [
    *HELD,
    "messages_in",
    "messages_out",
    "events",
    "handler_seconds",
    "log_lines_dropped",
]


@pytest.fixture
def site(start_server: StartServer, tmp_path: Path) -> Server:
    """A server of its own, whose handlers are known."""
    return start_server(manage=make_project(tmp_path, SITE))


@pytest.mark.one_process("asks one worker for its counters")
class TestStats:
    def test_begin_with_nothing_but_the_connection_that_asks(self, site: Server) -> None:
        assert stats(site) == {**dict.fromkeys(NUMBERS, 0), "connections": 1, "refusals": {}}

    def test_tell_who_is_there_now(self, site: Server, connect: Connect) -> None:
        clients = [connect(transport, to=site) for transport in TRANSPORTS]
        clients[0].subscribe("room-1")
        clients[1].subscribe("room-1")
        clients[1].subscribe("room-2")
        clients[1].carrier.send("40/other,")
        clients[1].wait_until(lambda: clients[1].packets[-1].startswith("0/other,"))
        clients[1].carrier.send('42/other,1["__subscribe__","room-1"]')
        clients[1].wait_until(lambda: clients[1].packets[-1].startswith("3/other,"))
        bare = Polling(site.address)
        found = stats(site)
        assert (found["sessions"], found["sockets"], found["channels"]) == (4, 4, 3)
        assert found["connections"] >= len([*TRANSPORTS, bare])
        bare.close()
        for client in clients:
            client.close()

        def has_forgotten() -> bool:
            now = stats(site)
            kinds = ("connections", "sessions", "sockets", "channels")
            return [now[kind] for kind in kinds] == [1, 0, 0, 0]

        wait_until(has_forgotten, "the server to forget everybody")

    def test_count_what_came_and_went(self, site: Server, connect: Connect) -> None:
        sender, other = connect(to=site), connect("polling", to=site)
        before = stats(site)
        for number in range(10):
            assert sender.call("message", number) == "done"
        after = stats(site)
        grown = {name: after[name] - before[name] for name in NUMBERS}
        assert grown["messages_in"] == grown["messages_out"] == grown["events"] == 10
        assert grown["handler_seconds"] > 0
        for client in (sender, other):
            client.subscribe("room-1")
        before = stats(site)
        sender.ask("message", "to both")
        assert stats(site)["messages_out"] - before["messages_out"] == 2

    def test_tell_what_waits_for_slow_clients(self, site: Server, connect: Connect) -> None:
        slow, sender = connect("polling", to=site), connect(to=site)
        for client in (slow, sender):
            client.subscribe("room-1")
        for _ in range(3):
            sender.ask("message", "x" * 10_000)
        assert 30_000 < stats(site)["queued_bytes"] < 33_000  # with what each message takes besides
        for _ in range(3):
            assert len(slow.next_message()) == 10_000
        assert stats(site)["queued_bytes"] == 0

    def test_tell_what_the_kernel_does_not_take_for_them(
        self, site: Server, connect: Connect
    ) -> None:
        slow = connect("websocket", to=site, receive_buffer=4096)
        sender = connect(to=site)
        for client in (slow, sender):
            client.subscribe("room-1")
        for _ in range(9):
            sender.ask("message", "x" * 100_000)
            assert len(sender.next_message()) == 100_000
        assert 0 < stats(site)["queued_bytes"] < 900_000
        for _ in range(9):
            assert len(slow.next_message()) == 100_000
        assert stats(site)["queued_bytes"] == 0

    def test_count_what_was_refused_by_its_kind(self, site: Server, connect: Connect) -> None:
        with Http(site.address) as http:
            http.send(b"GET / HTTP/1.1\r\n\r\n")
            assert http.read_response().status == 400
        client = connect(to=site)
        client.carrier.send("nonsense")
        client.wait_for_close()
        refusals = stats(site)["refusals"]
        assert refusals == {"http": 1, "packet": 1}


class TestTheSignal:
    def test_has_them_logged(self, site: Server, connect: Connect) -> None:
        clients = [connect(transport, to=site) for transport in TRANSPORTS]
        clients[0].subscribe("room-1")
        with Http(site.address) as http:
            http.send(b"GET / HTTP/1.1\r\n\r\n")
            assert http.read_response().status == 400
        site.send_signal(signal.SIGUSR1)
        numbers = ", ".join(rf"{name} [0-9.e-]+" for name in NUMBERS)
        line = site.wait_for_output(rf"Statistics: {numbers}, refusals {{'http': 1}}\n")[0]
        assert re.search(r"sessions 3, sockets 3, channels 1, ", line)

    def test_has_them_logged_as_often_as_it_comes(self, site: Server, connect: Connect) -> None:
        client = connect(to=site)
        for _ in range(3):
            seen = len(site.output)
            site.send_signal(signal.SIGUSR1)
            site.wait_for_output("Statistics: ", seen)
        assert client.call("message", "still here") == "done"
