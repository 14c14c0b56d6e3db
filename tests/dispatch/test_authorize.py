"""``authorize`` and ``SOCKETIO_SUBSCRIBE_DEFAULT``: who may subscribe to which channel."""

from typing import Any

import pytest

from socketio_server.events import Reject
from socketio_server.options import Options
from socketio_server.sockets.socket import Socket
from tests.dispatch.journal import Boom, Context, Journal

DENIED = '31[{"error":"Permission denied"}]'


def subscribe(server: Journal, channel: str) -> list[str]:
    """Let a new client subscribe; return what it received."""
    client = server.connect()
    client.emit("__subscribe__", channel, ack_id=1)
    return client.received()


class TestAnAuthorizeHandler:
    def test_lets_in_by_something_true(self, server: Journal) -> None:
        server.registry.authorize(lambda request, socket, context, channel: "yes")

        assert subscribe(server, "room") == ["31[true]"]

    @pytest.mark.parametrize("result", [False, None, 0, "", []])
    def test_refuses_by_anything_else(self, server: Journal, result: object) -> None:
        server.registry.authorize(lambda request, socket, context, channel: result)

        assert subscribe(server, "room") == [DENIED]
        assert "room" not in server.clients.channels

    @pytest.mark.parametrize(
        ("raised", "answer"),
        [
            (Reject("members only", {"code": 7}), '{"error":"members only","data":{"code":7}}'),
            (PermissionError("not you"), '{"error":"not you"}'),
            (PermissionError(), '{"error":"Permission denied"}'),
            (FileNotFoundError("no room of this number"), '{"error":"Permission denied"}'),
            (Boom("the password is 123"), '{"error":"Internal error"}'),
        ],
    )
    def test_refuses_by_what_it_raises(
        self, server: Journal, raised: Exception, answer: str
    ) -> None:
        @server.registry.authorize
        def refuse(*args: object) -> None:
            raise raised

        assert subscribe(server, "room") == [f"31[{answer}]"]
        assert "room" not in server.clients.channels

    def test_runs_before_the_socket_is_on_the_channel_and_on_subscribe_after_it(
        self, server: Journal
    ) -> None:
        @server.registry.authorize
        def may(request: object, socket: Socket, context: Context, channel: str) -> bool:
            server.entries.append(("authorize", *socket.channels))
            return True

        @server.registry.on_subscribe
        def entered(request: object, socket: Socket, context: Context, channel: str) -> None:
            server.entries.append(("on_subscribe", *socket.channels))

        subscribe(server, "room")

        assert server.entries == [("authorize",), ("on_subscribe", "room")]

    def test_keeps_on_subscribe_from_running_when_it_refuses(self, server: Journal) -> None:
        server.note("on_subscribe", "on_unsubscribe")
        server.registry.authorize(lambda request, socket, context, channel: False)
        subscribe(server, "room")

        assert server.entries == []

    def test_gets_the_named_groups_of_its_pattern(self, server: Journal) -> None:
        @server.registry.authorize(channel=r"^room-(?P<pk>\d+)(?:-(?P<side>\w+))?$")
        def may(
            request: object, socket: Socket, context: Context, channel: str, pk: str, side: str = ""
        ) -> bool:
            server.entries.append((channel, pk, side))
            return True

        subscribe(server, "room-7-left")
        subscribe(server, "room-8")

        assert server.entries == [("room-7-left", "7", "left"), ("room-8", "8", "")]

    def test_is_for_subscriptions_that_clients_ask_for(self, server: Journal) -> None:
        server.registry.authorize(lambda request, socket, context, channel: False)
        client = server.connect()

        assert client.socket.subscribe("room")

    def test_is_no_error_when_it_refuses(
        self, server: Journal, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.note("on_error")
        server.registry.authorize(lambda request, socket, context, channel: False)
        subscribe(server, "room")

        assert server.entries == []
        assert caplog.records == []

    def test_refuses_by_what_it_can_not_mean(
        self, server: Journal, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.registry.authorize(lambda request, socket, context, channel: "a mistake")
        assert subscribe(server, "room") == ['31[{"error":"rejected"}]']
        assert "a mistake" in caplog.text


class TestSeveralAuthorizeHandlers:
    @pytest.mark.parametrize("results", [(True, False), (False, True)])
    def test_must_all_agree(self, server: Journal, results: tuple[bool, bool]) -> None:
        for result in results:
            server.registry.authorize(lambda *args, result=result: result)

        assert subscribe(server, "room") == [DENIED]

    def test_are_asked_for_their_own_channels_only(self, server: Journal) -> None:
        server.registry.authorize(lambda *args: False, channel="^private-")
        server.registry.authorize(lambda *args: True, channel="^public-")

        assert subscribe(server, "public-1") == ["31[true]"]
        assert subscribe(server, "private-1") == [DENIED]


class TestTheDefault:
    def test_lets_everybody_in_where_no_handler_matches(self, server: Journal) -> None:
        server.registry.authorize(lambda *args: False, channel="^private-")

        assert subscribe(server, "room") == ["31[true]"]

    def test_can_be_to_let_nobody_in(self) -> None:
        server = Journal(Options(subscribe_default="deny"))
        server.registry.authorize(lambda *args: True, channel="^public-")
        server.note("on_subscribe")

        assert subscribe(server, "room") == [DENIED]
        assert subscribe(server, "public-1") == ["31[true]"]
        assert server.entries == [("on_subscribe", "public-1")]

    def test_does_not_keep_the_server_from_subscribing_a_socket(self) -> None:
        server = Journal(Options(subscribe_default="deny"))

        assert server.connect().socket.subscribe("room")


class TestMiddleware:
    def test_is_around_authorize_as_around_each_event(self) -> None:
        def middleware(call: Any) -> Any:
            server.entries.append((call.event, *call.args))
            return call.run()

        server = Journal(middleware=middleware)
        server.registry.authorize(lambda *args: True)
        subscribe(server, "room")

        assert ("authorize", "room") in server.entries

    def test_that_forgets_the_answer_lets_nobody_in(self) -> None:
        def forgetful(call: Any) -> None:
            call.run()

        server = Journal(middleware=forgetful)
        server.registry.authorize(lambda *args: True)

        assert subscribe(server, "room") == [DENIED]
