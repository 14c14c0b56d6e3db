"""Subscribes to Redis's channels, and hears what is published there, in one greenlet."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, NamedTuple

from gevent.event import Event
from redis import ResponseError

from socketio_server.cluster.broker import Patience
from socketio_server.cluster.redis.connections import RedisConnection, not_redis, pack
from socketio_server.cluster.redis.link import Link
from socketio_server.cluster.redis.pools import FAULTS
from socketio_server.cluster.redis.remedies import explain_command

MAX_NAMES = 1000
"""Channels that one command subscribes to."""

Command = tuple[bytes, ...]
"""A command's name and arguments."""

_SUBSCRIBE = b"SUBSCRIBE"
_PSUBSCRIBE = b"PSUBSCRIBE"
_UNSUBSCRIBE = b"UNSUBSCRIBE"
_PUNSUBSCRIBE = b"PUNSUBSCRIBE"
_PING = b"PING"

_ANSWERS = {
    _SUBSCRIBE: b"subscribe",
    _PSUBSCRIBE: b"psubscribe",
    _UNSUBSCRIBE: b"unsubscribe",
    _PUNSUBSCRIBE: b"punsubscribe",
    _PING: b"pong",
}
"""What begins Redis's answer to each command."""


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

    No two greenlets may write. Its own writes until Redis has confirmed all subscriptions, and then
    only reads; from then on one other greenlet writes (``wait_for_commands``, ``flush``), which
    waits for no other connection.

    :param patience: lets callers wait for confirmations.
    :param own_head: what this process's own messages begin with; they are ignored.
    :param all_channels: the pattern of all channels of the cluster, for the log.
    :param heard: called with the messages that have arrived together; it may let others run.
    """

    purpose = "receiving"
    until_back = "its clients get nothing that other processes send"

    def __init__(
        self,
        link: Link,
        patience: Patience,
        own_head: bytes,
        *,
        all_channels: bytes,
        heard: Callable[[Sequence[Heard]], None],
    ) -> None:
        self.is_connected = False
        """Whether Redis has confirmed the subscriptions (``Part``)."""
        self.is_lost = False
        """Whether it is known to have no connection (``Part``)."""
        self.topics: dict[bytes, Topic] = {}
        """By channel or pattern, what is to be heard."""
        self._link = link
        self._patience = patience
        self._own_head = own_head
        self._all_channels = all_channels
        self._heard = heard
        self._confirmed: set[bytes] = set()  # Redis has confirmed these subscriptions
        self._refused: set[bytes] = set()  # Redis has refused these
        self._waiters: dict[bytes, Event] = {}  # set when Redis confirms or refuses
        self._wishes: deque[Command] = deque()  # those that are to be sent
        self._unanswered: deque[Command] = deque()  # those that were sent
        self._answers = 0  # to the first of them; there is one for each channel
        self._wake = Event()  # set when there are wishes
        self._is_used = False  # whether there is a connection; a new one begins with all topics
        self._connection: RedisConnection | None = None  # while Redis has confirmed all
        self._fault: Exception | None = None  # raised when this connection was written to

    def add(self, name: bytes, topic: Topic) -> None:
        """Subscribe to a channel or pattern soon."""
        self.topics[name] = topic
        self._wish(_PSUBSCRIBE if topic.is_pattern else _SUBSCRIBE, name)

    def remove(self, name: bytes) -> None:
        """Unsubscribe soon."""
        topic = self.topics.pop(name)
        self._confirmed.discard(name)
        self._refused.discard(name)
        self._wish(_PUNSUBSCRIBE if topic.is_pattern else _UNSUBSCRIBE, name)

    def ping(self) -> None:
        """Have Redis reply, so that a dead connection is noticed (``Part``)."""
        if self._connection is not None:
            self._wish(_PING)

    def is_confirmed(self, name: bytes) -> bool:
        """Return whether Redis has confirmed a subscription."""
        return name in self._confirmed

    def wait(self, name: bytes, timeout: float) -> None:
        """Wait for the confirmation of a subscription, unless it was refused."""
        if name in self._refused:
            return
        self._patience.wait(self._waiters.setdefault(name, Event()), timeout)

    def wait_for_commands(self, timeout: float) -> None:
        """Wait until there are commands to send, for so many seconds at most."""
        self._wake.wait(timeout)
        self._wake.clear()

    def flush(self) -> None:
        """Send the commands that wait."""
        connection = self._connection
        if connection is None or not self._wishes:
            return
        try:
            self._send(connection, len(self._wishes))
        except FAULTS as fault:
            if self._connection is connection:  # else the reader has noticed
                self._connection, self._fault = None, fault
            connection.disconnect()

    def use(self, connection: RedisConnection) -> None:
        """Subscribe to all topics, and read (``Part``).

        Redis may write no more than we read, and so confirms one command before it gets the next.
        """
        self._is_used = True
        self._unanswered.clear()
        self._answers = 0
        self._wishes = deque(self._subscribe_to_all())
        while self._wishes:  # and those that come meanwhile
            self._send(connection, 1)
            while self._unanswered:
                self._hear(connection)
        self._connection, self._fault = connection, None
        self._link.connected(self)
        try:
            while self._fault is None:
                self._hear(connection)
        except FAULTS as fault:
            raise self._fault or fault from None
        raise self._fault

    def connection_failed(self) -> None:
        """Forget what Redis has confirmed; nobody waits for it any more (``Part``)."""
        self._is_used, self._connection = False, None
        self._confirmed.clear()
        self._refused.clear()
        for waiter in self._waiters.values():
            waiter.set()
        self._waiters.clear()

    def tell_missed(self) -> str:
        """Return a sentence without a number, which nobody knows (``Part``)."""
        return "What other processes sent meanwhile is lost."

    def _wish(self, *command: bytes) -> None:
        if self._is_used:
            self._wishes.append(command)
            self._wake.set()

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
        """Yield the messages in what Redis sends, and note what it says to our commands.

        :raises InvalidResponse: if it sends something else.
        """
        own_head = self._own_head
        for reply in replies:
            # Not by a match statement, because patterns of classes are slow.
            length = len(reply) if type(reply) is list else 0
            if length == 3 and reply[0] == b"message":
                _, name, message = reply
                channel = name
            elif length == 4 and reply[0] == b"pmessage":
                _, name, channel, message = reply
            else:
                self._take_other(reply)
                continue
            if not (type(name) is type(channel) is type(message) is bytes):
                raise not_redis()
            if not message.startswith(own_head) and name in self.topics:
                yield self.topics[name], channel, message

    def _take_other(self, reply: Any) -> None:
        """Take what is no message.

        :raises InvalidResponse: if it is no answer either.
        """
        match reply:
            case [bytes(kind), bytes(name), *_]:
                self._take_answer(kind, name)
            case b"PONG":  # while Redis has confirmed no subscription
                self._take_answer(b"pong", b"")
            case ResponseError():
                self._refuse(reply)
            case _:
                raise not_redis()

    def _take_answer(self, kind: bytes, name: bytes) -> None:
        """Take an answer to the first of the unanswered commands; there is one for each channel.

        :raises InvalidResponse: if it is none to this command.
        """
        if not self._unanswered or kind != _ANSWERS[self._unanswered[0][0]]:
            raise not_redis()
        self._link.answered(self)
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
            # Redis compares patterns as texts.
            allowed = names[0] if verb == _PSUBSCRIBE else self._all_channels
            error = explain_command(error, verb, names[0], allowed)
            self._refused.add(names[0])
            self._let_go(names[0])
            if self.topics[names[0]].is_vital:
                raise error
        else:
            error = explain_command(error, verb)
        self._link.refused(error)

    def _let_go(self, name: bytes) -> None:
        """End the wait for an answer to a subscription."""
        waiter = self._waiters.pop(name, None)
        if waiter is not None:
            waiter.set()
