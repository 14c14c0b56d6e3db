"""The servers that are compared, and one of them as a process pinned to a CPU."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.places import PEERS, PROJECT, ROOT, Workshop

HOST = "127.0.0.1"
START_TIMEOUT = 60.0
"""Seconds that a server may take to listen."""

PORTS = (10_000, 32_000)
"""Where servers listen: below the ports that the kernel gives to clients."""


class Failure(Exception):
    """Raised when something could not be measured; its text says why."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that may be measured.

    :param title: its name in tables.
    :param command: how it is started; ``{port}`` is replaced, and so are ``{python}`` and
        ``{node}`` by the peers' Python and by Node.js.
    :param is_socketio: whether it speaks Socket.IO; else JSON over bare WebSockets.
    :param polls: whether it answers polling clients.
    """

    title: str
    command: tuple[str, ...]
    is_socketio: bool = True
    polls: bool = True

    @property
    def needs(self) -> str | None:
        """What has to be installed for it: ``python``, ``node`` or nothing."""
        return next((need for need in ("python", "node") if f"{{{need}}}" in self.command), None)


SERVERS = {
    "ours": Server(
        title="django-socketio-server",
        command=(
            *(sys.executable, str(PROJECT)),
            *("runserver_socketio", "--noreload", f"{HOST}:{{port}}"),
        ),
    ),
    "node": Server(
        title="Node.js socket.io", command=("{node}", str(PEERS / "node_socketio.js"), "{port}")
    ),
    "limit": Server(
        title="C, epoll: the limit", command=("{programs}/limit", "{port}"), polls=False
    ),
    "pysio-gevent": Server(
        title="python-socketio, gevent-websocket",
        command=("{python}", str(PEERS / "pysio_gevent.py"), "{port}", "geventwebsocket"),
    ),
    "pysio-simple": Server(
        title="python-socketio, gevent, simple-websocket",
        command=("{python}", str(PEERS / "pysio_gevent.py"), "{port}", "simple"),
    ),
    "pysio-uvicorn": Server(
        title="python-socketio, asyncio, uvicorn",
        command=("{python}", str(PEERS / "pysio_asgi.py"), "{port}"),
    ),
    "channels-uvicorn": Server(
        title="Django Channels, uvicorn",
        command=("{python}", str(PEERS / "channels_server.py"), "{port}", "uvicorn"),
        is_socketio=False,
        polls=False,
    ),
    "channels-daphne": Server(
        title="Django Channels, daphne",
        command=("{python}", str(PEERS / "channels_server.py"), "{port}", "daphne"),
        is_socketio=False,
        polls=False,
    ),
}
QUICK = ("ours", "node", "limit")
"""The servers that the goals are about."""


@dataclass(frozen=True)
class Cpus:
    """The CPUs that the server and the load are pinned to; ``None`` where there is only one."""

    server: int | None
    load: int | None

    @classmethod
    def choose(cls) -> "Cpus":
        """Take the first two that this process may use."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[0], allowed[1]) if len(allowed) > 1 else cls(None, None)


def pinned(cpu: int | None, command: Sequence[str]) -> list[str]:
    """Return a command that runs on that CPU."""
    return list(command) if cpu is None else ["taskset", "--cpu-list", str(cpu), *command]


def environment(workshop: Workshop, **more: str) -> dict[str, str]:
    """Return the environment of all that is started: nothing of a Django project around us."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "PYTHON"))}
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "NODE_PATH": str(workshop.node / "node_modules"),
        "BENCHMARK_DATABASE": str(workshop.database),
        **more,
    }


def free_port() -> int:
    """Return a port that nobody listens on."""
    while True:
        port = random.randint(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port


class Process:
    """A server that runs until the end of a ``with`` block.

    :param log: the file that gets what it says.
    :raises Failure: if it ends, or does not listen in time.
    """

    def __init__(
        self,
        server: Server,
        workshop: Workshop,
        cpu: int | None,
        log: Path,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.log = log
        names = {
            "port": str(self.port),
            "python": str(workshop.python),
            "node": "node",
            "programs": str(workshop.programs),
        }
        log.parent.mkdir(parents=True, exist_ok=True)
        if shutil.which(server.command[0].format(**names)) is None:
            raise Failure(f"{server.command[0].format(**names)} is not installed")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                pinned(cpu, [word.format(**names) for word in server.command]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(workshop, **(variables or {})),
                start_new_session=True,  # so that all its processes can be killed
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used."""
        return time.clock_gettime((~self.pid << 3) | 2)  # the kernel's name for a process's clock

    def check(self) -> None:
        """Fail if it has ended."""
        if self._process.poll() is not None:
            last = self.output.strip().splitlines()[-1:]
            raise Failure(f"the server ended with {self._process.returncode}: {' '.join(last)}")

    def wait_until_it_listens(self) -> None:
        """Wait until it takes connections."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            self.check()
            with suppress(OSError):
                socket.create_connection((HOST, self.port), 1).close()
                return
            if time.monotonic() > deadline:
                raise Failure("the server does not listen")
            time.sleep(0.02)

    def statistics(self) -> str:
        """Have our server log its counters, and return them; nothing if it does not in time."""
        before = len(self.output)
        os.kill(self.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            _, found, text = self.output[before:].partition("Statistics: ")
            if found and "\n" in text:
                return text.splitlines()[0]
            time.sleep(0.02)
        return ""
