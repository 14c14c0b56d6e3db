"""Subscribes to Redis's channels, and hears what is published there, in one greenlet."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, NamedTuple

from gevent.event import Event
from redis import ResponseError

from socketio_server.cluster.broker import Patience
from socketio_server.cluster.redis.connections import RedisConnection, pack
from socketio_server.cluster.redis.link import Link
from socketio_server.cluster.redis.pools import FAULTS
from socketio_server.net.log import show

MAX_NAMES = 1000
"""Channels that one command subscribes to."""

Command = tuple[bytes, ...]
"""A command's name and arguments."""

_SUBSCRIBE = b"SUBSCRIBE"
_PSUBSCRIBE = b"PSUBSCRIBE"


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
    :param is_vital: whether Redis counts as lost if it refuses the subscription.
    """

    namespace: str
    channel: str | None = None
    is_pattern: bool = False
    kind: Kind = Kind.BROADCAST
    is_vital: bool = False


Heard = tuple[Topic, bytes, bytes]
"""A message that was heard: its topic, the channel of Redis, and its bytes. A topic whose name is a
pattern has many channels."""


class Listener:
    """The subscriptions of a process (``Part``).

    Its own greenlet reads, and the sender's greenlet writes (``flush``), because no two may write.

    :param patience: lets callers wait for confirmations.
    :param own_head: what this process's own messages begin with; they are ignored.
    :param all_channels: the pattern of all channels of the cluster, for the log.
    :param failed: called when the connection is lost, or could not be made.
    :param heard: called with the messages that have arrived together; it may let others run.
    """

    name = "listener"

    def __init__(
        self,
        link: Link,
        patience: Patience,
        own_head: bytes,
        *,
        all_channels: bytes,
        heard: Callable[[Sequence[Heard]], None],
        failed: Callable[[], None],
    ) -> None:
        self.topics: dict[bytes, Topic] = {}
        """By channel or pattern, what is to be heard."""
        self._link = link
        self._patience = patience
        self._own_head = own_head
        self._all_channels = all_channels
        self._heard = heard
        self._failed = failed
        self._confirmed: set[bytes] = set()  # Redis has confirmed these subscriptions
        self._refused: set[bytes] = set()  # Redis has refused these
        self._waiters: dict[bytes, Event] = {}  # set when Redis confirms or refuses
        self._wishes: deque[Command] = deque()  # those that are to be sent
        self._unanswered: deque[Command] = deque()  # those that were sent
        self._answers = 0  # to the first of them; there is one for each channel
        self._connection: RedisConnection | None = None  # while Redis has confirmed all

    def add(self, name: bytes, topic: Topic) -> None:
        """Subscribe to a channel or pattern; the caller must wake the sender."""
        self.topics[name] = topic
        self._wishes.append((_PSUBSCRIBE if topic.is_pattern else _SUBSCRIBE, name))

    def remove(self, name: bytes) -> None:
        """Unsubscribe; the caller must wake the sender."""
        topic = self.topics.pop(name)
        self._confirmed.discard(name)
        self._refused.discard(name)
        self._wishes.append((b"PUNSUBSCRIBE" if topic.is_pattern else b"UNSUBSCRIBE", name))

    def is_confirmed(self, name: bytes) -> bool:
        """Return whether Redis has confirmed a subscription."""
        return name in self._confirmed

    def wait(self, name: bytes, timeout: float) -> None:
        """Wait for the confirmation of a subscription, unless it was refused."""
        if name in self._refused:
            return
        self._patience.wait(self._waiters.setdefault(name, Event()), timeout)

    def flush(self, *, ping: bool) -> None:
        """Send the commands that wait; in the sender's greenlet.

        :param ping: whether to have Redis send something, so that a dead connection is noticed.
        """
        connection = self._connection
        if connection is None:
            return
        if ping:
            self._wishes.append((b"PING",))
        if self._wishes:
            try:
                self._send(connection, len(self._wishes))
            except FAULTS:
                connection.disconnect()
                if self._connection is connection:  # else the reader has noticed
                    self._connection = None  # it notices, and subscribes anew

    def use(self, connection: RedisConnection) -> None:
        """Subscribe to all topics, and read (``Part``).

        Redis may write no more than we read, and so confirms one command before it gets the next.
        """
        self._unanswered.clear()
        self._answers = 0
        self._wishes = deque(self._subscribe_to_all())
        while self._wishes:  # and those that come meanwhile
            self._send(connection, 1)
            while self._unanswered:
                self._hear(connection)
        self._connection = connection
        self._link.connected(self)
        while True:
            if self._connection is None:
                raise ConnectionError("lost while subscribing")
            self._hear(connection)

    def connection_failed(self) -> None:
        """Forget what Redis has confirmed; nobody waits for it any more (``Part``)."""
        self._connection = None
        self._confirmed.clear()
        self._refused.clear()
        for waiter in self._waiters.values():
            waiter.set()
        self._waiters.clear()
        self._failed()

    def _subscribe_to_all(self) -> Iterator[Command]:
        """Yield commands that subscribe to all topics."""
        for verb, is_pattern in ((_SUBSCRIBE, False), (_PSUBSCRIBE, True)):
            names = [name for name, topic in self.topics.items() if topic.is_pattern is is_pattern]
            for start in range(0, len(names), MAX_NAMES):
                yield (verb, *names[start : start + MAX_NAMES])

    def _send(self, connection: RedisConnection, count: int) -> None:
        """Send the first of the commands that wait."""
        commands = [self._wishes.popleft() for _ in range(count)]
        self._unanswered += commands
        connection.send(b"".join(pack(*command) for command in commands))

    def _hear(self, connection: RedisConnection) -> None:
        self._heard(list(self._take(connection.receive())))

    def _take(self, replies: Sequence[Any]) -> Iterator[Heard]:
        """Yield the messages in what Redis sends, and note what it says to our commands."""
        own_head = self._own_head
        for reply in replies:
            if isinstance(reply, ResponseError):
                self._refuse(reply)
                continue
            kind, name = reply[0], reply[1]
            if kind == b"message" or kind == b"pmessage":
                message = reply[-1]
                if not message.startswith(own_head) and name in self.topics:
                    yield self.topics[name], reply[-2], message
                continue
            self._answers += 1
            if self._answers >= len(self._unanswered[0]) - 1:
                self._unanswered.popleft()
                self._answers = 0
            if name in self.topics and (kind == b"subscribe" or kind == b"psubscribe"):
                self._confirmed.add(name)
                self._let_go(name)

    def _refuse(self, error: ResponseError) -> None:
        """Take Redis's refusal of a command.

        :raises ResponseError: if the server can't do without.
        """
        if not self._unanswered:
            raise error
        verb, *names = self._unanswered.popleft()
        if len(names) > 1:  # at least one of them is forbidden, and Redis does not say which
            self._wishes.extendleft((verb, name) for name in names)
            return
        if verb in (_SUBSCRIBE, _PSUBSCRIBE) and names[0] in self.topics:
            error = self._explained(error, verb, names[0])
            self._refused.add(names[0])
            self._let_go(names[0])
            if self.topics[names[0]].is_vital:
                raise error
        self._link.refused(error)

    def _explained(self, error: ResponseError, verb: bytes, name: bytes) -> ResponseError:
        """Return an error that says which access rules are missing, if that is the cause."""
        text = f"{verb.decode()} {show(name.decode())}: {error}"
        if str(error).startswith("NOPERM"):
            allowed = name if verb == _PSUBSCRIBE else self._all_channels
            text += (
                f". Its user needs the access rules +{verb.decode().lower()} &{allowed.decode()}"
            )
        return ResponseError(text)

    def _let_go(self, name: bytes) -> None:
        """End the wait for an answer to a subscription."""
        waiter = self._waiters.pop(name, None)
        if waiter is not None:
            waiter.set()
