"""The queue of one socket: packets and other items that wait for its handlers."""

from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Generic, Protocol, TypeVar

from socketio_server.dispatch.decoded_memory import SMALL, DecodedMemory, Tenant
from socketio_server.net.statistics import Stats
from socketio_server.net.turns import LARGE
from socketio_server.net.workers import Job, Pool
from socketio_server.options import Options

T = TypeVar("T")

ITEM_COST = 100
"""Bytes charged for each waiting item besides its own: its place, and the memory around small
objects, which stays reserved where a few of them remain."""


class InboxKeeper(Protocol):
    """Handles the items of inboxes: one for all inboxes of a server."""

    @property
    def pool(self) -> Pool:
        """Runs the turns of inboxes."""

    @property
    def options(self) -> Options:
        """The limits of turns."""

    @property
    def stats(self) -> Stats:
        """Counts the time that items take."""

    @property
    def clock(self) -> Callable[[], float]:
        """A monotonic clock, in seconds."""

    @property
    def decoded_memory(self) -> DecodedMemory:
        """The memory for decoded items."""

    def decoded_size(self, item: Any) -> int:
        """Estimate how many bytes an item takes once it is decoded."""

    def takes_long(self, item: Any, decoded_size: int) -> bool:
        """Return whether an item, which is no small one, gets a turn of its own.

        :param decoded_size: bytes that it takes once it is decoded.
        """

    def handle(self, inbox: Any, item: Any) -> None:
        """Handle one item, in a worker; must not raise."""


class Account(Tenant, Protocol):
    """One client's share of memory and handlers: one account for all of its inboxes.

    Inboxes read and write the attributes themselves, because a call for each event would cost more.
    """

    waiting_bytes: int
    """Bytes of all waiting items, which the inboxes count."""

    weigh_above: int
    """``weigh`` must be called above this."""

    weigh_below: int
    """``weigh`` must be called below this."""

    def weigh(self) -> None:
        """Act on the number of waiting bytes, which has left the range between these two."""

    def callback_raised(self) -> None:
        """End the client's session, because of an internal error."""

    free_handlers: int
    """How many more inboxes may run handlers side by side."""

    makes_large_messages: bool
    """Whether an event of the client has led to a large message: the next one takes a turn of its
    own."""

    queued: deque[Job] | None
    """The inboxes that wait for a free handler; ``None`` until one has to wait."""


class Inbox(Generic[T]):
    """Items that are handled strictly one after another, in order (``MessagingJob``).

    :param account: the client's account, to which waiting items are charged.
    :param scope: the context variables of the handlers.
    """

    __slots__ = ("_account", "_is_working", "_items", "_keeper", "_scope")

    def __init__(self, keeper: InboxKeeper, account: Account, scope: Context) -> None:
        self._keeper = keeper
        self._account = account
        self._scope = scope
        self._items: list[Any] = []  # a deque would take more memory, and this one is short
        self._is_working = False  # the account has it, or it must wait for start()

    def put(self, item: T) -> None:
        """Queue an item behind all earlier ones."""
        self._items.append(item)
        account = self._account
        waiting = account.waiting_bytes = account.waiting_bytes + item.__sizeof__() + ITEM_COST
        if waiting > account.weigh_above:
            account.weigh()
        if not self._is_working:
            self._is_working = True
            if account.free_handlers:
                account.free_handlers -= 1
                self._keeper.pool.run(self)
            else:
                self._queue()

    def postpone(self) -> None:
        """Handle nothing until ``start`` is called."""
        self._is_working = True

    def start(self) -> None:
        """Begin to handle the waiting items."""
        self._queue()
        self._run_queued()

    def drop(self, *, but: tuple[type, ...]) -> None:
        """Drop the waiting items, except for these types. The caller must call ``weigh`` after it.

        :param but: the types of items to keep.
        """
        items, self._items[:] = self._items[:], []
        for item in items:
            if isinstance(item, but):
                self._items.append(item)
            else:
                self._account.waiting_bytes -= item.__sizeof__() + ITEM_COST

    def work_in(self, taken: int) -> None:
        """Handle waiting items, for one turn, of which the first is no small one.

        :param taken: bytes that this item has taken, decoded; none, if it was dropped.
        """
        if not (self._items and self._items[0].__sizeof__() > SMALL):  # it was dropped
            self._keeper.decoded_memory.leave(self._account, taken)
            taken = 0
        self.work(taken)

    def work(self, taken: int = 0) -> None:
        """Handle waiting items, for one turn (``Job``).

        :param taken: bytes of decoded memory that the first item has taken.
        """
        items, keeper, account = self._items, self._keeper, self._account
        if account.makes_large_messages and not taken:
            keeper.pool.run_heavy(_OwnTurn(self))
            return
        run, handle = self._scope.run, keeper.handle
        began = keeper.clock()
        remaining = keeper.options.max_events_per_turn
        while items:  # they may have been dropped
            item = items[0]
            size = item.__sizeof__()
            if size > SMALL and not taken:
                try:
                    needed = keeper.decoded_size(item)
                    is_large = keeper.takes_long(item, needed)
                    turn = _Turn(self, keeper.pool, is_large=is_large)
                    if not keeper.decoded_memory.take(account, needed, turn.begin):
                        break
                    taken = needed
                    if is_large:
                        turn.begin(taken)
                        break
                except BaseException:  # a fault of ours, too
                    keeper.decoded_memory.leave(account, taken)
                    self._end_client()
                    raise
            del items[0]
            waiting = account.waiting_bytes = account.waiting_bytes - size - ITEM_COST
            if waiting < account.weigh_below:
                account.weigh()
            try:
                run(handle, self, item)
            except BaseException:  # a fault of ours: the items behind it must still be handled
                keeper.pool.run(self)
                raise
            finally:
                if taken:
                    keeper.decoded_memory.leave(account, taken)
                    taken = 0
            if items:
                remaining -= 1
                if (
                    size > LARGE
                    or account.makes_large_messages
                    or not remaining
                    or keeper.clock() - began > keeper.pool.time_per_job
                ):
                    keeper.pool.run(self)
                    break
        else:
            self._is_working = False
            account.free_handlers += 1
            if account.queued:
                self._run_queued()
        keeper.stats.handler_time += keeper.clock() - began

    def _end_client(self) -> None:
        """End the client, because the first item can't be handled; go on with those behind it."""
        self._account.waiting_bytes -= self._items.pop(0).__sizeof__() + ITEM_COST
        self._keeper.pool.run(self)
        self._account.callback_raised()

    def work_in_own_turn(self) -> None:
        """Handle waiting items, of which the first may take long."""
        self._account.makes_large_messages = False
        self.work()

    @property
    def makes_large_messages(self) -> bool:
        """Whether the client's next item gets a turn of its own."""
        return self._account.makes_large_messages

    def made_large_message(self) -> None:
        """Let the client's next item have a turn of its own (``MessagingJob``).

        Nobody knows beforehand how large an answer becomes. So a client has one that delays
        others, and not as many as it may have handlers.
        """
        self._account.makes_large_messages = True

    def _queue(self) -> None:
        account = self._account
        if account.queued is None:
            account.queued = deque()
        account.queued.append(self)

    def _run_queued(self) -> None:
        account = self._account
        if account.queued and account.free_handlers:
            account.free_handlers -= 1
            self._keeper.pool.run(account.queued.popleft())


class _Turn:
    """A turn of an inbox whose first item has room to be decoded (``MessagingJob``)."""

    __slots__ = ("_inbox", "_is_large", "_pool", "_taken")

    def __init__(self, inbox: Inbox[Any], pool: Pool, *, is_large: bool) -> None:
        self._inbox = inbox
        self._pool = pool
        self._taken = 0
        self._is_large = is_large

    def begin(self, taken: int) -> None:
        """Take the turn soon; large items have turns of their own.

        :param taken: bytes that the item has taken, decoded.
        """
        self._taken = taken
        if self._is_large or self._inbox.makes_large_messages:
            self._pool.run_heavy(self)
        else:
            self._pool.run(self)

    def work(self) -> None:
        """Handle the item, and the small ones behind it."""
        self._inbox.work_in(self._taken)

    def made_large_message(self) -> None:
        """Tell the inbox (``MessagingJob``)."""
        self._inbox.made_large_message()


class _OwnTurn:
    """A turn of an inbox whose next item may lead to a large message (``MessagingJob``)."""

    __slots__ = ("_inbox",)

    def __init__(self, inbox: Inbox[Any]) -> None:
        self._inbox = inbox

    def work(self) -> None:
        """Handle items."""
        self._inbox.work_in_own_turn()

    def made_large_message(self) -> None:
        """Tell the inbox (``MessagingJob``)."""
        self._inbox.made_large_message()
