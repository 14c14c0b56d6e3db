"""The part of gevent's event loop that the server uses."""

from typing import Any, Protocol


class Watcher(Protocol):
    """Watches a descriptor, or a timer, for the loop."""

    def start(self, callback: Any, *args: Any) -> None:
        """Begin to call back."""

    def stop(self) -> None:
        """Stop calling back, until the watcher is started again."""

    def close(self) -> None:
        """Free the watcher for good."""


class Loop(Protocol):
    """A gevent loop; tests pass their own."""

    def io(self, fd: int, events: int, *, priority: int = 0) -> Watcher:
        """Return a watcher of a descriptor: 1 for reading, 2 for writing, 3 for both.

        :param priority: in one turn of the loop, watchers of a higher priority are called first,
            watchers of the same priority in any order.
        """

    def timer(self, after: float, repeat: float = 0.0) -> Watcher:
        """Return a timer."""

    def run_callback(self, func: Any, *args: Any) -> Any:
        """Call a function before the loop waits again."""
