"""Memory that a peak has left behind goes back to the system."""

import errno
import subprocess
import sys

import pytest

from socketio_server.serving.process.freed_memory import (
    COLLECTOR_SHARE,
    GROWTH,
    INTERVAL,
    LOOK_AFTER,
    MAX_PAUSE,
    STEP,
    FreedMemory,
    find_trim,
    resident_bytes,
)

START = 100 * STEP


class Process:
    """A process, what it has, and what of it is free, or in cycles."""

    def __init__(self) -> None:
        self.size = START
        self.free = 0
        self.young_cycles = self.old_cycles = 0
        self.held = 0
        self.trims = 0
        self.collections: list[int] = []
        self.time = 0.0
        self.has_descriptors = True
        self.took = 0.1
        """The seconds that a full collection takes."""
        self.memory = FreedMemory(
            lambda: self.held,
            clock=lambda: self.time,
            measure=self.measure,
            trim=self.trim,
            collect=self.collect,
        )
        self.memory.start()

    def measure(self) -> int:
        if not self.has_descriptors:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.size

    def trim(self, kept: int) -> int:
        assert kept == 0
        self.trims += 1
        self.size -= self.free
        self.free = 0
        return 1

    def collect(self, generation: int) -> int:
        self.collections.append(generation)
        self.free += self.young_cycles
        self.young_cycles = 0
        if generation == 2:
            self.time += self.took
            self.free += self.old_cycles
            self.old_cycles = 0
        return 1

    def grow(self, size: int) -> None:
        self.size += size

    def look(self, seconds: float = INTERVAL) -> None:
        for _ in range(round(seconds / INTERVAL)):
            self.time += INTERVAL
            self.memory.look()


@pytest.fixture
def process() -> Process:
    return Process()


class TestFreedMemory:
    def test_is_given_back_soon_after_a_peak(self, process: Process) -> None:
        process.grow(5 * STEP)
        process.look()
        process.free = 5 * STEP
        process.look(2 * INTERVAL)
        assert process.size == START

    def test_is_given_back_soon_even_after_hours_with_much_in_use(self, process: Process) -> None:
        process.grow(5 * STEP)
        process.look(10 * MAX_PAUSE)
        process.grow(5 * STEP)
        process.look()
        process.free = 5 * STEP
        process.look(2 * INTERVAL)
        assert process.size == START + 5 * STEP

    def test_is_given_back_soon_after_much_was_held_for_long(self, process: Process) -> None:
        process.grow(5 * STEP)
        process.held = 3 * STEP
        process.look(10 * MAX_PAUSE)
        process.held = STEP
        process.free = 5 * STEP
        process.look()
        assert process.size == START

    def test_is_not_looked_for_while_the_process_is_small(self, process: Process) -> None:
        process.grow(STEP - 1)
        process.look(10 * MAX_PAUSE)
        assert process.trims == 0

    def test_is_looked_for_ever_more_rarely_if_there_is_none(self, process: Process) -> None:
        process.grow(5 * STEP)
        process.look(2 * MAX_PAUSE)
        before = process.trims
        process.look(4 * MAX_PAUSE)
        assert before < 30  # some of them around a garbage collection
        assert process.trims - before <= 12


class TestCycles:
    """The garbage collector counts objects, however large they are."""

    def test_are_freed_behind_the_requests_that_left_them(self, process: Process) -> None:
        for _ in range(100):
            process.grow(2_000_000)
            process.young_cycles += 2_000_000
            process.memory.request_ended(2_000_000)
            assert process.size < START + GROWTH + 2 * 2_000_000
        assert set(process.collections) == {1}

    def test_of_small_requests_are_looked_for_after_many(self, process: Process) -> None:
        process.grow(2 * GROWTH)
        for _ in range(LOOK_AFTER // 1000):
            process.memory.request_ended(1000)
        assert process.collections == []
        process.memory.request_ended(1000)
        assert process.collections == [1, 2]

    def test_that_have_become_old_are_freed_as_well(self, process: Process) -> None:
        process.grow(2 * GROWTH)
        process.old_cycles = 2 * GROWTH
        process.memory.request_ended(LOOK_AFTER + 1)
        assert process.collections == [1, 2]
        assert process.size == START

    def test_are_none_if_only_what_was_free_is_given_back(self, process: Process) -> None:
        process.grow(2 * GROWTH)
        process.look()
        before = len(process.collections)
        for _ in range(20):
            process.grow(2 * STEP)
            process.free = 2 * STEP
            process.look()
        assert process.collections[before:].count(2) < 6

    def test_that_are_old_wait_until_the_server_holds_little(self, process: Process) -> None:
        process.grow(5 * GROWTH)
        process.old_cycles = 2 * GROWTH
        process.held = 2 * GROWTH
        process.memory.request_ended(LOOK_AFTER + 1)
        assert process.collections == [1]
        process.held = 0
        process.memory.request_ended(LOOK_AFTER + 1)
        assert process.collections == [1, 1, 2]

    def test_are_looked_for_again_once_there_are_descriptors(self, process: Process) -> None:
        process.grow(2 * GROWTH)
        process.has_descriptors = False
        process.memory.request_ended(LOOK_AFTER + 1)
        process.has_descriptors = True
        process.memory.request_ended(LOOK_AFTER + 1)
        assert process.collections == [1, 2]

    def test_take_no_more_than_a_share_of_the_time(self, process: Process) -> None:
        for _ in range(1000):
            process.time += 0.01
            process.grow(GROWTH + 1)
            process.memory.request_ended(LOOK_AFTER + 1)
        spent = process.collections.count(2) * process.took
        assert 0 < spent < process.time / COLLECTOR_SHARE + process.took

    def test_are_freed_soon_whatever_left_them(self, process: Process) -> None:
        process.grow(2 * GROWTH)
        process.old_cycles = 2 * GROWTH
        process.look()
        assert process.size == START

    def test_of_what_was_in_use_at_the_last_time_are_freed_soon(self, process: Process) -> None:
        process.grow(4 * GROWTH)
        process.look()
        process.old_cycles = 4 * GROWTH
        process.look(4 * INTERVAL)
        assert process.size == START

    def test_are_not_looked_for_while_the_process_is_small(self, process: Process) -> None:
        process.grow(GROWTH)
        process.memory.request_ended(LOOK_AFTER + 1)
        process.look(10 * MAX_PAUSE)
        assert process.collections == []

    def test_are_not_looked_for_where_clients_make_the_server_hold_as_much(
        self, process: Process
    ) -> None:
        process.grow(5 * GROWTH)
        process.held = 4 * GROWTH
        process.memory.request_ended(LOOK_AFTER + 1)
        process.look(10 * MAX_PAUSE)
        assert process.collections == []

    def test_are_looked_for_ever_more_rarely_if_there_are_none(self, process: Process) -> None:
        process.grow(5 * GROWTH)
        process.look(2 * MAX_PAUSE)
        before = len(process.collections)
        process.look(4 * MAX_PAUSE)
        assert before < 12
        assert len(process.collections) - before <= 4


class TestThisProcess:
    def test_has_memory(self) -> None:
        assert resident_bytes() > 2**20

    def test_is_on_a_system_whose_c_library_gives_memory_back(self) -> None:
        assert find_trim() is not None


KEEP_ONE_OF_EACH_ROUND = """
from socketio_server.serving.process.freed_memory import give_back_large_blocks, resident_bytes

give_back_large_blocks()
kept = []
for _ in range(3):
    blocks = [b"x" * 1_000_000 for _ in range(50)]
    most = resident_bytes()
    kept.append(blocks[-1])  # all others lie below it
    del blocks
    print(most - resident_bytes())
"""


FREE_SMALLER_ONES_AFTER_A_LARGE_ONE = """
from socketio_server.serving.process.freed_memory import give_back_large_blocks, resident_bytes

large = b"x" * 30_000_000
del large  # and glibc would keep as much from now on
give_back_large_blocks()
blocks = [b""] * 200
before = resident_bytes()
for place in range(200):
    blocks[place] = b"x" * 200_000
blocks.clear()  # with nothing in between that takes memory behind them
print(resident_bytes() - before)
"""


def run(program: str) -> list[int]:
    """Return the numbers that a program prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(find_trim() is None, reason="needs glibc")
class TestLargeBlocks:
    def test_are_given_back_as_soon_as_they_are_freed(self) -> None:
        assert min(run(KEEP_ONE_OF_EACH_ROUND)) > 45_000_000

    def test_and_many_smaller_ones_are_given_back_whatever_was_freed_before(self) -> None:
        assert max(run(FREE_SMALLER_ONES_AFTER_A_LARGE_ONE)) < 10_000_000
