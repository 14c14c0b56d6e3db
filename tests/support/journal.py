"""What happened in servers under test: their handlers write it into a file, line by line.

The file outlives clients and servers, so that the events of those that are gone can be read.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.tools import wait_until


class Entry(NamedTuple):
    """One call of a handler, as ``tests.project.journal`` wrote it."""

    event: str
    """The event's name, or what else was noted."""

    handler: str
    """Which of the event's handlers it was."""

    socket: str | None
    """The socket's public id."""

    process: int
    """The id of the server's process."""

    details: dict[str, Any]
    """What the handler saw."""


class Journal:
    """The journal of one server, or of several that follow each other.

    :param path: the file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: list[Entry] = []
        self._read = 0  # bytes of the file that these are

    def entries(self, socket: str | None = None, handler: str | None = None) -> list[Entry]:
        """Return what happened, in order.

        :param socket: to one socket only.
        :param handler: as one handler of each event saw it.
        """
        self._read_on()
        return [
            entry
            for entry in self._entries
            if socket in (None, entry.socket) and handler in (None, entry.handler)
        ]

    def events(self, socket: str | None = None, handler: str | None = None) -> list[str]:
        """Return the names of the events that happened, in order."""
        return [entry.event for entry in self.entries(socket, handler)]

    def wait_for(
        self, event: str, socket: str | None = None, handler: str | None = None
    ) -> list[Entry]:
        """Wait until an event happened; return all entries until then, as ``entries`` does."""
        return self.wait_until(
            lambda entries: any(entry.event == event for entry in entries), event, socket, handler
        )

    def wait_until(
        self,
        condition: Callable[[list[Entry]], bool],
        what: str,
        socket: str | None = None,
        handler: str | None = None,
    ) -> list[Entry]:
        """Wait until a condition on the entries is met, and return them."""

        def look() -> list[Entry] | None:
            entries = self.entries(socket, handler)
            return entries if condition(entries) else None

        found = wait_until(look, f"{what} in the journal")
        assert found is not None
        return found

    def _read_on(self) -> None:
        """Read the lines that were written since, so far as they are whole."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        self._entries += [Entry(**json.loads(line)) for line in whole.split(b"\n")[:-1]]
