"""The socket that handlers get (semantics, section 3)."""

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

    def test_and_send_goes_to_this_client_as_well(self, three: tuple[Client, ...]) -> None:
        for client in three[:2]:
            client.subscribe("room-1")
            client.subscribe("room-2")
        three[0].method("send_and_broadcast_channel", "hello")
        assert [client.messages() for client in three] == [["hello"], ["hello"], []]


class TestIdentity:
    @pytest.mark.one_process("asks one worker who is there")
    def test_the_session_id_is_what_the_client_knows_itself_by(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        assert client.attribute("session") == [client.id]
        assert state(server)["clients"][client.id]["id"] == client.id

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
    def test_is_that_of_now(self, connect: Connect, transport: TransportName) -> None:
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


class TestAcknowledgements:
    @pytest.mark.parametrize("values", [["one"], ["one", 2, None], [None], [0], [False], [[]]])
    def test_have_what_the_handler_returned(
        self, connect: Connect, transport: TransportName, values: list[Any]
    ) -> None:
        assert connect(transport).ask("message", {"do": "answer", "values": values}) == values

    def test_are_empty_where_no_handler_returned_anything(
        self, connect: Connect, transport: TransportName
    ) -> None:
        assert connect(transport).ask("message", {"do": "answer nothing"}) == []

    @pytest.mark.parametrize("ack_id", [0, 7, 10**12])
    def test_carry_the_clients_number(self, connect: Connect, ack_id: int) -> None:
        client = connect()
        client.emit("message", {"do": "answer", "values": ["yes"]}, ack_id=ack_id)
        assert client.answer_to(ack_id) == ["yes"]

    def test_that_nobody_asked_for_are_ignored(
        self, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        client.carrier.send('43999["whatever"]')
        assert client.messages() == []
