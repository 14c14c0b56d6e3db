"""A broker with its process and its Redis, none of which is real, for the tests of brokers."""

from socketio_server.cluster.broker import Envelope
from socketio_server.cluster.redis.broker import RedisBroker
from socketio_server.net.refusals import Refusals
from socketio_server.net.statistics import Snapshot
from socketio_server.options import Options
from socketio_server.protocol.cluster_requests import FetchSockets
from socketio_server.protocol.redis_adapter import Broadcast, Opts, encode_broadcast
from tests.cluster.fakes import FakeNode, FakeOperations, FakePatience, FakeRedis
from tests.fakes.hub import settle

BASE = b"socket.io#/#"
ROOM = b"socket.io#/#room#"
SOCKETS = b"socket.io#/#" + b"?" * 20 + b"#"
ID = "-_345678901234567890"
REQUESTS = b"socket.io-request#/#"
RESPONSES = b"socket.io-response#/#"


class Cluster:
    """A broker, its process and its Redis."""

    def __init__(self) -> None:
        self.now = 100.0
        self.redis = FakeRedis()
        self.node = FakeNode()
        self.node.wanted.update({("/", None), ("/", "a"), ("/", "b")})
        self.operations = FakeOperations()
        self.refusals = Refusals(lambda: self.now)
        self.patience = FakePatience()
        self.broker = RedisBroker(
            self.node,
            "redis://localhost",
            Options(max_queued_bytes=10_000),
            operations=self.operations,
            patience=self.patience,
            refusals=self.refusals,
            clock=lambda: self.now,
            on_return=lambda: None,
        )

    def start(self) -> None:
        self.broker.start(["/"])
        settle()

    @property
    def own_responses(self) -> bytes:
        """The channel of responses to this process alone."""
        return RESPONSES + self.broker._uid.encode() + b"#"

    @property
    def permanent(self) -> set[bytes]:
        """What it listens to always."""
        return {BASE, SOCKETS, REQUESTS, RESPONSES, self.own_responses}

    def publish_as_others(
        self, *args: object, rooms: tuple[str, ...] = (), volatile: bool = False
    ) -> None:
        """Let another process publish an event to several rooms, or to everybody."""
        broadcast = Broadcast("others", "/", rooms, volatile=volatile)
        self.redis.send(b"message", BASE, encode_broadcast(broadcast, ["news", *args]))

    def hear(self, *data: object, rooms: tuple[str, ...] = (), skip: tuple[str, ...] = ()) -> None:
        """Let another process publish an event."""
        message = encode_broadcast(Broadcast("others", "/", rooms, skip), data)
        if len(rooms) != 1:
            self.redis.send(b"message", BASE, message)
        elif len(rooms[0]) == 20:
            channel = BASE + rooms[0].encode() + b"#"
            self.redis.send(b"pmessage", SOCKETS, channel, message)
        else:
            self.redis.send(b"message", BASE + rooms[0].encode() + b"#", message)
        settle()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and the broker look at the clock."""
        self.now += seconds
        self.broker._take_turn()
        settle()

    def lose_sender(self) -> None:
        """Cut the connection that sends, and let none be made."""
        self.redis.is_gone = True
        self.redis.cut_senders()
        # Only what it sends lets it notice.
        self.broker.publish(envelope("lost"))
        settle()

    def lose_listener(self) -> None:
        """Cut the connection that listens, and let none be made."""
        self.redis.is_gone = True
        self.redis.cut()
        settle()

    def count(self, key: str) -> object:
        """Return a number of the broker."""
        snapshot: Snapshot = {}  # type: ignore[typeddict-item]
        self.broker.count(snapshot)
        return snapshot[key]  # type: ignore[literal-required]


def undecodable(rooms: tuple[str, ...]) -> bytes:
    """Return a broadcast whose event can't be decoded."""
    message = encode_broadcast(Broadcast("others", "/", rooms), ["news", "X", "x" * 5000])
    return message.replace(b"\xa1X", b"\xd4\1\0")  # an unknown extension


def envelope(
    *args: object,
    channels: tuple[str, ...] | None = None,
    socket_ids: tuple[str, ...] = (),
    skip: frozenset[str] = frozenset(),
) -> Envelope:
    return Envelope(
        namespace="/",
        event_name="news",
        args=args,
        channels=channels,
        socket_ids=socket_ids,
        skip=skip,
    )


def fetch() -> FetchSockets:
    """Return a question for the sockets of the main namespace."""
    return FetchSockets(request_id="r", opts=Opts(rooms=[]))
