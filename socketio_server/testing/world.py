"""What a server would be around the clients of a test: its loop, its workers and the time.

There is one world, which all clients share as they share ``CLIENTS``. It comes to be with the
first client that connects, and forgets everything with the last.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from gevent.event import Event

from socketio_server.dispatch.middleware import CallNext
from socketio_server.exceptions import ValidationError
from socketio_server.net.loop import Watcher
from socketio_server.net.workers import Job
from socketio_server.serving.server import load_middleware
from socketio_server.sockets.acknowledgements import Timekeeper
from socketio_server.sockets.registry import CLIENTS

FOREVER = 3600.0
"""Seconds after which a handler that waits without a timeout counts as waiting for ever: clients
that are silent are given up long before."""


class Timer:
    """A timer that goes off once (``Watcher``)."""

    def __init__(self, world: "World", after: float) -> None:
        self._world = world
        self._after = after
        self.due = 0.0
        """When it goes off, if it was started."""

    def start(self, callback: Any, *args: Any) -> None:
        """Go off after its time."""
        self.due = self._world.now + self._after
        self._world.timers[self] = partial(callback, *args)

    def stop(self) -> None:
        """Do not go off."""
        self._world.timers.pop(self, None)

    def close(self) -> None:
        """Do not go off."""
        self.stop()


class Droppable(Protocol):
    """A client's connection, as the world sees it."""

    def drop(self) -> None:
        """Let nothing of the client stay, without running handlers."""


class World:
    """Loop, workers and time of all clients.

    Whatever becomes due is put into a queue, which is run when the test's call has done its own
    part: in the order in which a server's loop would come to it (``Loop``, ``Pool``, and the
    ``Timekeeper`` of acknowledgements).
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.busy = False
        """Whether the queue is being run, or will be by who set this."""
        self.errors: list[BaseException] = []
        """What handlers raised, and the test has yet to be told."""
        self.timers: dict[Timer, Callable[[], object]] = {}
        """Those that run, in the order of their starts, and what they call."""
        self._queue: deque[Callable[[], object]] = deque()
        # Those that are connected, and the pytest test that each was connected in, if it was one.
        self._links: dict[Droppable, str | None] = {}
        self._middleware: dict[tuple[str, ...], CallNext | None] = {}
        self._usual_timekeeper: Timekeeper | None = None  # replaced while any is connected

    # --- What the server asks for -------------------------------------------------------------

    def io(self, fd: int, events: int) -> Watcher:
        """Fail: nothing here has a descriptor (``Loop``)."""
        raise NotImplementedError("test clients have no descriptors")

    def timer(self, after: float, repeat: float = 0.0) -> Timer:
        """Return a timer (``Loop``)."""
        return Timer(self, after)

    def run_callback(self, func: Any, *args: Any) -> None:
        """Have a function called soon (``Loop``)."""
        self._queue.append(partial(func, *args))

    def run(self, job: Job) -> None:
        """Run a job: soon, or at once where nobody will else (``Pool``)."""
        self._queue.append(job.work)
        self.settle()

    patience = 0.0
    """Nobody waits for a client to take its messages (``Timekeeper``)."""

    def may_wait(self) -> bool:
        """Return ``False``: clients take all at once (``Timekeeper``)."""
        return False

    def let_others_run(self) -> None:
        """Do nothing (``Timekeeper``)."""

    def run_heavy(self, job: Job) -> None:
        """Run a job as any other: nobody's turn is short here (``Pool``)."""
        self.run(job)

    def wait(self, event: Event, timeout: float | None) -> None:
        """Do what other sockets wait for; then let the time pass (``Timekeeper``).

        :raises RuntimeError: if that would take for ever.
        """
        with self._hold():
            self._run_queue()
            self.advance(FOREVER if timeout is None else timeout, until=event)
        if timeout is None and not event.is_set():
            raise RuntimeError(
                "a handler waits for ever for an acknowledgement: prepare one with "
                "SocketIOClient.on, or give the call a timeout"
            )

    def call_later(self, seconds: float, func: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after some time (``Timekeeper``)."""
        timer = self.timer(seconds)
        timer.start(func)
        return timer.close

    # --- What the clients ask for -------------------------------------------------------------

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let a client do something, then run all that comes of it, and raise what that raised.

        Inside of another turn, which does that, only the first.
        """
        if self.busy:
            yield
            return
        with self._hold():
            yield
            self._run_queue()
            errors = list(self.errors)
            self.errors.clear()
        if errors:  # invalid messages last: that was the client's fault
            raise min(errors, key=lambda error: isinstance(error, ValidationError))

    def settle(self) -> None:
        """Run what waits, unless that is under way; what it raises, the next turn raises."""
        if not self.busy:
            with self._hold():
                self._run_queue()

    def advance(self, seconds: float, until: Event | None = None) -> None:
        """Let time pass, or as much of it as there is until an event is set; only while busy."""
        end = self.now + seconds
        self._run_queue()
        while until is None or not until.is_set():
            timer = min(self.timers, key=lambda timer: timer.due, default=None)
            # A handler that waited may have moved the time further than we would.
            if timer is None or timer.due > end:
                self.now = max(self.now, end)
                return
            self.now = max(self.now, timer.due)
            go_off = self.timers.pop(timer)
            go_off()
            self._run_queue()

    def middleware(self, paths: tuple[str, ...]) -> CallNext | None:
        """Return what wraps events: one for all clients, as in a server."""
        if paths not in self._middleware:
            self._middleware[paths] = load_middleware(paths)
        return self._middleware[paths]

    def add(self, link: Droppable) -> None:
        """A client is connected; those that an earlier test left behind go."""
        test = _running_test()
        for other, its_test in list(self._links.items()):
            if its_test not in (None, test):
                other.drop()
        if self._usual_timekeeper is None:
            self._usual_timekeeper, CLIENTS.timekeeper = CLIENTS.timekeeper, self
            self.errors.clear()
        self._links[link] = test

    def discard(self, link: Droppable) -> None:
        """A client is gone; with the last one all that it left behind."""
        self._links.pop(link, None)
        if not self.busy:
            self._clean_up()

    # ------------------------------------------------------------------------------------------

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Be busy."""
        was_busy, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = was_busy
            if not was_busy:
                self._clean_up()

    def _run_queue(self) -> None:
        while self._queue:
            self._queue.popleft()()

    def _clean_up(self) -> None:
        if self._links:
            return
        if self._usual_timekeeper is not None:
            CLIENTS.timekeeper, self._usual_timekeeper = self._usual_timekeeper, None
        self.now = 0.0
        self.timers.clear()
        self._queue.clear()
        self._middleware.clear()


class Clock:
    """The time of all clients. It stands still until it is moved, or a handler waits.

    A handler that waits for an acknowledgement with a timeout (``socket.call``) moves it to the
    end of the timeout at once, if no client answers.
    """

    @property
    def now(self) -> float:
        """Seconds since the first of the clients that are connected has connected."""
        return world.now

    def advance(self, seconds: float) -> None:
        """Let time pass: heartbeats go out and are answered, timeouts run off, in their order.

        :raises Exception: what handlers raise.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        with world.turn():
            world.advance(seconds)


def _running_test() -> str | None:
    """Return which test function pytest runs; ``None`` in fixtures, whose clients may live on.

    A client that is forgotten there or in other runners goes when Python collects it; the tests
    that fail keep theirs alive for longer, by their tracebacks.
    """
    test = os.environ.get("PYTEST_CURRENT_TEST", "")  # pytest's documented way to tell
    return test if test.endswith("(call)") else None


world = World()

clock = Clock()
"""The time of all clients, for tests that have no client at hand."""
