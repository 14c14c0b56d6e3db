"""What the developer is told, with ``DEBUG``, where no handler ran."""

import re

import pytest

from socketio_server.dispatch.developer_hints import MAX_CAUSES, DeveloperHints
from socketio_server.events import Reject
from socketio_server.options import Options
from tests.fakes.server import FakeClient, FakeServer

NO_CHANNEL = 'the client is on no channel (`socket.subscribe("room-…")` in the page)'


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(explains=True)


def handler(*args: object) -> None:
    """Any handler."""


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged since the last call."""
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    assert all(line.endswith(" (said once)") for line in lines)
    return [line.removeprefix("No handler ran for ").removesuffix(" (said once)") for line in lines]


class TestEvents:
    def test_of_no_handler(self, server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
        server.connect().emit("news")

        assert told(caplog) == [
            "the event 'news' in namespace '/': there is no handler of it: "
            "@events.on('news') registers one"
        ]

    @pytest.mark.parametrize("name", ["subscribe", "unsubscribe"])
    def test_named_as_a_method_of_our_script(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture, name: str
    ) -> None:
        server.connect().emit(name, "room")

        assert told(caplog) == [
            f"the event '{name}' in namespace '/': there is no handler of it: clients without "
            f"django-socketio.js emit '__{name}__' to {name}"
        ]

    def test_with_a_name_that_is_nearly_one(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on("typo")(handler)
        server.connect().emit("tpyo")

        assert told(caplog)[0].endswith("no handler of it; did you mean 'typo'?")

    def test_of_a_channel_whose_beginning_is_not_plain(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on("news", channel="^rooms?-")(handler)
        server.connect().emit("news")

        assert told(caplog)[0].endswith('(`socket.subscribe("room…")` in the page)')

    def test_of_handlers_for_other_channels(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on("news", channel="^room-")(handler)
        server.connect().emit("news")
        server.connect(channels=["lobby"]).emit("news")

        cause = "the event 'news' in namespace '/': its handlers are for channels like '^room-'; "
        lines = told(caplog)
        assert f"{cause}{NO_CHANNEL}" in lines
        assert f"{cause}the client is on 'lobby'" in lines

    def test_of_handlers_for_another_namespace(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on("news", namespace="/admin")(handler)
        server.registry.on("news", namespace=re.compile("/room-"))(handler)
        server.connect().emit("news")

        assert told(caplog) == [
            "the event 'news' in namespace '/': its handlers are for the namespace '/admin', "
            "re.compile('/room-'): connect the page there, or register one here by namespace='/'"
        ]

    def test_that_ran_a_handler_are_not_told(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on("news")(handler)
        server.registry.on_message(handler)
        client = server.connect()
        client.emit("news")
        client.emit("message", "hi")
        client.emit("__subscribe__", "room")
        client.emit("__unsubscribe__", "room")

        assert told(caplog) == []


class TestMessages:
    def test_without_a_handler(self, server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
        server.connect().emit("message", "hi")

        assert told(caplog) == [
            "a message in namespace '/': there is no handler of it: "
            "@events.on_message registers one"
        ]

    def test_of_a_client_on_channels_for_which_nobody_registered(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """``channel=`` was forgotten."""
        server.registry.on_message(handler)
        server.connect(channels=["a", "b", "c", "d"]).emit("message", "hi")

        assert told(caplog) == [
            "a message in namespace '/': its handlers have no channel pattern, so they run only "
            "while the client is on no channel; it is on 'a', 'b', 'c', …: "
            '@events.on_message(channel=".*") runs on any'
        ]

    def test_of_a_client_that_has_not_subscribed(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """``subscribe`` was forgotten in the page."""
        server.registry.on_message(channel="^room-")(handler)
        server.connect().emit("message", "hi")

        assert told(caplog)[0].endswith(f"for channels like '^room-'; {NO_CHANNEL}")

    def test_for_a_pattern_that_begins_with_no_plain_text(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on_message(channel=".*")(handler)
        server.connect().emit("message", "hi")

        assert told(caplog)[0].endswith('on no channel (`socket.subscribe("…")` in the page)')


class TestSubscriptions:
    def test_to_a_channel_that_no_handler_is_for(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on_subscribe(channel="^staff-")(handler)
        server.registry.on_message(channel="^room-")(handler)
        server.connect(channels=["rom-1"])

        assert told(caplog) == [
            "the subscription to 'rom-1' in namespace '/': the handlers are for channels like "
            "'^room-', '^staff-'"
        ]

    def test_where_the_handlers_are_for_another_namespace(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on_subscribe(namespace="/admin")(handler)
        server.connect(channels=["room-1"])

        assert told(caplog)[0].startswith(
            "the subscription to 'room-1' in namespace '/': its handlers are for the namespace "
        )

    def test_that_a_handler_without_a_pattern_ran_for_are_not_told(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on_subscribe(handler)
        server.registry.on_message(channel="^room-")(handler)
        server.connect(channels=["lobby"])

        assert told(caplog) == []

    def test_that_are_as_they_should_be_are_not_told(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.connect(channels=["anything"])  # no handler asks for channels
        server.registry.on_subscribe(channel="^staff-")(handler)
        server.registry.on_message(channel="^room-")(handler)
        server.connect(channels=["room-1", "staff-1"])

        assert told(caplog) == []


class TestAHandlerThatRefuses:
    @pytest.mark.parametrize(
        ("error", "why"),
        [
            (Reject("members only"), "raised Reject('members only')"),
            (PermissionError(), "raised PermissionError()"),
            (Reject("a\n" * 1000), "raised Reject('" + "a\\n" * 64),
        ],
    )
    def test_a_connection_by_an_exception_is_told_with_its_place(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture, error: Exception, why: str
    ) -> None:
        @server.registry.on_connect
        def welcome(*args: object) -> None:
            raise error

        server.connect()

        (line,) = told(caplog)
        assert re.search(
            rf"welcome` \({re.escape(__file__)}:\d+\) refused the connection: it", line
        )
        assert f": it {why}" in line
        assert len(line) < 1000

    def test_a_subscription_by_false_is_told(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on_subscribe(channel="^room-")(lambda *args: False)
        server.connect(channels=["room-1"])

        assert told(caplog)[0].endswith(") refused the channel 'room-1': it returned False")

    def test_is_told_once_whatever_its_reasons(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        @server.registry.on_subscribe
        def join(request: object, socket: object, context: object, channel: str) -> None:
            raise Reject(channel)

        server.connect(channels=["a", "b"])
        server.connect(channels=["c"])

        assert len(told(caplog)) == 1

    def test_by_a_mistake_is_told_by_its_traceback_alone(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        @server.registry.on_connect
        def welcome(*args: object) -> None:
            raise KeyError("user")

        server.connect()

        (record,) = caplog.records
        assert record.exc_info

    def test_a_message_or_event_is_told(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(*args: object) -> None:
            raise Reject("no")

        def refuse_too(*args: object) -> None:
            raise Reject("no")

        server.registry.on_message(refuse)
        server.registry.on("buy")(refuse_too)
        client = server.connect()
        client.emit("message", 1)
        client.emit("buy")

        message, event = told(caplog)
        assert message.endswith(" refused the message: it raised Reject('no')")
        assert event.endswith(" refused the event 'buy': it raised Reject('no')")

    def test_by_authorize_that_returns_nothing(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.authorize(handler)
        server.connect(channels=["room"])

        assert told(caplog)[0].endswith(
            ") refused the channel 'room': it returned None, or has no return statement"
        )

    def test_by_authorize_that_finds_nothing(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        @server.registry.authorize
        def find(*args: object) -> None:
            raise FileNotFoundError("no room")

        server.connect(channels=["room"])

        assert told(caplog)[0].endswith(
            ") refused the channel 'room': it raised FileNotFoundError('no room')"
        )

    def test_is_told_with_each_cause_that_a_decorator_names(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        causes = ["no cookie", "no cookie", "unknown"]

        @server.registry.on_connect
        def welcome(*args: object) -> None:
            refusal = PermissionError("Please log in.")
            refusal.add_note(causes.pop())
            raise refusal

        for _ in range(3):
            server.connect()

        unknown, without = told(caplog)
        assert unknown.endswith("it raised PermissionError('Please log in.'); unknown")
        assert without.endswith("it raised PermissionError('Please log in.'); no cookie")

    def test_by_the_default(self, caplog: pytest.LogCaptureFixture) -> None:
        server = FakeServer(Options(subscribe_default="deny"), explains=True)
        server.connect(channels=["room"])
        server.connect(channels=["room"])

        assert told(caplog) == [
            "SOCKETIO_SUBSCRIBE_DEFAULT refused the subscription to 'room' in namespace '/': "
            "no authorize handler is for this channel"
        ]

    def test_nothing_there_is_no_refusal(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.on_message(lambda *args: False)
        server.connect().emit("message", "hi")

        assert told(caplog) == []


class TestAChannelThatNoAuthorizeHandlerIsFor:
    def test_is_told_where_others_are_guarded(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The pattern is too narrow."""
        server.registry.authorize(channel="^room-[1-9]$")(lambda *args: True)
        for _ in range(2):
            server.connect(channels=["room-1", "room-12"])

        assert told(caplog) == [
            "The channel 'room-12' in namespace '/' is open to everybody: the authorize handlers "
            "are for channels like '^room-[1-9]$'. Correct the pattern, or close such channels by "
            'SOCKETIO_SUBSCRIBE_DEFAULT = "deny"'
        ]

    def test_is_not_told_where_none_is_guarded(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.authorize(channel="^room-", namespace="/admin")(lambda *args: True)
        server.connect(channels=["room-1"])

        assert told(caplog) == []

    def test_is_told_if_it_is_to_be_verified_again(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        hints = DeveloperHints(server.registry)
        hints.rechecked("room-1", "/")
        server.registry.authorize(channel="^room-")(lambda *args: True)
        hints.rechecked("rom-1", "/")
        hints.rechecked("room-1", "/")

        why = "no authorize handler is for this channel"
        assert told(caplog) == [
            f"recheck('room-1') in namespace '/' verifies nobody: {why}",
            f"recheck('rom-1') in namespace '/' verifies nobody: {why}, but for channels like "
            "'^room-'",
        ]


class TestOnceForEachCause:
    def test_the_same_is_told_once(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(3):
            server.connect().emit("news")

        assert len(told(caplog)) == 1

    def test_clients_can_not_fill_the_log(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = server.connect()
        client.send(*(f'2["{"x" * 10_000}{number}"]' for number in range(3)))
        client.send(*(f'2["{number}"]' for number in range(2 * MAX_CAUSES)))
        lines = told(caplog)

        assert len(lines) == MAX_CAUSES
        assert max(map(len, lines)) < 1000

    def test_what_they_send_is_escaped(
        self, server: FakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.connect().emit("a\nb")

        assert "\n" not in told(caplog)[0]


class TestWithoutDebug:
    def test_nothing_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        server = FakeServer()
        server.registry.on_subscribe(lambda *args: False)
        client: FakeClient = server.connect(channels=["room"])
        client.emit("news")
        client.emit("message", "hi")

        assert told(caplog) == []
