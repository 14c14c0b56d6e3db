"""Connections that move: from the worker that accepted them to the one whose session they want."""

import os
import socket
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from socketio_server.options import Options
from tests.fakes import FakeIO, socket_pair
from tests.http.site import Peer, Site, request

BIG = 60_000
"""Bytes that are few enough to be read at once."""


class Workers:
    """Two workers, and clients that the first one accepts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.first, self.other = (
            Site(Options(max_time_per_turn=1000.0), worker=name, folder=folder)
            for name in ("1", "2")
        )
        for site in (self.first, self.other):
            site.siblings.add(site.take)
            site.siblings.start()

    def run(self) -> None:
        """Let everything happen that can."""
        for _ in range(3):
            self.first.run()
            self.other.run()

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

    def test_moves_behind_the_answers_that_its_client_has_yet_to_read(
        self, workers: Workers, peer: Peer
    ) -> None:
        workers.first.application = lambda environ, start: (
            start("200 OK", [("Content-Length", str(40 * BIG))]),
            [b"x" * 40 * BIG],
        )[1]
        target = workers.other.open_session()
        peer.send(request("GET", "/big") + request("POST", target, b"4hello"))
        workers.run()
        assert workers.other.handlers[0].messages == []

        data = b""
        while piece := peer.read():
            data += piece
            workers.run()
        assert data.endswith(b"ok")
        assert workers.other.handlers[0].messages == ["hello"]

    def test_keeps_the_address_of_its_client(self, workers: Workers, peer: Peer) -> None:
        workers.other.application = lambda environ, start: (
            start("200 OK", []),
            [environ["REMOTE_ADDR"].encode()],
        )[1]
        target = workers.other.open_session()
        peer.send(request("POST", target, b"4hello") + request("GET", "/page"))
        workers.run()

        assert peer.read().endswith(b"192.0.2.1")

    @pytest.mark.parametrize("owner", ["3", "../2", "", "x" * 100, "2\0", "%00"])
    def test_stays_where_it_is_if_there_is_no_such_worker(
        self, workers: Workers, peer: Peer, owner: str
    ) -> None:
        peer.send(request("GET", f"/?EIO=4&transport=polling&sid={owner}.secret"))
        workers.run()

        assert len(peer.statuses()) == 1
        assert watched(workers.other) == watched(workers.other)[:1]  # its door

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

    def test_is_refused_while_the_worker_takes_none(self, workers: Workers) -> None:
        """It stands still, and what waits for it is bounded."""
        target = workers.other.open_session()
        data = request("POST", target, b"4" + b"x" * BIG)
        statuses: list[int] = []
        for _ in range(10):
            with socket_pair() as (ours, theirs):
                peer = Peer(workers.first, ours, theirs)
                peer.send(data)
                statuses += peer.statuses()
        workers.run()

        assert set(statuses) == {503}
        assert 0 < len(statuses) < 10


class TestTheDoor:
    """It takes what comes from processes of the same user, and nothing that comes breaks it."""

    @pytest.mark.parametrize("message", [b"garbage", b"\x93\x05\xa0\xc4\x00", b"\xff" * 1000])
    def test_closes_what_is_no_request(
        self, workers: Workers, message: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with socket_pair() as (ours, theirs), self.enter(workers) as door:
            rights = array("i", (ours.fileno(),))
            door.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            ours.close()
            workers.run()
            assert theirs.recv(1) == b""
        assert "Another worker sent what is no request" in caplog.text

    def test_takes_no_message_without_a_connection(
        self, workers: Workers, caplog: pytest.LogCaptureFixture
    ) -> None:
        with self.enter(workers) as door:
            door.send(b"nothing")
            workers.run()
        assert "Another worker sent no connection" in caplog.text

    def test_takes_one_connection_at_a_time(self, workers: Workers) -> None:
        with socket_pair() as (ours, theirs), self.enter(workers) as door:
            rights = array("i", (ours.fileno(), ours.fileno()))
            door.sendmsg([b"two"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            ours.close()
            workers.run()
            assert theirs.recv(1) == b""

    def test_is_closed_to_other_users(
        self, workers: Workers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with self.enter(workers) as door:
            workers.run()
            assert door.recv(1) == b""
        assert "A process of another user tried to hand over a connection" in caplog.text

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
