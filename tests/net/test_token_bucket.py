"""How fast one client may send, by a clock that is moved by hand."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketio_server.net.token_bucket import TokenBucket

RATE = 4.0
BURST = 3


@dataclass
class Sender:
    """Who obeys a limit: it waits for as long as it is told."""

    rate: float = RATE
    burst: int = BURST
    now: float = 100.0

    def __post_init__(self) -> None:
        self.limit = TokenBucket(self.rate, self.burst, self.now)

    def send(self, count: int = 1) -> float:
        """Send so many; return how long that took."""
        start = self.now
        for _ in range(count):
            if not self.limit.spend():
                self.now += self.limit.wait(self.now)
        return self.now - start


@pytest.fixture
def sender() -> Sender:
    return Sender()


class TestTheBurst:
    def test_costs_no_time(self, sender: Sender) -> None:
        assert sender.send(BURST) == 0

    def test_needs_no_clock(self) -> None:
        limit = TokenBucket(RATE, BURST, now=0.0)
        assert [limit.spend() for _ in range(BURST + 1)] == [True, True, True, False]

    def test_comes_back_in_time(self, sender: Sender) -> None:
        sender.send(BURST)
        sender.now += BURST / RATE
        assert sender.send(BURST) == 0
        assert sender.send() == 1 / RATE

    def test_does_not_grow_with_time(self, sender: Sender) -> None:
        # What came back is looked at only when the burst is spent, so it may be twice the size.
        for _ in range(3):
            sender.now += 1000.0
            assert sender.send(BURST) == 0
            assert sender.send(BURST + 2) > 0

    def test_may_be_spent_again_in_part(self, sender: Sender) -> None:
        sender.send(BURST)
        sender.now += 2 / RATE
        assert sender.send(2) == 0
        assert sender.send() == 1 / RATE


class TestTaking:
    def test_a_token_is_there_as_long_as_the_burst_lasts(self) -> None:
        bucket = TokenBucket(RATE, BURST, now=0.0)
        assert [bucket.take(0.0) for _ in range(BURST + 2)] == [True, True, True, False, False]

    def test_what_is_refused_costs_nothing(self) -> None:
        bucket = TokenBucket(RATE, BURST, now=0.0)
        for _ in range(BURST + 100):
            bucket.take(0.0)
        assert bucket.take(1 / RATE)
        assert not bucket.take(1 / RATE)

    def test_tokens_come_back_up_to_the_burst(self) -> None:
        bucket = TokenBucket(RATE, BURST, now=0.0)
        for _ in range(BURST):
            bucket.take(0.0)
        assert [bucket.take(1000.0) for _ in range(BURST + 1)] == [True, True, True, False]


class TestTheRate:
    def test_is_what_is_left_beyond_the_burst(self, sender: Sender) -> None:
        sender.send(BURST)
        assert sender.send(20) == 20 / RATE

    def test_counts_the_time_that_passed_by_itself(self, sender: Sender) -> None:
        sender.send(BURST)
        sender.now += 0.5 / RATE
        assert sender.send() == 0.5 / RATE

    @given(
        pauses=st.lists(st.floats(min_value=0.0, max_value=10.0), max_size=50),
        rate=st.floats(min_value=0.5, max_value=1000.0),
        burst=st.integers(min_value=1, max_value=20),
    )
    def test_is_never_exceeded_and_nobody_who_keeps_to_it_waits(
        self, pauses: list[float], rate: float, burst: int
    ) -> None:
        sender = Sender(rate, burst)
        start = sender.now
        for count, pause in enumerate(pauses, 1):
            sender.now += pause
            sender.send()
            assert count <= burst + (sender.now - start) * rate + 1e-6
        obedient = Sender(rate, burst)
        for _ in pauses:
            assert obedient.send() < 1e-6
            obedient.now += 1 / rate
