"""What waits for all clients of a process: how much it is, and which of them have to go.

Messages that a client does not take at once are queued for it, by its connection or its polling
transport. Each of these queues has a ``Backlog`` here while anything is in it, which is told what
comes in and what the client takes. It tells back when the client is to be given up: because it
stands still, lags behind, or holds what the process has no room for.

Nothing here keeps the messages themselves, or is touched while clients take what is sent to them.
"""

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Protocol

from socketio_server.net.deadlines import Deadlines
from socketio_server.net.loop import Loop
from socketio_server.options import Options

ENTRY_COST = 100
"""Bytes that each entry of a queue is charged besides the message: its place, and our accounts."""

LAG_RATE = 16_000
"""Bytes a second: a client that takes so much is slow, but does not lag."""

SAMPLES = 6
"""How many times in ``max_lag`` seconds a backlog is looked at."""


class LostBecause(Enum):
    """Why a connection is gone."""

    CLOSED = "closed by us"
    EOF = "closed by the peer"
    ERROR = "socket error"
    OVERFLOW = "more bytes queued than allowed"
    STALLED = "no progress while bytes were queued"
    LAGGED = "too little progress while bytes were queued"
    CROWDED = "more bytes queued for all clients than allowed"


SLOW = frozenset(
    {LostBecause.OVERFLOW, LostBecause.STALLED, LostBecause.LAGGED, LostBecause.CROWDED}
)
"""Why we close on a client that takes too little."""


class Holder(Protocol):
    """Who queues messages for one client. Called in loop callbacks and by whoever sends."""

    @property
    def is_download(self) -> bool:
        """Whether the client may pause for long: nobody but itself has to wait for it."""

    @property
    def is_excused(self) -> bool:
        """Whether it can't be told just now if the client takes something."""

    def try_again(self) -> None:
        """Send what the client takes now."""

    def give_up(self, because: LostBecause) -> None:
        """Close on the client, and close the backlog; must not call anybody else."""


class QueuedOutput:
    """What waits for the clients of one server.

    A message that waits for many clients is counted once, by the identity of its ``bytes``.

    :param clock: seconds that never go back.
    """

    def __init__(self, loop: Loop, options: Options, *, clock: Callable[[], float]) -> None:
        self.max_queued_bytes = options.max_queued_bytes
        """Bytes that may wait for one client."""
        self.high_water = min(options.high_water, options.max_queued_bytes // 2)
        """Bytes that may wait for one client before senders wait for it."""
        self.max_lag = options.max_lag
        """Seconds that something may wait for a client which takes little."""
        self.total = 0
        """Bytes that wait for all clients."""
        self.crossings = 0
        """How often something was queued above the high-water mark of some client."""
        self.stalls: Deadlines[Backlog] = Deadlines(
            loop, options.stall_timeout, Backlog.stalled, clock=clock
        )
        """The backlogs, by when their client last took something."""
        self.downloads: Deadlines[Backlog] = Deadlines(
            loop, options.download_timeout, Backlog.stalled, clock=clock
        )
        """The same for downloads, which may pause for longer."""
        self.looks: Deadlines[Backlog] = Deadlines(
            loop, options.max_lag / SAMPLES, Backlog.look, clock=clock
        )
        """The backlogs, by when they were last looked at."""
        self._max_total = options.max_queued_total
        # Who holds each message, and how often, by the message's id: it lives while it is queued.
        # In order of age.
        self._holders: dict[int, dict[Backlog, int]] = {}

    def add(self, message: bytes | bytearray | memoryview, backlog: "Backlog") -> None:
        """Count a message; this may close any backlog, the given one included."""
        holders = self._holders.get(id(message))
        if holders is None:
            holders = self._holders[id(message)] = {}
            self.total += len(message)
        holders[backlog] = holders.get(backlog, 0) + 1
        self.total += ENTRY_COST
        while self.total > self._max_total:
            for holder in list(next(iter(self._holders.values()))):
                holder.give_up(LostBecause.CROWDED)

    def discard(self, message: bytes | bytearray | memoryview, backlog: "Backlog") -> None:
        """Count a message no more; one that was not counted changes nothing."""
        holders = self._holders.get(id(message))
        if holders is None or backlog not in holders:
            return
        self.total -= ENTRY_COST
        holders[backlog] -= 1
        if not holders[backlog]:
            del holders[backlog]
            if not holders:
                del self._holders[id(message)]
                self.total -= len(message)


class Backlog:
    """What waits for one client, from when the first message has to wait until none does.

    After making one, ``close`` it.
    """

    __slots__ = ("_holder", "_output", "_queued", "_samples", "_stalls", "_taken", "closed")

    def __init__(self, holder: Holder, output: QueuedOutput) -> None:
        self.closed = False
        """Whether nothing waits any more."""
        self._holder = holder
        self._output = output
        self._queued = 0  # bytes so far
        self._taken = 0  # bytes so far
        self._samples: deque[tuple[int, int]] = deque()  # both, as they were at the last looks
        self._stalls = output.downloads if holder.is_download else output.stalls
        self._stalls.add(self)
        if not holder.is_download:
            output.looks.add(self)

    def add(self, message: bytes | bytearray | memoryview) -> None:
        """Another message waits. This may close the backlog."""
        self._queued += len(message)
        if not self._samples:
            self._samples.append((self._queued, self._taken))
        self._output.add(message, self)

    def taken(self, size: int) -> None:
        """The client has taken so many bytes."""
        self._taken += size
        self._stalls.add(self)

    def discard(self, message: bytes | bytearray | memoryview) -> None:
        """A message waits no longer."""
        self._output.discard(message, self)

    def close(self, left: Iterable[bytes | bytearray | memoryview] = ()) -> None:
        """Nothing waits any more.

        :param left: messages that the client does not get.
        """
        self.closed = True
        self._stalls.discard(self)
        self._output.looks.discard(self)
        for message in left:
            self._output.discard(message, self)

    def give_up(self, because: LostBecause) -> None:
        """Close on the client."""
        self._holder.give_up(because)

    def stalled(self) -> None:
        """The client has taken nothing for ``stall_timeout``, or ``download_timeout``."""
        self._holder.try_again()
        if self.closed or self in self._stalls:
            return
        if self._holder.is_excused:
            self._stalls.add(self)
        else:
            self._holder.give_up(LostBecause.STALLED)

    def look(self) -> None:
        """See whether the client lags: something waits for ``max_lag``, and it takes little."""
        max_lag = self._output.max_lag
        self._samples.append((self._queued, self._taken))
        if len(self._samples) > SAMPLES:
            queued, taken = self._samples.popleft()  # as they were max_lag seconds ago
            lags = self._taken < queued and self._taken - taken < LAG_RATE * max_lag
            if lags and not self._holder.is_excused:
                self._holder.give_up(LostBecause.LAGGED)
                return
        self._output.looks.add(self)
