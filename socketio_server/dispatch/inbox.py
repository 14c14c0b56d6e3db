"""What waits for the handlers of one socket."""

from collections.abc import Callable
from contextvars import Context
from typing import Any, Generic, Protocol, TypeVar

from socketio_server.net.workers import Pool
from socketio_server.options import Options

T = TypeVar("T")


class InboxKeeper(Protocol):
    """Who handles what inboxes hold: one for all inboxes of a server."""

    @property
    def pool(self) -> Pool:
        """Runs inboxes in which something waits."""

    @property
    def options(self) -> Options:
        """The limits of inboxes and turns."""

    @property
    def clock(self) -> Callable[[], float]:
        """Tells the seconds of a clock that never goes back."""

    def handle(self, inbox: Any, item: Any) -> None:
        """Handle one item, in a worker; must not raise."""

    def inbox_full(self, inbox: Any, full: bool) -> None:
        """``max_pending_events`` wait, or again no more than half of that."""


class Inbox(Generic[T]):
    """Items that are handled strictly one after another, in order (``Job``).

    :param scope: the context variables that the items are handled with.
    """

    __slots__ = ("_is_full", "_is_working", "_items", "_keeper", "_scope")

    def __init__(self, keeper: InboxKeeper, scope: Context) -> None:
        self._keeper = keeper
        self._scope = scope
        self._items: list[T] = []  # short: bounded by the limit and what one read brings
        self._is_working = False  # the pool has it
        self._is_full = False  # the keeper was told so

    def put(self, item: T) -> None:
        """Have an item handled, after all that came before it."""
        self._items.append(item)
        if not self._is_working:
            self._is_working = True
            self._keeper.pool.run(self)
        elif not self._is_full and len(self._items) >= self._keeper.options.max_pending_events:
            self._is_full = True
            self._keeper.inbox_full(self, True)

    def work(self) -> None:
        """Handle what waits, for one turn (``Job``)."""
        items, keeper = self._items, self._keeper
        options, clock, handle = keeper.options, keeper.clock, keeper.handle
        turn_ends = clock() + options.max_time_per_turn
        for _ in range(options.max_events_per_turn):
            self._scope.run(handle, self, items.pop(0))
            if self._is_full and len(items) <= options.max_pending_events // 2:
                self._is_full = False
                keeper.inbox_full(self, False)
            if not items:
                self._is_working = False
                return
            if clock() > turn_ends:
                break
        keeper.pool.run(self)
