"""A process, and a connection to Redis, that do what a test tells them to."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gevent.event import Event
from gevent.queue import Queue
from redis import ConnectionError

from socketio_server.cluster.broker import Envelope, Recipients
from socketio_server.engine.transports.base import Outgoing
from socketio_server.protocol.cluster_requests import ServerFields, SocketFields
from tests.support.tools import PATIENCE


class FakeNode:
    """A process that keeps what is for its sockets (``LocalNode``)."""

    def __init__(self) -> None:
        self.delivered: list[Envelope] = []
        self.writes: list[int] = []
        """How many events of other processes reached its sockets together."""
        self.max_size = 100_000_000
        """Bytes of an event that other processes take."""
        self.clients: set[tuple[str, str]] = set()
        """The ids of its clients, each with its namespace."""
        self.wanted: set[tuple[str, str | None]] = set()
        """The channels that they are on, each behind its namespace."""

    def deliver(self, envelope: Envelope) -> None:
        json.dumps(envelope.args)
        self.delivered.append(envelope)

    def encode(self, namespace: str, event_name: str, args: Sequence[Any]) -> Outgoing:
        return Outgoing(json.dumps((event_name, *args)).encode())

    def deliver_encoded(
        self, recipients: Recipients, several: Sequence[Outgoing], *, volatile: bool = False
    ) -> None:
        fields = {name: getattr(recipients, name) for name in Recipients.__struct_fields__}
        events = [json.loads(outgoing.packets[0]) for outgoing in several]
        self.writes.append(len(several))
        self.delivered += [
            Envelope(**fields, event_name=name, args=tuple(args), volatile=volatile)
            for name, *args in events
        ]

    def encode_with_values(
        self, namespace: str, event_name: str, args: Sequence[Any]
    ) -> tuple[Outgoing, list[Any]]:
        return self.encode(namespace, event_name, args), json.loads(json.dumps([event_name, *args]))

    def verify_for_others(self, event_name: str, message: bytes) -> None:
        if len(message) > self.max_size:
            raise ValueError("too large")

    def has_client(self, session_id: str, namespace: str) -> bool:
        return (session_id, namespace) in self.clients

    def is_wanted(self, namespace: str, channel: str | None) -> bool:
        return (namespace, channel) in self.wanted


class FakeOperations:
    """What a process does for others (``LocalOperations``): notes it, and returns what a test has
    prepared."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        """What was asked for, each as its name and arguments."""
        self.found: list[SocketFields] = []
        self.runs: ServerFields | None = None
        """The server of the process."""
        self.names: list[str] = []
        self.answers: list[tuple[str, Sequence[Any] | None]] = []
        """The acknowledgements of clients."""
        self.answer: Any = None
        """What handlers answer."""

    def join(self, recipients: Recipients, channels: Sequence[str]) -> None:
        self.done.append(("join", recipients, tuple(channels)))

    def leave(self, recipients: Recipients, channels: Sequence[str]) -> None:
        self.done.append(("leave", recipients, tuple(channels)))

    def disconnect(self, recipients: Recipients, *, close: bool) -> None:
        self.done.append(("disconnect", recipients, close))

    def records(self, recipients: Recipients, limit: int | None = None) -> list[SocketFields]:
        self.done.append(("records", recipients))
        return self.found[:limit]

    def count(self, recipients: Recipients) -> int:
        self.done.append(("count", recipients))
        return len(self.found)

    def users(self, recipients: Recipients) -> list[str]:
        self.done.append(("users", recipients))
        return self.names

    def server(self) -> ServerFields | None:
        return self.runs

    def rooms(self, namespace: str) -> list[str]:
        return self.names

    def pass_on(
        self,
        envelope: Envelope,
        timeout: float,
        *,
        asked: Callable[[Sequence[str]], None],
        answered: Callable[[str, Sequence[Any] | None], None],
    ) -> Callable[[], None]:
        def wait() -> None:
            for socket_id, values in self.answers:
                answered(socket_id, values)

        self.done.append(("pass on", envelope, timeout))
        asked([socket_id for socket_id, _ in self.answers])
        return wait

    def run_event(
        self, namespace: str, data: Sequence[Any], answer: Callable[[Any], None] | None
    ) -> bool:
        self.done.append(("run", namespace, list(data)))
        if answer is not None:
            answer(self.answer)
        return True


class FakeConnection:
    """A connection to Redis: keeps what is sent, and gives the prepared answers."""

    def __init__(self) -> None:
        self.sent = b""
        self.answers: deque[Any] = deque()
        self.at_once = 1000
        """How many answers arrive together."""
        self.fails = False
        """Whether Redis is gone."""
        self.is_connected = False
        self.is_left = False
        """Whether a forked process has let go of it."""

    def connect(self) -> None:
        if self.fails:
            raise ConnectionError("refused")
        self.is_connected = True

    def disconnect(self) -> None:
        self.is_connected = False

    def leave_to_parent(self) -> None:
        self.is_left = True

    def send(self, commands: bytes) -> None:
        if self.fails:
            raise ConnectionError("can't be written to")
        self.sent += commands

    def receive(self) -> list[Any]:
        if not self.answers:
            raise ConnectionError("gone")
        return [self.answers.popleft() for _ in range(min(self.at_once, len(self.answers)))]


class FakePatience:
    """Callers that may wait; nobody waits for long."""

    def __init__(self) -> None:
        self.turns = 0

    def may_wait(self) -> bool:
        return True

    def let_others_run(self, seconds: float = 0.0) -> None:
        self.turns += 1

    def wait(self, event: Event, timeout: float | None) -> None:
        event.wait(PATIENCE)


def unpack(commands: bytes) -> Iterator[list[bytes]]:
    """Yield the words of each command."""
    lines = commands.split(b"\r\n")
    while lines[0]:
        count = int(lines[0][1:])
        yield lines[2 : 2 * count + 1 : 2]
        del lines[: 2 * count + 1]


class FakeRedis:
    """A Redis in this process, for parts that have a greenlet each."""

    def __init__(self) -> None:
        self.published: list[tuple[bytes, bytes]] = []
        """Channels and messages."""
        self.subscriptions: set[bytes] = set()
        """Channels and patterns of all connections."""
        self.servers = 1
        """How many servers there are."""
        self.is_gone = False
        """Whether nobody can connect."""
        self.pings_of_senders = 0
        """How often a connection was tried that hears nothing."""
        self.pings_of_listeners = 0
        """How often one was that does."""
        self._senders: list[FakeRedisConnection] = []
        self._listeners: list[FakeRedisConnection] = []

    def connect(self) -> "FakeRedisConnection":
        """Return a connection."""
        connection = FakeRedisConnection(self)
        self._senders.append(connection)
        return connection

    def send(self, *words: bytes) -> None:
        """Send something to those who listen."""
        for connection in self._listeners:
            connection.answers.put(list(words))

    def cut(self) -> None:
        """Close all connections of those who listen."""
        for connection in self._listeners:
            connection.answers.put(ConnectionError("cut"))
        self._listeners.clear()
        self.subscriptions.clear()

    def cut_senders(self) -> None:
        """Close all connections of those who don't."""
        for connection in self._senders:
            connection.answers.put(ConnectionError("cut"))
        self._senders.clear()

    def obey(self, connection: "FakeRedisConnection", words: list[bytes]) -> None:
        """Do what a command says."""
        command, *names = words
        if command == b"PUBLISH":
            self.published.append((names[0], names[1]))
            connection.answers.put(1)
        elif command == b"PUBSUB":
            connection.answers.put([names[1], self.servers])
        elif command == b"PING":
            listens = connection in self._listeners
            self.pings_of_listeners += listens
            self.pings_of_senders += not listens
            connection.answers.put([b"pong", b""] if listens else b"PONG")
        else:
            if connection not in self._listeners:
                self._senders.remove(connection)
                self._listeners.append(connection)
            for name in names:
                change = set.discard if b"UNSUB" in command else set.add
                change(self.subscriptions, name)
                connection.answers.put([command.lower(), name, 1])


class FakeRedisConnection:
    """A connection to the fake Redis."""

    def __init__(self, redis: FakeRedis) -> None:
        self.answers: Queue[Any] = Queue()
        self._redis = redis

    def connect(self) -> None:
        if self._redis.is_gone:
            raise ConnectionError("gone")

    def disconnect(self) -> None:
        """Nothing is left open."""

    def leave_to_parent(self) -> None:
        """No process is forked."""

    def send(self, commands: bytes) -> None:
        for words in unpack(commands):
            self._redis.obey(self, words)

    def receive(self) -> list[Any]:
        answers = [self.answers.get()]
        while not self.answers.empty():
            answers.append(self.answers.get())
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers
