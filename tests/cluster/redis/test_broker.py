"""The broker of a cluster: what it publishes, what it hears, and what it listens to."""

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from msgspec import Raw

from socketio_server.cluster.broker import Envelope
from socketio_server.cluster.redis import broker as broker_module
from socketio_server.cluster.redis.broker import MAX_MORE_TOPICS, SWEEP_INTERVAL
from socketio_server.cluster.redis.connections import RedisConnection
from socketio_server.cluster.redis.sender import Sender
from socketio_server.engine.transports.base import Outgoing
from socketio_server.protocol import cluster_requests
from socketio_server.protocol.cluster_requests import Disconnect, encode_request
from socketio_server.protocol.redis_adapter import Broadcast, Opts, decode_broadcast
from tests.cluster.redis.cluster import BASE, ID, REQUESTS, ROOM, Cluster, envelope, undecodable
from tests.fakes.hub import settle


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
