"""Connections to Redis: made again after each loss, of which the log tells once for each."""

import pytest
from redis import AuthenticationError, ConnectionError, ResponseError

from socketio_server.cluster.redis import link as link_module
from socketio_server.cluster.redis.connections import RedisConnection
from socketio_server.cluster.redis.link import LOG_INTERVAL, Link
from tests.cluster.fakes import FakeConnection

LOST = (
    "Redis (redis://localhost/1) is lost for testing: {}. Clients stay connected. Until it is "
    "back, nothing is tested. The server tries again by itself, every 5 s at last."
)


class FakePart:
    """A part whose connections fail, until it has had so many."""

    purpose = "testing"
    until_back = "nothing is tested"

    def __init__(self, link: Link, losses: int = 0, error: Exception | None = None) -> None:
        self.is_connected = self.is_lost = False
        self.failures = 0
        self.pings = 0
        self._link = link
        self._losses = losses
        self._error = error or ConnectionError("Gone.")

    def use(self, connection: RedisConnection) -> None:
        self._link.connected(self)
        if self.failures >= self._losses:
            self._link.stopping.set()
        else:
            raise self._error

    def connection_failed(self) -> None:
        self.failures += 1

    def ping(self) -> None:
        self.pings += 1

    def tell_missed(self) -> str:
        return f"Missed: {self.failures}."


@pytest.fixture
def link() -> Link:
    times = iter(range(100, 1000))
    return Link("redis://user:secret@localhost/1", lambda: float(next(times)))


def run(link: Link, part: FakePart) -> None:
    """Let the part use connections until it is satisfied."""
    link.stopping.clear()
    link.keep_connected(part, FakeConnection)


def lose(link: Link, part: FakePart) -> None:
    """Leave the part without a connection."""

    def connect() -> FakeConnection:
        if part.is_lost:
            link.stopping.set()
        raise ConnectionError("Gone.")

    link.stopping.clear()
    link.keep_connected(part, connect)


class TestKeepingConnected:
    def test_a_lost_connection_is_made_again(self, link: Link) -> None:
        part = FakePart(link, losses=2)
        run(link, part)
        assert part.failures == 2
        assert link.losses == 2
        assert (part.is_connected, part.is_lost) == (True, False)

    def test_a_forked_process_lets_go_of_the_connections_that_are_there(self, link: Link) -> None:
        part = FakePart(link, losses=1)
        connections: list[FakeConnection] = []

        def connect() -> FakeConnection:
            connections.append(FakeConnection())
            return connections[-1]

        def use(connection: RedisConnection) -> None:
            if len(connections) == 1:
                raise ConnectionError("Gone.")
            link.leave_to_parent()
            link.stopping.set()

        part.use = use  # type: ignore[method-assign]
        link.keep_connected(part, connect)
        assert [connection.is_left for connection in connections] == [False, True]

    def test_a_part_knows_that_its_connection_is_lost(self, link: Link) -> None:
        part = FakePart(link)
        assert (part.is_connected, part.is_lost) == (False, False)

        lose(link, part)
        assert (part.is_connected, part.is_lost) == (False, True)

    def test_the_log_tells_of_loss_and_return(
        self, link: Link, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(link, FakePart(link, losses=1))
        assert [record.getMessage() for record in caplog.records] == [
            LOST.format("Gone"),
            "Redis (redis://localhost/1) is back for testing after 1.0 s. Missed: 1.",
        ]

    def test_the_log_tells_of_each_part_by_itself(
        self, link: Link, caplog: pytest.LogCaptureFixture
    ) -> None:
        one, other = (FakePart(link, losses=1) for _ in range(2))
        other.purpose = "other things"
        run(link, one)
        run(link, other)
        assert [message[:55] for message in caplog.messages] == [
            "Redis (redis://localhost/1) is lost for testing: Gone. ",
            "Redis (redis://localhost/1) is back for testing after 1",
            "Redis (redis://localhost/1) is lost for other things: G",
            "Redis (redis://localhost/1) is back for other things af",
        ]

    def test_a_wrong_password_is_told_with_where_it_stands(
        self, link: Link, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(link, FakePart(link, losses=1, error=AuthenticationError("invalid pair.")))
        assert (
            "is lost for testing: invalid pair (SOCKETIO_BROKER_URL is redis://user:***@"
            in (caplog.messages[0])
        )

    @pytest.mark.parametrize("refusal", [ResponseError("NOPERM"), AuthenticationError("NOPERM")])
    def test_a_refusal_is_told_once_although_redis_is_lost_already(
        self, link: Link, caplog: pytest.LogCaptureFixture, refusal: Exception
    ) -> None:
        """Who starts Redis again must know why it is not back."""
        errors = [ConnectionError("Gone."), refusal, refusal]
        part = FakePart(link, losses=3)
        part.use = lambda connection: use(errors.pop(0))  # type: ignore[method-assign]

        def use(error: Exception) -> None:
            if not errors:
                link.stopping.set()
            raise error

        run(link, part)
        assert [message[:53] for message in caplog.messages] == [
            "Redis (redis://localhost/1) is lost for testing: Gone",
            "Redis (redis://localhost/1) is lost for testing: NOPE",
        ]

    def test_a_mistake_of_ours_is_logged_and_ends_only_the_connection(
        self, link: Link, caplog: pytest.LogCaptureFixture
    ) -> None:
        part = FakePart(link, losses=1, error=AttributeError("recv"))
        run(link, part)

        assert part.failures == 1
        assert link.losses == 1
        assert part.is_connected
        assert caplog.messages[0] == "Internal error in a connection to Redis"
        assert caplog.records[0].exc_info is not None

    def test_the_pauses_grow_until_a_part_says_that_it_is_connected(
        self, link: Link, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pauses: list[float] = []

        def pause(low: float, high: float) -> float:
            pauses.append(high)
            return 0.0

        monkeypatch.setattr(link_module, "uniform", pause)

        class Refused(FakePart):
            def use(self, connection: RedisConnection) -> None:
                if self.failures in (3, 5):
                    super().use(connection)
                raise ResponseError("NOPERM")

        run(link, Refused(link, losses=5))
        assert pauses == [0.1, 0.2, 0.4, 0.1, 0.2, 0.1]

    def test_what_can_not_be_reached_is_tried_again(self, link: Link) -> None:
        part = FakePart(link, losses=1)

        def connect() -> FakeConnection:
            connection = FakeConnection()
            connection.fails = not part.failures
            return connection

        link.keep_connected(part, connect)
        assert part.failures == 1


class TestLossesOneAfterTheOther:
    """The log tells of the first at once, and of the others together."""

    @pytest.fixture
    def link(self, now: list[float]) -> Link:
        return Link("redis://localhost/1", lambda: now[0])

    @pytest.fixture
    def now(self) -> list[float]:
        """The time, which a test sets."""
        return [0.0]

    def test_are_counted_once_it_is_quiet(
        self, link: Link, now: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        part = FakePart(link, losses=4)
        run(link, part)
        assert link.losses == 4
        assert [message[:48] for message in caplog.messages] == [
            "Redis (redis://localhost/1) is lost for testing:",
            "Redis (redis://localhost/1) is back for testing ",
        ]

        caplog.clear()
        now[0] += LOG_INTERVAL
        for _ in range(2):
            link.answered(part)
        assert caplog.messages == [
            "Redis (redis://localhost/1) was lost again for testing, and came back. Losses that "
            "were not logged: 3."
        ]

    def test_are_told_one_by_one_if_time_lies_between(
        self, link: Link, now: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        run(link, FakePart(link, losses=1))
        part = FakePart(link)
        for _ in range(2):
            now[0] += LOG_INTERVAL
            lose(link, part)
            run(link, part)
        told = [message.split(" for ")[0][28:] for message in caplog.messages]
        assert told == ["is lost", "is back"] * 3

    def test_are_told_with_the_reason_when_one_lasts(
        self, link: Link, now: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        part = FakePart(link, losses=1)
        run(link, part)
        caplog.clear()
        told: list[int] = []

        def use(connection: RedisConnection) -> None:
            told.append(len(caplog.messages))
            now[0] += LOG_INTERVAL / 2
            if len(told) < 4:
                raise ConnectionError("Gone.")
            FakePart.use(part, connection)

        part.use = use  # type: ignore[method-assign]
        run(link, part)
        assert told == [0, 0, 1, 1]
        assert caplog.messages == [
            LOST.format("Gone"),
            "Redis (redis://localhost/1) is back for testing after 15.0 s. Missed: 4.",
        ]

    def test_hide_no_refusal(self, link: Link, caplog: pytest.LogCaptureFixture) -> None:
        part = FakePart(link, losses=1)
        run(link, part)
        caplog.clear()
        part.failures, part._error = 0, ResponseError("NOPERM")
        run(link, part)
        assert [message[:53] for message in caplog.messages] == [
            "Redis (redis://localhost/1) is lost for testing: NOPE",
            "Redis (redis://localhost/1) is back for testing after",
        ]


class TestTheReturn:
    """It is told when nothing is missing any more, because requests need all connections."""

    @pytest.fixture
    def returns(self) -> list[bool]:
        """An entry for each."""
        return []

    @pytest.fixture
    def link(self, returns: list[bool]) -> Link:
        return Link("redis://localhost", lambda: 0.0, lambda: returns.append(True))

    def test_is_told(self, link: Link, returns: list[bool]) -> None:
        run(link, FakePart(link, losses=1))
        assert returns == [True]

    def test_of_one_is_told_when_the_other_has_proved_alive(
        self, link: Link, returns: list[bool]
    ) -> None:
        """Both may have died at once, and only one has noticed."""
        one, other = FakePart(link), FakePart(link)
        run(link, other)
        lose(link, one)
        run(link, one)
        assert other.pings == 1
        assert returns == []

        link.answered(other)
        assert returns == [True]

    def test_of_one_is_told_when_the_other_has_another_connection(
        self, link: Link, returns: list[bool]
    ) -> None:
        one, other = FakePart(link), FakePart(link)
        run(link, other)
        lose(link, one)
        lose(link, other)
        run(link, one)
        assert returns == []

        run(link, other)
        assert returns == [True]
        assert link.losses == 1
