"""The turns of work that can't be done at once, by a loop and a clock that the test moves."""

import pytest

from socketio_server.net.turns import PAUSE, Turns
from socketio_server.options import Options
from tests.fakes.loop import FakeLoop

TURN = 10.0
"""Seconds of small work in one turn."""


class Work:
    """A loop whose turns are counted, and work that takes time in it."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.turns = Turns(self.loop, Options(max_time_per_turn=TURN), clock=self.loop.clock)
        self.done: list[str] = []

    def add(self, name: str, seconds: float = 0.0, *, is_large: bool = False) -> None:
        """Add a piece of work that takes so many seconds."""

        def work(owner: Work) -> None:
            self.done.append(name)
            self.loop.now += seconds
            self.loop.run_callback(Work.let_others_run, self)

        self.turns.add(work, self, is_large=is_large)

    def let_others_run(self) -> None:
        self.done.append("others")

    def callback_raised(self) -> None:
        raise AssertionError("a callback raised")


@pytest.fixture
def work() -> Work:
    return Work()


class TestSmallWork:
    def test_is_not_done_at_once(self, work: Work) -> None:
        work.add("a")
        assert work.done == []
        work.loop.run()
        assert work.done == ["a", "others"]

    def test_shares_the_time_of_one_turn(self, work: Work) -> None:
        for name in "abcd":
            work.add(name, 6.0)
        work.loop.run()
        assert work.done == ["a", "b", "others", "others", "c", "d", "others", "others"]

    def test_is_done_in_order(self, work: Work) -> None:
        for number in range(20):
            work.add(str(number), 6.0)
        work.loop.run()
        assert [name for name in work.done if name != "others"] == [str(n) for n in range(20)]


class TestLargeWork:
    def test_is_one_piece_in_each_turn(self, work: Work) -> None:
        for name in "abc":
            work.add(name, is_large=True)
        work.loop.run()
        assert work.done == ["a", "others", "b", "others", "c", "others"]

    def test_does_not_keep_small_work_waiting(self, work: Work) -> None:
        for name in "AB":
            work.add(name, is_large=True)
        for name in "ab":
            work.add(name)
        work.loop.run()
        assert work.done[:3] == ["a", "b", "A"]

    def test_waits_for_a_share_of_the_time_of_the_last_piece(self, work: Work) -> None:
        work.add("a", 4.0, is_large=True)
        work.add("b", is_large=True)
        work.loop.run()
        assert work.done == ["a", "others"]
        work.loop.advance(4.0 * PAUSE)
        assert work.done == ["a", "others", "b", "others"]


class TestTheTimeOfWorkThatGoesOn:
    def until(self, work: Work) -> None:
        self.times.append(work.turns.until() - work.loop.now)

    def setup_method(self) -> None:
        self.times: list[float] = []

    def test_is_one_turn_s_for_all_that_the_loop_calls_together(self, work: Work) -> None:
        self.until(work)
        work.loop.now += 4.0
        self.until(work)
        work.loop.run()
        self.until(work)
        assert self.times == [TURN, TURN - 4.0, TURN]

    def test_is_shared_by_small_pieces(self, work: Work) -> None:
        self.until(work)
        for seconds in (1.0, 2.0, 3.0, 4.0):
            work.turns.add(lambda owner: self.until(owner), work)
            work.add("a", seconds)
        work.loop.run()
        self.until(work)
        assert self.times == [TURN, *[TURN / 8] * 4, TURN]

    def test_is_one_turn_s_for_a_large_piece(self, work: Work) -> None:
        work.turns.add(lambda owner: self.until(owner), work)
        work.turns.add(lambda owner: self.until(owner), work, is_large=True)
        work.loop.run()
        assert self.times == [TURN, TURN]


def test_work_that_raises_does_not_end_the_turns(work: Work) -> None:
    def fail(owner: Work) -> None:
        raise MemoryError

    work.turns.add(fail, work, is_large=True)
    work.add("b", is_large=True)
    with pytest.raises(MemoryError):  # real loops call the owner instead
        work.loop.run()
    work.loop.run()
    assert work.done == ["b", "others"]


def test_nothing_stays_behind_in_the_loop(work: Work) -> None:
    work.add("a")
    work.add("b", is_large=True)
    work.loop.run()
    assert not work.loop.watchers
