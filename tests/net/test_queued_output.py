"""What waits for all clients: what it is charged, and which clients have to go."""

from collections import deque
from dataclasses import dataclass, field
from sys import getsizeof

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.net.held_total import OWN_SHARE, HeldTotal
from socketio_server.net.queued_output import (
    AT_ONCE,
    ENTRY_COST,
    LAG_RATE,
    MESSAGE_COST,
    PIECE,
    RANKED,
    Backlog,
    LostBecause,
)
from socketio_server.options import Options
from tests.fakes.loop import FakeLoop
from tests.fakes.net import queued_output


class Queue:
    """A client's queue (``Holder``), from which the test takes."""

    is_download = False

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.messages: deque[bytes] = deque()
        self.lost: list[LostBecause] = []
        self.is_excused = False
        self.tries = 0
        self.ready = 0
        """Messages that the client takes when that is tried once more."""
        self.backlog: Backlog | None = None

    def put(self, message: bytes) -> None:
        if self.lost:
            return
        if self.backlog is None:
            self.backlog = Backlog(self, self.server.output)
        self.messages.append(message)
        self.backlog.add(message)

    def take(self) -> None:
        """Let the client take a message."""
        assert self.backlog is not None
        message = self.messages.popleft()
        self.backlog.taken(len(message))
        self.backlog.discard(message)
        if not self.messages:
            self.backlog.close()
            self.backlog = None

    def try_again(self) -> None:
        self.tries += 1
        for _ in range(self.ready):
            self.take()
        self.ready = 0

    def callback_raised(self) -> None:
        raise AssertionError("a callback raised")

    def give_up(self, because: LostBecause) -> None:
        self.lost.append(because)
        if self.backlog is not None:
            self.backlog.close(deque(self.messages))
            self.backlog = None
        self.messages.clear()


@dataclass
class Server:
    """The account of a server and its loop."""

    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        self.loop = FakeLoop()
        self.held_total = HeldTotal(self.loop, self.options)
        self.output = queued_output(self.loop, self.options, self.held_total)

    def queues(self, count: int) -> list[Queue]:
        return [Queue(self) for _ in range(count)]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is kept of anybody."""
        self.loop.advance(1e6)
        return self.output.total == 0 and not self.loop.watchers


def charge_of(queue: Queue, queues: list[Queue]) -> int:
    """What a queue is charged for its part of messages that others may have, too."""
    charge = ENTRY_COST * len(queue.messages)
    for number, message in {id(message): message for message in queue.messages}.items():
        count = sum(number in map(id, each.messages) for each in queues)
        charge += (len(message) + MESSAGE_COST) >> (count.bit_length() - 1)
    return charge


class TestTheTotal:
    def test_counts_once_what_many_wait_for(self) -> None:
        server = Server()
        message = b"x" * 1000
        for queue in server.queues(10):
            queue.put(message)

        assert server.output.total == 1000 + MESSAGE_COST + 10 * ENTRY_COST

    def test_counts_equal_messages_apart(self) -> None:
        server = Server()
        for number, queue in enumerate(server.queues(2)):
            queue.put(b"x" * (1000 + number - number) + b"")
            queue.put(bytes(bytearray(1000)))

        assert server.output.total >= 2 * 1000 + 4 * (MESSAGE_COST + ENTRY_COST)

    def test_counts_a_message_until_its_last_client_has_taken_it(self) -> None:
        server = Server()
        first, second = server.queues(2)
        message = b"x" * 1000
        first.put(message)
        second.put(message)
        first.take()
        assert server.output.total == 1000 + MESSAGE_COST + ENTRY_COST

        second.take()
        assert server.output.total == 0
        assert server.is_clean

    def test_counts_each_place_of_a_message_that_waits_twice(self) -> None:
        server = Server()
        (queue,) = server.queues(1)
        message = b"x" * 1000
        queue.put(message)
        queue.put(message)
        assert server.output.total == 1000 + MESSAGE_COST + 2 * ENTRY_COST

        queue.take()
        assert server.output.total == 1000 + MESSAGE_COST + ENTRY_COST

    def test_leaves_nothing_behind_when_all_is_taken(self) -> None:
        server = Server()
        (queue,) = server.queues(1)
        for _ in range(1000):
            queue.put(bytes(bytearray(10)))
        for _ in range(1000):
            queue.take()

        assert getsizeof(server.output._holders) == getsizeof({})

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["put", "share", "take", "lose"]),
                st.integers(0, 3),
                st.integers(0, 2000),
            ),
            max_size=60,
        )
    )
    def test_is_what_the_queues_hold_whatever_happens(
        self, steps: list[tuple[str, int, int]]
    ) -> None:
        server = Server(Options(max_queued_total=5000))
        queues = server.queues(4)
        for what, number, size in steps:
            queue = queues[number]
            if what == "put":
                queue.put(bytes(bytearray(size + 2)))
            elif what == "share":
                message = bytes(bytearray(size + 2))
                for other in queues:
                    other.put(message)
            elif what == "take" and queue.messages:
                queue.take()
            elif what == "lose":
                queue.give_up(LostBecause.ERROR)
            held = [message for each in queues for message in each.messages]
            shared = {id(message): len(message) + MESSAGE_COST for message in held}
            assert server.output.total == sum(shared.values()) + ENTRY_COST * len(held)
            assert server.output.total <= 5000
            assert server.held_total.bytes == server.output.total
            for each in queues:
                if each.backlog is not None:
                    assert each.backlog.charged == charge_of(each, queues)


class TestALongQueueOfAClientThatHasGone:
    """Many clients may go together."""

    def left(self, *, by: int, options: Options | None = None) -> Server:
        """Return a server whose clients have gone with a piece of messages each."""
        server = Server(options or Options())
        queues = server.queues(by)
        for number in range(PIECE):
            for queue in queues:
                queue.put(bytes(bytearray(number % 2)) + b"x" * 10)
        for queue in queues:
            queue.give_up(LostBecause.EOF)
        return server

    def test_is_dropped_piece_by_piece(self) -> None:
        server = self.left(by=3)
        totals = [server.output.total]
        while server.output.total:
            server.loop.turn()
            if server.output.total != totals[-1]:
                totals.append(server.output.total)

        assert [total * 3 // totals[0] for total in totals] == [3, 2, 1, 0]
        assert server.is_clean

    def test_is_dropped_before_others_have_to_go(self) -> None:
        server = self.left(by=3, options=Options(max_queued_total=10_000_000))
        queue, other = server.queues(2)
        queue.put(b"x" * 6_000_000)
        other.put(b"x" * 3_900_000)

        assert not queue.lost
        assert not other.lost
        queue.give_up(LostBecause.EOF)
        other.give_up(LostBecause.EOF)
        assert server.is_clean

    def test_is_dropped_though_another_one_is_short(self) -> None:
        server = self.left(by=1)
        (queue,) = server.queues(1)
        queue.put(b"x")
        queue.give_up(LostBecause.EOF)

        assert server.is_clean

    def test_is_one_of_more_than_some_messages(self) -> None:
        server = Server()
        (queue,) = server.queues(1)
        for _ in range(AT_ONCE):
            queue.put(b"x")
        queue.give_up(LostBecause.EOF)

        assert server.output.total == 0


class TestTooMuchForTheProcess:
    @pytest.fixture
    def server(self) -> Server:
        return Server(Options(max_queued_total=10_000))

    def test_takes_who_has_most_queued(self, server: Server) -> None:
        old, large, new = server.queues(3)
        old.put(bytes(bytearray(2000)))
        large.put(bytes(bytearray(4000)))
        new.put(bytes(bytearray(3900)))

        assert [queue.lost for queue in (old, large, new)] == [[], [LostBecause.CROWDED], []]
        assert server.output.total == 2000 + 3900 + 2 * (MESSAGE_COST + ENTRY_COST)

    def test_takes_none_for_what_many_have_queued(self, server: Server) -> None:
        """It stays until the last of them has gone."""
        *honest, greedy, other = server.queues(22)
        message = b"x" * 3000
        for queue in honest:
            queue.put(message)
        for queue in (greedy, other):
            queue.put(bytes(bytearray(1000)))
        greedy.put(bytes(bytearray(3000)))

        assert [bool(queue.lost) for queue in (*honest, greedy, other)] == [
            *[False] * 20,
            True,
            False,
        ]

    def test_takes_those_who_share_much_with_few(self, server: Server) -> None:
        """Otherwise nobody would have anything for himself who has a friend."""
        first, second, honest = server.queues(3)
        for _ in range(2):
            message = bytes(bytearray(3600))
            first.put(message)
            second.put(message)
        honest.put(b"x" * 2000)

        assert [bool(queue.lost) for queue in (first, second, honest)] == [True, True, False]

    def test_takes_both_of_those_who_are_left_with_what_they_shared(self, server: Server) -> None:
        """What one of them goes for is then the other's."""
        *many, last = server.queues(4)
        message = b"x" * 8000
        for queue in many:
            queue.put(message)
        for queue in many[1:]:
            queue.give_up(LostBecause.EOF)
        last.put(b"y" * 3000)

        assert [queue.lost for queue in (many[0], last)] == [[LostBecause.CROWDED], []]

    @pytest.mark.parametrize(("read", "goes"), [(500, "reader"), (1500, "stuck")])
    def test_takes_what_was_read_off_the_charge(self, server: Server, read: int, goes: str) -> None:
        reader, stuck, last = server.queues(3)
        reader.put(b"x" * 4000)
        reader.backlog.taken(read)  # type: ignore[union-attr]
        stuck.put(b"y" * 3000)
        last.put(b"z" * 2500)

        assert [bool(queue.lost) for queue in (reader, stuck, last)] == [
            goes == "reader",
            goes == "stuck",
            False,
        ]

    def test_takes_who_keeps_much_though_he_reads(self, server: Server) -> None:
        """Progress halves the charge at most."""
        reader, *others = server.queues(4)
        reader.put(b"x" * 5000)
        reader.backlog.taken(4900)  # type: ignore[union-attr]
        for queue in others:
            queue.put(bytes(bytearray(1800)))

        assert [bool(queue.lost) for queue in (reader, *others)] == [True, False, False, False]

    def test_takes_the_one_of_equals_who_has_read_nothing_for_longest(self, server: Server) -> None:
        queues = server.queues(5)
        for queue in queues[:4]:
            queue.put(bytes(bytearray(2000)))
        queues[0].backlog.taken(0)  # type: ignore[union-attr]
        queues[4].put(bytes(bytearray(2000)))

        assert [bool(queue.lost) for queue in queues] == [False, True, False, False, False]

    def test_takes_as_many_as_it_must(self) -> None:
        """However many there are, in the order of what they have."""
        server = Server(Options(max_queued_total=100_000, max_pending_total=1, max_decoded_total=1))
        queues = server.queues(3 * RANKED)
        for number, queue in enumerate(queues):
            queue.put(bytes(bytearray(3000 + number)))
        server.held_total.count(80_000)
        server.loop.run()

        lost = [bool(queue.lost) for queue in queues]
        assert lost == sorted(lost)
        assert lost.count(True) > RANKED
        assert 25_000 - 3500 < server.output.total <= 25_000

    def test_takes_none_for_what_they_have_read(self, server: Server) -> None:
        """Not all that was ever queued for a client waits."""
        queues = server.queues(2)
        message = b"x" * 2000
        for _ in range(4):
            queues[0].put(b"x")
            queues[0].put(bytes(bytearray(2000)))
            queues[0].take()
            queues[0].take()
        for queue in queues:
            queue.put(message)
        queues[1].put(bytes(bytearray(2000)))
        queues[1].put(bytes(bytearray(6000)))

        assert [bool(queue.lost) for queue in queues] == [False, True]

    def test_takes_no_more_of_them_than_it_must(self, server: Server) -> None:
        queues = server.queues(5)
        for queue in queues:
            queue.put(bytes(bytearray(2000)))

        assert [bool(queue.lost) for queue in queues] == [True, False, False, False, False]

    def test_takes_the_one_whose_message_is_too_large(self, server: Server) -> None:
        (queue,) = server.queues(1)
        queue.put(b"x" * 20_000)

        assert queue.lost == [LostBecause.CROWDED]
        assert server.is_clean


class TestTooMuchOfEveryKind:
    """Others make the server hold much as well."""

    @pytest.fixture
    def server(self) -> Server:
        return Server(
            Options(max_queued_total=10_000, max_pending_total=10_000, max_decoded_total=1)
        )

    def test_takes_those_who_have_most_queued(self, server: Server) -> None:
        first, second = server.queues(2)
        first.put(bytes(bytearray(3000)))
        second.put(bytes(bytearray(3000)))
        server.held_total.count(6000)
        assert first.lost == []
        server.loop.run()
        assert [bool(queue.lost) for queue in (first, second)] == [True, False]

    def test_leaves_a_part_to_messages(self, server: Server) -> None:
        first, second = server.queues(2)
        first.put(bytes(bytearray(3000)))
        second.put(bytes(bytearray(10_000 // OWN_SHARE - MESSAGE_COST - ENTRY_COST)))
        server.held_total.count(100_000)
        server.loop.run()
        assert [bool(queue.lost) for queue in (first, second)] == [True, False]

        second.put(b"one more")
        server.loop.run()
        assert second.lost == [LostBecause.HELD]


class TestStandingStill:
    @pytest.fixture
    def queue(self) -> Queue:
        (queue,) = Server(Options(stall_timeout=10.0, max_lag=1e5)).queues(1)
        return queue

    def test_is_to_take_nothing_for_a_while(self, queue: Queue) -> None:
        queue.put(b"hello")
        queue.server.loop.advance(9.0)
        queue.put(b"more is no progress")
        assert queue.lost == []

        queue.server.loop.advance(1.0)
        assert queue.lost == [LostBecause.STALLED]
        assert queue.server.is_clean

    def test_counts_from_what_was_taken_last(self, queue: Queue) -> None:
        for _ in range(20):
            queue.put(b"hello")
        for _ in range(10):
            queue.server.loop.advance(9.0)
            queue.take()

        assert queue.lost == []

    def test_is_judged_when_it_was_tried_once_more(self, queue: Queue) -> None:
        """A loop that was late had no chance to write."""
        queue.put(b"hello")
        queue.put(b"hello")
        queue.ready = 1
        queue.server.loop.advance(10.0)
        assert [queue.lost, queue.tries] == [[], 1]

        queue.ready = 1
        queue.server.loop.advance(10.0)
        assert queue.lost == []
        assert queue.server.is_clean

    def test_can_be_excused(self, queue: Queue) -> None:
        queue.is_excused = True
        queue.put(b"hello")
        queue.server.loop.advance(100.0)
        assert queue.lost == []

        queue.is_excused = False
        queue.server.loop.advance(10.0)
        assert queue.lost == [LostBecause.STALLED]


class TestLagging:
    @pytest.fixture
    def queue(self) -> Queue:
        (queue,) = Server(Options(max_lag=30.0, max_queued_total=10**12)).queues(1)
        return queue

    @pytest.mark.parametrize(
        ("rate", "lags"),
        [(LAG_RATE // 4, True), (LAG_RATE - 1000, True), (LAG_RATE, False), (LAG_RATE * 4, False)],
    )
    def test_is_to_take_little_of_much(self, queue: Queue, rate: int, lags: bool) -> None:
        """One message a second is taken, and two come."""
        for _ in range(100):
            if not queue.lost:
                queue.put(bytes(bytearray(rate)))
                queue.put(bytes(bytearray(rate)))
                queue.server.loop.advance(0.5)
                queue.take()
                queue.server.loop.advance(0.5)

        assert queue.lost == ([LostBecause.LAGGED] if lags else [])

    def test_is_not_to_take_all_of_little(self, queue: Queue) -> None:
        """Something always waits, but never for long."""
        queue.put(b"first")
        for _ in range(100):
            queue.put(b"next")
            queue.server.loop.advance(1.0)
            queue.take()

        assert queue.lost == []

    def test_takes_as_long_as_something_may_wait(self, queue: Queue) -> None:
        queue.put(b"x" * 100)
        for _ in range(29):
            queue.put(b"y")
            queue.server.loop.advance(1.0)
            queue.backlog.taken(1)  # type: ignore[union-attr]
        assert queue.lost == []

        queue.server.loop.advance(1.0)
        assert queue.lost == [LostBecause.LAGGED]

    def test_can_be_excused(self, queue: Queue) -> None:
        queue.is_excused = True
        queue.put(b"hello")
        queue.server.loop.advance(100.0)

        assert queue.lost == []
