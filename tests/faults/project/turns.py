"""Measures the turns of the server's loop, for as long as the process lasts."""

from time import thread_time
from typing import Any

from gevent import get_hub


class Turns:
    """Notes the longest turn: what it takes of the processor's time, which other processes can't
    make longer, and time spent waiting does not.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._longest = 0.0
        self._watcher: Any = None  # None until the first call of take_longest

    def take_longest(self) -> float:
        """Return the seconds of the longest turn since the last call, and begin anew."""
        if self._watcher is None:
            self._watcher = get_hub().loop.check(ref=False)
            self._watcher.start(self._note)
        longest, self._longest, self._began = self._longest, 0.0, thread_time()
        return longest

    def _note(self) -> None:
        now = thread_time()
        self._longest, self._began = max(self._longest, now - self._began), now


TURNS = Turns()
