"""Sends a process's messages to Redis, in order, from one greenlet."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from gevent.event import Event
from redis import ResponseError

from socketio_server.cluster.redis.connections import (
    RedisConnection,
    not_redis,
    pack,
    pack_publish,
)
from socketio_server.cluster.redis.link import Link
from socketio_server.cluster.redis.remedies import explain_command
from socketio_server.net.refusals import Refusals

MAX_BATCH = 100
"""Commands that are sent before their answers are read."""

NO_PASSWORD = "NOAUTH"
"""What begins Redis's answer to all commands until it has the password."""


logger = logging.getLogger("socketio_server")


class Query(bytes):
    """A packed command whose reply somebody waits for.

    :param replied: called with the reply, if there is one, and in the end with ``None``; must not
        wait, and raises ``not_redis()`` if the reply does not have its form.
    """

    replied: Callable[[Any], None]

    def __new__(cls, command: bytes, replied: Callable[[Any], None]) -> Self:
        """Return a packed command with its ``replied``."""
        self = super().__new__(cls, command)
        self.replied = replied
        return self


def _verify_pong(reply: Any) -> None:
    if reply not in (None, b"PONG"):
        raise not_redis()


_PING = Query(pack(b"PING"), replied=_verify_pong)


class Sender:
    """A bounded queue of messages, and their sending (``Part``).

    No sender of a message waits for Redis: what can't be sent is dropped and counted.

    :param limit: bytes that may wait.
    :param all_channels: the pattern of all channels of the cluster, for the log.
    :param refusals: decides which of the messages that find no room are logged.
    """

    purpose = "sending"
    until_back = "what this process sends reaches its own clients only"

    def __init__(self, link: Link, limit: int, all_channels: bytes, refusals: Refusals) -> None:
        self.is_connected = False
        """Whether Redis takes messages (``Part``)."""
        self.is_lost = False
        """Whether it is known not to (``Part``)."""
        self.queued_bytes = 0
        """Bytes that wait."""
        self.sent = 0
        """Messages that Redis has taken."""
        self.unsent = 0
        """Messages that were dropped, or that Redis has not confirmed."""
        self._link = link
        self._limit = limit
        self._all_channels = all_channels
        self._refusals = refusals
        self._queue: deque[bytes] = deque()  # packed commands; some are queries
        self._wake = Event()
        self._is_closing = False
        self._unsent_before = 0  # ``unsent`` when Redis had answered all

    @property
    def is_crowded(self) -> bool:
        """Whether more than half of the bytes that may wait do."""
        return 2 * self.queued_bytes > self._limit

    def publish(self, channel: bytes, message: bytes) -> bool:
        """Queue a message; drop it if Redis is lost, or too many bytes wait.

        :return: whether it is queued.
        """
        command = pack_publish(channel, message)
        if self.is_lost or self.queued_bytes + len(command) > self._limit:
            self.unsent += 1
            if not self.is_lost:  # that is in the log
                self._log_dropped(len(command))
            return False
        self._queue.append(command)
        self.queued_bytes += len(command)
        self._wake.set()
        return True

    def query(self, query: Query) -> None:
        """Queue a query before the next message."""
        if self.is_lost:
            query.replied(None)
        else:
            self._queue.append(query)
            self._wake.set()

    def ping(self) -> None:
        """Have Redis reply, so that a dead connection is noticed (``Part``)."""
        self.query(_PING)

    def close(self) -> None:
        """Stop the link when all that waits is sent; at once if Redis is lost."""
        self._is_closing = True
        self._wake.set()
        if self.is_lost:
            self._link.stopping.set()

    def use(self, connection: RedisConnection) -> None:
        """Send all messages (``Part``)."""
        self._exchange(connection, [_PING])  # Redis may want a password
        self._link.connected(self)
        while self._queue or not self._is_closing:
            self._unsent_before = self.unsent
            if not self._queue:
                self._wake.wait()
            self._wake.clear()
            if self._queue:
                count = min(len(self._queue), MAX_BATCH)
                self._exchange(connection, [self._queue.popleft() for _ in range(count)])
        self._link.stopping.set()

    def connection_failed(self) -> None:
        """Drop all that waits (``Part``)."""
        queue, self._queue = self._queue, deque()
        queries = _queries(queue)
        self.unsent += len(queue) - len(queries)
        for query in queries:
            query.replied(None)
        self.queued_bytes = 0
        if self._is_closing:
            self._link.stopping.set()

    def tell_missed(self) -> str:
        """Return how many messages were (``Part``)."""
        missed = self.unsent - self._unsent_before
        return f"Messages to other processes that were dropped or not confirmed: {missed}."

    def _log_dropped(self, size: int) -> None:
        """Log that a message found no room, once in a while."""
        suffix = self._refusals.throttle("dropped", "Redis")
        if suffix is not None:
            logger.error(
                "A message to other processes was dropped, because it takes %s bytes and %s wait "
                "for Redis: no more than %s may (SOCKETIO_BROKER_MAX_QUEUED_BYTES)%s",
                size,
                self.queued_bytes,
                self._limit,
                suffix,
            )

    def _exchange(self, connection: RedisConnection, batch: Sequence[bytes]) -> None:
        """Send commands, and read Redis's answers to them."""
        queries = _queries(batch)
        commands = b"".join(batch)
        self.queued_bytes -= len(commands) - sum(map(len, queries))
        self.unsent += len(batch) - len(queries)
        try:
            connection.send(commands)
            waiting = iter(batch)
            left = len(batch)
            while left > 0:
                replies = connection.receive()
                left -= len(replies)
                self._take(waiting, replies)
            if left < 0:
                raise not_redis()
            self._link.answered(self)
        finally:
            for query in queries:
                query.replied(None)  # no reply follows

    def _take(self, commands: Iterator[bytes], replies: Sequence[Any]) -> None:
        """Take Redis's answers to the next commands.

        :raises ResponseError: if Redis wants a password.
        :raises InvalidResponse: if one is no answer to its command.
        """
        sent = 0
        for reply, command in zip(replies, commands, strict=False):
            if isinstance(reply, ResponseError):
                if str(reply).startswith(NO_PASSWORD):
                    raise reply
                self._link.refused(self._explained(reply, command))
            elif isinstance(command, Query) and reply is not None:
                command.replied(reply)
            elif isinstance(reply, int):
                sent += 1
            else:
                raise not_redis()
        self.unsent -= sent
        self.sent += sent

    def _explained(self, error: ResponseError, command: bytes) -> ResponseError:
        verb, *names = command.split(b"\r\n", 5)[2::2]
        if isinstance(command, Query):
            return explain_command(error, verb)
        return explain_command(error, verb, names[0], self._all_channels)


def _queries(commands: Sequence[bytes]) -> list[Query]:
    return [command for command in commands if isinstance(command, Query)]
