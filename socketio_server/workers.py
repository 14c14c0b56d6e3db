"""Greenlets that run handlers: one event at a time per socket, sockets side by side.

Spawning a greenlet per event costs about 12 µs, switching to a parked one less than 1 µs
(measured), so workers are kept. A job that comes up in a loop callback is switched to directly:
the handler runs at once, and when it waits for something, control comes back to the callback.
"""

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Generic, Protocol, TypeVar

import gevent
from gevent.hub import Hub
from greenlet import GreenletExit, getcurrent, greenlet

from socketio_server.options import Options

logger = logging.getLogger("socketio_server")

T = TypeVar("T")


class Job(Protocol):
    """What a worker runs."""

    def work(self) -> None:
        """Do what is to be done; must not raise."""


class WorkerPool:
    """A bounded number of worker greenlets, parked while there is nothing to do.

    :param hub: the hub of the thread that the server runs in.
    """

    def __init__(self, hub: Hub, options: Options) -> None:
        self._hub = hub
        self._size = options.max_concurrent_handlers
        self._turn = options.max_time_per_turn
        self._parked: list[greenlet] = []
        self._count = 0
        self._waiting: deque[Job] = deque()  # jobs that no worker has taken yet
        self._woken = False  # a loop callback that looks at them is due

    def run(self, job: Job) -> None:
        """Run a job in a worker: at once where a loop callback asks for it, else soon."""
        if getcurrent() is self._hub and not self._waiting and self._has_worker():
            self._switch_to_worker(job)
        else:
            self.run_later(job)

    def run_later(self, job: Job) -> None:
        """Run a job when the loop has served the others."""
        self._waiting.append(job)
        if not self._woken:
            self._woken = True
            self._hub.loop.run_callback(self._serve_waiting)

    def _has_worker(self) -> bool:
        return bool(self._parked) or self._count < self._size

    def _serve_waiting(self) -> None:
        self._woken = False
        for _ in range(len(self._waiting)):
            if not self._waiting or not self._has_worker():
                break  # a worker that gets free takes the next
            self._switch_to_worker(self._waiting.popleft())

    def _switch_to_worker(self, job: Job) -> None:
        if self._parked:
            worker = self._parked.pop()
        else:
            self._count += 1
            worker = greenlet(self._work, self._hub)
        worker.switch(job)

    def _work(self, job: Job) -> None:
        """Run jobs for ever: a worker's life."""
        while True:
            job.work()
            until = monotonic() + self._turn
            while self._waiting:
                if monotonic() > until:
                    gevent.sleep(0)
                    until = monotonic() + self._turn
                else:
                    self._waiting.popleft().work()
            job = self._park()

    def _park(self) -> Job:
        """Wait for a job."""
        worker = getcurrent()
        self._parked.append(worker)
        while True:
            try:
                job: Job = self._hub.switch()
                return job
            except GreenletExit:  # the interpreter ends
                raise
            except BaseException:
                logger.exception("A handler left a timeout behind, which went off after its end")
                if worker not in self._parked:
                    self._parked.append(worker)


class Inbox(Generic[T]):
    """What waits for a socket's handlers: handled strictly one after another, in order.

    :param handle: handles one item, in a worker; must not raise.
    :param on_full: called with ``True`` when ``max_pending_events`` wait, so that no more are
        fetched, and with ``False`` when there is room again.
    """

    __slots__ = (
        "_handle",
        "_is_full",
        "_items",
        "_limit",
        "_on_full",
        "_pool",
        "_turn",
        "_working",
    )

    def __init__(
        self,
        pool: WorkerPool,
        options: Options,
        handle: Callable[[T], None],
        on_full: Callable[[bool], None],
    ) -> None:
        self._pool = pool
        self._limit = options.max_pending_events
        self._turn = options.max_events_per_turn
        self._handle = handle
        self._on_full = on_full
        self._items: list[T] = []  # short: bounded by the limit and what one read brings
        self._working = False
        self._is_full = False

    def put(self, item: T) -> None:
        """Have an item handled, after all that came before it."""
        self._items.append(item)
        if not self._working:
            self._working = True
            self._pool.run(self)
        elif len(self._items) >= self._limit and not self._is_full:
            self._is_full = True
            self._on_full(True)

    def work(self) -> None:
        """Handle what waits, for one turn (``Job``)."""
        items = self._items
        for _ in range(self._turn):
            self._handle(items.pop(0))
            if self._is_full and len(items) <= self._limit // 2:
                self._is_full = False
                self._on_full(False)
            if not items:
                self._working = False
                return
        self._pool.run_later(self)
