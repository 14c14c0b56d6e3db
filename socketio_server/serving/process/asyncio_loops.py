"""Gives each greenlet its own running asyncio loop, as each thread has its own elsewhere.

asyncio keeps state for each OS thread: the running loop, its task, and the hooks of asynchronous
generators. Greenlets share their thread: while one of them awaits something, Django would refuse
the others the database, and asyncio would refuse them loops of their own. Therefore, while a loop
runs, each switch between greenlets saves the state of the one that stops, and restores the state of
the one that goes on. A coroutine that blocks by mistake switches as well, because it blocks in
gevent's patched functions. While no loop runs, there is nothing to switch and no cost.

The state is saved and restored by the functions that asyncio documents for authors of event loops
(https://docs.python.org/3/library/asyncio-extending.html), on calls of ``greenlet.settrace``.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, NamedTuple

from gevent import monkey
from greenlet import gettrace, greenlet, settrace

Trace = Callable[[Any, Any], object]
"""A trace function: greenlet calls it after each switch, with ``(event, (origin, target))``."""

SWITCHES = ("switch", "throw")
"""greenlet's events whose arguments are two greenlets."""


@cache
def install() -> None:
    """Let all loops of this process run side by side in the calling thread's greenlets.

    Loops in other OS threads are not affected. Idempotent.
    """
    get_ident: Callable[[], int] = monkey.get_original("_thread", "get_ident")
    thread = get_ident()
    switcher = LoopSwitcher()
    run_forever = asyncio.BaseEventLoop.run_forever

    @wraps(run_forever)
    def run_in_greenlet(loop: asyncio.BaseEventLoop) -> None:
        if get_ident() != thread:
            run_forever(loop)
            return
        with switcher.active():
            run_forever(loop)

    asyncio.BaseEventLoop.run_forever = run_in_greenlet  # type: ignore[method-assign, assignment]


class LoopSwitcher:
    """Switches asyncio's state along with the greenlets of one thread, while loops run in them."""

    def __init__(self) -> None:
        self._running = 0  # loops, in all greenlets
        self._suspended: dict[greenlet, _State] = {}
        self._is_traced = False  # greenlet calls us, maybe through a later trace function
        self._next: Trace | None = None  # the earlier trace function, which we call

    @contextmanager
    def active(self) -> Iterator[None]:
        """Switch at least until the end of the block, in which a loop runs."""
        self._running += 1
        if not self._is_traced:
            self._next = settrace(self)
            self._is_traced = True
        try:
            yield
        finally:
            self._running -= 1
            if not self._running and gettrace() is self:  # a later trace function would call us
                settrace(self._next)
                self._is_traced = False

    def __call__(self, event: str, greenlets: tuple[greenlet, greenlet]) -> None:
        """Switch asyncio's state; greenlet calls this in the greenlet that goes on."""
        if event in SWITCHES:
            origin, target = greenlets
            loop = asyncio._get_running_loop()
            if loop is not None:
                self._suspended[origin] = _put_away(loop)
            if target in self._suspended:
                _put_back(self._suspended.pop(target))
        if self._next is not None:
            self._next(event, greenlets)


class _State(NamedTuple):
    """The state that asyncio keeps in a thread for a running loop."""

    loop: asyncio.AbstractEventLoop
    task: "asyncio.Task[Any] | None"  # None while the loop waits, or runs a plain callback
    hooks: Any  # of sys.get_asyncgen_hooks


def _put_away(loop: asyncio.AbstractEventLoop) -> _State:
    """Save the running loop's state, and leave the thread as if no loop ran in it."""
    state = _State(loop, asyncio.current_task(loop), sys.get_asyncgen_hooks())
    if state.task is not None:
        asyncio._leave_task(loop, state.task)
    asyncio._set_running_loop(None)
    sys.set_asyncgen_hooks(None, None)
    return state


def _put_back(state: _State) -> None:
    """Restore a loop's state."""
    asyncio._set_running_loop(state.loop)
    sys.set_asyncgen_hooks(*state.hooks)
    if state.task is not None:
        asyncio._enter_task(state.loop, state.task)
