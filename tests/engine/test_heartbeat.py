"""Heartbeats by a clock that is moved by hand."""

import pytest

from socketio_server.engine.heartbeat import SLACK, Heartbeat
from socketio_server.net.deadlines import TICK
from tests.fakes.loop import FakeLoop


class Hearts:
    """A heartbeat with an interval of 25 and a timeout of 20 seconds, and what it did when."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.pinged: list[tuple[str, float]] = []
        self.expired: list[tuple[str, float]] = []
        self.heartbeat: Heartbeat[str] = Heartbeat(
            self.loop,
            interval=25.0,
            timeout=20.0,
            ping=lambda session: self.pinged.append((session, self.loop.now)),
            expire=lambda session: self.expired.append((session, self.loop.now)),
            clock=self.loop.clock,
        )


@pytest.fixture
def hearts() -> Hearts:
    return Hearts()


class TestHeartbeat:
    def test_the_first_ping_comes_after_the_interval(self, hearts: Hearts) -> None:
        hearts.heartbeat.add("a")
        hearts.loop.advance(24.0)
        assert hearts.pinged == []

        hearts.loop.advance(1.0)
        assert hearts.pinged == [("a", 25.0)]

    @pytest.mark.parametrize("late", [0.0, SLACK / 2, SLACK, 2 * SLACK, 5.0])
    def test_a_ping_that_is_late_costs_its_client_next_to_nothing(
        self, hearts: Hearts, late: float
    ) -> None:
        hearts.heartbeat.add("a")
        hearts.loop.now = 25.0 + late
        hearts.loop.run()
        hearts.loop.advance(30.0)

        ((_, pinged),) = hearts.pinged
        ((_, expired),) = hearts.expired
        assert pinged >= 25.0 + late
        assert expired == pytest.approx(max(45.0, pinged + 20.0 - SLACK), abs=2 * TICK)

    def test_the_next_one_comes_an_interval_after_the_pong(self, hearts: Hearts) -> None:
        hearts.heartbeat.add("a")
        hearts.loop.advance(30.0)
        hearts.heartbeat.pong("a")
        hearts.loop.advance(25.0)

        assert hearts.pinged == [("a", 25.0), ("a", 55.0)]
        assert hearts.expired == []

    def test_who_can_not_be_judged_yet_is_asked_again_at_once(self, hearts: Hearts) -> None:
        hearts.heartbeat.add("a")
        hearts.loop.advance(45.0)
        hearts.heartbeat.ask_again("a")
        assert hearts.pinged == [("a", 25.0), ("a", 45.0)]

        hearts.loop.advance(20.0)
        assert hearts.expired == [("a", 45.0), ("a", 65.0)]

    def test_a_client_that_does_not_answer_is_given_up(self, hearts: Hearts) -> None:
        hearts.heartbeat.add("a")
        hearts.loop.advance(44.0)
        assert hearts.expired == []

        hearts.loop.advance(100.0)
        assert hearts.expired == [("a", 45.0)]
        assert hearts.pinged == [("a", 25.0)]

    def test_a_pong_that_nobody_asked_for_changes_nothing(self, hearts: Hearts) -> None:
        hearts.heartbeat.pong("stranger")
        hearts.heartbeat.add("a")
        hearts.loop.advance(20.0)
        hearts.heartbeat.pong("a")
        hearts.loop.advance(5.0)
        assert hearts.pinged == [("a", 25.0)]

        hearts.heartbeat.pong("a")
        hearts.heartbeat.pong("a")
        hearts.loop.advance(25.0)
        assert hearts.pinged == [("a", 25.0), ("a", 50.0)]

    @pytest.mark.parametrize("when", [10.0, 30.0], ids=["before the ping", "before the pong"])
    def test_who_was_discarded_is_not_asked_and_does_not_expire(
        self, hearts: Hearts, when: float
    ) -> None:
        hearts.heartbeat.add("a")
        hearts.loop.advance(when)
        pinged = list(hearts.pinged)
        hearts.heartbeat.discard("a")
        hearts.loop.advance(100.0)

        assert hearts.pinged == pinged
        assert hearts.expired == []

    def test_sessions_do_not_disturb_each_other(self, hearts: Hearts) -> None:
        hearts.heartbeat.add("dead")
        hearts.loop.advance(5.0)
        hearts.heartbeat.add("alive")
        hearts.loop.advance(26.0)
        hearts.heartbeat.pong("alive")
        hearts.loop.advance(20.0)

        assert hearts.pinged == [("dead", 25.0), ("alive", 30.0)]
        assert hearts.expired == [("dead", 45.0)]

    def test_one_that_expired_may_be_asked_again(self, hearts: Hearts) -> None:
        """A client that is not being read from is given another chance."""
        hearts.heartbeat.add("a")
        hearts.loop.advance(45.0)
        hearts.heartbeat.add("a")
        hearts.loop.advance(25.0)

        assert hearts.pinged == [("a", 25.0), ("a", 70.0)]

    def test_clearing_stops_everything(self, hearts: Hearts) -> None:
        hearts.heartbeat.add("asked")
        hearts.loop.advance(30.0)
        hearts.heartbeat.add("new")
        hearts.heartbeat.clear()
        assert hearts.loop.timers == 0

        hearts.loop.advance(100.0)
        assert hearts.pinged == [("asked", 25.0)]
        assert hearts.expired == []
