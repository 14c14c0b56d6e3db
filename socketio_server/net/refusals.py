"""What the server refuses: the kinds, how often each came, and lines in the log.

Counting is cheap enough for every message; logging is not, and a client could fill the disk with
it. Therefore one kind of refusal of one client is logged once in ten seconds, with how often it
came. To add a kind, add it here and to the table in ``docs/how-to/monitoring.md``.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from enum import StrEnum

LOG_INTERVAL = 10.0
"""Seconds in which one kind of refusal of one client is logged once."""

MAX_REMEMBERED = 1000
"""Refusals that are remembered to be logged once; with more clients at fault they are logged
again."""

logger = logging.getLogger("socketio_server")


class RefusalKind(StrEnum):
    """What was refused; each value is the name of a counter."""

    CONNECTION = "connection"
    HANDSHAKE = "handshake"
    STOPPING = "stopping"
    HOST = "host"
    ORIGIN = "origin"
    STOLEN_SID = "stolen sid"
    UNKNOWN_SID = "unknown sid"
    VERSION = "version"
    REQUEST = "request"
    HTTP = "http"
    SLOW_REQUEST = "slow request"
    BODY = "body"
    PACKET = "packet"
    NAMESPACE = "namespace"
    CHANNEL = "channel"
    MESSAGE = "message"
    PENDING = "pending"
    RATE = "rate"
    SLOW_CLIENT = "slow client"
    CONNECT_TIMEOUT = "connect timeout"
    UPGRADE_TIMEOUT = "upgrade timeout"
    PING_TIMEOUT = "ping timeout"


class Refusals:
    """Counts and logs the refusals of one server.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        """How often each kind came; none that never did."""
        self._clock = clock
        # When a kind of fault of a client was logged last, and how often it came since.
        self._logged: dict[tuple[Hashable, Hashable], tuple[float, int]] = {}

    def add(
        self, kind: RefusalKind, client: Hashable, why: str, level: int = logging.WARNING
    ) -> None:
        """Count a refusal, and log it unless the same was just logged.

        :param client: its address, or whatever stands for it; never its ``sid``.
        :param why: for the log; nothing of the client's own text that is not escaped.
        """
        self.counts[kind.value] += 1
        suffix = self.throttle(kind, client)
        if suffix is not None:
            logger.log(level, "Refused (%s): %s%s", kind.value, why, suffix)

    def throttle(self, fault: Hashable, client: Hashable) -> str | None:
        """Return whether a client's fault is to be logged now.

        :param fault: what kind of fault.
        :return: what the line is to end with; ``None`` if the same was just logged.
        """
        now = self._clock()
        last, unlogged = self._logged.get((fault, client), (now - LOG_INTERVAL, 0))
        if now - last < LOG_INTERVAL:
            self._logged[fault, client] = last, unlogged + 1
            return None
        if len(self._logged) >= MAX_REMEMBERED:
            self._logged.clear()
        self._logged[fault, client] = now, 0
        return f" (and {unlogged} more that were not logged)" if unlogged else ""
