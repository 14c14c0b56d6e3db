"""Clients that take their time, or say nothing at all."""

import json
import select
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic

import pytest

from socketio_server.options import Options
from tests.faults.conftest import IMPATIENT
from tests.faults.crowd import (
    WEBSOCKET,
    ask,
    close_all,
    connect,
    crowd,
    handshake_bytes,
    host_of,
    join,
    join_over_polling,
)
from tests.faults.watch import MOST, Watch, look
from tests.support.http import Http
from tests.support.server import Server
from tests.support.tools import PATIENCE, wait_until
from tests.support.types import StartServer
from tests.support.websocket import CLOSE, TEXT, WebSocket, frame
from tests.support.wire import Polling, open_probe

pytestmark = pytest.mark.timeout(120)

MAX_QUEUED_TOTAL = Options().max_queued_total

COUNT = 500
DRIP = 0.2
"""Seconds between two bytes."""

NOTICED = IMPATIENT["SOCKETIO_PING_INTERVAL"] + IMPATIENT["SOCKETIO_PING_TIMEOUT"]
"""Seconds after which a client that is gone is noticed."""


def drip(connections: Sequence[Http] | Mapping[Http, bytes], piece: bytes = b"") -> None:
    """Send a little over each connection again and again, until the server has closed them all.

    :param connections: with what is to be sent over each, if that is not the same for all.
    :param piece: what is sent; nothing: wait in silence.
    """
    deadline = monotonic() + PATIENCE
    pieces = connections if isinstance(connections, Mapping) else dict.fromkeys(connections, piece)
    left = {connection.sock.fileno(): connection for connection in pieces}
    while left:
        assert monotonic() < deadline, f"{len(left)} of {len(connections)} are open"
        poll = select.poll()
        for descriptor, connection in left.items():
            poll.register(descriptor, select.POLLIN)
            with suppress(OSError):  # it is closed, which shows below
                connection.sock.send(pieces[connection])
        for descriptor, _ in poll.poll(DRIP * 1000):
            if is_closed(left[descriptor]):
                left.pop(descriptor).close()


def is_closed(connection: Http) -> bool:
    """Read what is there; return whether it is the end."""
    try:
        return not connection.sock.recv(65_536)
    except ConnectionError:
        return True


def given_up(server: Server) -> int:
    """Return how many clients a server has given up because it held too much for all."""
    refusals: dict[str, int] = look(server, "stats")["refusals"]
    return sum(refusals.get(kind, 0) for kind in ("queued total", "held total"))


class TestSlowloris:
    def test_heads_that_come_byte_by_byte_are_cut_off(
        self, impatient: Server, watch: Watch
    ) -> None:
        host = f"Host: {host_of(impatient)}\r\n"
        starts = ["GET /", f"GET / HTTP/1.1\r\n{host}X: ", f"GET {WEBSOCKET} HTTP/1.1\r\n{host}"]
        with watch(impatient, "slow clients", "heads byte by byte", inputs=COUNT * len(starts)):
            drip([connect(impatient, start) for start in starts * COUNT], b"x")

    def test_bodies_that_come_byte_by_byte_are_cut_off(
        self, impatient: Server, watch: Watch
    ) -> None:
        codings = {"Content-Length: 1000": b"1", "Transfer-Encoding: chunked": b"1\r\nx\r\n"}
        with watch(impatient, "slow clients", "bodies byte by byte", inputs=COUNT):
            connections = {}
            for number in range(COUNT):
                session = Polling(impatient.address)  # that never joins a namespace
                session.cut()
                coding = list(codings)[number % 2]
                head = f"POST {session.target} HTTP/1.1\r\nHost: {host_of(impatient)}\r\n"
                connection = connect(impatient, f"{head}{coding}\r\n\r\n")
                connections[connection] = codings[coding]
            drip(connections)


class TestSilence:
    def test_on_an_http_connection_ends_it(self, impatient: Server, watch: Watch) -> None:
        host = f"Host: {host_of(impatient)}\r\n"
        starts = [
            "",
            f"GET /stats/ HTTP/1.1\r\n{host}\r\n",  # and no second request
            f"POST /body/ HTTP/1.1\r\n{host}Content-Length: 9\r\n\r\n",
        ]
        with watch(impatient, "slow clients", "no word", inputs=COUNT * len(starts)):
            drip([connect(impatient, start) for start in starts * COUNT])

    def test_where_a_namespace_should_be_joined_ends_the_session(
        self, impatient: Server, watch: Watch
    ) -> None:
        hello = handshake_bytes(impatient).decode()
        with watch(impatient, "slow clients", "no namespace", inputs=COUNT):
            drip([connect(impatient, hello) for _ in range(COUNT)], frame(TEXT, "6"))

    def test_of_a_websocket_that_probes_ends_it_and_nothing_else(
        self, impatient: Server, watch: Watch
    ) -> None:
        with watch(impatient, "slow clients", "no end of an upgrade", inputs=50):
            sessions = [join_over_polling(impatient) for _ in range(50)]
            probes = [open_probe(session) for session in sessions]
            for probe in probes[::2]:
                probe.send_text("2probe")
            for session in sessions:
                session.start_poll()
            for probe in probes:
                probe.wait_for_close()
            for session in sessions:
                session.finish()
                session.send('421["echo",1]')
                while "431[1]" not in session.receive():
                    pass
                session.close()

    def test_after_a_close_frame_that_asks_for_another_ends_the_connection(
        self, impatient: Server, watch: Watch
    ) -> None:
        with watch(impatient, "slow clients", "no end of a close", inputs=200):
            clients = crowd(impatient, 200)
            for client in clients:
                client.send(frame(CLOSE, b"\x03\xe8"))
            for client in clients:
                client.read_to_the_end()

    def test_of_clients_that_are_gone_is_noticed(self, impatient: Server, watch: Watch) -> None:
        with watch(impatient, "slow clients", "no pong", inputs=200):
            began, clients = monotonic(), crowd(impatient, 150)
            sessions = [join_over_polling(impatient) for _ in range(50)]
            for session in sessions:
                session.cut()
            for client in clients:
                client.read_to_the_end()
                assert monotonic() - began < 5 * NOTICED


class TestStandingStill:
    """Clients that take nothing of what is sent to them."""

    @pytest.fixture
    def brisk(self, share_attacked: StartServer) -> Server:
        """A server that soon gives up who stands still, and sends no pings meanwhile."""
        return share_attacked(settings={"SOCKETIO_STALL_TIMEOUT": 2.0})

    def test_of_members_of_a_busy_room_ends_them(self, brisk: Server, watch: Watch) -> None:
        inputs = 40 * 200
        with watch(brisk, "slow clients", "members that take nothing", inputs=inputs):
            before = look(brisk, "stats")["refusals"].get("stalled", 0)
            stalled = crowd(brisk, 190, channel="busy", receive_buffer=4096)
            others = crowd(brisk, 10, channel="busy")
            speaker = join(brisk)
            for number in range(40):
                ask(speaker, json.dumps(["flood", "busy", number, number + 1, 50_000]))
                for other in others:
                    assert _number_of(other.receive_text()) == number
            wait_until(
                lambda: look(brisk, "stats")["refusals"].get("stalled") == before + 190,
                "the stalled to be given up",
            )
            ask(speaker, json.dumps(["flood", "busy", 40, 41, 50_000]))
            for other in others:
                assert _number_of(other.receive_text()) == 40
            for client in (*stalled, *others, speaker):
                client.cut()

    @pytest.fixture
    def patient(self, share_attacked: StartServer) -> Server:
        """A server that gives up nobody for standing still."""
        return share_attacked(settings={"SOCKETIO_STALL_TIMEOUT": 600.0})

    def test_over_polling_holds_no_more_than_the_process_may(
        self, patient: Server, watch: Watch
    ) -> None:
        """Sessions cost their client no connection, and what waits for each is its own."""
        count, size = 150, 900_000
        with watch(patient, "slow clients", "sessions that fetch nothing", inputs=count, most=MOST):
            before = given_up(patient)
            speaker, sessions = join(patient), []
            for _ in range(count):
                session = join_over_polling(patient)
                sessions.append(session)
                session.send('421["id"]')
                (answer,) = session.receive()
                session_id = json.loads(answer.removeprefix("431"))[0]
                ask(speaker, json.dumps(["tell", session_id, "x" * size]))
                assert look(patient, "stats")["queued_bytes"] <= MAX_QUEUED_TOTAL
            assert given_up(patient) > before
            for session in sessions:
                session.close()
            speaker.cut()

    def test_before_the_answer_to_a_poll_holds_no_more_either(
        self, patient: Server, watch: Watch
    ) -> None:
        count, size = 150, 900_000
        with watch(patient, "slow clients", "polls that nobody reads", inputs=count, most=MOST):
            before = given_up(patient)
            packet = f'421["echo","{"x" * size}"]'
            for _ in range(count):
                session = join_over_polling(patient, receive_buffer=4096)
                session.start_poll()
                session.send(packet)
                assert look(patient, "stats")["queued_bytes"] <= MAX_QUEUED_TOTAL
            assert given_up(patient) > before
            close_all()


class TestAskingForMuch:
    """Clients that ask small questions with large answers, and read none of them."""

    @pytest.mark.parametrize("event", ["history", "page"])
    def test_holds_no_more_than_the_process_may(
        self, server: Server, watch: Watch, event: str
    ) -> None:
        """What handlers have yet to send waits in as many handlers as a client may have."""
        count, names = 60, ["", "/part-1,", "/part-2,", "/part-3,"]
        name = f"large answers that wait for room: {event}"
        with watch(server, "slow clients", name, inputs=count * 12, most=MOST):
            before = given_up(server)
            clients = crowd(server, count, receive_buffer=4096)
            for client in clients:
                for namespace in names[1:]:
                    client.send_text(f"40{namespace}")
                    assert client.receive_text().startswith(f"40{namespace}")
            for client in clients:
                for namespace in names * 3:
                    with suppress(OSError):  # it is closed already
                        client.send_text(f'42{namespace}1["{event}",1000000]')
            wait_until(lambda: given_up(server) > before, "some to be given up")
            assert look(server, "stats")["queued_bytes"] <= 80_000_000
            close_all()


class TestReadingSlowly:
    """Clients that take what is sent to them, on a slow line."""

    def test_ends_nobody_while_others_keep_the_memory(self, server: Server, watch: Watch) -> None:
        readers, greedy = 20, 6
        with watch(server, "slow clients", "much for some, little for many", inputs=greedy * 15):
            before = given_up(server)
            honest = crowd(server, readers, channel="news", receive_buffer=16_384)
            for number in range(greedy):
                crowd(server, 1, channel=f"kept-{number}", receive_buffer=8192)
            speaker = join(server)
            ask(speaker, json.dumps(["say", "news", "n" * 400_000]))
            left = dict.fromkeys(honest, 400_000)
            for _ in range(15):
                for number in range(greedy):
                    ask(speaker, json.dumps(["say", f"kept-{number}", "m" * 990_000]))
                _take_some(left)
            while left:
                _take_some(left)
            assert given_up(server) > before
            close_all()


def _take_some(left: dict[WebSocket, int]) -> None:
    """Let clients read a little each; none of them may be at its end.

    :param left: bytes that each is to read; those who have all of them are taken out.
    """
    for client in list(left):
        if client.has_frame(0.1):
            size = len(client.read_some(8000))
            assert size, f"a client was cut off, {left[client]} bytes before its end"
            left[client] -= size
            if left[client] <= 0:
                del left[client]


def _number_of(text: str) -> int:
    """Return the number of a message that ``flood`` sent."""
    number: int = json.loads(text.removeprefix("42"))[1][0]
    return number
