"""The broker of a cluster: what it publishes, what it hears, and what it listens to."""

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from msgspec import Raw
from redis import ResponseError

from socketio_server.cluster.broker import Envelope
from socketio_server.cluster.redis import broker as broker_module
from socketio_server.cluster.redis.broker import (
    MAX_MORE_TOPICS,
    PING_INTERVAL,
    SWEEP_INTERVAL,
    RedisBroker,
)
from socketio_server.cluster.redis.connections import RedisConnection
from socketio_server.cluster.redis.sender import Sender
from socketio_server.engine.transports.base import Outgoing
from socketio_server.net.refusals import Refusals
from socketio_server.net.statistics import Snapshot
from socketio_server.options import Options
from socketio_server.protocol import cluster_requests
from socketio_server.protocol.cluster_requests import (
    ACKNOWLEDGEMENT,
    CLIENT_COUNT,
    Disconnect,
    FetchSockets,
    Response,
    ServerEvent,
    SocketFields,
    decode_request,
    encode_request,
    encode_response,
)
from socketio_server.protocol.redis_adapter import (
    Broadcast,
    Opts,
    decode_broadcast,
    encode_broadcast,
)
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


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    redis: list[FakeRedis] = []
    monkeypatch.setattr(broker_module, "connector", lambda *args: lambda: redis[0].connect())
    cluster = Cluster()
    redis.append(cluster.redis)
    yield cluster
    cluster.broker.stop(1.0)


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


class TestPublishing:
    def test_local_clients_come_first(self, cluster: Cluster) -> None:
        cluster.broker.publish(envelope(1))
        assert cluster.node.delivered == [envelope(1)]
        assert cluster.redis.published == []

        cluster.start()
        ((channel, message),) = cluster.redis.published
        broadcast, data = decode_broadcast(message)
        assert channel == BASE
        assert (data, broadcast.rooms) == (["news", 1], ())

    @pytest.mark.parametrize(
        ("sent", "channel", "rooms"),
        [
            (envelope(channels=("room",)), ROOM, ("room",)),
            (envelope(channels=("a", "b")), BASE, ("a", "b")),
            (envelope(channels=(), socket_ids=(ID,)), BASE + ID.encode() + b"#", (ID,)),
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
        assert decode_broadcast(message)[0].rooms == rooms

    def test_what_is_for_nobody_is_not_published(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.publish(envelope(channels=()))
        settle()
        assert cluster.redis.published == []

    def test_what_can_not_be_encoded_reaches_nobody(self, cluster: Cluster) -> None:
        with pytest.raises(TypeError):
            cluster.broker.publish(envelope(object()))
        assert cluster.node.delivered == []

    def test_what_other_processes_would_refuse_reaches_nobody(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.node.max_size = 1000
        with pytest.raises(ValueError, match="too large"):
            cluster.broker.publish(envelope("x" * 1000))
        settle()
        assert (cluster.node.delivered, cluster.redis.published) == ([], [])

    def test_is_encoded_before_its_arguments_may_change(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While local clients get it, other greenlets may run."""
        items = [1]
        monkeypatch.setattr(cluster.node, "deliver_encoded", lambda *args, **kw: items.clear())
        cluster.start()
        cluster.broker.publish(envelope(items))
        settle()
        ((_, message),) = cluster.redis.published
        assert decode_broadcast(message)[1] == ["news", [1]]

    def test_others_get_messages_in_the_order_of_the_clients_here(self, cluster: Cluster) -> None:
        """A sender may have to wait while the clients here get its message."""
        cluster.start()
        deliver = cluster.node.deliver_encoded

        def deliver_and_let_others_send(*args: Any, **kwargs: Any) -> None:
            cluster.node.deliver_encoded = deliver  # type: ignore[method-assign]
            deliver(*args, **kwargs)
            cluster.broker.publish(envelope(2))

        cluster.node.deliver_encoded = deliver_and_let_others_send  # type: ignore[method-assign]
        cluster.broker.publish(envelope(1))
        settle()
        assert cluster.node.delivered == [envelope(1), envelope(2)]
        published = [decode_broadcast(message)[1] for _, message in cluster.redis.published]
        assert published == [[envelope(n).event_name, *envelope(n).args] for n in (1, 2)]


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
        assert delivered.socket_ids == (ID,)

    def test_what_is_for_a_socket_elsewhere_is_not_even_decoded(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.hear("news", rooms=(ID,))
        assert cluster.node.delivered == []
        assert cluster.count("broker_heard") == 0

    @pytest.mark.parametrize("rooms", [("c",), ("c", "d"), (ID, "c")])
    def test_what_is_for_rooms_that_nobody_here_is_in_is_not_even_decoded(
        self, cluster: Cluster, rooms: tuple[str, ...]
    ) -> None:
        cluster.start()
        cluster.redis.send(b"message", BASE, undecodable(rooms))
        settle()
        assert cluster.refusals.counts == {}

    def test_what_is_for_everyone_in_a_namespace_without_clients_is_not_even_decoded(
        self, cluster: Cluster
    ) -> None:
        cluster.node.wanted.clear()
        cluster.start()
        cluster.redis.send(b"message", BASE, undecodable(()))
        settle()
        assert cluster.refusals.counts == {}

    def test_what_takes_too_much_memory_is_refused(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(broker_module, "LARGE", 100)
        monkeypatch.setattr(cluster_requests, "MAX_DECODED", 30_000)
        cluster.start()
        cluster.publish_as_others("x" * 5_000)
        cluster.publish_as_others([[]] * 5_000)
        settle()
        assert len(cluster.node.delivered) == 1
        assert cluster.refusals.counts == {"cluster": 1}

    def test_others_get_turns_while_a_large_message_is_read(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster.start()
        turns = cluster.patience.turns

        def slow(data: Raw, pause: Callable[[], None]) -> list[object]:
            for _ in range(10):
                cluster.now += 1.0
                pause()
            return ["news"]

        monkeypatch.setattr(broker_module, "LARGE", 100)
        monkeypatch.setattr(broker_module, "decode_event", slow)
        cluster.publish_as_others("x" * 5_000)
        settle()
        assert cluster.patience.turns == turns + 10
        assert len(cluster.node.delivered) == 1

    def test_what_comes_after_a_long_silence_is_delivered_at_once(self, cluster: Cluster) -> None:
        cluster.start()
        turns = cluster.patience.turns
        cluster.now += 3600.0
        cluster.hear("first")
        cluster.hear("second")
        assert cluster.patience.turns == turns
        assert len(cluster.node.delivered) == 2

    def test_others_get_turns_however_many_messages_come_one_after_another(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """To wait for messages is no work, and gives no turn if the next one is there already."""
        cluster.start()
        turns = cluster.patience.turns

        def read(message: bytes) -> tuple[Broadcast, object]:
            cluster.now += 0.006
            return decode_broadcast(message)

        monkeypatch.setattr(broker_module, "decode_broadcast", read)
        for number in range(4):
            cluster.now += 10.0
            cluster.hear(number)
        assert cluster.patience.turns == turns + 2

    def test_its_own_messages_are_ignored(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.publish(envelope(1))
        settle()
        ((channel, message),) = cluster.redis.published
        cluster.redis.send(b"message", channel, message)
        settle()
        assert cluster.node.delivered == [envelope(1)]

    def test_what_arrives_together_for_the_same_is_written_together(self, cluster: Cluster) -> None:
        cluster.start()
        for number, room in enumerate(("a", "a", "b", "a")):
            cluster.publish_as_others(number, rooms=(room, "c"))
        settle()
        assert cluster.node.writes == [2, 1, 1]
        assert [each.args for each in cluster.node.delivered] == [(0,), (1,), (2,), (3,)]

    def test_events_that_may_be_lost_are_written_one_by_one(self, cluster: Cluster) -> None:
        cluster.start()
        for volatile in (False, True, True, False):
            cluster.publish_as_others(volatile=volatile)
        settle()
        assert cluster.node.writes == [1, 1, 1, 1]
        assert [each.volatile for each in cluster.node.delivered] == [False, True, True, False]

    def test_what_can_not_be_read_stops_nothing_around_it(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.publish_as_others(1)
        cluster.redis.send(b"message", BASE, b"garbage")
        cluster.publish_as_others(2)
        settle()
        assert [each.args for each in cluster.node.delivered] == [(1,), (2,)]

    def test_a_request_comes_after_the_events_before_it(self, cluster: Cluster) -> None:
        delivered: list[int] = []
        cluster.operations.disconnect = lambda *args, **options: delivered.append(  # type: ignore[method-assign]
            len(cluster.node.delivered)
        )
        cluster.start()
        cluster.publish_as_others()
        request = encode_request(Disconnect(uid="others", opts=Opts(rooms=["a"])))
        cluster.redis.send(b"message", REQUESTS, request)
        cluster.publish_as_others()
        settle()
        assert delivered == [1]
        assert len(cluster.node.delivered) == 2

    def test_others_get_a_turn_between_messages_that_take_long(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster.start()
        turns = cluster.patience.turns
        encode = cluster.node.encode

        def slow(*args: Any) -> Outgoing:
            cluster.now += 1.0
            return encode(*args)

        monkeypatch.setattr(cluster.node, "encode", slow)
        for _ in range(3):
            cluster.publish_as_others()
        settle()
        assert cluster.patience.turns == turns + 3
        assert cluster.node.writes == [1, 1, 1]

    @pytest.mark.parametrize("message", [b"", b"garbage", b"x" * 10_001])
    def test_what_can_not_be_read_is_refused(self, cluster: Cluster, message: bytes) -> None:
        cluster.start()
        cluster.redis.send(b"message", BASE, message)
        settle()
        assert cluster.refusals.counts == {"cluster": 1}


class TestStarting:
    def test_waits_for_both_connections(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The start line of the log says whether they are made."""
        use = Sender.use

        def use_later(sender: Sender, connection: RedisConnection) -> None:
            for _ in range(20):  # turns of the loop, in which the listener connects
                gevent.sleep(0)
            use(sender, connection)

        monkeypatch.setattr(Sender, "use", use_later)
        cluster.broker.start(["/"])
        assert cluster.count("broker_connected") == 1

    def test_ends_where_none_can_be_made(self, cluster: Cluster) -> None:
        cluster.redis.is_gone = True
        cluster.broker.start(["/"])
        assert cluster.count("broker_connected") == 0


class TestListening:
    def test_it_begins_with_the_namespaces_of_the_handlers(self, cluster: Cluster) -> None:
        cluster.start()
        assert cluster.redis.subscriptions == cluster.permanent

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
        assert cluster.redis.subscriptions == cluster.permanent

    def test_a_channel_that_nobody_wants_is_left_after_a_while(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.node.wanted.add(("/", "wanted"))
        for channel in ("room", "wanted"):
            cluster.broker.listen("/", channel)
        cluster.pass_time(SWEEP_INTERVAL + 1)
        assert ROOM in cluster.redis.subscriptions

        cluster.pass_time(SWEEP_INTERVAL + 1)
        assert cluster.redis.subscriptions == cluster.permanent | {b"socket.io#/#wanted#"}

    def test_one_that_somebody_was_on_meanwhile_is_kept_as_long_again(
        self, cluster: Cluster
    ) -> None:
        cluster.start()
        cluster.broker.listen("/", "room")
        cluster.broker.listen("/new")
        before = set(cluster.redis.subscriptions)
        cluster.pass_time(SWEEP_INTERVAL + 1)
        cluster.broker.listen("/", "room")
        cluster.broker.listen("/new")
        cluster.pass_time(SWEEP_INTERVAL + 1)
        assert cluster.redis.subscriptions == before

        cluster.pass_time(SWEEP_INTERVAL + 1)
        assert cluster.redis.subscriptions == cluster.permanent

    def test_names_that_nobody_wants_are_left_at_once_when_there_are_very_many(
        self, cluster: Cluster
    ) -> None:
        """Clients choose them."""
        cluster.start()
        cluster.node.wanted.update({("/", "wanted"), ("/wanted", None)})
        cluster.broker.listen("/", "wanted", wait=False)
        cluster.broker.listen("/wanted", wait=False)
        kept = len(cluster.permanent) * 2 + 1
        for number in range(4):
            for name in range(MAX_MORE_TOPICS // 2):
                cluster.broker.listen("/", f"{number} {name}", wait=False)
                if name % 100 == 0:
                    cluster.broker.listen(f"/{number} {name}", wait=False)
            settle()
            cluster.pass_time(0.1)
            assert len(cluster.redis.subscriptions) <= MAX_MORE_TOPICS + kept
        cluster.pass_time(SWEEP_INTERVAL + 1)
        cluster.pass_time(SWEEP_INTERVAL + 1)
        assert len(cluster.redis.subscriptions) == kept
        assert {b"socket.io#/wanted#", b"socket.io#/#wanted#"} < cluster.redis.subscriptions

    def test_a_channel_that_was_left_can_be_listened_to_again(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.listen("/", "room")
        for _ in range(2):
            cluster.pass_time(SWEEP_INTERVAL + 1)
        cluster.broker.listen("/", "room")
        assert ROOM in cluster.redis.subscriptions


class TestLosingOneConnection:
    """Redis may have none left for one, or the network may forget it."""

    def test_that_sends_leaves_the_other_listening_and_subscribing(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.lose_sender()
        cluster.hear("news", 1)
        cluster.broker.listen("/", "room")

        assert cluster.node.delivered[-1].args == (1,)
        assert ROOM in cluster.redis.subscriptions
        assert cluster.broker._listener.is_confirmed(ROOM)

    def test_that_sends_leaves_the_other_tried_from_time_to_time(self, cluster: Cluster) -> None:
        """Redis says nothing where nothing is published, and who is silent counts as lost."""
        cluster.start()
        cluster.lose_sender()
        before = cluster.redis.pings_of_listeners
        cluster.pass_time(PING_INTERVAL + 1)
        assert cluster.redis.pings_of_listeners == before + 1

    def test_that_listens_leaves_the_other_sending(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.lose_listener()
        cluster.broker.publish(envelope(1))
        settle()
        assert decode_broadcast(cluster.redis.published[-1][1])[1] == ["news", 1]

    def test_that_listens_leaves_the_other_tried_from_time_to_time(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.lose_listener()
        before = cluster.redis.pings_of_senders
        cluster.pass_time(PING_INTERVAL + 1)
        assert cluster.redis.pings_of_senders == before + 1

    def test_lets_the_other_be_tried_at_once(self, cluster: Cluster) -> None:
        """Else Redis seems to be back while messages go to one that has ended."""
        cluster.start()
        before = cluster.redis.pings_of_senders
        cluster.lose_listener()
        assert cluster.redis.pings_of_senders == before + 1

    def test_that_listens_keeps_nobody_waiting(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.lose_listener()
        cluster.broker.listen("/", "room")

    @pytest.mark.parametrize("lose", [Cluster.lose_sender, Cluster.lose_listener])
    def test_keeps_nobody_waiting_for_replies(
        self, cluster: Cluster, lose: Callable[[Cluster], None]
    ) -> None:
        cluster.start()
        lose(cluster)
        assert cluster.broker.ask("/", fetch(), 5.0) == ([], 1)

    @pytest.mark.parametrize(
        ("lose", "can_send", "can_receive"),
        [
            (lambda cluster: None, 1, 1),
            (Cluster.lose_sender, 0, 1),
            (Cluster.lose_listener, 1, 0),
        ],
    )
    def test_is_counted(
        self,
        cluster: Cluster,
        lose: Callable[[Cluster], None],
        can_send: int,
        can_receive: int,
    ) -> None:
        assert cluster.count("broker_connected") == 0
        cluster.start()
        lose(cluster)
        assert cluster.count("broker_can_send") == can_send
        assert cluster.count("broker_can_receive") == can_receive
        assert cluster.count("broker_connected") == int(can_send and can_receive)
        assert cluster.count("broker_losses") == int(not (can_send and can_receive))

    def test_a_mistake_of_ours_does_not_end_the_care_for_both(
        self,
        cluster: Cluster,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        cluster.start()
        with monkeypatch.context() as patch:
            patch.setattr(cluster.broker._listener, "flush", lambda: 1 / 0)
            cluster.broker.listen("/", "one", wait=False)
            settle()
        assert caplog.messages == ["Internal error in a connection to Redis"]

        cluster.broker.listen("/", "room")
        assert ROOM in cluster.redis.subscriptions


def fetch() -> FetchSockets:
    return FetchSockets(request_id="r", opts=Opts(rooms=[]))


class TestAsking:
    def ask(self, cluster: Cluster, *, servers: int) -> "gevent.Greenlet[..., Any]":
        """Ask, in a cluster of so many servers."""
        cluster.redis.servers = servers
        asking = gevent.spawn(cluster.broker.ask, "/", fetch(), 5.0)
        settle()
        return asking

    def respond(self, cluster: Cluster, channel: bytes, **fields: Any) -> None:
        response = encode_response(Response(**{"request_id": "r", **fields}))
        cluster.redis.send(b"message", channel, response)
        settle()

    def test_it_publishes_a_request_and_waits_for_all_servers(self, cluster: Cluster) -> None:
        cluster.start()
        asking = self.ask(cluster, servers=3)
        ((channel, message),) = cluster.redis.published
        assert channel == REQUESTS
        assert decode_request(message).uid == cluster.broker._uid

        self.respond(cluster, RESPONSES, sockets=["a"])
        self.respond(cluster, RESPONSES, request_id="another's", sockets=["x"])
        assert not asking.ready()
        self.respond(cluster, cluster.own_responses, sockets=["b"])
        found = asking.get(block=False)
        assert [response.sockets for response in found.received] == [["a"], ["b"]]
        assert found.missing == 0

    def test_acknowledgements_are_passed_on_undecoded_as_they_arrive(
        self, cluster: Cluster
    ) -> None:
        """Whoever waits for them decodes them in its turn."""
        cluster.start()
        cluster.redis.servers = 2
        taken: list[Response] = []
        asking = gevent.spawn(cluster.broker.ask, "/", fetch(), 5.0, taken.append)
        settle()
        malformed = Raw(b"\x91" * 200 + b"\x90")
        self.respond(cluster, RESPONSES, type=CLIENT_COUNT, client_count=1)
        self.respond(cluster, RESPONSES, type=ACKNOWLEDGEMENT, packet=malformed)
        assert [response.packet for response in taken] == [malformed]
        found = asking.get(block=False)
        assert [response.client_count for response in found.received] == [1]

    def test_responses_that_take_too_much_memory_are_refused(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster_requests, "MAX_DECODED", 30_000)
        cluster.start()
        asking = self.ask(cluster, servers=3)
        self.respond(cluster, RESPONSES, data=[[]] * 2_000)
        self.respond(cluster, RESPONSES, sockets=[SocketFields(id="a")] * 200)
        assert cluster.refusals.counts == {"cluster": 2}
        self.respond(cluster, RESPONSES, data="x" * 4_000)
        self.respond(cluster, RESPONSES, sockets=["a"])
        assert len(asking.get(block=False).received) == 2

    def test_others_get_turns_while_a_response_is_read(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster.start()
        asking = self.ask(cluster, servers=2)
        turns = cluster.patience.turns

        def slow(data: bytes, pause: Callable[[], None]) -> Response:
            for _ in range(10):
                cluster.now += 1.0
                pause()
            return Response(request_id="r")

        monkeypatch.setattr(broker_module, "decode_response", slow)
        self.respond(cluster, RESPONSES)
        assert cluster.patience.turns == turns + 10
        assert len(asking.get(block=False).received) == 1

    @pytest.mark.parametrize("reply", [5, None, [], [b"a", b"b"], [b"a", ResponseError("ERR")]])
    def test_what_is_no_count_of_servers_costs_the_connection_without_a_traceback(
        self,
        cluster: Cluster,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        reply: Any,
    ) -> None:
        cluster.start()
        obey = cluster.redis.obey

        def count_wrongly(connection: Any, words: list[bytes]) -> None:
            if words[0] == b"PUBSUB":
                connection.answers.put(reply)
            else:
                obey(connection, words)

        monkeypatch.setattr(cluster.redis, "obey", count_wrongly)
        assert self.ask(cluster, servers=3).get(block=False) == ([], 1)
        assert "is lost for sending: it has sent what is no answer of Redis" in caplog.messages[0]
        assert caplog.records[0].exc_info is None

    def test_alone_it_does_not_wait(self, cluster: Cluster) -> None:
        cluster.start()
        assert self.ask(cluster, servers=1).get(block=False) == ([], 0)

    def test_what_has_come_is_returned_with_what_is_missing(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster.start()
        monkeypatch.setattr(FakePatience, "wait", lambda *args: gevent.idle())
        assert self.ask(cluster, servers=3).get() == ([], 2)

    def test_a_question_that_finds_no_room_is_not_waited_for(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.redis.servers = 3
        question = FetchSockets(request_id="r", opts=Opts(rooms=["x" * 16_000_000]))
        asking = gevent.spawn(cluster.broker.ask, "/", question, 5.0)
        settle()
        assert asking.get(block=False) == ([], 1)

    def test_in_another_namespace_it_listens_to_the_responses(self, cluster: Cluster) -> None:
        cluster.start()
        assert gevent.spawn(cluster.broker.ask, "/new", fetch(), 5.0).get() == ([], 0)
        assert b"socket.io-response#/new#" in cluster.redis.subscriptions

    def test_telling_does_not_wait(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.tell("/", Disconnect(opts=Opts(rooms=["a"])))
        settle()
        ((channel, message),) = cluster.redis.published
        assert channel == REQUESTS
        assert decode_request(message) == Disconnect(
            uid=cluster.broker._uid, opts=Opts(rooms=["a"])
        )


class TestRequests:
    def test_of_others_are_done(self, cluster: Cluster) -> None:
        cluster.start()
        request = encode_request(Disconnect(uid="others", opts=Opts(rooms=["a"])))
        cluster.redis.send(b"message", REQUESTS, request)
        settle()
        ((done, recipients, close),) = cluster.operations.done
        assert (done, recipients.channels, close) == ("disconnect", ("a",), False)

    def test_of_its_own_are_ignored(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.tell("/", Disconnect(opts=Opts(rooms=["a"])))
        settle()
        ((channel, message),) = cluster.redis.published
        cluster.redis.send(b"message", channel, message)
        settle()
        assert cluster.operations.done == []

    def test_that_take_too_much_memory_are_refused(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster_requests, "MAX_DECODED", 30_000)
        cluster.start()
        for data in (["news", "x" * 4_000], ["news", [[]] * 2_000]):
            request = encode_request(ServerEvent(uid="others", data=data))
            cluster.redis.send(b"message", REQUESTS, request)
        settle()
        assert len(cluster.operations.done) == 1
        assert cluster.refusals.counts == {"cluster": 1}

    def test_responses_that_nobody_waits_for_are_not_even_decoded(self, cluster: Cluster) -> None:
        cluster.start()
        deep = b"[" * 200 + b"]" * 200
        cluster.redis.send(b"message", RESPONSES, b'{"requestId":"other","data":' + deep + b"}")
        settle()
        assert cluster.refusals.counts == {}

    @pytest.mark.parametrize("channel", [REQUESTS, RESPONSES])
    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"garbage",
            b"x" * 10_001,
            b'{"type":4,"opts":"x"}',
            b'{"type":4,"opts":{"rooms":[["a"]]}}',
            b'{"type":2,"opts":{"rooms":[]},"rooms":"x"}',
            b'{"type":6,"data":["a",' + b"[" * 200 + b"]" * 200 + b"]}",
        ],
    )
    def test_that_can_not_be_read_do_nothing_and_are_counted(
        self, cluster: Cluster, channel: bytes, message: bytes
    ) -> None:
        cluster.start()
        cluster.redis.send(b"message", channel, message)
        settle()
        assert cluster.operations.done == []
        assert cluster.refusals.counts == {"cluster": 1}
