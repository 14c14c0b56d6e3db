"""Watches a server while something is done to it, and checks that nothing of it remains.

``Watch`` is what the fixture ``watch`` gives: a context manager around what is done.
"""

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from tests.faults.bystander import Bystander
from tests.support.http import Http
from tests.support.server import Server
from tests.support.tools import PATIENCE, count_descriptors, wait_until
from tests.support.views import HELD

MAX_ANSWER = 5.0
"""Seconds that a bystander's answer may take: far more than is promised, for machines are busy."""

MAX_GROWTH = 64 * 1024 * 1024
"""Bytes by which a server's memory may have grown afterwards: what allocators keep."""

REST = 5.0
"""Seconds in which memory may come back after an attack."""

MOST = 128 * 1024 * 1024
"""Bytes that any attack may make a server hold for a while."""

USUAL = 20 * 1024 * 1024
"""Bytes by which it may have grown then; the table tells what it was after ``REST``."""

SPACE = 512 * 1024 * 1024
"""Bytes of address space that a server under attack may add to what it has: some of it is only
reserved, by threads for instance."""

MIB = 1024 * 1024

MEMORY = "MiB before → peak → after"
"""What the column of the server's memory tells."""


class Row(NamedTuple):
    """What one trial came to: a line of the table."""

    area: str
    what: str
    inputs: int
    seconds: float
    answers: int
    slowest: float
    memory: tuple[int, int, int]
    descriptors: tuple[int, int]


class Trial:
    """Something that is done to a server.

    :param inputs: what is counted, for the table: messages, connections, attempts.
    """

    def __init__(self, server: Server, inputs: int) -> None:
        self.server = server
        self.inputs = inputs
        self._output = len(server.output)

    @property
    def log(self) -> str:
        """What the server has written since it began."""
        return self.server.output[self._output :]


class Memory(NamedTuple):
    """A process's resident memory in bytes: as of now, and the most that it was."""

    now: int
    peak: int

    @classmethod
    def of(cls, pid: int) -> "Memory":
        """Look at a process."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = {key: value.split() for key, value in (line.split(":", 1) for line in lines)}
        return cls(int(fields["VmRSS"][0]) * 1024, int(fields["VmHWM"][0]) * 1024)

    @classmethod
    def at_rest(cls, pid: int, usual: int) -> "Memory":
        """Look at a process when it has no more than ``usual``, or ``REST`` seconds later."""
        with suppress(AssertionError):
            wait_until(lambda: cls.of(pid).now <= usual, "memory to come back", REST)
        return cls.of(pid)

    @staticmethod
    def forget_peak(pid: int) -> None:
        """Count the most anew, where the system lets us."""
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


@contextmanager
def limited_space(pid: int, more: int | None) -> Iterator[None]:
    """Limit the address space of a process.

    :param more: bytes beyond what it has; ``None``: no limit.
    """
    if more is None:
        yield
        return
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    usual = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize() + more, usual[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, usual)


def look(server: Server, view: str) -> dict[str, Any]:
    """Return what one of the project's views tells of the process."""
    with Http(server.address) as http:
        found: dict[str, Any] = http.get(f"/{view}/").json
        return found


def waiting_bytes(server: Server) -> int:
    """Return how many bytes wait for handlers."""
    count: int = look(server, "stats")["waiting_bytes"]
    return count


def longest_turn(server: Server) -> float:
    """Return the seconds of the processor's time that the longest turn of a server's loop took
    since the last call.
    """
    seconds: float = look(server, "turns")["longest"]
    return seconds


def held(server: Server) -> dict[str, int]:
    """Return what the server holds for its clients, its descriptors included."""
    stats = look(server, "stats")
    return {**{key: stats[key] for key in HELD}, "descriptors": count_descriptors(server.pid)}


class Watch:
    """Watches trials; one for all tests.

    :param rows: takes what they came to.
    """

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._bystanders: dict[int, Bystander] = {}  # by the server's process

    @contextmanager
    def __call__(
        self,
        server: Server,
        area: str,
        what: str,
        *,
        inputs: int = 0,
        raises: bool = False,
        most: int | None = None,
        keeps: int = MAX_GROWTH,
        patience: float = PATIENCE,
    ) -> Iterator[Trial]:
        """Watch what is done in the ``with`` block.

        :param area: the part of the table, and what was done, as a row of it.
        :param inputs: how many of something that is; ``Trial.inputs`` can be set later.
        :param raises: whether handlers raise on purpose; else there may be no traceback in the log.
        :param most: bytes by which the server's memory may grow meanwhile, if that is bounded.
        :param keeps: bytes by which it may have grown afterwards.
        :param patience: seconds after which nothing may remain.
        """
        bystander = self._bystander(server)
        trial = Trial(server, inputs)
        alive = look(server, "census")["alive"]
        before = held(server)
        Memory.forget_peak(server.pid)
        memory = Memory.of(server.pid).now
        bystander.begin()
        began = monotonic()
        with limited_space(server.pid, None if most is None else SPACE):
            yield trial
            seconds = monotonic() - began
            wait_for_return(server, before, patience)
            measured = bystander.end()
        after = Memory.at_rest(server.pid, memory + USUAL)
        row = Row(
            area,
            what,
            trial.inputs,
            seconds,
            measured.answers,
            measured.slowest,
            (memory, after.peak, after.now),
            (before["descriptors"], count_descriptors(server.pid)),
        )
        self._rows.append(row)
        check_remains(server, alive)
        assert server.running
        assert row.slowest < MAX_ANSWER, row
        assert row.memory[2] < row.memory[0] + keeps, row
        assert most is None or row.memory[1] < row.memory[0] + most, row
        if not raises:
            assert "Traceback" not in trial.log, trial.log[trial.log.index("Traceback") :][:5000]

    def close(self) -> None:
        """End the bystanders."""
        for bystander in self._bystanders.values():
            bystander.leave()

    def _bystander(self, server: Server) -> Bystander:
        bystander = self._bystanders.get(server.pid)
        if bystander is None or not bystander.is_there:  # one that was not served has gone
            bystander = self._bystanders[server.pid] = Bystander(server.address)
        return bystander


def wait_for_return(server: Server, before: Mapping[str, int], patience: float) -> None:
    """Wait until a server holds no more than it did before."""
    now: dict[str, int] = {}

    def has_returned() -> bool:
        now.update(held(server))
        return all(now[key] <= before[key] for key in before)

    try:
        wait_until(has_returned, "the server to let go", patience)
    except AssertionError as error:
        raise AssertionError(f"{error}: it held {dict(before)} and holds {now}") from None


def check_remains(server: Server, before: Mapping[str, int]) -> None:
    """Check that nothing of the clients is alive in the process, and that all had their events."""

    def remains() -> dict[str, int]:
        alive = look(server, "census")["alive"]
        return {kind: n for kind, n in alive.items() if n > before.get(kind, 0)}

    with suppress(AssertionError):  # told better below
        wait_until(lambda: not remains(), "all to be gone")
    assert remains() == {}, f"of {dict(before)} before"
    census = look(server, "census")
    assert census["faults"] == []
    connected, disconnected, finished = (
        census["tally"].get(event, 0) for event in ("on_connect", "on_disconnect", "on_finish")
    )
    assert disconnected == finished
    assert connected - finished == look(server, "stats")["sockets"]


def table(rows: list[Row]) -> list[str]:
    """Return the table's lines."""
    heads = ("tried", "inputs", "seconds", "worst bystander", "answers", MEMORY, "descriptors")
    cells = [heads] + [
        (
            f"{row.area}: {row.what}",
            f"{row.inputs:,}",
            f"{row.seconds:.1f}",
            f"{row.slowest * 1000:.0f} ms",
            f"{row.answers:,}",
            " → ".join(f"{size / MIB:.0f}" for size in row.memory),
            " → ".join(map(str, row.descriptors)),
        )
        for row in sorted(rows)
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    return [lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]
