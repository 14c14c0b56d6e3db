"""Gives memory that a peak has left behind back to the system.

The C library keeps what was freed, because it is quicker to use it again. After hundreds of large
messages, that is most of the process; and during them, gaps between blocks that fit no other take a
fifth of it.

And the garbage collector counts objects, not bytes: requests that a project's code has put into
cycles, forms of two megabytes each, would stay by the thousand. Therefore it also runs when the
process has grown, and what clients make the server hold is not the reason.

Linux only, and memory is given back with glibc only; elsewhere nothing is done.
"""

import ctypes
import gc
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import gevent

LARGE_BLOCK = 262_144
"""Bytes from which on a block goes back to the system as soon as it is freed."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)

STEP = 8 * 2**20
"""Bytes above what the process had at its start from which there may be something to give back."""

INTERVAL = 2.0
"""Seconds between two looks at the process's memory."""

MAX_PAUSE = 300.0
"""Seconds between two attempts, at most, while they give nothing back."""

GROWTH = 16 * 2**20
"""Bytes that the process may grow by before the garbage collector looks for cycles."""

LOOK_AFTER = 262_144
"""Bytes of requests that are over, heads and bodies, after which to look at the process's memory: a
request may take a hundred times its bytes once its cookies are parsed."""

COLLECTOR_SHARE = 10
"""One part in so many of the time is for full garbage collections, however fast the process grows.
One takes 10 to 20 ms for each thousand clients, besides what the project itself keeps."""

STATM = Path("/proc/self/statm")
"""Tells how much memory the process has (proc(5))."""


def resident_bytes() -> int:
    """Return how much memory the process has."""
    pages = int(STATM.read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def give_back_large_blocks() -> None:
    """Have the C library keep no large blocks that are freed (mallopt(3)).

    Unless its thresholds are set, glibc adapts them: when a large block is freed, it raises both,
    and keeps the next blocks of that size.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, 2 * LARGE_BLOCK)  # it may have been raised already


def find_trim() -> Callable[[int], int] | None:
    """Return the C library's ``malloc_trim``, if it has one (malloc_trim(3))."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


class FreedMemory:
    """Looks at the process's memory now and then: in a greenlet of its own, and behind requests.

    :param held: returns the bytes that the server holds for clients; there may be something to give
        back when they have become fewer.
    :param clock: a monotonic clock, in seconds.
    :param measure: returns the bytes that the process has.
    :param trim: gives back what is free; its argument is how many bytes to keep.
    :param collect: frees cycles, of the given and all younger generations (``gc.collect``).
    """

    def __init__(
        self,
        held: Callable[[], int],
        *,
        clock: Callable[[], float],
        measure: Callable[[], int] = resident_bytes,
        trim: Callable[[int], int] | None = None,
        collect: Callable[[int], int] = gc.collect,
    ) -> None:
        self._held = held
        self._most_held = 0  # since the last attempt
        self._clock = clock
        self._measure = measure
        self._trim = trim or find_trim() or (lambda kept: 0)
        self._collect = collect
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._floor = self._size = 0
        self._pause = INTERVAL
        self._waited = 0.0
        self._requests = 0  # bytes of those that are over, since the last look
        # Bytes that the process had, beside what clients made the server hold, when there were no
        # cycles; they sink with what it has since.
        self._usual = 0
        self._collected_at = -MAX_PAUSE  # when the last full collection ended
        self._took = 0.0  # the seconds that it took
        self._rest = INTERVAL  # seconds from it to the next one, unless the process grows

    def start(self) -> None:
        """Begin to look."""
        if STATM.exists():
            self._floor = self._size = self._usual = self._measure()
            self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Look no more. Idempotent."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def _run(self) -> None:
        while True:
            gevent.sleep(INTERVAL)
            with suppress(OSError):  # no descriptor is left for ``STATM``
                self.look()

    def look(self) -> None:
        """Give memory back if there may be some: at once after growth, or when less is held for
        clients, else ever more rarely.
        """
        before, self._size = self._size, self._measure()
        self._waited += INTERVAL
        held = self._held()
        self._most_held = max(self._most_held, held)
        if self._size > before + STEP or held < self._most_held - STEP:
            self._pause = INTERVAL
        self._look_for_cycles(self._size - held)
        if self._size < self._floor + STEP or self._waited < self._pause:
            return
        self._trim(0)
        self._waited = 0.0
        self._most_held = held
        trimmed = self._measure()
        gave_back = self._size - trimmed >= STEP
        self._pause = INTERVAL if gave_back else min(2 * self._pause, MAX_PAUSE)
        self._size = trimmed

    def request_ended(self, size: int) -> None:
        """Free cycles if requests have left many bytes in them.

        :param size: the bytes of a request to the application that is over.
        """
        self._requests += size
        if self._requests > LOOK_AFTER and self._greenlet is not None:
            self._requests = 0
            with suppress(OSError):  # no descriptor is left for ``STATM``
                if self._has_grown():
                    self._free_cycles()

    def _look_for_cycles(self, unexplained: int) -> None:
        """Free cycles if the process has grown, or is larger than at its start: then ever more
        rarely, as long as there are none.

        :param unexplained: bytes that it has beside what clients make the server hold.
        """
        self._usual -= max(0, self._usual - max(unexplained, self._floor)) // 2
        if unexplained > self._usual + GROWTH:
            self._free_cycles()
            self._rest = INTERVAL  # requests that were under way may leave cycles, too
        elif unexplained > self._floor + GROWTH and self._clock() > self._collected_at + self._rest:
            self._trim(0)  # what that gives back are no cycles
            self._free_all_cycles()

    def _has_grown(self) -> bool:
        """Return whether the process has much more than when there were no cycles."""
        return self._measure() - self._held() > self._usual + GROWTH

    def _free_cycles(self) -> None:
        """Free cycles: first the young, which takes hardly any time."""
        self._collect(1)
        self._trim(0)
        if self._has_grown():
            self._free_all_cycles()

    def _free_all_cycles(self) -> None:
        """Free all cycles, unless that has taken much of the time lately, or the server holds much
        for clients: that may be millions of objects, all of which the collector would visit.
        """
        began = self._clock()
        if began < self._collected_at + COLLECTOR_SHARE * self._took or self._held() > GROWTH:
            return
        before = self._measure()
        self._collect(2)
        self._trim(0)
        self._collected_at = self._clock()
        self._took = self._collected_at - began
        size = self._measure()
        self._usual = max(self._floor, size - self._held())
        self._rest = INTERVAL if before - size >= STEP else min(2 * self._rest, MAX_PAUSE)
