"""From polling to WebSocket: nothing lost, doubled or out of order (Engine.IO, "Upgrade")."""

import pytest

from tests.support.client import Client
from tests.support.http import Http
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.views import outside
from tests.support.websocket import WebSocket, handshake_headers
from tests.support.wire import Upgrading, open_probe, target

NUMBERS = 300


def poll(upgrading: Upgrading) -> None:
    """Send a GET, which the server has got when it answers what is sent behind it."""
    upgrading.polling.start_poll()
    assert upgrading.polling.post("3").body == b"ok"


def received(server: Server, client: Client) -> list[object]:
    """Return the messages that the server got from a client."""
    client.messages()
    return [
        entry.details["args"][0]
        for entry in server.journal.entries(client.id, "bare")
        if entry.event == "on_message"
    ]


class TestUpgrade:
    def test_messages_in_both_directions_arrive_once_and_in_order(
        self, server: Server, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        upgrading_client.do("count", to=NUMBERS)  # the server sends while we do all this
        numbers = iter(range(NUMBERS))
        for _ in range(10):
            upgrading_client.send(next(numbers))
        upgrading_client.take_packets()
        upgrading.polling.start_poll()
        upgrading.probe()
        for _ in range(10):  # between the probe and the end of the upgrade
            upgrading_client.send(next(numbers))
            upgrading_client.take_packets()
        upgrading.finish_polling()
        upgrading.complete()
        for number in numbers:
            upgrading_client.send(number)
        assert upgrading_client.next_messages(NUMBERS) == list(range(NUMBERS))
        assert received(server, upgrading_client) == list(range(NUMBERS))
        assert upgrading_client.attribute("transport") == "websocket"

    @pytest.mark.parametrize("attempt", range(5))
    def test_loses_no_messages_when_a_poll_is_still_under_way(
        self, server: Server, upgrading_client: Client, upgrading: Upgrading, attempt: int
    ) -> None:
        upgrading_client.do("count", to=NUMBERS)
        for _ in range(attempt):
            upgrading_client.take_packets()
        upgrading.polling.start_poll()
        upgrading.probe()
        poll(upgrading)
        upgrading.complete()
        upgrading.finish_polling()
        assert upgrading_client.next_messages(NUMBERS) == list(range(NUMBERS))

    def test_packets_sent_over_polling_before_it_ended_come_first(
        self, server: Server, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        upgrading.probe()
        upgrading.polling.send(*(f'42["message",{number}]' for number in range(100)))
        upgrading.finish_polling()
        upgrading.complete()
        upgrading_client.send("over WebSocket")
        assert received(server, upgrading_client) == [*range(100), "over WebSocket"]

    def test_what_waits_when_it_ends_comes_over_the_websocket(
        self, server: Server, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        upgrading.probe()
        outside(server, "send", upgrading_client.id, "waiting")
        upgrading.complete()
        assert upgrading_client.next_message() == "waiting"

    def test_the_probe_releases_the_poll_that_waits(
        self, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        poll(upgrading)
        assert not upgrading.polling.has_answer()
        upgrading.probe()
        assert upgrading.polling.finish() == ["6"]

    def test_its_end_releases_a_poll_that_waits(
        self, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        upgrading.probe()
        poll(upgrading)
        upgrading.complete()
        assert upgrading.polling.finish() == ["6"]
        assert upgrading_client.messages() == []

    def test_leaves_no_polling(
        self, server: Server, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        upgrading.upgrade()
        upgrading_client.messages()
        for method, body in (("GET", ""), ("POST", '42["message","late"]')):
            with Http(server.address) as http:
                response = http.request(method, upgrading.polling.target, body)
                assert (response.status, response.json["code"]) == (400, 3)
        assert received(server, upgrading_client) == []

    def test_after_it_the_end_of_the_polling_connections_means_nothing(
        self, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        upgrading.upgrade()
        upgrading.polling.reset()
        assert upgrading_client.messages() == []

    def test_after_it_the_events_of_the_connection_go_on(
        self, server: Server, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        upgrading_client.subscribe("room-1")
        upgrading_client.do("remember", key="name", value="Ann")
        upgrading.upgrade()
        assert upgrading_client.attribute("channels") == ["room-1"]
        assert upgrading_client.attribute("context") == {"name": "Ann"}
        assert server.journal.events(upgrading_client.id, "bare") == ["on_connect", "on_subscribe"]


class TestASecondWebSocket:
    def test_is_closed_while_another_probes(
        self, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        upgrading.probe()
        assert open_probe(upgrading.polling).wait_for_close().code == 1000
        upgrading.complete()
        assert upgrading_client.messages() == []

    def test_is_closed_after_an_upgrade(
        self, upgrading_client: Client, upgrading: Upgrading
    ) -> None:
        upgrading.upgrade()
        assert open_probe(upgrading.polling).wait_for_close().code == 1000
        assert upgrading_client.messages() == []

    def test_is_closed_where_the_session_began_as_one(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect("websocket")
        sid = client.carrier.handshake["sid"]
        second = WebSocket(server.address, target("websocket", sid=sid))
        assert second.wait_for_close().code == 1000
        assert client.messages() == []


class TestAMalformedHandshake:
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_of_another_method_than_get_is_a_400(
        self, upgrading_client: Client, upgrading: Upgrading, method: str
    ) -> None:
        path = target("websocket", sid=upgrading.handshake["sid"])
        with Http(upgrading.polling.address) as http:
            http.send_request(method, path, headers={**handshake_headers(), "Content-Length": "0"})
            response = http.read_response()
        assert (response.status, response.json["code"]) == (400, 3)
        assert upgrading_client.attribute("transport") == "polling"
