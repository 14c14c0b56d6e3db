"""The work of rechecks: in which order it is done, by how many workers, and what is left out."""

from collections.abc import Iterator

import pytest

from socketio_server.net.workers import Job
from socketio_server.serving.rights.recheck_queue import MAX_WORKERS, RecheckQueue
from socketio_server.serving.rights.recheck_scopes import Scope
from tests.fakes.rechecks import CountingHooks
from tests.fakes.server import FakeServer
from tests.serving.rights.site import fail_to_read

ANN, BOB = Scope("user", "~user:auth.user:1"), Scope("user", "~user:auth.user:2")

UNREADABLE = Scope("channel", "unreadable")


class Site:
    """Rechecks whose workers the test runs, and whose scopes are so many pieces of work."""

    def __init__(self) -> None:
        self.hooks = CountingHooks()
        self.queue = RecheckQueue(self.take, self, self.hooks, FakeServer().clients)
        self.jobs: list[Job] = []
        self.pieces = 1
        self.log: list[Scope] = []
        """Whose pieces were done."""
        self.error: BaseException = LookupError()

    def run(self, job: Job) -> None:
        """Let a worker wait for the test (``JobRunner``)."""
        self.jobs.append(job)

    def work(self) -> None:
        """Let the workers do their work."""
        while self.jobs:
            self.jobs.pop(0).work()

    def take(self, scope: Scope) -> Iterator[None]:
        if scope is UNREADABLE:
            raise self.error
        for piece in range(self.pieces):
            self.log.append(scope)
            if piece < self.pieces - 1:
                yield


@pytest.fixture
def site() -> Site:
    return Site()


class TestWorkers:
    def test_are_no_more_than_four_at_a_time(self, site: Site) -> None:
        for number in range(10):
            site.queue.ask(Scope("channel", str(number)))

        assert len(site.jobs) == MAX_WORKERS
        site.work()
        assert site.hooks.entered == site.hooks.left == 10

    def test_come_again_for_later_work(self, site: Site) -> None:
        site.queue.ask(ANN)
        site.work()
        site.queue.ask(ANN)

        assert len(site.jobs) == 1

    def test_go_on_with_the_next_after_an_error(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        for scope in (UNREADABLE, ANN):
            site.queue.ask(scope)
        site.work()

        assert site.log == [ANN]
        assert site.hooks.left == 2
        assert "Rights can't be verified again, so clients keep them until the" in caplog.text

    def test_take_a_scope_again_after_its_database_could_not_be_released(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(site.hooks, "release", fail_to_read)
            site.queue.ask(ANN)
            site.work()
        site.queue.ask(ANN)
        site.work()

        assert site.log == [ANN, ANN]
        assert "Rights can't be verified again" in caplog.text

    def test_take_a_scope_again_after_one_was_killed_with_it(self, site: Site) -> None:
        site.error = KeyboardInterrupt()
        for _ in range(2):
            site.queue.ask(UNREADABLE)
            with pytest.raises(KeyboardInterrupt):
                site.jobs.pop().work()

        assert site.hooks.left == 2


class TestTheWorkOfAScope:
    def test_does_not_wait_for_all_that_of_another(self, site: Site) -> None:
        site.pieces = 3
        site.queue.ask(ANN)
        site.queue.ask(BOB)
        site.work()

        assert site.log == [ANN, BOB] * 3

    def test_has_one_turn_however_much_it_is(self, site: Site) -> None:
        for _ in range(3):
            site.queue.add(None, site.take(ANN))
        site.queue.ask(BOB)
        site.work()

        assert site.log == [ANN, BOB, ANN, ANN]

    def test_is_done_once_more_if_it_was_asked_for_meanwhile(self, site: Site) -> None:
        for _ in range(40):
            site.queue.ask(ANN)
        site.work()
        assert site.log == [ANN, ANN]

        site.queue.ask(ANN)
        site.work()
        assert site.log == [ANN, ANN, ANN]

    def test_is_done_once_more_when_all_of_it_is_done(self, site: Site) -> None:
        site.queue.ask(ANN)
        site.queue.add(ANN, site.take(BOB))
        site.queue.ask(ANN)
        site.work()

        assert site.log == [ANN, BOB, ANN]
