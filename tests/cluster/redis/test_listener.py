"""Hearing from Redis: subscriptions, their confirmations, and messages."""

from collections.abc import Sequence
from typing import Any

import pytest
from redis import ConnectionError, ResponseError

from socketio_server.cluster.redis.connections import pack
from socketio_server.cluster.redis.link import Link
from socketio_server.cluster.redis.listener import MAX_NAMES, Heard, Listener, Topic
from tests.cluster.fakes import FakeConnection, FakePatience

ROOM = Topic("/", "room")
SOCKETS = Topic("/", is_pattern=True)


class Ears:
    """Keeps what was heard."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def hear(self, messages: Sequence[Heard]) -> None:
        self.heard += messages


class BreaksAtFlush(FakeConnection):
    """A connection that breaks while the sender writes to it, between two answers."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        self.reads = 0

    def receive(self) -> list[Any]:
        self.reads += 1
        self.fails = True
        self._listener.flush(ping=True)
        return [[b"pong", b""]]


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def listener(ears: Ears) -> Listener:
    link = Link("redis://localhost", lambda: 0.0)
    return Listener(link, FakePatience(), b"own", heard=ears.hear)


def use(listener: Listener, *answers: list[bytes]) -> FakeConnection:
    """Let the listener read these answers from a connection, which breaks after them."""
    connection = FakeConnection()
    connection.answers.extend(answers)
    with pytest.raises(ConnectionError):
        listener.use(connection)
    return connection


class TestSubscriptions:
    def test_a_new_connection_subscribes_to_all(self, listener: Listener) -> None:
        listener.add(b"room", ROOM)
        listener.add(b"??", SOCKETS)
        connection = use(listener)

        assert connection.sent == pack(b"SUBSCRIBE", b"room") + pack(b"PSUBSCRIBE", b"??")

    def test_one_command_takes_only_so_many(self, listener: Listener) -> None:
        names = [b"%d" % number for number in range(MAX_NAMES + 1)]
        for name in names:
            listener.add(name, ROOM)
        connection = use(listener)

        assert connection.sent == pack(b"SUBSCRIBE", *names[:-1]) + pack(b"SUBSCRIBE", names[-1])

    def test_later_ones_are_sent_by_flush(self, listener: Listener) -> None:
        connection = use(listener)
        listener.add(b"room", ROOM)
        listener.add(b"??", SOCKETS)
        listener.remove(b"room")
        listener.flush(ping=True)

        assert connection.sent == b"".join(
            [
                pack(b"SUBSCRIBE", b"room"),
                pack(b"PSUBSCRIBE", b"??"),
                pack(b"UNSUBSCRIBE", b"room"),
                pack(b"PING"),
            ]
        )

    def test_flush_leaves_faults_to_the_reader(self, listener: Listener) -> None:
        use(listener).fails = True
        listener.add(b"room", ROOM)
        listener.flush(ping=True)

    def test_the_reader_ends_after_flush_has_failed(self, listener: Listener) -> None:
        connection = BreaksAtFlush(listener)
        connection.connect()
        with pytest.raises(OSError, match="lost while subscribing"):
            listener.use(connection)

        assert connection.reads == 1
        assert not connection.is_connected

    def test_one_that_redis_refuses_ends_the_connection(self, listener: Listener) -> None:
        connection = FakeConnection()
        connection.answers.append(ResponseError("NOPERM"))
        with pytest.raises(ResponseError, match="NOPERM"):
            listener.use(connection)

    def test_they_are_confirmed_by_redis(self, listener: Listener) -> None:
        listener.add(b"room", ROOM)
        assert not listener.is_confirmed(b"room")

        use(listener, [b"subscribe", b"room", b"1"], [b"pong", b""])
        assert listener.is_confirmed(b"room")

    def test_a_lost_connection_confirms_nothing_more(self, listener: Listener) -> None:
        listener.add(b"room", ROOM)
        use(listener, [b"subscribe", b"room", b"1"])
        listener.connection_failed()

        assert not listener.is_confirmed(b"room")


class TestMessages:
    def test_are_passed_on_with_their_topic(self, listener: Listener, ears: Ears) -> None:
        listener.add(b"room", ROOM)
        listener.add(b"a??", SOCKETS)
        use(listener, [b"message", b"room", b"hi"], [b"pmessage", b"a??", b"abc", b"ho"])

        assert ears.heard == [(ROOM, b"room", b"hi"), (SOCKETS, b"abc", b"ho")]

    def test_of_this_process_are_ignored(self, listener: Listener, ears: Ears) -> None:
        listener.add(b"room", ROOM)
        use(listener, [b"message", b"room", b"own hi"], [b"message", b"room", b"ho"])

        assert ears.heard == [(ROOM, b"room", b"ho")]

    def test_on_channels_that_were_left_are_ignored(self, listener: Listener, ears: Ears) -> None:
        listener.add(b"room", ROOM)
        listener.remove(b"room")
        use(listener, [b"message", b"room", b"hi"], [b"unsubscribe", b"room", b"0"])

        assert ears.heard == []
