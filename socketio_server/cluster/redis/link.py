"""Keeps a process's connections to Redis, and tells the log which one is lost, and back."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from random import uniform
from typing import Protocol

from gevent.event import Event
from redis import AuthenticationError, ResponseError

from socketio_server.cluster.redis.connections import Connect, RedisConnection
from socketio_server.cluster.redis.pools import FAULTS, describe
from socketio_server.cluster.redis.remedies import explain_fault

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
"""Seconds between two attempts to connect: doubled with each, and different in each process."""

LOG_INTERVAL = 10.0
"""Seconds in which Redis's refusals are logged once, and for each part one loss with its return."""

logger = logging.getLogger("socketio_server")


class Part(Protocol):
    """A user of one connection to Redis. Only the link writes ``is_connected`` and ``is_lost``."""

    purpose: str
    """What its connection is for, in the log."""
    until_back: str
    """What is so until its connection is back, in the log."""
    is_connected: bool
    """Whether it has a connection, on which Redis lets it do what it must."""
    is_lost: bool
    """Whether it is known to have none: at first, this is not known."""

    def use(self, connection: RedisConnection) -> None:
        """Use a new connection until it fails, or the link stops."""

    def connection_failed(self) -> None:
        """The connection is lost, or could not be made."""

    def ping(self) -> None:
        """Have Redis reply soon, so that a dead connection is noticed."""

    def tell_missed(self) -> str:
        """Return a sentence for the log about what was missed while the connection was lost."""


@dataclass
class _Loss:
    """A part is without a connection."""

    since: float
    told: set[str] = field(default_factory=set)
    """The reasons in the log: none while it is too soon after another loss."""


class Link:
    """Redis, as the parts of one broker know it: each has a connection of its own, which may be
    lost while the other's is not.

    :param url: for the log.
    :param clock: a monotonic clock, in seconds.
    :param on_return: called when all parts are connected again after a loss; must not wait.
    """

    def __init__(
        self, url: str, clock: Callable[[], float], on_return: Callable[[], None] | None = None
    ) -> None:
        self.name = describe(url)
        """Where Redis is, for the log."""
        self.losses = 0
        """How many times Redis was lost, by one part or all."""
        self.stopping = Event()
        """Set when nothing more is to be sent or received."""
        self._url = url
        self._clock = clock
        self._on_return = on_return
        self._parts: set[Part] = set()
        self._connections: set[RedisConnection] = set()  # of the parts, and those being made
        self._losses: dict[Part, _Loss] = {}  # of the parts without a connection
        self._doubted: set[Part] = set()  # those whose connections may be dead
        self._has_lost = False  # whether a part is or was lost since all were connected
        self._refused_at: float | None = None  # when a refusal was logged
        self._told_at: dict[Part, float] = {}  # when the log was last told of a loss
        self._untold: dict[Part, int] = {}  # how often since then a part was lost and came back

    def keep_connected(self, part: Part, connect: Connect) -> None:
        """Let a part use one connection after the other, until the link stops."""
        self._parts.add(part)
        delay = FIRST_DELAY
        while not self.stopping.is_set():
            connection: RedisConnection | None = None
            try:
                connection = connect()
                self._connections.add(connection)
                connection.connect()
                part.use(connection)
            except Exception as error:  # a mistake of ours must not leave the process deaf
                if not isinstance(error, FAULTS):
                    logger.exception("Internal error in a connection to Redis")
                if part.is_connected:
                    delay = FIRST_DELAY
                part.is_connected, part.is_lost = False, True
                part.connection_failed()
                self._lost(part, error)
            finally:
                if connection is not None:
                    self._connections.discard(connection)
                    connection.disconnect()
            self.stopping.wait(uniform(delay / 2, delay))
            delay = min(2 * delay, LONGEST_DELAY)

    def leave_to_parent(self) -> None:
        """Let go of all connections in a process that was forked from this one."""
        for connection in self._connections:
            connection.leave_to_parent()

    def connected(self, part: Part) -> None:
        """Note that a part has a connection, and that Redis lets it do what it must."""
        part.is_connected, part.is_lost = True, False
        loss = self._losses.pop(part, None)
        if loss is not None and not loss.told:
            self._untold[part] = self._untold.get(part, 0) + 1
        elif loss is not None:
            logger.warning(
                "Redis (%s) is back for %s after %s s. %s",
                self.name,
                part.purpose,
                round(self._clock() - loss.since, 1),
                part.tell_missed(),
            )
        self.answered(part)

    def answered(self, part: Part) -> None:
        """Note that a part's connection is alive."""
        self._doubted.discard(part)
        if part in self._untold:
            self._tell_untold(part)
        if self._has_lost and not (self._losses or self._doubted):
            self._has_lost = False
            if self._on_return is not None:
                self._on_return()

    def _tell_untold(self, part: Part) -> None:
        """Log how often a part was lost again, once it is not too soon."""
        if self._clock() - self._told_at[part] >= LOG_INTERVAL:
            logger.warning(
                "Redis (%s) was lost again for %s, and came back. Losses that were not logged: %s.",
                self.name,
                part.purpose,
                self._untold.pop(part),
            )

    def refused(self, error: Exception) -> None:
        """Log that Redis refused a command, once in a while."""
        now = self._clock()
        if self._refused_at is None or now - self._refused_at > LOG_INTERVAL:
            self._refused_at = now
            logger.error("Redis (%s) has refused a command: %s", self.name, error)

    def _lost(self, part: Part, error: Exception) -> None:
        """Note that a part has no connection. Log it once until it has one again, unless it is too
        soon after the last time; and once each refusal: whoever repairs the one may have to know of
        the other.
        """
        if self.stopping.is_set():
            return
        if not self._has_lost:
            self._has_lost = True
            self.losses += 1
        now = self._clock()
        loss = self._losses.setdefault(part, _Loss(now))
        is_news = not loss.told and now - self._told_at.get(part, -LOG_INTERVAL) >= LOG_INTERVAL
        reason = explain_fault(error, self._url)
        is_refusal = isinstance(error, ResponseError | AuthenticationError)
        if is_news or (is_refusal and reason not in loss.told):
            loss.told.add(reason)
            self._told_at[part] = now
            logger.warning(
                "Redis (%s) is lost for %s: %s. Clients stay connected. Until it is back, %s. The "
                "server tries again by itself, every %s s at last.",
                self.name,
                part.purpose,
                reason,
                part.until_back,
                round(LONGEST_DELAY),
            )
        self._doubted.discard(part)
        for other in self._parts:
            if other is not part and not other.is_lost:  # it may be dead, and not have noticed
                self._doubted.add(other)
                other.ping()
