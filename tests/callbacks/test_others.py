"""Callbacks that serve several clients, or none yet."""

import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from socketio_server.dispatch.decoded_memory import DecodedMemory
from socketio_server.dispatch.router import NamespaceRouter
from socketio_server.engine.session import Session
from socketio_server.net import handover, workers
from socketio_server.net.handover import MAX_MESSAGE, Handover, Outcome
from socketio_server.net.held_total import HeldTotal
from socketio_server.net.loop import GuardedLoop
from socketio_server.net.queued_output import PIECE, Backlog, QueuedOutput
from socketio_server.net.refusals import RefusalKind, Refusals
from socketio_server.net.turns import Turns
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.serving.around_events.database import DatabaseConnections
from socketio_server.serving.process import block_watch
from socketio_server.serving.process.block_watch import BlockWatch
from tests.callbacks.world import Fault, Faults
from tests.fakes.hub import Task, in_loop, make_pool, wait_for
from tests.fakes.loop import FakeLoop, FakeWatcher
from tests.fakes.net import is_at_end, socket_pair, without_descriptors
from tests.fakes.server import FakeServer

T = TypeVar("T")

COVERED: set[str] = set()
"""The callbacks with tests of their own here."""


def covers(*entries: str) -> Callable[[T], T]:
    """Note which callbacks a test lets raise."""
    COVERED.update(entries)
    return lambda test: test


class QuietLoop(GuardedLoop):
    """A guarded loop without an epoll set."""

    def forget(self, descriptors: Iterable[int]) -> None:
        pass


class Guarded:
    """A guarded loop that the test moves."""

    def __init__(self) -> None:
        self.fake = FakeLoop()
        self.loop = QuietLoop(self.fake, Refusals(self.fake.clock))


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


class Owner:
    """Owns work that waits for its turn."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def work(self) -> None:
        self.done.append("work")

    def callback_raised(self) -> None:
        raise AssertionError("its own work did not raise")


class TestTurnsOfLargeWork:
    @covers("Turns._begin", "Turns._serve_soon")
    @pytest.mark.parametrize("skip", [0, 1])
    def test_go_on_after_a_fault_in_their_beginning(
        self, guarded: Guarded, faults: Faults, skip: int
    ) -> None:
        owner, turns = Owner(), Turns(guarded.loop, Options(), clock=guarded.fake.clock)
        faults.add(guarded.loop, "run_callback", skip=skip)
        turns.add(Owner.work, owner, is_large=True)
        guarded.fake.run()
        assert (faults.raised, owner.done) == (1, ["work"])

    @covers("Turns._polled")
    def test_have_time_after_a_fault_in_its_beginning(
        self, guarded: Guarded, faults: Faults
    ) -> None:
        turns = Turns(guarded.loop, Options(), clock=guarded.fake.clock)
        faults.add(guarded.loop, "run_callback")
        with pytest.raises(Fault):
            turns.until()
        guarded.fake.now += 1000.0
        assert turns.until() > guarded.fake.now

    @covers("Turns._serve")
    def test_go_on_after_a_fault_between_two_pieces(self, guarded: Guarded, faults: Faults) -> None:
        faults.add(guarded.fake, "clock")
        owner = Owner()
        turns = Turns(guarded.loop, Options(), clock=lambda: guarded.fake.clock())
        turns.add(Owner.work, owner)
        guarded.fake.run()
        assert (faults.raised, owner.done) == (1, ["work"])


class TestMessagesOfAClientThatHasGone:
    @covers("QueuedOutput._take_turn")
    def test_are_dropped_in_the_turn_after_a_fault(self, guarded: Guarded, faults: Faults) -> None:
        class Holder(Owner):
            is_download = is_excused = False

        holder: Any = Holder()
        output = QueuedOutput(guarded.loop, Options(), clock=guarded.fake.clock)
        backlog = Backlog(holder, output)
        for _ in range(PIECE):
            backlog.add(b"x")
        backlog.close(deque([b"x"] * PIECE))
        faults.add(output, "_drop_some")
        guarded.fake.run()
        assert (faults.raised, output.total) == (1, 0)
        guarded.fake.advance(1e6)
        assert not guarded.fake.watchers


class TestWorkers:
    @covers("WorkerPool._serve", "WorkerPool._serve_heavy")
    @pytest.mark.parametrize("heavy", [False, True])
    def test_do_their_jobs_though_one_could_not_be_made(self, faults: Faults, heavy: bool) -> None:
        faults.add(workers, "Worker")
        done: list[str] = []
        pool = make_pool()
        if heavy:
            in_loop(lambda: pool.run_heavy(Task(lambda: done.append("heavy"))))
            wait_for(lambda: faults.raised == 1)
        in_loop(lambda: pool.run(Task(lambda: done.append("job"))))
        wait_for(lambda: done == ["job", "heavy"][: 1 + heavy])
        assert faults.raised == 1
        wait_for(lambda: not pool.busy)

    @covers("WorkerPool._serve_next_turn")
    def test_do_their_jobs_though_it_fails_again_in_the_next_turn(self, faults: Faults) -> None:
        for _ in range(2):
            faults.add(workers, "Worker")
        done: list[str] = []
        pool = make_pool()
        in_loop(lambda: pool.run(Task(lambda: done.append("job"))))
        wait_for(lambda: done == ["job"])
        assert faults.raised == 2
        wait_for(lambda: not pool.busy)

    @covers("_TurnWaiter.begin")
    def test_go_on_with_their_job_after_a_fault_in_their_turn(self, faults: Faults) -> None:
        faults.add(workers._TurnWaiter, "begin")
        done: list[str] = []
        pool = make_pool()

        def job() -> None:
            pool.take_turn(is_large=True)
            done.append("job")

        in_loop(lambda: pool.run(Task(job)))
        wait_for(lambda: done == ["job"])
        assert faults.raised == 1


class Waiting:
    """A connection that waits to move."""

    is_waiting = True

    def __init__(self, *, raises: bool = False) -> None:
        self._raises = raises
        self.called: list[str] = []

    def try_again(self) -> None:
        self.called.append("try_again")
        if self._raises:
            raise Fault

    def callback_raised(self) -> None:
        self.called.append("callback_raised")


class Doors:
    """Two workers of one machine; the second adopts connections."""

    def __init__(self, guarded: Guarded, folder: Path) -> None:
        self.folder = folder
        self.adopted: list[bytes] = []
        refusals = Refusals(guarded.fake.clock)
        self.first = Handover(str(folder), "1", guarded.loop, self.adopt, refusals)
        self.other = Handover(str(folder), "2", guarded.loop, self.adopt, refusals)
        self.first.start()
        self.other.start()
        self.guarded = guarded

    def adopt(self, data: bytes, sock: Any) -> None:
        if data == b"bad":
            raise Fault
        sock.close()
        self.adopted.append(data)

    def fill(self, *waiting: Waiting) -> None:
        """Have the first worker hand over until there is no room, then let others wait."""
        with ExitStack() as stack:
            waiters = iter(waiting)
            waiter = next(waiters)
            outcome = Outcome.MOVED
            while outcome is Outcome.MOVED:
                ours, _ = stack.enter_context(socket_pair())
                outcome = self.first.give("2", ours, b"x" * (MAX_MESSAGE // 4), waiter)
                self.first._ways["2"]._send_all()
            for waiter in waiters:
                assert self.first.give("2", ours, b"", waiter) is Outcome.WAITS

    def give(self, data: bytes) -> Outcome:
        """Hand a connection to the second worker; check that no worker has it any more."""
        with socket_pair() as (ours, theirs):
            outcome = self.first.give("2", ours, data, Waiting())
            if outcome is not Outcome.MOVED:
                ours.close()
            self.guarded.fake.run()
            assert is_at_end(theirs)
        return outcome


class TestWorkersThatHandConnectionsOver:
    @pytest.fixture
    def doors(self, guarded: Guarded, tmp_path: Path) -> Iterator[Doors]:
        doors = Doors(guarded, tmp_path)
        yield doors
        doors.first.stop()
        doors.other.stop()
        guarded.fake.run()
        assert not guarded.fake.watchers

    def test_lose_only_the_connection_that_can_t_be_served(self, doors: Doors) -> None:
        with ExitStack() as stack:
            pairs = [stack.enter_context(socket_pair()) for _ in range(2)]
            for (ours, _), data in zip(pairs, (b"bad", b"good"), strict=True):
                doors.first.give("2", ours, data, Waiting())
            doors.guarded.fake.run()
        assert doors.adopted == [b"good"]

    @covers("_Sender._receive")
    def test_connect_again_after_a_fault_in_the_connection_between_them(
        self, doors: Doors, faults: Faults
    ) -> None:
        doors.give(b"one")
        faults.add(handover._Door, "refuse")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(str(doors.folder / "2"))
            stranger.send(b"no connection")
            doors.guarded.fake.run()
            assert is_at_end(stranger)
        doors.give(b"two")
        assert (faults.raised, doors.adopted) == (1, [b"one", b"two"])

    @covers("_Door._accept")
    def test_leave_the_door_open_after_a_fault_in_it(self, doors: Doors, faults: Faults) -> None:
        faults.add(handover, "_user_of", skip=1)  # which the other worker asks, too
        doors.give(b"lost")
        doors.give(b"one")
        assert (faults.raised, doors.adopted) == (1, [b"one"])

    @covers("_Door._listen")
    def test_open_the_door_again_though_that_raises(self, doors: Doors, faults: Faults) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(str(doors.folder / "2"))
            with without_descriptors():
                doors.guarded.fake.run()
        faults.add(doors.guarded.loop, "start")
        doors.guarded.fake.advance(handover.PAUSE)
        doors.give(b"one")
        assert (faults.raised, doors.adopted) == (1, [b"one"])

    @covers("type(waiter).try_again")
    def test_let_the_next_one_move_though_one_raises(self, doors: Doors) -> None:
        bad, good = Waiting(raises=True), Waiting()
        doors.fill(bad, good)
        doors.guarded.fake.run()
        assert bad.called == ["try_again", "callback_raised"]
        assert good.called == ["try_again"]

    @covers("_Way._go_on")
    def test_tell_those_that_wait_that_the_way_is_lost(self, doors: Doors, faults: Faults) -> None:
        waiting = Waiting()
        doors.fill(waiting)
        faults.add(handover._Way, "_stop_writer")
        doors.guarded.fake.run()
        assert (faults.raised, waiting.called) == (1, ["try_again"])

    @covers("_Way._send_all")
    def test_take_back_what_was_to_leave_when_a_fault_occurred(
        self, doors: Doors, faults: Faults
    ) -> None:
        faults.add(handover._Way, "_count_together")
        doors.give(b"taken back")
        doors.give(b"one")
        assert (faults.raised, doors.adopted) == (1, [b"taken back", b"one"])

    @covers("_Way.close")
    def test_forget_one_that_ended_though_that_raises(self, doors: Doors, faults: Faults) -> None:
        doors.give(b"one")
        doors.other.stop()
        faults.add(FakeWatcher, "close")
        doors.guarded.fake.run()
        assert faults.raised == 1
        assert doors.give(b"two") is Outcome.GONE


class TestOtherDeadlines:
    @covers("Dispatcher._connect_timed_out")
    def test_of_a_client_that_joins_no_namespace_end_its_session(self, faults: Faults) -> None:
        server = FakeServer(is_guarded=True)
        client = server.open()
        faults.add(Session, "client_refused")
        server.loop.advance(46.0)
        assert (faults.raised, client.closed) == (1, [CloseReason.TRANSPORT_ERROR])

    @covers("Dispatcher._attachments_timed_out")
    def test_of_attachments_end_the_session(self, faults: Faults) -> None:
        server = FakeServer(is_guarded=True)
        client = server.connect()
        client.send('51-["event",{"_placeholder":true,"num":0}]')
        faults.add(Session, "client_refused")
        server.loop.advance(11.0)
        assert (faults.raised, client.closed) == (1, [CloseReason.TRANSPORT_ERROR])

    @covers("_Part._waited_too_long")
    def test_of_a_packet_that_waits_for_room_fall_due_again(
        self, guarded: Guarded, faults: Faults
    ) -> None:
        class Tenant:
            is_local = True
            is_open = True
            ends = 0

            def give_up(self, kind: RefusalKind, why: str) -> None:
                self.ends += 1

        faults.add(Tenant, "give_up")
        tenant = Tenant()
        room = DecodedMemory(
            guarded.loop,
            Options(),
            HeldTotal(guarded.loop, Options()),
            clock=guarded.fake.clock,
        )
        room.take(tenant, 10**9, print)
        room.take(tenant, 10**9, print)
        guarded.fake.advance(11.0)
        assert (faults.raised, tenant.ends) == (1, 0)
        guarded.fake.advance(10.0)
        assert tenant.ends == 1

    def test_of_a_packet_for_which_there_is_room_falls_due_again(
        self, guarded: Guarded, faults: Faults
    ) -> None:
        class Tenant:
            is_local = is_open = True
            ran: ClassVar[list[int]] = []

            def give_up(self, kind: RefusalKind, why: str) -> None:
                raise AssertionError("nobody waits for long here")

            def run(self, taken: int) -> None:
                self.ran.append(taken)

        faults.add(Tenant, "run")
        tenant, held = Tenant(), HeldTotal(guarded.loop, Options())
        room = DecodedMemory(guarded.loop, Options(), held, clock=guarded.fake.clock)
        room.take(tenant, 10**9, print)
        room.take(tenant, 10**9, tenant.run)
        room.leave(tenant, 10**9)
        guarded.fake.run()
        assert (faults.raised, tenant.ran) == (1, [])
        held.count(0)
        guarded.fake.run()
        assert tenant.ran == [10**9]
        assert room.taken == 10**9

    @covers("HeldTotal._settle")
    def test_of_too_many_bytes_come_again(self, guarded: Guarded, faults: Faults) -> None:
        class Kind:
            relieved = 0

            def relieve(self) -> None:
                self.relieved += 1

        faults.add(Kind, "relieve")
        kind = Kind()
        held = HeldTotal(guarded.loop, Options())
        held.add_reliever(kind.relieve)
        for _ in range(2):
            held.count(10**9)
            guarded.fake.run()
        assert (faults.raised, kind.relieved) == (1, 1)

    @covers("_give_up")
    def test_of_too_many_bytes_cost_only_who_has_them(self, faults: Faults) -> None:
        """Those of another client are counted when the bound is reached."""
        server = FakeServer(Options(max_pending_total=100_000), is_guarded=True)
        clients = [server.open() for _ in range(2)]
        faults.add(NamespaceRouter, "give_up")
        for client, size in zip(clients, (60_000, 50_000), strict=True):
            client.session.charge_session(size)
        assert faults.raised == 1
        assert [client.closed for client in clients] == [[CloseReason.TRANSPORT_ERROR], []]

    @covers("DatabaseConnections._expire")
    def test_of_database_connections_fall_due_again(self, guarded: Guarded, faults: Faults) -> None:
        done: list[str] = []

        class Pool:
            def run_in(self, worker: object, job: object) -> None:
                done.append("job")

        class IdleWorker:
            pool = Pool()

        faults.add(Pool, "run_in")
        database = DatabaseConnections(guarded.loop, 1.0, clock=guarded.fake.clock)
        assert database._idle is not None
        worker: Any = IdleWorker()
        database._idle.add(worker)  # as after an event
        guarded.fake.advance(1.0)
        assert (faults.raised, done) == (1, [])
        guarded.fake.advance(1.0)
        assert done == ["job"]


class TestTheWatchForBlocks:
    @covers("BlockWatch._see")
    def test_ends_after_a_fault(self, guarded: Guarded, faults: Faults) -> None:
        watch = BlockWatch(guarded.loop, print)
        watch._see()  # start would begin a thread
        faults.add(block_watch, "monotonic")
        guarded.fake.advance(1.0)
        assert faults.raised == 1
        assert not guarded.fake.watchers
