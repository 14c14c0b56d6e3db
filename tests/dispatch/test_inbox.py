"""Worker greenlets and inboxes, in a real hub: the one of the test's own thread, unpatched."""

from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from time import monotonic

import gevent
import pytest
from gevent.event import Event

from socketio_server.dispatch.inbox import Inbox
from socketio_server.net.workers import WorkerPool
from socketio_server.options import Options
from tests.fakes import PATIENCE, settle

UNHURRIED = 1000.0


@dataclass
class Task:
    """A job that does what it was given."""

    action: Callable[[], object]

    def work(self) -> None:
        self.action()


def make_pool(size: int = 1000, *, turn: float = UNHURRIED) -> WorkerPool:
    return WorkerPool(gevent.get_hub(), Options(max_time_per_turn=turn), size, clock=monotonic)


def in_loop(action: Callable[[], object]) -> None:
    """Do something in a callback of the loop, as connections do."""
    gevent.get_hub().loop.run_callback(action)
    settle()


def wait_for(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    with gevent.Timeout(PATIENCE):
        while not condition():
            gevent.sleep(0.001)


@dataclass
class Box:
    """An inbox and its keeper: what it handled, and whether it said that it was full."""

    limit: int = 1000
    turn: int = 1000
    handled: list[str] = field(default_factory=list)
    full: list[bool] = field(default_factory=list)
    action: Callable[[str], object] = lambda item: None
    seconds: float = UNHURRIED
    pool: WorkerPool = field(default_factory=lambda: make_pool())

    def __post_init__(self) -> None:
        self.options = Options(
            max_pending_events=self.limit,
            max_events_per_turn=self.turn,
            max_time_per_turn=self.seconds,
        )
        self.clock = monotonic
        self.inbox: Inbox[str] = Inbox(self, Context())

    def handle(self, inbox: Inbox[str], item: str) -> None:
        assert inbox is self.inbox
        self.handled.append(item)
        self.action(item)

    def inbox_full(self, inbox: Inbox[str], full: bool) -> None:
        assert inbox is self.inbox
        self.full.append(full)

    def put(self, *items: str) -> None:
        for item in items:
            self.inbox.put(item)


class TestInbox:
    def test_items_are_handled_in_order(self) -> None:
        box = Box()
        box.put("a", "b", "c")
        settle()

        assert box.handled == ["a", "b", "c"]

    def test_strictly_one_after_another(self) -> None:
        go_on = Event()
        box = Box(action=lambda item: go_on.wait() if item == "a" else None)
        in_loop(lambda: box.put("a", "b"))
        assert box.handled == ["a"]

        in_loop(lambda: box.put("c"))
        assert box.handled == ["a"]

        go_on.set()
        settle()
        assert box.handled == ["a", "b", "c"]

    def test_several_side_by_side(self) -> None:
        never = Event()
        stuck = Box(action=lambda item: never.wait())
        other = Box()

        def callback() -> None:
            stuck.put("a")
            other.put("b")

        in_loop(callback)

        assert other.handled == ["b"]
        never.set()
        settle()

    def test_a_handler_may_put_something_itself(self) -> None:
        box = Box(action=lambda item: box.put("again") if item == "first" else None)
        box.put("first", "second")
        settle()

        assert box.handled == ["first", "second", "again"]

    def test_it_can_be_used_again_once_it_is_empty(self) -> None:
        box = Box()
        for item in "abc":
            box.put(item)
            settle()

        assert box.handled == ["a", "b", "c"]

    def test_a_full_one_leaves_turns_to_the_others(self) -> None:
        done: list[str] = []
        pool = make_pool(1)
        chatty = Box(turn=2, action=done.append, pool=pool)
        modest = Box(action=done.append, pool=pool)
        chatty.put("c1", "c2", "c3", "c4", "c5")
        modest.put("m1")
        settle()

        assert done == ["c1", "c2", "m1", "c3", "c4", "c5"]

    def test_so_does_one_whose_handlers_take_their_time(self) -> None:
        done: list[str] = []
        pool = make_pool(1)
        slow = Box(seconds=0.0, action=done.append, pool=pool)
        modest = Box(action=done.append, pool=pool)
        slow.put("s1", "s2", "s3")
        modest.put("m1")
        settle()

        assert done == ["s1", "m1", "s2", "s3"]

    @pytest.mark.parametrize("limit", [2, 3, 10])
    def test_it_says_when_it_is_full_and_when_there_is_room_again(self, limit: int) -> None:
        go_on = Event()
        box = Box(limit=limit, action=lambda item: go_on.wait())
        in_loop(lambda: box.put("in work"))
        in_loop(lambda: box.put(*"x" * (limit - 1)))
        assert box.full == []

        in_loop(lambda: box.put("the last straw", "one more"))
        assert box.full == [True]

        go_on.set()
        settle()
        assert box.full == [True, False]
        assert len(box.handled) == limit + 2

    def test_there_is_room_again_once_half_of_it_is_done(self) -> None:
        gates = [Event() for _ in range(5)]
        box = Box(limit=4, action=lambda item: gates[int(item)].wait())
        in_loop(lambda: box.put(*"01234"))
        assert box.full == [True]

        gates[0].set()
        settle()
        assert box.full == [True]

        gates[1].set()
        gates[2].set()
        settle()
        assert box.handled == ["0", "1", "2", "3"]
        assert box.full == [True, False]
        for gate in gates:
            gate.set()
        settle()

    def test_it_may_be_full_several_times(self) -> None:
        box = Box(limit=2)
        for _ in range(3):
            gevent.spawn(box.put, "a", "b", "c")
            settle()

        assert box.full == [True, False] * 3
