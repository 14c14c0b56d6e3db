"""What the server counts, and what it says of clients that break the rules.

Counting is cheap enough for every message; saying is not, so the same kind of fault of one client
is logged once in ten seconds, with how often it came.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from time import monotonic
from typing import TypedDict

LOG_INTERVAL = 10.0
"""Seconds in which one kind of fault of one client is logged once."""

MAX_REMEMBERED = 1000
"""Faults that are remembered to be logged once; with more clients at fault they are logged
again."""


logger = logging.getLogger("socketio_server")


class Snapshot(TypedDict):
    """What a server holds and has counted so far (``socketio_server.stats()``)."""

    connections: int
    sessions: int
    sockets: int
    channels: int
    queued_bytes: int
    messages_in: int
    messages_out: int
    events: int
    handler_seconds: float
    refusals: dict[str, int]


class Stats:
    """The counters of one server.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.messages_in = 0
        """Socket.IO packets that clients sent."""
        self.events = 0
        """Events that handlers were run for."""
        self.handler_time = 0.0
        """Seconds from the beginning to the end of all these, waiting included."""
        self.refusals: Counter[str] = Counter()
        """What was refused, by kind."""
        self._clock = clock
        # When a kind of fault of a client was logged last, and how often it came since.
        self._logged: dict[tuple[Hashable, Hashable], tuple[float, int]] = {}

    def refuse(self, kind: str, who: Hashable, why: str, level: int = logging.WARNING) -> None:
        """Count something that was refused, and log it unless that was just done.

        :param kind: what kind of thing, as a counter's name.
        :param who: the client: its address, or whatever stands for it; never its ``sid``.
        :param why: for the log; nothing of the client's own text that is not escaped.
        """
        self.refusals[kind] += 1
        more = self.note(kind, who)
        if more is not None:
            logger.log(level, "Refused (%s): %s%s", kind, why, more)

    def note(self, what: Hashable, who: Hashable) -> str | None:
        """Note that a client gave reason for a line in the log.

        :param what: the kind of reason.
        :return: what the line is to end with; ``None`` if the same was just logged.
        """
        now = self._clock()
        last, unsaid = self._logged.get((what, who), (now - LOG_INTERVAL, 0))
        if now - last < LOG_INTERVAL:
            self._logged[what, who] = last, unsaid + 1
            return None
        if len(self._logged) >= MAX_REMEMBERED:
            self._logged.clear()
        self._logged[what, who] = now, 0
        return f" (and {unsaid} times more before)" if unsaid else ""
