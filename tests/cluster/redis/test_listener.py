"""Hearing from Redis: subscriptions, their confirmations, and messages."""

from collections.abc import Callable, Sequence
from typing import Any

import gevent
import pytest
from redis import ConnectionError, InvalidResponse, ResponseError

from socketio_server.cluster.redis.connections import pack
from socketio_server.cluster.redis.link import Link
from socketio_server.cluster.redis.listener import MAX_NAMES, Heard, Listener, Topic
from tests.cluster.fakes import FakeConnection, FakePatience, unpack
from tests.fakes.hub import settle
from tests.support.tools import PATIENCE

ROOM = Topic("/", "room")
SOCKETS = Topic("/", is_pattern=True)


class Ears:
    """Keeps what was heard."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def hear(self, messages: Sequence[Heard]) -> None:
        self.heard += messages


class Answering(FakeConnection):
    """A connection on which Redis answers each command, and that breaks when there is nothing more
    to hear.
    """

    def __init__(self, *forbidden: bytes) -> None:
        super().__init__()
        self.commands: list[list[bytes]] = []
        """Those that were sent."""
        self.most_awaited = 0
        """How many answers were awaited at the same time."""
        self.when_read: Callable[[], None] = lambda: None
        """Called before each read."""
        self._forbidden = forbidden

    def send(self, commands: bytes) -> None:
        super().send(commands)
        for command in unpack(commands):
            self.commands.append(command)
            self._answer(*command)
        self.most_awaited = max(self.most_awaited, len(self.answers))

    def receive(self) -> list[Any]:
        self.when_read()
        return super().receive()

    def _answer(self, verb: bytes, *names: bytes) -> None:
        if verb == b"PING":
            self.answers.append([b"pong", b""])
        elif set(names) & set(self._forbidden):
            self.answers.append(ResponseError("NOPERM No permissions to access a channel"))
        else:
            self.answers += [[verb.lower(), name, 1] for name in names]


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def link() -> Link:
    return Link("redis://localhost", lambda: 0.0)


@pytest.fixture
def listener(ears: Ears, link: Link) -> Listener:
    return Listener(link, FakePatience(), b"own", all_channels=b"socket.io*", heard=ears.hear)


def use(listener: Listener, *heard: list[bytes], forbidden: bytes = b"none") -> Answering:
    """Let the listener hear these messages on a connection, which breaks after them."""
    connection = Answering(forbidden)
    connection.answers.extend(heard)
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

    def test_only_so_many_answers_wait_to_be_read(self, listener: Listener) -> None:
        """Redis need not keep more, and could not go on without."""
        for number in range(10 * MAX_NAMES):
            listener.add(b"%d" % number, ROOM)
        connection = use(listener)

        assert len(connection.commands) == 10
        assert connection.most_awaited == MAX_NAMES

    def test_later_ones_are_sent_by_flush(self, listener: Listener) -> None:
        connection = use(listener)
        listener.add(b"room", ROOM)
        listener.add(b"??", SOCKETS)
        listener.remove(b"room")
        listener.ping()
        listener.flush()

        assert connection.commands == [
            [b"SUBSCRIBE", b"room"],
            [b"PSUBSCRIBE", b"??"],
            [b"UNSUBSCRIBE", b"room"],
            [b"PING"],
        ]

    def test_those_of_the_meantime_belong_to_the_first(
        self, listener: Listener, link: Link, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = Answering()

        def subscribe() -> None:
            connection.when_read = lambda: None
            listener.add(b"one", ROOM)
            listener.add(b"two", ROOM)

        connection.when_read = subscribe
        monkeypatch.setattr(link, "connected", lambda part: connection.commands.append([b"up"]))
        listener.add(b"room", ROOM)
        with pytest.raises(ConnectionError):
            listener.use(connection)

        assert connection.commands == [
            [b"SUBSCRIBE", b"room"],
            [b"SUBSCRIBE", b"one"],
            [b"SUBSCRIBE", b"two"],
            [b"up"],
        ]

    def test_later_ones_wake_who_sends_them(self, listener: Listener) -> None:
        use(listener)
        writer = gevent.spawn(listener.wait_for_commands, PATIENCE)
        settle()
        assert not writer.ready()

        listener.add(b"room", ROOM)
        settle()
        assert writer.ready()

    def test_do_not_pile_up_while_the_connection_is_lost(self, listener: Listener) -> None:
        use(listener)
        listener.connection_failed()
        writer = gevent.spawn(listener.wait_for_commands, PATIENCE)
        for _ in range(3):
            listener.add(b"room", ROOM)
            listener.remove(b"room")
        settle()
        assert not writer.ready()

        writer.kill()
        listener.add(b"room", ROOM)
        assert use(listener).commands == [[b"SUBSCRIBE", b"room"]]

    def test_flush_leaves_faults_to_the_reader(self, listener: Listener) -> None:
        use(listener).fails = True
        listener.add(b"room", ROOM)
        listener.flush()

    def test_there_is_no_ping_without_a_connection(self, listener: Listener) -> None:
        listener.ping()
        assert use(listener).commands == []

    @pytest.mark.parametrize("is_alive", [False, True])
    def test_the_reader_ends_with_the_fault_of_flush(
        self, listener: Listener, *, is_alive: bool
    ) -> None:
        connection = Answering()
        reads: list[bool] = []

        def break_between_two_answers() -> None:
            reads.append(True)
            if is_alive:
                connection.answers.append([b"message", b"room", b"hi"])
            connection.fails = True
            listener.ping()
            listener.flush()

        connection.when_read = break_between_two_answers
        connection.connect()
        with pytest.raises(ConnectionError, match="can't be written to"):
            listener.use(connection)

        assert len(reads) == 1
        assert not connection.is_connected

    def test_they_are_confirmed_by_redis(self, listener: Listener) -> None:
        listener.add(b"room", ROOM)
        assert not listener.is_confirmed(b"room")

        use(listener)
        assert listener.is_confirmed(b"room")

    def test_a_lost_connection_confirms_nothing_more(self, listener: Listener) -> None:
        listener.add(b"room", ROOM)
        use(listener)
        listener.connection_failed()

        assert not listener.is_confirmed(b"room")

    def test_a_reply_says_that_the_connection_is_alive(
        self, listener: Listener, link: Link, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answered: list[object] = []
        monkeypatch.setattr(link, "answered", answered.append)
        monkeypatch.setattr(link, "connected", lambda part: None)
        connection = Answering()

        def ping() -> None:
            connection.when_read = lambda: None
            listener.ping()
            listener.flush()

        connection.when_read = ping
        with pytest.raises(ConnectionError):
            listener.use(connection)
        assert answered == [listener]


class TestConnected:
    @pytest.fixture
    def is_connected(self, link: Link, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
        """Return whether the link was told so."""
        told: list[object] = []
        monkeypatch.setattr(link, "connected", told.append)
        return lambda: bool(told)

    def test_means_that_redis_has_confirmed_all(
        self, listener: Listener, is_connected: Callable[[], bool]
    ) -> None:
        listener.add(b"room", ROOM)
        listener.add(b"??", SOCKETS)
        silent = FakeConnection()
        silent.answers.append([b"subscribe", b"room", b"1"])
        with pytest.raises(ConnectionError):
            listener.use(silent)
        assert not is_connected()

        use(listener)
        assert is_connected()

    def test_is_not_said_when_redis_refuses_what_the_server_can_not_do_without(
        self, listener: Listener, is_connected: Callable[[], bool]
    ) -> None:
        listener.add(b"??", SOCKETS._replace(is_vital=True))
        with pytest.raises(ResponseError, match="NOPERM"):
            listener.use(Answering(b"??"))
        assert not is_connected()

    def test_is_said_when_redis_refuses_others(
        self, listener: Listener, is_connected: Callable[[], bool]
    ) -> None:
        listener.add(b"room", ROOM)
        use(listener, forbidden=b"room")
        assert is_connected()


class TestRefusals:
    """Redis has access rules for channels."""

    @pytest.mark.parametrize(
        ("topic", "rules"), [(ROOM, r"\+subscribe &socket\.io\*"), (SOCKETS, r"\+psubscribe &a\?")]
    )
    def test_say_which_rules_are_missing(
        self, listener: Listener, topic: Topic, rules: str
    ) -> None:
        listener.add(b"a?", topic._replace(is_vital=True))
        with pytest.raises(ResponseError, match=rf"'a\?': NOPERM.* channel\. .* rules {rules}$"):
            listener.use(Answering(b"a?"))

    def test_for_other_causes_name_no_rules(self, listener: Listener) -> None:
        listener.add(b"room", ROOM._replace(is_vital=True))
        connection = FakeConnection()
        connection.answers.append(ResponseError("ERR unknown command"))
        with pytest.raises(ResponseError, match=r"^SUBSCRIBE 'room': ERR unknown command$"):
            listener.use(connection)

    def test_concern_only_the_channel_that_is_forbidden(
        self, listener: Listener, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Redis refuses the whole command, and does not say which."""
        names = [b"one", b"two", b"three"]
        for name in names:
            listener.add(name, ROOM)
        use(listener, forbidden=b"two")

        assert [name for name in names if listener.is_confirmed(name)] == [b"one", b"three"]
        assert caplog.messages == [
            "Redis (redis://localhost) has refused a command: SUBSCRIBE 'two': NOPERM No "
            "permissions to access a channel. Its user needs the access rules +subscribe "
            "&socket.io*"
        ]

    def test_of_later_subscriptions_end_no_connection(
        self, listener: Listener, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = Answering(b"forbidden")

        def subscribe() -> None:
            connection.when_read = lambda: None
            listener.add(b"forbidden", ROOM)
            listener.add(b"room", ROOM)
            listener.flush()

        connection.when_read = subscribe
        with pytest.raises(ConnectionError):
            listener.use(connection)
        assert listener.is_confirmed(b"room")
        assert "SUBSCRIBE 'forbidden'" in caplog.text

    def test_keep_nobody_waiting(self, listener: Listener, link: Link) -> None:
        connection = Answering(b"room")
        waiting = gevent.spawn(listener.wait, b"room", PATIENCE)
        settle()
        listener.add(b"room", ROOM)
        with pytest.raises(ConnectionError):
            listener.use(connection)
        settle()
        assert waiting.ready()
        listener.wait(b"room", PATIENCE)

    def test_of_other_commands_are_only_logged(
        self, listener: Listener, caplog: pytest.LogCaptureFixture
    ) -> None:
        connection = Answering(b"room")

        def unsubscribe() -> None:
            connection.when_read = lambda: None
            listener.topics[b"room"] = ROOM
            listener.remove(b"room")
            listener.flush()

        connection.when_read = unsubscribe
        with pytest.raises(ConnectionError):
            listener.use(connection)
        assert caplog.messages == [
            "Redis (redis://localhost) has refused a command: UNSUBSCRIBE: NOPERM No permissions "
            "to access a channel. Its user needs the access rules +unsubscribe"
        ]

    def test_that_no_command_has_asked_for_end_the_connection(self, listener: Listener) -> None:
        connection = FakeConnection()
        connection.answers.append(ResponseError("ERR max number of clients reached"))
        with pytest.raises(ResponseError, match="max number of clients"):
            listener.use(connection)


WRONG = [
    5,
    None,
    b"OK",
    b"PONG",
    [],
    [1],
    {b"a": b"b"},
    [b"message", b"room"],
    [b"message", b"room", 5],
    [b"message", b"room", None],
    [b"message", [], b"hi"],
    [b"message", b"room", b"room", b"hi"],
    [b"pmessage", b"room", b"hi"],
    [b"pmessage", b"a?", 5, b"hi"],
    [b"subscribe", b"room", 1],
    [b"pong", b""],
]
"""What Redis does not send to who has sent no command."""


class TestWhatRedisDoesNotSend:
    """It is another service, or the replies are out of step."""

    @pytest.mark.parametrize("reply", WRONG, ids=repr)
    def test_ends_the_connection(self, listener: Listener, reply: Any) -> None:
        connection = FakeConnection()
        connection.answers.append(reply)
        with pytest.raises(InvalidResponse, match="no answer of Redis"):
            listener.use(connection)

    @pytest.mark.parametrize(
        "reply",
        [[b"psubscribe", b"room", 1], [b"unsubscribe", b"room", 1], [b"pong", b""], [b"message"]],
        ids=repr,
    )
    def test_ends_the_connection_in_place_of_an_answer(
        self, listener: Listener, reply: list[bytes]
    ) -> None:
        listener.add(b"room", ROOM)
        connection = FakeConnection()
        connection.answers.append(reply)
        with pytest.raises(InvalidResponse):
            listener.use(connection)
        assert not listener.is_confirmed(b"room")

    def test_is_told_from_its_answer_to_a_ping_without_subscriptions(
        self, listener: Listener
    ) -> None:
        connection = FakeConnection()
        connection.answers.append([b"message", b"room", b"hi"])
        connection.at_once = 1
        receive = connection.receive

        def ping() -> list[Any]:
            connection.receive = receive  # type: ignore[method-assign]
            listener.ping()
            listener.flush()
            connection.answers.append(b"PONG")
            return receive()

        connection.receive = ping  # type: ignore[method-assign]
        with pytest.raises(ConnectionError, match="gone"):
            listener.use(connection)


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
        use(listener, [b"message", b"room", b"hi"])

        assert ears.heard == []
