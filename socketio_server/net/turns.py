"""Takes turns in the loop: work that can't be done at once, of all clients together.

Between two turns the loop serves its descriptors and the workers their jobs. In a turn there is a
bounded time for many small pieces of work, and one large piece, however many clients wait with one.
Work on many packets is done in as many pieces as it takes: each has its share of the time.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from socketio_server.net.loop import CallbackOwner, Loop, Watcher
from socketio_server.options import Options

T = TypeVar("T", bound=CallbackOwner)

LARGE = 32_768
"""Bytes from which the work on a client's packet takes so long that it gets a turn of its own: to
inflate or decode it, or to take it apart."""

PAUSE = 0.25
"""How long the next large piece waits, as a share of the last one's time: long enough for others to
ask and be answered more than once."""


class Turns:
    """The work that waits for its turn.

    :param clock: a monotonic clock, in seconds.
    """

    def __init__(self, loop: Loop, options: Options, *, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._time = options.max_time_per_turn
        self._clock = clock
        # Each with its owner.
        self._small: deque[tuple[Callable[[Any], object], CallbackOwner]] = deque()
        self._large: deque[tuple[Callable[[Any], object], CallbackOwner]] = deque()
        self._timer: Watcher | None = None  # begins the next turn; None while nothing waits
        self._until: float | None = None  # None until somebody asks

    def add(self, work: Callable[[T], object], owner: T, *, is_large: bool = False) -> None:
        """Do some work in one of the next turns.

        :param work: runs in a loop callback: must never block.
        :param owner: its argument; ends if the work raises.
        :param is_large: whether it takes long, mostly because it is for more than ``LARGE`` bytes.
        """
        (self._large if is_large else self._small).append((work, owner))
        if self._timer is None:
            self._wait(0.0)

    def until(self) -> float:
        """Return when a callback of the loop has to stop working on packets, and add the rest.

        Those that the loop calls for all descriptors that it has just polled share the time of one
        turn. Pieces of work that was added have their own.
        """
        if self._until is None:
            self._loop.run_callback(Turns._polled, self)  # after the descriptors' callbacks
            self._until = self._clock() + self._time
        return self._until

    def _polled(self) -> None:
        self._until = None

    def callback_raised(self) -> None:
        """Begin the next turn, if work waits (``CallbackOwner``)."""
        self._stop_timer()
        if self._small or self._large:
            self._wait(0.0)

    def _do(self, piece: tuple[Callable[[Any], object], CallbackOwner]) -> None:
        work, owner = piece
        self._loop.call(work, owner, type(owner).callback_raised)

    def _wait(self, seconds: float) -> None:
        """Begin the next turn after so many seconds, and after the loop has polled descriptors."""
        self._timer = self._loop.timer(seconds)
        self._loop.start(self._timer, Turns._begin, self)

    def _begin(self) -> None:
        """Wait until this turn's descriptors were served, and then the jobs that they queued."""
        self._loop.run_callback(Turns._serve_soon, self)

    def _serve_soon(self) -> None:
        self._loop.run_callback(Turns._serve, self)

    def _serve(self) -> None:
        """Do the work of one turn; the next one comes even if the process is about to end."""
        pause = 0.0
        try:
            self._serve_small()
            if self._large:
                began = self._clock()
                self._until = began + self._time
                self._do(self._large.popleft())
                pause = PAUSE * (self._clock() - began)
        finally:
            self._until = None
            self._stop_timer()
            if self._small or self._large:
                self._wait(pause)

    def _serve_small(self) -> None:
        """Do small work, in the time that there is for all of it, of which each piece has a share:
        one that waits does not wait for more than one turn's time of those before it.
        """
        now = self._clock()
        until, share = now + self._time, self._time / (len(self._small) or 1)
        while self._small and now <= until:
            self._until = now + share
            self._do(self._small.popleft())
            now = self._clock()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
