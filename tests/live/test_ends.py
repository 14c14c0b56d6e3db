"""The end of a connection: its events exactly once, in whichever way it ends."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.http import Refused
from tests.support.server import Server
from tests.support.types import Connect
from tests.support.views import wait_until_gone
from tests.support.websocket import CLOSE, frame
from tests.support.wire import TRANSPORTS, TransportName

CHANNELS = ["room-1", "lobby", "room-2"]

LAST_EVENTS = [
    ("on_disconnect", "bare", []),
    ("on_disconnect", "called", []),
    ("on_disconnect", "room", []),
    ("on_unsubscribe", "bare", ["room-1"]),
    ("on_unsubscribe", "called", ["room-1"]),
    ("on_unsubscribe", "room", ["room-1"]),
    ("on_unsubscribe", "bare", ["lobby"]),
    ("on_unsubscribe", "called", ["lobby"]),
    ("on_unsubscribe", "bare", ["room-2"]),
    ("on_unsubscribe", "called", ["room-2"]),
    ("on_unsubscribe", "room", ["room-2"]),
    ("on_finish", "bare", []),
    ("on_finish", "called", []),
    ("on_finish", "room", []),
]
"""What happens at the end of a client that is on those channels: all of it once, in this order."""


def join(client: Client) -> Client:
    """Put a client on the channels."""
    for channel in CHANNELS:
        client.subscribe(channel)
    return client


def check_end(server: Server, client: Client, reason: str) -> None:
    """Check that a client that was on the channels ended as it should."""
    server.journal.wait_for("on_finish", client.id)
    if server.running:
        wait_until_gone(server, client.id)
    happened = server.journal.entries(client.id)
    beginning = [entry.event for entry in happened].index("on_disconnect")
    end = happened[beginning:]
    assert [(entry.event, entry.handler, entry.details["args"]) for entry in end] == LAST_EVENTS
    for entry in end:
        assert entry.details["channels"] == CHANNELS
        assert sorted(entry.details["subscribed_to"]) == sorted(CHANNELS)
        assert entry.details["is_client"] is True
        assert entry.details["connected"] is False
        assert entry.details["close_reason"] == reason


def send_garbage(client: Client) -> None:
    """Send a packet that is none."""
    with contextlib.suppress(Refused):
        client.carrier.send("4garbage")


class TestHowAConnectionEnds:
    @pytest.mark.parametrize(
        ("way", "reason"),
        [
            pytest.param(Client.disconnect, "client namespace disconnect", id="leaves"),
            pytest.param(Client.close, "transport close", id="closes"),
            pytest.param(send_garbage, "parse error", id="sends garbage"),
        ],
    )
    def test_by_the_client(
        self,
        server: Server,
        connect: Connect,
        transport: TransportName,
        way: Callable[[Client], Any],
        reason: str,
    ) -> None:
        client = join(connect(transport))
        way(client)
        check_end(server, client, reason)

    @pytest.mark.parametrize(
        ("way", "reason"),
        [
            pytest.param(
                lambda client: client.carrier.send("1"), "transport close", id="close packet"
            ),
            pytest.param(
                lambda client: client.carrier.websocket.send(frame(CLOSE)),
                "transport close",
                id="close frame without a code",
            ),
            pytest.param(
                lambda client: client.carrier.cut(), "transport close", id="connection closed"
            ),
            pytest.param(
                lambda client: client.carrier.reset(), "transport error", id="connection reset"
            ),
        ],
    )
    def test_by_the_end_of_its_websocket(
        self, server: Server, connect: Connect, way: Callable[[Client], Any], reason: str
    ) -> None:
        client = join(connect("websocket"))
        way(client)
        check_end(server, client, reason)

    def test_everything_happens_over_what_was_its_transport(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        client.close()
        last = server.journal.wait_for("on_finish", client.id)[-1]
        expected = "polling" if transport == "polling" else "websocket"
        assert last.details["transport"] == expected

    @pytest.mark.one_process("asks one worker who is there")
    def test_nothing_reaches_the_client_any_more(self, server: Server, connect: Connect) -> None:
        client, other = connect(), connect()
        client.subscribe("room-1")
        client.disconnect()
        server.journal.wait_for("on_finish", client.id)
        wait_until_gone(server, client.id)
        before = list(client.packets)
        other.method("broadcast", "hello")
        other.method("broadcast_channel", "hello", "room-1")
        client.connect()  # in the same session; its answer comes after all that was sent before
        assert [p for p in client.packets if p not in before and not p.startswith("0")] == []

    def test_nothing_that_comes_behind_the_end_is_an_event(
        self, server: Server, connect: Connect
    ) -> None:
        client = connect()
        client.carrier.send('42["message","before"]', "41", "40")
        server.journal.wait_for("on_finish", client.id)
        assert server.journal.events(client.id, "bare") == [
            "on_connect",
            "on_message",
            "on_disconnect",
            "on_finish",
        ]

    def test_a_client_that_comes_back_in_the_same_session_begins_anew(
        self, server: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport)
        first_id = client.id
        client.do("remember", key="name", value="Ann")
        client.subscribe("room-1")
        client.disconnect()
        client.connect()
        assert client.id != first_id
        assert client.attribute("channels") == []
        assert client.attribute("context") == {}
        server.journal.wait_for("on_finish", first_id)
        assert server.journal.events(client.id) == ["on_connect", "on_connect"]


class TestSilence:
    """A client that does not answer the server's pings."""

    def test_ends_the_connection(self, impatient: Server, connect: Connect) -> None:
        clients = [join(connect(transport, to=impatient)) for transport in TRANSPORTS]
        for client in clients:
            check_end(impatient, client, "ping timeout")

    def test_ends_the_connection_of_a_client_whose_polling_was_cut(
        self, impatient: Server, connect: Connect
    ) -> None:
        client = join(connect("polling", to=impatient))
        client.carrier.cut()
        check_end(impatient, client, "ping timeout")

    def test_closes_the_websocket_even_if_nobody_answers_the_close_frame(
        self, impatient: Server, connect: Connect
    ) -> None:
        client = connect("websocket", to=impatient, join=False)
        rest = client.carrier.websocket.read_to_the_end()  # type: ignore[attr-defined]
        assert rest.startswith(b"\x81\x012")  # a ping
        assert b"\x88" in rest  # a close frame

    def test_does_not_mean_a_client_that_answers_pings(
        self, impatient: Server, connect: Connect, transport: TransportName
    ) -> None:
        client = connect(transport, to=impatient)
        client.wait_until(lambda: client.pings >= 4)
        assert client.messages() == []

    def test_does_not_mean_a_client_that_joins_no_namespace_which_ends_by_its_own_deadline(
        self, impatient: Server, connect: Connect
    ) -> None:
        client = connect(to=impatient, join=False)
        client.wait_for_close()
        assert client.pings >= 1  # answered, so that it was the other deadline
