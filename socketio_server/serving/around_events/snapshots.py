"""What an event sees of its client's session and user, and how long it may serve later events."""

from collections.abc import Callable
from typing import Any

UNREAD: Any = object()
"""Instead of a user: nobody has asked for it."""


class Snapshot:
    """The session and user at one time.

    :param session: ``None`` if the project has no sessions.
    :param read_at: by the clock of ``Freshness``.
    """

    __slots__ = ("is_shown", "messages", "read_at", "session", "user")

    def __init__(self, session: Any, read_at: float) -> None:
        self.session = session
        self.read_at = read_at
        self.user: Any = UNREAD
        self.is_shown = False
        """Whether it is shown to somebody who verifies the client, and is not to be forgotten."""
        self.messages: Any = None
        """The messages of this event, where the project stores them in sessions."""

    def fill(self, data: dict[str, Any], loaded_at: int | None = None) -> None:
        """Take this for what is stored of the session, and don't read it.

        :param loaded_at: when it was loaded, by the count of saves; ``None``: now.
        """
        self.session._session_cache = data
        self.session.note(data, loaded_at)


class Freshness:
    """Says which snapshots are too old for another event.

    :param interval: ``SOCKETIO_REFRESH_INTERVAL``.
    :param clock: a monotonic clock, in seconds.
    """

    __slots__ = ("clock", "interval")

    def __init__(self, interval: float | None, clock: Callable[[], float]) -> None:
        self.interval = interval
        self.clock = clock

    def is_stale(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot is too old for another event, or another client has saved its
        session since.
        """
        if self.is_over(snapshot.read_at):
            return True
        return self.interval is not None and getattr(snapshot.session, "is_outdated", False)

    def is_over(self, read_at: float | None) -> bool:
        """Return whether the interval has passed since something was read.

        :param read_at: by the clock; ``None``: it was not read.
        """
        if read_at is None or self.interval is None:
            return read_at is None
        return self.clock() - read_at >= self.interval
