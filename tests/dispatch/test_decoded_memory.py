"""The room for decoded packets of all clients."""

from functools import partial
from weakref import ref

from socketio_server.dispatch.decoded_memory import (
    MODEST_DECODED,
    MODEST_SHARE,
    SMALL_DECODED,
    DecodedMemory,
)
from socketio_server.net.held_total import HeldTotal
from socketio_server.net.refusals import RefusalKind
from socketio_server.options import Options
from tests.fakes.loop import FakeLoop

LARGE = MODEST_DECODED + 1
"""Bytes of a packet that is just not modest."""

MOST = 8 * LARGE
"""Bytes of large packets that there is room for."""

OPTIONS = Options(max_decoded_total=MOST + MOST // (MODEST_SHARE - 1), stall_timeout=10.0)


class Tenant:
    """A client whose handlers end when a test says so."""

    def __init__(self, *, is_local: bool = True) -> None:
        self.is_local = is_local
        self.is_open = is_local
        self.told: list[str] = []

    def give_up(self, kind: RefusalKind, why: str) -> None:
        self.is_open = False
        self.told.append(f"{kind}: {why}")


class House:
    """The room, a few clients, and the packets that were let in."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.held_total = HeldTotal(self.loop, OPTIONS)
        self.memory = DecodedMemory(self.loop, OPTIONS, self.held_total, clock=self.loop.clock)
        self.tenants = [Tenant() for _ in range(4)]
        self.ran: list[int] = []

    def take(self, tenant: int, size: int) -> bool:
        return self.memory.take(self.tenants[tenant], size, self.ran.append)

    def take_and_withdraw(self, tenant: int, size: int, *, makes_room: bool) -> None:
        run = partial(self.ran.append)  # unlike any other
        assert not self.memory.take(self.tenants[tenant], size, run, withdraws=True)
        self.memory.withdraw(size, run, makes_room=makes_room)

    def leave(self, tenant: int, size: int) -> None:
        self.memory.leave(self.tenants[tenant], size)
        self.loop.run()

    @property
    def given_up(self) -> list[int]:
        return [number for number, tenant in enumerate(self.tenants) if not tenant.is_open]


class TestRoom:
    def test_is_bounded_for_all_together(self) -> None:
        house = House()
        assert house.take(0, 5 * LARGE)
        assert house.take(1, 3 * LARGE)
        assert not house.take(2, LARGE)
        assert house.memory.taken == MOST

    def test_is_given_in_order(self) -> None:
        house = House()
        house.take(0, 5 * LARGE)
        assert not house.take(1, 6 * LARGE)
        assert not house.take(2, 2 * LARGE)  # there would be room for it
        house.leave(0, 5 * LARGE)
        assert house.ran == [6 * LARGE, 2 * LARGE]
        assert house.memory.taken == MOST

    def test_is_there_for_any_packet_that_is_alone(self) -> None:
        house = House()
        assert house.take(0, 10 * MOST)
        assert not house.take(1, 10 * MOST)
        house.leave(0, 10 * MOST)
        assert house.ran == [10 * MOST]
        house.leave(1, 10 * MOST)
        assert house.memory.taken == 0

    def test_is_not_needed_by_small_packets(self) -> None:
        house = House()
        house.take(0, MOST)
        house.take(1, MOST)
        for _ in range(1000):
            assert house.take(2, SMALL_DECODED)
        assert house.memory.taken == MOST
        house.leave(2, SMALL_DECODED)
        assert house.memory.taken == MOST

    def test_has_a_part_for_modest_packets_which_larger_ones_do_not_take(self) -> None:
        house = House()
        house.take(0, MOST)
        house.take(1, MOST)
        assert house.take(2, MODEST_DECODED)
        assert house.memory.taken == MOST + MODEST_DECODED
        house.leave(2, MODEST_DECODED)
        assert house.memory.taken == MOST

    def test_has_a_bounded_part_for_modest_packets(self) -> None:
        house = House()
        while house.take(0, MODEST_DECODED):
            pass
        assert house.memory.taken <= OPTIONS.max_decoded_total // MODEST_SHARE
        assert house.take(1, LARGE)

    def test_counts_for_what_all_clients_make_the_server_hold(self) -> None:
        house = House()
        house.take(0, 5 * LARGE)
        house.take(1, MODEST_DECODED)
        assert house.held_total.bytes == 5 * LARGE + MODEST_DECODED
        house.leave(0, 5 * LARGE)
        house.leave(1, MODEST_DECODED)
        assert house.held_total.bytes == 0

    def test_is_less_where_clients_make_the_server_hold_much_else(self) -> None:
        house = House()
        house.held_total.count(OPTIONS.max_queued_total - 3 * LARGE)
        assert house.take(0, 2 * LARGE)
        assert not house.take(1, 2 * LARGE)
        assert house.take(2, MODEST_DECODED)
        house.leave(0, 2 * LARGE)
        assert house.ran == [2 * LARGE]

    def test_that_a_packet_takes_beyond_the_bound_does_not_count(self) -> None:
        """Nobody else could make so much room."""
        house = House()
        house.take(0, 10 * MOST)
        assert house.held_total.bytes == MOST
        house.leave(0, 10 * MOST)
        assert house.held_total.bytes == 0


class TestPatience:
    def test_the_client_that_takes_most_is_given_up(self) -> None:
        house = House()
        house.take(0, 3 * LARGE)
        house.take(1, 5 * LARGE)
        house.take(2, 4 * LARGE)
        house.loop.advance(9.0)
        assert house.given_up == []

        house.loop.advance(2.0)
        assert house.given_up == [1]
        assert house.tenants[1].told == [
            "decoded: its handlers keep the memory that other packets wait for "
            "(SOCKETIO_MAX_DECODED_TOTAL)"
        ]
        assert house.memory.taken == MOST  # until its handlers have ended

    def test_so_are_as_many_as_the_packet_needs(self) -> None:
        house = House()
        house.take(0, LARGE)
        house.take(1, 3 * LARGE)
        house.take(2, 4 * LARGE)
        house.take(3, 6 * LARGE)
        house.loop.advance(11.0)
        assert house.given_up == [1, 2]

    def test_then_the_next_one_if_that_did_not_help(self) -> None:
        house = House()
        house.take(0, 3 * LARGE)
        house.take(1, 5 * LARGE)
        house.take(2, 4 * LARGE)
        house.loop.advance(21.0)
        assert house.given_up == [0, 1]

    def test_begins_when_a_packet_is_the_first_that_waits(self) -> None:
        house = House()
        house.take(0, MOST)
        house.take(1, MOST)
        house.take(2, MOST)
        house.loop.advance(9.0)
        house.leave(0, MOST)
        house.loop.advance(9.0)
        assert house.given_up == []

    def test_ends_with_the_wait(self) -> None:
        house = House()
        house.take(0, MOST)
        house.take(1, MOST)
        house.leave(0, MOST)
        house.loop.advance(20.0)
        assert house.given_up == []
        assert house.loop.timers == 0

    def test_is_shorter_for_those_behind_until_nobody_waits(self) -> None:
        """Many clients could keep the room, one after another."""
        house = House()
        house.take(0, MOST)
        for tenant in (1, 2, 3):
            house.take(tenant, MOST)
        house.loop.advance(11.0)
        assert house.given_up == [0]
        house.leave(0, MOST)
        house.loop.advance(6.0)
        assert house.given_up == [0, 1]
        house.leave(1, MOST)
        house.loop.advance(3.0)
        assert house.given_up == [0, 1, 2]
        house.leave(2, MOST)

        house.leave(3, MOST)
        house.tenants[1].is_open = True
        house.take(0, MOST)
        house.take(1, MOST)
        house.loop.advance(9.0)
        assert house.given_up == [0, 2]

    def test_is_not_shorter_where_a_client_that_was_given_up_takes_its_time(self) -> None:
        """The room will be there when its handlers have ended."""
        house = House()
        house.take(0, LARGE)
        house.take(1, 7 * LARGE)
        house.take(2, 7 * LARGE)
        house.loop.advance(19.0)
        assert house.given_up == [1]

    def test_is_never_shorter_than_a_tenth(self) -> None:
        house = House()
        house.take(0, MOST)
        for _ in range(12):
            house.take(0, MOST)
        for _ in range(10):
            house.loop.advance(11.0)
            house.leave(0, MOST)
            house.tenants[0].is_open = True
        house.loop.advance(0.9)
        assert house.given_up == []
        house.loop.advance(0.2)
        assert house.given_up == [0]


class TestClientsThatHaveGone:
    """A client sends what takes long to handle, and goes."""

    def test_are_given_up_whatever_they_take(self) -> None:
        house = House()
        house.take(0, 5 * LARGE)
        house.take(1, 3 * LARGE)
        house.tenants[1].is_open = False
        house.take(2, LARGE)
        house.loop.advance(11.0)
        assert house.tenants[1].told

    def test_are_given_up_once(self) -> None:
        house = House()
        house.take(0, 5 * LARGE)
        house.take(1, 3 * LARGE)
        house.tenants[1].is_open = False
        house.take(2, LARGE)
        house.loop.advance(21.0)
        assert len(house.tenants[1].told) == 1

    def test_are_given_up_when_a_packet_has_waited_behind_others(self) -> None:
        """Each of them may be quick enough to end before the next one's patience."""
        house = House()
        house.take(0, MOST)
        house.take(1, MOST)
        house.take(2, MOST)
        house.take(3, LARGE)
        for tenant in (0, 1, 2):
            house.tenants[tenant].is_open = False
        house.loop.advance(9.0)
        house.leave(0, MOST)
        house.loop.advance(2.0)
        assert not house.tenants[1].told
        house.leave(1, MOST)
        assert house.tenants[2].told
        assert house.ran == [MOST, 0, LARGE]

    def test_keep_nobody_waiting_who_stays(self) -> None:
        """Their events were dropped, and their handlers find none."""
        house = House()
        for tenant in (0, 1, 2):
            house.take(tenant, MOST)
            house.tenants[tenant].is_open = False
        house.take(3, LARGE)
        house.loop.advance(11.0)
        assert [len(tenant.told) for tenant in house.tenants] == [1, 1, 1, 0]
        assert house.ran == [0, 0]
        assert house.held_total.bytes == house.memory.taken == MOST
        house.leave(0, MOST)
        assert house.ran == [0, 0, LARGE]
        assert house.memory.taken == LARGE

    def test_cost_nobody_who_is_there_more_than_the_packet_needs(self) -> None:
        house = House()
        house.take(0, 3 * LARGE)
        house.take(1, 3 * LARGE)
        house.take(2, 3 * LARGE)
        house.take(3, 3 * LARGE)
        gone = Tenant()
        gone.is_open = False
        house.memory.take(gone, 10 * MOST, house.ran.append)
        house.loop.advance(11.0)
        assert gone.told
        assert house.given_up == [0]

    def test_are_forgotten(self) -> None:
        house = House()
        house.take(0, MOST)
        gone = Tenant()
        gone.is_open = False
        for _ in range(2):
            house.memory.take(gone, MOST, house.ran.append)
        house.take(1, MOST)
        house.loop.advance(11.0)
        assert len(gone.told) == 1
        remembered = ref(gone)
        del gone
        assert remembered() is None

    def test_are_not_looked_for_each_time_that_there_is_room(self) -> None:
        """The line may be long."""
        house = House()
        looks = []

        class Watched:
            is_local = True

            @property
            def is_open(self) -> bool:
                looks.append(house.loop.now)
                return True

            def give_up(self, kind: RefusalKind, why: str) -> None:
                raise AssertionError("it is here")

        for tenant in (0, 1, 2, 3):
            house.take(tenant, 2 * LARGE)
        house.memory.take(Watched(), MOST, house.ran.append)
        for _ in range(20):
            house.memory.take(Watched(), LARGE, house.ran.append)
        house.loop.advance(9.9)
        for tenant in (0, 1, 2):
            house.loop.now += 0.2
            house.leave(tenant, 2 * LARGE)
        assert len(set(looks)) == 1

    def test_are_heard_while_nobody_waits_for_long(self) -> None:
        house = House()
        house.take(0, MOST)
        house.take(1, MOST)
        house.tenants[1].is_open = False
        house.take(2, LARGE)
        house.loop.advance(9.0)
        house.leave(0, MOST)
        assert house.ran == [MOST]
        assert not house.tenants[1].told

    def test_wait_as_others_do_if_all_that_wait_have_gone(self) -> None:
        house = House()
        house.take(0, MOST)
        house.take(1, MOST)
        house.tenants[1].is_open = False
        house.loop.advance(11.0)
        assert house.given_up == [0, 1]
        assert not house.tenants[1].told
        house.leave(0, MOST)
        assert house.ran == [MOST]

    def test_are_not_clients_of_other_processes(self) -> None:
        house = House()
        house.tenants[0] = Tenant(is_local=False)
        house.take(0, 5 * LARGE)
        house.take(1, 3 * LARGE)
        house.take(2, LARGE)
        house.loop.advance(11.0)
        assert not house.tenants[0].told
        assert house.tenants[1].told


class TestPatienceOfOnesOwn:
    """A caller that waits for an acknowledgement withdraws."""

    def test_does_not_end_by_itself(self) -> None:
        house = House()
        house.take(0, MOST)
        run = partial(house.ran.append)
        house.memory.take(house.tenants[1], LARGE, run, withdraws=True)
        house.loop.advance(60.0)
        assert house.given_up == []
        assert house.loop.timers == 0

        house.leave(0, MOST)
        assert house.ran == [LARGE]

    def test_lets_those_in_that_wait_behind(self) -> None:
        house = House()
        house.take(0, 5 * LARGE)
        run = partial(house.ran.append, 6 * LARGE)
        house.memory.take(house.tenants[1], 6 * LARGE, run, withdraws=True)
        assert not house.take(2, 2 * LARGE)
        house.memory.withdraw(6 * LARGE, run, makes_room=False)
        assert house.ran == [2 * LARGE]
        assert house.memory.taken == 7 * LARGE

    def test_begins_that_of_the_next_one(self) -> None:
        house = House()
        house.take(0, MOST)
        run = partial(house.ran.append)
        house.memory.take(house.tenants[1], LARGE, run, withdraws=True)
        house.take(2, LARGE)
        house.loop.advance(60.0)
        house.memory.withdraw(LARGE, run, makes_room=False)
        house.loop.advance(9.0)
        assert house.given_up == []
        house.loop.advance(2.0)
        assert house.given_up == [0]

    def test_may_end_with_the_client_that_takes_most(self) -> None:
        house = House()
        house.take(0, 3 * LARGE)
        house.take(1, 5 * LARGE)
        house.take_and_withdraw(2, LARGE, makes_room=False)
        assert house.given_up == []
        house.take_and_withdraw(2, LARGE, makes_room=True)
        assert house.given_up == [1]

    def test_ends_nobody_while_another_waits_for_longer(self) -> None:
        house = House()
        house.take(0, MOST)
        house.take(1, LARGE)
        house.take_and_withdraw(2, LARGE, makes_room=True)
        assert house.given_up == []


class TestTheBoundOfAll:
    """What clients make the server hold of other kinds leaves no room."""

    OTHERS = Options().max_queued_total
    """As much as there may be of everything."""

    def test_is_waited_for(self) -> None:
        house = House()
        house.take(0, MODEST_DECODED)
        house.take(1, LARGE)
        house.held_total.count(self.OTHERS)
        assert not house.take(2, MODEST_DECODED)
        assert not house.take(3, LARGE)
        house.held_total.count(-self.OTHERS)
        house.loop.run()
        assert house.ran == [MODEST_DECODED, LARGE]

    def test_is_waited_for_as_often_as_it_takes(self) -> None:
        house = House()
        house.take(0, LARGE)
        house.held_total.count(self.OTHERS)
        house.take(1, LARGE)
        for _ in range(3):
            house.held_total.count(-1)
            house.loop.run()
        assert house.ran == []
        house.held_total.count(3 - self.OTHERS)
        house.loop.run()
        assert house.ran == [LARGE]

    def test_is_not_waited_for_longer_than_one_s_patience(self) -> None:
        house = House()
        house.take(0, LARGE)
        house.held_total.count(self.OTHERS)
        house.take(1, LARGE)
        house.loop.advance(11.0)
        assert house.given_up == [0]
        house.leave(0, LARGE)
        assert house.ran == [LARGE]
