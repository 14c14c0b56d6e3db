"""Greenlets that run handlers, one event at a time per socket, and Django's requests.

Workers are kept, because spawning a greenlet for each event takes longer than most handlers. The
jobs of one turn of the loop run one after another in one worker, at the end of the turn, because a
switch to the worker and back for each job would cost more. When a handler waits for something, its
worker switches to the loop, and another worker takes the next job.

Heavy jobs, which keep the loop for long, take turns with the large work of all clients (``turns``).
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from gevent.hub import Hub, Waiter
from greenlet import GreenletExit, getcurrent, greenlet

from socketio_server.net.loop import Loop
from socketio_server.net.turns import Turns
from socketio_server.options import Options

logger = logging.getLogger("socketio_server")

MAX_PARKED = 100
"""Workers that are kept without a job; more are seldom needed, and soon made again."""


class Job(Protocol):
    """A piece of work for a worker."""

    def work(self) -> None:
        """Do the work; must not raise."""


@runtime_checkable
class MessagingJob(Job, Protocol):
    """A piece of work for a client, to which large messages matter."""

    def made_large_message(self) -> None:
        """The work has made a message of more than ``LARGE`` bytes, which took long."""


class CallJob:
    """Calls a function without arguments (``Job``)."""

    __slots__ = ("work",)

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work


class Pool(Protocol):
    """Runs jobs: in the server's workers, or for the test client in the test's own thread."""

    time_per_job: float
    """Seconds that a job may take at once while others wait; it goes on behind them."""

    def run(self, job: Job) -> None:
        """Run a job soon, after the jobs that wait already; may be called from any greenlet."""

    def run_heavy(self, job: Job) -> None:
        """Run a job that will keep the loop for long, after the others; may be called from any
        greenlet.
        """

    def take_turn(self, *, is_large: bool) -> None:
        """Wait in the calling greenlet until it may do the next part of its work.

        :param is_large: whether that will keep the loop for long.
        """

    def call_at_end(self, func: Callable[[], None]) -> bool:
        """Call a function when the job of the calling worker has ended; what it passed before is
        called now.

        :return: ``False`` if the caller is no worker of this pool.
        """


class Worker(greenlet):
    """A greenlet that runs one job after another, and ends if enough others are parked."""

    is_dirty = False
    """Whether a handler left state behind, an open database connection for instance; set and reset
    by the hooks."""

    has_connections = False
    """Whether it has open database connections; set and reset by the hooks."""

    def __init__(self, pool: "WorkerPool", hub: Hub) -> None:
        super().__init__(parent=hub)
        self.pool = pool
        """Where it parks."""
        self.job: Job | None = None
        """What it does; ``None`` while it is parked."""

    def run(self) -> None:
        """Park until there is a job, run it and the waiting jobs, and park again.

        The job is not an argument, because a greenlet keeps its arguments as long as it lives.
        """
        pool = self.pool
        waiting, parked, at_end = pool.waiting, pool.parked, pool.at_end
        try:
            while len(parked) < MAX_PARKED or self.is_dirty:
                job: Job | None = pool.park(self)
                while job is not None:
                    self.job = job
                    try:
                        job.work()
                    except Exception:  # ends neither the worker nor other jobs
                        logger.exception("Internal error in a job")
                    finally:
                        self.job = None
                        if at_end:
                            pool.job_ended(self)
                    # No job stays alive because its worker is parked.
                    job = waiting.popleft() if waiting and not pool.end_turn_if_due() else None
        finally:
            pool.dismiss()


def note_large_message() -> None:
    """Tell the job of the caller that it has made a large message (``MessagingJob``)."""
    worker = getcurrent()
    if isinstance(worker, Worker) and isinstance(worker.job, MessagingJob):
        worker.job.made_large_message()


class _TurnWaiter:
    """A greenlet that waits for its turn (``CallbackOwner``)."""

    __slots__ = ("_waiter",)

    def __init__(self, hub: Hub) -> None:
        self._waiter: Waiter[None] = Waiter(hub)

    def wait(self) -> None:
        """Wait in the calling greenlet."""
        self._waiter.get()

    def begin(self) -> None:
        """Let the greenlet go on, unless it was killed in the meantime."""
        self._waiter.switch(None)

    def callback_raised(self) -> None:
        """Let the greenlet go on (``CallbackOwner``)."""
        self._waiter.switch(None)


class WorkerPool:
    """A bounded number of workers, parked while there is nothing to do.

    :param hub: the hub of the thread that the server runs in.
    :param loop: the hub's loop.
    :param size: the most workers at once.
    :param clock: a monotonic clock, in seconds.
    :param turns: the turns of heavy jobs, shared with the rest of the server; ``None``: its own.
    """

    def __init__(
        self,
        hub: Hub,
        loop: Loop,
        options: Options,
        size: int,
        *,
        clock: Callable[[], float],
        turns: Turns | None = None,
    ) -> None:
        self._hub = hub
        self._loop = loop
        self._size = size
        self._turn = options.max_time_per_turn
        self.time_per_job = self._turn
        """The share of a turn of each job that waited when it began (``Pool``)."""
        self._clock = clock
        self._turn_ends = 0.0
        self.parked: list[Worker] = []
        """Workers without a job."""
        self._count = 0
        self.waiting: deque[Job] = deque()
        """Jobs that no worker has taken yet."""
        self.at_end: dict[Worker, Callable[[], None]] = {}
        """What is to be called when the jobs of these workers have ended."""
        self._woken = False  # whether a call of _serve or _serve_next_turn is due
        self._is_over = False  # whether this turn is: no job runs before _serve_next_turn
        self._timer = loop.timer(0.0)  # calls it after the loop has polled all descriptors
        self._turns = turns or Turns(loop, options, clock=clock)
        self._heavy: deque[Job] = deque()  # heavy jobs that no worker has taken yet
        self._missed = 0  # of these, how many had their turn while no worker was free

    @property
    def busy(self) -> int:
        """How many jobs are under way, or wait for a worker."""
        return self._count - len(self.parked) + len(self.waiting) + len(self._heavy)

    def dismiss(self) -> None:
        """Count a worker that ends."""
        self._count -= 1

    def run(self, job: Job) -> None:
        """Run a job in a worker at the end of this turn of the loop, if there is time left."""
        self.waiting.append(job)
        if not self._woken:
            self._woken = True
            self._loop.run_callback(WorkerPool._serve, self)

    def run_heavy(self, job: Job) -> None:
        """Run a job that will keep the loop for long, in a turn of its own."""
        self._heavy.append(job)
        self._turns.add(WorkerPool._serve_heavy, self, is_large=True)

    def take_turn(self, *, is_large: bool) -> None:
        """Wait in the calling greenlet for a turn of its own (``Pool``)."""
        waiter = _TurnWaiter(self._hub)
        self._turns.add(_TurnWaiter.begin, waiter, is_large=is_large)
        waiter.wait()

    def call_at_end(self, func: Callable[[], None]) -> bool:
        """Call a function when the job of the calling worker has ended (``Pool``)."""
        worker = getcurrent()
        if not isinstance(worker, Worker) or worker.pool is not self:
            return False
        self.job_ended(worker)
        self.at_end[worker] = func
        return True

    def job_ended(self, worker: Worker) -> None:
        """Call what the job of a worker has left to be called, and log what that raises."""
        func = self.at_end.pop(worker, None)
        if func is not None:
            try:
                func()
            except Exception:
                logger.exception("Internal error at the end of a job")

    def run_in(self, worker: Worker, job: Job) -> bool:
        """Run a job in a certain worker; only from the loop.

        :return: ``False`` if the worker is busy.
        """
        if worker not in self.parked:
            return False
        self.parked.remove(worker)
        worker.switch(job)
        return True

    def end_turn_if_due(self) -> bool:
        """End this turn if its time is over.

        :return: ``True`` if so: then the waiting jobs are served in another turn, after the loop
            has polled all descriptors.
        """
        if self._clock() < self._turn_ends:
            return False
        if not self._is_over:
            self._end_turn()
        return True

    def callback_raised(self) -> None:
        """Serve the waiting jobs in the next turn (``CallbackOwner``)."""
        self._end_turn()

    def park(self, worker: Worker) -> Job:
        """Wait for a job, in the calling worker."""
        self.parked.append(worker)
        if self._missed:
            self._missed -= 1
            self._turns.add(WorkerPool._serve_heavy, self, is_large=True)
        while True:
            try:
                # Not the hub's own switch(), which looks for a hook that workers don't have.
                hub: Any = worker.parent  # or what ends a process that the last job has forked
                job: Job = greenlet.switch(hub)
                return job
            except GreenletExit:  # the interpreter ends
                raise
            except BaseException:
                logger.exception(
                    "A handler did not cancel a gevent timeout, which fired after the handler's end"
                )

    def _end_turn(self) -> None:
        """Serve the waiting jobs in the next turn."""
        self._woken = self._is_over = True
        self._loop.start(self._timer, WorkerPool._serve_next_turn, self)

    def _serve_next_turn(self) -> None:
        """Serve the waiting jobs, after the loop has polled all descriptors."""
        self._is_over = False
        self._serve()

    def _serve(self) -> None:
        """Hand the waiting jobs to workers, for one turn."""
        if self._is_over:  # the job that called run() was the turn's last
            return
        self._woken = False
        self._turn_ends = self._clock() + self._turn
        self.time_per_job = self._turn / (len(self.waiting) or 1)
        while self.waiting:
            if not self.parked and self._count >= self._size:
                return  # the next free worker takes the waiting jobs
            if self.end_turn_if_due():
                return
            self._take_worker().switch(self.waiting.popleft())

    def _serve_heavy(self) -> None:
        """Have a worker run the next heavy job."""
        if not self.parked and self._count >= self._size:
            self._missed += 1  # until a worker parks
            return
        try:
            worker = self._take_worker()
        except BaseException:  # there is no memory
            self._missed += 1
            raise
        worker.switch(self._heavy.popleft())

    def _take_worker(self) -> Worker:
        """Return a parked worker, or a new one; only from the loop."""
        if not self.parked:
            worker = Worker(self, self._hub)
            self._count += 1
            worker.switch()  # it parks itself
        return self.parked.pop()
