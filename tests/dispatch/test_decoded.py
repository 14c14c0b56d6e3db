"""The room for decoded packets of all clients."""

from socketio_server.dispatch.decoded import DecodedRoom
from socketio_server.options import Options
from tests.fakes import FakeLoop

OPTIONS = Options(max_decoded_total=100, stall_timeout=10.0)


class Tenant:
    """A client whose handlers end when a test says so."""

    def __init__(self) -> None:
        self.is_open = True
        self.told: list[str] = []

    def give_up(self, why: str) -> None:
        self.is_open = False
        self.told.append(why)


class House:
    """The room, a few clients, and the packets that were let in."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.room = DecodedRoom(self.loop, OPTIONS, clock=self.loop.clock)
        self.tenants = [Tenant() for _ in range(3)]
        self.ran: list[int] = []

    def take(self, tenant: int, size: int) -> bool:
        return self.room.take(self.tenants[tenant], size, lambda: self.ran.append(size))

    def leave(self, tenant: int, size: int) -> None:
        self.room.leave(self.tenants[tenant], size)


class TestRoom:
    def test_is_bounded_for_all_together(self) -> None:
        house = House()
        assert house.take(0, 60)
        assert house.take(1, 40)
        assert not house.take(2, 1)
        assert house.room.taken == 100

    def test_is_given_in_order(self) -> None:
        house = House()
        house.take(0, 60)
        assert not house.take(1, 70)
        assert not house.take(2, 30)  # there would be room for it
        house.leave(0, 60)
        assert house.ran == [70, 30]
        assert house.room.taken == 100

    def test_is_there_for_any_packet_that_is_alone(self) -> None:
        house = House()
        assert house.take(0, 1000)
        assert not house.take(1, 1000)
        house.leave(0, 1000)
        assert house.ran == [1000]
        house.leave(1, 1000)
        assert house.room.taken == 0


class TestPatience:
    def test_the_client_that_takes_most_is_given_up(self) -> None:
        house = House()
        house.take(0, 30)
        house.take(1, 60)
        house.take(2, 50)
        house.loop.advance(9.0)
        assert all(tenant.is_open for tenant in house.tenants)

        house.loop.advance(2.0)
        assert [tenant.is_open for tenant in house.tenants] == [True, False, True]
        assert house.tenants[1].told == ["its handlers keep the memory that other packets wait for"]
        assert house.room.taken == 90  # until its handlers have ended

    def test_then_the_next_one_if_that_did_not_help(self) -> None:
        house = House()
        house.take(0, 30)
        house.take(1, 60)
        house.take(2, 50)
        house.loop.advance(21.0)
        assert [tenant.is_open for tenant in house.tenants] == [False, False, True]

    def test_begins_when_a_packet_is_the_first_that_waits(self) -> None:
        house = House()
        house.take(0, 100)
        house.take(1, 100)
        house.take(2, 100)
        house.loop.advance(9.0)
        house.leave(0, 100)
        house.loop.advance(9.0)
        assert all(tenant.is_open for tenant in house.tenants)

    def test_ends_with_the_wait(self) -> None:
        house = House()
        house.take(0, 100)
        house.take(1, 100)
        house.leave(0, 100)
        house.loop.advance(20.0)
        assert all(tenant.is_open for tenant in house.tenants)
        assert house.loop.timers == 0
