"""Inboxes, in a real hub: the one of the test's own thread, unpatched."""

from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from itertools import count
from sys import getsizeof
from time import monotonic

import pytest
from gevent.event import Event

from socketio_server.dispatch.decoded_memory import DecodedMemory
from socketio_server.dispatch.inbox import ITEM_COST, Inbox, _Turn
from socketio_server.net.held_total import HeldTotal
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Stats
from socketio_server.net.turns import LARGE
from socketio_server.net.workers import Job, WorkerPool, note_large_message
from socketio_server.options import Options
from tests.fakes.hub import UNHURRIED, in_loop, make_pool, settle, wait_for
from tests.fakes.loop import FakeLoop

DECODED = 1000
"""How many times as many bytes an item takes once it is decoded."""


@dataclass(eq=False)
class Box:
    """An inbox, its keeper and its account: what it handled, and what was charged."""

    turn: int = 1000
    handled: list[str] = field(default_factory=list)
    waiting_bytes: int = 0
    weigh_above: int = 10_000
    weigh_below: int = 0
    weighed: list[int] = field(default_factory=list)
    """What waited whenever it asked to be weighed."""
    free_handlers: int = 1
    makes_large_messages: bool = False
    queued: deque[Job] | None = None
    action: Callable[[str], object] = lambda item: None
    clock: Callable[[], float] = monotonic
    is_local: bool = True
    is_open: bool = True
    faults: int = 0
    """How often it was ended because something of ours raised."""
    pool: WorkerPool = field(default_factory=lambda: make_pool())

    def __post_init__(self) -> None:
        self.options = Options(max_events_per_turn=self.turn)
        self.stats = Stats(monotonic)
        self.loop = FakeLoop()
        self.decoded_memory = DecodedMemory(
            self.loop, self.options, HeldTotal(self.loop, self.options), clock=monotonic
        )
        self.inbox: Inbox[str] = Inbox(self, self, Context())

    def handle(self, inbox: Inbox[str], item: str) -> None:
        self.handled.append(item)
        self.action(item)

    def decoded_size(self, item: str) -> int:
        return DECODED * len(item)

    def takes_long(self, item: str, decoded_size: int) -> bool:
        return getsizeof(item) > LARGE

    def give_up(self, kind: RefusalKind, why: str) -> None:
        raise AssertionError("nobody waits for long here")

    def callback_raised(self) -> None:
        self.faults += 1

    def weigh(self) -> None:
        self.weighed.append(self.waiting_bytes)

    def put(self, *items: str) -> None:
        for item in items:
            self.inbox.put(item)


class TestInbox:
    def test_items_are_handled_in_order(self) -> None:
        box = Box()
        box.put("a", "b", "c")
        settle()

        assert box.handled == ["a", "b", "c"]

    def test_items_are_handled_strictly_one_after_another(self) -> None:
        go_on = Event()
        box = Box(action=lambda item: go_on.wait() if item == "a" else None)
        in_loop(lambda: box.put("a", "b"))
        assert box.handled == ["a"]

        in_loop(lambda: box.put("c"))
        assert box.handled == ["a"]

        go_on.set()
        settle()
        assert box.handled == ["a", "b", "c"]

    def test_several_inboxes_are_handled_side_by_side(self) -> None:
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

    def test_one_whose_handlers_take_their_time_leaves_turns_to_the_others(self) -> None:
        done: list[str] = []
        pool = make_pool(1)
        slow = Box(clock=count(step=2 * UNHURRIED).__next__, action=done.append, pool=pool)
        modest = Box(action=done.append, pool=pool)
        slow.put("s1", "s2", "s3")
        modest.put("m1")
        settle()

        assert done == ["s1", "m1", "s2", "s3"]

    def test_what_waits_is_charged_until_its_turn_has_come(self) -> None:
        go_on = Event()
        box = Box(action=lambda item: go_on.wait())
        in_loop(lambda: box.put("in work", "waits"))
        assert box.waiting_bytes == getsizeof("waits") + ITEM_COST

        go_on.set()
        settle()
        assert box.waiting_bytes == 0

    def test_other_things_than_text_are_charged_as_what_they_are(self) -> None:
        go_on = Event()
        box = Box(action=lambda item: go_on.wait())
        in_loop(lambda: box.put("in work", 5))  # type: ignore[arg-type]
        assert box.waiting_bytes == getsizeof(5) + ITEM_COST
        go_on.set()
        settle()
        assert box.waiting_bytes == 0

    def test_the_account_is_weighed_when_it_asked_for_it(self) -> None:
        gates = [Event() for _ in range(4)]
        box = Box(
            action=lambda item: gates[int(item[0])].wait(), weigh_above=2000, weigh_below=1500
        )
        text = "x" * (1000 - getsizeof("1") - ITEM_COST)
        box.put(*[f"{number}{text}" for number in range(3)])
        assert box.weighed == [3000]
        settle()
        assert box.weighed == [3000]

        gates[0].set()
        settle()
        assert box.weighed == [3000, 1000]
        for gate in gates:
            gate.set()
        settle()

    def test_a_client_s_share_of_the_handlers_is_given_back(self) -> None:
        box = Box(turn=2)
        for _ in range(3):
            box.put("a", "b", "c", "d", "e")
            assert box.free_handlers == 0
            settle()
            assert box.free_handlers == 1

    def test_one_waits_while_others_have_the_client_s_share_of_the_handlers(self) -> None:
        box = Box(free_handlers=0)
        box.put("a", "b")
        settle()
        assert box.handled == []

        box.free_handlers = 1
        other: Inbox[str] = Inbox(box, box, Context())
        other.postpone()
        other.start()
        settle()
        assert box.handled == ["a", "b"]
        assert box.free_handlers == 1

    def test_what_is_dropped_is_not_handled_and_charged_no_more(self) -> None:
        go_on = Event()
        box = Box(action=lambda item: go_on.wait())
        in_loop(lambda: box.put("in work", "waits", "waits too"))
        box.inbox.drop(but=())
        assert box.waiting_bytes == 0

        go_on.set()
        settle()
        assert box.handled == ["in work"]
        assert box.free_handlers == 1

    def test_what_is_dropped_before_its_turn_leaves_it_usable(self) -> None:
        box = Box()
        box.put("a")
        box.inbox.drop(but=())
        settle()
        box.put("b")
        settle()
        assert box.handled == ["b"]

    def test_what_is_spared_when_the_rest_is_dropped_is_handled(self) -> None:
        box = Box()
        box.put("a", "b")
        box.inbox.drop(but=(str,))
        settle()
        assert box.handled == ["a", "b"]

    def test_a_postponed_one_waits_for_its_start(self) -> None:
        box = Box()
        box.inbox.postpone()
        box.put("a", "b")
        settle()
        assert box.handled == []

        box.inbox.start()
        settle()
        assert box.handled == ["a", "b"]

    def test_a_large_text_gets_a_turn_of_its_own(self) -> None:
        done: list[str] = []
        pool = make_pool()
        large = Box(action=lambda item: done.append(f"large {item[0]}"), pool=pool)
        small = Box(action=done.append, pool=pool)
        large.put("a" * LARGE, "b" * LARGE, "c")
        small.put("small")
        wait_for(lambda: len(done) == 4)
        assert done == ["small", "large a", "large b", "large c"]
        assert large.free_handlers == 1


def making_large_messages(done: list[str]) -> Callable[[str], None]:
    """Return a handler that notes its items, and makes a large message for each."""

    def handle(item: str) -> None:
        done.append(item)
        note_large_message()

    return handle


class TestLargeMessages:
    """What a handler sends may take long to encode, and nobody knows that beforehand."""

    def test_let_the_client_s_next_event_take_a_turn_of_its_own(self) -> None:
        done: list[str] = []
        pool = make_pool()
        asking = Box(action=making_large_messages(done), pool=pool)
        small = Box(action=done.append, pool=pool)
        asking.put("a1", "a2", "a3")
        small.put("small")
        wait_for(lambda: len(done) == 4)

        assert done == ["a1", "small", "a2", "a3"]
        assert asking.free_handlers == 1

    def test_do_so_for_all_of_its_inboxes(self) -> None:
        done: list[str] = []
        pool = make_pool()
        box = Box(action=making_large_messages(done), pool=pool)
        box.free_handlers = 2
        other = Inbox[str](box, box, Context())
        small = Box(action=done.append, pool=pool)
        box.put("a")
        other.put("b")
        small.put("small")
        wait_for(lambda: len(done) == 3)

        assert done == ["a", "small", "b"]

    def test_no_more_than_that_one(self) -> None:
        """Unless it leads to one as well."""
        done: list[str] = []
        pool = make_pool()
        box = Box(action=done.append, pool=pool)
        box.makes_large_messages = True
        box.put("a", "b")
        wait_for(lambda: len(done) == 2)

        assert not box.makes_large_messages
        box.put("c")
        settle()
        assert done == ["a", "b", "c"]

    def test_that_nobody_handles_concern_nobody(self) -> None:
        note_large_message()


class TestRoomToDecode:
    """An item that is not small needs room for what it is once it is decoded."""

    def test_is_taken_until_the_handlers_have_ended(self) -> None:
        go_on = Event()
        box = Box(action=lambda item: go_on.wait())
        in_loop(lambda: box.put("x" * 3000, "small"))
        assert box.decoded_memory.taken == 3000 * DECODED

        go_on.set()
        settle()
        assert box.decoded_memory.taken == 0
        assert len(box.handled) == 2

    def test_is_not_needed_by_small_ones(self) -> None:
        go_on = Event()
        box = Box(action=lambda item: go_on.wait())
        in_loop(lambda: box.put("x" * 400))
        assert box.decoded_memory.taken == 0
        go_on.set()
        settle()

    @pytest.mark.parametrize("size", [3000, 2 * LARGE])
    def test_one_waits_for_it_as_text(self, size: int) -> None:
        other = Box()
        box = Box()
        assert box.decoded_memory.take(other, 10**9, print)
        box.put("x" * size, "small")
        settle()
        assert box.handled == []
        charged = getsizeof("x" * size) + getsizeof("small") + 2 * ITEM_COST
        assert box.waiting_bytes == charged

        box.decoded_memory.leave(other, 10**9)
        box.loop.run()
        wait_for(lambda: len(box.handled) == 2)
        assert box.decoded_memory.taken == 0
        assert box.free_handlers == 1

    def test_is_given_back_for_one_that_is_dropped_meanwhile(self) -> None:
        other = Box()
        box = Box()
        assert box.decoded_memory.take(other, 10**9, print)
        box.put("x" * 3000)
        settle()
        box.inbox.drop(but=())
        box.put("small")
        box.decoded_memory.leave(other, 10**9)
        box.loop.run()
        settle()
        assert box.handled == ["small"]
        assert box.decoded_memory.taken == 0
        assert box.free_handlers == 1

    @pytest.mark.parametrize(
        ("owner", "method", "size"),
        [(Box, "decoded_size", 3000), (DecodedMemory, "take", 3000), (_Turn, "begin", 2 * LARGE)],
        ids=["estimated", "found", "used"],
    )
    def test_of_which_none_can_be(
        self, monkeypatch: pytest.MonkeyPatch, owner: object, method: str, size: int
    ) -> None:
        """Its client is ended, and the items behind it are handled."""

        def fail(*args: object, **options: object) -> None:
            raise MemoryError

        box = Box()
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, fail)
            box.put("x" * size, "small")
            settle()
        assert box.handled == ["small"]
        assert box.faults == 1
        assert (box.waiting_bytes, box.decoded_memory.taken, box.free_handlers) == (0, 0, 1)
