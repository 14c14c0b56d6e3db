"""Refusing clients and subscriptions: ``Reject`` and ``PermissionDenied``."""

from typing import Any

import pytest

from tests.support.client import ConnectError
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.views import outside
from tests.support.wire import TransportName

WAYS = [
    pytest.param("plain", {"message": "not you"}, id="Reject"),
    pytest.param("data", {"message": "not you", "data": {"until": "noon"}}, id="Reject with data"),
    pytest.param("denied", {"message": "members only"}, id="PermissionDenied"),
]


class TestAClientWhoseCheckFails:
    """An exception refuses: a check whose database fails must not let anybody in."""

    def test_is_refused_and_learns_nothing_of_it(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        before = len(server.output)
        with pytest.raises(ConnectError) as raised:
            connect(transport, query={"fail": "on_connect"})
        assert raised.value.error == {"message": "Internal error"}
        server.wait_for_output(r"RuntimeError: failed in on_connect", before)

    def test_is_not_subscribed(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        before = len(server.output)
        client = connect(transport, query={"fail": "on_subscribe"})
        assert client.subscribe("lobby") == {"error": "Internal error"}
        server.wait_for_output(r"RuntimeError: failed in on_subscribe", before)


class TestARefusedClient:
    @pytest.mark.parametrize(("way", "error"), WAYS)
    def test_is_told_why(
        self, connect: Connect, transport: TransportName, way: str, error: dict[str, Any]
    ) -> None:
        with pytest.raises(ConnectError) as raised:
            connect(transport, query={"refuse": way})
        assert raised.value.error == error


class TestAnAcceptedClient:
    def test_gets_the_answer_before_all_that_was_sent_to_it_meanwhile(
        self, server: Server, connect: Connect, transport: TransportName, gate: str
    ) -> None:
        client = connect(transport, query={"gate": gate}, join=False)
        client.ask_to_connect()
        (waiting,) = server.journal.wait_for("waiting", handler=gate)
        other = connect()
        other.method("broadcast", "broadcast")
        other.function("send", waiting.socket, "sent")
        assert client.packets == []
        outside(server, "open_gate", gate)
        assert client.next_messages(3) == ["from on_connect", "broadcast", "sent"]
        assert client.packets[0] == f'0{{"sid":"{waiting.socket}"}}'


class TestARefusedSubscription:
    @pytest.mark.parametrize(("way", "error"), WAYS)
    def test_is_undone_and_its_acknowledgement_says_why(
        self, connect: Connect, transport: TransportName, way: str, error: dict[str, Any]
    ) -> None:
        client = connect(transport)
        client.subscribe("lobby")
        answer = client.subscribe(f"refused-{way}")
        assert answer.pop("error") == error["message"]
        assert answer == {key: value for key, value in error.items() if key == "data"}
        assert client.attribute("channels") == ["lobby"]

    def test_has_no_on_unsubscribe_at_the_end(self, server: Server, connect: Connect) -> None:
        client = connect()
        client.subscribe("refused-plain")
        client.disconnect()
        server.journal.wait_for("on_finish", client.id)
        assert "on_unsubscribe" not in server.journal.events(client.id)


class TestAnAcceptedSubscription:
    def test_delivers_all_that_came_from_the_channel_meanwhile_in_order(
        self, server: Server, connect: Connect, transport: TransportName, gate: str
    ) -> None:
        channel = f"open-at-{gate}"
        client = connect(transport)
        asked = client.ask_later("__subscribe__", channel)
        server.journal.wait_for("waiting", client.id)
        other = connect()
        other.method("broadcast_channel", 1, channel)
        other.function("send", client.id, 2)
        other.method("broadcast_channel", 3, channel)
        outside(server, "open_gate", gate)
        assert client.answer_to(asked) == [True]
        assert client.messages() == ["from on_subscribe", 1, 2, 3]
