"""Sending to Redis: bounded, in order, and waiting for nobody."""

from typing import Any

import pytest
from redis import ConnectionError, InvalidResponse, ResponseError

from socketio_server.cluster.redis.connections import pack
from socketio_server.cluster.redis.link import Link
from socketio_server.cluster.redis.sender import MAX_BATCH, Query, Sender
from socketio_server.net.refusals import Refusals
from tests.cluster.fakes import FakeConnection

LIMIT = 10_000


class Welcoming(FakeConnection):
    """A connection on which Redis answers the first command, by which it is tried."""

    def __init__(self) -> None:
        super().__init__()
        self._was_tried = False

    def receive(self) -> list[Any]:
        if self._was_tried:
            return super().receive()
        self._was_tried = True
        return [b"PONG"]


@pytest.fixture
def link() -> Link:
    return Link("redis://localhost", lambda: 100.0)


@pytest.fixture
def sender(link: Link) -> Sender:
    return Sender(link, LIMIT, b"socket.io*", Refusals(lambda: 100.0))


def send(sender: Sender, connection: FakeConnection) -> None:
    """Let the sender send what waits, and end."""
    sender.close()
    sender.use(connection)


def lose(sender: Sender) -> None:
    """Let the connection be lost."""
    sender.is_lost = True
    sender.connection_failed()


class TestSending:
    def test_messages_are_sent_in_order(self, sender: Sender) -> None:
        connection = Welcoming()
        connection.answers.extend([1, 0])
        sender.publish(b"a", b"one")
        sender.publish(b"b", b"two")
        send(sender, connection)

        assert connection.sent == b"".join(
            [pack(b"PING"), pack(b"PUBLISH", b"a", b"one"), pack(b"PUBLISH", b"b", b"two")]
        )
        assert (sender.sent, sender.unsent, sender.queued_bytes) == (2, 0, 0)

    def test_the_end_waits_until_all_is_sent(self, sender: Sender, link: Link) -> None:
        count = MAX_BATCH + 1
        connection = Welcoming()
        connection.answers.extend([1] * count)
        connection.at_once = MAX_BATCH // 10
        for number in range(count):
            sender.publish(b"a", b"%d" % number)
        send(sender, connection)

        assert sender.sent == count
        assert link.stopping.is_set()

    def test_what_redis_refuses_is_counted_and_the_rest_goes_on(
        self, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = Welcoming()
        connection.answers.extend([ResponseError("ERR"), 1, ResponseError("ERR")])
        for _ in range(3):
            sender.publish(b"a", b"one")
        send(sender, connection)

        assert (sender.sent, sender.unsent) == (1, 2)
        assert caplog.messages == [
            "Redis (redis://localhost) has refused a command: PUBLISH 'a': ERR"
        ]


class TestMissingAccessRules:
    def test_are_named_for_a_message(
        self, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = Welcoming()
        connection.answers.append(ResponseError("NOPERM no permissions"))
        sender.publish(b"a", b"one")
        send(sender, connection)

        assert caplog.messages == [
            "Redis (redis://localhost) has refused a command: PUBLISH 'a': NOPERM no permissions. "
            "Its user needs the access rules +publish &socket.io*"
        ]

    def test_are_named_for_a_query(self, sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
        connection = Welcoming()
        connection.answers.append(ResponseError("NOPERM no permissions"))
        sender.query(Query(pack(b"PUBSUB", b"NUMSUB", b"a"), lambda reply: None))
        send(sender, connection)

        assert caplog.messages == [
            "Redis (redis://localhost) has refused a command: PUBSUB: NOPERM no permissions. "
            "Its user needs the access rules +pubsub"
        ]

    def test_end_no_connection(self, sender: Sender) -> None:
        connection = FakeConnection()
        connection.answers.append(ResponseError("NOPERM no permissions"))
        sender.close()
        sender.use(connection)

        assert sender.is_connected

    def test_but_a_missing_password_leaves_it_unconnected(self, sender: Sender) -> None:
        connection = FakeConnection()
        connection.answers.append(ResponseError("NOAUTH Authentication required."))
        with pytest.raises(ResponseError, match="NOAUTH"):
            sender.use(connection)

        assert not sender.is_connected


class TestQueries:
    """Commands whose replies somebody waits for."""

    def test_are_sent_in_order_with_messages_and_count_as_none(self, sender: Sender) -> None:
        connection = Welcoming()
        connection.answers.extend([1, [b"a", 2], 0])
        connection.at_once = 2
        replies: list[Any] = []
        sender.publish(b"a", b"one")
        sender.query(Query(pack(b"PUBSUB", b"NUMSUB", b"a"), replies.append))
        sender.publish(b"b", b"two")
        send(sender, connection)

        assert connection.sent == b"".join(
            [
                pack(b"PING"),
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
        connection = Welcoming()
        with pytest.raises(ConnectionError):
            sender.use(connection)
        sender.query(Query(pack(b"PUBSUB", b"NUMSUB", b"b"), replies.append))
        lose(sender)
        sender.query(Query(pack(b"PUBSUB", b"NUMSUB", b"c"), replies.append))

        assert replies == [None, None, None]
        assert sender.unsent == 0

    def test_a_ping_has_a_reply_that_nobody_waits_for(self, sender: Sender) -> None:
        connection = Welcoming()
        connection.answers.append(b"PONG")
        sender.ping()
        send(sender, connection)

        assert connection.sent == 2 * pack(b"PING")
        assert (sender.sent, sender.unsent) == (0, 0)


class TestWhatRedisDoesNotSend:
    """It is another service, or the replies are out of step."""

    @pytest.mark.parametrize("reply", [b"OK", None, [], [b"a", 1], {}], ids=repr)
    def test_ends_the_connection_in_place_of_an_answer_to_a_message(
        self, sender: Sender, reply: Any
    ) -> None:
        connection = Welcoming()
        connection.answers.extend([1, reply])
        sender.publish(b"a", b"one")
        sender.publish(b"a", b"two")
        with pytest.raises(InvalidResponse, match="no answer of Redis"):
            send(sender, connection)
        assert sender.sent + sender.unsent == 2

    @pytest.mark.parametrize("reply", [b"OK", 1, None, []], ids=repr)
    def test_ends_the_connection_in_place_of_an_answer_to_a_ping(
        self, sender: Sender, reply: Any
    ) -> None:
        connection = FakeConnection()
        connection.answers.append(reply)
        with pytest.raises(InvalidResponse):
            sender.use(connection)
        assert not sender.is_connected

    def test_ends_the_connection_behind_the_last_answer(self, sender: Sender) -> None:
        connection = Welcoming()
        connection.answers.extend([1, 1])
        sender.publish(b"a", b"one")
        with pytest.raises(InvalidResponse):
            send(sender, connection)


class TestTheBound:
    def test_what_is_beyond_it_is_dropped_and_counted(self, sender: Sender) -> None:
        sender.publish(b"a", b"x" * (LIMIT - 100))
        sender.publish(b"a", b"y" * 100)

        assert sender.unsent == 1
        assert sender.queued_bytes < LIMIT

    def test_it_counts_whole_commands(self, sender: Sender) -> None:
        sender.publish(b"a", b"x" * LIMIT)

        assert (sender.unsent, sender.queued_bytes) == (1, 0)

    def test_who_publishes_learns_whether_the_message_is_queued(self, sender: Sender) -> None:
        assert sender.publish(b"a", b"x")
        assert not sender.publish(b"a", b"x" * LIMIT)
        lose(sender)
        assert not sender.publish(b"a", b"x")

    def test_what_finds_no_room_is_logged_once_in_a_while(
        self, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        sender.publish(b"a", b"x")
        size = len(pack(b"PUBLISH", b"a", b"x"))
        for _ in range(2):
            sender.publish(b"a", b"x" * LIMIT)
        assert caplog.messages == [
            "A message to other processes was dropped, because it takes "
            f"{len(pack(b'PUBLISH', b'a', b'x' * LIMIT))} bytes and {size} wait for Redis: no more "
            f"than {LIMIT} may (SOCKETIO_BROKER_MAX_QUEUED_BYTES)"
        ]

    def test_what_is_dropped_while_redis_is_lost_is_not_logged_one_by_one(
        self, sender: Sender, caplog: pytest.LogCaptureFixture
    ) -> None:
        lose(sender)
        sender.publish(b"a", b"x" * LIMIT)
        assert caplog.messages == []

    def test_from_half_of_it_on_the_queue_is_crowded(self, sender: Sender) -> None:
        sender.publish(b"a", b"x" * (LIMIT // 2 - 100))
        assert not sender.is_crowded

        sender.publish(b"a", b"x" * 100)
        assert sender.is_crowded


class TestALostConnection:
    def test_what_redis_has_not_confirmed_counts_as_not_sent(self, sender: Sender) -> None:
        connection = Welcoming()
        connection.answers.append(1)
        sender.publish(b"a", b"one")
        sender.publish(b"a", b"two")
        with pytest.raises(ConnectionError):
            sender.use(connection)

        assert (sender.sent, sender.unsent) == (1, 1)

    def test_what_waits_and_what_comes_is_dropped(self, sender: Sender) -> None:
        sender.publish(b"a", b"one")
        lose(sender)
        sender.publish(b"a", b"two")

        assert (sender.unsent, sender.queued_bytes) == (2, 0)

    def test_what_comes_after_it_is_back_is_sent(self, sender: Sender) -> None:
        lose(sender)
        send(sender, Welcoming())
        connection = Welcoming()
        connection.answers.append(1)
        sender.publish(b"a", b"one")
        send(sender, connection)

        assert sender.sent == 1

    def test_what_it_has_cost_is_told_without_what_was_refused_before(self, sender: Sender) -> None:
        connection = Welcoming()
        connection.answers.extend([ResponseError("ERR"), 1])
        for number in range(4):
            sender.publish(b"a", b"%d" % number)
        with pytest.raises(ConnectionError):
            sender.use(connection)
        lose(sender)
        sender.publish(b"a", b"dropped")

        assert sender.unsent == 4
        assert sender.tell_missed().endswith("not confirmed: 4.")

    def test_it_does_not_keep_the_end_waiting(self, sender: Sender, link: Link) -> None:
        sender.close()
        lose(sender)

        assert link.stopping.is_set()

    def test_one_that_was_lost_before_does_not_either(self, sender: Sender, link: Link) -> None:
        lose(sender)
        sender.close()

        assert link.stopping.is_set()
