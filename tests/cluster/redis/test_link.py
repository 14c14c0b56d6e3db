"""Connections to Redis: made again after each loss, of which the log tells once."""

import pytest
from redis import ConnectionError, ResponseError

from socketio_server.cluster.redis import link as link_module
from socketio_server.cluster.redis.connections import RedisConnection
from socketio_server.cluster.redis.link import MAX_TEXT, Link
from tests.cluster.fakes import FakeConnection


class FakePart:
    """A part whose connections fail, until it has had so many."""

    name = "part"

    def __init__(self, link: Link, losses: int, error: Exception | None = None) -> None:
        self._link = link
        self._losses = losses
        self._error = error or ConnectionError("Gone.")
        self.failures = 0

    def use(self, connection: RedisConnection) -> None:
        self._link.connected(self)
        if self.failures == self._losses:
            self._link.stopping.set()
        else:
            raise self._error

    def connection_failed(self) -> None:
        self.failures += 1


@pytest.fixture
def link() -> Link:
    times = iter(range(100, 1000))
    return Link("redis://user:secret@localhost/1", lambda: float(next(times)))


def run(link: Link, part: FakePart) -> None:
    """Let the part use connections until it is satisfied."""
    link.keep_connected(part, FakeConnection)


class TestKeepingConnected:
    def test_a_lost_connection_is_made_again(self, link: Link) -> None:
        part = FakePart(link, losses=2)
        run(link, part)
        assert part.failures == 2
        assert link.losses == 2
        assert link.is_up

    def test_its_return_is_told(self) -> None:
        returned: list[bool] = []
        told = Link("redis://localhost", lambda: 0.0, lambda: returned.append(told.is_up))
        run(told, FakePart(told, losses=1))
        assert returned == [True]

    def test_is_back_when_the_other_part_s_connection_has_proved_alive(self) -> None:
        """Both may have died at once, and only one has noticed."""
        returned: list[bool] = []
        told = Link("redis://localhost", lambda: 0.0, lambda: returned.append(told.is_up))
        other = FakePart(told, losses=0)
        other.name = "other"
        told.connected(other)

        part = FakePart(told, losses=1)
        part.connection_failed = lambda: told.doubt(other)  # type: ignore[method-assign]
        part.use = lambda connection: use(connection)  # type: ignore[method-assign]
        uses = iter([ConnectionError("Gone."), None])

        def use(connection: RedisConnection) -> None:
            error = next(uses)
            told.connected(part)
            if error is not None:
                raise error
            told.stopping.set()

        run(told, part)
        assert returned == []
        told.answered(other)
        assert returned == [True]

    def test_is_back_when_the_other_part_has_another_connection(self) -> None:
        returned: list[bool] = []
        told = Link("redis://localhost", lambda: 0.0, lambda: returned.append(told.is_up))
        first, second = (FakePart(told, losses=losses) for losses in (1, 0))
        second.name = "other"
        told.doubt(second)
        run(told, first)
        assert returned == []
        told.stopping.clear()
        run(told, second)
        assert returned == [True]

    def test_the_log_tells_of_loss_and_return(
        self, link: Link, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(link, FakePart(link, losses=1))
        assert [record.getMessage() for record in caplog.records] == [
            "Redis (redis://localhost/1) is lost: Gone. Until it is back, messages reach the "
            "clients of this process only.",
            "Redis (redis://localhost/1) is back after 1.0 s.",
        ]

    def test_a_long_error_is_cut(self, link: Link, caplog: pytest.LogCaptureFixture) -> None:
        run(link, FakePart(link, losses=1, error=ConnectionError("x" * 2000)))
        assert "x" * MAX_TEXT in caplog.text
        assert "x" * (MAX_TEXT + 1) not in caplog.text

    def test_a_refusal_is_told_once_although_redis_is_lost_already(
        self, link: Link, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Who starts Redis again must know why it is not back."""
        errors = [ConnectionError("Gone."), *(2 * [ResponseError("NOPERM")])]
        part = FakePart(link, losses=3)
        part.use = lambda connection: use(errors.pop(0))  # type: ignore[method-assign]

        def use(error: Exception) -> None:
            if not errors:
                link.stopping.set()
            raise error

        run(link, part)
        assert [message[:41] for message in caplog.messages] == [
            "Redis (redis://localhost/1) is lost: Gone",
            "Redis (redis://localhost/1) is lost: NOPE",
        ]

    def test_a_mistake_of_ours_is_logged_and_ends_only_the_connection(
        self, link: Link, caplog: pytest.LogCaptureFixture
    ) -> None:
        part = FakePart(link, losses=1, error=AttributeError("recv"))
        run(link, part)

        assert part.failures == 1
        assert link.losses == 1
        assert link.is_up
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
