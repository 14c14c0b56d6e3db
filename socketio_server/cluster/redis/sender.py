"""Sends a process's messages to Redis, in order, from one greenlet."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from gevent.event import Event
from redis import ResponseError

from socketio_server.cluster.redis.connections import RedisConnection, pack, pack_publish
from socketio_server.cluster.redis.link import Link

MAX_BATCH = 100
"""Commands that are sent before their answers are read."""

_PING = pack(b"PING")


class Query(bytes):
    """A packed command whose reply somebody waits for.

    :param replied: called with the reply, if there is one, and at last with ``None``; must not
        wait.
    """

    replied: Callable[[Any], None]

    def __new__(cls, command: bytes, replied: Callable[[Any], None]) -> Self:
        """Return a packed command with its ``replied``."""
        self = super().__new__(cls, command)
        self.replied = replied
        return self


class Sender:
    """A bounded queue of messages, and their sending (``Part``).

    No sender of a message waits for Redis: what can't be sent is dropped and counted.

    :param limit: bytes that may wait.
    :param on_turn: called in the sending greenlet before it sends.
    """

    name = "sender"

    def __init__(self, link: Link, limit: int, on_turn: Callable[[], None]) -> None:
        self.queued_bytes = 0
        """Bytes that wait."""
        self.sent = 0
        """Messages that Redis has taken."""
        self.unsent = 0
        """Messages that were dropped, or that Redis has not confirmed."""
        self._link = link
        self._limit = limit
        self._on_turn = on_turn
        self._queue: list[bytes] = []  # packed commands; some are queries
        self._wake = Event()
        self._has_failed = False  # the last connection, and there is no other yet
        self._is_closing = False

    @property
    def is_crowded(self) -> bool:
        """Whether more than half of the bytes that may wait do."""
        return 2 * self.queued_bytes > self._limit

    def publish(self, channel: bytes, message: bytes) -> None:
        """Queue a message; drop it if Redis is lost, or too many bytes wait."""
        command = pack_publish(channel, message)
        if self._has_failed or self.queued_bytes + len(command) > self._limit:
            self.unsent += 1
            return
        self._queue.append(command)
        self.queued_bytes += len(command)
        self._wake.set()

    def query(self, query: Query) -> None:
        """Queue a query before the next message."""
        if self._has_failed:
            query.replied(None)
        else:
            self._queue.append(query)
            self._wake.set()

    def ping(self) -> None:
        """Have Redis reply, so that a dead connection is noticed."""
        self.query(Query(_PING, replied=lambda reply: None))

    def verify(self) -> None:
        """Have Redis reply before it counts as back, because another connection to it is lost."""
        self._link.doubt(self)
        self.ping()

    def wake(self) -> None:
        """Let ``on_turn`` be called soon."""
        self._wake.set()

    def close(self) -> None:
        """Stop the link when all that waits is sent; at once if Redis is lost."""
        self._is_closing = True
        self._wake.set()
        if self._has_failed:
            self._link.stopping.set()

    def use(self, connection: RedisConnection) -> None:
        """Send all messages (``Part``)."""
        self._has_failed = False
        self._link.connected(self)
        while self._queue or not self._is_closing:
            if not self._queue:
                self._wake.wait()
            self._wake.clear()
            self._on_turn()
            if self._queue:
                self._send_some(connection)
        self._link.stopping.set()

    def connection_failed(self) -> None:
        """Drop all that waits (``Part``)."""
        self._has_failed = True
        queue, self._queue = self._queue, []
        queries = _queries(queue)
        self.unsent += len(queue) - len(queries)
        for query in queries:
            query.replied(None)
        self.queued_bytes = 0
        if self._is_closing:
            self._link.stopping.set()

    def _send_some(self, connection: RedisConnection) -> None:
        """Send messages, and read Redis's answers to them."""
        batch, self._queue = self._queue[:MAX_BATCH], self._queue[MAX_BATCH:]
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
            self._link.answered(self)
        finally:
            for query in queries:
                query.replied(None)  # no reply follows

    def _take(self, commands: Iterator[bytes], replies: Sequence[Any]) -> None:
        """Take Redis's answers to the next commands."""
        sent = 0
        for reply, command in zip(replies, commands, strict=False):
            if isinstance(reply, ResponseError):
                self._link.refused(reply)
            elif isinstance(command, Query):
                command.replied(reply)
            else:
                sent += 1
        self.unsent -= sent
        self.sent += sent


def _queries(commands: Sequence[bytes]) -> list[Query]:
    return [command for command in commands if isinstance(command, Query)]
