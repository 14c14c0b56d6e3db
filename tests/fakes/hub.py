"""Greenlets and workers in the hub of the test's own thread."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import gevent

from socketio_server.net.loop import GuardedLoop
from socketio_server.net.refusals import Refusals
from socketio_server.net.workers import WorkerPool
from socketio_server.options import Options

PATIENCE = 20.0
"""Seconds after which a test that waits in the real hub has failed."""

TURNS = 50
"""Turns of the hub that are more than any chain of greenlets here that wake each other up."""


def settle() -> None:
    """Let all greenlets run until each of them has ended, or waits for another or for time."""
    for _ in range(TURNS):
        gevent.sleep(0)


UNHURRIED = 1000.0
"""More seconds than any test takes: a turn that its time does not end."""


@dataclass
class Task:
    """A job that does what it was given."""

    action: Callable[[], object]

    def work(self) -> None:
        self.action()


def make_pool(
    size: int = 1000, *, turn: float = UNHURRIED, options: Options | None = None
) -> WorkerPool:
    hub = gevent.get_hub()
    loop = GuardedLoop(hub.loop, Refusals(monotonic))
    options = options or Options(max_time_per_turn=turn)
    return WorkerPool(hub, loop, options, size, clock=monotonic)


def in_loop(action: Callable[[], object]) -> None:
    """Do something in a callback of the loop, as connections do."""
    gevent.get_hub().loop.run_callback(action)
    settle()


def wait_for(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    with gevent.Timeout(PATIENCE):
        while not condition():
            gevent.sleep(0.001)
