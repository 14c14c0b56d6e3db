"""Who blocks the event loop: what is reported of whom, and when nothing is."""

import sys
from collections.abc import Iterator
from queue import Queue
from time import monotonic
from types import FunctionType
from typing import Any

import gevent
import pytest

from socketio_server.net.loop import GuardedLoop
from socketio_server.net.refusals import Refusals
from socketio_server.serving.process.block_watch import INTERVAL, BlockWatch
from tests.fakes.loop import FakeLoop
from tests.support.tools import PATIENCE


@pytest.fixture
def told() -> Queue[str]:
    """The reports."""
    return Queue()


@pytest.fixture
def watch(told: Queue[str]) -> Iterator[BlockWatch]:
    watch = BlockWatch(FakeLoop(), told.put)
    yield watch
    watch.stop()


def handle(watch: BlockWatch) -> None:
    compute(watch)


def compute(watch: BlockWatch) -> None:
    watch.report(sys._getframe())


class TestTheThread:
    def test_reports_the_project_s_code_below_which_the_loop_has_not_run(
        self, watch: BlockWatch, told: Queue[str]
    ) -> None:
        """The fake loop never runs, and the test waits in a library."""
        watch.start()
        report = told.get(timeout=PATIENCE)

        assert report.startswith("`TestTheThread.test_reports_the_project_s_code_below_which")
        assert "queue.py" in report


class TestTheTimer:
    def test_leaves_the_loop_alone_between_two_looks(self, told: Queue[str]) -> None:
        """A few looks in half a second; a loop that never rests would take thousands."""
        starts: list[object] = []

        class Counting(GuardedLoop):
            def start(self, watcher: Any, *args: Any) -> None:
                starts.append(watcher)
                super().start(watcher, *args)

        watch = BlockWatch(Counting(gevent.get_hub().loop, Refusals(monotonic)), told.put)
        watch.start()
        gevent.sleep(5 * INTERVAL)
        watch.stop()

        assert 1 < len(starts) < 100


class TestAReport:
    def test_names_the_function_and_its_line_and_shows_who_called_it(
        self, watch: BlockWatch, told: Queue[str]
    ) -> None:
        handle(watch)
        first, *stack = told.get_nowait().splitlines()

        line = compute.__code__.co_firstlineno + 1
        assert first.startswith(f"`compute` ({__file__}:{line}) blocks the event loop: for more ")
        assert stack[-4:] == [
            f'  File "{__file__}", line {handle.__code__.co_firstlineno + 1}, in handle',
            "    compute(watch)",
            f'  File "{__file__}", line {line}, in compute',
            "    watch.report(sys._getframe())",
        ]

    def test_comes_once_for_each_function(self, watch: BlockWatch, told: Queue[str]) -> None:
        for _ in range(2):
            handle(watch)
            watch.report(sys._getframe())

        assert told.qsize() == 2

    @pytest.mark.parametrize(
        "module", ["bdb", "_pydevd_bundle.pydevd_frame", "gevent.hub"], ids=str
    )
    def test_does_not_come_while_a_debugger_waits_or_the_loop_itself(
        self, watch: BlockWatch, told: Queue[str], module: str
    ) -> None:
        FunctionType(compute.__code__, {"__name__": module, "sys": sys})(watch)

        assert told.empty()
