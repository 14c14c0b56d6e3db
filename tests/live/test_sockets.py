"""The socket that handlers get."""

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

    def test_carries_what_json_carries(self, connect: Connect, transport: TransportName) -> None:
        client = connect(transport)
        messages = ["", "é€😀\u2028\n\0\x1e", 2.5, None, [[1, {"a": [None]}]], "2"]
        for message in messages:
            client.method("send", message)
        assert client.messages() == messages

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


class TestBroadcastChannel:
    def test_goes_to_every_other_client_on_the_channel(self, three: tuple[Client, ...]) -> None:
        actor, member, stranger = three
        actor.subscribe("room-1")
        member.subscribe("room-1")
        stranger.subscribe("room-2")
        actor.method("broadcast_channel", "hello", "room-1")
        assert [client.messages() for client in three] == [[], ["hello"], []]


class TestIdentity:
    @pytest.mark.one_process("asks one worker who is there")
    def test_the_session_id_is_what_the_client_knows_itself_by(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        assert client.attribute("session") == [client.id]
        assert state(server)["clients"][client.id]["id"] == client.id


class TestTransport:
    def test_is_that_of_now(self, connect: Connect, transport: TransportName) -> None:
        client = connect(transport)
        expected = "polling" if transport == "polling" else "websocket"
        assert client.attribute("transport") == expected

    def test_auth_is_what_the_client_gave(self, connect: Connect, transport: TransportName) -> None:
        assert connect(transport, auth={"token": 5}).attribute("auth") == {"token": 5}
        assert connect(transport).attribute("auth") in (None, {})


class TestAcknowledgements:
    def test_have_what_the_handler_returned(
        self, connect: Connect, transport: TransportName
    ) -> None:
        values = ["one", 2, None]
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
