"""The upgrade from polling to WebSocket, as the official JavaScript clients do it."""

from concurrent.futures import Future
from typing import NamedTuple

import pytest

from tests.interop.clients import JAVASCRIPT_FLAVOURS, Client
from tests.interop.conftest import Connect
from tests.support.tools import PATIENCE

UPGRADING = [flavour for flavour in JAVASCRIPT_FLAVOURS if flavour.upgrades]
BEFORE, BEHIND = 20, 30
"""Messages to send before the upgrade begins, and when it is over."""


class Flight(NamedTuple):
    """A client that sends one number after another while it upgrades, and gets as many."""

    client: Client
    sent: "Future[int]"


@pytest.mark.parametrize("flavour", UPGRADING, ids=str)
class TestMessagesDuringTheUpgrade:
    def test_are_not_lost_nor_doubled_nor_reordered_in_either_direction(
        self, open_client: Connect
    ) -> None:
        flights = [self._start(open_client) for _ in range(10)]
        for client, sent in flights:
            count = sent.result(PATIENCE)
            client.emit("stop")
            (ticks,) = client.event("ticks")
            assert client.messages(count) == list(range(count))
            assert client.events("tick", ticks) == [[number] for number in range(ticks)]
            assert client.pending("message") == client.pending("tick") == []
            assert client.transport == client.who()["transport"] == "websocket"

    def _start(self, open_client: Connect) -> Flight:
        client = open_client(early=[["tick"]], held=True)
        return Flight(client, client.start("count", namespace="/", before=BEFORE, behind=BEHIND))
