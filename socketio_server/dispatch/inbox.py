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

    def must_wait(self, inbox: Any) -> bool:
        """Return whether the inbox's items must wait until its ``release`` is called."""


class Inbox(Generic[T]):
    """Items that are handled strictly one after another, in order (``Job``).

    A client that takes too little of what is sent to it has to wait for its handlers as well: an
    echo flood pays for itself.

    :param scope: the context variables that the items are handled with.
    """

    __slots__ = ("_has_last", "_is_full", "_is_held", "_is_working", "_items", "_keeper", "_scope")

    def __init__(self, keeper: InboxKeeper, scope: Context) -> None:
        self._keeper = keeper
        self._scope = scope
        self._items: list[T] = []  # short: bounded by the limit and what one read brings
        self._is_working = False  # the pool has it, or it is held
        self._is_held = False  # the items wait for release()
        self._has_last = False  # the last item is in, and nothing is held any more
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

    def put_last(self, item: T) -> None:
        """Have the last item handled: after all others, which wait for the client no longer."""
        self._has_last = True
        self.put(item)
        self.release()

    def release(self) -> None:
        """Go on, because the client has taken its messages."""
        if self._is_held:
            self._is_held = False
            self._keeper.pool.run(self)

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
            if not self._has_last and keeper.must_wait(self):
                self._is_held = True
                return
            if clock() > turn_ends:
                break
        keeper.pool.run(self)
