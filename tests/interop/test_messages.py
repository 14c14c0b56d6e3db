"""Messages between the official clients and the server: every value, in order, of every size."""

from typing import Any

import pytest

from tests.interop.clients import (
    JAVASCRIPT_4_FLAVOURS,
    JAVASCRIPT_FLAVOURS,
    RETURNING_FLAVOURS,
)
from tests.interop.conftest import HANDLERS, RESTLESS, SETTINGS, Connect
from tests.support.tools import PATIENCE
from tests.support.types import StartServer

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**53 - 1,
    -(2**53 - 1),
    0.1,
    -1.5e300,
    5e-324,
    "",
    "text",
    "\"quoted\", \\ back, / forth, 'single'",
    "lines\r\n, tabs\t, nul \0, separators \x1e \u2028 \u2029, BOM \ufeff",
    "Zoë, ÿ, naïve, ﬁ, 漢字, עברית, हिन्दी",
    "😀, 👩‍👩‍👧‍👦, 🇪🇺, 𝄞",
    "2probe",
    "42[]",
    [],
    {},
    [[], [[]], {}],
    [None, True, 1, 1.5, "x", [1, 2], {"y": 3}],
    {"": 0, "key with spaces": [], "ключ": {"нет": None}, "😀": "😀"},
    {"_placeholder": True, "num": 0},
    {"list": [{"deep": [{"deeper": {"deepest": ["here"]}}]}]},
]


class TestMessages:
    def test_of_every_json_value_come_back_as_they_were(self, connect: Connect) -> None:
        client = connect()
        client.send(*VALUES)
        assert client.messages(len(VALUES)) == VALUES

    def test_keep_their_types(self, connect: Connect) -> None:
        client = connect()
        values = [True, 1, "1", [], {}, None]
        client.send(*values)
        assert list(map(type, client.messages(6))) == list(map(type, values))

    def test_with_several_arguments_arrive_as_a_list(self, connect: Connect) -> None:
        client = connect()
        client.emit("message", "one", {"two": 2}, [3])
        assert client.message() == ["one", {"two": 2}, [3]]

    def test_without_an_argument_arrive_as_nothing(self, connect: Connect) -> None:
        client = connect()
        client.emit("message")
        assert client.message() is None

    def test_with_half_a_character_arrive_with_a_replacement_for_it(self, connect: Connect) -> None:
        client = connect()
        client.send("a\ud83d", "\ude00b", "\ude00\ud83d", "\ud83d😀", "\\ud83d")
        assert client.messages(5) == ["a�", "�b", "��", "�😀", "\\ud83d"]

    @pytest.mark.parametrize(
        "text", ["x" * 900_000, "😀" * 70_000, '"\\\n' * 140_000], ids=["plain", "emoji", "escapes"]
    )
    def test_may_be_large(self, connect: Connect, text: str) -> None:
        client = connect()
        client.send(text)
        assert client.message() == text

    @pytest.mark.parametrize("size", [100, 10_000, 900_000])
    def test_may_be_compressed(
        self, connect: Connect, share_server: StartServer, size: int
    ) -> None:
        settings = {**SETTINGS, "SOCKETIO_PER_MESSAGE_DEFLATE": True}
        client = connect(url=share_server(events=HANDLERS, settings=settings).url)
        text = ", ".join(map(str, range(size)))[:size]
        client.send(text)
        assert client.message() == text

    def test_are_acknowledged_with_what_the_handler_returns(self, connect: Connect) -> None:
        client = connect()
        assert client.ask("message", [1, "two"]) == [{"got": [1, "two"]}]


class TestOrder:
    def test_is_kept_for_ten_thousand_messages_both_ways(self, connect: Connect) -> None:
        client = connect()
        numbers = list(range(10_000))
        client.send(*numbers)
        assert client.messages(10_000) == numbers

    def test_is_kept_for_short_messages_behind_large_ones(self, connect: Connect) -> None:
        client = connect()
        messages = ["x" * 400_000, 1, "y" * 400_000, 2]
        client.send(*messages)
        assert client.messages(4) == messages

    @pytest.mark.parametrize("flavour", JAVASCRIPT_FLAVOURS, ids=str)
    def test_is_kept_for_a_thousand_messages_sent_before_there_is_a_connection(
        self, connect: Connect
    ) -> None:
        client = connect(early=[["message", number] for number in range(1000)])
        assert client.messages(1000) == list(range(1000))


class TestSize:
    @pytest.mark.parametrize("flavour", JAVASCRIPT_4_FLAVOURS, ids=str)
    def test_is_limited_for_each_message_only_since_the_client_divides_what_it_sends(
        self, connect: Connect
    ) -> None:
        client = connect()
        answers = [client.start_asking("measure", "x" * 90_000) for _ in range(30)]
        assert [answer.result(PATIENCE) for answer in answers] == [[90_000]] * 30

    @pytest.mark.parametrize("flavour", RETURNING_FLAVOURS, ids=str)
    def test_over_the_limit_costs_the_connection_and_the_client_may_come_back(
        self, connect: Connect, share_server: StartServer
    ) -> None:
        # Over polling the Python client may see its end only with the next heartbeat.
        server = share_server(events=HANDLERS, settings=RESTLESS)
        client = connect(url=server.url, reconnection=True)
        first_id = client.id
        client.send("x" * 1_000_000)
        client.wait_for("disconnect")
        assert client.wait_until_connected() != first_id
        client.send("back again")
        assert client.message() == "back again"
