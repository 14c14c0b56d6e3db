"""Sends a process's messages to Redis, in order, from one greenlet."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from gevent.event import Event
from redis import ResponseError

from socketio_server.cluster.redis.connections import RedisConnection, pack, pack_publish
from socketio_server.cluster.redis.link import Link

MAX_BATCH = 100
"""Commands that are sent before their answers are read."""

_PING = pack(b"PING")


class Query(NamedTuple):
    """A command whose reply somebody waits for.

    :param command: packed.
    :param replied: called with the reply, if there is one, and at last with ``None``; must not
        wait.
    """

    command: bytes
    replied: Callable[[Any], None]


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
        self._queue: deque[bytes | Query] = deque()  # packed commands, and queries
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
        queue = list(self._queue)
        self._queue.clear()
        for item in queue:
            if isinstance(item, Query):
                item.replied(None)
            else:
                self.unsent += 1
        self.queued_bytes = 0
        if self._is_closing:
            self._link.stopping.set()

    def _send_some(self, connection: RedisConnection) -> None:
        """Send messages, and read Redis's answers to them."""
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
        queries = [item for item in batch if isinstance(item, Query)]
        commands = b"".join(item.command if isinstance(item, Query) else item for item in batch)
        self.queued_bytes -= len(commands) - sum(len(query.command) for query in queries)
        self.unsent += len(batch) - len(queries)
        try:
            connection.send(commands)
            waiting = deque(batch)
            while waiting:
                for reply in connection.receive():
                    self._take(waiting.popleft(), reply)
        finally:
            for query in queries:
                query.replied(None)  # no reply follows

    def _take(self, item: bytes | Query, reply: Any) -> None:
        """Take Redis's answer to a command."""
        if isinstance(reply, ResponseError):
            self._link.refused(reply)
        elif isinstance(item, Query):
            item.replied(reply)
        else:
            self.unsent -= 1
            self.sent += 1
