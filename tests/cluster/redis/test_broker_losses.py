"""A broker that has lost one of its connections to Redis."""

from collections.abc import Callable

import pytest

from socketio_server.cluster.redis.broker import PING_INTERVAL
from socketio_server.protocol.redis_adapter import decode_broadcast
from tests.cluster.redis.cluster import ROOM, Cluster, envelope, fetch
from tests.fakes.hub import settle


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
