"""Accounts for the messages that are queued for all clients of a process, and gives up clients that
are too slow.

A message that a client does not read at once is queued for it, by its connection or its polling
transport; so is an answer to a poll, by its connection. Each of these queues has a ``Backlog`` here
while it is not empty. The queue tells it of each message, and of the bytes that the client reads;
it tells the queue to give up a client that stalls, lags, or is one of those whose going frees most
when the process has no room.

Messages are kept here only if their clients have gone, until they are dropped. Nothing here is
called while clients read their messages at once, unless kilobytes are queued by a polling transport
until the turn of the loop ends.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from heapq import nlargest
from itertools import chain
from operator import attrgetter
from typing import Protocol

from socketio_server.net.deadlines import Deadlines
from socketio_server.net.held_total import TOO_MANY, HeldTotal
from socketio_server.net.loop import CallbackOwner, Loop, Watcher
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.turns import LARGE
from socketio_server.options import Options

ENTRY_COST = 100
"""Bytes charged for each entry of a queue besides the message: its place, and the accounts here."""

MESSAGE_COST = 300
"""Bytes charged for each message besides its own: its objects, and who has it queued."""

RANKED = 10
"""How many clients may go before all are compared again: that takes a while if there are many."""

AT_ONCE = 100
"""Messages of a queue that are dropped at once when it ends; of a longer one all are dropped later.
"""

PIECE = 4000
"""Messages that are dropped in a turn of the loop, of all longer queues that have ended."""

LAG_RATE = 16_000
"""Bytes a second: a client that reads as many is slow, but does not lag."""

SAMPLES = 6
"""How many times in ``max_lag`` seconds a backlog is sampled."""


class LostBecause(Enum):
    """Why a connection is gone."""

    CLOSED = "closed by us"
    EOF = "closed by the peer"
    ERROR = "socket error"
    OVERFLOW = "more bytes queued than allowed (SOCKETIO_MAX_QUEUED_BYTES)"
    STALLED = "no progress while bytes were queued (SOCKETIO_STALL_TIMEOUT)"
    PAUSED = "no progress in a download (SOCKETIO_DOWNLOAD_TIMEOUT)"
    LAGGED = "too little progress while bytes were queued (SOCKETIO_MAX_LAG)"
    CROWDED = "more bytes queued for all clients than allowed (SOCKETIO_MAX_QUEUED_TOTAL)"
    HELD = TOO_MANY
    FAULT = "internal error"


SLOW = {
    LostBecause.OVERFLOW: RefusalKind.QUEUED,
    LostBecause.STALLED: RefusalKind.STALLED,
    LostBecause.PAUSED: RefusalKind.DOWNLOAD,
    LostBecause.LAGGED: RefusalKind.LAGGING,
    LostBecause.CROWDED: RefusalKind.QUEUED_TOTAL,
    LostBecause.HELD: RefusalKind.HELD_TOTAL,
}
"""Why the server gives up a client that reads too little, and how that is counted."""


class Holder(CallbackOwner, Protocol):
    """Queues messages for one client. Called in loop callbacks and from sends."""

    @property
    def is_download(self) -> bool:
        """Whether the client may pause for long, because nobody else waits for it."""

    @property
    def is_excused(self) -> bool:
        """Whether the client's progress can't be observed just now."""

    def try_again(self) -> None:
        """Send as many bytes as the client accepts now."""

    def give_up(self, because: LostBecause) -> None:
        """Close the client's connection or session, and the backlog; must not call other objects
        back.
        """


class QueuedOutput:
    """The account of the messages queued for the clients of one server (``CallbackOwner``).

    A message that is queued for many clients is counted once, by the identity of its ``bytes``. The
    messages of clients that have gone are counted until they are dropped, some in each turn of the
    loop, because many clients with long queues may go together.

    :param clock: a monotonic clock, in seconds.
    :param held_total: counts what all clients make the server hold; ``None``: nothing but this.
    """

    def __init__(
        self,
        loop: Loop,
        options: Options,
        *,
        clock: Callable[[], float],
        held_total: HeldTotal | None = None,
    ) -> None:
        self.max_queued_bytes = options.max_queued_bytes
        """Bytes that may be queued for one client."""
        self.unremarkable = min(LARGE, options.max_queued_bytes)
        """Bytes up to which a message is neither large nor too large."""
        self.high_water = min(options.high_water, options.max_queued_bytes // 2)
        """Bytes that may be queued for one client before senders wait for it."""
        self.max_lag = options.max_lag
        """Seconds that a message may be queued for a client that reads little."""
        self.total = 0
        """Bytes that are queued for all clients."""
        self.crossings = 0
        """How many messages were queued above the high-water mark of a client."""
        self.stalls: Deadlines[Backlog] = Deadlines(
            loop,
            options.stall_timeout,
            Backlog.stalled,
            clock=clock,
            on_raised=Backlog.callback_raised,
        )
        """The backlogs, by the time when their client last read some bytes."""
        self.downloads: Deadlines[Backlog] = Deadlines(
            loop,
            options.download_timeout,
            Backlog.stalled,
            clock=clock,
            on_raised=Backlog.callback_raised,
        )
        """The backlogs of downloads, which may pause for longer, by the same time."""
        self.lag_checks: Deadlines[Backlog] = Deadlines(
            loop,
            options.max_lag / SAMPLES,
            Backlog.check_lag,
            clock=clock,
            on_raised=Backlog.callback_raised,
        )
        """The backlogs, by the time of their last ``check_lag``."""
        self._loop = loop
        self._max_total = options.max_queued_total
        self._held_total = held_total or HeldTotal(loop, options)
        self._held_total.add_reliever(self._relieve, is_first=True)
        # By a message's id, its backlogs, and how often each has it. The id is unique, because a
        # queue keeps the message alive.
        self._holders: dict[int, dict[Backlog, int]] = {}
        # The queues of clients that have gone.
        self._left: deque[tuple[deque[bytes | bytearray | memoryview], Backlog]] = deque()
        self._timer: Watcher | None = None  # while there are any

    def add(self, message: bytes | bytearray | memoryview, backlog: "Backlog") -> None:
        """Count a message for a backlog. This may close any backlog, the given one included."""
        cost = ENTRY_COST
        holders = self._holders.get(id(message))
        if holders is None:
            holders = self._holders[id(message)] = {}
            cost += len(message) + MESSAGE_COST
        backlog.charged += ENTRY_COST
        if backlog in holders:
            holders[backlog] += 1
        else:
            holders[backlog] = 1
            part, more = _split(len(message) + MESSAGE_COST, len(holders))
            backlog.charged += part + more
            if more:
                for holder in holders:
                    holder.charged -= more
        self._count(cost)
        if self.total > self._max_total:
            self._relieve()

    def discard(self, message: bytes | bytearray | memoryview, backlog: "Backlog") -> None:
        """Stop counting a message for a backlog; do nothing if it was not counted."""
        holders = self._holders.get(id(message))
        if holders is None or backlog not in holders:
            return
        cost = ENTRY_COST
        backlog.charged -= ENTRY_COST
        holders[backlog] -= 1
        if not holders[backlog]:
            part, more = _split(len(message) + MESSAGE_COST, len(holders))
            backlog.charged -= part
            del holders[backlog]
            if more:
                for holder in holders:
                    holder.charged += more
            if not holders:
                del self._holders[id(message)]
                cost += len(message) + MESSAGE_COST
        self._count(-cost)
        if not self._holders:
            self._holders.clear()  # a dict that is emptied key by key keeps its memory

    def drop(self, left: deque[bytes | bytearray | memoryview], backlog: "Backlog") -> None:
        """Drop the messages that are left in a backlog's queue; if there are many, do it later."""
        self._left.append((left, backlog))
        if len(left) <= AT_ONCE and len(self._left) == 1:
            self._drop_some()
        elif self._timer is None:
            self._start_timer()

    def callback_raised(self) -> None:
        """Drop the rest in later turns (``CallbackOwner``)."""
        self._end_turn()

    def _start_timer(self) -> None:
        self._timer = self._loop.timer(0.0)
        self._loop.start(self._timer, QueuedOutput._take_turn, self)

    def _take_turn(self) -> None:
        """Drop some of the messages of clients that have gone."""
        self._drop_some()
        self._end_turn()

    def _end_turn(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        if self._left:
            self._start_timer()

    def _drop_some(self) -> None:
        for _ in range(PIECE):
            if not self._left:
                return
            left, backlog = self._left[0]
            self.discard(left.popleft(), backlog)
            if not left:
                self._left.popleft()

    def _count(self, change: int) -> None:
        self.total += change
        self._held_total.count(change)

    def _relieve(self) -> None:
        """Drop what gone clients have left, and then give up clients until the rest fits: those
        first whose going frees most.

        That is not who has most queued. A message that many have queued takes memory once, and
        stays until the last of them has gone: each is charged for its part of it only, so that
        slow readers of one broadcast don't go before a client that has megabytes for itself. Nor
        does age tell: an old message may be on its way to all of them. Progress does, and halves
        the charge at most (``Backlog.burden``): who reads frees memory by itself, but nobody may
        keep much for reading a little. Of equals the one goes that has read nothing for longest.
        """
        while self._has_too_many_bytes():
            backlogs = chain(self.stalls, self.downloads)
            ranked = nlargest(RANKED, backlogs, key=attrgetter("burden"))
            if not ranked:
                return  # who is judged just now
            for backlog in ranked:
                if self._has_too_many_bytes() and not backlog.closed:
                    is_own = self.total > self._max_total
                    backlog.give_up(LostBecause.CROWDED if is_own else LostBecause.HELD)

    def _has_too_many_bytes(self) -> bool:
        """Return whether there are too many bytes without those that gone clients have left."""
        while self._held_total.has_too_many_bytes(self.total, self._max_total):
            if not self._left:
                return True
            self._drop_some()
        return False


def _split(cost: int, count: int) -> tuple[int, int]:
    """Split the cost of a message that so many clients have queued.

    It is divided by their number, rounded down to a power of two: so the parts of the others change
    seldom when one comes or goes.

    :return: the part of each, and how much more it was if there was one client fewer.
    """
    power = count.bit_length() - 1
    part = cost >> power
    has_doubled = power and count == 1 << power
    return part, (cost >> power - 1) - part if has_doubled else 0


class Backlog:
    """The account of one client's queue, from its first message until it is empty.

    After making one, ``close`` it.
    """

    __slots__ = (
        "_holder",
        "_output",
        "_queued",
        "_samples",
        "_stalls",
        "_taken",
        "charged",
        "closed",
    )

    def __init__(self, holder: Holder, output: QueuedOutput) -> None:
        self.closed = False
        """Whether the queue is empty, or its client given up."""
        self.charged = 0
        """The queue's part of the bytes that are queued for all clients."""
        self._holder = holder
        self._output = output
        self._queued = 0  # bytes queued so far
        self._taken = 0  # bytes sent to the client so far
        self._samples: deque[tuple[int, int]] = deque()  # both, at the last checks
        self._stalls = output.downloads if holder.is_download else output.stalls
        self._stalls.add(self)
        if not holder.is_download:
            output.lag_checks.add(self)

    @property
    def burden(self) -> int:
        """What is charged, less the bytes that the client has read in the last ``max_lag`` seconds,
        but for no more than half of it.
        """
        read = self._taken - self._samples[0][1] if self._samples else 0
        return self.charged - min(read, self.charged // 2)

    def add(self, message: bytes | bytearray | memoryview) -> None:
        """A message was queued. This may close the backlog."""
        self._queued += len(message)
        if not self._samples:
            self._samples.append((self._queued, self._taken))
        self._output.add(message, self)

    def taken(self, size: int) -> None:
        """``size`` bytes were sent to the client, or fetched by it."""
        self._taken += size
        self._stalls.add(self)

    def discard(self, message: bytes | bytearray | memoryview) -> None:
        """A message left the queue."""
        self._output.discard(message, self)

    def close(self, left: deque[bytes | bytearray | memoryview] | None = None) -> None:
        """The queue is empty, or dropped.

        :param left: the messages that are still in it, which the client does not get; they are
            taken out of it, now or later.
        """
        self.closed = True
        self._stalls.discard(self)
        self._output.lag_checks.discard(self)
        if left:
            self._output.drop(left, self)

    def give_up(self, because: LostBecause) -> None:
        """Have the holder give up the client."""
        self._holder.give_up(because)

    def callback_raised(self) -> None:
        """Have the holder end the client (``CallbackOwner``)."""
        self._holder.callback_raised()

    def stalled(self) -> None:
        """The client has read no bytes for ``stall_timeout``, or ``download_timeout``."""
        self._holder.try_again()
        if self.closed or self in self._stalls:
            return
        if self._holder.is_excused:
            self._stalls.add(self)
        else:
            is_download = self._stalls is self._output.downloads
            self._holder.give_up(LostBecause.PAUSED if is_download else LostBecause.STALLED)

    def check_lag(self) -> None:
        """Give up the client if it lags: a message waits for ``max_lag``, and it reads little."""
        max_lag = self._output.max_lag
        self._samples.append((self._queued, self._taken))
        if len(self._samples) > SAMPLES:
            queued, taken = self._samples.popleft()  # the values of max_lag seconds ago
            lags = self._taken < queued and self._taken - taken < LAG_RATE * max_lag
            if lags and not self._holder.is_excused:
                self._holder.give_up(LostBecause.LAGGED)
                return
        self._output.lag_checks.add(self)
