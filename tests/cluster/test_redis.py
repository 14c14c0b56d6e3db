"""The broker of a cluster: what it publishes, what it hears, and what it listens to."""

from collections.abc import Iterator

import pytest

from socketio_server.cluster import redis as redis_module
from socketio_server.cluster.broker import Envelope
from socketio_server.cluster.redis import SWEEP_INTERVAL, RedisBroker
from socketio_server.net.refusals import Refusals
from socketio_server.net.statistics import Snapshot
from socketio_server.options import Options
from socketio_server.protocol.redis_adapter import Broadcast, decode_broadcast, encode_broadcast
from tests.cluster.fakes import FakeNode, FakePatience, FakeRedis
from tests.fakes import settle

BASE = b"socket.io#/#"
ROOM = b"socket.io#/#room#"
SOCKETS = b"socket.io#/#" + b"?" * 20 + b"#"
ID = "-_345678901234567890"


class Cluster:
    """A broker, its process and its Redis."""

    def __init__(self) -> None:
        self.now = 100.0
        self.redis = FakeRedis()
        self.node = FakeNode()
        self.refusals = Refusals(lambda: self.now)
        self.broker = RedisBroker(
            self.node,
            "redis://localhost",
            Options(max_queued_bytes=10_000),
            patience=FakePatience(),
            refusals=self.refusals,
            clock=lambda: self.now,
        )

    def start(self) -> None:
        self.broker.start(["/"])
        settle()

    def hear(self, *data: object, rooms: tuple[str, ...] = (), skip: tuple[str, ...] = ()) -> None:
        """Let another process publish an event."""
        message = encode_broadcast(Broadcast("others", "/", list(data), rooms, skip))
        if len(rooms) != 1:
            self.redis.send(b"message", BASE, message)
        elif len(rooms[0]) == 20:
            channel = BASE + rooms[0].encode() + b"#"
            self.redis.send(b"pmessage", SOCKETS, channel, message)
        else:
            self.redis.send(b"message", BASE + rooms[0].encode() + b"#", message)
        settle()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and the sender look at the clock."""
        self.now += seconds
        self.broker.publish(envelope("tick"))
        settle()

    def count(self, key: str) -> object:
        """Return a number of the broker."""
        snapshot: Snapshot = {}  # type: ignore[typeddict-item]
        self.broker.count(snapshot)
        return snapshot[key]  # type: ignore[literal-required]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    redis: list[FakeRedis] = []
    monkeypatch.setattr(redis_module, "connector", lambda *args: lambda: redis[0].connect())
    cluster = Cluster()
    redis.append(cluster.redis)
    yield cluster
    cluster.broker.stop(1.0)


def envelope(
    *args: object,
    channels: tuple[str, ...] | None = None,
    session_ids: tuple[str, ...] = (),
    skip: frozenset[str] = frozenset(),
) -> Envelope:
    return Envelope(
        namespace="/",
        event_name="news",
        args=args,
        channels=channels,
        session_ids=session_ids,
        skip=skip,
    )


class TestPublishing:
    def test_local_clients_come_first(self, cluster: Cluster) -> None:
        cluster.broker.publish(envelope(1))
        assert cluster.node.delivered == [envelope(1)]
        assert cluster.redis.published == []

        cluster.start()
        ((channel, message),) = cluster.redis.published
        broadcast = decode_broadcast(message)
        assert channel == BASE
        assert (broadcast.data, broadcast.rooms) == (["news", 1], ())

    @pytest.mark.parametrize(
        ("sent", "channel", "rooms"),
        [
            (envelope(channels=("room",)), ROOM, ("room",)),
            (envelope(channels=("a", "b")), BASE, ("a", "b")),
            (envelope(channels=(), session_ids=(ID,)), BASE + ID.encode() + b"#", (ID,)),
        ],
    )
    def test_the_channel_is_that_of_the_rooms(
        self, cluster: Cluster, sent: Envelope, channel: bytes, rooms: tuple[str, ...]
    ) -> None:
        cluster.start()
        cluster.broker.publish(sent)
        settle()
        ((found, message),) = cluster.redis.published
        assert found == channel
        assert decode_broadcast(message).rooms == rooms

    def test_what_is_for_nobody_is_not_published(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.publish(envelope(channels=()))
        settle()
        assert cluster.redis.published == []

    def test_what_can_not_be_encoded_reaches_nobody(self, cluster: Cluster) -> None:
        with pytest.raises(TypeError):
            cluster.broker.publish(envelope(object()))
        assert cluster.node.delivered == []


class TestHearing:
    def test_an_event_is_delivered(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.hear("news", 1, rooms=("a", "b"), skip=("c",))
        (delivered,) = cluster.node.delivered
        assert delivered.event_name == "news"
        assert delivered.args == (1,)
        assert delivered.channels == ("a", "b")
        assert delivered.skip == {"c"}
        assert delivered.skip_channels == ("c",)

    def test_a_room_may_be_a_client_of_this_process(self, cluster: Cluster) -> None:
        cluster.node.clients.add((ID, "/"))
        cluster.start()
        cluster.hear("news", rooms=(ID,))
        (delivered,) = cluster.node.delivered
        assert delivered.session_ids == (ID,)

    def test_what_is_for_a_socket_elsewhere_is_not_even_decoded(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.hear("news", rooms=(ID,))
        assert cluster.node.delivered == []
        assert cluster.count("broker_heard") == 0

    def test_its_own_messages_are_ignored(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.publish(envelope(1))
        settle()
        ((channel, message),) = cluster.redis.published
        cluster.redis.send(b"message", channel, message)
        settle()
        assert cluster.node.delivered == [envelope(1)]

    @pytest.mark.parametrize("message", [b"", b"garbage", b"x" * 10_001])
    def test_what_can_not_be_read_is_refused(self, cluster: Cluster, message: bytes) -> None:
        cluster.start()
        cluster.redis.send(b"message", BASE, message)
        settle()
        assert cluster.refusals.counts == {"cluster": 1}


class TestListening:
    def test_it_begins_with_the_namespaces_of_the_handlers(self, cluster: Cluster) -> None:
        cluster.start()
        assert cluster.redis.subscriptions == {BASE, SOCKETS}

    def test_a_new_channel_is_confirmed_when_it_returns(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.listen("/", "room")
        assert ROOM in cluster.redis.subscriptions

    def test_a_new_namespace_is_confirmed_when_it_returns(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.listen("/new")
        assert b"socket.io#/new#" in cluster.redis.subscriptions
        assert b"socket.io#/new#" + b"?" * 20 + b"#" in cluster.redis.subscriptions

    def test_a_channel_like_an_id_is_heard_by_the_pattern(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.listen("/", "x" * 20)
        assert cluster.redis.subscriptions == {BASE, SOCKETS}

    def test_a_channel_that_nobody_wants_is_left_after_a_while(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.node.wanted.add(("/", "wanted"))
        for channel in ("room", "wanted"):
            cluster.broker.listen("/", channel)
        cluster.pass_time(SWEEP_INTERVAL + 1)
        assert ROOM in cluster.redis.subscriptions

        cluster.pass_time(SWEEP_INTERVAL + 1)
        assert cluster.redis.subscriptions == {BASE, SOCKETS, b"socket.io#/#wanted#"}

    def test_a_channel_that_was_left_can_be_listened_to_again(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.listen("/", "room")
        for _ in range(2):
            cluster.pass_time(SWEEP_INTERVAL + 1)
        cluster.broker.listen("/", "room")
        assert ROOM in cluster.redis.subscriptions

    def test_a_lost_redis_keeps_nobody_waiting(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.redis.is_gone = True
        cluster.redis.cut()
        settle()
        cluster.broker.listen("/", "room")
        assert cluster.count("broker_connected") == 0
        assert cluster.count("broker_losses") == 1
