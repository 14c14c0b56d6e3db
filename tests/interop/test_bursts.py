"""Bursts: whoever reads as fast as it can gets all of them."""

import pytest

from tests.interop.clients import JAVASCRIPT, Flavour
from tests.interop.conftest import Connect

BURSTS = [(10_000, 10), (20, 500_000)]
"""Events, and characters of each."""

MEMBERS = 5

WEBSOCKET = Flavour(JAVASCRIPT, "websocket", ("websocket",))

pytestmark = pytest.mark.timeout(240)  # clients in Python take their time over 10 MB


class TestOfAHandlerToItsClient:
    @pytest.mark.parametrize(("count", "size"), BURSTS)
    def test_all_arrive_in_order(self, connect: Connect, count: int, size: int) -> None:
        """Over the default transports the upgrade is under way meanwhile."""
        client = connect()
        client.emit("sequence", count, size, None)

        parts = client.events("part", count)
        assert [number for number, _ in parts] == list(range(count))
        assert {len(text) for _, text in parts} == {size}
        assert client.count("disconnect") == 0

    def test_its_acknowledgement_is_the_last(self, connect: Connect) -> None:
        client = connect()
        assert client.ask("sequence", 20, 100_000, None) == [20]
        assert len(client.events("part", 20)) == 20


class TestToARoom:
    @pytest.mark.parametrize(("count", "size"), [(1500, 10), (10, 200_000)])
    def test_all_arrive_at_all_members(self, connect: Connect, count: int, size: int) -> None:
        members = [connect() for _ in range(MEMBERS)]
        for member in members:
            member.subscribe("room-burst")
        connect(WEBSOCKET).emit("sequence", count, size, "room-burst")

        for member in members:
            parts = member.events("part", count)
            assert [number for number, _ in parts] == list(range(count))
            assert {len(text) for _, text in parts} == {size}
            assert member.count("disconnect") == 0
