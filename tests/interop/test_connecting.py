"""The official clients come and go: ids, refusals, reasons, heartbeats."""

import pytest

from tests.interop.clients import (
    JAVASCRIPT_FLAVOURS,
    PYTHON,
    REVISION_4_FLAVOURS,
    WATCHER,
    Flavour,
)
from tests.interop.conftest import HANDLERS, RESTLESS, Connect
from tests.support.types import StartServer


class TestConnecting:
    @pytest.mark.parametrize("flavour", REVISION_4_FLAVOURS, ids=str)
    def test_gives_a_client_the_id_that_handlers_know_it_by(self, connect: Connect) -> None:
        client = connect()
        assert client.who()["id"] == client.id
        assert 0 < len(client.id) <= 20

    def test_gives_every_client_an_id_of_its_own(self, connect: Connect) -> None:
        assert len({connect().id for _ in range(5)}) == 5

    def test_ends_on_the_best_transport_that_the_client_allows(
        self, connect: Connect, flavour: Flavour
    ) -> None:
        client = connect()
        assert client.transport == flavour.last_transport
        assert client.who()["transport"] == flavour.last_transport

    def test_sends_what_on_connect_sent_once_the_client_is_connected(
        self, connect: Connect
    ) -> None:
        client = connect(query={"on_connect": "greet"})
        assert client.messages(2) == [{"greeting": client.id}, "and again"]


class TestRefusing:
    @pytest.mark.parametrize("flavour", REVISION_4_FLAVOURS, ids=str)
    def test_tells_the_client_why_and_gives_it_the_handlers_data(
        self, open_client: Connect
    ) -> None:
        client = open_client(query={"on_connect": "reject"})
        assert client.wait_for("connect_error") == [
            "No seats left",
            {"seats": 0, "names": ["Zoë"]},
        ]
        assert client.count("connect") == 0

    def test_takes_djangos_permission_denied_for_a_refusal(self, open_client: Connect) -> None:
        client = open_client(query={"on_connect": "deny"})
        assert client.wait_for("connect_error")[0] == "Members only"
        assert client.count("connect") == 0

    def test_leaves_the_other_clients_alone(self, open_client: Connect, connect: Connect) -> None:
        client = connect()
        open_client(query={"on_connect": "reject"}).wait_for("connect_error")
        client.send("still here")
        assert client.message() == "still here"


class TestLeaving:
    def test_is_known_to_both_sides_with_its_reason(
        self, connect: Connect, flavour: Flavour
    ) -> None:
        client, watcher = connect(), connect(WATCHER)
        watcher.subscribe(f"journal-{client.id}")
        client.disconnect()
        assert client.wait_for("disconnect") == [flavour.language.client_left]
        left = [["disconnect", "client namespace disconnect"], ["finish", None]]
        # The Python client may close the WebSocket before it has sent the packet that says so.
        closed = [["disconnect", "transport close"], ["finish", None]]
        racy = flavour.language is PYTHON and flavour.last_transport == "websocket"
        assert watcher.messages(2) in ([left, closed] if racy else [left])

    def test_without_a_word_to_the_namespace_is_a_closed_transport(self, connect: Connect) -> None:
        client, watcher = connect(), connect(WATCHER)
        watcher.subscribe(f"journal-{client.id}")
        client.do("drop")
        client.wait_for("disconnect")
        assert watcher.messages(2) == [["disconnect", "transport close"], ["finish", None]]


class TestBeingSentAway:
    @pytest.mark.parametrize("close", [False, True], ids=["namespace", "session"])
    def test_comes_after_what_was_sent_before(self, connect: Connect, close: bool) -> None:
        client, watcher = connect(), connect(WATCHER)
        watcher.subscribe(f"journal-{client.id}")
        client.emit("send away", close)
        assert client.event("goodbye") == []
        client.wait_until_sent_away(with_session=close)
        assert watcher.messages(2) == [
            ["disconnect", "server namespace disconnect"],
            ["finish", None],
        ]

    @pytest.mark.parametrize("flavour", JAVASCRIPT_FLAVOURS, ids=str)
    def test_lasts_until_the_client_asks_to_be_let_in_again(self, connect: Connect) -> None:
        client = connect(reconnection=True)
        first_id = client.id
        client.emit("send away", True)
        client.wait_for("disconnect")
        client.do("join", namespace="/")
        assert client.wait_until_connected() != first_id
        assert client.count("connect") == 0


class TestHeartbeats:
    def test_keep_the_connection_for_as_long_as_they_are_answered(
        self, connect: Connect, share_server: StartServer
    ) -> None:
        server = share_server(events=HANDLERS, settings=RESTLESS)
        client = connect(url=server.url)
        public_id = client.id
        for _ in range(8):  # there is none before the last was answered
            client.wait_for("ping", namespace=None)
        assert client.who()["id"] == public_id
        assert client.count("disconnect") == 0
