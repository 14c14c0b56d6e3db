"""A client that has nothing to do with any attack, and notes how long its questions take.

A process of its own, since the attacks keep the tests' process busy. It asks all the time, over
WebSocket and over polling. Lines on its standard input tell it when to begin and end measuring;
upon the latter it asks once more, and writes what it measured as a line of JSON.
"""

import json
import subprocess
import sys
from threading import Event, Lock, Thread
from time import perf_counter
from typing import NamedTuple, Self

from tests.support.client import Client
from tests.support.server import ROOT, Address
from tests.support.tools import PATIENCE
from tests.support.wire import TransportName, open_carrier

FILLINGS = ("", "x" * 3000)
"""What the questions carry, in turn: some are not small."""

PAUSE = 0.02
"""Seconds between an answer and the next question."""


class Measured(NamedTuple):
    """How a bystander was served.

    :param answers: how many questions were answered.
    :param slowest: seconds that the slowest answer took.
    """

    answers: int
    slowest: float


class Bystander:
    """Runs and steers a bystander's process."""

    def __init__(self, address: Address) -> None:
        command = [sys.executable, "-m", "tests.faults.bystander", address[0], str(address[1])]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._read() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.leave()

    @property
    def is_there(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def begin(self) -> None:
        """Begin to measure."""
        self._write("begin")

    def end(self) -> Measured:
        """Return what was measured since."""
        self._write("end")
        line = self._read()
        if not line:
            self.leave()
            raise AssertionError("a bystander was not served")
        return Measured(*json.loads(line))

    def leave(self) -> None:
        """End it. Idempotent."""
        self._process.communicate(timeout=PATIENCE)

    def _write(self, line: str) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(f"{line}\n")
        stdin.flush()

    def _read(self) -> str:
        stdout = self._process.stdout
        assert stdout is not None
        return stdout.readline().strip()


class _Asker:
    """Asks over one transport, in a thread of its own."""

    def __init__(self, transport: TransportName, address: Address) -> None:
        self._client = Client(open_carrier(transport, address)).connect()
        self._lock = Lock()
        self._times: list[float] = []
        self._answered = Event()
        self._over = Event()
        self._thread = Thread(target=self._ask_for_ever, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Forget what was measured."""
        with self._lock:
            self._times.clear()

    def end(self) -> list[float]:
        """Wait for one more answer to a question that is asked from now on; return all times."""
        for _ in range(2):  # the first may have been asked before
            self._answered.clear()
            assert self._answered.wait(PATIENCE), "no answer"
        with self._lock:
            return list(self._times)

    def leave(self) -> None:
        """End the session."""
        self._over.set()
        self._thread.join(PATIENCE)
        self._client.close()

    def _ask_for_ever(self) -> None:
        number = 0
        while not self._over.wait(PAUSE):
            began = perf_counter()
            question = [number, FILLINGS[number % len(FILLINGS)]]
            assert self._client.ask("echo", *question) == question
            with self._lock:
                self._times.append(perf_counter() - began)
            self._answered.set()
            number += 1


def main() -> None:
    """Do what the lines on the standard input say."""
    address = sys.argv[1], int(sys.argv[2])
    askers = [_Asker("websocket", address), _Asker("polling", address)]
    _say("ready")
    for line in sys.stdin:
        if line.strip() == "begin":
            for asker in askers:
                asker.begin()
        else:
            times = [time for asker in askers for time in asker.end()]
            _say(json.dumps([len(times), max(times)]))
    for asker in askers:
        asker.leave()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
