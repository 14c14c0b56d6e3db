"""Measures our server beside others, interleaved, and prints tables with ratios.

Without arguments: our server, Node.js and the limit in all scenarios, three times, in about ten
minutes on a machine with nothing else to do. The goals are ratios within one run.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import docs, tools
from benchmarks.cluster import LABELS
from benchmarks.measuring import STARTED, Bench
from benchmarks.places import IMAGES, ROOT, Workshop, say
from benchmarks.report import TITLES, report
from benchmarks.results import Results, append, read
from benchmarks.scenarios import ALIASES, CLUSTER, COMPARED, LOADS, NAMES, READERS
from benchmarks.servers import QUICK, SERVERS, Failure, Process, Server

SMOKE = ("ours", "limit")


def main() -> int:
    """Do what the command line asks for; return the exit status."""
    given = _parse()
    workshop = Workshop(given.folder.resolve())
    path = given.results or workshop.results
    try:
        if given.summary or given.write_docs:
            return _show(workshop, path, write=given.write_docs)
        return _Run(workshop, path, given).measure()
    except Failure as failure:
        say(f"Error: {failure}")
        return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python benchmarks/run.py")
    parser.add_argument(
        "--servers", type=_servers, help=f"of {', '.join(SERVERS)}; all; default {','.join(QUICK)}"
    )
    parser.add_argument(
        "--scenarios",
        type=_scenarios,
        help=f"of {', '.join(NAMES)}, connect; by default all these, for other servers than "
        f"{', '.join(QUICK)} {', '.join(COMPARED)}; several processes: cluster, which is "
        f"{', '.join(CLUSTER)}",
    )
    parser.add_argument("--repeats", type=int, help="how often, interleaved (3)")
    parser.add_argument("--smoke", action="store_true", help="only find out whether all works")
    parser.add_argument("--summary", action="store_true", help="print the last results again")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the last results into docs/performance.md"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench", help="for all that is made")
    parser.add_argument("--results", type=Path, help="JSON lines, added to")
    return parser.parse_args()


def _servers(text: str) -> list[str]:
    return list(SERVERS) if text == "all" else _names(text, SERVERS)


def _scenarios(text: str) -> list[str]:
    names = _names(text, (*NAMES, *CLUSTER, *ALIASES))
    return list(dict.fromkeys(each for name in names for each in ALIASES.get(name, (name,))))


def _names(text: str, known: Any) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return names


def _show(workshop: Workshop, path: Path, *, write: bool) -> int:
    """Print what was measured last, and put it into the documentation."""
    results = Results(read(path))
    if not results:
        raise Failure(f"nothing has been measured yet: there is no {path}")
    say(report(results))
    if write:
        tools.install_python(workshop)
        docs.draw(workshop, path, IMAGES)
        docs.write(results)
        say("\nWritten to docs/performance.md.")
    return 0


class _Run:
    """One run: some scenarios with some servers, some times."""

    def __init__(self, workshop: Workshop, path: Path, given: argparse.Namespace) -> None:
        self.workshop = workshop
        self.path = path
        self.smoke: bool = given.smoke
        self.servers: list[str] = given.servers or list(SMOKE if given.smoke else QUICK)
        self.scenarios: list[str] = given.scenarios or list(NAMES)
        self.all_measured_in = self.scenarios if given.scenarios or given.smoke else COMPARED
        self.repeats: int = given.repeats or (1 if given.smoke else 3)
        self.bench = Bench(workshop, smoke=given.smoke)
        self.id = time.strftime("%Y%m%dT%H%M%S")
        self.failed = False
        self._running: dict[str, Process] = {}  # in a smoke run, servers that go on

    def measure(self) -> int:
        """Measure all, print the tables, and return the exit status."""
        self._set_up()
        machine = {**tools.describe(), "repeats": self.repeats}
        append(self.path, {"run": self.id, "machine": machine})
        began = time.monotonic()
        with ExitStack() as stack:
            try:
                for scenario in self.scenarios:
                    self._measure_scenario(scenario, stack)
            except KeyboardInterrupt:
                say("Interrupted; so far:")
                self.failed = True
        say(f"\nTook {time.monotonic() - began:.0f} s.\n")
        say(report(Results(r for r in read(self.path) if r["run"] == self.id)))
        if not self.smoke:
            tools.install_python(self.workshop)
            docs.draw(self.workshop, self.path, self.workshop.plots)
            say(f"\nResults in {self.path}, plots in {self.workshop.plots}.")
        return int(self.failed)

    def _set_up(self) -> None:
        self.descriptors = tools.allow_descriptors()
        tools.compile_programs(self.workshop)
        needs = {SERVERS[name].needs for name in self.servers}
        if "node" in needs:
            tools.install_node(self.workshop)
        if "python" in needs:
            tools.install_python(self.workshop)
        if "ours" in self.servers:
            tools.prepare_database(self.workshop)

    def _measure_scenario(self, scenario: str, stack: ExitStack) -> None:
        compared = scenario in self.all_measured_in
        servers = [name for name in self.servers if compared or name in QUICK]
        for repeat in range(self.repeats):
            turn = repeat % max(1, len(servers))  # another one goes first each time
            for server in [*servers[turn:], *servers[:turn]]:
                for label in self._labels(scenario, server):
                    self._record(scenario, label, repeat, stack)

    def _labels(self, scenario: str, server: str) -> Iterator[str]:
        """Yield what is measured of a server: itself, and what it is compared with alone."""
        if scenario == "start":
            yield from STARTED if server == "ours" else ()
        elif scenario in CLUSTER:
            yield from LABELS.get(scenario, ("ours",)) if server == "ours" else ()
            yield from ("node",) if server == "node" and scenario not in LABELS else ()
        elif scenario == "big" or scenario in READERS:
            yield from ("ours",) if server == "ours" else ()
        elif LOADS[scenario].only not in (None, server):
            return
        elif LOADS[scenario].mode != "poll" or SERVERS[server].polls:
            yield server
            if scenario == "orm1":
                yield "view"

    def _record(self, scenario: str, label: str, repeat: int, stack: ExitStack) -> None:
        record: dict[str, Any] = {
            "run": self.id,
            "scenario": scenario,
            "server": label,
            "repeat": repeat,
            "at": time.time(),
        }
        try:
            record["calibration"] = self.bench.calibrate()
            record["measured"] = self._measure(scenario, label, stack)
            outcome = _outcome(record["measured"])
        except Failure as failure:
            record["error"] = str(failure)
            outcome = f"FAILED: {failure}"
            self.failed |= self.smoke or label in QUICK
        append(self.path, record)
        say(f"{scenario:9} {repeat + 1}/{self.repeats}  {TITLES[label]:42} {outcome}")

    def _measure(self, scenario: str, label: str, stack: ExitStack) -> dict[str, Any]:
        if scenario == "start":
            return self.bench.time_start(label)
        if scenario == "big" or label == "view":
            return self.bench.inprocess("view" if label == "view" else scenario)
        if scenario in CLUSTER:
            return self.bench.cluster(label, scenario)
        needed = 0 if scenario in READERS else LOADS[scenario].descriptors
        if not self.smoke and needed > self.descriptors:
            raise Failure(f"needs {needed:,} descriptors, and may have {self.descriptors:,}")
        server = SERVERS[label]
        if self.smoke:  # one process for all scenarios: it is not the figures that count
            if label not in self._running:
                process = stack.enter_context(self.bench.start(server, f"{label}.smoke"))
                self._running[label] = process
            return self._load(self._running[label], server, scenario)
        with self.bench.start(server, f"{label}.{scenario}") as process:
            return self._load(process, server, scenario)

    def _load(self, process: Process, server: Server, scenario: str) -> dict[str, Any]:
        if scenario in READERS:
            return self.bench.readers(process, scenario)
        return self.bench.load(process, server, scenario)


def _outcome(measured: dict[str, Any]) -> str:
    """Return a line's worth of what was measured."""
    shown = {
        "cpu_us_per_op": "{:.2f} µs of CPU",
        "cpu_us_per_connect": "{:.0f} µs per connect",
        "rss_bytes_per_conn": "{:.0f} B per connection",
        "lat_us_p99": "p99 {:.0f} µs",
        "worst_gap_ms": "gap {:.0f} ms",
        "blocked_ms": "{:.2f} ms",
        "start_ms": "{:.0f} ms",
        "times": "{:.2f} times a request on a connection that stays",
        "sender_us": "sender {:.1f} µs",
        "receiver_us": "receiver {:.2f} µs",
        "redis_us": "Redis {:.1f} µs a message",
        "growth_bytes": "memory +{:,.0f} B",
        "server_cpu_pct": "server at {:.0f}%",
        "client_cpu_pct": "load at {:.0f}%",
    }
    return ", ".join(
        text.format(measured[key]) for key, text in shown.items() if measured.get(key, 0) > 0
    )


if __name__ == "__main__":
    raise SystemExit(main())
