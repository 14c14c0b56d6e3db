"""Sending from outside of handlers, and what a message may hold."""

from typing import Any

import pytest

from tests.support.server import Server
from tests.support.types import Connect
from tests.support.views import outside, state, wait_until_gone
from tests.support.wire import TransportName


class TestFunctions:
    def test_send_reaches_one_client(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client, other = connect(transport), connect()
        assert outside(server, "send", client.id, {"a": [1]}).text == "done"
        assert client.messages() == [{"a": [1]}]
        assert other.messages() == []

    def test_send_wakes_a_client_that_waits(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        if transport == "polling":
            client.carrier.start_poll()  # type: ignore[attr-defined]
        outside(server, "send", client.id, "hello")
        assert client.next_message() == "hello"

    def test_broadcast_reaches_every_client_once(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        clients = [connect(transport) for _ in range(3)]
        clients[0].subscribe("room-1")
        clients[0].subscribe("room-2")
        outside(server, "broadcast", "hello")
        assert [client.messages() for client in clients] == [["hello"]] * 3

    def test_broadcast_channel_reaches_every_client_on_the_channel_once(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        clients = [connect(transport) for _ in range(3)]
        for client in clients[:2]:
            client.subscribe("room-1")
        clients[2].subscribe("room-2")
        outside(server, "broadcast_channel", "hello", "room-1")
        assert [client.messages() for client in clients] == [["hello"], ["hello"], []]


@pytest.mark.one_process("with a broker, nobody knows whether there is such a client")
class TestNoSocket:
    @pytest.mark.parametrize("session_id", ["nobody", "", "é"])
    def test_when_there_is_no_such_client(self, server: Server, session_id: str) -> None:
        response = outside(server, "send", session_id, "hello")
        assert response.status == 404
        assert response.text == f"There is no socket with the session ID: {session_id}"

    def test_when_it_is_the_secret_id(self, server: Server, connect: Connect) -> None:
        client = connect()
        assert outside(server, "send", client.carrier.handshake["sid"], "hello").status == 404


@pytest.mark.one_process("asks one worker who is there")
class TestRegistries:
    def test_clients_maps_session_ids_to_request_socket_and_context(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        client.do("remember", key="name", value="Ann")
        assert state(server)["clients"][client.id] == {
            "id": client.id,
            "path": "/socket.io/",
            "context": {"name": "Ann"},
        }

    def test_channels_maps_channels_to_subscribers(self, server: Server, connect: Connect) -> None:
        one, other = connect(), connect()
        one.subscribe("mapped")
        other.subscribe("mapped")
        assert state(server)["channels"]["mapped"] == [one.id, other.id]
        one.unsubscribe("mapped")
        other.close()
        wait_until_gone(server, other.id)
        assert "mapped" not in state(server)["channels"]


class TestWhatAMessageMayHold:
    @pytest.mark.parametrize(
        ("thing", "arrives"),
        [
            ("datetime", "2014-02-03T04:05:06Z"),
            ("date", "2014-02-03"),
            ("decimal", "1.10"),
            ("uuid", "00000000-0000-0000-0000-000000000005"),
            ("lazy", "Yes"),
            ("tuple", [1, 2]),
        ],
    )
    def test_what_djangos_json_encoder_takes(
        self, connect: Connect, thing: str, arrives: Any
    ) -> None:
        client = connect()
        client.do_without_answer("send thing", thing=thing, method="send")
        assert client.messages() == [{thing: arrives}]
