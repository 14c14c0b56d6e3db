"""The page on debuggers, coverage and profilers: its commands, run around the page's project."""

import re
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.docs.conftest import Connect, Serve
from tests.docs.pages import page
from tests.docs.project import Project
from tests.support.server import Server

PAGE = "docs/how-to/debug.md"

FREE = """\
from socketio_server import events


@events.on("total")
def total(request, socket, context, prices):
    return sum(prices)
"""


def commands(program: str) -> list[list[str]]:
    """Return the page's commands that run a module of Python: its arguments."""
    lines = [line for block in page(PAGE).of("sh") for line in block.text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if f"-m {program} " in line]


def before_manage(arguments: Sequence[str]) -> list[str]:
    """Return a command's arguments before ``manage.py``."""
    return list(arguments[: arguments.index("manage.py")])


@pytest.fixture
def project(serve_anew: Serve) -> Project:
    """The page's project; it answers once to its debugger's commands, and goes on."""
    project = serve_anew.project(PAGE)
    (project.folder / ".pdbrc").write_text("p ('prices', prices)\ncontinue\n")
    return project


@pytest.fixture
def free(project: Project) -> Project:
    """The same, without the breakpoint."""
    (project.folder / "events.py").write_text(FREE)
    return project


def ask_and_stop(server: Server, connect: Connect) -> None:
    """Run a handler, and stop the server as Control-C does."""
    try:
        assert connect(server).call("total", [1, 2]) == 3
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
    finally:
        server.kill()


class TestABreakpoint:
    @pytest.mark.parametrize("patches", [True, False])
    def test_is_at_the_server_s_terminal(
        self, project: Project, connect: Connect, patches: bool
    ) -> None:
        if not patches:
            manage = project.folder / "manage.py"
            manage.write_text(manage.read_text().replace("monkey.patch_all()\n", ""))
        server = project.serve()
        try:
            assert connect(server).call("total", [1, 2]) == 3
            server.wait_for_output(r"\('prices', \[1, 2\]\)")
        finally:
            server.kill()


class TestAHandlerThatBlocksEverybody:
    def test_is_reported_as_the_page_shows(self, project: Project, connect: Connect) -> None:
        (log,) = page(PAGE).of("text")
        server = project.serve()
        try:
            connect(server).ask_later("slow")
            server.wait_for_output(re.escape(log.text).replace("/srv/chat", ".+"))
        finally:
            server.kill()


class TestPdb:
    def test_around_the_command_stops_in_a_handler(self, free: Project, connect: Connect) -> None:
        line = FREE.splitlines().index("    return sum(prices)") + 1
        (free.folder / ".pdbrc").unlink()
        through = ["-m", "pdb", "-c", f"b events.py:{line}", "-c", "c"]
        server = free.serve(through=through)
        try:
            connect(server).ask_later("total", [1, 2])
            server.wait_for_output(rf"events\.py\({line}\)total\(\)")
        finally:
            server.kill()


class TestCoverage:
    def test_sees_the_lines_of_handlers(self, free: Project, connect: Connect) -> None:
        run, report = commands("coverage")
        ask_and_stop(free.serve(through=before_manage(run)), connect)

        rows = free.python(*report).splitlines()
        (row,) = (row for row in rows if row.startswith("events.py"))
        assert row.split()[3] == "100%"


class TestCProfile:
    def test_sees_the_calls_of_handlers(self, free: Project, connect: Connect) -> None:
        (run,) = commands("cProfile")
        ask_and_stop(free.serve(through=before_manage(run)), connect)

        (name,) = (Path(word).name for word in run if word.endswith(".prof"))
        report = free.python("-c", f"import pstats; pstats.Stats({name!r}).print_stats('events')")
        assert "(total)" in report
