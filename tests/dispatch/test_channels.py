"""``on_subscribe`` and ``on_unsubscribe``: which channels a client may be on."""

import pytest
from gevent.event import Event

from socketio_server.events import Reject
from socketio_server.options import Options
from socketio_server.sockets.socket import Socket
from tests.dispatch.journal import Boom, Context, Journal
from tests.fakes.hub import settle


class TestSubscribe:
    def test_the_socket_is_in_the_channel_first_then_the_event_runs(self, server: Journal) -> None:
        @server.registry.on_subscribe
        def subscribe(request: object, socket: Socket, context: Context, channel: str) -> None:
            server.entries.append((channel, tuple(socket.channels)))

        client = server.connect()
        client.emit("__subscribe__", "room")

        assert server.entries == [("room", ("room",))]

    def test_it_is_acknowledged(self, server: Journal) -> None:
        client = server.connect()
        client.emit("__subscribe__", "room", ack_id=1)
        client.emit("__subscribe__", "room", ack_id=2)

        assert client.received() == ["31[true]", "32[false]"]

    def test_doing_it_again_changes_nothing_and_the_event_runs_all_the_same(
        self, server: Journal
    ) -> None:
        server.note("on_subscribe")
        client = server.connect(channels=["room", "room"])

        assert server.entries == [("on_subscribe", "room")] * 2
        assert tuple(client.socket.channels) == ("room",)

    def test_handlers_with_a_pattern_run_for_this_very_channel(self, server: Journal) -> None:
        server.note("on_subscribe", channel="^room-")
        server.connect(channels=["room-1", "other", "room-2"])

        assert server.entries == [("on_subscribe", "room-1"), ("on_subscribe", "room-2")]

    def test_handlers_without_one_run_for_every_channel(self, server: Journal) -> None:
        server.note("on_subscribe")
        server.connect(channels=["a", "b"])

        assert server.entries == [("on_subscribe", "a"), ("on_subscribe", "b")]

    @pytest.mark.parametrize(
        "args",
        [
            pytest.param([], id="none"),
            pytest.param([""], id="empty"),
            pytest.param([1], id="number"),
            pytest.param([None], id="null"),
            pytest.param([["room"]], id="list"),
            pytest.param([{"channel": "room"}], id="object"),
            pytest.param(["a", "b"], id="two"),
            pytest.param(["x" * 129], id="too long"),
            pytest.param(["two\nlines"], id="line break"),
            pytest.param(["nul\0"], id="nul"),
            pytest.param(["\u202eroom"], id="direction override"),
        ],
    )
    def test_what_is_no_channel_is_refused(
        self, server: Journal, args: list[object], caplog: pytest.LogCaptureFixture
    ) -> None:
        server.note("on_subscribe", "on_unsubscribe")
        client = server.connect()
        client.emit("__subscribe__", *args, ack_id=1)
        client.emit("__unsubscribe__", *args, ack_id=2)

        assert client.received() == [
            '31[{"error":"Invalid channel"}]',
            '32[{"error":"Invalid channel"}]',
        ]
        assert server.entries == []
        assert client.closed == []
        assert caplog.records == []

    def test_what_is_refused_is_told_with_the_name_and_the_reason(self) -> None:
        server = Journal(Options(max_channels=1))
        client = server.connect(channels=["room"])
        for args in ([], ["two\nlines"], ["x" * 129], ["another"]):
            client.emit("__subscribe__", *args)

        assert client.refusals == [
            "channel: channel none: invalid",
            "channel: channel 'two\\nlines': invalid",
            f"channel: channel '{'x' * 129}': longer than SOCKETIO_MAX_CHANNEL_LENGTH",
            "channel: channel 'another': more than SOCKETIO_MAX_CHANNELS",
        ]

    @pytest.mark.parametrize("channel", ["x", "x" * 128, "room 1", "été", "😀", "a/b.c-d_e"])
    def test_names_are_1_to_128_printable_characters(self, server: Journal, channel: str) -> None:
        client = server.connect()
        client.emit("__subscribe__", channel, ack_id=1)

        assert client.received() == ["31[true]"]
        assert tuple(client.socket.channels) == (channel,)

    def test_a_client_holds_no_more_than_allowed(self) -> None:
        server = Journal(Options(max_channels=2))
        client = server.connect(channels=["a", "b"])
        client.emit("__subscribe__", "c", ack_id=1)
        client.emit("__subscribe__", "a", ack_id=2)
        client.emit("__unsubscribe__", "a", ack_id=3)
        client.emit("__subscribe__", "c", ack_id=4)

        assert client.received() == [
            '31[{"error":"Invalid channel"}]',
            "32[false]",
            "33[true]",
            "34[true]",
        ]


class TestRefusingASubscription:
    @pytest.mark.parametrize(
        ("refusal", "answer"),
        [
            (Reject("members only"), '{"error":"members only"}'),
            (Reject("no", {"code": 7}), '{"error":"no","data":{"code":7}}'),
            (PermissionError("not you"), '{"error":"not you"}'),
            (Boom("the password is 123"), '{"error":"Internal error"}'),
        ],
    )
    def test_it_is_undone_and_the_client_is_told_why(
        self, server: Journal, refusal: Exception, answer: str
    ) -> None:
        @server.registry.on_subscribe
        def subscribe(*args: object) -> None:
            raise refusal

        client = server.connect()
        client.emit("__subscribe__", "room", ack_id=1)

        assert client.received() == [f"31[{answer}]"]
        assert tuple(client.socket.channels) == ()
        assert "room" not in server.clients.channels
        assert client.socket.connected()

    @pytest.mark.parametrize("result", [False, "a mistake"])
    def test_a_handler_refuses_by_what_it_returns(self, server: Journal, result: object) -> None:
        server.registry.on_subscribe(lambda request, socket, context, channel: result)
        client = server.connect()
        client.emit("__subscribe__", "room", ack_id=1)

        assert client.received() == ['31[{"error":"rejected"}]']
        assert not client.socket.channels

    def test_on_error_runs_while_the_socket_is_on_the_channel(self, server: Journal) -> None:
        server.note("on_error", channel="^room$")

        @server.registry.on_subscribe
        def subscribe(*args: object) -> None:
            raise Boom

        server.connect(channels=["room"])

        assert server.errors == [Boom]

    def refuse_later(self, server: Journal) -> Event:
        """Let a handler refuse the channel ``secret`` as soon as the returned event is set."""
        go_on = Event()

        @server.registry.on_subscribe(channel="secret")
        def subscribe(*args: object) -> None:
            go_on.wait()
            raise Reject("no")

        return go_on

    def test_nothing_from_the_channel_is_delivered_in_between(self, server: Journal) -> None:
        go_on = self.refuse_later(server)
        client, other = server.connect(channels=["open"]), server.connect()
        client.emit("__subscribe__", "secret")
        other.socket.broadcast_channel("secret", "secret")
        go_on.set()
        settle()

        assert client.received() == []

    def test_everything_else_is_delivered_and_in_order(self, server: Journal) -> None:
        go_on = self.refuse_later(server)
        client, other = server.connect(channels=["open"]), server.connect()
        client.emit("__subscribe__", "secret")
        other.socket.broadcast_channel("1", "open")
        other.socket.broadcast_channel("secret", "secret")
        other.socket.broadcast("2")
        client.socket.send("3")
        other.socket.emit("message", "4", to=["open", "secret"])
        go_on.set()
        settle()

        assert client.messages() == ["1", "2", "3", "4"]

    def test_a_channel_that_the_client_is_on_already_is_not_held_back(
        self, server: Journal
    ) -> None:
        client, other = server.connect(channels=["room"]), server.connect()
        go_on = Event()
        server.registry.on_subscribe(lambda *args: go_on.wait() and None)
        client.emit("__subscribe__", "room")
        other.socket.broadcast_channel("hi", "room")

        assert client.messages() == ["hi"]
        go_on.set()
        settle()

    def test_what_is_accepted_is_delivered_in_order(self, server: Journal) -> None:
        go_on = Event()

        @server.registry.on_subscribe(channel="room")
        def subscribe(request: object, socket: Socket, context: Context, channel: str) -> None:
            go_on.wait()
            socket.send("3")

        client, other = server.connect(), server.connect()
        client.emit("__subscribe__", "room")
        other.socket.broadcast_channel("1", "room")
        other.socket.broadcast("2")
        go_on.set()
        settle()

        assert client.messages() == ["1", "2", "3"]

    def test_it_is_no_error(self, server: Journal, caplog: pytest.LogCaptureFixture) -> None:
        server.note("on_error", "on_unsubscribe")

        @server.registry.on_subscribe
        def subscribe(*args: object) -> None:
            raise Reject("no")

        server.connect(channels=["room"])

        assert server.entries == []
        assert caplog.records == []


class TestUnsubscribe:
    def test_the_socket_is_out_of_the_channel_first_then_the_event_runs(
        self, server: Journal
    ) -> None:
        @server.registry.on_unsubscribe
        def unsubscribe(request: object, socket: Socket, context: Context, channel: str) -> None:
            server.entries.append((channel, tuple(socket.channels)))

        client = server.connect(channels=["room", "other"])
        client.emit("__unsubscribe__", "room")

        assert server.entries == [("room", ("other",))]
        assert "room" not in server.clients.channels

    def test_it_is_acknowledged(self, server: Journal) -> None:
        client = server.connect(channels=["room"])
        client.emit("__unsubscribe__", "room", ack_id=1)
        client.emit("__unsubscribe__", "room", ack_id=2)

        assert client.received() == ["31[true]", "32[false]"]

    def test_leaving_what_it_does_not_hold_runs_the_event_all_the_same(
        self, server: Journal
    ) -> None:
        server.note("on_unsubscribe")
        server.connect().emit("__unsubscribe__", "room")

        assert server.entries == [("on_unsubscribe", "room")]


class TestReservedNames:
    def test_are_refused_to_clients_with_the_reason(self, server: Journal) -> None:
        server.note("on_subscribe")
        server.note("on_unsubscribe")
        client = server.connect()
        client.emit("__subscribe__", "~user:auth.user:1", ack_id=1)
        client.emit("__unsubscribe__", "~user:auth.user:1", ack_id=2)

        assert client.received() == [
            """31[{"error":"Invalid channel: it begins with '~', which is reserved"}]""",
            '32[{"error":"Invalid channel"}]',
        ]
        assert server.entries == []
        assert client.socket.channels == []
