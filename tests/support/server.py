"""Servers under test, each a process of its own: ``manage.py runserver_socketio`` of a project.

The project is ``tests.project`` unless a test brings its own. What a server needs to know comes to
it through the environment, which ``tests.project.settings`` reads.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from tests.support.journal import Journal
from tests.support.tools import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]
MANAGE = ROOT / "tests" / "project" / "manage.py"

Address = tuple[str, int]

_BANNER = re.compile(
    r"^Starting server at http://(\S+):(\d+)/\n(?:.*\n)*?.*CONTROL-C", re.MULTILINE
)
_GUNICORNS_BANNER = re.compile(r"Listening at: http://(\S+?):(\d+)[ ,]")


class Configuration(NamedTuple):
    """How a server is started.

    :param folder: where its files go: journal, database.
    :param arguments: the command's own.
    :param settings: Django settings, as JSON carries them, over those of the test project.
    :param manage: the project's ``manage.py``.
    :param cwd: the folder to start it in; by default that of ``manage.py``.
    :param gunicorn: arguments for gunicorn, if that is to run the server.
    :param through: Python's arguments before ``manage.py``: those of a profiler, say.
    """

    folder: Path
    arguments: Sequence[str] = ("--noreload", "127.0.0.1:0")
    settings: Mapping[str, Any] = {}
    environment: Mapping[str, str] = {}
    manage: Path = MANAGE
    cwd: Path | None = None
    gunicorn: Sequence[str] | None = None
    through: Sequence[str] = ()

    @property
    def journal(self) -> Journal:
        """What the server's handlers write."""
        return Journal(self.folder / "journal")

    @property
    def command(self) -> list[str]:
        """The command line."""
        python = [sys.executable, *self.through]
        if self.gunicorn is not None:
            return [*python, "-m", "gunicorn", *self.gunicorn]
        return [*python, str(self.manage), "runserver_socketio", *self.arguments]

    @property
    def banner(self) -> re.Pattern[str]:
        """What the output says when the server listens: groups for host and port."""
        return _BANNER if self.gunicorn is None else _GUNICORNS_BANNER

    @property
    def started_in(self) -> Path:
        """The folder that it is started in."""
        return self.manage.parent if self.cwd is None else self.cwd

    @property
    def variables(self) -> dict[str, str]:
        """The process's environment."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")}
        return {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "TEST_FOLDER": str(self.folder),
            "TEST_SETTINGS": json.dumps(dict(self.settings)),
            **self.environment,
        }

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the command where it is to end by itself, and return what came of it."""
        return subprocess.run(
            self.command,
            cwd=self.started_in,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )


def under_gunicorn(*more: str) -> tuple[str, ...]:
    """Return gunicorn's arguments: the project, our worker, an address, and more."""
    worker = "socketio_server.gunicorn.Worker"
    return ("tests.project.wsgi", "--worker-class", worker, "--bind", "127.0.0.1:0", *more)


class Server:
    """A running server.

    :raises AssertionError: if it does not come up.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.journal = configuration.journal
        self._chunks: list[str] = []
        self._process = subprocess.Popen(
            configuration.command,
            cwd=configuration.started_in,
            env=configuration.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that all its processes can be killed
        )
        self._reader = Thread(target=self._read_output, daemon=True)
        self._reader.start()
        try:
            banner = self.wait_for_output(configuration.banner)
        except AssertionError:
            self.kill()
            raise
        self.url = f"http://{banner[1]}:{banner[2]}/"
        self.address: Address = (banner[1].strip("[]"), int(banner[2]))

    @property
    def pid(self) -> int:
        """The id of the process that was started; with a reloader, of the parent."""
        return self._process.pid

    @property
    def output(self) -> str:
        """All that it has written so far."""
        return "".join(self._chunks)

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait_for_output(self, pattern: str | re.Pattern[str], after: int = 0) -> re.Match[str]:
        """Wait until its output matches a pattern.

        :param after: how many characters of the output to leave out.
        """
        expression = re.compile(pattern)

        def look() -> re.Match[str] | None:
            ended = not self.running and not self._reader.is_alive()
            match = expression.search(self.output[after:])
            assert match or not ended, f"the server ended:\n{self.output}"
            return match

        try:
            match = wait_until(look, f"{expression.pattern!r} in the server's output")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None
        assert match is not None
        return match

    def send_signal(self, signum: signal.Signals, *, group: bool = False) -> None:
        """Send a signal: to the process, or to all of its group as a terminal does."""
        if group:
            os.killpg(self.pid, signum)
        else:
            self._process.send_signal(signum)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it stand still, so that all that happens meanwhile is news to it at once."""
        self.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: self._status("State").startswith("T"), "the server to stand still")
            yield
        finally:
            self.send_signal(signal.SIGCONT)

    @property
    def memory(self) -> int:
        """Bytes of memory that its process has at present."""
        return int(self._status("VmRSS").split()[0]) * 1024

    def _status(self, name: str) -> str:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(line for line in lines if line.startswith(f"{name}:")).split(":")[1].strip()

    def wait(self) -> int:
        """Wait until it has ended; return its exit status."""
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Stop it in order; return its exit status."""
        self.send_signal(signum)
        return self.wait()

    def kill(self) -> None:
        """End it and all its processes now. Idempotent."""
        with suppress(ProcessLookupError):  # all have ended
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def _read_output(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout:
            for line in stdout:
                self._chunks.append(line.decode(errors="replace"))
