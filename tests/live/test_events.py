"""Events: which handlers run, when, in which order."""

from tests.support.server import Server
from tests.support.types import Connect
from tests.support.wire import TransportName


def calls(server: Server, socket_id: str) -> list[tuple[str, str]]:
    """Return which handlers ran for a socket, of which event."""
    return [(entry.event, entry.handler) for entry in server.journal.entries(socket_id)]


class TestRegistration:
    def test_handlers_of_one_event_run_in_the_order_of_their_registration(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        client.send("hello")
        client.subscribe("room-1")
        assert calls(server, client.id) == [
            ("on_connect", "bare"),
            ("on_connect", "called"),
            ("on_message", "bare"),
            ("on_message", "called"),
            ("on_subscribe", "bare"),
            ("on_subscribe", "called"),
            ("on_subscribe", "room"),
        ]


class TestSubscribing:
    def test_the_socket_is_on_the_channel_when_on_subscribe_runs(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        client.subscribe("lobby")
        client.subscribe("room-1")
        seen = [
            (entry.details["args"], entry.details["channels"])
            for entry in server.journal.entries(client.id, "bare")
            if entry.event == "on_subscribe"
        ]
        assert seen == [(["lobby"], ["lobby"]), (["room-1"], ["lobby", "room-1"])]

    def test_the_socket_has_left_the_channel_when_on_unsubscribe_runs(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        client.subscribe("lobby")
        client.subscribe("room-1")
        client.unsubscribe("lobby")
        left = server.journal.wait_for("on_unsubscribe", client.id, "bare")[-1]
        assert left.details["args"] == ["lobby"]
        assert left.details["channels"] == ["room-1"]

    def test_the_answer_tells_whether_it_changed_something(
        self, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        assert client.unsubscribe("room-1") is False
        assert client.subscribe("room-1") is True
        assert client.subscribe("room-1") is False
        assert client.unsubscribe("room-1") is True
