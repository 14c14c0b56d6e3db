"""Refusals: their kinds, their counters, and their log lines.

A refusal can be counted for every message, but not logged, because a client could fill the disk
with log lines. Therefore the same kind of refusal of the same client is logged once in ten seconds,
with the number of those that were not. Limits that have a setting each have a kind each, by which
whoever reads the counters knows what to change. To add a kind, add it here and to the table in
``docs/how-to/monitoring.md``.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from enum import StrEnum

LOG_INTERVAL = 10.0
"""Seconds in which one kind of refusal of one client is logged once."""

MAX_REMEMBERED = 1000
"""Kinds and clients that are remembered to log them once; beyond them, the one that was logged
least recently is forgotten."""

logger = logging.getLogger("socketio_server")


class RefusalKind(StrEnum):
    """The kinds of refusals; each value is the name of a counter."""

    CONNECTION = "connection"
    ADDRESS = "address"
    SESSION = "session"
    HANDSHAKE = "handshake"
    STOPPING = "stopping"
    LOGIN = "login"
    HOST = "host"
    ORIGIN = "origin"
    STOLEN_SID = "stolen sid"
    UNKNOWN_SID = "unknown sid"
    VERSION = "version"
    REQUEST = "request"
    HTTP = "http"
    SLOW_HEAD = "slow head"
    SLOW_BODY = "slow body"
    BODY = "body"
    PACKET = "packet"
    NAMESPACE = "namespace"
    CHANNEL = "channel"
    MESSAGE = "message"
    PENDING = "pending"
    DECODED = "decoded"
    HELD_TOTAL = "held total"
    RATE = "rate"
    STALLED = "stalled"
    DOWNLOAD = "download"
    LAGGING = "lagging"
    QUEUED = "queued"
    QUEUED_TOTAL = "queued total"
    CONNECT_TIMEOUT = "connect timeout"
    UPGRADE_TIMEOUT = "upgrade timeout"
    PING_TIMEOUT = "ping timeout"
    CLUSTER = "cluster"


class Refusals:
    """Counts and logs the refusals of one server.

    :param clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        """Refusals by kind, without the kinds that never occurred."""
        self._clock = clock
        # By fault and client, the time of the last log line, and the faults since then; in the
        # order of that time.
        self._logged: dict[tuple[Hashable, Hashable], tuple[float, int]] = {}

    def add(
        self, kind: RefusalKind, client: Hashable, why: str, level: int = logging.WARNING
    ) -> None:
        """Count a refusal, and log it unless the same kind was just logged for the client.

        :param client: its address or another key that tells clients apart; never its ``sid``.
        :param why: the reason for the log; a client's text in it must be escaped.
        """
        self.counts[kind.value] += 1
        suffix = self.throttle(kind, client)
        if suffix is not None:
            logger.log(level, "Refused (%s): %s%s", kind.value, why, suffix)

    def throttle(self, fault: Hashable, client: Hashable) -> str | None:
        """Decide whether to log a client's fault now.

        :param fault: the kind of fault.
        :return: the suffix of the log line; ``None`` if the same fault was just logged.
        """
        now, logged = self._clock(), self._logged
        last, unlogged = logged.get((fault, client), (now - LOG_INTERVAL, 0))
        if now - last < LOG_INTERVAL:
            logged[fault, client] = last, unlogged + 1
            return None
        logged.pop((fault, client), None)
        if len(logged) >= MAX_REMEMBERED:
            del logged[next(iter(logged))]
        logged[fault, client] = now, 0
        return f" (and {unlogged} more that were not logged)" if unlogged else ""
