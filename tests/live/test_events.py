"""Events: which handlers run, when, in which order (semantics, section 1)."""

import pytest

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


class TestChannelRulesForMessages:
    """They are the same for ``on_error``, ``on_disconnect`` and ``on_finish``."""

    def handlers(self, server: Server, socket_id: str, event: str) -> list[str]:
        return [label for name, label in calls(server, socket_id) if name == event]

    def test_without_a_channel_the_handlers_without_a_pattern_run(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect()
        client.ask("message", "hello")
        assert self.handlers(server, client.id, "on_message") == ["bare", "called"]

    def test_on_a_matching_channel_only_the_handler_with_the_pattern_runs(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect()
        client.subscribe("room-1")
        client.ask("message", "hello")
        assert self.handlers(server, client.id, "on_message") == ["room"]

    def test_on_several_matching_channels_it_runs_once(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect()
        for channel in ("room-1", "lobby", "room-2"):
            client.subscribe(channel)
        client.ask("message", "hello")
        assert self.handlers(server, client.id, "on_message") == ["room"]

    def test_on_a_channel_that_does_not_match_none_runs(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect()
        client.subscribe("lobby")
        client.ask("message", "hello")
        assert self.handlers(server, client.id, "on_message") == []

    def test_a_pattern_must_match_from_the_channels_beginning(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect()
        client.subscribe("the room-1")
        client.ask("message", "hello")
        assert self.handlers(server, client.id, "on_message") == []

    def test_after_the_last_channel_was_left_the_handlers_without_a_pattern_run_again(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect()
        client.subscribe("room-1")
        client.unsubscribe("room-1")
        client.ask("message", "hello")
        assert self.handlers(server, client.id, "on_message") == ["bare", "called"]

    @pytest.mark.parametrize("event", ["on_error", "on_disconnect", "on_finish"])
    def test_the_other_events_follow_the_same_rules(
        self, server: Server, connect: Connect, event: str
    ) -> None:
        lonely, lodger, guest = connect(), connect(), connect()
        lodger.subscribe("room-1")
        guest.subscribe("lobby")
        for client in (lonely, lodger, guest):
            client.send({"do": "raise", "text": "oops"})
            client.disconnect()
        server.journal.wait_for("on_finish", lonely.id)
        server.journal.wait_for("on_finish", lodger.id)
        assert self.handlers(server, lonely.id, event) == ["bare", "called"]
        assert self.handlers(server, lodger.id, event) == ["room"]
        assert self.handlers(server, guest.id, event) == []


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

    @pytest.mark.parametrize("event", ["on_subscribe", "on_unsubscribe"])
    def test_a_pattern_is_matched_with_the_channel_of_the_event_alone(
        self, server: Server, connect: Connect, event: str
    ) -> None:
        client = connect()
        for channel in ("room-1", "lobby"):
            client.subscribe(channel)
        for channel in ("lobby", "room-1"):
            client.unsubscribe(channel)
        handlers = {
            label: [
                entry.details["args"][0]
                for entry in server.journal.entries(client.id, label)
                if entry.event == event
            ]
            for label in ("bare", "called", "room")
        }
        assert sorted(handlers["bare"]) == sorted(handlers["called"]) == ["lobby", "room-1"]
        assert handlers["room"] == ["room-1"]

    def test_the_answer_tells_whether_it_changed_something(
        self, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        assert client.unsubscribe("room-1") is False
        assert client.subscribe("room-1") is True
        assert client.subscribe("room-1") is False
        assert client.unsubscribe("room-1") is True

    def test_repeating_it_changes_nothing_and_runs_the_event_all_the_same(
        self, server: Server, connect: Connect
    ) -> None:
        client, other = connect(), connect()
        for _ in range(2):
            client.subscribe("room-twice")
        assert client.attribute("channels") == ["room-twice"]
        other.method("broadcast_channel", "once", "room-twice")
        assert client.messages() == ["once"]
        for _ in range(2):
            client.unsubscribe("room-twice")
        assert server.journal.events(client.id, "room") == [
            "on_subscribe",
            "on_subscribe",
            "on_unsubscribe",
            "on_unsubscribe",
        ]

    def test_the_channels_are_in_the_order_of_subscription(self, connect: Connect) -> None:
        client = connect()
        for channel in ("b", "c", "a"):
            client.subscribe(channel)
        client.unsubscribe("b")
        client.subscribe("b")
        assert client.attribute("channels") == ["c", "a", "b"]

    @pytest.mark.parametrize("channel", ["", "x" * 129, "line\nbreak", 5, None, ["room-1"]])
    def test_what_is_no_channel_name_is_answered_with_an_error_and_runs_nothing(
        self, server: Server, connect: Connect, channel: object
    ) -> None:
        client = connect()
        for event in ("__subscribe__", "__unsubscribe__"):
            assert "error" in client.call(event, channel)
        assert client.attribute("channels") == []
        assert server.journal.events(client.id, "bare") == ["on_connect"]

    def test_no_client_holds_more_than_256_channels(self, connect: Connect) -> None:
        client = connect()
        asked = [client.ask_later("__subscribe__", f"channel-{n}") for n in range(257)]
        answers = [client.answer_to(ack_id) for ack_id in asked]
        assert answers[:256] == [[True]] * 256
        assert "error" in answers[256][0]
        assert client.unsubscribe("channel-0") is True
        assert client.subscribe("another") is True
