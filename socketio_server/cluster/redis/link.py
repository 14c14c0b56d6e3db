"""Keeps a process's connections to Redis, and tells the log when Redis is lost and found."""

import logging
from collections.abc import Callable
from random import uniform
from typing import Protocol

from gevent.event import Event
from redis import ResponseError

from socketio_server.cluster.redis.connections import Connect, RedisConnection
from socketio_server.cluster.redis.pools import FAULTS, describe

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
"""Seconds between two attempts to connect: doubled with each, and different in each process."""

LOG_INTERVAL = 10.0
"""Seconds in which Redis's refusals are logged once."""

MAX_TEXT = 500
"""Characters of an error in the log: redis-py's text about Sentinel has a thousand."""

logger = logging.getLogger("socketio_server")


class Part(Protocol):
    """A user of one connection to Redis."""

    name: str

    def use(self, connection: RedisConnection) -> None:
        """Use a new connection until it fails, or the link stops."""

    def connection_failed(self) -> None:
        """The connection is lost, or could not be made."""


class Link:
    """Redis, as the parts of one broker know it.

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
        """How many times Redis was lost."""
        self.stopping = Event()
        """Set when nothing more is to be sent or heard."""
        self._clock = clock
        self._on_return = on_return
        self._failed: set[str] = set()  # the names of the parts without a connection
        self._doubted: set[str] = set()  # those whose connections may be dead
        self._lost_since: float | None = None  # None while no connection is missing
        self._told: set[str] = set()  # why Redis is lost, as the log says
        self._refused_at: float | None = None  # when a refusal was logged

    @property
    def is_up(self) -> bool:
        """Whether Redis is not known to be lost."""
        return not self._failed

    def keep_connected(self, part: Part, connect: Connect) -> None:
        """Let a part use one connection after the other, until the link stops."""
        delay = FIRST_DELAY
        while not self.stopping.is_set():
            connection: RedisConnection | None = None
            try:
                connection = connect()
                connection.connect()
                part.use(connection)
            except Exception as error:  # a mistake of ours must not leave the process deaf
                if not isinstance(error, FAULTS):
                    logger.exception("Internal error in a connection to Redis")
                if part.name not in self._failed:  # it was connected
                    delay = FIRST_DELAY
                part.connection_failed()
                self._lost(part, error)
            finally:
                if connection is not None:
                    connection.disconnect()
            self.stopping.wait(uniform(delay / 2, delay))
            delay = min(2 * delay, LONGEST_DELAY)

    def connected(self, part: Part) -> None:
        """Note that a part has a connection, and that Redis lets it do what it must."""
        self._failed.discard(part.name)
        self.answered(part)

    def doubt(self, part: Part) -> None:
        """Take a part's connection for dead until Redis has ``answered`` it: another part's was."""
        if part.name not in self._failed:
            self._doubted.add(part.name)

    def answered(self, part: Part) -> None:
        """Note that a part's connection is alive."""
        self._doubted.discard(part.name)
        if self._lost_since is not None and not (self._failed or self._doubted):
            seconds = self._clock() - self._lost_since
            self._lost_since = None
            self._told.clear()
            logger.warning("Redis (%s) is back after %s s.", self.name, round(seconds, 1))
            if self._on_return is not None:
                self._on_return()

    def refused(self, error: Exception) -> None:
        """Log that Redis refused a command, once in a while."""
        now = self._clock()
        if self._refused_at is None or now - self._refused_at > LOG_INTERVAL:
            self._refused_at = now
            logger.error("Redis (%s) has refused a command: %s", self.name, error)

    def _lost(self, part: Part, error: Exception) -> None:
        """Note that a part has no connection. Log it once until all parts have theirs again, and
        once each refusal: who repairs the one may have to know of the other.
        """
        if self.stopping.is_set():
            return
        reason = str(error)[:MAX_TEXT].rstrip(".")
        is_news = isinstance(error, ResponseError) and reason not in self._told
        if self._lost_since is None:
            self._lost_since = self._clock()
            self.losses += 1
            is_news = True
        if is_news:
            self._told.add(reason)
            logger.warning(
                "Redis (%s) is lost: %s. Until it is back, messages reach the clients of this "
                "process only.",
                self.name,
                reason,
            )
        self._failed.add(part.name)
        self._doubted.discard(part.name)
