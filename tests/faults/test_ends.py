"""The server ends with very many clients: in order, to reload, or without a word."""

import signal
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.crowd import ask, crowd, join_over_polling
from tests.faults.watch import held
from tests.support.project import make_project
from tests.support.server import Server
from tests.support.tools import free_port, wait_until
from tests.support.types import StartServer
from tests.support.websocket import WebSocket
from tests.support.wire import Polling

pytestmark = pytest.mark.timeout(180)

WEBSOCKETS, POLLS = 400, 100
CLIENTS = WEBSOCKETS + POLLS

RECORDING = "tests.project.handlers.recording"
SETTINGS = {"SOCKETIO_EVENTS": [RECORDING], "ROOT_URLCONF": "tests.project.urls"}
"""Handlers that write down what happens: the process will not be there to be asked."""

LAST_EVENTS = Counter(on_disconnect=1, on_unsubscribe=3, on_finish=1)
"""What happens once at the end of a client on a room; ``on_unsubscribe`` has three handlers."""


def fill(server: Server) -> list[WebSocket | Polling]:
    """Let clients be on a room, over both transports, the polling ones with a poll that waits."""
    websockets = crowd(server, WEBSOCKETS, channel="room-1")
    polls = [join_over_polling(server) for _ in range(POLLS)]
    for poll in polls:
        poll.send('421["__subscribe__","room-1"]')
        assert poll.receive() == ["431[true]"]
        poll.start_poll()
    return [*websockets, *polls]


def ends(server: Server) -> Mapping[str | None, Counter[str]]:
    """Return how often each of the last events happened, by socket."""
    counts: dict[str | None, Counter[str]] = defaultdict(Counter)
    for entry in server.journal.entries():
        if entry.event in LAST_EVENTS:
            counts[entry.socket][entry.event] += 1
    return counts


def check_ends(server: Server) -> None:
    """Check that every client had each of its last events exactly once."""
    counts = ends(server)
    assert len(counts) == CLIENTS
    assert [end for end in counts.values() if end != LAST_EVENTS] == []


class TestShutdown:
    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
    def test_with_500_clients_runs_the_last_handlers_of_each_once_and_exits_with_0(
        self, start_attacked: StartServer, signum: signal.Signals
    ) -> None:
        server = start_attacked(settings=SETTINGS)
        clients = fill(server)
        server.send_signal(signum)
        for client in clients:
            if isinstance(client, WebSocket):
                assert client.wait_for_close().code == 1001
            else:
                assert client.receive() == ["1"]
        assert server.wait() == 0
        check_ends(server)


class TestReload:
    def test_with_500_clients_runs_the_last_handlers_of_each_once(
        self, start_attacked: StartServer, tmp_path: Path
    ) -> None:
        events = f"import {RECORDING}\n"
        manage = make_project(tmp_path, {"events.py": events})
        settings = {**SETTINGS, "SOCKETIO_EVENTS": ["events"]}
        arguments = [f"127.0.0.1:{free_port()}"]
        server = start_attacked(manage=manage, arguments=arguments, settings=settings)
        fill(server)
        output = len(server.output)
        (tmp_path / "events.py").write_text(f"{events}CHANGED = True\n")
        server.wait_for_output(f"Starting server at {server.url}", output)
        check_ends(server)


class TestKilling:
    def test_and_a_restart_take_back_all_clients(self, start_attacked: StartServer) -> None:
        arguments = ["--noreload", f"127.0.0.1:{free_port()}"]
        server = start_attacked(arguments=arguments)
        clients = fill(server)
        server.kill()
        for client in clients:
            with pytest.raises(ConnectionError):
                client.receive()
        again = start_attacked(arguments=arguments)
        before = held(again)
        back = fill(again)
        sender = back[0]
        assert isinstance(sender, WebSocket)
        assert ask(sender, '["say","room-1","back"]') == "[]"
        for client in back[1:]:
            received = client.receive_text() if isinstance(client, WebSocket) else None
            packets = client.receive() if isinstance(client, Polling) else [received]
            assert packets == ['42["message","back"]']
        for client in back:
            client.close()
        wait_until(lambda: held(again)["sockets"] == before["sockets"], "all to be gone")
