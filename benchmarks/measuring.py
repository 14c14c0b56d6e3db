"""One measurement: start a server, load it, and return what the load generator found."""

import ast
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

from benchmarks.cluster import REDIS, add_costs, servers_of
from benchmarks.places import PROJECT, Workshop
from benchmarks.scenarios import CLUSTER_LOADS, LOADS, Load
from benchmarks.servers import (
    HOST,
    SERVERS,
    START_TIMEOUT,
    Cpus,
    Failure,
    Process,
    Server,
    environment,
    pinned,
)

LOAD_TIMEOUT = 300.0
"""Seconds that a load may take in all; connecting 15,000 clients to the slowest is most of it."""

MATCH = "xxxxxxxx"
"""What of a message the load generator looks for."""

SETTLING = 0.3
"""Seconds that a server has after it listens."""

DJANGO = Server(
    title="Django's runserver",
    command=(sys.executable, str(PROJECT), "runserver", "--noreload", f"{HOST}:{{port}}"),
)
STARTED = {"ours": (SERVERS["ours"], {}), "django": (DJANGO, {"BENCHMARK_PLAIN": "1"})}
"""Whose start is timed, and what it needs in its environment."""


class Bench:
    """Takes measurements, each with the server on one CPU and the load on another.

    :param smoke: to find out whether all works, with a few connections for a moment.
    """

    def __init__(self, workshop: Workshop, *, smoke: bool = False) -> None:
        self.workshop = workshop
        self.smoke = smoke
        self.cpus = Cpus.choose()

    def start(self, server: Server, name: str) -> Process:
        """Return a server that is about to start.

        :param name: that of its log.
        """
        return Process(server, self.workshop, self.cpus.server, self.workshop.logs / f"{name}.log")

    def load(self, process: Process, server: Server, scenario: str) -> dict[str, Any]:
        """Load a server that runs, and return what the load generator says.

        :raises Failure: if it can't.
        """
        process.wait_until_it_listens()
        if not self.smoke:
            time.sleep(SETTLING)
        load = LOADS[scenario]
        found = self._generate(load, self._arguments(process, server, load))
        process.check()
        if load.mode == "stalled" and server is SERVERS["ours"]:
            refusals = re.search(r"refusals (\{.*\})", process.statistics())
            found["refusals"] = ast.literal_eval(refusals[1]) if refusals else {}
        return found

    def cluster(self, label: str, scenario: str) -> dict[str, Any]:
        """Load several processes of a server, with a Redis between them.

        :raises Failure: if it can't.
        """
        with ExitStack() as stack:

            def start(server: Server, number: int, cpu: int | None, broker: str = "") -> Process:
                log = self.workshop.logs / f"{label}.{scenario}.{number}.log"
                variables = {"BENCHMARK_BROKER": broker}
                return stack.enter_context(Process(server, self.workshop, cpu, log, variables))

            redis = start(REDIS, 0, self.cpus.load)
            redis.wait_until_it_listens()
            broker = f"redis://{HOST}:{redis.port}/0"
            processes = [
                start(server, number, self.cpus.server, broker)
                for number, server in enumerate(servers_of(scenario, label), 1)
            ]
            for process in processes:
                process.wait_until_it_listens()
            time.sleep(SETTLING)
            if scenario == "moved":
                command = [sys.executable, "-m", "benchmarks.moves", "--port"]
                command += [str(processes[0].port), *(["--smoke"] if self.smoke else [])]
                return _last_json(self._run(command, self.cpus.load))
            found = self._load_all(CLUSTER_LOADS[scenario], scenario, processes, redis)
            for process in processes:
                process.check()
        return found

    def _load_all(
        self, load: Load, scenario: str, processes: Sequence[Process], redis: Process
    ) -> dict[str, Any]:
        """Load processes; ``absent``: only the first one."""
        server = SERVERS["ours"]  # for its protocol
        arguments = self._arguments(processes[0], server, load, ack_id="1")
        if scenario == "workers":
            return self._generate(load, arguments)
        arguments += ["--ready-match", "431[true]"]
        for process in processes[1:]:
            arguments += ["--server-pid", str(process.pid)]
            arguments += [] if scenario == "absent" else ["--port", str(process.port)]
        found = self._generate(load, [*arguments, "--server-pid", str(redis.pid)])
        add_costs(found)
        return found

    def _generate(self, load: Load, arguments: Sequence[str]) -> dict[str, Any]:
        """Run the load generator, and return what it says."""
        command = [str(self.workshop.programs / "loadgen"), *arguments]
        try:
            done = subprocess.run(
                pinned(self.cpus.load, command),
                capture_output=True,
                text=True,
                timeout=LOAD_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"took more than {LOAD_TIMEOUT:g} s") from None
        found = _last_json(done)
        for key in [key for key in found if key.startswith("lat_us") and found[key] < 0]:
            del found[key]  # no message was sent and delivered within the measured time
        if found["failed"] or found["connect_timeouts"]:
            raise Failure(f"only {found['ready']} of {found['conns']} clients were connected")
        if load.action and not found["deliveries"]:
            raise Failure("nothing was delivered in the measured time")
        return found

    def readers(self, process: Process, name: str) -> dict[str, Any]:
        """Send much to clients that read at their own pace (``benchmarks.readers``)."""
        process.wait_until_it_listens()
        command = [sys.executable, "-m", "benchmarks.readers", name]
        command += ["--port", str(process.port), "--server-pid", str(process.pid)]
        command += ["--smoke"] if self.smoke else []
        found = _last_json(self._run(command, self.cpus.load))
        process.check()
        return found

    def calibrate(self) -> dict[str, float]:
        """Return what this machine costs just now, in ns, so that noise can be recognised."""
        found: dict[str, float] = _last_json(
            self._run([str(self.workshop.programs / "calib"), "10" if self.smoke else "1000"])
        )
        return found

    def inprocess(self, name: str) -> dict[str, Any]:
        """Measure something of our own without a network (``benchmarks.inprocess``)."""
        command = [sys.executable, "-m", "benchmarks.inprocess", name]
        return _last_json(self._run([*command, "--smoke"] if self.smoke else command))

    def time_start(self, name: str) -> dict[str, float]:
        """Return how long it takes from the process's start to the first answered request."""
        server, variables = STARTED[name]
        log = self.workshop.logs / f"{name}.start.log"
        began = time.monotonic()
        process = Process(server, self.workshop, self.cpus.server, log, variables)
        with process:
            while not _answers(process.port):
                process.check()
                if time.monotonic() - began > START_TIMEOUT:
                    raise Failure("it does not answer")
                time.sleep(0.002)
            wall, cpu = time.monotonic() - began, process.cpu_seconds()
        return {"start_ms": wall * 1e3, "start_cpu_ms": cpu * 1e3}

    def _arguments(
        self, process: Process, server: Server, load: Load, *, ack_id: str = ""
    ) -> list[str]:
        """Return the load generator's arguments.

        :param ack_id: asks for an answer to a subscription.
        """
        arguments = [load.mode, "--port", str(process.port), "--server-pid", str(process.pid)]
        arguments += load.arguments(smoke=self.smoke)
        if not server.is_socketio:
            arguments += ["--raw", "--path", "/ws"]
        if load.action:
            message = f'{{"action":"{load.action}","data":"%PAD%"}}'
            frame = f'42["message",{message}]' if server.is_socketio else message
            size = load.size + len(frame) - len(message)
            arguments += ["--message", frame, "--payload", str(size), "--match", MATCH]
        if load.action == "message":
            subscribe = f'42{ack_id}["__subscribe__","room-1"]'
            raw_subscribe = '{"action":"subscribe","room":"room-1"}'
            arguments += ["--after-connect", subscribe if server.is_socketio else raw_subscribe]
        return arguments

    def _run(self, command: list[str], cpu: int | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            pinned(self.cpus.server if cpu is None else cpu, command),
            capture_output=True,
            text=True,
            env=environment(self.workshop, DJANGO_SETTINGS_MODULE="benchmarks.project.settings"),
            check=False,
        )


def _last_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON object in a program's last line."""
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode or not last.startswith("{"):
        raise Failure((done.stderr.strip() or last or f"exit status {done.returncode}")[-300:])
    found: dict[str, Any] = json.loads(last)
    return found


def _answers(port: int) -> bool:
    """Return whether a request is answered."""
    connection = HTTPConnection(HOST, port, timeout=START_TIMEOUT)
    with suppress(OSError, HTTPException):
        connection.request("GET", "/")
        return connection.getresponse().read() == b"ready"
    return False
