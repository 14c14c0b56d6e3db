"""Two hosts behind an nginx that chooses by the session's id; one of them dies, and then the other.

Each host is a network namespace with workers of gunicorn; nginx and Redis are on the machine
itself. The clients are the official ones, for Node.js. Needs root.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic, sleep
from typing import Any

from tests.scale.tables import NOTHING, show, spread
from tests.support.http import Http
from tests.support.nginx import nginx
from tests.support.server import ROOT, Configuration
from tests.support.tools import free_port, require, wait_until

NODES = {"a": 1, "b": 2}
PORT = 9000
RECOVERY = 120.0
"""Seconds in which all clients must be back: a cut is noticed by the missing ping, after 45 s."""

SITE = """\
    upstream pool {{
        server 10.77.1.1:9000 max_fails=1 fail_timeout=5s;
        server 10.77.2.1:9000 max_fails=1 fail_timeout=5s;
    }}
    upstream node_a {{ server 10.77.1.1:9000; keepalive 16; }}
    upstream node_b {{ server 10.77.2.1:9000; keepalive 16; }}
    map $arg_sid $socketio_upstream {{ ~^a- node_a; ~^b- node_b; default pool; }}
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://$socketio_upstream;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_connect_timeout 2s;
            proxy_read_timeout 60s;
            proxy_buffering off;
        }}
    }}
"""
CLIENTS = """\
const { io } = require("socket.io-client");
const [url, count] = process.argv.slice(1);
const say = (what) => console.log(JSON.stringify({ at: performance.now() / 1000, ...what }));
for (let number = 0; number < Number(count); number++) {
  const transports = number % 2 ? ["polling", "websocket"] : ["polling"];
  const socket = io(url, { transports, forceNew: true });
  socket.on("connect", () => {
    const { engine } = socket.io;
    socket.emit("join", () => say({ number, event: "connect", sid: engine.id }));
  });
  socket.on("disconnect", (reason) => say({ number, event: "disconnect", reason }));
  socket.on("connect_error", (error) => say({ number, event: "error", reason: error.message }));
  socket.on("tick", (tick) => say({ number, event: "tick", tick }));
}
"""


def ip(*arguments: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *arguments], check=True)


@contextmanager
def hosts() -> Iterator[None]:
    """Make the namespaces, each with a cable to the machine."""
    with ExitStack() as stack:
        for name, number in NODES.items():
            space, outer, inner = f"scale-{name}", f"scale-{name}0", f"scale-{name}1"
            ip("netns", "add", space)
            stack.callback(ip, "netns", "delete", space)
            ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
            ip("address", "add", f"10.77.{number}.254/24", "dev", outer)
            ip("link", "set", outer, "up")
            ip("-n", space, "address", "add", f"10.77.{number}.1/24", "dev", inner)
            ip("-n", space, "link", "set", inner, "up")
            ip("-n", space, "link", "set", "lo", "up")
        yield


class Host:
    """The workers of one host."""

    def __init__(self, name: str, folder: Path, redis_port: int, workers: int) -> None:
        self.name = name
        self._address = f"10.77.{NODES[name]}.1"
        self._log = folder / f"{name}.log"
        self._command = ["ip", "netns", "exec", f"scale-{name}", sys.executable, "-m", "gunicorn"]
        self._command += ["tests.project.wsgi", "-k", "socketio_server.gunicorn.Worker"]
        self._command += ["-w", str(workers), "-b", f"{self._address}:{PORT}"]
        settings = {
            "SOCKETIO_BROKER_URL": f"redis://10.77.{NODES[name]}.254:{redis_port}/0",
            "SOCKETIO_EVENTS": ["tests.scale.handlers"],
            "SOCKETIO_MESSAGE_LOG_FORMAT": None,
            "SOCKETIO_NODE": name,
            "ALLOWED_HOSTS": ["*"],
        }
        self._variables = Configuration(folder, settings=settings).variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start them, and wait until they serve."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self._variables,
                start_new_session=True,
            )
        wait_until(self._serves, f"host {self.name}", 30)

    def kill(self) -> None:
        """Kill all of them."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def plug(self, state: str) -> None:
        """Plug the host's cable in (``up``), or pull it (``down``)."""
        ip("-n", f"scale-{self.name}", "link", "set", f"scale-{self.name}1", state)

    def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with suppress(OSError), Http((self._address, PORT)) as http:
            return http.get("/scheme/").status == 200
        return False


class Clients:
    """The official clients, all in one process of Node.js."""

    def __init__(self, port: int, count: int) -> None:
        require("node")
        self.notes: list[dict[str, Any]] = []
        self.count = count
        self._process = subprocess.Popen(
            ["node", "-e", CLIENTS, f"http://127.0.0.1:{port}", str(count)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def at(self) -> dict[int, str]:
        """Return at which host each client is that is connected."""
        found: dict[int, str] = {}
        for note in list(self.notes):
            if note["event"] == "connect":
                found[note["number"]] = note["sid"].partition("-")[0]
            elif note["event"] == "disconnect":
                found.pop(note["number"], None)
        return found

    def all_there(self) -> bool:
        """Return whether all are connected."""
        return len(self.at()) == self.count

    def wait_for(self, lost: set[int], first: int) -> None:
        """Wait until these have connected again since some note, and all are there."""

        def are_back() -> bool:
            since = {n["number"] for n in self.notes[first:] if n["event"] == "connect"}
            return lost <= since and self.all_there()

        wait_until(are_back, "all clients to be back", RECOVERY)

    def stop(self) -> None:
        """End them."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self.notes.append(json.loads(line))


def kill(host: Host) -> None:
    """Kill a host's workers: nginx is refused."""
    host.kill()


def revive(host: Host) -> None:
    """Start a host's workers again."""
    host.start()
    sleep(5)


def pull(host: Host) -> None:
    """Pull a host's cable: nobody is told."""
    host.plug("down")


def plug_in(host: Host) -> None:
    """Plug a host's cable in."""
    host.plug("up")
    sleep(5)


STEPS: list[tuple[str, str, Callable[[Host], None]]] = [
    ("b is killed", "b", kill),
    ("b is back", "b", revive),
    ("the cable of a is pulled", "a", pull),
    ("the cable of a is plugged in", "a", plug_in),
]


def main(clients: int, workers: int) -> None:
    """Try it, and print what came of it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(hosts())
        redis_port, port = free_port("10.77.1.254"), free_port()
        stack.enter_context(redis(folder, redis_port))
        a, b = (Host(name, folder, redis_port, workers) for name in NODES)
        for host in (a, b):
            stack.callback(host.kill)
            host.start()
        stack.enter_context(nginx(folder, SITE.format(port=port), lambda: answers(port)))
        crowd = Clients(port, clients)
        stack.callback(crowd.stop)
        wait_until(crowd.all_there, "all clients", RECOVERY)
        rows: list[Sequence[object]] = [
            (
                "what",
                "at a",
                "at b",
                "clients cut",
                "reasons",
                "errors",
                "all back after, s",
                "away, s (median / p99 / max)",
            )
        ]
        rows.append(
            ("all have come", *shares(crowd), 0, NOTHING, errors(crowd.notes), NOTHING, NOTHING)
        )
        for name, node, step in STEPS:
            first, began = len(crowd.notes), monotonic()
            lost = {number for number, at in crowd.at().items() if at == node}
            step({"a": a, "b": b}[node])
            if step in (kill, pull):
                crowd.wait_for(lost, first)
            seconds = f"{monotonic() - began:.0f}"
            notes = crowd.notes[first:]
            reasons = Counter(note["reason"] for note in notes if note["event"] == "disconnect")
            cells = (sum(reasons.values()), dict(reasons) or NOTHING, errors(notes), seconds)
            rows.append((name, *shares(crowd), *cells, spread(away(notes))))
        show(f"{clients} official clients, two hosts with {workers} workers each, nginx", rows)


def shares(crowd: Clients) -> tuple[int, int]:
    """Return how many clients are at each host."""
    found = Counter(crowd.at().values())
    return found["a"], found["b"]


def errors(notes: Sequence[dict[str, Any]]) -> object:
    """Return why attempts to connect failed."""
    return dict(Counter(note["reason"] for note in notes if note["event"] == "error")) or 0


def away(notes: Sequence[dict[str, Any]]) -> list[float]:
    """Return for how long clients were away."""
    left: dict[int, float] = {}
    found = []
    for note in notes:
        if note["event"] == "disconnect":
            left[note["number"]] = note["at"]
        elif note["event"] == "connect" and note["number"] in left:
            found.append(note["at"] - left.pop(note["number"]))
    return found


def answers(port: int) -> bool:
    """Return whether nginx does."""
    with Http(("127.0.0.1", port)) as http:
        return http.get("/scheme/").status == 200


@contextmanager
def redis(folder: Path, port: int) -> Iterator[None]:
    """Run a Redis that both hosts reach."""
    command = ["redis-server", "--port", str(port), "--dir", str(folder), "--save", ""]
    command += ["--bind", "10.77.1.254", "10.77.2.254", "--protected-mode", "no"]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()
