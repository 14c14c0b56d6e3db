"""asyncio's state of a thread, switched along with the thread's greenlets."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
from greenlet import getcurrent, gettrace, greenlet, settrace

from socketio_server.serving.process.asyncio_loops import LoopSwitcher
from tests.support.tools import PATIENCE

Start = Callable[[Callable[[], Coroutine[Any, Any, None]]], greenlet]

NO_HOOKS = (None, None)


def wait() -> Any:
    """Let the test go on, in a greenlet of its own, until it switches back."""
    parent = getcurrent().parent
    assert parent is not None
    return parent.switch()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs here, as far as asyncio can tell."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    """Leave no trace function behind."""
    before = settrace(None)
    yield
    settrace(before)


@pytest.fixture
def switcher() -> LoopSwitcher:
    """The switcher under test."""
    return LoopSwitcher()


@pytest.fixture
def start(switcher: LoopSwitcher) -> Start:
    """Run a coroutine in a loop of its own in a greenlet of its own, until it first waits."""

    def run(function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with switcher.active(), asyncio.Runner() as runner:
            runner.run(function())

    def start(function: Callable[[], Coroutine[Any, Any, None]]) -> greenlet:
        started = greenlet(run)
        started.switch(function)
        return started

    return start


class TestAGreenletThatIsLeft:
    def test_takes_its_loop_and_hooks_with_it(self, start: Start) -> None:
        async def function() -> None:
            wait()

        waiting = start(function)
        assert running_loop() is None
        assert sys.get_asyncgen_hooks() == NO_HOOKS
        waiting.switch()

    def test_finds_its_loop_task_and_hooks_again(self, start: Start) -> None:
        states: list[Any] = []

        async def function() -> None:
            for _ in range(2):
                loop, task = asyncio.get_running_loop(), asyncio.current_task()
                states.append((loop, task, sys.get_asyncgen_hooks()))
                wait()

        first = start(function)
        second = start(function)
        for waiting in (first, second, first, second):
            waiting.switch()
        of_first, of_second, again_of_first, again_of_second = states
        assert of_first == again_of_first
        assert of_second == again_of_second
        assert all(a is not b for a, b in zip(of_first, of_second, strict=True))
        assert first.dead
        assert second.dead

    def test_finds_them_when_an_exception_is_thrown_into_it(self, start: Start) -> None:
        found: list[Any] = []

        async def function() -> None:
            before = asyncio.current_task()
            try:
                wait()
            except TimeoutError:
                found.append(asyncio.current_task() is before)

        start(function).throw(TimeoutError)
        assert found == [True]

    def test_may_be_in_a_callback_which_is_no_task(self, start: Start) -> None:
        async def function() -> None:
            asyncio.get_running_loop().call_soon(wait)
            await asyncio.sleep(0)
            assert asyncio.current_task() is not None

        waiting = start(function)
        assert running_loop() is None
        waiting.switch()
        assert waiting.dead

    def test_has_its_generators_closed_by_its_own_loop(self, start: Start) -> None:
        closed_by: list[Any] = []
        loops: list[Any] = []

        async def generate() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                closed_by.append(running_loop())

        async def function() -> None:
            loops.append(running_loop())
            wait()
            generator = generate()
            await anext(generator)
            wait()  # the loop ends, and closes what was not read to its end

        first = start(function)
        second = start(function)
        for waiting in (first, second, first, second):
            waiting.switch()
        assert closed_by == loops


class TestTheTraceFunction:
    def test_is_there_only_while_a_loop_runs(self, start: Start) -> None:
        async def function() -> None:
            wait()

        first, second = start(function), start(function)
        first.switch()
        assert gettrace() is not None
        second.switch()
        assert gettrace() is None
        assert (running_loop(), sys.get_asyncgen_hooks()) == (None, NO_HOOKS)

    def test_goes_when_the_coroutine_fails(self, start: Start) -> None:
        async def function() -> None:
            raise RuntimeError

        with pytest.raises(RuntimeError):
            start(function)
        assert gettrace() is None

    def test_calls_the_one_before_it(self, start: Start) -> None:
        seen: list[str] = []

        def trace(event: str, greenlets: Any) -> None:
            seen.append(event)

        async def function() -> None:
            wait()

        settrace(trace)
        waiting = start(function)
        before = len(seen)
        waiting.switch()
        assert len(seen) > before
        assert gettrace() is trace

    def test_leaves_the_one_after_it_in_place(self, start: Start, switcher: LoopSwitcher) -> None:
        async def function() -> None:
            wait()

        def trace(event: str, greenlets: Any) -> None:
            switcher(event, greenlets)

        waiting = start(function)
        assert settrace(trace) is switcher
        waiting.switch()
        assert gettrace() is trace
        waiting = start(function)
        assert running_loop() is None
        assert gettrace() is trace
        waiting.switch()


class TestInstall:
    def test_leaves_loops_in_other_threads_alone(self) -> None:
        program = (
            "from gevent import monkey; monkey.patch_all()\n"
            "import asyncio, gevent, greenlet\n"
            "from socketio_server.serving.process import asyncio_loops\n"
            "asyncio_loops.install(); asyncio_loops.install()\n"
            "async def trace(): return greenlet.gettrace() is not None\n"
            "print(gevent.get_hub().threadpool.apply(asyncio.run, (trace(),)))\n"
            "print(asyncio.run(trace()), greenlet.gettrace() is not None)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        assert done.stdout == "False\nTrue False\n"
