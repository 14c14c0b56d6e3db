"""Sending to Redis: bounded, in order, and waiting for nobody."""

from typing import Any

import pytest
from redis import ConnectionError, ResponseError

from socketio_server.cluster.redis.connections import pack
from socketio_server.cluster.redis.link import Link
from socketio_server.cluster.redis.sender import MAX_BATCH, Query, Sender
from tests.cluster.fakes import FakeConnection

LIMIT = 10_000


@pytest.fixture
def link() -> Link:
    return Link("redis://localhost", lambda: 100.0)


@pytest.fixture
def turns() -> list[int]:
    """The bytes that waited at each turn of the sender."""
    return []


@pytest.fixture
def sender(link: Link, turns: list[int]) -> Sender:
    found = Sender(link, LIMIT, lambda: turns.append(found.queued_bytes))
    return found


def send(sender: Sender, connection: FakeConnection) -> None:
    """Let the sender send what waits, and end."""
    sender.close()
    sender.use(connection)


class TestSending:
    def test_messages_are_sent_in_order(self, sender: Sender) -> None:
        connection = FakeConnection()
        connection.answers.extend([1, 0])
        sender.publish(b"a", b"one")
        sender.publish(b"b", b"two")
        send(sender, connection)

        assert connection.sent == pack(b"PUBLISH", b"a", b"one") + pack(b"PUBLISH", b"b", b"two")
        assert (sender.sent, sender.unsent, sender.queued_bytes) == (2, 0, 0)

    def test_the_end_waits_until_all_is_sent(self, sender: Sender, link: Link) -> None:
        count = MAX_BATCH + 1
        connection = FakeConnection()
        connection.answers.extend([1] * count)
        connection.at_once = MAX_BATCH // 10
        for number in range(count):
            sender.publish(b"a", b"%d" % number)
        send(sender, connection)

        assert sender.sent == count
        assert link.stopping.is_set()

    def test_each_turn_is_announced_before_it(self, sender: Sender, turns: list[int]) -> None:
        connection = FakeConnection()
        connection.answers.append(1)
        sender.publish(b"a", b"one")
        waiting = sender.queued_bytes
        send(sender, connection)

        assert turns == [waiting]

    def test_what_redis_refuses_is_counted_and_the_rest_goes_on(
        self, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = FakeConnection()
        connection.answers.extend([ResponseError("NOPERM"), 1, ResponseError("NOPERM")])
        for _ in range(3):
            sender.publish(b"a", b"one")
        send(sender, connection)

        assert (sender.sent, sender.unsent) == (1, 2)
        assert [record.getMessage() for record in caplog.records] == [
            "Redis (redis://localhost) has refused a command: NOPERM"
        ]


class TestQueries:
    """Commands whose replies somebody waits for."""

    def test_are_sent_in_order_with_messages_and_count_as_none(self, sender: Sender) -> None:
        connection = FakeConnection()
        connection.answers.extend([1, [b"a", 2], 0])
        connection.at_once = 2
        replies: list[Any] = []
        sender.publish(b"a", b"one")
        sender.query(Query(pack(b"PUBSUB", b"NUMSUB", b"a"), replies.append))
        sender.publish(b"b", b"two")
        send(sender, connection)

        assert connection.sent == b"".join(
            [
                pack(b"PUBLISH", b"a", b"one"),
                pack(b"PUBSUB", b"NUMSUB", b"a"),
                pack(b"PUBLISH", b"b", b"two"),
            ]
        )
        assert replies == [[b"a", 2], None]
        assert (sender.sent, sender.unsent, sender.queued_bytes) == (2, 0, 0)

    def test_have_no_reply_if_the_connection_is_lost(self, sender: Sender) -> None:
        replies: list[Any] = []
        sender.query(Query(pack(b"PUBSUB", b"NUMSUB", b"a"), replies.append))
        with pytest.raises(ConnectionError):
            sender.use(FakeConnection())
        sender.query(Query(pack(b"PUBSUB", b"NUMSUB", b"b"), replies.append))
        sender.connection_failed()

        assert replies == [None, None]
        assert sender.unsent == 0

    def test_a_ping_has_a_reply_that_nobody_waits_for(self, sender: Sender) -> None:
        connection = FakeConnection()
        connection.answers.append(b"PONG")
        sender.ping()
        send(sender, connection)

        assert connection.sent == pack(b"PING")
        assert (sender.sent, sender.unsent) == (0, 0)


class TestTheBound:
    def test_what_is_beyond_it_is_dropped_and_counted(self, sender: Sender) -> None:
        sender.publish(b"a", b"x" * (LIMIT - 100))
        sender.publish(b"a", b"y" * 100)

        assert sender.unsent == 1
        assert sender.queued_bytes < LIMIT

    def test_it_counts_whole_commands(self, sender: Sender) -> None:
        sender.publish(b"a", b"x" * LIMIT)

        assert (sender.unsent, sender.queued_bytes) == (1, 0)

    def test_from_half_of_it_on_the_queue_is_crowded(self, sender: Sender) -> None:
        sender.publish(b"a", b"x" * (LIMIT // 2 - 100))
        assert not sender.is_crowded

        sender.publish(b"a", b"x" * 100)
        assert sender.is_crowded


class TestALostConnection:
    def test_what_redis_has_not_confirmed_counts_as_not_sent(self, sender: Sender) -> None:
        connection = FakeConnection()
        connection.answers.append(1)
        sender.publish(b"a", b"one")
        sender.publish(b"a", b"two")
        with pytest.raises(ConnectionError):
            sender.use(connection)

        assert (sender.sent, sender.unsent) == (1, 1)

    def test_what_waits_and_what_comes_is_dropped(self, sender: Sender) -> None:
        sender.publish(b"a", b"one")
        sender.connection_failed()
        sender.publish(b"a", b"two")

        assert (sender.unsent, sender.queued_bytes) == (2, 0)

    def test_what_comes_after_it_is_back_is_sent(self, sender: Sender) -> None:
        sender.connection_failed()
        connection = FakeConnection()
        sender.close()
        sender.use(connection)
        connection.answers.append(1)
        sender.publish(b"a", b"one")
        sender.use(connection)

        assert sender.sent == 1

    def test_it_does_not_keep_the_end_waiting(self, sender: Sender, link: Link) -> None:
        sender.close()
        sender.connection_failed()

        assert link.stopping.is_set()

    def test_one_that_was_lost_before_does_not_either(self, sender: Sender, link: Link) -> None:
        sender.connection_failed()
        sender.close()

        assert link.stopping.is_set()
