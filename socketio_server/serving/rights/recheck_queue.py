"""The work of rechecks: pieces of all that is asked for, in turn, done by a few workers.

One scope may be much work, a client with thousands of channels say, and the rights of others must
not wait for it.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Protocol

from socketio_server.net.workers import CallJob, Job
from socketio_server.serving.rights.recheck_scopes import Scope
from socketio_server.sockets.acknowledgements import Timekeeper
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.socket import Socket

MAX_WORKERS = 4
"""Workers that may recheck at a time: the others are for the clients' events."""

Work = Iterator[None]
"""Work that stops after each piece, for others to have their turn."""

logger = logging.getLogger("socketio_server")


class JobRunner(Protocol):
    """Runs jobs in workers."""

    def run(self, job: Job) -> None:
        """Run a job soon."""


class WorkHooks(Protocol):
    """What Django does around an event, for work that is none."""

    def before_event(self) -> None:
        """Replace broken and outdated database connections."""

    def release(self) -> None:
        """Release database connections that the worker has opened."""


class RecheckQueue:
    """Does the work of scopes in workers, a piece of each in turn.

    :param take: begins the work of a scope.
    :param pool: runs the workers.
    :param hooks: called in a worker around each piece of work.
    :param clients: those whose events get their turn between the pieces.
    """

    def __init__(
        self,
        take: Callable[[Scope], Work],
        pool: JobRunner,
        hooks: WorkHooks,
        clients: Clients[Socket],
    ) -> None:
        self._begin = take
        self._pool = pool
        self._hooks = hooks
        self._clients = clients
        # By scope, what waits; ``None``: the interval's. The first has the next turn.
        self._waiting: dict[Scope | None, deque[Work]] = {}
        self._unfinished: Counter[Scope | None] = Counter()  # how much work of each there is
        self._asked_again: set[Scope | None] = set()  # while their work was under way
        self._workers = 0

    def ask(self, scope: Scope) -> None:
        """Take a scope, soon; if its work is under way, once more after that, however often it is
        asked for.
        """
        if scope in self._unfinished:
            self._asked_again.add(scope)
        else:
            self.add(scope, self._begin(scope))

    def add(self, scope: Scope | None, work: Work) -> None:
        """Add work of a scope.

        :param scope: ``None``: it is the interval's.
        """
        self._unfinished[scope] += 1
        self._enqueue(scope, work)
        if self._workers < MAX_WORKERS:
            self._workers += 1
            self._pool.run(CallJob(self._drain))

    def _enqueue(self, scope: Scope | None, work: Work) -> None:
        self._waiting.setdefault(scope, deque()).append(work)

    def _drain(self) -> None:
        """Do the waiting work, in a worker."""
        timekeeper: Timekeeper = self._clients.timekeeper
        try:
            while self._waiting:
                scope = next(iter(self._waiting))
                waiting = self._waiting.pop(scope)
                work = waiting.popleft()
                if waiting:
                    self._waiting[scope] = waiting  # behind all others
                self._do_piece(scope, work)
                if timekeeper.may_wait():
                    timekeeper.let_others_run()
        finally:
            self._workers -= 1

    def _do_piece(self, scope: Scope | None, work: Work) -> None:
        is_done = True
        try:
            try:
                self._hooks.before_event()
                for _ in work:
                    is_done = False
                    break
            finally:
                self._hooks.release()
        except Exception:
            logger.exception(
                "Rights can't be verified again, so clients keep them until the next "
                "recheck. Fix what the traceback tells"
            )
        finally:
            if is_done:
                self._finish(scope)
            else:
                self._enqueue(scope, work)

    def _finish(self, scope: Scope | None) -> None:
        self._unfinished[scope] -= 1
        if not self._unfinished[scope]:
            del self._unfinished[scope]
            if scope is not None and scope in self._asked_again:
                self._asked_again.discard(scope)
                self.ask(scope)
