"""The guard round the loop's callbacks."""

import logging
import os
import select
from dataclasses import dataclass, field

import pytest
from gevent import get_hub

from socketio_server.net.deadlines import Deadlines
from socketio_server.net.loop import GuardedLoop
from socketio_server.net.refusals import LOG_INTERVAL, Refusals
from tests.fakes.loop import FakeIO, FakeLoop
from tests.fakes.net import socket_pair


@dataclass
class Owner:
    """Something with callbacks, all of which raise, and its end as well if it has to."""

    ends: int = 0
    end_raises: bool = False
    error: BaseException = field(default_factory=lambda: RuntimeError("on purpose"))

    def fail(self, *args: object) -> None:
        raise self.error

    def callback_raised(self) -> None:
        self.ends += 1
        if self.end_raises:
            raise ValueError("the end, too")


class Loops:
    """gevent's loop, as it were, and the guarded one."""

    def __init__(self) -> None:
        self.fake = FakeLoop()
        self.guarded = GuardedLoop(self.fake, Refusals(self.fake.clock))


@pytest.fixture
def loops() -> Loops:
    return Loops()


class TestGuard:
    def test_an_exception_in_a_callback_ends_its_owner_and_goes_no_further(
        self, loops: Loops
    ) -> None:
        owner = Owner()
        loops.guarded.run_callback(Owner.fail, owner, "an argument")
        loops.fake.run()
        assert owner.ends == 1

    def test_an_exception_in_the_callback_of_a_descriptor_ends_its_owner(
        self, loops: Loops
    ) -> None:
        owner = Owner()
        with socket_pair() as (ours, theirs):
            watcher = loops.guarded.io(ours.fileno(), 1)
            assert isinstance(watcher, FakeIO)
            loops.guarded.start(watcher, Owner.fail, owner)
            theirs.send(b"bytes")
            loops.fake.turn()
            assert owner.ends == 1
            watcher.close()

    def test_an_exception_in_the_callback_of_a_timer_ends_its_owner(self, loops: Loops) -> None:
        owner = Owner()
        loops.guarded.start(loops.guarded.timer(1.0), Owner.fail, owner)
        loops.fake.advance(1.0)
        assert owner.ends == 1

    def test_an_exception_is_logged_with_its_traceback_and_once_for_a_while(
        self, loops: Loops, caplog: pytest.LogCaptureFixture
    ) -> None:
        owner = Owner()
        for seconds in (0.0, 0.0, LOG_INTERVAL):
            loops.fake.advance(seconds)
            loops.guarded.run_callback(Owner.fail, owner)
            loops.fake.run()
        first, second = caplog.records
        assert first.levelno == logging.ERROR
        assert first.exc_info is not None
        assert first.exc_info[0] is RuntimeError
        assert first.getMessage().startswith(
            "Internal error in a callback of the event loop; its client, if it has one, is "
        )
        assert "1 more" in second.getMessage()

    def test_an_exception_in_the_end_is_logged_besides(
        self, loops: Loops, caplog: pytest.LogCaptureFixture
    ) -> None:
        loops.guarded.run_callback(Owner.fail, Owner(end_raises=True))
        loops.fake.run()
        logged = [record.exc_info[0] for record in caplog.records if record.exc_info]
        assert logged == [ValueError, RuntimeError]

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
    def test_what_is_to_end_the_process_goes_on_to_the_hub_after_the_end_of_the_owner(
        self, loops: Loops, error: BaseException, caplog: pytest.LogCaptureFixture
    ) -> None:
        owner = Owner(error=error)
        loops.guarded.run_callback(Owner.fail, owner)
        with pytest.raises(type(error)):
            loops.fake.run()
        assert owner.ends == 1
        assert caplog.records == []


class TestDeadlines:
    def test_an_item_that_raises_ends_and_the_others_fall_due(self, loops: Loops) -> None:
        due: list[str] = []
        ended: list[str] = []

        def on_due(item: str) -> None:
            if item == "bad":
                raise RuntimeError("on purpose")
            due.append(item)

        deadlines: Deadlines[str] = Deadlines(
            loops.guarded, 1.0, on_due, clock=loops.fake.clock, on_raised=ended.append
        )
        deadlines.add("bad")
        deadlines.add("good")
        loops.fake.advance(0.5)
        deadlines.add("later")
        loops.fake.advance(1.0)
        assert due == ["good", "later"]
        assert ended == ["bad"]


class TestForget:
    """A descriptor whose connection another process has is taken out of epoll's set."""

    def test_what_comes_on_it_wakes_the_loop_no_more(self) -> None:
        loop = get_hub().loop
        number = loop.fileno()
        if number is None:
            pytest.skip("the loop does not use epoll")
        guarded = GuardedLoop(loop, Refusals(lambda: 0.0))
        for _ in range(2):
            with socket_pair() as (ours, _), select.epoll.fromfd(os.dup(number)) as own:
                own.register(ours.fileno())
                guarded.forget([ours.fileno()])
                with pytest.raises(FileNotFoundError):
                    own.unregister(ours.fileno())

    def test_one_that_is_not_watched_may_be_forgotten(self) -> None:
        with socket_pair() as (ours, _):
            GuardedLoop(get_hub().loop, Refusals(lambda: 0.0)).forget([ours.fileno()])
