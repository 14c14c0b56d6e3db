"""Deadlines of many sessions, served by one timer each kind.

All deadlines of one kind lie the same time ahead, so that the order in which they are set is the
order in which they fall due: a dict serves as queue, and no session needs a timer of its own.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from socketio_server.net.connection import Loop, Watcher

T = TypeVar("T")


TICK = 0.01
"""Least time between two looks at a queue, in seconds: many deadlines share one wake-up."""


class Deadlines(Generic[T]):
    """A queue of items that all fall due the same time after they were added.

    ``on_due`` runs in a loop callback, after the item has left
    the queue; it may add and discard items.

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
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _arm(self, delay: float) -> None:
        self._timer = self._loop.timer(max(delay, TICK))
        self._timer.start(self._on_timer)

    def _on_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        now = self._clock()
        due = []
        for item, time in self._due.items():
            if time > now:
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
            self._arm(next(iter(self._due.values())) - now)
