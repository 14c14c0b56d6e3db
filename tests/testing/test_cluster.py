"""What is for all processes, in a test with clients."""

from typing import Any

import pytest

import socketio_server
from socketio_server.events import EVERYONE, Registry, SocketSession
from socketio_server.testing import SocketIOClient


class TestOperations:
    def test_find_and_change_the_tests_clients(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on("name")
        def name(request: Any, socket: Any, context: Any, name: str) -> None:
            socket.data["name"] = name

        client.emit("name", "Zoë")
        socketio_server.subscribe("vip", to=SocketSession(client.session_id))
        (record,) = socketio_server.find_sockets(to="vip")
        assert record.session_id == client.session_id
        assert record.data == {"name": "Zoë"}
        assert record.handshake.address == "127.0.0.1"
        assert record.handshake.time is not None
        assert socketio_server.channel_names() == ("vip",)

        socketio_server.unsubscribe("vip", to="vip")
        assert socketio_server.channel_names() == ()
        socketio_server.disconnect(to=EVERYONE)
        assert not client.connected

    def test_ask_the_tests_clients(self, client: SocketIOClient) -> None:
        client.on("question", 1)
        assert socketio_server.call("question") == ({client.session_id: 1}, ())


class TestEventsOfServers:
    def test_run_handlers_and_are_answered(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        heard: list[int] = []
        registry.on_cluster("news")(heard.append)
        registry.on_cluster("add")(lambda a, b: a + b)
        socketio_server.emit_cluster("news", 1)
        assert heard == [1]
        assert socketio_server.call_cluster("add", 1, 2) == (3,)

    def test_whose_handlers_raise_do_so_in_the_test(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        registry.on_cluster("news")(lambda: 1 / 0)
        socketio_server.emit_cluster("news")
        with pytest.raises(ZeroDivisionError):
            client.send("anything")

    def test_run_nothing_when_the_last_client_has_left(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        heard: list[int] = []
        registry.on_cluster("news")(heard.append)
        client.disconnect()
        socketio_server.emit_cluster("news", 1)
        assert heard == []
