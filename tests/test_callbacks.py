"""An exception in each callback of the loop: it ends its client, and nothing else.

The cases are compared with the places where the package gives the loop a callback, so that a new
one needs a case here.
"""

import ast
import logging
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from traceback import walk_tb
from typing import Any, NamedTuple, TypeVar

import pytest

import socketio_server
from socketio_server.dispatch.decoded import DecodedRoom
from socketio_server.engine.engine import Engine
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.engine.transports.websocket import UpgradedConnection, WebSocketTransport
from socketio_server.http.connection import HttpConnection
from socketio_server.http.exchange import SessionExchange, WsgiExchange
from socketio_server.http.listener import HttpListener
from socketio_server.net import handover, workers
from socketio_server.net.connection import Connection
from socketio_server.net.handover import MAX_MESSAGE, Handover, Outcome
from socketio_server.net.loop import GuardedLoop
from socketio_server.net.queued_output import Backlog
from socketio_server.net.refusals import Refusals
from socketio_server.net.statistics import Stats
from socketio_server.net.turns import Turns
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.websocket import Opcode
from socketio_server.serving import block_watch
from socketio_server.serving.around_events.database import DatabaseConnections
from socketio_server.serving.block_watch import BlockWatch
from tests.fakes import (
    FakeLoop,
    FakeServer,
    FakeWatcher,
    RecordingSessionHandler,
    Task,
    in_loop,
    is_at_end,
    make_pool,
    outgoing,
    read_available,
    settle,
    socket_pair,
    wait_for,
    without_descriptors,
)
from tests.http.site import head, request, site_at
from tests.support.websocket import frame

T = TypeVar("T")

PACKAGE = Path(socketio_server.__file__).parent

LONG = 1000.0
"""Seconds between two heartbeats."""

MANY = "x" * 10_000
"""A message that is counted while it waits for a GET."""

PATH = "/socket.io/"


class Fault(Exception):
    """What a callback raises."""


class Faults:
    """Makes methods raise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.raised = 0

    def add(self, owner: Any, name: str, *, skip: int = 0, after: bool = False) -> None:
        """Have a method raise once.

        :param skip: how many calls go well before.
        :param after: whether it does its work first.
        """
        original = getattr(owner, name)
        is_property = isinstance(original, property)
        if is_property:
            original = original.fget
        left = skip

        def fail(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1 and not after:
                self.raised += 1
                raise Fault
            result = original(*args, **kwargs)
            if left == -1:
                self.raised += 1
                raise Fault
            return result

        self._monkeypatch.setattr(owner, name, property(fail) if is_property else fail)


class Client:
    """A client's end of a connection."""

    def __init__(self, world: "World", ours: Any, theirs: Any) -> None:
        self._world = world
        self._ours = ours
        self.sock = theirs

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)
        self._world.run()

    def send_text(self, *texts: str) -> None:
        """Send packets over a WebSocket, all in one go."""
        self.send(b"".join(frame(Opcode.TEXT, text.encode()) for text in texts))

    def read(self) -> bytes:
        """Read what there is."""
        data = b""
        while piece := read_available(self.sock):
            data += piece
            self._world.run()
        return data

    @property
    def has_descriptor(self) -> bool:
        """Whether the server has its end of the connection yet."""
        return bool(self._ours.fileno() != -1)


class World:
    """A server whose loop is guarded, a bystander, and the clients that a fault is to end."""

    def __init__(self, stack: ExitStack, **options: Any) -> None:
        self._stack = stack
        self.loop = FakeLoop()
        self.clock: Callable[[], float] = self.loop.clock
        stats = Stats(self.loop.clock)
        self.guarded = GuardedLoop(self.loop, stats.refusals)
        values = {"ping_interval": LONG, "ping_timeout": LONG, "max_time_per_turn": 1000.0}
        self.options = Options(**values | options)
        tell = lambda: self.clock()  # noqa: E731  # a fault may replace it
        self.engine = Engine(self.guarded, self.options, self._accept, stats, clock=tell)
        self.http = HttpListener(
            ("127.0.0.1", 0),
            lambda environ, start: self.application(environ, start),
            engine=self.engine,
            options=self.options,
            loop=self.guarded,
            clock=tell,
            wall_clock=lambda: 784_111_777.0,
        )
        self.http.environ = {"wsgi.url_scheme": "http"}
        self.http.request_workers = make_pool(100, options=self.options)
        self.application: Callable[..., Any] = lambda environ, start: (start("200 OK", []), [])[1]
        self.sessions: list[Session] = []
        self.handlers: list[RecordingSessionHandler] = []
        self.clients: list[Client] = []
        self.bystander = ""

    def _accept(self, session: Session, context: object) -> RecordingSessionHandler:
        self.sessions.append(session)
        self.handlers.append(RecordingSessionHandler())
        return self.handlers[-1]

    def run(self) -> None:
        for _ in range(3):
            self.loop.run()
            settle()
        self.loop.run()

    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)
        self.run()

    def _pair(self) -> Client:
        ours, theirs = self._stack.enter_context(socket_pair())
        self.clients.append(Client(self, ours, theirs))
        return self.clients[-1]

    def connect(self, data: bytes = b"") -> Client:
        """Connect, and send some bytes."""
        client = self._pair()
        self.http.handle(client._ours, ("192.0.2.1", 1234))
        if data:
            client.send(data)
        return client

    def websocket(
        self, data: bytes = b"", *, revision: str = "4", window_bits: int | None = None
    ) -> Client:
        """Open a session over a WebSocket."""
        client = self._pair()
        asked = EngineRequest(
            "GET", {"EIO": revision, "transport": "websocket"}, site=site_at(PATH)
        )
        connection = Connection(client._ours, self.guarded, self.engine.output)
        self.engine.open_websocket(asked, None, UpgradedConnection(connection, data, window_bits))
        self.run()
        return client

    def polling(self) -> str:
        """Open a session over polling; return the target of its requests."""
        asked = EngineRequest("GET", {"EIO": "4", "transport": "polling"}, site=site_at(PATH))
        self.engine.open_polling(asked, None, None)
        return f"{PATH}?EIO=4&transport=polling&sid={self.sessions[-1].sid}"

    def post(self, target: str, *packets: str) -> bytes:
        """Send packets on a connection of their own; return the answer."""
        client = self.connect(request("POST", target, "\x1e".join(packets).encode()))
        answer = client.read()
        client.sock.close()
        self.run()
        return answer


Play = Callable[[World, Faults], None]


class Case(NamedTuple):
    """A callback that raises.

    :param entry: the name of the function that the loop calls.
    :param play: lets it raise.
    :param ends_session: whether the session of the client ends with that.
    :param options: the server's.
    """

    entry: str
    play: Play
    ends_session: bool
    options: dict[str, Any]


CASES: list[Case] = []


def case(entry: str, *, ends_session: bool = True, **options: Any) -> Callable[[Play], Play]:
    """Register a case."""

    def register(play: Play) -> Play:
        CASES.append(Case(entry, play, ends_session, options))
        return play

    return register


# --- Connections ------------------------------------------------------------------------------


@case("Connection._on_readable")
def bytes_arrive(world: World, faults: Faults) -> None:
    faults.add(RecordingSessionHandler, "text_received")
    world.websocket().send_text("4hello")


@case("Connection._on_early_data")
def bytes_arrived_behind_the_handshake(world: World, faults: Faults) -> None:
    faults.add(RecordingSessionHandler, "text_received")
    world.websocket(frame(Opcode.TEXT, b"4hello"))


@case("Connection._flush")
def the_kernel_accepts_more(world: World, faults: Faults) -> None:
    client = world.websocket()
    world.sessions[-1].send(outgoing(MANY * 400))
    faults.add(Backlog, "taken")
    client.read()


@case("_report_loss")
def the_connection_is_lost(world: World, faults: Faults) -> None:
    client = world.websocket()
    faults.add(RecordingSessionHandler, "session_closed", after=True)
    client.sock.close()
    world.run()


@case("Connection.uncork")
def answers_go_out_together(world: World, faults: Faults) -> None:
    client = world.websocket()
    faults.add(Connection, "_flush")
    client.send_text("4hello", "4hello")


@case("HttpConnection.move_away", ends_session=False)
def it_is_to_move_to_another_worker(world: World, faults: Faults) -> None:
    world.connect()
    faults.add(HttpListener, "hand_over")
    world.http.hand_over_waiting()


@case("WebSocketTransport._continue", max_events_per_turn=1)
def frames_wait_for_their_turn(world: World, faults: Faults) -> None:
    client = world.websocket()
    faults.add(RecordingSessionHandler, "text_received", skip=1)
    client.send_text("4hello", "4hello")


@case("WebSocketTransport._continue", max_packet_rate=1, max_packet_burst=1)
def frames_wait_for_their_time(world: World, faults: Faults) -> None:
    client = world.websocket()
    faults.add(RecordingSessionHandler, "text_received", skip=2)
    client.send_text("4hello", "4hello", "4hello", "4hello")
    world.advance(4.0)


@case("WebSocketTransport._continue_large")
def a_large_message_waits_for_its_turn(world: World, faults: Faults) -> None:
    client = world.websocket(window_bits=15)
    faults.add(RecordingSessionHandler, "text_received")
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(b"4" + b"x" * 500_000) + deflate.flush(zlib.Z_SYNC_FLUSH)[:-4]
    first, *rest = frame(Opcode.TEXT, data)
    client.send(bytes([first | 0x40, *rest]))


@case("WebSocketTransport._fail")
def a_frame_is_refused(world: World, faults: Faults) -> None:
    client = world.websocket()
    faults.add(Engine, "client_refused")
    client.send(frame(Opcode.TEXT, b"\xff"))


# --- Polling ----------------------------------------------------------------------------------


@case("PollingTransport._answer_poll")
def a_poll_is_answered(world: World, faults: Faults) -> None:
    world.connect(head("GET", world.polling()))
    faults.add(SessionExchange, "has_ended")
    world.sessions[-1].send(outgoing("hello"))
    world.run()


@case("PollingTransport._fail_post")
def a_packet_is_refused(world: World, faults: Faults) -> None:
    target = world.polling()
    faults.add(Engine, "client_refused")
    world.connect(request("POST", target, b"4hello\x1e0"))


@case("PollingTransport._go_on")
def packets_wait_for_their_turn(world: World, faults: Faults) -> None:
    target, session = world.polling(), world.sessions[-1]
    session.pause_reading()
    world.connect(request("POST", target, b"4hello"))
    faults.add(RecordingSessionHandler, "text_received")
    session.resume_reading()
    world.run()


@case("PollingTransport._take_apart")
def a_payload_waits_for_its_turn(world: World, faults: Faults) -> None:
    target = world.polling()
    faults.add(RecordingSessionHandler, "text_received")
    world.connect(request("POST", target, b"4" + 50_000 * b"x"))


@case("PollingTransport._report", max_queued_bytes=5000)
def a_client_is_given_up(world: World, faults: Faults) -> None:
    world.polling()
    faults.add(RecordingSessionHandler, "session_closed", after=True)
    world.sessions[-1].send(outgoing(MANY))
    world.run()


@case("PollingTransport.discard_queue")
def the_queue_of_a_session_is_dropped(world: World, faults: Faults) -> None:
    world.polling()
    world.sessions[-1].send(outgoing(MANY))
    faults.add(Backlog, "close")
    world.sessions[-1].close(CloseReason.PARSE_ERROR)
    world.run()


@case("Farewells._forget")
def a_session_is_forgotten(world: World, faults: Faults) -> None:
    target = world.polling()
    faults.add(GuardedLoop, "call", skip=1)  # the first is a new connection
    world.connect(request("POST", target, b"1")).sock.close()
    world.run()


# --- HTTP -------------------------------------------------------------------------------------


@case("HttpConnection._read_on", ends_session=False)
def a_request_arrived_before_the_answer(world: World, faults: Faults) -> None:
    target = world.polling()
    faults.add(Engine, "has_session", skip=1)
    world.connect(2 * request("POST", target, b"4hello"))


@case("HttpListener._serve", ends_session=False)
def a_connection_is_accepted(world: World, faults: Faults) -> None:
    faults.add(HttpConnection, "start")
    world.connect()


@case("HttpConnection.timed_out", ends_session=False)
def a_head_is_late(world: World, faults: Faults) -> None:
    faults.add(HttpConnection, "report_slow")
    world.connect(b"GET /")
    world.advance(11.0)


@case("HttpConnection.timed_out")
def a_body_is_late(world: World, faults: Faults) -> None:
    faults.add(SessionExchange, "body_timed_out")
    world.connect(request("POST", world.polling(), b"4hello")[:-1])
    world.advance(11.0)


@case("StreamedBody.time_out", ends_session=False)
def a_body_of_the_application_is_late(world: World, faults: Faults) -> None:
    def read(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        with suppress(OSError):
            environ["wsgi.input"].read()
        start("200 OK", [("Content-Length", "0")])
        return []

    world.application = read
    faults.add(WsgiExchange, "report_slow")
    world.connect(request("POST", "/", b"hello")[:-1])
    world.advance(11.0)
    world.advance(3.0)


# --- Deadlines --------------------------------------------------------------------------------


@case("Deadlines._on_timer", ends_session=False)
def the_timer_of_deadlines_goes_off(world: World, faults: Faults) -> None:
    world.connect(b"GET /")
    faults.add(world, "clock")
    world.advance(11.0)


@case("Deadlines._postpone", ends_session=False)
def items_that_are_due_wait_for_the_loop(world: World, faults: Faults) -> None:
    world.connect(b"GET /")
    faults.add(world.guarded, "timer", skip=1)
    world.advance(11.0)


@case("Deadlines._fire", ends_session=False)
def items_fall_due(world: World, faults: Faults) -> None:
    world.connect(b"GET /")
    faults.add(world, "clock", skip=1)
    world.advance(11.0)


@case("Heartbeat._ping_due")
def a_ping_is_due(world: World, faults: Faults) -> None:
    world.websocket()
    faults.add(WebSocketTransport, "send_first")
    world.advance(LONG)


@case("Engine._heartbeat_expired")
def a_pong_is_late(world: World, faults: Faults) -> None:
    world.websocket()
    world.advance(LONG)
    world.post(world.bystander, "3")
    faults.add(Engine, "_note")
    world.advance(LONG)


@case("Engine._heartbeat_expired", ping_interval=2.0, ping_timeout=2.0)
def a_ping_of_revision_3_is_late(world: World, faults: Faults) -> None:
    world.websocket(revision="3")
    world.advance(2.0)
    world.post(world.bystander, "3")
    faults.add(Engine, "_note")
    world.advance(2.0)


@case("Engine._probe_timed_out")
def an_upgrade_is_late(world: World, faults: Faults) -> None:
    world.polling()
    client = world._pair()
    connection = Connection(client._ours, world.guarded, world.engine.output)
    world.engine.probe_websocket(world.sessions[-1], UpgradedConnection(connection))
    faults.add(Engine, "_note")
    world.advance(15.0)


@case("Connection.abort")
def a_close_frame_is_late(world: World, faults: Faults) -> None:
    world.websocket()
    world.sessions[-1].close(CloseReason.FORCED_SERVER_CLOSE)
    world.run()
    faults.add(Connection, "_fail")
    world.advance(3.0)


@case("PollingTransport.discard_queue")
def a_last_poll_is_late(world: World, faults: Faults) -> None:
    world.polling()
    world.sessions[-1].send(outgoing(MANY))
    world.sessions[-1].close(CloseReason.FORCED_SERVER_CLOSE)
    faults.add(Backlog, "close")
    world.advance(3.0)


@case("Farewells._timed_out")
def a_last_poll_is_late_and_nobody_knows_its_answer(world: World, faults: Faults) -> None:
    world.polling()
    world.sessions[-1].send(outgoing(MANY))
    world.sessions[-1].close(CloseReason.FORCED_SERVER_CLOSE)
    faults.add(PollingTransport, "is_answering")
    world.advance(3.0)


@case("Backlog.stalled")
def a_client_reads_nothing(world: World, faults: Faults) -> None:
    world.websocket()
    world.sessions[-1].send(outgoing(MANY * 400))
    faults.add(Connection, "try_again")
    world.advance(11.0)


@case("Backlog.look", stall_timeout=100.0)
def a_client_reads_too_little(world: World, faults: Faults) -> None:
    world.websocket()
    world.sessions[-1].send(outgoing(MANY * 400))
    faults.add(Connection, "give_up")
    world.advance(50.0)


@case("Backlog.stalled", ends_session=False)
def a_download_pauses(world: World, faults: Faults) -> None:
    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        start("200 OK", [("Content-Length", "4000000")])
        return [b"x" * 4_000_000]

    world.application = answer
    world.connect(request("GET", "/"))
    faults.add(Connection, "try_again")
    world.advance(310.0)


# ----------------------------------------------------------------------------------------------


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.play.__name__)
class TestACallbackThatRaises:
    def test_ends_its_client_and_nothing_else(
        self, case: Case, stack: ExitStack, faults: Faults, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World(stack, **case.options)
        world.bystander = world.polling()
        bystander = world.sessions[0]
        case.play(world, faults)
        assert faults.raised == 1

        assert [entry_of(record) for record in caplog.records if record.exc_info] == [case.entry]
        assert not any(client.has_descriptor for client in world.clients)
        if case.ends_session:
            assert len(world.engine) == 1
            assert all(len(handler.closed) == 1 for handler in world.handlers[1:])
        assert world.post(world.bystander, "4hello").endswith(b"ok")
        assert world.handlers[0].messages == ["hello"]

        for session in world.sessions:
            session.close(CloseReason.TRANSPORT_CLOSE)
        bystander.close(CloseReason.TRANSPORT_CLOSE)
        world.advance(10 * LONG)
        assert not world.loop.watchers
        assert (len(world.engine), world.engine.output.total) == (0, 0)
        assert world.engine.admission.total == 0
        assert world.engine.is_drained


COVERED: set[str] = set()
"""The callbacks with tests of their own below."""


def covers(*entries: str) -> Callable[[T], T]:
    """Note which callbacks a test lets raise."""
    COVERED.update(entries)
    return lambda test: test


class QuietLoop(GuardedLoop):
    """A guarded loop without an epoll set."""

    def forget(self, fd: int) -> None:
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

    @covers("Turns._serve")
    def test_go_on_after_a_fault_between_two_pieces(self, guarded: Guarded, faults: Faults) -> None:
        faults.add(guarded.fake, "clock")
        owner = Owner()
        turns = Turns(guarded.loop, Options(), clock=lambda: guarded.fake.clock())
        turns.add(Owner.work, owner)
        guarded.fake.run()
        assert (faults.raised, owner.done) == (1, ["work"])


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
        self.first = Handover(str(folder), "1", guarded.loop, self.adopt)
        self.other = Handover(str(folder), "2", guarded.loop, self.adopt)
        self.first.start()
        self.other.start()
        self.guarded = guarded

    def adopt(self, sock: Any, data: bytes) -> None:
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
                outcome = self.first.give("2", ours.fileno(), b"x" * (MAX_MESSAGE // 4), waiter)
            for waiter in waiters:
                assert self.first.give("2", ours.fileno(), b"", waiter) is Outcome.WAITS

    def give(self, data: bytes) -> Outcome:
        """Hand a connection to the second worker; check that no worker has it any more."""
        with socket_pair() as (ours, theirs):
            outcome = self.first.give("2", ours.fileno(), data, Waiting())
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
                doors.first.give("2", ours.fileno(), data, Waiting())
            doors.guarded.fake.run()
        assert doors.adopted == [b"good"]

    @covers("_Sender._receive")
    def test_connect_again_after_a_fault_in_the_connection_between_them(
        self, doors: Doors, faults: Faults
    ) -> None:
        doors.give(b"one")
        faults.add(handover.logger, "warning")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(str(doors.folder / "2"))
            stranger.send(b"no connection")
            doors.guarded.fake.run()
            assert is_at_end(stranger)
        doors.give(b"two")
        assert (faults.raised, doors.adopted) == (1, [b"one", b"two"])

    @covers("_Door._accept")
    def test_leave_the_door_open_after_a_fault_in_it(self, doors: Doors, faults: Faults) -> None:
        faults.add(handover, "_user_of")
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
            is_open = True
            ends = 0

            def give_up(self, why: str) -> None:
                self.ends += 1

        faults.add(Tenant, "give_up")
        tenant = Tenant()
        room = DecodedRoom(guarded.loop, Options(), clock=guarded.fake.clock)
        room.take(tenant, 10**9, lambda: None)
        room.take(tenant, 10**9, lambda: None)
        guarded.fake.advance(11.0)
        assert (faults.raised, tenant.ends) == (1, 0)
        guarded.fake.advance(10.0)
        assert tenant.ends == 1

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


def test_each_callback_that_the_package_gives_the_loop_has_a_case() -> None:
    found = set().union(*(Callbacks(path).found for path in PACKAGE.rglob("*.py")))
    assert found == {case.entry for case in CASES} | COVERED


class Callbacks(ast.NodeVisitor):
    """The functions of one module that are given to a loop, a queue of deadlines or the turns."""

    def __init__(self, path: Path) -> None:
        self.found: set[str] = set()
        self._class: ast.ClassDef | None = None
        self._function: ast.AST = ast.Module(body=[], type_ignores=[])
        self._module = ast.parse(path.read_text())
        if "testing" not in path.parts and path.name != "loop.py":
            self.visit(self._module)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before, self._class = self._class, node
        self.generic_visit(node)
        self._class = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before, self._function = self._function, node
        self.generic_visit(node)
        self._function = before

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        called = ast.unparse(node.func)
        receiver, _, method = called.rpartition(".")
        if receiver.endswith("loop") and method in ("run_callback", "call"):
            self._note(node.args[0])
        elif receiver.endswith("loop") and method == "start":
            self._note(node.args[1])
        elif receiver.endswith("turns") and method == "add":
            self._note(node.args[0])
        elif called == "Deadlines":
            self._note(node.args[2])
        elif called == "Heartbeat":
            self._note(next(each.value for each in node.keywords if each.arg == "expire"))

    def _note(self, callback: ast.expr) -> None:
        """Note a function by its name; a parameter or an attribute is noted where it comes from."""
        if isinstance(callback, ast.Call):  # a partial
            self._note(callback.args[0])
        elif isinstance(callback, ast.Name):
            for each in ast.walk(self._function):
                if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == callback.id:
                    self._note(each.value)
            if callback.id in functions_of(self._module):
                self.found.add(callback.id)
        elif ast.unparse(callback).startswith("self."):
            name = ast.unparse(callback).removeprefix("self.")
            if self._class is not None and name in functions_of(self._class):
                self.found.add(f"{self._class.name}.{name}")
        else:
            self.found.add(ast.unparse(callback))


def functions_of(node: ast.ClassDef | ast.Module) -> set[str]:
    """Return the names of a class's or module's functions."""
    return {each.name for each in node.body if isinstance(each, ast.FunctionDef)}


def entry_of(record: logging.LogRecord) -> str:
    """Return the function that the guard called."""
    assert record.exc_info
    frames = [frame for frame, _ in walk_tb(record.exc_info[2])]
    called = next(
        frame for frame in frames if frame.f_globals["__name__"] != GuardedLoop.__module__
    )
    return called.f_code.co_qualname
