"""What handlers hold: sends, broadcasts, channels, and the end of the connection.

The sockets are those of a server whose clients are looked at (``tests.fakes.server``).
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.socket import Socket
from tests.fakes.hub import settle
from tests.fakes.server import FakeClient, FakeServer
from tests.sockets.steps import received


class TestIdentity:
    def test_the_session_id_is_what_the_client_sees(self, client: FakeClient) -> None:
        assert client.socket.session.session_id == client.id
        assert client.socket.id == client.id

    def test_it_has_at_most_20_characters_and_is_never_the_same(self, server: FakeServer) -> None:
        ids = {server.connect().id for _ in range(50)}

        assert len(ids) == 50
        assert all(0 < len(session_id) <= 20 for session_id in ids)

    def test_it_is_never_the_secret_of_the_session(self, client: FakeClient) -> None:
        assert client.socket.session.session_id != client.session.sid

    def test_it_knows_its_request_and_what_the_client_brought(self, server: FakeServer) -> None:
        request = object()
        socket = server.connect(request=request, auth={"token": "abc"}).socket

        assert socket.request is request
        assert socket.auth == {"token": "abc"}
        assert socket.namespace == "/"
        assert socket.recovered is False

    def test_without_auth_there_is_none(self, client: FakeClient) -> None:
        assert client.socket.auth is None

    @pytest.mark.parametrize("name", ["polling", "websocket"])
    def test_it_knows_its_transport(self, server: FakeServer, name: str) -> None:
        assert server.connect(name=name).socket.transport == name


class TestConnected:
    def test_it_is_until_the_client_goes(self, client: FakeClient) -> None:
        socket = client.socket
        assert socket.connected()
        assert socket.close_reason is None

        client.leave(CloseReason.PING_TIMEOUT)
        assert not socket.connected()
        assert socket.close_reason == "ping timeout"

    def test_after_the_end_it_still_knows_its_transport(self, server: FakeServer) -> None:
        client = server.connect(name="polling")
        socket = client.socket
        client.leave()

        assert socket.transport == "polling"


class TestSend:
    def test_this_client_gets_it_and_no_other(self, server: FakeServer) -> None:
        one, other = server.connect(), server.connect()
        one.socket.send("hi")

        assert received(one, other) == [["hi"], []]

    @pytest.mark.parametrize(
        "message", ["text", "", 0, 1.5, True, None, [1, [2]], {"a": {"b": None}}, "été €😀"]
    )
    def test_a_message_is_anything_that_json_carries(
        self, client: FakeClient, message: object
    ) -> None:
        client.socket.send(message)

        assert client.messages() == [message]

    def test_messages_arrive_in_the_order_of_the_sends(self, client: FakeClient) -> None:
        for i in range(100):
            client.socket.send(i)

        assert client.messages() == list(range(100))

    def test_bytes_go_as_attachments(self, client: FakeClient) -> None:
        client.socket.send({"file": b"\x01", "more": [b"\x02"]})

        head, *attachments = client.received()
        assert head.startswith("52-[")
        assert attachments == ["bAQ==", "bAg=="]

    def test_after_the_end_it_is_dropped(self, client: FakeClient) -> None:
        socket = client.socket
        client.leave()
        socket.send("too late")

        assert client.received() == []


class TestBroadcast:
    def test_every_other_client_gets_it(self, server: FakeServer) -> None:
        sender, same, other = (
            server.connect(channels=["room"]),
            server.connect(channels=["room"]),
            server.connect(),
        )
        sender.socket.broadcast("hi")

        assert received(sender, same, other) == [[], ["hi"], ["hi"]]

    def test_with_the_sender_as_well(self, server: FakeServer) -> None:
        sender, other = server.connect(), server.connect()
        sender.socket.send_and_broadcast("hi")

        assert received(sender, other) == [["hi"], ["hi"]]

    def test_alone_it_reaches_nobody(self, client: FakeClient) -> None:
        client.socket.broadcast("hi")

        assert client.received() == []


class TestBroadcastChannel:
    def test_every_other_client_on_the_channel_gets_it(self, server: FakeServer) -> None:
        sender = server.connect(channels=["room", "other"])
        inside, outside = server.connect(channels=["room"]), server.connect(channels=["other"])
        sender.socket.broadcast_channel("hi", "room")

        assert received(sender, inside, outside) == [[], ["hi"], []]

    def test_the_sender_need_not_be_on_it(self, server: FakeServer) -> None:
        sender, inside = server.connect(), server.connect(channels=["room"])
        sender.socket.broadcast_channel("hi", "room")

        assert received(sender, inside) == [[], ["hi"]]

    def test_without_a_channel_it_is_for_all_of_the_sender_s_each_client_once(
        self, server: FakeServer
    ) -> None:
        sender = server.connect(channels=["a", "b"])
        both, one = server.connect(channels=["a", "b"]), server.connect(channels=["b", "c"])
        none = server.connect(channels=["c"])
        sender.socket.broadcast_channel("hi")

        assert received(sender, both, one, none) == [[], ["hi"], ["hi"], []]

    def test_without_a_channel_a_sender_on_none_reaches_nobody(self, server: FakeServer) -> None:
        sender, other = server.connect(), server.connect(channels=["room"])
        sender.socket.broadcast_channel("hi")

        assert received(sender, other) == [[], []]

    @pytest.mark.parametrize("subscribed", [True, False], ids=["on it", "not on it"])
    def test_with_the_sender_as_well_once(self, server: FakeServer, subscribed: bool) -> None:
        sender = server.connect(channels=["room"] if subscribed else [])
        inside, outside = server.connect(channels=["room"]), server.connect()
        sender.socket.send_and_broadcast_channel("hi", "room")

        assert received(sender, inside, outside) == [["hi"], ["hi"], []]

    def test_with_the_sender_as_well_on_all_of_its_channels(self, server: FakeServer) -> None:
        sender = server.connect(channels=["a", "b"])
        both = server.connect(channels=["a", "b"])
        sender.socket.send_and_broadcast_channel("hi")

        assert received(sender, both) == [["hi"], ["hi"]]


class TestWhatCanNotBeEncoded:
    """Raises at the call, before anything is sent to anyone."""

    @pytest.mark.parametrize(
        "send",
        [
            pytest.param(lambda socket, message: socket.send(message), id="send"),
            pytest.param(lambda socket, message: socket.broadcast(message), id="broadcast"),
            pytest.param(
                lambda socket, message: socket.broadcast_channel(message, "room"),
                id="broadcast_channel",
            ),
            pytest.param(
                lambda socket, message: socket.send_and_broadcast(message), id="send_and_broadcast"
            ),
            pytest.param(
                lambda socket, message: socket.send_and_broadcast_channel(message, "room"),
                id="send_and_broadcast_channel",
            ),
            pytest.param(lambda socket, message: socket.emit("news", message), id="emit"),
            pytest.param(
                lambda socket, message: socket.emit("news", message, to="room"), id="emit to"
            ),
        ],
    )
    @pytest.mark.parametrize("message", [object(), {"a": [lambda: None]}], ids=["object", "deep"])
    def test_it_reaches_nobody(
        self, server: FakeServer, send: Callable[[Socket, object], None], message: object
    ) -> None:
        clients = [server.connect(channels=["room"]) for _ in range(3)]
        with pytest.raises(TypeError):
            send(clients[0].socket, message)

        assert received(*clients) == [[], [], []]


class TestSubscribe:
    def test_it_says_whether_it_changed_something(self, client: FakeClient) -> None:
        assert client.socket.subscribe("room") is True
        assert client.socket.subscribe("room") is False
        assert client.socket.unsubscribe("room") is True
        assert client.socket.unsubscribe("room") is False

    def test_channels_stand_in_the_order_of_subscription(self, client: FakeClient) -> None:
        for channel in ("b", "a", "c", "a"):
            client.socket.subscribe(channel)
        client.socket.unsubscribe("b")
        client.socket.subscribe("b")

        assert tuple(client.socket.channels) == ("a", "c", "b")

    def test_it_fires_no_event(self, server: FakeServer, client: FakeClient) -> None:
        def fail(*args: object) -> None:
            raise AssertionError("an event was fired")

        server.registry.on_subscribe(fail)
        server.registry.on_unsubscribe(fail)
        client.socket.subscribe("room")
        client.socket.unsubscribe("room")
        settle()

        assert client.received() == []

    @pytest.mark.parametrize("channel", [5, b"room", UUID(int=1), None])
    def test_a_channel_that_is_no_string_is_refused(self, client: FakeClient, channel: Any) -> None:
        for change in (client.socket.subscribe, client.socket.unsubscribe):
            with pytest.raises(TypeError, match=r"^channel must be a string, not "):
                change(channel)
        with pytest.raises(TypeError):
            client.socket.broadcast_channel("hi", 5)  # type: ignore[arg-type]

        assert not client.socket.channels

    def test_a_channel_without_a_name_is_refused(self, client: FakeClient) -> None:
        for change in (client.socket.subscribe, client.socket.unsubscribe):
            with pytest.raises(ValueError, match="must not be empty"):
                change("")

        assert not client.socket.channels

    def test_what_comes_from_the_channel_arrives_from_then_on(self, server: FakeServer) -> None:
        one, other = server.connect(), server.connect()
        one.socket.subscribe("room")
        other.socket.broadcast_channel("heard", "room")
        one.socket.unsubscribe("room")
        other.socket.broadcast_channel("missed", "room")

        assert one.messages() == ["heard"]

    def test_one_that_has_ended_stays_off_all_channels(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        """A greenlet that outlives the connection must not leave a dead socket behind."""
        socket = client.socket
        client.leave()
        socket.subscribe("room")

        assert not server.clients.channels.subscribers("/", "room")
        assert "room" not in server.clients.channels


class TestDisconnect:
    def test_it_ends_the_connection_to_the_namespace(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        ended: list[object] = []
        server.registry.on_disconnect(
            lambda request, socket, context: ended.append(socket.close_reason)
        )
        socket = client.socket
        socket.disconnect()
        settle()

        assert client.received() == ["1"]
        assert client.closed == []
        assert ended == ["server namespace disconnect"]
        assert not socket.connected()
        assert len(server.clients) == 0

    def test_the_client_may_join_again(self, server: FakeServer, client: FakeClient) -> None:
        first = client.id
        client.socket.disconnect()
        settle()
        client.send("0")

        assert client.id != first
        assert client.socket.connected()

    def test_with_close_it_ends_the_whole_session(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        ended: list[object] = []
        server.registry.on_disconnect(
            lambda request, socket, context: ended.append(socket.close_reason)
        )
        client.socket.disconnect(close=True)
        settle()

        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]
        assert len(ended) == 1
        assert len(server.clients) == 0

    def test_doing_it_again_changes_nothing(self, server: FakeServer, client: FakeClient) -> None:
        ended: list[object] = []
        server.registry.on_disconnect(lambda *args: ended.append(args))
        socket = client.socket
        socket.disconnect()
        socket.disconnect()
        settle()
        socket.disconnect()
        settle()

        assert len(ended) == 1
        assert client.received() == ["1"]
