"""The server ends with very many clients: in order, to reload, or without a word."""

import signal
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.faults.crowd import ask, crowd, crowd_over_polling, join
from tests.faults.watch import check_remains, held, look, wait_for_return
from tests.support.http import Refused
from tests.support.project import make_project
from tests.support.server import Server
from tests.support.tools import PATIENCE, free_port, wait_until
from tests.support.types import StartServer
from tests.support.websocket import WebSocket
from tests.support.wire import Polling

pytestmark = pytest.mark.timeout(180)

WEBSOCKETS, POLLS = 400, 100
CLIENTS = WEBSOCKETS + POLLS

AT_ONCE = 25
"""Clients that come back at the same moment."""

RECORDING = "tests.project.handlers.recording"
SETTINGS = {
    "SOCKETIO_EVENTS": [RECORDING],
    "ROOT_URLCONF": "tests.project.urls",
    # A shutdown that waits for anything in vain never ends, instead of cutting it short.
    "SOCKETIO_DRAIN_TIMEOUT": 600,
}
"""Handlers that write down what happens: the process will not be there to be asked."""

LAST_EVENTS = Counter(on_disconnect=3, on_unsubscribe=3, on_finish=3)
"""What happens once at the end of a client on a room; each event has three handlers."""


def fill(server: Server) -> list[WebSocket | Polling]:
    """Let clients be on a room, over both transports, the polling ones with a poll that waits."""
    websockets = crowd(server, WEBSOCKETS, channel="room-1")
    polls = crowd_over_polling(server, POLLS, channel="room-1")
    for poll in polls:
        poll.start_poll()
    return [*websockets, *polls]


def check_goodbyes(clients: list[WebSocket | Polling]) -> None:
    """Check that every client is told that the server goes."""
    for client in clients:
        if isinstance(client, WebSocket):
            assert client.wait_for_close().code == 1001
        else:
            assert client.receive() == ["1"]


def check_ends(server: Server) -> None:
    """Check that every client had each of its last events exactly once."""
    counts = ends(server)
    assert len(counts) == CLIENTS
    assert [end for end in counts.values() if end != LAST_EVENTS] == []


def ends(server: Server) -> Mapping[str | None, Counter[str]]:
    """Return how often each of the last events happened, by socket."""
    counts: dict[str | None, Counter[str]] = defaultdict(Counter)
    for entry in server.journal.entries():
        if entry.event in LAST_EVENTS:
            counts[entry.socket][entry.event] += 1
    return counts


class TestShutdown:
    def test_with_500_clients_runs_the_last_handlers_of_each_once_and_exits_with_0(
        self, start_attacked: StartServer
    ) -> None:
        server = start_attacked(settings=SETTINGS)
        clients = fill(server)
        server.send_signal(signal.SIGTERM)
        check_goodbyes(clients)
        assert server.wait() == 0
        check_ends(server)
        assert "Traceback" not in server.output


class TestReload:
    def test_with_500_clients_runs_the_last_handlers_of_each_once(
        self, start_attacked: StartServer, tmp_path: Path
    ) -> None:
        events = f"import {RECORDING}\n"
        manage = make_project(tmp_path, {"events.py": events})
        settings = {**SETTINGS, "SOCKETIO_EVENTS": ["events"]}
        arguments = [f"127.0.0.1:{free_port()}"]
        server = start_attacked(manage=manage, arguments=arguments, settings=settings)
        clients = fill(server)
        output = len(server.output)
        (tmp_path / "events.py").write_text(f"{events}CHANGED = True\n")
        check_goodbyes(clients)
        server.wait_for_output(f"Starting server at {server.url}", output)
        check_ends(server)
        assert "Traceback" not in server.output


class TestKilling:
    def test_and_a_restart_take_back_all_clients_that_try_again_and_again(
        self, start_attacked: StartServer
    ) -> None:
        arguments = ["--noreload", f"127.0.0.1:{free_port()}"]
        server = start_attacked(arguments=arguments)
        alive, before = look(server, "census")["alive"], held(server)
        clients = fill(server)
        server.kill()
        for client in clients:
            with pytest.raises(ConnectionError):
                client.receive()
        with ThreadPoolExecutor(AT_ONCE) as executor:
            returning = [executor.submit(come_back, server) for _ in range(CLIENTS)]
            again = start_attacked(arguments=arguments)
            back = [future.result() for future in returning]
        sender, *others = back
        for client in back:
            assert ask(client, '["__subscribe__","room-1"]') == "[true]"
        assert ask(sender, '["say","room-1","back"]') == "[]"
        for client in others:
            assert client.receive_text() == '42["message","back"]'
        for client in back:
            client.close()
        wait_for_return(again, before, PATIENCE)  # to what the first was at its start
        check_remains(again, alive)
        assert look(again, "census")["tally"]["on_finish"] == CLIENTS
        assert "Traceback" not in again.output


def come_back(server: Server) -> WebSocket:
    """Try to connect until there is a server that lets us in."""
    client = wait_until(partial(try_to_join, server), "the server to be back")
    assert client is not None
    return client


def try_to_join(server: Server) -> WebSocket | None:
    """Connect, if there is a server that lets us in."""
    try:
        return join(server)
    except (ConnectionError, Refused):
        return None
