"""Runs the handlers of events that servers send each other (``events.on_cluster``)."""

import logging
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial
from typing import Any

from greenlet import getcurrent

from socketio_server.dispatch.event_hooks import EventHooks
from socketio_server.dispatch.middleware import NO_ANSWER
from socketio_server.net.log import show
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Stats
from socketio_server.net.workers import Pool
from socketio_server.registry.events import Registration, Registry
from socketio_server.registry.signatures import describe

MAX_WAITING = 1000
"""Events that are handled, or wait for a worker, at once; more are dropped."""

logger = logging.getLogger("socketio_server")

AnswerTo = Callable[[Any], None]


class ClusterEvents:
    """The events of other servers, and of this one.

    :param clock: a monotonic clock, in seconds.
    :param on_raised: called with each exception of a handler, besides the log.
    """

    def __init__(
        self,
        registry: Registry,
        hooks: EventHooks,
        pool: Pool,
        stats: Stats,
        *,
        clock: Callable[[], float],
        on_raised: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._registry = registry
        self._hooks = hooks
        self._pool = pool
        self._stats = stats
        self._clock = clock
        self._on_raised = on_raised
        self._waiting = 0

    def run(self, namespace: str, name: str, args: Sequence[Any], answer: AnswerTo | None) -> None:
        """Let the handlers of an event run in a worker, soon; never waits.

        :param answer: called with the first of their answers that is not ``None``, or with ``None``
            if there is no other; not called if a handler raised and none answered.
        """
        event = self._registry.cluster.get(name)
        handlers = () if event is None else event.select(namespace, ())
        if not handlers:
            if answer is not None:
                answer(None)
        elif self._waiting >= MAX_WAITING:
            why = f"event {show(name)}: more than {MAX_WAITING} wait for their handlers"
            self._stats.refusals.add(RefusalKind.CLUSTER, "events", why)
        else:
            self._waiting += 1
            self._pool.run(_Event(partial(self.handle, name, handlers, args, answer)))

    def handle(
        self,
        name: str,
        handlers: Sequence[Registration],
        args: Sequence[Any],
        answer: AnswerTo | None,
    ) -> None:
        """Run handlers, in a worker."""
        self._waiting -= 1
        worker = getcurrent()
        if getattr(worker, "is_dirty", False):
            self._hooks.before_event()
        began = self._clock()
        try:
            answers = [self._call(registration, name, args) for registration in handlers]
        finally:
            self._stats.events += 1
            self._stats.handler_time += self._clock() - began
            if getattr(worker, "is_dirty", False):
                self._hooks.after_event(None)
        values = [value for value in answers if value is not None and value is not NO_ANSWER]
        if answer is None or (NO_ANSWER in answers and not values):
            return
        try:
            answer(values[0] if values else None)
        except TypeError as error:  # it can't be encoded
            names = " or ".join(describe(registration.handler) for registration in handlers)
            self._raised(name, TypeError(f"{names} returned a value that can't be sent: {error}"))

    def _call(self, registration: Registration, name: str, args: Sequence[Any]) -> Any:
        """Return a handler's answer; ``NO_ANSWER`` if it raised."""
        handler, wrap = registration.handler, self._hooks.wrap_handler
        try:
            answer = (handler if wrap is None else wrap(handler, _is_refusal))(*args)
        except BaseException as error:  # ends no more than the handler
            if isinstance(error, KeyboardInterrupt):
                raise
            self._raised(name, error)
            return NO_ANSWER
        mistake = self._hooks.find_mistake(answer)
        if mistake is None:
            return answer
        self._raised(name, TypeError(f"{describe(handler)} returned {mistake}"))
        return NO_ANSWER

    def _raised(self, name: str, error: BaseException) -> None:
        logger.error("Handler of the cluster event %s raised", show(name), exc_info=error)
        if self._on_raised is not None:
            self._on_raised(error)


class _Event:
    """An event that waits for a worker (``Job``)."""

    def __init__(self, handle: Callable[[], None]) -> None:
        self._handle = handle

    def work(self) -> None:
        """Handle it, without the context variables of what the worker did before."""
        Context().run(self._handle)


def _is_refusal(answer: Any) -> bool:
    """Return ``False``: no handler refuses a server's event, whatever it returns."""
    return False
