"""What was measured, as JSON lines: one for each measurement, and one for each run's machine."""

import json
import statistics
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def append(path: Path, record: Record) -> None:
    """Add a record to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def read(path: Path) -> list[Record]:
    """Return all records of the file, none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


class Results:
    """Each scenario's measurements of the last run that had it.

    :param records: of one run or of several, oldest first.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._given = records = list(records)
        last = {record["scenario"]: record["run"] for record in records if "scenario" in record}
        self.records = [
            record
            for record in records
            if "scenario" in record and record["run"] == last[record["scenario"]]
        ]
        self.machines = [
            record["machine"]
            for record in records
            if "machine" in record and record["run"] in last.values()
        ]

    def of(self, scenarios: Container[str]) -> "Results":
        """Return the results of these scenarios only."""
        return Results(r for r in self._given if "machine" in r or r["scenario"] in scenarios)

    def __bool__(self) -> bool:
        return bool(self.records)

    @property
    def servers(self) -> list[str]:
        """The servers, in the order of their first measurement."""
        return list(dict.fromkeys(record["server"] for record in self.records))

    def errors(self) -> Iterator[tuple[str, str, str]]:
        """Yield scenario, server and reason of each measurement that failed."""
        for record in self.records:
            if "error" in record:
                yield record["scenario"], record["server"], record["error"]

    def values(self, scenario: str, server: str, metric: str) -> dict[int, float]:
        """Return what was measured by repeat."""
        return {
            record["repeat"]: record["measured"][metric]
            for record in self.records
            if (record["scenario"], record["server"]) == (scenario, server)
            and metric in record.get("measured", {})
        }

    def median(self, scenario: str, server: str, metric: str) -> float | None:
        """Return the median of the repeats; ``None`` where nothing was measured."""
        values = self.values(scenario, server, metric).values()
        return statistics.median(values) if values else None

    def range(self, scenario: str, server: str, metric: str) -> tuple[float, float] | None:
        """Return the smallest and the largest of the repeats."""
        values = self.values(scenario, server, metric).values()
        return (min(values), max(values)) if values else None

    def ratio(self, scenario: str, metric: str, server: str, to: str) -> float | None:
        """Return the median of the ratios within each repeat: what ran at about the same time."""
        ours, theirs = (self.values(scenario, name, metric) for name in (server, to))
        ratios = [ours[repeat] / theirs[repeat] for repeat in ours if theirs.get(repeat)]
        return statistics.median(ratios) if ratios else None

    def growth(self, server: str, metric: str, smaller: str, larger: str) -> float | None:
        """Return by what factor a metric grows from one scenario to another."""
        before, after = (self.median(name, server, metric) for name in (smaller, larger))
        return after / before if before and after else None

    def refusals(self, scenario: str) -> list[dict[str, int]]:
        """Return what our server refused, by repeat."""
        return [
            record["measured"]["refusals"]
            for record in self.records
            if record["scenario"] == scenario and "refusals" in record.get("measured", {})
        ]

    def noise(self) -> float | None:
        """Return by how many percent the machine's speed varied, as the calibration saw it."""
        found = [
            record["calibration"]["int_ns"] for record in self.records if record.get("calibration")
        ]
        return (max(found) / min(found) - 1) * 100 if found else None
