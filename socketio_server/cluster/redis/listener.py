"""Subscribes to Redis's channels, and hears what is published there, in one greenlet."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, NamedTuple

from gevent.event import Event
from redis import ResponseError

from socketio_server.cluster.broker import Patience
from socketio_server.cluster.redis.connections import FAULTS, RedisConnection, pack
from socketio_server.cluster.redis.link import Link

MAX_NAMES = 1000
"""Channels that one command subscribes to."""

_PING = pack(b"PING")


class Kind(Enum):
    """What servers exchange."""

    BROADCAST = "broadcast"
    REQUEST = "request"
    RESPONSE = "response"


class Topic(NamedTuple):
    """What is published on a channel of Redis.

    :param namespace: the namespace of its recipients.
    :param channel: their channel; ``None``: the recipients stand in the message.
    :param is_pattern: whether the channel's name is a pattern.
    """

    namespace: str
    channel: str | None = None
    is_pattern: bool = False
    kind: Kind = Kind.BROADCAST


Heard = tuple[Topic, bytes, bytes]
"""A message that was heard: its topic, the channel of Redis, and its bytes. A topic whose name is a
pattern has many channels."""


class Listener:
    """The subscriptions of a process (``Part``).

    Its own greenlet reads, and the sender's greenlet writes (``flush``), because no two may write.

    :param patience: lets callers wait for confirmations.
    :param own_head: what this process's own messages begin with; they are ignored.
    :param heard: called with the messages that have arrived together; it may let others run.
    """

    name = "listener"

    def __init__(
        self,
        link: Link,
        patience: Patience,
        own_head: bytes,
        heard: Callable[[Sequence[Heard]], None],
    ) -> None:
        self.topics: dict[bytes, Topic] = {}
        """By channel or pattern, what is to be heard."""
        self._link = link
        self._patience = patience
        self._own_head = own_head
        self._heard = heard
        self._confirmed: set[bytes] = set()  # Redis has confirmed these subscriptions
        self._waiters: dict[bytes, Event] = {}  # set when Redis confirms
        self._wishes: list[bytes] = []  # packed commands that are to be sent
        self._connection: RedisConnection | None = None

    def add(self, name: bytes, topic: Topic) -> None:
        """Subscribe to a channel or pattern; the caller must wake the sender."""
        self.topics[name] = topic
        command = b"PSUBSCRIBE" if topic.is_pattern else b"SUBSCRIBE"
        self._wishes.append(pack(command, name))

    def remove(self, name: bytes) -> None:
        """Unsubscribe; the caller must wake the sender."""
        topic = self.topics.pop(name)
        self._confirmed.discard(name)
        command = b"PUNSUBSCRIBE" if topic.is_pattern else b"UNSUBSCRIBE"
        self._wishes.append(pack(command, name))

    def is_confirmed(self, name: bytes) -> bool:
        """Return whether Redis has confirmed a subscription."""
        return name in self._confirmed

    def wait(self, name: bytes, timeout: float) -> None:
        """Wait for the confirmation of a subscription."""
        self._patience.wait(self._waiters.setdefault(name, Event()), timeout)

    def flush(self, *, ping: bool) -> None:
        """Send the commands that wait; in the sender's greenlet.

        :param ping: whether to have Redis send something, so that a dead connection is noticed.
        """
        connection = self._connection
        if connection is None:
            return
        commands, self._wishes = self._wishes, []
        if ping:
            commands.append(_PING)
        if commands:
            try:
                connection.send(b"".join(commands))
            except FAULTS:
                connection.disconnect()
                if self._connection is connection:  # else the reader has noticed
                    self._connection = None  # it notices, and subscribes anew

    def use(self, connection: RedisConnection) -> None:
        """Subscribe to all topics, and read (``Part``)."""
        self._wishes.clear()  # those that come from now on are sent after these
        if self.topics:
            connection.send(b"".join(self._subscribe_to_all()))
        self._connection = connection
        self._link.connected(self)
        while True:
            if self._connection is None:
                raise ConnectionError("lost while subscribing")
            self._heard(list(self._take(connection.receive())))

    def connection_failed(self) -> None:
        """Forget what Redis has confirmed; nobody waits for it any more (``Part``)."""
        self._connection = None
        self._confirmed.clear()
        for waiter in self._waiters.values():
            waiter.set()
        self._waiters.clear()

    def _subscribe_to_all(self) -> Iterator[bytes]:
        """Yield commands that subscribe to all topics."""
        for command, is_pattern in ((b"SUBSCRIBE", False), (b"PSUBSCRIBE", True)):
            names = [name for name, topic in self.topics.items() if topic.is_pattern is is_pattern]
            for start in range(0, len(names), MAX_NAMES):
                yield pack(command, *names[start : start + MAX_NAMES])

    def _take(self, replies: Sequence[Any]) -> Iterator[Heard]:
        """Yield the messages in what Redis sends, and note which subscriptions it confirms."""
        own_head = self._own_head
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply  # to a subscription; no message follows
            kind, name = reply[0], reply[1]
            if kind == b"message" or kind == b"pmessage":
                message = reply[-1]
                if not message.startswith(own_head) and name in self.topics:
                    yield self.topics[name], reply[-2], message
            elif name in self.topics and (kind == b"subscribe" or kind == b"psubscribe"):
                self._confirmed.add(name)
                waiter = self._waiters.pop(name, None)
                if waiter is not None:
                    waiter.set()
