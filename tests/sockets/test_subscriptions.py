"""``CHANNELS``: who is on which channel."""

import pytest

from socketio_server.channels import CHANNELS
from socketio_server.clients import CLIENTS
from socketio_server.cluster.broker import Envelope, Recipients
from socketio_server.sockets.operations import Operations
from tests.fakes.server import FakeServer


class TestAsAMapping:
    """What django-socketio's ``CHANNELS`` was: channels and the session ids subscribed."""

    def test_a_channel_lists_its_subscribers_in_order_of_subscription(self) -> None:
        server = FakeServer()
        a, b, c = (server.connect() for _ in range(3))
        for client in (b, a, c):
            client.socket.subscribe("room")

        assert server.clients.channels["room"] == [b.id, a.id, c.id]

    def test_a_list_that_was_taken_is_the_taker_s_own(self) -> None:
        server = FakeServer()
        server.connect(channels=["room"])
        server.clients.channels["room"].clear()

        assert len(server.clients.channels["room"]) == 1

    def test_a_channel_without_subscribers_is_empty_but_not_in_it(self) -> None:
        server = FakeServer()
        client = server.connect(channels=["room", "other"])
        client.socket.unsubscribe("room")

        assert list(server.clients.channels) == ["other"]
        assert server.clients.channels["room"] == []
        assert "room" not in server.clients.channels
        assert server.clients.channels.get("room") is None
        assert server.clients.channels.get("room", "nobody") == "nobody"
        assert server.clients.channels.get("other", "nobody") == [client.id]
        assert list(server.clients.channels) == ["other"]

    def test_its_length_is_the_number_of_channels(self) -> None:
        server = FakeServer()
        assert len(server.clients.channels) == 0
        server.connect(channels=["room", "other"])
        server.connect(channels=["room"])

        assert len(server.clients.channels) == 2

    def test_it_is_for_looking_only(self) -> None:
        assert not hasattr(CHANNELS, "__setitem__")
        assert not hasattr(CHANNELS, "__delitem__")

    def test_the_process_s_own_is_that_of_its_clients(self) -> None:
        assert CLIENTS.channels is CHANNELS


class TestSubscribers:
    def test_they_are_the_sockets_on_a_channel(self) -> None:
        server = FakeServer()
        a, b = server.connect(channels=["room"]), server.connect(channels=["room"])
        server.connect(channels=["other"])

        subscribers = server.clients.channels.subscribers("/", "room")
        assert [subscriber.id for subscriber in subscribers] == [a.id, b.id]

    @pytest.mark.parametrize(("namespace", "channel"), [("/", "other"), ("/other", "room")])
    def test_there_are_none_elsewhere(self, namespace: str, channel: str) -> None:
        server = FakeServer()
        server.connect(channels=["room"])

        assert not server.clients.channels.subscribers(namespace, channel)

    def test_channels_belong_to_their_namespace(self) -> None:
        server = FakeServer()

        @server.registry.on_connect(namespace="/admin")
        def connect(request: object, socket: object, context: object) -> None: ...

        client = server.connect()
        client.send("0/admin,", '2/admin,["__subscribe__","room"]')

        assert "room" not in server.clients.channels
        (subscriber,) = server.clients.channels.subscribers("/admin", "room")
        assert subscriber.namespace == "/admin"

    def test_a_socket_s_id_is_no_channel(self) -> None:
        """Whoever subscribes to somebody's id must not see what is sent to that socket."""
        server = FakeServer()
        victim = server.connect()
        spy = server.connect(channels=[victim.id])
        victim.socket.send("secret")

        assert victim.messages() == ["secret"]
        assert spy.received() == []


class TestRooms:
    """What is kept beside the channels."""

    ROOM = "~user:auth.user:1"

    def test_get_what_is_sent_to_them(self) -> None:
        server = FakeServer()
        a, b = server.connect(channels=["room"]), server.connect()
        server.clients.enter(a.socket._delivery, self.ROOM)
        envelope = Envelope(
            namespace="/", event_name="message", args=("hi",), channels=("room", self.ROOM)
        )
        server.clients.deliver(envelope)

        assert a.messages() == ["hi"]
        assert b.messages() == []
        assert server.clients.is_wanted("/", self.ROOM)

    def test_are_seen_by_nobody(self) -> None:
        server = FakeServer()
        client = server.connect(channels=["room"])
        server.clients.enter(client.socket._delivery, self.ROOM)
        operations = Operations(server.clients)
        everybody = Recipients(namespace="/")

        assert client.socket.channels == ["room"]
        assert list(server.clients.channels) == ["room"]
        assert self.ROOM not in server.clients.channels
        assert server.clients.channels.total == len(server.clients.channels) == 1
        assert operations.find(everybody, 1.0)[0].channels == ("room",)
        assert operations.rooms("/") == [client.id, "room"]
        assert operations.channel_names("/", 1.0, shared_with_node=False) == ("room",)

    def test_select_no_handlers(self) -> None:
        server = FakeServer()
        ran: list[str] = []
        server.registry.on_message(lambda *args: ran.append("none"))
        server.registry.on_message(lambda *args: ran.append("any"), channel=".*")
        client = server.connect()
        server.clients.enter(client.socket._delivery, self.ROOM)
        client.emit("message", 1)

        assert ran == ["none"]

    def test_end_when_the_client_leaves_them_or_disconnects(self) -> None:
        server = FakeServer()
        a, b = server.connect(), server.connect()
        for client in (a, b):
            for _ in range(2):
                server.clients.enter(client.socket._delivery, self.ROOM)
        server.clients.leave(a.socket._delivery, self.ROOM)
        assert list(server.clients.channels.subscribers("/", self.ROOM)) == [b.socket._delivery]

        b.leave()
        assert not server.clients.is_wanted("/", self.ROOM)
        assert server.clients.channels._in_rooms == {}
