"""What waits for the handlers of one socket."""

from collections.abc import Callable
from contextvars import Context
from time import monotonic
from typing import Generic, TypeVar

from socketio_server.net.workers import Pool
from socketio_server.options import Options

T = TypeVar("T")


S = TypeVar("S")


class Inbox(Generic[S, T]):
    """What waits for a socket's handlers: handled strictly one after another, in order.

    A client that takes too little of what is sent to it has to wait for its handlers as well: an
    echo flood pays for itself.

    :param socket: whose it is.
    :param scope: the context variables that they run with.
    :param handle: handles one item, in a worker; must not raise.
    :param on_full: called with the socket and ``True`` when ``max_pending_events`` wait, so that no
        more are fetched, and with ``False`` when there is room again.
    :param must_wait: returns whether the socket's client takes too little just now; ``release`` is
        called when that is over.
    """

    __slots__ = (
        "_handle",
        "_held",
        "_is_full",
        "_is_last",
        "_items",
        "_must_wait",
        "_on_full",
        "_options",
        "_pool",
        "_scope",
        "_socket",
        "_working",
    )

    def __init__(
        self,
        socket: S,
        pool: Pool,
        options: Options,
        *,
        scope: Context,
        handle: Callable[[S, T], None],
        on_full: Callable[[S, bool], None],
        must_wait: Callable[[S], bool],
    ) -> None:
        self._socket = socket
        self._pool = pool
        self._options = options
        self._scope = scope
        self._handle = handle
        self._on_full = on_full
        self._must_wait = must_wait
        self._items: list[T] = []  # short: bounded by the limit and what one read brings
        self._working = False
        self._held = False  # what is left waits for release()
        self._is_last = False  # the last item is in: nothing waits any longer than it must
        self._is_full = False

    def put(self, item: T) -> None:
        """Have an item handled, after all that came before it."""
        self._items.append(item)
        if not self._working:
            self._working = True
            self._pool.run(self)
        elif len(self._items) >= self._options.max_pending_events and not self._is_full:
            self._is_full = True
            self._on_full(self._socket, True)

    def put_last(self, item: T) -> None:
        """Have the last item handled: after all others, which wait for the client no longer."""
        self._is_last = True
        self.put(item)
        self.release()

    def release(self) -> None:
        """Go on: the client has taken what it had to."""
        if self._held:
            self._held = False
            self._pool.run(self)

    def work(self) -> None:
        """Handle what waits, for one turn (``Job``)."""
        items, options = self._items, self._options
        turn_ends = monotonic() + options.max_time_per_turn
        for _ in range(options.max_events_per_turn):
            self._scope.run(self._handle, self._socket, items.pop(0))
            if self._is_full and len(items) <= options.max_pending_events // 2:
                self._is_full = False
                self._on_full(self._socket, False)
            if not items:
                self._working = False
                return
            if not self._is_last and self._must_wait(self._socket):
                self._held = True
                return
            if monotonic() > turn_ends:
                break
        self._pool.run(self)
