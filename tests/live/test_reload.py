"""The reloader: goodbye to every client, then the new code at the same address."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.journal import Entry
from tests.support.project import make_project
from tests.support.server import Server
from tests.support.tools import free_port, wait_until
from tests.support.types import Connect, MakeConfiguration, StartServer
from tests.support.wire import TRANSPORTS

EVENTS = """\
from socketio_server import events
from tests.project.handlers import recording

@events.on_message(channel=".")
@events.on_message
def answer(request, socket, context, message):
    return "version {version}"
"""

LIFE = ["on_connect", "on_subscribe", "on_disconnect", "on_unsubscribe", "on_finish"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder."""
    make_project(tmp_path, {"events.py": EVENTS.format(version=1)})
    return tmp_path


@pytest.fixture
def reloading(project: Path, start_server: StartServer) -> Server:
    """A server that reloads."""
    return start_server(manage=project / "manage.py", arguments=[f"127.0.0.1:{free_port()}"])


def life(server: Server, socket_id: str) -> list[Entry]:
    """Return what happened to a client that was on ``room-1``, each event once."""
    labels = {"on_connect": "bare"}
    return [
        entry
        for entry in server.journal.entries(socket_id)
        if entry.handler == labels.get(entry.event, "room")
    ]


def mend(events: Path, version: int, output: Callable[[], str]) -> None:
    """Write handlers that are whole, and wait for the server to start.

    :param output: returns what the server has written since the handlers were broken.
    """
    events.write_text(EVENTS.format(version=version))

    def has_started() -> bool:
        os.utime(events)  # again and again, because the reloader may only begin to watch
        return "Starting server at" in output()

    wait_until(has_started, "the mended handlers")


class TestReload:
    def test_lets_every_client_end_and_serves_the_new_code_at_the_same_address(
        self, project: Path, reloading: Server, connect: Connect
    ) -> None:
        clients = [connect(transport, to=reloading) for transport in TRANSPORTS]
        for client in clients:
            assert client.subscribe("room-1") is True
            assert client.call("message", "hello") == "version 1"
        output = len(reloading.output)
        (project / "events.py").write_text(EVENTS.format(version=2))
        reloading.wait_for_output(f"Starting server at {reloading.url}", output)
        ends = [life(reloading, client.id) for client in clients]
        new = connect(to=reloading)
        assert new.call("message", "hello") == "version 2"
        new_process = reloading.journal.entries(new.id)[0].process
        for end in ends:  # all of it was there when the new server began
            events = [entry.event for entry in end if entry.event != "on_message"]
            assert events == LIFE
            assert end[-1].details["close_reason"] == "server shutting down"
            assert {entry.process for entry in end} == {end[0].process} != {new_process}

    def test_waits_for_a_file_that_is_broken_to_be_mended(
        self, project: Path, reloading: Server, connect: Connect
    ) -> None:
        (project / "events.py").write_text("def broken(")
        reloading.wait_for_output("SyntaxError")
        output = len(reloading.output)
        mend(project / "events.py", 3, lambda: reloading.output[output:])
        assert connect(to=reloading).call("message", "hello") == "version 3"

    def test_leaves_no_port_open_where_the_application_can_t_be_built(
        self, project: Path, reloading: Server, connect: Connect
    ) -> None:
        settings = project / "site_settings.py"
        settings.write_text(settings.read_text() + 'MIDDLEWARE = ["no.such.Middleware"]\n')
        reloading.wait_for_output("No module named 'no'")
        with pytest.raises(ConnectionRefusedError):
            connect(to=reloading)


class TestAColdStart:
    """As Django's ``runserver``: show the error, and wait."""

    @pytest.mark.parametrize(
        ("broken", "error"),
        [
            pytest.param("def broken(", "SyntaxError: ", id="SyntaxError"),
            pytest.param("import no_such_module", "ModuleNotFoundError: ", id="ImportError"),
            pytest.param(
                "from socketio_server import events\nevents.on_message(lambda: None)",
                "EventError: The on_message handler",
                id="EventError",
            ),
        ],
    )
    def test_waits_for_handlers_that_are_broken_to_be_mended(
        self, project: Path, configure: MakeConfiguration, broken: str, error: str
    ) -> None:
        events, log = project / "events.py", project / "log"
        events.write_text(broken)
        start = configure(manage=project / "manage.py", arguments=[f"127.0.0.1:{free_port()}"])
        with log.open("w") as file:
            process = subprocess.Popen(
                start.command,
                cwd=start.started_in,
                env=start.variables,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            wait_until(lambda: error in log.read_text(), error)
            mend(events, 2, log.read_text)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.returncode == -signal.SIGKILL  # the parent had not given up


class TestSignals:
    @pytest.mark.parametrize(
        ("signum", "group"),
        [
            pytest.param(signal.SIGINT, True, id="Ctrl-C"),
            pytest.param(signal.SIGINT, False, id="SIGINT to the parent"),
            pytest.param(signal.SIGTERM, False, id="SIGTERM to the parent"),
        ],
    )
    def test_end_both_processes_after_every_client(
        self, reloading: Server, connect: Connect, signum: signal.Signals, group: bool
    ) -> None:
        client = connect(to=reloading)
        client.subscribe("room-1")
        reloading.send_signal(signum, group=group)
        assert reloading.wait() == 0
        assert [entry.event for entry in life(reloading, client.id)] == LIFE
        wait_until(lambda: not is_running(reloading.pid), "both processes to end")


def is_running(group: int) -> bool:
    """Return whether any process of a group runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
