"""Connections that move: from the worker that accepted them to the one whose session they want."""

import errno
import os
import shutil
import socket
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from socketio_server.net import handover
from socketio_server.net.handover import Outcome
from socketio_server.options import Options
from tests.fakes.engine import outgoing
from tests.fakes.loop import FakeIO
from tests.fakes.net import socket_pair, without_descriptors
from tests.http.site import Peer, Site, request

BIG = 60_000
"""Bytes that are few enough to be read at once."""

STALL = 100.0
"""Seconds for which one waits for another worker, or for a peer that reads nothing."""


class Workers:
    """Two workers, and clients that the first one accepts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        options = Options(max_time_per_turn=1000.0, stall_timeout=STALL)
        self.first, self.other = (Site(options, worker=name, folder=folder) for name in ("1", "2"))
        for site in (self.first, self.other):
            site.siblings.add(site.take)
            site.siblings.start()

    def run(self) -> None:
        """Let everything happen that can."""
        for _ in range(3):
            self.first.run()
            self.other.run()

    def fill(self, stack: ExitStack, count: int = 10, size: int = BIG) -> list[Peer]:
        """Send requests for sessions of the second worker until some wait; return their peers."""
        peers = []
        for _ in range(count):
            ours, theirs = stack.enter_context(socket_pair())
            peers.append(Peer(self.first, ours, theirs))
            peers[-1].send(request("POST", self.other.open_session(), b"4" + b"x" * size))
        return peers

    def stop(self) -> None:
        for site in (self.first, self.other):
            site.siblings.stop()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path)
    yield workers
    workers.stop()


@pytest.fixture
def peer(workers: Workers) -> Iterator[Peer]:
    """A client whose connection the first worker has accepted."""
    with socket_pair() as (ours, theirs):
        yield Peer(workers.first, ours, theirs)
    workers.run()  # which end the connection, too


@pytest.fixture
def stack(workers: Workers) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack
    for _ in range(10):
        workers.run()  # which ends the connections, too


class Waiting:
    """A connection that waits for another worker (``Waiter``)."""

    is_waiting = True

    def try_again(self) -> None:
        """Do nothing."""

    def callback_raised(self) -> None:
        """Do nothing."""


def leave_unread(workers: Workers, peer: Peer, behind: bytes = b"") -> None:
    """Have the first worker answer a client that does not read the answer yet.

    :param behind: what the client sends without waiting.
    """
    peer.connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    peer.send(request("GET", workers.first.open_session()) + behind)
    workers.first.sessions[-1].send(outgoing("x" * BIG))
    workers.run()
    assert peer.connection.queued > 0


def answer(body: bytes, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def note(
    asked: list[str], name: str, environ: dict[str, Any], start: Callable[..., Any]
) -> list[bytes]:
    """An application that notes who was asked."""
    asked.append(name)
    return answer(b"", environ, start)


def watched(site: Site) -> list[FakeIO]:
    """Return what a worker's loop waits for."""
    return [watcher for watcher in site.loop.watchers if isinstance(watcher, FakeIO)]


class TestAConnection:
    def test_moves_to_the_worker_whose_session_it_asks_for(
        self, workers: Workers, peer: Peer
    ) -> None:
        target = workers.other.open_session()
        peer.send(request("POST", target, b"4hello"))
        workers.run()

        assert peer.answer().body == b"ok"
        assert workers.other.handlers[0].messages == ["hello"]
        assert peer.connection.closed

    def test_stays_there_for_whatever_follows(self, workers: Workers, peer: Peer) -> None:
        target = workers.other.open_session()
        peer.send(request("POST", target, b"4hello") + request("GET", "/page"))
        workers.run()

        assert peer.statuses() == [200, 200]

    def test_comes_back_for_a_session_of_the_first_worker(
        self, workers: Workers, peer: Peer
    ) -> None:
        for site in (workers.other, workers.first, workers.other):
            peer.send(request("POST", site.open_session(), b"4hello"))
            workers.run()
            assert peer.answer().body == b"ok"

    def test_brings_the_part_of_a_body_that_came(self, workers: Workers, peer: Peer) -> None:
        data = request("POST", workers.other.open_session(), b"4" + b"x" * BIG)
        peer.send(data[:-BIG])
        workers.run()
        peer.send(data[-BIG:])
        workers.run()

        assert peer.answer().body == b"ok"
        assert workers.other.handlers[0].messages == ["x" * BIG]

    def test_keeps_the_address_of_its_client(self, workers: Workers, peer: Peer) -> None:
        workers.other.application = lambda environ, start: (
            start("200 OK", []),
            [environ["REMOTE_ADDR"].encode()],
        )[1]
        target = workers.other.open_session()
        peer.send(request("POST", target, b"4hello") + request("GET", "/page"))
        workers.run()

        assert peer.read().endswith(b"192.0.2.1")

    @pytest.mark.parametrize(
        ("address", "arrives"),
        [
            (("2001:db8::1", 80, 0, 3), ("2001:db8::1", 80, 0, 3)),
            ("", ""),
            ("/run/client", ""),
            (b"\0abstract", ""),
        ],
    )
    def test_keeps_the_address_of_an_ipv6_client_and_none_of_a_unix_sockets(
        self, workers: Workers, address: Any, arrives: Any
    ) -> None:
        addresses: list[Any] = []

        def take(sock: Any, address: Any, data: bytes, head_size: int) -> None:
            addresses.append(address)
            sock.close()

        number = workers.other.siblings.add(take)
        with socket_pair() as (ours, _):
            siblings = workers.first.siblings
            assert siblings.give(number, "2", ours, address, b"", 0, Waiting()) is Outcome.MOVED
            workers.run()
        assert addresses == [arrives]

    def test_is_refused_if_more_came_with_it_than_the_kernel_passes_on(
        self, workers: Workers
    ) -> None:
        with socket_pair() as (ours, _):
            data = b"x" * handover.MAX_MESSAGE
            siblings = workers.first.siblings
            assert siblings.give(0, "2", ours, "", data, 0, Waiting()) is Outcome.BUSY

    @pytest.mark.parametrize("owner", ["3", "../2", "", "x" * 100, "2\0", "%00"])
    def test_stays_where_it_is_if_there_is_no_such_worker(
        self, workers: Workers, peer: Peer, owner: str
    ) -> None:
        peer.send(request("GET", f"/?EIO=4&transport=polling&sid={owner}.secret"))
        workers.run()

        assert len(peer.statuses()) == 1
        assert watched(workers.other) == watched(workers.other)[:1]  # its door

    def test_stays_where_it_is_if_another_user_pretends_to_be_the_worker(
        self, workers: Workers, peer: Peer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        peer.send(request("POST", workers.other.open_session(), b"4hello"))
        workers.run()
        assert peer.answer().body.startswith(b"POST")  # the first worker's application
        assert workers.other.handlers[0].messages == []

    def test_arrives_though_the_worker_ends(self, workers: Workers, peer: Peer) -> None:
        """It was handed over before the worker had accepted the one that did so."""
        peer.send(request("POST", workers.other.open_session(), b"4hello"))
        assert peer.connection.closed
        workers.other.siblings.stop()
        workers.run()

        assert peer.answer().body == b"ok"
        assert workers.other.handlers[0].messages == ["hello"]

    def test_arrives_though_the_worker_ends_behind_others(
        self, workers: Workers, peer: Peer, stack: ExitStack
    ) -> None:
        target = workers.other.open_session()
        peer.send(request("POST", target, b"4hello"))
        workers.run()
        peers = [peer]
        for _ in range(handover.MAX_UNDER_WAY - 1):
            ours, theirs = stack.enter_context(socket_pair())
            peers.append(Peer(workers.first, ours, theirs))
            peers[-1].send(request("POST", target, b"4hello"))
        workers.other.siblings.stop()
        workers.run()

        assert [each.answer().body for each in peers] == [b"ok"] * len(peers)

    def test_stays_where_it_is_if_the_worker_takes_no_more(
        self, workers: Workers, peer: Peer
    ) -> None:
        target = workers.other.open_session()
        peer.send(request("POST", target, b"4hello"))
        workers.run()
        peer.answer()
        peer.send(request("POST", workers.first.open_session(), b"4hello"))
        workers.run()
        peer.answer()
        workers.other.siblings.close_door()
        peer.send(request("POST", target, b"4hello"))
        assert peer.answer().body.startswith(b"POST")  # the first worker's application

    def test_comes_back_if_the_worker_ends_in_the_very_moment(
        self, workers: Workers, peer: Peer, stack: ExitStack
    ) -> None:
        target = workers.other.open_session()
        peer.send(request("POST", target, b"4hello"))
        workers.run()
        ours, theirs = stack.enter_context(socket_pair())
        late = Peer(workers.first, ours, theirs)
        late.http.data_received(request("POST", target, b"4hello"))
        workers.other.siblings.stop()
        assert late.answers() == []
        workers.run()
        assert late.answer().body.startswith(b"POST")  # the first worker's application
        theirs.sendall(request("GET", "/page"))
        workers.run()
        assert late.answer().body == b"GET /page "

    def test_moves_together_with_others_of_the_same_turn(
        self, workers: Workers, stack: ExitStack
    ) -> None:
        peers = []
        for number in range(2 * handover.MAX_TOGETHER + 1):
            ours, theirs = stack.enter_context(socket_pair())
            peers.append(Peer(workers.first, ours, theirs))
            body = b"4" + b"x" * (number * 100)
            data = request("POST", workers.other.open_session(), body)
            peers[-1].http.data_received(data)
        for _ in range(10):
            workers.run()
            workers.first.loop.advance(handover.LOOK_INTERVAL)

        assert [peer.answer().body for peer in peers] == [b"ok"] * len(peers)
        for number, handler in enumerate(workers.other.handlers):
            assert handler.messages == ["x" * (number * 100)]

    def test_stays_where_it_is_if_the_worker_has_ended(self, workers: Workers, peer: Peer) -> None:
        target = workers.other.open_session()
        peer.send(request("POST", target, b"4hello"))
        workers.run()
        peer.answer()
        workers.other.siblings.stop()
        workers.run()
        with socket_pair() as (ours, theirs):
            late = Peer(workers.first, ours, theirs)
            late.send(request("POST", target, b"4hello"))
            assert late.answer().status == 200  # the application's


class TestAConnectionWhoseClientHasAnswersToRead:
    @pytest.fixture
    def peer(self, workers: Workers, peer: Peer) -> Peer:
        """A client with a request for the second worker behind one that the first answers."""
        target = workers.other.open_session()
        leave_unread(workers, peer, request("POST", target, b"4hello"))
        return peer

    def test_moves_behind_them(self, workers: Workers, peer: Peer) -> None:
        assert workers.other.handlers[0].messages == []

        assert peer.answer().body == b"4" + b"x" * BIG
        workers.run()
        assert peer.answer().body == b"ok"
        assert workers.other.handlers[0].messages == ["hello"]

    def test_has_no_deadline_until_then(self, workers: Workers, peer: Peer) -> None:
        workers.first.loop.advance(workers.first.options.keep_alive_timeout)

        assert peer.statuses() == [200]
        workers.run()
        assert peer.statuses() == [200]

    def test_takes_what_its_client_sends_meanwhile_along(
        self, workers: Workers, peer: Peer
    ) -> None:
        peer.send(request("GET", "/page"))

        assert peer.statuses() == [200]
        workers.run()
        assert peer.statuses() == [200, 200]


class TestAConnectionForABusyWorker:
    def test_waits_until_there_is_room(self, workers: Workers, stack: ExitStack) -> None:
        peers = workers.fill(stack)
        assert [peer.statuses() for peer in peers] == [[]] * 10
        for _ in range(10):
            workers.run()
        assert [peer.statuses() for peer in peers] == [[200]] * 10

    def test_waits_while_many_are_under_way(
        self, workers: Workers, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They would take the room of all of the user's processes."""
        monkeypatch.setattr(handover, "MAX_UNDER_WAY", 4)
        peers = workers.fill(stack, 10, size=10)
        moved = [peer.connection.closed for peer in peers]
        assert moved == [True] * 5 + [False] * 5  # the fifth is the next to go
        for _ in range(4):
            workers.run()
            workers.first.loop.advance(handover.LOOK_INTERVAL)
        workers.run()
        assert [peer.statuses() for peer in peers] == [[200]] * 10

    def test_takes_what_its_client_sends_meanwhile_along(
        self, workers: Workers, stack: ExitStack
    ) -> None:
        peers = workers.fill(stack)
        for peer in peers:
            peer.sock.sendall(request("GET", "/page"))
        for _ in range(10):
            workers.run()
        assert [peer.statuses() for peer in peers] == [[200, 200]] * 10

    def test_is_refused_if_the_worker_stands_still(
        self, workers: Workers, stack: ExitStack
    ) -> None:
        peers = workers.fill(stack)
        workers.first.loop.advance(STALL + 1)
        refused = [peer for peer in peers if peer.statuses() == [503]]
        assert 0 < len(refused) < 10
        for peer in refused:
            peer.send(b"what is sent before the refusal is read")
        for _ in range(10):
            workers.run()
        assert [peer.statuses() for peer in peers if peer not in refused] == [[200]] * (
            10 - len(refused)
        )

    def test_is_refused_if_too_many_wait(
        self, workers: Workers, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(handover, "MAX_WAITING", 2)
        statuses = [peer.statuses() for peer in workers.fill(stack)]
        assert [503] in statuses
        assert [] in statuses
        for _ in range(10):
            workers.run()

    def test_waits_although_many_have_ended_that_did(
        self, workers: Workers, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(handover, "MAX_WAITING", 2)
        waiting = [peer for peer in workers.fill(stack) if peer.statuses() == []][-2:]
        for peer in waiting:
            peer.http.tcp.abort()
        workers.first.run()
        statuses = [peer.statuses() for peer in workers.fill(stack)]
        assert [statuses.count(each) for each in ([], [503])] == [2, 8]
        for _ in range(10):
            workers.run()

    def test_stays_where_it_is_if_the_worker_ends(self, workers: Workers, stack: ExitStack) -> None:
        peers = workers.fill(stack)
        asked: list[str] = []
        workers.first.application = partial(note, asked, "first")
        workers.other.siblings.stop()
        workers.run()
        assert [peer.statuses() for peer in peers] == [[200]] * 10
        assert 0 < len(asked) < 10  # the others had moved
        for peer in peers:
            peer.sock.sendall(request("GET", "/page"))
            workers.run()
            assert peer.answer().status == 200

    def test_may_end_while_it_waits(self, workers: Workers, stack: ExitStack) -> None:
        peers = workers.fill(stack)
        for peer in peers:
            peer.http.tcp.abort()
        for _ in range(10):
            workers.run()
        assert len(watched(workers.first)) == 2  # its door, and the way to the other
        assert all(handler.messages for handler in workers.other.handlers[:2])


class TestAConnectionThatIsToMoveAway:
    """Because its worker is about to stop."""

    def test_is_not_read_here_any_more(self, workers: Workers, peer: Peer) -> None:
        """Even if the loop is yet to call back for what came behind the last request."""
        asked: list[str] = []
        for site, name in (workers.first, "first"), (workers.other, "other"):
            site.application = partial(note, asked, name)
        own = request("POST", workers.first.open_session(), b"3")
        peer.http.data_received(own + request("GET", "/page"))
        peer.http.move_away()
        workers.run()

        assert peer.statuses() == [200, 200]
        assert asked == ["other"]

    def test_stays_while_a_request_is_answered(self, workers: Workers, peer: Peer) -> None:
        peer.send(request("GET", workers.first.open_session()))
        peer.http.move_away()
        workers.first.sessions[0].send(outgoing("hello"))
        workers.run()

        assert peer.answer().body == b"4hello"
        assert not peer.connection.closed

    def test_stays_while_its_client_has_an_answer_to_read(
        self, workers: Workers, peer: Peer
    ) -> None:
        leave_unread(workers, peer)
        peer.http.move_away()

        assert peer.answer().body == b"4" + b"x" * BIG


class TestAWorkerThatStops:
    """It lets others have its connections, but for those of its sessions."""

    @pytest.fixture
    def stopping(self, workers: Workers) -> Workers:
        workers.first.siblings.retire()
        workers.first.engine.drain(lambda seconds: None)
        for site, name in (workers.first, b"first"), (workers.other, b"other"):
            site.application = partial(answer, name)
        return workers

    def test_lets_others_answer_new_requests(self, stopping: Workers, peer: Peer) -> None:
        peer.send(request("GET", "/page"))
        stopping.run()
        assert peer.answer().body == b"other"

    def test_lets_others_have_connections_that_wait_for_a_request(
        self, stopping: Workers, peer: Peer
    ) -> None:
        peer.http.move_away()
        assert peer.connection.closed
        stopping.run()
        peer.sock.sendall(request("GET", "/page"))
        stopping.run()
        assert peer.answer().body == b"other"

    def test_lets_others_have_them_for_as_long_as_any(self, stopping: Workers, peer: Peer) -> None:
        peer.http.move_away()
        stopping.run()
        stopping.other.loop.advance(stopping.other.options.keep_alive_timeout)

        assert peer.is_cut
        assert stopping.other.stats.refusals.counts == {}

    def test_lets_others_have_the_part_of_a_head_that_came(
        self, stopping: Workers, peer: Peer
    ) -> None:
        data = request("GET", "/page")
        peer.send(data[:10])
        peer.http.move_away()
        stopping.run()
        peer.sock.sendall(data[10:])
        stopping.run()
        assert peer.answer().body == b"other"

    def test_keeps_connections_that_wait_if_the_others_are_busy(
        self, stopping: Workers, peer: Peer, stack: ExitStack
    ) -> None:
        stopping.fill(stack)
        peer.http.move_away()
        assert not peer.connection.closed
        for _ in range(10):
            stopping.run()

    def test_answers_itself_if_the_others_stop_too(self, stopping: Workers, peer: Peer) -> None:
        stopping.other.siblings.retire()
        peer.send(request("GET", "/page"))
        peer.http.move_away()
        assert peer.answer().body == b"first"

    def test_answers_itself_if_the_others_were_killed(self, stopping: Workers, peer: Peer) -> None:
        stopping.other.siblings.stop()
        (stopping.folder / "2.accepting").touch()
        peer.send(request("GET", "/page"))
        assert peer.answer().body == b"first"
        assert not stopping.first.siblings.others_accept

    def test_answers_itself_for_sessions_that_it_had(self, stopping: Workers, peer: Peer) -> None:
        peer.send(request("GET", "/?EIO=4&transport=polling&sid=1.unknown"))
        assert peer.answer().body == b"first"

    def test_knows_that_others_accept_after_the_folder_was_removed(self, stopping: Workers) -> None:
        assert stopping.first.siblings.others_accept
        shutil.rmtree(stopping.folder)
        assert not stopping.first.siblings.others_accept


def send_raw(door: socket.socket, message: bytes, *connections: socket.socket) -> None:
    """Send descriptors through a worker's door."""
    rights = array("i", [each.fileno() for each in connections])
    door.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def send(door: socket.socket, data: bytes, *connections: socket.socket) -> None:
    """Send one part with data, as for one connection."""
    send_raw(door, array("I", (1, len(data))).tobytes() + data, *connections)


def record(
    listener: Any = 0,
    host: Any = "192.0.2.1",
    numbers: Any = (80,),
    data: Any = b"GET ",
    head_size: Any = 0,
) -> bytes:
    """Encode what comes along with a connection."""
    return msgspec.msgpack.encode((listener, host, numbers, data, head_size))


class TestTheDoor:
    """It takes what comes from processes of the same user, and nothing that comes breaks it."""

    @pytest.mark.parametrize(
        "message",
        [
            b"garbage",
            b"\xff" * 1000,
            pytest.param(record(listener=1), id="another listener"),
            pytest.param(record(listener=-1), id="a negative listener"),
            pytest.param(record(listener=2**63), id="a huge listener"),
            pytest.param(record(host=["192.0.2.1"]), id="a list as host"),
            pytest.param(record(numbers=["80"]), id="text as port"),
            pytest.param(record(numbers=[[80]]), id="a list as port"),
            pytest.param(record(numbers=[-1]), id="a negative port"),
            pytest.param(record(numbers=[80, 0, 0, 0]), id="too many numbers"),
            pytest.param(record(head_size=-1), id="a negative head"),
            pytest.param(record(head_size=5), id="a head beyond the data"),
            pytest.param(record(data=5), id="a number as data"),
        ],
    )
    def test_closes_what_is_no_request(
        self, workers: Workers, message: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with socket_pair() as (ours, theirs), self.enter(workers) as door:
            send(door, message, ours)
            ours.close()
            workers.run()
            assert theirs.recv(1) == b""
        assert "another worker sent what is no request" in caplog.text

    def test_logs_what_it_refuses_now_and_then_and_counts_it(
        self, workers: Workers, caplog: pytest.LogCaptureFixture
    ) -> None:
        with self.enter(workers) as door:
            for _ in range(20):
                door.send(b"nothing")
            workers.run()
        assert caplog.text.count("another worker") == 1
        assert workers.other.stats.refusals.counts == {"connection": 20}

    def test_takes_no_message_without_a_connection(
        self, workers: Workers, caplog: pytest.LogCaptureFixture
    ) -> None:
        with self.enter(workers) as door:
            door.send(b"nothing")
            workers.run()
        assert "another worker sent none" in caplog.text

    @pytest.mark.parametrize("head", [b"", b"\1", b"\1\0\0\0", b"\0\0\0\0", b"\1\0\0\0\1\0\0\0"])
    def test_takes_no_message_of_another_form(
        self, workers: Workers, head: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with socket_pair() as (ours, theirs), self.enter(workers) as door:
            send_raw(door, head + b"xyz", ours)
            ours.close()
            workers.run()
            assert theirs.recv(1) == b""
        assert "another worker sent none" in caplog.text

    def test_takes_one_connection_for_each_part(self, workers: Workers) -> None:
        with socket_pair() as (ours, theirs), self.enter(workers) as door:
            send(door, b"two", ours, ours)
            ours.close()
            workers.run()
            assert theirs.recv(1) == b""

    def test_keeps_no_descriptor_that_is_no_socket(
        self, workers: Workers, caplog: pytest.LogCaptureFixture
    ) -> None:
        with self.enter(workers) as door, socket_pair() as (ours, theirs):
            workers.run()
            reader, writer = os.pipe()
            rights = array("i", [writer, ours.fileno()])
            message = array("I", (2, 1, 1)).tobytes() + b"ab"
            door.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            os.close(writer)
            ours.close()
            workers.run()
            with open(reader, "rb") as pipe:
                assert pipe.read() == b""  # nobody has its other end
            assert theirs.recv(1) == b""
        assert "another worker sent a descriptor that is no socket" in caplog.text

    def test_counts_what_is_lost_because_there_are_too_many_open_files(
        self, workers: Workers, caplog: pytest.LogCaptureFixture
    ) -> None:
        with self.enter(workers) as door, socket_pair() as (ours, theirs):
            workers.run()
            for _ in range(3):
                send(door, b"lost", ours)
            ours.close()
            with without_descriptors():
                workers.run()
            assert theirs.recv(1) == b""
        assert workers.other.stats.refusals.counts == {"connection": 3}
        assert caplog.text.count("too many open files; raise the limit (LimitNOFILE)") == 1

    def test_is_closed_to_other_users(
        self, workers: Workers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with self.enter(workers) as door:
            workers.run()
            assert door.recv(1) == b""
        assert "a process of another user tried to hand one over" in caplog.text

    def test_rests_while_there_are_too_many_open_files(
        self, workers: Workers, caplog: pytest.LogCaptureFixture
    ) -> None:
        with self.enter(workers) as door, socket_pair() as (ours, theirs):
            for _ in range(2):
                with without_descriptors():
                    workers.run()  # the loop comes to rest
                    workers.other.loop.advance(handover.PAUSE)
            assert caplog.text.count("Another worker must wait until it may connect") == 1
            send(door, b"garbage", ours)
            ours.close()
            workers.other.loop.advance(handover.PAUSE)
            assert theirs.recv(1) == b""

    def test_forgets_workers_that_end(self, workers: Workers) -> None:
        before = len(watched(workers.other))
        with self.enter(workers):
            workers.run()
            assert len(watched(workers.other)) == before + 1
        workers.run()
        assert len(watched(workers.other)) == before

    def test_replaces_one_that_an_earlier_process_of_its_number_left(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left:
            left.bind(str(tmp_path / "2"))
        workers = Workers(tmp_path)
        self.enter(workers).close()
        workers.stop()

    def enter(self, workers: Workers) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(str(workers.folder / "2"))
        return sock


class TestTheCountOfWorkers:
    def test_is_that_of_the_living_though_some_may_not_be_signalled(
        self, workers: Workers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (workers.folder / "3").touch()  # a worker that was killed leaves it
        errors = {2: errno.EPERM, 3: errno.ESRCH}

        def kill(pid: int, signum: int) -> None:
            if pid in errors:
                raise OSError(errors[pid], os.strerror(errors[pid]))

        monkeypatch.setattr(os, "kill", kill)
        assert workers.first.siblings.count() == 2
