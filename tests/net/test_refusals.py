"""What is counted, and what is logged of clients at fault, by a clock that is moved by hand
(security, rule 19)."""

import logging
from dataclasses import dataclass, field

import pytest

from socketio_server.net import refusals
from socketio_server.net.refusals import LOG_INTERVAL, RefusalKind, Refusals

HTTP, PACKET = RefusalKind.HTTP, RefusalKind.PACKET


@dataclass
class Log:
    """Refusals, their clock and what they log."""

    caplog: pytest.LogCaptureFixture
    now: float = field(default=100.0)

    def __post_init__(self) -> None:
        self.refusals = Refusals(clock=lambda: self.now)

    @property
    def lines(self) -> list[str]:
        """What was logged."""
        return [record.getMessage() for record in self.caplog.records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


class TestCounting:
    def test_begins_with_nothing(self, log: Log) -> None:
        assert log.refusals.counts == {}

    def test_counts_every_refusal_by_its_kind(self, log: Log) -> None:
        for kind, who in ((HTTP, "a"), (PACKET, "a"), (HTTP, "b"), (HTTP, "a")):
            log.refusals.add(kind, who, "bad")
        assert log.refusals.counts == {"http": 3, "packet": 1}


class TestLogging:
    def test_tells_kind_and_reason(self, log: Log) -> None:
        log.refusals.add(HTTP, "a", "request head is too large")
        assert log.lines == ["Refused (http): request head is too large"]
        (record,) = log.caplog.records
        assert (record.name, record.levelno) == ("socketio_server", logging.WARNING)

    def test_has_the_level_that_the_caller_wants(self, log: Log) -> None:
        log.caplog.set_level(logging.DEBUG, "socketio_server")
        log.refusals.add(HTTP, "a", "bad", level=logging.DEBUG)
        assert [record.levelno for record in log.caplog.records] == [logging.DEBUG]

    def test_says_the_same_of_one_client_once_in_a_while(self, log: Log) -> None:
        for _ in range(5):
            log.refusals.add(HTTP, "a", "bad")
        log.now += LOG_INTERVAL - 1
        log.refusals.add(HTTP, "a", "bad")
        assert log.lines == ["Refused (http): bad"]

    def test_says_then_how_often_it_came_meanwhile(self, log: Log) -> None:
        for _ in range(5):
            log.refusals.add(HTTP, "a", "bad")
        log.now += LOG_INTERVAL
        log.refusals.add(HTTP, "a", "worse")
        log.now += LOG_INTERVAL
        log.refusals.add(HTTP, "a", "worst")
        assert log.lines == [
            "Refused (http): bad",
            "Refused (http): worse (and 4 more that were not logged)",
            "Refused (http): worst",
        ]

    def test_says_of_each_client_and_each_kind(self, log: Log) -> None:
        for kind, who in ((HTTP, "a"), (HTTP, "b"), (PACKET, "a"), (PACKET, "b")):
            log.refusals.add(kind, who, f"{kind} of {who}")
        assert log.lines == [
            f"Refused ({kind}): {kind} of {who}" for kind in ("http", "packet") for who in "ab"
        ]

    def test_takes_the_reason_for_no_format(self, log: Log) -> None:
        log.refusals.add(HTTP, "a", "100%s %(x)s {0}")
        assert log.lines == ["Refused (http): 100%s %(x)s {0}"]

    def test_remembers_so_many_clients_only(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(refusals, "MAX_REMEMBERED", 3)
        for who in range(4):
            log.refusals.add(HTTP, who, f"bad {who}")
        log.refusals.add(HTTP, 0, "bad 0 again")
        log.refusals.add(HTTP, 3, "bad 3 again")
        log.refusals.add(HTTP, 2, "bad 2 again")
        assert log.lines == [
            "Refused (http): bad 0",
            "Refused (http): bad 1",
            "Refused (http): bad 2",
            "Refused (http): bad 3",
            "Refused (http): bad 0 again",
        ]
        assert log.refusals.counts == {"http": 7}
