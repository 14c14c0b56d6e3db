"""Clients whose sessions are on another machine."""

import pytest

from socketio_server.serving.lost_clients import INTERVAL, LostClients
from tests.fakes.hub import settle


class Machine:
    """A machine of a cluster that has run for a while."""

    def __init__(self) -> None:
        self.now = 100.0
        self.others = ["123", "a-7"]
        self.asked = 0
        self.lost = LostClients(self.find_workers, settled=45.0, clock=lambda: self.now)
        self.now += 45.0

    def find_workers(self, timeout: float) -> list[str]:
        self.asked += 1
        return self.others

    def come(self, worker: str) -> None:
        self.lost.came(worker)
        settle()


@pytest.fixture
def machine() -> Machine:
    return Machine()


class TestASessionThatIsUnknown:
    @pytest.mark.parametrize("worker", ["123", "a-7"])
    def test_here_and_may_be_elsewhere_is_told_once(
        self, machine: Machine, caplog: pytest.LogCaptureFixture, worker: str
    ) -> None:
        for _ in range(3):
            machine.come(worker)
            machine.now += INTERVAL
        (message,) = caplog.messages
        assert "SOCKETIO_NODE of its own" in message
        assert machine.asked == 1

    def test_everywhere_is_nobody_s_mistake(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        machine.come("124")
        assert machine.asked == 1
        assert caplog.messages == []

    def test_soon_after_the_start_is_of_an_earlier_process(
        self, machine: Machine, caplog: pytest.LogCaptureFixture
    ) -> None:
        machine.now -= 1.0
        machine.come("123")
        assert machine.asked == 0
        assert caplog.messages == []

    def test_lets_the_others_be_asked_once_in_a_while(self, machine: Machine) -> None:
        for _ in range(3):
            machine.come("124")
        assert machine.asked == 1
        machine.now += INTERVAL
        machine.come("124")
        assert machine.asked == 2
