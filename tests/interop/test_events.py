"""Custom events with the official clients, and acknowledgements in both directions."""

from typing import Any

import pytest

from tests.interop.clients import (
    FLAVOURS,
    JAVASCRIPT_4_FLAVOURS,
    JAVASCRIPT_FLAVOURS,
    WATCHER,
    ClientError,
    Flavour,
)
from tests.interop.conftest import Connect
from tests.support.tools import PATIENCE

ARGUMENTS: list[list[Any]] = [
    [],
    [None],
    ["one"],
    [1, "two", {"three": [3]}, [], None],
    [[1, 2]],
    [list(range(100)), {"Zoë": "😀"}],
]


class TestCustomEvents:
    def test_reach_the_client_with_all_their_arguments(self, connect: Connect) -> None:
        client = connect()
        client.emit_all([["emit", None, [], "news", *args] for args in ARGUMENTS])
        assert client.events("news", len(ARGUMENTS)) == ARGUMENTS

    def test_may_have_any_name(self, connect: Connect) -> None:
        client = connect()
        for name in ("with spaces", "Zoë 😀", "message2", "toString", "2"):
            client.emit("emit", None, [], name, name)
            assert client.event(name) == [name]

    def test_that_no_handler_is_for_change_nothing(self, connect: Connect) -> None:
        client = connect()
        unanswered = client.start_asking("nobody listens", 1, 2)
        assert client.ask("echo", "still here") == ["still here"]
        assert not unanswered.done()

    def test_of_a_channel_reach_their_handlers_from_there(self, connect: Connect) -> None:
        client = connect()
        client.subscribe("room-1")
        assert client.ask("members only") == ["welcome"]

    def test_keep_their_order_among_messages(self, connect: Connect) -> None:
        client = connect()
        client.emit_all(
            [
                ["message", 1],
                ["emit", None, [], "message", 2],
                ["message", 3],
                ["emit", None, [], "message", 4],
            ]
        )
        assert client.messages(4) == [1, 2, 3, 4]

    def test_to_channels_reach_each_client_once_but_those_that_are_skipped(
        self, connect: Connect
    ) -> None:
        sender, both, skipped, elsewhere = (connect() for _ in range(4))
        for channel in ("one", "two"):
            both.subscribe(channel)
            skipped.subscribe(channel)
        sender.subscribe("two")
        elsewhere.subscribe("three")
        sender.emit("emit", ["one", "two"], [skipped.id], "news", "for one and two")
        sender.emit("emit", "EVERYONE", [], "news", "for everyone")
        for client in (sender, both):
            assert client.events("news", 2) == [["for one and two"], ["for everyone"]]
        for client in (skipped, elsewhere):
            assert client.event("news") == ["for everyone"]

    def test_that_may_get_lost_never_come_late_or_twice(
        self, connect: Connect, flavour: Flavour
    ) -> None:
        client = connect()
        client.emit("volatile burst", 100)
        numbers = []
        while (number := client.event("number")[0]) != "end":
            numbers.append(number)
        if flavour.last_transport == "websocket":
            assert numbers == list(range(100))
        else:  # a request that waits takes the first, and there may be none
            assert numbers in ([], [0])
        assert client.pending("number") == []


class TestAcknowledgementsOfTheServer:
    def test_carry_what_the_handler_returned(self, connect: Connect) -> None:
        client = connect()
        assert [client.ask("echo", *args) for args in ARGUMENTS] == ARGUMENTS

    def test_are_empty_where_it_returned_nothing(self, connect: Connect) -> None:
        assert connect().ask("nothing", 1) == []

    def test_are_left_out_where_the_handler_raised(self, connect: Connect) -> None:
        client = connect()
        unanswered = client.start_asking("fail", "It broke")
        assert client.ask("echo", "next") == ["next"]
        assert client.message() == {"error": "It broke"}
        assert not unanswered.done()

    def test_tell_what_does_not_fit_a_typed_message(self, connect: Connect) -> None:
        client = connect()
        assert client.ask("order", {"dish": "soup", "count": 2}) == ["2 x soup"]
        assert client.ask("order", {"dish": "soup"}) == ["1 x soup"]
        (answer,) = client.ask("order", {"dish": 5})
        assert "dish" in answer["error"]

    def test_match_their_events_however_many_there_are(self, connect: Connect) -> None:
        client = connect()
        answers = [client.start_asking("echo", number) for number in range(300)]
        assert [answer.result(PATIENCE) for answer in answers] == [[n] for n in range(300)]

    @pytest.mark.parametrize("flavour", JAVASCRIPT_4_FLAVOURS, ids=str)
    def test_come_in_time_or_the_client_gives_up_by_itself(self, connect: Connect) -> None:
        client = connect()
        answered = client.start_asking("echo", "in time", timeout=PATIENCE)
        unanswered = client.start_asking("fail", "It broke", timeout=0.05)
        with pytest.raises(ClientError, match="operation has timed out"):
            unanswered.result(PATIENCE)
        assert answered.result(PATIENCE) == ["in time"]


class TestAcknowledgementsOfTheClient:
    def test_are_what_call_returns(self, connect: Connect) -> None:
        client = connect()
        for values, answer in (
            ([], ["NoneType", None]),
            (["yes"], ["str", "yes"]),
            ([[1, 2]], ["list", [1, 2]]),
            ([1, "two", None], ["tuple", [1, "two", None]]),
        ):
            client.answer("question", *values)
            assert client.ask("call", 20, "question", "why", 42) == answer
            assert client.event("question") == ["why", 42]

    def test_reach_the_callback_of_emit(self, connect: Connect) -> None:
        client = connect()
        client.answer("question", "because", [1])
        client.emit("emit with callback", None, "question", "why")
        assert client.message() == {"called back": ["because", [1]]}

    @pytest.mark.parametrize("flavour", JAVASCRIPT_FLAVOURS, ids=str)
    def test_that_do_not_come_are_a_timeout(self, connect: Connect) -> None:
        client = connect()
        client.answer_never("question")
        assert client.ask("call", 0.05, "question") == ["timeout", None]
        client.answer("question", "now")
        assert client.ask("call", 20, "question") == ["str", "now"]

    @pytest.mark.parametrize("flavour", JAVASCRIPT_FLAVOURS, ids=str)
    def test_of_a_client_that_went_away_are_not_waited_for(self, connect: Connect) -> None:
        client, watcher = connect(), connect(WATCHER)
        watcher.subscribe(f"journal-{client.id}")
        client.answer_never("question")
        client.emit("call", None, "question")
        client.event("question")
        client.disconnect()
        assert watcher.message()[0] == "timeout"
        assert watcher.message()[0] == "disconnect"

    def test_of_all_on_a_channel_are_collected(self, connect: Connect) -> None:
        asker = connect()
        clients = [connect(flavour) for flavour in FLAVOURS]
        for client in clients:
            client.subscribe("jury")
            client.answer("vote", str(client.flavour))
        assert asker.ask("call all", "jury", 20, "vote", "who?") == [
            {"values": {client.id: str(client.flavour) for client in clients}, "missing": []}
        ]

    @pytest.mark.parametrize("flavour", JAVASCRIPT_FLAVOURS[:1], ids=str)
    def test_that_are_missing_on_a_channel_are_named(self, connect: Connect) -> None:
        asker, eager, silent = connect(), connect(), connect()
        eager.answer("vote", True)
        silent.answer_never("vote")
        eager.subscribe("council")
        silent.subscribe("council")
        assert asker.ask("call all", "council", 3.0, "vote") == [
            {"values": {eager.id: True}, "missing": [silent.id]}
        ]
