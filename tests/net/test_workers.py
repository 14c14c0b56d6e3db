"""Worker greenlets, in a real hub: the one of the test's own thread, unpatched."""

import socket
import weakref
from contextlib import suppress
from functools import partial
from time import monotonic

import gevent
import pytest
from gevent.event import Event
from greenlet import getcurrent, greenlet

from socketio_server.net.loop import GuardedLoop
from socketio_server.net.refusals import Refusals
from socketio_server.net.workers import MAX_PARKED, WorkerPool
from socketio_server.options import Options
from tests.fakes.hub import UNHURRIED, Task, in_loop, make_pool, settle, wait_for


def run_all(pool: WorkerPool, tasks: list[Task]) -> None:
    """Have all these run, each in a worker of its own if they wait."""

    def callback() -> None:
        for task in tasks:
            pool.run(task)

    in_loop(callback)


class TestWorkerPool:
    def test_a_job_is_run(self) -> None:
        done: list[str] = []
        make_pool().run(Task(lambda: done.append("job")))
        settle()

        assert done == ["job"]

    def test_a_job_waits_until_what_runs_in_the_loop_is_done(self) -> None:
        done: list[str] = []
        pool = make_pool()

        def callback() -> None:
            pool.run(Task(lambda: done.append("job")))
            done.append("callback")

        in_loop(callback)
        assert done == ["callback", "job"]

    def test_no_handler_is_interrupted_by_what_it_sends(self) -> None:
        done: list[str] = []
        pool = make_pool()

        def outer() -> None:
            pool.run(Task(lambda: done.append("inner")))
            done.append("outer")

        in_loop(lambda: pool.run(Task(outer)))
        assert done == ["outer", "inner"]

    def test_those_of_one_turn_of_the_loop_share_a_worker(self) -> None:
        """Switching to and fro for each would cost more than many handlers do."""
        workers: list[object] = []
        run_all(make_pool(), [Task(lambda: workers.append(getcurrent()))] * 5)

        assert len(workers) == 5
        assert len(set(workers)) == 1

    def test_a_job_may_have_something_done_at_its_end(self) -> None:
        done: list[str] = []
        pool = make_pool()

        def work() -> None:
            assert pool.call_at_end(lambda: done.append("end"))
            done.append("job")

        run_all(pool, [Task(work), Task(lambda: done.append("next job"))])
        assert done == ["job", "end", "next job"]

    def test_only_one_thing_is_done_at_a_job_s_end_and_the_others_before(self) -> None:
        done: list[str] = []
        pool = make_pool()

        def work() -> None:
            for name in ("first", "second"):
                pool.call_at_end(partial(done.append, name))
                done.append("job")

        run_all(pool, [Task(work)])
        assert done == ["job", "first", "job", "second"]

    def test_who_is_no_worker_has_no_end(self) -> None:
        assert not make_pool().call_at_end(lambda: None)

    def test_nor_does_another_pool_s_worker(self) -> None:
        pool, other = make_pool(), make_pool()
        found = []
        run_all(pool, [Task(lambda: found.append(other.call_at_end(lambda: None)))])
        assert found == [False]

    def test_a_job_that_waits_holds_nobody_up(self) -> None:
        done: list[str] = []
        pool = make_pool()
        go_on = Event()

        def wait() -> None:
            go_on.wait()
            done.append("first")

        def callback() -> None:
            pool.run(Task(wait))
            pool.run(Task(lambda: done.append("second")))

        in_loop(callback)
        assert done == ["second"]

        go_on.set()
        settle()
        assert done == ["second", "first"]

    def test_no_more_jobs_run_side_by_side_than_allowed(self) -> None:
        started: list[int] = []
        pool = make_pool(2)
        gates = [Event() for _ in range(4)]

        def make(number: int) -> Task:
            def work() -> None:
                started.append(number)
                gates[number].wait()

            return Task(work)

        for number in range(4):
            pool.run(make(number))
        settle()
        assert started == [0, 1]

        gates[1].set()
        settle()
        assert started == [0, 1, 2]

        gates[0].set()
        settle()
        assert started == [0, 1, 2, 3]

    def test_jobs_that_wait_for_a_worker_are_not_overtaken(self) -> None:
        done: list[str] = []
        pool = make_pool(1)
        go_on = Event()

        def callback() -> None:
            pool.run(Task(lambda: go_on.wait()))
            pool.run(Task(lambda: done.append("waiting")))

        in_loop(callback)
        go_on.set()
        in_loop(lambda: pool.run(Task(lambda: done.append("newcomer"))))
        settle()

        assert done == ["waiting", "newcomer"]

    def test_workers_are_used_again(self) -> None:
        workers: set[object] = set()
        pool = make_pool()
        for _ in range(5):
            in_loop(lambda: pool.run(Task(lambda: workers.add(getcurrent()))))

        assert len(workers) == 1

    def test_no_more_of_them_are_kept_than_are_worth_their_memory(self) -> None:
        workers: set[object] = set()
        pool = make_pool()
        go_on = Event()

        def work() -> None:
            workers.add(getcurrent())
            go_on.wait()

        def rush(count: int) -> None:
            workers.clear()
            go_on.clear()
            run_all(pool, [Task(work)] * count)

        rush(MAX_PARKED + 50)
        first = set(workers)
        assert len(first) == MAX_PARKED + 50
        go_on.set()
        settle()
        assert sum(worker.dead for worker in first if isinstance(worker, greenlet)) == 50

        rush(MAX_PARKED + 1)
        assert len(workers & first) == MAX_PARKED
        go_on.set()
        settle()

    def test_others_take_the_place_of_those_that_were_dismissed(self) -> None:
        done: list[int] = []
        size = MAX_PARKED + 50
        pool = make_pool(size)
        for _ in range(3):
            go_on = Event()
            run_all(pool, [Task(go_on.wait)] * size)
            in_loop(lambda: pool.run(Task(lambda: done.append(1))))
            go_on.set()
            settle()

        assert done == [1, 1, 1]

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_a_parked_worker_keeps_no_job(self, jobs: int) -> None:
        """They hold requests with all that belongs to them."""
        pool = make_pool()
        done: list[weakref.ref[Task]] = []

        def callback() -> None:
            for _ in range(jobs):
                task = Task(lambda: None)
                done.append(weakref.ref(task))
                pool.run(task)
                del task

        for _ in range(2):
            in_loop(callback)

        assert [ref() for ref in done] == [None] * jobs * 2

    @pytest.mark.parametrize("size", [1, 1000])
    def test_a_long_queue_leaves_turns_to_the_loop(self, size: int) -> None:
        """To descriptors as well, which it does not look at between callbacks."""
        turn = 0.0001
        pool = make_pool(size, turn=turn)
        done: list[int] = []
        seen: list[int] = []  # how many jobs were done whenever the descriptor was looked at
        ours, theirs = socket.socketpair()
        with ours, theirs:
            readable = gevent.get_hub().loop.io(ours.fileno(), 1)
            readable.start(lambda: seen.append(len(done)) if ours.recv(1) else None)

            def make(number: int) -> Task:
                def work() -> None:
                    done.append(number)
                    theirs.send(b"x")
                    until = monotonic() + 2 * turn
                    while monotonic() < until:
                        pass  # a handler that computes

                return Task(work)

            for number in range(10):
                pool.run(make(number))
            wait_for(lambda: len(seen) == 10)
            readable.close()

        assert done == list(range(10))
        assert all(count <= number + 2 for number, count in enumerate(seen))

    def test_a_worker_that_goes_on_with_what_waited_leaves_turns_to_the_loop(self) -> None:
        turn = 0.0001
        pool = make_pool(1, turn=turn)
        go_on = Event()
        done: list[str] = []

        def compute() -> None:
            done.append("job")
            gevent.get_hub().loop.run_callback(done.append, "loop")
            until = monotonic() + 2 * turn
            while monotonic() < until:
                pass

        run_all(pool, [Task(go_on.wait), Task(compute), Task(compute)])
        assert done == []
        go_on.set()
        wait_for(lambda: len(done) == 4)

        assert done == ["job", "loop"] * 2

    def test_a_timeout_that_goes_off_after_its_handler_harms_nobody(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """``gevent.Timeout.start_new`` and no ``cancel``: a mistake that handlers make."""
        done: list[str] = []
        pool = make_pool(1)
        in_loop(lambda: pool.run(Task(lambda: gevent.Timeout.start_new(0.001))))
        wait_for(lambda: bool(caplog.records))
        in_loop(lambda: pool.run(Task(lambda: done.append("next"))))

        assert "timeout" in caplog.records[0].getMessage()
        assert done == ["next"]


class TestATurnThatIsOver:
    def test_lets_the_loop_poll_even_if_jobs_run_themselves_again(self) -> None:
        """As inboxes do that go on behind others."""
        hub = gevent.get_hub()
        loop = GuardedLoop(hub.loop, Refusals(monotonic))
        now = [0.0]
        options = Options(max_time_per_turn=0.5)
        pool = WorkerPool(hub, loop, options, 1, clock=lambda: now[0])
        polls: list[None] = []
        seen: list[int] = []
        checker = hub.loop.check()
        checker.start(polls.append, None)
        try:

            def work() -> None:
                seen.append(len(polls))
                now[0] += 1.0  # the turn is over
                if len(seen) < 5:
                    pool.run(job)

            job = Task(work)
            run_all(pool, [job])
            wait_for(lambda: len(seen) == 5)
        finally:
            checker.stop()
            checker.close()
        assert len(set(seen)) == 5


class TestTimePerJob:
    def test_is_a_share_of_the_turn_for_each_job_that_waits(self) -> None:
        pool = make_pool(1, turn=UNHURRIED)
        shares: list[float] = []
        run_all(pool, [Task(lambda: shares.append(pool.time_per_job))] * 4)
        run_all(pool, [Task(lambda: shares.append(pool.time_per_job))])
        assert shares == [UNHURRIED / 4] * 4 + [UNHURRIED]


class TestHeavyJobs:
    """Those that keep the loop for long."""

    def test_run_after_the_others_and_one_in_a_turn(self) -> None:
        done: list[str] = []
        pool = make_pool()
        with_reader = gevent.get_hub().loop
        ours, theirs = socket.socketpair()
        reader = with_reader.io(ours.fileno(), 1)

        def on_readable() -> None:
            ours.recv(1)
            pool.run(Task(lambda: done.append("light")))

        def heavy() -> None:
            done.append("heavy")
            theirs.send(b"x")  # something comes in meanwhile

        reader.start(on_readable)
        for _ in range(3):
            pool.run_heavy(Task(heavy))
        pool.run(Task(lambda: done.append("first")))
        wait_for(lambda: len(done) == 7)

        assert done == ["first", *["heavy", "light"] * 3]
        reader.close()
        ours.close()
        theirs.close()

    def test_wait_for_a_worker_as_the_others_do(self) -> None:
        done: list[str] = []
        go_on = Event()
        pool = make_pool(1)
        run_all(pool, [Task(go_on.wait)])
        pool.run_heavy(Task(lambda: done.append("heavy")))
        settle()
        assert done == []

        go_on.set()
        wait_for(lambda: done == ["heavy"])

    def test_may_wait_for_something_themselves(self) -> None:
        done: list[str] = []
        go_on = Event()
        pool = make_pool()
        pool.run_heavy(Task(go_on.wait))
        pool.run_heavy(Task(lambda: done.append("another")))
        wait_for(lambda: done == ["another"])
        go_on.set()
        settle()


class TestWorkInSeveralTurns:
    """A greenlet that has done a large part of its work waits for its next turn."""

    def test_lets_other_large_work_go_first(self) -> None:
        done: list[str] = []
        pool = make_pool()

        def work() -> None:
            done.append("one")
            pool.take_turn(is_large=True)
            done.append("two")

        pool.run_heavy(Task(work))
        pool.run_heavy(Task(lambda: done.append("other")))
        wait_for(lambda: len(done) == 3)
        assert done == ["one", "other", "two"]
        wait_for(lambda: not pool.busy)

    def test_may_be_done_outside_of_workers(self) -> None:
        pool = make_pool()
        taker = gevent.spawn(pool.take_turn, is_large=False)
        wait_for(lambda: taker.ready())
        assert taker.successful()

    def test_ends_with_a_greenlet_that_is_killed_meanwhile(self) -> None:
        done: list[str] = []
        pool = make_pool()
        killed = gevent.spawn(pool.take_turn, is_large=True)
        settle()
        gevent.kill(killed)
        pool.run_heavy(Task(lambda: done.append("other")))
        wait_for(lambda: done == ["other"])


class TestJobsThatRaise:
    """A job must not raise; a fault of ours that does must cost no more than that job."""

    def test_end_neither_their_worker_nor_the_jobs_behind_them(self) -> None:
        def fail() -> None:
            raise RuntimeError("on purpose")

        done: list[str] = []
        pool = make_pool(1)
        run_all(pool, [Task(fail), Task(lambda: done.append("next"))])
        assert done == ["next"]
        assert len(pool.parked) == 1
        assert pool.busy == 0

    def test_neither_does_what_they_leave_to_be_called_at_their_end(self) -> None:
        def fail() -> None:
            raise RuntimeError("on purpose")

        done: list[str] = []
        pool = make_pool(1)
        run_all(pool, [Task(lambda: pool.call_at_end(fail)), Task(lambda: done.append("next"))])
        assert done == ["next"]
        assert len(pool.parked) == 1

    def test_with_what_ends_a_worker_do_what_they_left_for_their_end(self) -> None:
        done: list[str] = []
        pool = make_pool()

        def fail() -> None:
            pool.call_at_end(lambda: done.append("end"))
            raise gevent.Timeout(1)

        with suppress(gevent.Timeout):
            run_all(pool, [Task(fail)])
        assert done == ["end"]

    def test_heavy_ones_do_not_keep_others_waiting(self) -> None:
        def fail() -> None:
            raise RuntimeError("on purpose")

        done: list[str] = []
        pool = make_pool(1)
        pool.run_heavy(Task(fail))
        pool.run_heavy(Task(lambda: done.append("next")))
        wait_for(lambda: bool(done))
        assert pool.busy == 0

    def test_make_no_more_workers_than_they_need(self) -> None:
        pool = make_pool()
        done: list[str] = []
        for _ in range(3):
            pool.run_heavy(Task(lambda: done.append("heavy")))
        wait_for(lambda: len(done) == 3)
        settle()
        assert len(pool.parked) == 1
