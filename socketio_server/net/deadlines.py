"""Deadlines of many sessions, with one timer for each kind.

All deadlines of one kind have the same delay, and fall due in the order in which they were set.
Therefore a dict serves as the queue, and no session needs a timer of its own.
"""

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Generic, TypeVar

from socketio_server.net.loop import Loop, Watcher

T = TypeVar("T")

TURN_TIME = 0.01
"""Seconds of one turn of the loop in which ``on_due`` is called. Other due items wait for the next
turn, because a single call may take long: it may free all that a client has sent."""

GRACE = 0.1
"""Seconds in which a late loop may read the bytes that arrived meanwhile, before items fall due. A
loop that is no later than that is on time."""

LATE_TURNS = 20
"""Turns that the loop takes before items fall due, however long each takes: enough to accept a
connection, and to read a request with a body of ``max_payload``."""

TICK = 0.001
"""Shortest delay of the timer, in seconds: deadlines that lie close together share one wake-up, and
no deadline gets later than timers are anyway."""


class Deadlines(Generic[T]):
    """A queue of items that all fall due the same time after they were added.

    ``on_due`` runs in a loop callback, after the item has left the queue; it may add and discard
    items. However late the loop is, it reads the bytes that have arrived before that: the callback
    of a late timer runs before those of the descriptors that the loop has found readable just then,
    and therefore items fall due only when the timer was set once more, for a later turn. A loop
    that is on time takes several turns as well, because it may have been late until just now, with
    much to read.

    :param delay: seconds from ``add`` to ``on_due``.
    :param clock: a monotonic clock, in seconds.
    :param turns: how many turns the loop takes before items fall due; none are needed if nobody is
        judged by them.
    :param on_raised: called with an item for which ``on_due`` raised; the others fall due
        nevertheless.
    """

    __slots__ = (
        "_clock",
        "_delay",
        "_due",
        "_firing",
        "_loop",
        "_on_due",
        "_on_raised",
        "_timer",
        "_turns",
        "lateness",
    )

    def __init__(
        self,
        loop: Loop,
        delay: float,
        on_due: Callable[[T], None],
        *,
        clock: Callable[[], float],
        turns: int = LATE_TURNS,
        on_raised: Callable[[T], object] = lambda item: None,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._delay = delay
        self._turns = turns
        self._on_due = on_due
        self._on_raised = on_raised
        self._due: dict[T, float] = {}  # in order of time
        self._timer: Watcher | None = None  # None while the queue is empty
        self._firing = False  # whether on_due runs; the timer is set again afterwards
        self.lateness = 0.0
        """Seconds since the item for which ``on_due`` runs fell due."""

    def __contains__(self, item: T) -> bool:
        return item in self._due

    def __iter__(self) -> Iterator[T]:
        return iter(self._due)

    def __len__(self) -> int:
        return len(self._due)

    def add(self, item: T, ago: float = 0.0) -> None:
        """Let ``item`` fall due in ``delay`` seconds, counted from now if it was in the queue.

        :param ago: how many of these seconds are over already. An item waits for those before it.
        """
        self._due.pop(item, None)
        self._due[item] = self._clock() + self._delay - ago
        if self._timer is None and not self._firing:
            self._arm(self._delay - ago)

    def discard(self, item: T) -> bool:
        """Remove ``item``; return whether it was in the queue."""
        return self._due.pop(item, None) is not None

    def clear(self) -> None:
        """Remove all items, and stop the timer."""
        self._due.clear()
        self._stop_timer()

    def callback_raised(self) -> None:
        """Go on with the items that are left (``CallbackOwner``)."""
        self._stop_timer()
        if self._due:
            self._arm(0.0)

    def _arm(self, delay: float) -> None:
        self._timer = self._loop.timer(max(delay, TICK))
        self._loop.start(self._timer, Deadlines._on_timer, self)

    def _on_timer(self) -> None:
        """Find due items; call ``on_due`` for them after the loop has polled all descriptors again.

        The awaited bytes may have arrived in time, and be unread because the loop was busy.
        """
        self._stop_timer()
        now = self._clock()
        first = next(iter(self._due.values()), None)
        if first is None:
            return
        if first > now:
            self._arm(first - now)
        else:
            self._postpone(now, self._turns, GRACE if now - first > GRACE else 0.0)

    def _postpone(self, until: float, turns: int, delay: float = 0.0) -> None:
        """Call ``_fire`` in the next turn of the loop, or in one of those behind it.

        :param turns: how many turns the loop takes before that one.
        :param delay: seconds before all of them.
        """
        self._stop_timer()
        self._timer = self._loop.timer(delay)
        if turns:
            self._loop.start(self._timer, Deadlines._postpone, self, until, turns - 1)
        else:
            self._loop.start(self._timer, Deadlines._fire, self, until)

    def _fire(self, until: float) -> None:
        """Call ``on_due`` for the items that were due at that time and are still in the queue."""
        self._stop_timer()
        due = list(takewhile(lambda item: self._due[item] <= until, self._due))
        now = self._clock()
        self._firing = True
        try:
            for item in due:
                if (time := self._due.pop(item, None)) is not None:
                    self.lateness = now - time
                    self._loop.call(self._on_due, item, self._on_raised)
                    if self._clock() - now > TURN_TIME:
                        self._postpone(until, 0)
                        break
            else:
                if self._due:
                    self._arm(next(iter(self._due.values())) - self._clock())
        finally:
            self._firing = False

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
