"""What all clients make the server hold, of every kind."""

import pytest

from socketio_server.net.held_total import OWN_SHARE, HeldTotal
from socketio_server.options import Options

OPTIONS = Options(max_queued_total=500, max_pending_total=300, max_decoded_total=300)
"""500 for all kinds together."""


class Kind:
    """Bytes of one kind, which are given up ten at a time."""

    def __init__(self, held: HeldTotal, most: int, *, is_first: bool = False) -> None:
        self.bytes = 0
        self._held = held
        self._most = most
        held.add_reliever(self._relieve, is_first=is_first)

    def add(self, count: int) -> None:
        self.bytes += count
        self._held.count(count)

    def _relieve(self) -> None:
        while self._held.has_too_many(self.bytes, self._most):
            self.add(-10)


class TestTheBound:
    @pytest.mark.parametrize(
        ("queued", "pending", "decoded"), [(500, 300, 300), (300, 500, 300), (300, 300, 500)]
    )
    def test_is_the_largest_of_those_of_its_kinds(
        self, queued: int, pending: int, decoded: int
    ) -> None:
        held = HeldTotal(
            Options(max_queued_total=queued, max_pending_total=pending, max_decoded_total=decoded)
        )
        held.count(400)
        assert held.has_room(100)
        assert not held.has_room(101)
        held.count(100)
        assert not held.has_too_many(100, 100)
        held.count(1)
        assert held.has_too_many(100, 100)
        held.count(-1)
        assert not held.has_too_many(100, 100)

    def test_leaves_a_share_to_each_kind(self) -> None:
        held = HeldTotal(OPTIONS)
        held.count(1000)
        assert held.has_too_many(101, 100 * OWN_SHARE)
        assert not held.has_too_many(100, 100 * OWN_SHARE)

    def test_is_not_the_only_one(self) -> None:
        held = HeldTotal(OPTIONS)
        assert held.has_too_many(101, 100)
        assert not held.has_too_many(100, 100)


class TestTooMany:
    def test_make_kinds_give_up_what_they_must_in_their_order(self) -> None:
        held = HeldTotal(OPTIONS)
        last, first = Kind(held, 200), Kind(held, 200, is_first=True)
        last.add(200)
        first.add(200)
        held.count(100)
        assert (first.bytes, last.bytes) == (200, 200)
        held.count(50)
        assert (first.bytes, last.bytes) == (150, 200)
        held.count(150)
        assert (first.bytes, last.bytes) == (50, 150)
        last.add(20)
        assert (first.bytes, last.bytes) == (50, 150)
