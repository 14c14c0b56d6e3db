"""Deadlines of many sessions, served by one timer each kind.

All deadlines of one kind lie the same time ahead, so that the order in which they are set is the
order in which they fall due: a dict serves as queue, and no session needs a timer of its own.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from socketio_server.net.loop import Loop, Watcher

T = TypeVar("T")


GRACE = 0.1
"""Seconds that a loop which was late has for what has come meanwhile, before anything is judged."""

TICK = 0.001
"""Least time between two looks at a queue, in seconds: deadlines that lie close together share one
wake-up, and none of them is later than timers are anyway."""


class Deadlines(Generic[T]):
    """A queue of items that all fall due the same time after they were added.

    ``on_due`` runs in a loop callback, after the item has left the queue; it may add and discard
    items. However late the loop is, what has come by then is read before it.

    :param delay: seconds from ``add`` to ``on_due``.
    :param clock: seconds that never go back.
    """

    __slots__ = ("_clock", "_delay", "_due", "_firing", "_loop", "_on_due", "_timer")

    def __init__(
        self,
        loop: Loop,
        delay: float,
        on_due: Callable[[T], None],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._delay = delay
        self._on_due = on_due
        self._due: dict[T, float] = {}  # in order of time
        self._timer: Watcher | None = None  # while anything waits
        self._firing = False  # on_due runs: the timer is set after it

    def __contains__(self, item: T) -> bool:
        return item in self._due

    def __len__(self) -> int:
        return len(self._due)

    def add(self, item: T) -> None:
        """Let ``item`` fall due in ``delay`` seconds, counted anew if it is in the queue."""
        self._due.pop(item, None)
        self._due[item] = self._clock() + self._delay
        if self._timer is None and not self._firing:
            self._arm(self._delay)

    def discard(self, item: T) -> bool:
        """Take ``item`` out; return whether it was in."""
        return self._due.pop(item, None) is not None

    def clear(self) -> None:
        """Forget everything, and stop the timer."""
        self._due.clear()
        self._stop_timer()

    def _arm(self, delay: float) -> None:
        self._timer = self._loop.timer(max(delay, TICK))
        self._timer.start(self._on_timer)

    def _on_timer(self) -> None:
        """See what is due; it falls due when the loop has looked at all descriptors once more.

        The bytes that a deadline is about may have come in time, and wait to be read by a loop that
        was busy.
        """
        self._stop_timer()
        now = self._clock()
        first = next(iter(self._due.values()), None)
        if first is None:
            return
        if first > now:
            self._arm(first - now)
        else:
            self._timer = self._loop.timer(GRACE if now - first > GRACE else 0.0)
            self._timer.start(self._fire, now)

    def _fire(self, until: float) -> None:
        """Call back for what was due at that time, and still is."""
        self._stop_timer()
        due = []
        for item, time in self._due.items():
            if time > until:
                break
            due.append(item)
        self._firing = True
        try:
            for item in due:
                if self.discard(item):
                    self._on_due(item)
        finally:
            self._firing = False
        if self._due:
            self._arm(next(iter(self._due.values())) - self._clock())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
