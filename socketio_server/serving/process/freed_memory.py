"""Gives memory that a peak has left behind back to the system.

The C library keeps what was freed, because it is quicker to use it again. After hundreds of large
messages, that is most of the process; and during them, gaps between blocks that fit no other take a
fifth of it. Linux with glibc only; elsewhere nothing is done.
"""

import ctypes
import resource
from collections.abc import Callable
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


def resident_bytes() -> int:
    """Return how much memory the process has (proc(5), ``statm``)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
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
    """Looks at the process's memory now and then, in a greenlet of its own.

    :param held: returns the bytes that the server holds for clients; there may be something to give
        back when they have become fewer.
    :param measure: returns the bytes that the process has.
    :param trim: gives back what is free; its argument is how many bytes to keep.
    """

    def __init__(
        self,
        held: Callable[[], int],
        measure: Callable[[], int] = resident_bytes,
        trim: Callable[[int], int] | None = None,
    ) -> None:
        self._held = held
        self._most_held = 0  # since the last attempt
        self._measure = measure
        self._trim = trim or find_trim()
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._floor = self._size = 0
        self._pause = INTERVAL
        self._waited = 0.0

    def start(self) -> None:
        """Begin to look."""
        if self._trim is not None:
            self._floor = self._size = self._measure()
            self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Look no more. Idempotent."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def _run(self) -> None:
        while True:
            gevent.sleep(INTERVAL)
            self.look()

    def look(self) -> None:
        """Give memory back if there may be some: at once after growth, or when less is held for
        clients, else ever more rarely.
        """
        assert self._trim is not None
        before, self._size = self._size, self._measure()
        self._waited += INTERVAL
        held = self._held()
        self._most_held = max(self._most_held, held)
        if self._size > before + STEP or held < self._most_held - STEP:
            self._pause = INTERVAL
        if self._size < self._floor + STEP or self._waited < self._pause:
            return
        self._trim(0)
        self._waited = 0.0
        self._most_held = held
        trimmed = self._measure()
        gave_back = self._size - trimmed >= STEP
        self._pause = INTERVAL if gave_back else min(2 * self._pause, MAX_PAUSE)
        self._size = trimmed
