"""The benchmarks work: every scenario, with a few connections for a moment. No figure is judged."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.server import ROOT
from tests.support.tools import require

RUN = ROOT / "benchmarks" / "run.py"
TIMEOUT = 300

LOADS = ["idle5k", "idle15k", "echo1", "echo8", "fan100", "fan1000", "fan5000", "fan15000"]
DELIVERING = ["echo1", "echo8", "orm1", "fan100", "fan1000", "fan5000", "fan15000", "poll"]
MEASUREMENTS = {
    *((name, server) for name in (*LOADS, "stalled") for server in ("ours", "limit")),
    *((name, "ours") for name in ("orm1", "poll", "slow", "burst", "big", "start")),
    ("orm1", "view"),
    ("start", "django"),
}

CLUSTER_ROWS = [
    "fan-out to 1,000 at two processes",
    "to a client of the other",
    "200 a second to the other",
    "a room that nobody is in here",
    "two workers, echo",
    "poll on a connection that moves",
]


class Smoke(NamedTuple):
    """What a smoke run left."""

    folder: Path
    done: subprocess.CompletedProcess[str]
    records: dict[tuple[str, str], dict[str, Any]]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks' command."""
    return subprocess.run(
        [sys.executable, str(RUN), "--folder", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    for program in ("gcc", "taskset"):
        require(program)
    folder = tmp_path_factory.mktemp("bench")
    done = run(folder, "--smoke")
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    found = {(r["scenario"], r["server"]): r for r in records if "scenario" in r}
    return Smoke(folder, done, found)


@pytest.mark.timeout(TIMEOUT)
class TestSmokeRun:
    def test_it_measures_every_scenario_with_our_server_and_the_limit(self, smoke: Smoke) -> None:
        errors = {key: r["error"] for key, r in smoke.records.items() if "error" in r}
        assert errors == {}
        assert set(smoke.records) == MEASUREMENTS
        assert smoke.done.returncode == 0, smoke.done.stdout + smoke.done.stderr

    def test_every_client_was_connected_and_none_was_lost(self, smoke: Smoke) -> None:
        loads = [r["measured"] for r in smoke.records.values() if "conns" in r["measured"]]
        assert len(loads) == 2 * (len(LOADS) + 1) + 2
        for measured in loads:
            assert measured["ready"] == measured["conns"]
            assert measured["dead"] == 0

    @pytest.mark.parametrize("scenario", DELIVERING)
    def test_our_server_delivers(self, smoke: Smoke, scenario: str) -> None:
        assert smoke.records[scenario, "ours"]["measured"]["deliveries"] > 0

    def test_it_prints_a_table_with_ratios(self, smoke: Smoke) -> None:
        assert "| Node.js | limit | ÷ limit | ÷ Node.js | goal | reached |" in smoke.done.stdout
        assert "| growth of CPU per delivery, 100 → 15,000 |" in smoke.done.stdout


@pytest.mark.timeout(TIMEOUT)
class TestCluster:
    def test_it_measures_two_processes_with_a_redis(self, tmp_path: Path) -> None:
        for program in ("gcc", "taskset", "redis-server"):
            require(program)
        done = run(tmp_path, "--smoke", "--servers", "ours", "--scenarios", "cluster")
        assert done.returncode == 0, done.stdout + done.stderr
        for row in CLUSTER_ROWS:
            assert f"| {row}" in done.stdout


@pytest.mark.timeout(TIMEOUT)
class TestSummary:
    def test_it_prints_the_tables_of_the_last_results_again(self, smoke: Smoke) -> None:
        again = run(smoke.folder, "--summary")
        assert again.returncode == 0
        assert again.stdout.strip() in smoke.done.stdout

    def test_it_says_so_where_nothing_was_measured(self, tmp_path: Path) -> None:
        done = run(tmp_path, "--summary")
        assert done.returncode == 1
        assert "nothing has been measured yet" in done.stdout


class TestArguments:
    def test_an_unknown_scenario_is_refused(self, tmp_path: Path) -> None:
        done = run(tmp_path, "--scenarios", "fan1001")
        assert done.returncode == 2
        assert "'fan1001' is none of" in done.stderr
