"""The loop, the workers and the time of a test's clients, in place of a server's.

There is one world, which all clients share as they share ``CLIENTS``. It starts with the first
client that connects, and is reset with the last one that disconnects.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any, Protocol

from gevent.event import Event

from socketio_server import conf
from socketio_server.dispatch.member import Member
from socketio_server.dispatch.middleware import CallNext
from socketio_server.dispatch.rights import Grant
from socketio_server.exceptions import ValidationError
from socketio_server.net.loop import IOWatcher
from socketio_server.net.workers import Job
from socketio_server.serving import current
from socketio_server.serving.middleware import load_middleware
from socketio_server.serving.rights.rechecks import Rechecks
from socketio_server.serving.transactions import DjangoTransactions
from socketio_server.sockets.acknowledgements import Timekeeper
from socketio_server.sockets.this_process import CLIENTS

FOREVER = 3600.0
"""Seconds after which a handler that waits without a timeout is taken to wait for ever: silent
clients are closed long before."""


class Timer:
    """A timer that fires once (``Watcher``)."""

    def __init__(self, world: "World", after: float) -> None:
        self._world = world
        self._after = after
        self.due = 0.0
        """When it fires, if it was started."""

    def start(self, callback: Any, *args: Any) -> None:
        """Start the timer."""
        self.due = self._world.now + self._after
        self._world.timers[self] = partial(callback, *args)

    def stop(self) -> None:
        """Cancel the timer."""
        self._world.timers.pop(self, None)

    def close(self) -> None:
        """Cancel the timer."""
        self.stop()


class Droppable(Protocol):
    """A client's connection, as the world sees it."""

    def drop(self) -> None:
        """Remove the client from the registries, without running handlers."""


class World:
    """Loop, workers and time of all clients.

    Due callbacks and jobs wait in a queue, which is run at the end of the test's call, in the order
    of a server's loop. The world is the clients' ``Loop``, ``Pool`` and ``Timekeeper``.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.busy = False
        """Whether the queue is being run, or will be by the caller that set this."""
        self.errors: list[BaseException] = []
        """Exceptions of handlers that are still to be raised in the test."""
        self.timers: dict[Timer, Callable[[], object]] = {}
        """Started timers with their callbacks, in the order of their starts."""
        self._queue: deque[Callable[[], object]] = deque()
        # The connected clients, each with the pytest test in which it connected, if any.
        self._links: dict[Droppable, str | None] = {}
        self._middleware: dict[tuple[str, ...], CallNext | None] = {}
        self._usual_timekeeper: Timekeeper | None = None  # replaced while any client is connected
        self.grants: dict[Member, Grant] = {}
        """What the clients were let do."""

    # --- For the server's code: Loop, Pool, Timekeeper ----------------------------------------

    def io(self, fd: int, events: int) -> IOWatcher:
        """Raise ``NotImplementedError``: test clients have no descriptors (``Loop``)."""
        raise NotImplementedError("test clients have no descriptors")

    def timer(self, after: float) -> Timer:
        """Return a timer (``Loop``)."""
        return Timer(self, after)

    def start(self, watcher: Any, callback: Any, owner: Any, *args: Any) -> None:
        """Start a timer (``Loop``)."""
        watcher.start(callback, owner, *args)

    def call(self, callback: Any, item: Any, on_raised: Any) -> None:
        """Call a function; what it raises is raised in the test (``Loop``)."""
        callback(item)

    def run_callback(self, callback: Any, owner: Any, *args: Any) -> None:
        """Call back soon (``Loop``)."""
        self._queue.append(partial(callback, owner, *args))

    def run(self, job: Job) -> None:
        """Run a job at once, or soon if the queue is being run (``Pool``)."""
        self._queue.append(job.work)
        self.settle()

    time_per_job = inf
    """Everybody is in time here (``Pool``)."""

    patience = 0.0
    """Senders never wait for a client to read its messages (``Timekeeper``)."""

    dropped = 0
    """Sends never let others run (``Timekeeper``)."""

    def may_wait(self) -> bool:
        """Return ``False``: clients read everything at once (``Timekeeper``)."""
        return False

    def let_others_run(self) -> None:
        """Do nothing (``Timekeeper``)."""

    def run_heavy(self, job: Job) -> None:
        """Run a job as any other: nobody's turn is short here (``Pool``)."""
        self.run(job)

    def take_turn(self, *, is_large: bool) -> None:
        """Do nothing (``Pool``)."""

    def call_at_end(self, func: Callable[[], None]) -> bool:
        """Return ``False``: there are no workers (``Pool``)."""
        return False

    def wait(self, event: Event, timeout: float | None) -> None:
        """Run the queue, then let the time pass (``Timekeeper``).

        :raises RuntimeError: if the caller would wait for ever.
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
        """Call a function after some time (``Timekeeper``)."""
        timer = self.timer(seconds)
        timer.start(func)
        return timer.close

    def before_event(self) -> None:
        """Do nothing: the test's connections stay as they are (``WorkHooks``)."""

    def release(self) -> None:
        """Do nothing (``WorkHooks``)."""

    # --- For the clients ----------------------------------------------------------------------

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let a client act, then run the queue, and raise an exception of the handlers.

        Inside another turn, only let the client act: the outer turn does the rest.
        """
        if self.busy:
            yield
            return
        with self._hold():
            yield
            self._run_queue()
            errors = list(self.errors)
            self.errors.clear()
        if errors:  # prefer other errors to those of invalid messages, the client's fault
            raise min(errors, key=lambda error: isinstance(error, ValidationError))

    def settle(self) -> None:
        """Run the queue, unless it is being run; the next turn raises exceptions of handlers."""
        if not self.busy:
            with self._hold():
                self._run_queue()

    def advance(self, seconds: float, until: Event | None = None) -> None:
        """Let time pass, at most until an event is set; only while busy."""
        end = self.now + seconds
        self._run_queue()
        while until is None or not until.is_set():
            timer = min(self.timers, key=lambda timer: timer.due, default=None)
            # A handler that waited may have moved the time further than we would.
            if timer is None or timer.due > end:
                self.now = max(self.now, end)
                return
            self.now = max(self.now, timer.due)
            fire = self.timers.pop(timer)
            fire()
            self._run_queue()

    def middleware(self, paths: tuple[str, ...]) -> CallNext | None:
        """Return the middleware around events: one for all clients, as in a server."""
        if paths not in self._middleware:
            self._middleware[paths] = load_middleware(paths)
        return self._middleware[paths]

    def add(self, link: Droppable) -> None:
        """Register a connected client, and drop clients that earlier tests left connected."""
        test = _running_test()
        for other, its_test in list(self._links.items()):
            if its_test not in (None, test):
                other.drop()
        if self._usual_timekeeper is None:
            self._usual_timekeeper, CLIENTS.timekeeper = CLIENTS.timekeeper, self
            self.errors.clear()
            current.rechecks = rechecks = Rechecks(
                self.grants,
                CLIENTS,
                self,
                hooks=self,
                interval=conf.option("recheck_interval"),
                at_once=True,
            )
            rechecks.start()
        CLIENTS.transactions = None
        if conf.option("on_commit"):
            CLIENTS.transactions = DjangoTransactions(conf.option("max_queued_bytes"))
        self._links[link] = test

    def discard(self, link: Droppable) -> None:
        """Unregister a client; with the last one, reset the world."""
        self._links.pop(link, None)
        if not self.busy:
            self._clean_up()

    # ------------------------------------------------------------------------------------------

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Be busy; at the end, reset the world if no client is connected."""
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
            current.rechecks = None
            self.grants.clear()
        CLIENTS.run_cluster_event = CLIENTS.transactions = None
        self.now = 0.0
        self.timers.clear()
        self._queue.clear()
        self._middleware.clear()


class Clock:
    """The time of all clients. It stands still until a test advances it, or a handler waits.

    If a handler waits for an acknowledgement with a timeout (``socket.call``), and no client
    answers, the time jumps to the end of the timeout.
    """

    @property
    def now(self) -> float:
        """Seconds since the first client connected, while any client is connected."""
        return world.now

    def advance(self, seconds: float) -> None:
        """Let time pass: heartbeats are sent and answered, timeouts fire, in their order.

        :raises Exception: any exception of a handler.
        """
        if seconds < 0:
            raise ValueError("time can't go back")
        with world.turn():
            world.advance(seconds)


def _running_test() -> str | None:
    """Return the running pytest test; ``None`` in fixtures, whose clients may outlive a test.

    A client that is left connected in a fixture, or with another test runner, is dropped when
    Python collects it, which the traceback of a failed test delays.
    """
    test = os.environ.get("PYTEST_CURRENT_TEST", "")  # pytest's documented way to tell
    return test if test.endswith("(call)") else None


world = World()

clock = Clock()
"""The time of all clients, for tests that have no client at hand."""
