"""The test client: a client whose server is the test's own process."""

from typing import Any

import pytest

from socketio_server.channels import CHANNELS
from socketio_server.clients import CLIENTS
from socketio_server.events import Registry, Reject
from socketio_server.testing import ConnectionRefused, SocketIOClient, SubscriptionRefused


class TestTheDemo:
    """How a project's own handlers are tested: these are the demo's ``events.py``."""

    def test_whoever_comes_is_welcomed(self) -> None:
        with SocketIOClient() as visitor:
            visitor.assert_received({"action": "system-info", "message": "You are connected."})

    def test_whoever_comes_is_welcomed_in_their_language(self) -> None:
        with SocketIOClient(headers={"Accept-Language": "fr"}) as visitor:
            (welcome,) = visitor.messages

        assert welcome["message"] == "La connexion est établie."

    def test_what_one_says_reaches_the_whole_room_and_nobody_else(self) -> None:
        with SocketIOClient() as ann, SocketIOClient() as bob, SocketIOClient() as eve:
            ann.subscribe("room-1")
            bob.subscribe("room-1")
            eve.subscribe("room-2")
            for visitor in (ann, bob, eve):
                visitor.get_received()  # the greetings
            ann.send({"action": "message", "message": "hello"})

            ann.assert_received({"action": "message", "message": "hello"})
            bob.assert_received({"action": "message", "message": "hello"})
            eve.assert_received_nothing()


class TestChannels:
    def test_subscribing_runs_on_subscribe(self, log: list[str], client: SocketIOClient) -> None:
        assert client.subscribe("room-1") is True
        assert log == ["connect", "subscribe room-1"]
        assert dict(CHANNELS) == {"room-1": [client.session_id]}

    def test_a_second_time_changes_nothing_and_runs_it_again(
        self, log: list[str], client: SocketIOClient
    ) -> None:
        client.subscribe("room-1")

        assert client.subscribe("room-1") is False
        assert log == ["connect", "subscribe room-1", "subscribe room-1"]

    def test_unsubscribing_runs_on_unsubscribe(
        self, log: list[str], client: SocketIOClient
    ) -> None:
        client.subscribe("room-1")

        assert client.unsubscribe("room-1") is True
        assert client.unsubscribe("room-1") is False
        assert log[2:] == ["unsubscribe room-1", "unsubscribe room-1"]
        assert dict(CHANNELS) == {}

    def test_a_refusal_carries_message_and_data(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        @registry.on_subscribe(channel="^staff-")
        def refuse(request: Any, socket: Any, context: Any, channel: str) -> None:
            raise Reject("members only", {"channel": channel})

        with pytest.raises(SubscriptionRefused, match="members only") as refused:
            client.subscribe("staff-1")

        assert refused.value.message == "members only"
        assert refused.value.data == {"channel": "staff-1"}
        assert dict(CHANNELS) == {}
        assert client.connected

    @pytest.mark.parametrize("channel", ["", "a\nb", "x" * 129])
    def test_a_name_that_is_none_is_refused(self, client: SocketIOClient, channel: str) -> None:
        with pytest.raises(SubscriptionRefused, match="Invalid channel"):
            client.subscribe(channel)
        with pytest.raises(SubscriptionRefused, match="Invalid channel"):
            client.unsubscribe(channel)


class TestNamespaces:
    @pytest.fixture(autouse=True)
    def _handlers(self, registry: Registry) -> None:
        @registry.on_message(namespace="/admin")
        def message(request: Any, socket: Any, context: Any, message: Any) -> str:
            socket.broadcast(message)
            return f"in {socket.namespace}"

    def test_a_client_joins_the_one_that_it_names(self, registry: Registry) -> None:
        with SocketIOClient(registry=registry, namespace="/admin", auth={"a": 1}) as client:
            assert client.call("message", "hi") == "in /admin"
            assert CLIENTS[client.session_id][1].auth == {"a": 1}

    def test_clients_of_others_hear_nothing(
        self, registry: Registry, client: SocketIOClient
    ) -> None:
        with (
            SocketIOClient(registry=registry, namespace="/admin") as a,
            SocketIOClient(registry=registry, namespace="/admin") as b,
        ):
            a.send({"file": b"data"})

            a.assert_received_nothing()
            b.assert_received({"file": b"data"})
            client.assert_received_nothing()

    def test_one_without_handlers_refuses(self, registry: Registry) -> None:
        with pytest.raises(ConnectionRefused, match="Invalid namespace"):
            SocketIOClient(registry=registry, namespace="/nowhere").connect()

    def test_acknowledgements_and_the_end_are_its_own(self, registry: Registry) -> None:
        seen: list[Any] = []

        @registry.on("ask", namespace="/admin")
        def ask(request: Any, socket: Any, context: Any) -> None:
            seen.append(socket.call("question", timeout=1))

        @registry.on_disconnect(namespace="/admin")
        def disconnect(request: Any, socket: Any, context: Any) -> None:
            seen.append(socket.close_reason)

        with SocketIOClient(registry=registry, namespace="/admin") as client:
            client.on("question", b"yes")
            client.emit("ask")

        assert seen == [b"yes", "client namespace disconnect"]
