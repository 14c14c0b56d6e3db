"""The socket that handlers get (semantics, section 3)."""

import re
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.views import state
from tests.support.wire import TransportName


@pytest.fixture
def three(connect: Connect, transport: TransportName) -> tuple[Client, Client, Client]:
    """Three clients: one that acts, over every transport, and two others."""
    return connect(transport), connect("websocket"), connect("polling")


class TestSend:
    def test_goes_to_this_client_only(self, three: tuple[Client, ...]) -> None:
        actor, *others = three
        assert actor.method("send", "hello") is None
        assert actor.messages() == ["hello"]
        assert [other.messages() for other in others] == [[], []]

    def test_keeps_the_order(self, connect: Connect, transport: TransportName) -> None:
        client = connect(transport)
        client.do("count", to=100)
        assert client.next_messages(100) == list(range(100))

    @pytest.mark.parametrize(
        "message",
        [
            "",
            "text",
            "é€😀\u2028\n\0\x1e",
            0,
            -1,
            2.5,
            True,
            None,
            [],
            {},
            [[1, {"a": [None]}]],
            "2",
        ],
    )
    def test_carries_anything_that_json_carries(
        self, connect: Connect, transport: TransportName, message: Any
    ) -> None:
        client = connect(transport)
        client.method("send", message)
        assert client.messages() == [message]

    def test_carries_a_long_message(self, connect: Connect, transport: TransportName) -> None:
        client = connect(transport)
        text = "é" * 200_000
        client.method("send", text)
        assert client.next_message() == text


class TestBroadcast:
    def test_goes_to_every_other_client(self, three: tuple[Client, ...]) -> None:
        actor, *others = three
        actor.method("broadcast", "hello")
        assert [client.messages() for client in (actor, *others)] == [[], ["hello"], ["hello"]]

    def test_and_send_goes_to_this_client_as_well(self, three: tuple[Client, ...]) -> None:
        actor, *others = three
        actor.method("send_and_broadcast", "hello")
        assert [client.messages() for client in (actor, *others)] == [["hello"]] * 3


class TestBroadcastChannel:
    def test_goes_to_every_other_client_on_the_channel(self, three: tuple[Client, ...]) -> None:
        actor, member, stranger = three
        actor.subscribe("room-1")
        member.subscribe("room-1")
        stranger.subscribe("room-2")
        actor.method("broadcast_channel", "hello", "room-1")
        assert [client.messages() for client in three] == [[], ["hello"], []]

    def test_needs_no_subscription_of_the_sender(self, three: tuple[Client, ...]) -> None:
        actor, member, stranger = three
        member.subscribe("room-1")
        actor.method("broadcast_channel", "hello", "room-1")
        assert [client.messages() for client in (member, stranger)] == [["hello"], []]

    def test_without_a_channel_goes_to_any_of_this_sockets_channels(
        self, three: tuple[Client, ...]
    ) -> None:
        actor, one, other = three
        for channel in ("room-1", "room-2"):
            actor.subscribe(channel)
        one.subscribe("room-1")
        other.subscribe("room-2")
        actor.method("broadcast_channel", "hello")
        assert [client.messages() for client in three] == [[], ["hello"], ["hello"]]

    def test_reaches_a_client_on_two_shared_channels_once(self, three: tuple[Client, ...]) -> None:
        for client in three:
            client.subscribe("room-1")
            client.subscribe("room-2")
        three[0].method("broadcast_channel", "hello")
        assert [client.messages() for client in three] == [[], ["hello"], ["hello"]]

    def test_without_any_channel_reaches_nobody(self, three: tuple[Client, ...]) -> None:
        three[0].method("broadcast_channel", "hello")
        assert [client.messages() for client in three] == [[], [], []]

    def test_and_send_goes_to_this_client_as_well(self, three: tuple[Client, ...]) -> None:
        for client in three[:2]:
            client.subscribe("room-1")
            client.subscribe("room-2")
        three[0].method("send_and_broadcast_channel", "hello")
        assert [client.messages() for client in three] == [["hello"], ["hello"], []]

    def test_and_send_does_so_even_where_this_client_is_not_on_the_channel(
        self, three: tuple[Client, ...]
    ) -> None:
        actor, member, stranger = three
        member.subscribe("room-1")
        actor.method("send_and_broadcast_channel", "hello", "room-1")
        assert [client.messages() for client in (actor, member, stranger)] == [
            ["hello"],
            ["hello"],
            [],
        ]


class TestSubscribe:
    def test_tells_whether_it_changed_something_and_fires_no_event(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect()
        assert client.method("subscribe", "room-1") is True
        assert client.method("subscribe", "room-1") is False
        assert client.attribute("channels") == ["room-1"]
        assert client.method("unsubscribe", "room-1") is True
        assert client.method("unsubscribe", "room-1") is False
        assert client.attribute("channels") == []
        assert server.journal.events(client.id) == ["on_connect", "on_connect"]

    def test_lets_messages_of_the_channel_in(self, connect: Connect) -> None:
        client, other = connect(), connect()
        client.method("subscribe", "room-1")
        other.method("broadcast_channel", "hello", "room-1")
        client.method("unsubscribe", "room-1")
        other.method("broadcast_channel", "late", "room-1")
        assert client.messages() == ["hello"]

    def test_is_undone_at_the_end_with_on_unsubscribe(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect()
        client.method("subscribe", "room-1")
        client.disconnect()
        assert server.journal.wait_for("on_unsubscribe", client.id, "room")


class TestIdentity:
    def test_the_session_id_is_what_the_client_knows_itself_by(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        assert client.attribute("session") == [client.id]
        assert state(server)["clients"][client.id]["id"] == client.id

    def test_the_session_id_is_short_and_not_the_secret_one(self, connect: Connect) -> None:
        client = connect()
        assert re.fullmatch(r"[\w-]{1,20}", client.id)
        assert client.carrier.handshake["sid"] not in client.id
        assert client.id not in client.carrier.handshake["sid"]

    def test_no_two_clients_share_one(self, connect: Connect) -> None:
        clients = [connect() for _ in range(10)]
        assert len({client.id for client in clients}) == 10
        assert len({client.carrier.handshake["sid"] for client in clients}) == 10

    def test_a_channel_named_like_a_clients_id_shows_nothing_of_what_that_client_gets(
        self, connect: Connect
    ) -> None:
        victim, spy = connect(), connect()
        spy.subscribe(victim.id)
        spy.subscribe(victim.carrier.handshake["sid"])
        victim.method("send", "a secret")
        spy.function("send", victim.id, "another")
        assert victim.messages() == ["a secret", "another"]
        assert spy.messages() == []


class TestTransport:
    def test_it_is_that_of_now(self, connect: Connect, transport: TransportName) -> None:
        client = connect(transport)
        expected = "polling" if transport == "polling" else "websocket"
        assert client.attribute("transport") == expected

    def test_connected_and_close_reason_tell_that_the_client_is_there(
        self, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        assert client.method("connected") is True
        assert client.attribute("close_reason") is None

    def test_auth_is_what_the_client_gave(self, connect: Connect, transport: TransportName) -> None:
        assert connect(transport, auth={"token": 5}).attribute("auth") == {"token": 5}
        assert connect(transport).attribute("auth") in (None, {})

    def test_namespace_is_the_main_one_and_nothing_was_recovered(self, connect: Connect) -> None:
        client = connect()
        assert client.attribute("namespace") == "/"
        assert client.attribute("recovered") is False


class TestAcknowledgements:
    @pytest.mark.parametrize("values", [["one"], ["one", 2, None], [None], [0], [False], [[]]])
    def test_a_message_is_answered_with_what_its_handler_returned(
        self, connect: Connect, transport: TransportName, values: list[Any]
    ) -> None:
        assert connect(transport).ask("message", {"do": "answer", "values": values}) == values

    def test_it_is_empty_where_no_handler_returned_anything(
        self, connect: Connect, transport: TransportName
    ) -> None:
        assert connect(transport).ask("message", {"do": "answer nothing"}) == []

    @pytest.mark.parametrize("ack_id", [0, 7, 10**12])
    def test_it_carries_the_clients_number(self, connect: Connect, ack_id: int) -> None:
        client = connect()
        client.emit("message", {"do": "answer", "values": ["yes"]}, ack_id=ack_id)
        assert client.answer_to(ack_id) == ["yes"]

    def test_one_that_nobody_asked_for_is_ignored(
        self, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        client.carrier.send('43999["whatever"]')
        assert client.messages() == []
