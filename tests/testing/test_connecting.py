"""How a test client connects and disconnects."""

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from socketio_server.channels import CHANNELS
from socketio_server.clients import CLIENTS
from socketio_server.events import Registry, Reject
from socketio_server.testing import ConnectionRefused, SocketIOClient


class TestConnecting:
    def test_the_context_manager_connects_and_disconnects(
        self, registry: Registry, log: list[str]
    ) -> None:
        with SocketIOClient(registry=registry) as client:
            assert client.connected
            assert log == ["connect"]

        assert not client.connected
        assert log[1:] == ["disconnect: client namespace disconnect", "finish"]

    def test_it_can_be_done_by_hand(self, registry: Registry, log: list[str]) -> None:
        client = SocketIOClient(registry=registry)
        assert not client.connected
        assert log == []

        client.connect()
        assert client.connected

        client.disconnect()
        assert not client.connected

    def test_the_client_is_among_the_clients(self, client: SocketIOClient) -> None:
        _request, socket, context = CLIENTS[client.session_id]

        assert list(CLIENTS) == [client.session_id]
        assert socket.session.session_id == client.session_id
        assert context == {}

    def test_what_on_connect_sends_has_arrived(self, registry: Registry) -> None:
        @registry.on_connect
        def connect(request: Any, socket: Any, context: Any) -> None:
            socket.send("welcome")

        with SocketIOClient(registry=registry) as client:
            client.assert_received("welcome")

    def test_the_server_gets_the_clients_auth(self, registry: Registry) -> None:
        @registry.on_connect
        def connect(request: Any, socket: Any, context: Any) -> None:
            socket.send(socket.auth)

        with SocketIOClient(registry=registry, auth={"token": "abc"}) as client:
            client.assert_received({"token": "abc"})

    def test_a_client_that_is_connected_can_not_connect(self, client: SocketIOClient) -> None:
        with pytest.raises(RuntimeError, match="connected already"):
            client.connect()

    def test_nobody_can_connect_while_handlers_run(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            other.connect()

        other = SocketIOClient(registry=registry)
        with pytest.raises(RuntimeError, match="while handlers run"):
            client.send("hi")

    def test_one_that_was_disconnected_may_connect_again(
        self, registry: Registry, log: list[str]
    ) -> None:
        client = SocketIOClient(registry=registry)
        with client:
            first = client.session_id
        with client:
            assert client.connected
            assert client.close_reason is None
            assert client.session_id != first

        assert log.count("connect") == log.count("finish") == 2

    def test_a_refusal_carries_message_and_data(self, registry: Registry, log: list[str]) -> None:
        @registry.on_connect
        def refuse(request: Any, socket: Any, context: Any) -> None:
            socket.send("nobody will see this")
            raise Reject("full", {"retry_after": 30})

        client = SocketIOClient(registry=registry)
        with pytest.raises(ConnectionRefused, match="full") as refused:
            client.connect()

        assert refused.value.message == "full"
        assert refused.value.data == {"retry_after": 30}
        assert refused.value.response is None
        assert not client.connected
        assert log == ["connect"]
        client.assert_received_nothing()
        assert len(CLIENTS) == 0

    def test_permission_denied_is_a_refusal(self, registry: Registry) -> None:
        @registry.on_connect
        def refuse(request: Any, socket: Any, context: Any) -> None:
            raise PermissionDenied("members only")

        with pytest.raises(ConnectionRefused, match="members only"):
            SocketIOClient(registry=registry).connect()

    def test_one_that_was_refused_may_try_again(self, registry: Registry) -> None:
        @registry.on_connect
        def refuse(request: Any, socket: Any, context: Any) -> None:
            if not open_hours:
                raise Reject("closed")

        open_hours = False
        client = SocketIOClient(registry=registry)
        with pytest.raises(ConnectionRefused):
            client.connect()
        open_hours = True
        with client:
            assert client.connected

    def test_one_that_on_connect_takes_out_was_connected_and_is_no_more(
        self, registry: Registry, log: list[str]
    ) -> None:
        @registry.on_connect
        def take_out(request: Any, socket: Any, context: Any) -> None:
            socket.send("sorry")
            socket.disconnect()

        with SocketIOClient(registry=registry) as client:
            assert not client.connected
            client.assert_received("sorry")
            assert client.close_reason == "server namespace disconnect"
        assert log == ["connect", "disconnect: server namespace disconnect", "finish"]

    def test_its_repr_tells_whether_it_is(self, registry: Registry) -> None:
        with SocketIOClient(registry=registry) as client:
            assert repr(client) == f"<SocketIOClient {client.session_id}, connected>"
        assert repr(client) == f"<SocketIOClient {client.session_id}, not connected>"


class TestDisconnecting:
    def test_the_last_handlers_run_in_their_order(
        self, log: list[str], client: SocketIOClient
    ) -> None:
        client.subscribe("a")
        client.subscribe("b")
        log.clear()
        client.disconnect()

        assert log == [
            "disconnect: client namespace disconnect",
            "unsubscribe a",
            "unsubscribe b",
            "finish",
        ]
        assert len(CLIENTS) == 0
        assert dict(CHANNELS) == {}

    @pytest.mark.parametrize(
        "reason", ["transport close", "transport error", "server shutting down"]
    )
    def test_the_reason_may_be_chosen(
        self, log: list[str], client: SocketIOClient, reason: str
    ) -> None:
        client.disconnect(reason)

        assert client.close_reason == reason
        assert log == ["connect", f"disconnect: {reason}", "finish"]

    def test_one_that_does_not_exist_is_a_value_error(self, client: SocketIOClient) -> None:
        with pytest.raises(ValueError, match="boredom"):
            client.disconnect("boredom")
        assert client.connected

    def test_a_second_time_does_nothing(self, log: list[str], client: SocketIOClient) -> None:
        client.disconnect()
        client.disconnect("transport close")

        assert log.count("finish") == 1
        assert client.close_reason == "client namespace disconnect"

    def test_the_server_may_do_it(
        self, registry: Registry, log: list[str], client: SocketIOClient
    ) -> None:
        @registry.on("quit")
        def leave(request: Any, socket: Any, context: Any) -> None:
            socket.send("bye")
            socket.disconnect()
            socket.send("too late")
            log.append("quit")

        client.emit("quit")

        assert not client.connected
        assert client.close_reason == "server namespace disconnect"
        client.assert_received("bye")
        assert log == ["connect", "quit", "disconnect: server namespace disconnect", "finish"]

    def test_with_the_whole_session_too(
        self, registry: Registry, log: list[str], client: SocketIOClient
    ) -> None:
        @registry.on("quit")
        def leave(request: Any, socket: Any, context: Any) -> None:
            socket.disconnect(close=True)

        client.emit("quit")

        assert not client.connected
        assert log == ["connect", "disconnect: server namespace disconnect", "finish"]

    def test_it_does_it_to_clients_that_break_the_protocol(
        self, log: list[str], client: SocketIOClient
    ) -> None:
        client.send([b""] * 11)  # one attachment more than a packet may have

        assert client.close_reason == "parse error"
        assert log == ["connect", "disconnect: parse error", "finish"]

    def test_it_may_do_it_outside_of_handlers(self, log: list[str], client: SocketIOClient) -> None:
        _request, socket, _context = CLIENTS[client.session_id]
        socket.disconnect()

        assert log == ["connect", "disconnect: server namespace disconnect", "finish"]
        assert not client.connected

    def test_what_fails_in_the_block_is_not_hidden_by_what_the_last_handlers_raise(
        self, registry: Registry
    ) -> None:
        @registry.on_disconnect
        def disconnect(request: Any, socket: Any, context: Any) -> None:
            raise ValueError("at the end")

        with pytest.raises(KeyError), SocketIOClient(registry=registry):
            raise KeyError("in the block")

        with pytest.raises(ValueError, match="at the end"), SocketIOClient(registry=registry):
            pass
