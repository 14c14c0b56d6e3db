"""A loop that stands still until a test moves it.

Its clock is moved by hand while its watchers look at real descriptors, so that connections are
tested on real sockets without a moment of waiting.
"""

import select
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any


class FakeWatcher:
    """What ``FakeLoop`` gives for a descriptor or a timer."""

    def __init__(self, loop: "FakeLoop") -> None:
        self._loop = loop
        self._closed = False
        self.callback: Callable[[], Any] | None = None  # None while it is stopped

    def start(self, callback: Callable[..., Any], *args: Any) -> None:
        assert not self._closed, "a closed watcher was started"
        self.callback = lambda: callback(*args)
        self._loop.watchers[self] = None

    def stop(self) -> None:
        self.callback = None
        self._loop.watchers.pop(self, None)

    def close(self) -> None:
        self.stop()
        self._closed = True

    def is_due(self) -> bool:
        raise NotImplementedError


class FakeIO(FakeWatcher):
    """A watcher of a real descriptor."""

    def __init__(self, loop: "FakeLoop", fd: int, events: int) -> None:
        super().__init__(loop)
        self.fd = fd
        self.priority = 0
        self.mask = (select.POLLIN if events & 1 else 0) | (select.POLLOUT if events & 2 else 0)

    def is_due(self) -> bool:
        poll = select.poll()
        poll.register(self.fd, self.mask)
        return bool(poll.poll(0))


class FakeTimer(FakeWatcher):
    """A timer by the loop's own clock; it goes off once."""

    def __init__(self, loop: "FakeLoop", after: float) -> None:
        super().__init__(loop)
        self.after = after
        self.due = 0.0

    def start(self, callback: Callable[..., Any], *args: Any) -> None:
        super().start(callback, *args)
        self.due = self._loop.now + self.after

    def is_due(self) -> bool:
        return self.due <= self._loop.now


class FakeLoop:
    """A gevent loop that stands still until a test moves it (``Loop``)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seconds_per_look = 0.0
        """How far the clock moves each time that somebody looks at it."""
        self.running = False
        """Whether a callback of the loop is being run."""
        self.watchers: dict[FakeWatcher, None] = {}
        """Those that are started."""
        self._callbacks: deque[Callable[[], Any]] = deque()

    def clock(self) -> float:
        self.now += self.seconds_per_look
        return self.now

    def io(self, fd: int, events: int) -> FakeIO:
        if fd < 0:
            raise ValueError(f"fd must be non-negative: {fd}")  # gevent's own words
        return FakeIO(self, fd, events)

    def forget(self, descriptors: Iterable[int]) -> None:
        """Do nothing: this loop has no epoll set."""

    def timer(self, after: float) -> FakeTimer:
        return FakeTimer(self, after)

    def start(
        self, watcher: FakeWatcher, callback: Callable[..., Any], owner: Any, *args: Any
    ) -> None:
        watcher.start(callback, owner, *args)

    def call(self, callback: Callable[[Any], object], item: Any, on_raised: object) -> None:
        callback(item)

    def run_callback(self, callback: Callable[..., Any], owner: Any, *args: Any) -> None:
        self._callbacks.append(lambda: callback(owner, *args))

    def turn(self) -> bool:
        """Run what is due, each thing once; return whether anything was."""
        callbacks = list(self._callbacks)
        self._callbacks.clear()
        for callback in callbacks:
            self._run(callback)
        due = [watcher for watcher in self.watchers if watcher.is_due()]
        due.sort(key=lambda watcher: -watcher.priority if isinstance(watcher, FakeIO) else 0)
        for watcher in due:
            if watcher.callback is not None:  # not stopped by one before it
                callback = watcher.callback
                if isinstance(watcher, FakeTimer):
                    watcher.stop()
                self._run(callback)
        return bool(callbacks or due)

    def run(self) -> None:
        """Run what is due, and what becomes due by that, until nothing is."""
        for _ in range(10_000):
            if not self.turn():
                return
        raise AssertionError("the loop never came to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass, and run everything at its time."""
        self.run()
        until = self.now + seconds
        while timers := [t.due for t in self.watchers if isinstance(t, FakeTimer)]:
            if min(timers) > until:
                break
            self.now = min(timers)
            self.run()
        self.now = until

    def wake_up(self) -> None:
        """Run what waits for descriptors, whether they are ready or not, as loops may."""
        for watcher in [w for w in self.watchers if isinstance(w, FakeIO)]:
            if watcher.callback is not None:
                self._run(watcher.callback)

    @property
    def timers(self) -> int:
        """How many timers run."""
        return sum(isinstance(watcher, FakeTimer) for watcher in self.watchers)

    def _run(self, callback: Callable[[], Any]) -> None:
        self.running = True
        try:
            callback()
        finally:
            self.running = False
