"""What waits for the handlers of one socket."""

from collections.abc import Callable
from contextvars import Context
from sys import getsizeof
from typing import Any, Generic, Protocol, TypeVar

from socketio_server.net.workers import Job, Pool
from socketio_server.options import Options

T = TypeVar("T")


class InboxKeeper(Protocol):
    """Who handles what inboxes hold: one for all inboxes of a server."""

    @property
    def pool(self) -> Pool:
        """Runs inboxes whose turn was too short for all that waits."""

    @property
    def options(self) -> Options:
        """The limits of turns."""

    @property
    def clock(self) -> Callable[[], float]:
        """Tells the seconds of a clock that never goes back."""

    def handle(self, inbox: Any, item: Any) -> None:
        """Handle one item, in a worker; must not raise."""


class Account(Protocol):
    """What one client makes the server hold and run: one for all of its inboxes."""

    def charge(self, size: int) -> None:
        """So many bytes more wait."""

    def discharge(self, size: int) -> None:
        """So many wait no longer."""

    def run(self, job: Job) -> None:
        """Have an inbox worked on, when the client's others leave it room."""

    def ran(self) -> None:
        """An inbox is empty again."""


class Inbox(Generic[T]):
    """Items that are handled strictly one after another, in order (``Job``).

    :param account: its client's, to which what waits is charged.
    :param scope: the context variables that the items are handled with.
    """

    __slots__ = ("_account", "_is_working", "_items", "_keeper", "_scope")

    def __init__(self, keeper: InboxKeeper, account: Account, scope: Context) -> None:
        self._keeper = keeper
        self._account = account
        self._scope = scope
        self._items: list[T] = []  # a deque would take more memory, and this one is short
        self._is_working = False  # the account has it, or it must wait for start()

    def put(self, item: T) -> None:
        """Have an item handled, after all that came before it."""
        self._items.append(item)
        self._account.charge(getsizeof(item))
        if not self._is_working:
            self.start()

    def postpone(self) -> None:
        """Handle nothing until ``start`` is called."""
        self._is_working = True

    def start(self) -> None:
        """Begin to handle what waits."""
        self._is_working = True
        self._account.run(self)

    def drop(self, *, but: tuple[type, ...]) -> None:
        """Drop what waits, except for items of these types."""
        items, self._items = self._items, []
        for item in items:
            if isinstance(item, but):
                self._items.append(item)
            else:
                self._account.discharge(getsizeof(item))

    def work(self) -> None:
        """Handle what waits, for one turn (``Job``)."""
        keeper, account = self._keeper, self._account
        options, clock, handle = keeper.options, keeper.clock, keeper.handle
        turn_ends = clock() + options.max_time_per_turn
        for _ in range(options.max_events_per_turn):
            if not self._items:  # what waited was dropped
                break
            item = self._items.pop(0)
            account.discharge(getsizeof(item))
            self._scope.run(handle, self, item)
            if not self._items or clock() > turn_ends:
                break
        if self._items:
            keeper.pool.run(self)
        else:
            self._is_working = False
            account.ran()
