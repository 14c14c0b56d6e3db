"""Greenlets that run handlers, one event at a time per socket, and Django's requests.

Workers are kept because spawning a greenlet for each event takes longer than most handlers do. Jobs
that come up in one turn of the loop run one after another in one worker, at the end of the turn,
because a switch to the worker and back for each would cost more. When a handler waits for
something, control comes back to the loop, and another worker takes the next job.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gevent.hub import Hub
from greenlet import GreenletExit, greenlet

from socketio_server.options import Options

logger = logging.getLogger("socketio_server")

MAX_PARKED = 100
"""Workers that are kept for the next jobs: more of them at once are rare, and soon made again."""


class Job(Protocol):
    """What a worker runs."""

    def work(self) -> None:
        """Do what is to be done; must not raise."""


class Pool(Protocol):
    """Whoever runs jobs: the server's workers, or the test client in the test's own thread."""

    def run(self, job: Job) -> None:
        """Run a job soon, after those that wait already; may be called from everywhere."""


class Worker(greenlet):
    """A greenlet that runs one job after another, until enough others have none."""

    is_dirty = False
    """Whether a handler left something behind that hooks must look after: set and reset by them."""

    def __init__(self, pool: "WorkerPool", hub: Hub) -> None:
        super().__init__(parent=hub)
        self._pool = pool

    def run(self) -> None:
        """Park until there is a job, run it and what waits for a worker, and park again.

        The job is no argument: a greenlet keeps those as long as it lives.
        """
        pool = self._pool
        waiting, parked = pool.waiting, pool.parked
        while len(parked) < MAX_PARKED or self.is_dirty:
            pool.park(self).work()  # no variable keeps what it holds while the worker is parked
            while waiting and not pool.turn_is_over():
                waiting.popleft().work()
        pool.dismiss()


class WorkerPool:
    """A bounded number of workers, parked while there is nothing to do.

    :param hub: the hub of the thread that the server runs in.
    :param size: workers that there may be.
    :param clock: seconds that never go back.
    """

    def __init__(
        self, hub: Hub, options: Options, size: int, *, clock: Callable[[], float]
    ) -> None:
        self._hub = hub
        self._size = size
        self._turn = options.max_time_per_turn
        self._clock = clock
        self._turn_ends = 0.0
        self.parked: list[Worker] = []
        """Workers without a job."""
        self._count = 0
        self.waiting: deque[Job] = deque()
        """Jobs that no worker has taken yet."""
        self._woken = False  # a call of _serve is due
        self._timer = hub.loop.timer(0.0)  # calls it when the loop has looked at all descriptors

    def dismiss(self) -> None:
        """A worker ends."""
        self._count -= 1

    def run(self, job: Job) -> None:
        """Run a job in a worker at the end of this turn of the loop, if there is time left."""
        self.waiting.append(job)
        if not self._woken:
            self._woken = True
            self._hub.loop.run_callback(self._serve)

    def run_in(self, worker: Worker, job: Job) -> None:
        """Run a job in a certain worker, if that has nothing else to do; only from the loop."""
        if worker in self.parked:
            self.parked.remove(worker)
            worker.switch(job)

    def turn_is_over(self) -> bool:
        """Return whether what waits has to wait on, for a turn that begins when the loop has
        served the others.
        """
        if self._clock() < self._turn_ends:
            return False
        if not self._woken:
            self._woken = True
            self._timer.start(self._serve)
        return True

    def park(self, worker: Worker) -> Job:
        """Wait for a job, in the worker that calls."""
        self.parked.append(worker)
        while True:
            try:
                # Not the hub's own method, which looks for a hook that workers don't have.
                job: Job = greenlet.switch(self._hub)
                return job
            except GreenletExit:  # the interpreter ends
                raise
            except BaseException:
                logger.exception(
                    "A handler did not cancel a gevent timeout, which fired after the handler's end"
                )

    def _serve(self) -> None:
        """Have workers run what waits, for one turn."""
        self._woken = False
        self._turn_ends = self._clock() + self._turn
        while self.waiting:
            if not self.parked and self._count >= self._size:
                return  # a worker that gets free looks at what waits
            if self.turn_is_over():
                return
            self._take_worker().switch(self.waiting.popleft())

    def _take_worker(self) -> Worker:
        """Return a worker that is parked, or a new one; only from the loop."""
        if not self.parked:
            self._count += 1
            Worker(self, self._hub).switch()  # until it parks
        return self.parked.pop()
