"""The part of gevent's event loop that the server uses."""

from typing import Any, Protocol


class Watcher(Protocol):
    """What the loop gives for a descriptor or a timer."""

    def start(self, callback: Any, *args: Any) -> None:
        """Call back from now on."""

    def stop(self) -> None:
        """Call back no more, until it is started again."""

    def close(self) -> None:
        """Free it for good."""


class Loop(Protocol):
    """A gevent loop; tests pass their own."""

    def io(self, fd: int, events: int, *, priority: int = 0) -> Watcher:
        """Return a watcher of a descriptor: 1 for reading, 2 for writing, 3 for both.

        :param priority: in one turn of the loop watchers of a higher priority are called first,
            those of the same in any order.
        """

    def timer(self, after: float, repeat: float = 0.0) -> Watcher:
        """Return a timer."""

    def run_callback(self, func: Any, *args: Any) -> Any:
        """Call a function before the loop waits again."""
