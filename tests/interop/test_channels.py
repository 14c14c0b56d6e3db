"""Channels with the official clients: plain events to subscribe and to leave, and who gets what."""

from tests.interop.clients import FLAVOURS
from tests.interop.conftest import Connect


class TestSubscribing:
    def test_is_acknowledged_with_whether_it_changed_something(self, connect: Connect) -> None:
        client = connect()
        assert client.subscribe("room-1") is True
        assert client.subscribe("room-1") is False
        assert client.unsubscribe("room-1") is True
        assert client.unsubscribe("room-1") is False

    def test_needs_no_acknowledgement(self, connect: Connect) -> None:
        client = connect()
        client.emit_all(
            [["__subscribe__", "room-2"], ["__subscribe__", "room-1"], ["__subscribe__", "x"]]
        )
        client.emit("__unsubscribe__", "room-2")
        assert client.who()["channels"] == ["room-1", "x"]

    def test_runs_the_handlers_for_that_channel(self, connect: Connect) -> None:
        client = connect()
        client.subscribe("lobby-1")
        client.unsubscribe("lobby-1")
        assert client.messages(2) == [{"entered": "lobby-1"}, {"left": "lobby-1"}]

    def test_may_be_refused_with_a_reason_and_data(self, connect: Connect) -> None:
        client = connect()
        assert client.subscribe("closed-1") == {
            "error": "No entry",
            "data": {"channel": "closed-1"},
        }
        assert client.subscribe("members-1") == {"error": "Members only"}
        assert client.who()["channels"] == []

    def test_is_refused_for_what_is_no_channel(self, connect: Connect) -> None:
        client = connect()
        assert client.subscribe("x" * 129) == {"error": "Invalid channel"}
        assert client.unsubscribe("") == {"error": "Invalid channel"}


class TestBroadcasting:
    def test_reaches_those_on_the_channel_the_sender_included(self, connect: Connect) -> None:
        sender, other = connect(), connect()
        sender.subscribe("room-b")
        other.subscribe("room-b")
        sender.send("to all of us", {"and": "again"})
        assert sender.messages(2) == ["to all of us", {"and": "again"}]
        assert other.messages(2) == ["to all of us", {"and": "again"}]

    def test_reaches_nobody_who_left_or_was_never_there(self, connect: Connect) -> None:
        sender, left, elsewhere = connect(), connect(), connect()
        sender.subscribe("room-c")
        left.subscribe("room-c")
        left.unsubscribe("room-c")
        elsewhere.subscribe("room-d")
        sender.send("for room-c only")
        sender.emit("broadcast", "for everybody")
        assert left.message() == "for everybody"
        assert elsewhere.message() == "for everybody"
        assert sender.message() == "for room-c only"

    def test_reaches_official_clients_of_every_kind_in_one_order(self, connect: Connect) -> None:
        clients = [connect(flavour) for flavour in FLAVOURS]
        for client in clients:
            client.subscribe("room-e")
        for client in clients:
            client.send(*(f"{client.flavour} {number}" for number in range(5)))
        heard = [client.messages(5 * len(clients)) for client in clients]
        assert sorted(heard[0]) == sorted(
            f"{flavour} {number}" for flavour in FLAVOURS for number in range(5)
        )
        assert all(messages == heard[0] for messages in heard)
