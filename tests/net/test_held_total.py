"""What all clients make the server hold, of every kind."""

import pytest

from socketio_server.net.held_total import OWN_SHARE, HeldTotal
from socketio_server.options import Options
from tests.fakes.loop import FakeLoop

OPTIONS = Options(max_queued_total=500, max_pending_total=300, max_decoded_total=300)
"""500 for all kinds together."""


class Kind:
    """Bytes of one kind, which are given up ten at a time."""

    def __init__(self, held_total: HeldTotal, most: int, *, is_first: bool = False) -> None:
        self.bytes = 0
        self._held_total = held_total
        self._most = most
        held_total.add_reliever(self._relieve, is_first=is_first)

    def add(self, count: int) -> None:
        self.bytes += count
        self._held_total.count(count)

    def _relieve(self) -> None:
        while self._held_total.has_too_many_bytes(self.bytes, self._most):
            self.add(-10)


class TestTheBound:
    @pytest.mark.parametrize(
        ("queued", "pending", "decoded"), [(500, 300, 300), (300, 500, 300), (300, 300, 500)]
    )
    def test_is_the_largest_of_those_of_its_kinds(
        self, queued: int, pending: int, decoded: int
    ) -> None:
        held = HeldTotal(
            FakeLoop(),
            Options(max_queued_total=queued, max_pending_total=pending, max_decoded_total=decoded),
        )
        held.count(400)
        assert held.excess(100) == 0
        assert held.excess(101) == 1
        held.count(100)
        assert not held.has_too_many_bytes(100, 100)
        held.count(1)
        assert held.has_too_many_bytes(100, 100)
        held.count(-1)
        assert not held.has_too_many_bytes(100, 100)

    def test_leaves_a_share_to_each_kind(self) -> None:
        held = HeldTotal(FakeLoop(), OPTIONS)
        held.count(1000)
        assert held.has_too_many_bytes(101, 100 * OWN_SHARE)
        assert not held.has_too_many_bytes(100, 100 * OWN_SHARE)

    def test_is_not_the_only_one(self) -> None:
        held = HeldTotal(FakeLoop(), OPTIONS)
        assert held.has_too_many_bytes(101, 100)
        assert not held.has_too_many_bytes(100, 100)


class TestTooMany:
    def test_make_kinds_give_up_what_they_must_in_their_order(self) -> None:
        loop = FakeLoop()
        held = HeldTotal(loop, OPTIONS)
        last, first = Kind(held, 200), Kind(held, 200, is_first=True)
        last.add(200)
        first.add(200)
        held.count(100)
        loop.run()
        assert (first.bytes, last.bytes) == (200, 200)
        held.count(50)
        loop.run()
        assert (first.bytes, last.bytes) == (150, 200)
        held.count(150)
        loop.run()
        assert (first.bytes, last.bytes) == (50, 150)
        last.add(20)
        loop.run()
        assert (first.bytes, last.bytes) == (50, 150)

    def test_end_nobody_before_the_loop_calls_back(self) -> None:
        """Who counts may be a client at work, or a message on its way to many."""
        loop = FakeLoop()
        held = HeldTotal(loop, OPTIONS)
        kind = Kind(held, 500)
        kind.add(510)
        assert kind.bytes == 510
        loop.run()
        assert kind.bytes == 500


class TestWhoAwaitsRoom:
    def test_goes_on_once_when_there_are_fewer_bytes(self) -> None:
        loop = FakeLoop()
        held = HeldTotal(loop, OPTIONS)
        went_on: list[int] = []
        held.count(500)

        def go_on() -> None:
            went_on.append(held.bytes)

        held.await_room(go_on)
        held.await_room(go_on)
        loop.run()
        assert went_on == []
        for _ in range(2):
            held.count(-10)
            held.count(-10)
            assert len(went_on) < 2
            loop.run()
        assert went_on == [480]
