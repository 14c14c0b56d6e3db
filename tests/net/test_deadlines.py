"""Deadlines by a clock that is moved by hand."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.net.deadlines import GRACE, LATE_TURNS, TICK, TURN_TIME, Deadlines
from tests.fakes.loop import FakeLoop

DELAY = 8.0


@dataclass
class Queue:
    """Deadlines, and what fell due when."""

    loop: FakeLoop = field(default_factory=FakeLoop)
    due: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deadlines: Deadlines[str] = Deadlines(
            self.loop, DELAY, self.on_due, clock=self.loop.clock
        )

    def on_due(self, item: str) -> None:
        self.due.append((item, self.loop.now))


@pytest.fixture
def queue() -> Queue:
    return Queue()


class TestDeadlines:
    def test_an_item_falls_due_after_the_delay(self, queue: Queue) -> None:
        queue.deadlines.add("a")
        queue.loop.advance(DELAY - 1)
        assert queue.due == []

        queue.loop.advance(1)
        assert queue.due == [("a", DELAY)]

    def test_what_fell_due_is_gone(self, queue: Queue) -> None:
        queue.deadlines.add("a")
        assert "a" in queue.deadlines
        assert len(queue.deadlines) == 1

        queue.loop.advance(3 * DELAY)
        assert "a" not in queue.deadlines
        assert len(queue.deadlines) == 0
        assert queue.due == [("a", DELAY)]

    def test_each_item_has_its_own_time(self, queue: Queue) -> None:
        for item in "abc":
            queue.deadlines.add(item)
            queue.loop.advance(1)
        queue.loop.advance(DELAY)

        assert queue.due == [("a", DELAY), ("b", DELAY + 1), ("c", DELAY + 2)]

    def test_adding_it_again_counts_anew(self, queue: Queue) -> None:
        queue.deadlines.add("a")
        queue.deadlines.add("b")
        queue.loop.advance(1)
        queue.deadlines.add("a")
        queue.loop.advance(DELAY)

        assert queue.due == [("b", DELAY), ("a", DELAY + 1)]

    def test_what_was_discarded_never_falls_due(self, queue: Queue) -> None:
        queue.deadlines.add("a")

        assert queue.deadlines.discard("a")
        assert not queue.deadlines.discard("a")
        queue.loop.advance(2 * DELAY)
        assert queue.due == []

    def test_one_timer_serves_all(self, queue: Queue) -> None:
        for item in "abc":
            queue.deadlines.add(item)
            queue.loop.advance(1)

        assert queue.loop.timers == 1

    def test_no_timer_runs_while_nothing_waits(self, queue: Queue) -> None:
        assert queue.loop.timers == 0
        queue.deadlines.add("a")
        queue.loop.advance(DELAY)
        assert queue.loop.timers == 0

    def test_clearing_forgets_everything(self, queue: Queue) -> None:
        queue.deadlines.add("a")
        queue.deadlines.clear()
        assert queue.loop.timers == 0
        assert len(queue.deadlines) == 0

        queue.deadlines.add("b")
        queue.loop.advance(DELAY)
        assert queue.due == [("b", DELAY)]

    def test_deadlines_that_lie_close_together_share_a_wake_up(self, queue: Queue) -> None:
        for item in "abc":
            queue.deadlines.add(item)
            queue.loop.advance(TICK / 4)
        queue.loop.advance(2 * DELAY)

        wake_ups = {time for _, time in queue.due}
        assert len(wake_ups) == 2  # the first one's own, and one for all that came within a tick
        assert [item for item, _ in queue.due] == ["a", "b", "c"]

    def test_a_timer_that_goes_off_too_early_is_set_again(self) -> None:
        """The loop's clock and ours may differ a little."""
        loop = FakeLoop()
        due: list[str] = []
        deadlines: Deadlines[str] = Deadlines(
            loop, DELAY, due.append, clock=lambda: loop.now * 0.999
        )
        deadlines.add("a")
        loop.advance(DELAY)
        assert due == []

        loop.advance(DELAY * 0.01)
        assert due == ["a"]


class TestWhatFallsDueMayChangeTheQueue:
    def test_it_may_be_added_again_at_once(self, queue: Queue) -> None:
        def again(item: str) -> None:
            queue.on_due(item)
            repeating.add(item)

        repeating: Deadlines[str] = Deadlines(queue.loop, DELAY, again, clock=queue.loop.clock)
        repeating.add("a")
        queue.loop.advance(3 * DELAY)

        assert queue.due == [("a", DELAY), ("a", 2 * DELAY), ("a", 3 * DELAY)]

    def test_that_delays_none_of_the_others(self, queue: Queue) -> None:
        def again(item: str) -> None:
            queue.on_due(item)
            repeating.add(item)

        repeating: Deadlines[str] = Deadlines(queue.loop, DELAY, again, clock=queue.loop.clock)
        repeating.add("a")
        queue.loop.advance(DELAY / 2)
        repeating.add("b")
        queue.loop.advance(DELAY * 1.5)

        assert queue.due == [("a", DELAY), ("b", 1.5 * DELAY), ("a", 2 * DELAY)]

    def test_it_may_discard_one_that_is_due_just_then(self, queue: Queue) -> None:
        def discard_other(item: str) -> None:
            queue.on_due(item)
            pair.discard("b")

        pair: Deadlines[str] = Deadlines(queue.loop, DELAY, discard_other, clock=queue.loop.clock)
        pair.add("a")
        pair.add("b")
        queue.loop.advance(2 * DELAY)

        assert queue.due == [("a", DELAY)]

    def test_it_may_clear_the_queue(self, queue: Queue) -> None:
        def clear(item: str) -> None:
            queue.on_due(item)
            several.clear()

        several: Deadlines[str] = Deadlines(queue.loop, DELAY, clear, clock=queue.loop.clock)
        several.add("a")
        several.add("b")
        queue.loop.advance(2 * DELAY)

        assert queue.due == [("a", DELAY)]
        assert queue.loop.timers == 0


ITEMS = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), ITEMS),
        st.tuples(st.just("discard"), ITEMS),
        st.tuples(st.just("advance"), st.sampled_from([0.25, 1.0, 2.5, 5.0, DELAY, 3 * DELAY])),
    ),
    max_size=40,
)


class TestWhateverHappens:
    @given(steps=STEPS)
    def test_every_item_falls_due_once_in_order_and_in_time(
        self, steps: list[tuple[str, str | float]]
    ) -> None:
        queue = Queue()
        waiting: dict[str, float] = {}  # what must still fall due, and when
        for step, what in steps:
            if isinstance(what, float):
                before = len(queue.due)
                queue.loop.advance(what)
                for item, time in queue.due[before:]:
                    expected = waiting.pop(item)  # fails for what is not waiting
                    assert expected <= time <= expected + TICK
                assert all(time + TICK > queue.loop.now for time in waiting.values())
            elif step == "add":
                queue.deadlines.add(what)
                waiting.pop(what, None)
                waiting[what] = queue.loop.now + DELAY
            else:
                assert queue.deadlines.discard(what) == (waiting.pop(what, None) is not None)
            assert len(queue.deadlines) == len(waiting)
        queue.loop.advance(DELAY + TICK)

        assert [item for item, _ in queue.due[len(queue.due) - len(waiting) :]] == list(waiting)
        assert [time for _, time in queue.due] == sorted(time for _, time in queue.due)
        assert queue.loop.timers == 0


class TestWhatTakesLong:
    def test_lets_the_loop_serve_others_before_the_next_item(self, queue: Queue) -> None:
        for item in "abc":
            queue.deadlines.add(item)
        queue.loop.advance(DELAY - 1)
        queue.deadlines.add("d")
        queue.loop.now = DELAY
        queue.loop.seconds_per_look = 2 * TURN_TIME
        turns = []
        while len(queue.due) < 3:
            before = len(queue.due)
            queue.loop.turn()
            turns.append(len(queue.due) - before)
        assert max(turns) == 1
        assert turns[-3:] == [1, 1, 1]

        queue.loop.seconds_per_look = 0.0
        queue.loop.advance(DELAY)
        assert [item for item, _ in queue.due] == ["a", "b", "c", "d"]


class TestALoopThatIsLate:
    """What a deadline is about may have come in time, and wait to be read."""

    @pytest.mark.parametrize("late", [0.0, 0.5, 60.0])
    def test_reads_once_before_anything_falls_due(self, queue: Queue, late: float) -> None:
        queue.deadlines.add("a")
        queue.deadlines.add("b")
        queue.loop.now = DELAY + late
        queue.loop.turn()
        assert queue.due == []

        queue.deadlines.discard("a")  # by what was read
        queue.loop.advance(GRACE)
        assert [item for item, _ in queue.due] == ["b"]

    def test_has_some_time_for_it(self, queue: Queue) -> None:
        queue.deadlines.add("a")
        queue.loop.now = DELAY + 60.0
        queue.loop.advance(GRACE * 0.9)
        assert queue.due == []

    def test_has_more_time_where_it_is_late_again_and_again(self, queue: Queue) -> None:
        """What arrived in time may be known only after several turns: a connection, then its
        request, then the rest of that.
        """
        queue.deadlines.add("a")
        queue.deadlines.add("b")
        queue.loop.now = DELAY + 60.0
        for _ in range(LATE_TURNS):
            queue.loop.turn()
            queue.loop.now += 1.0
        assert queue.due == []

        queue.deadlines.discard("a")
        queue.loop.run()
        assert [item for item, _ in queue.due] == ["b"]
        assert queue.loop.timers == 0

    def test_has_these_turns_too_where_it_was_late_until_just_now(self, queue: Queue) -> None:
        """It is on time again, but much that has arrived may be unread."""
        queue.deadlines.add("a")
        queue.deadlines.add("b")
        queue.loop.now = DELAY
        for _ in range(LATE_TURNS):
            queue.loop.turn()
        assert queue.due == []

        queue.deadlines.discard("a")
        queue.loop.run()
        assert [item for item, _ in queue.due] == ["b"]
        assert queue.loop.timers == 0

    def test_takes_no_turns_for_what_is_not_judged(self, queue: Queue) -> None:
        pings: Deadlines[str] = Deadlines(
            queue.loop, DELAY, queue.on_due, clock=queue.loop.clock, turns=0
        )
        pings.add("a")
        queue.loop.now = DELAY
        queue.loop.turn()
        queue.loop.turn()
        assert queue.due == [("a", DELAY)]

    def test_judges_nothing_that_falls_due_meanwhile(self, queue: Queue) -> None:
        queue.deadlines.add("a")
        queue.loop.advance(GRACE / 2)
        queue.deadlines.add("b")
        queue.loop.now = DELAY
        queue.loop.run()
        assert queue.due == [("a", DELAY)]

        queue.loop.advance(GRACE)
        assert [item for item, _ in queue.due] == ["a", "b"]

    def test_forgets_what_is_cleared_meanwhile(self, queue: Queue) -> None:
        queue.deadlines.add("a")
        queue.loop.now = DELAY
        queue.loop.turn()
        queue.deadlines.clear()
        queue.loop.advance(1.0)

        assert queue.due == []
        assert not queue.loop.watchers
