"""gunicorn's workers: one site of several processes, whatever connection a request comes on.

Each worker keeps its own sessions; a connection moves to the worker whose session a request asks
for.
"""

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import AF_UNIX, socket
from threading import Barrier
from threading import Event as ThreadEvent
from typing import Any

import pytest

from tests.support.http import Http, Refused
from tests.support.redis import RedisServer
from tests.support.server import Server, under_gunicorn
from tests.support.tools import PATIENCE, count_descriptors, wait_until
from tests.support.types import Connect, MakeConfiguration, StartServer
from tests.support.views import outside
from tests.support.wire import (
    TRANSPORTS,
    Carrier,
    Polling,
    TransportName,
    open_carrier,
    target,
)

NOTHING = {"do": "nothing"}
UNKNOWN = {"code": 1, "message": "Session ID unknown"}


@pytest.fixture(scope="session")
def site(share_server: StartServer) -> Server:
    """A site of three workers."""
    return share_server(gunicorn=under_gunicorn("--workers", "3"))


class Visitors:
    """Sessions over polling, each request of which goes over a connection of its own."""

    def __init__(self, server: Server, stack: ExitStack) -> None:
        self._server = server
        self._stack = stack

    def come(self) -> Polling:
        """Open a session."""
        session = Polling(self._server.address)
        self._stack.callback(session.cut)
        return session

    def come_to_two_workers(self) -> tuple[Polling, Polling]:
        """Open sessions until two workers have one each."""
        first = self.come()
        sessions = [first]

        def differ() -> bool:
            sessions.append(self.come())
            return worker_of(sessions[-1]) != worker_of(first)

        wait_until(differ, "sessions of two workers")
        return first, sessions[-1]

    def come_to_another_than(self, *workers: int) -> None:
        """Open sessions until one is another worker's."""

        def is_another() -> bool:
            try:
                return worker_of(self.come()) not in workers
            except (Refused, ConnectionError):  # by a worker that ends, and had accepted it
                return False

        wait_until(is_another, "a new worker")

    def ask(self, method: str, path: str, body: str = "") -> tuple[int, str]:
        """Send a request over a new connection; return status and body of the answer."""
        with Http(self._server.address) as http:
            response = http.request(method, path, body)
        return response.status, response.text


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def visitors(site: Server, stack: ExitStack) -> Visitors:
    return Visitors(site, stack)


def worker_of(session: Carrier) -> int:
    """Return the process that has a session."""
    return int(session.handshake["sid"].partition(".")[0])


class TestWorkers:
    @pytest.mark.parametrize("transport", TRANSPORTS)
    def test_serve_clients_over_every_transport(
        self, site: Server, connect: Connect, transport: TransportName
    ) -> None:
        """Ten of them, so that hardly any worker has none."""
        clients = [connect(transport, to=site) for _ in range(10)]
        assert [client.call("message", NOTHING) for client in clients] == ["nothing"] * 10

    def test_find_a_session_on_any_connection(self, visitors: Visitors) -> None:
        sessions = visitors.come_to_two_workers()
        for session in sessions * 5:
            assert visitors.ask("POST", session.target, "40") == (200, "ok")
            status, body = visitors.ask("GET", session.target)
            assert (status, body[:2]) == (200, "40")
            assert visitors.ask("POST", session.target, "41") == (200, "ok")

    def test_share_the_connections_of_a_proxy(self, site: Server, visitors: Visitors) -> None:
        """It sends whatever comes over whatever connection is free."""
        sessions = visitors.come_to_two_workers()
        with Http(site.address) as http:
            for session in sessions * 5:
                assert http.post(session.target, "40").text == "ok"
                assert http.get("/state/").status == 200
                assert http.get(session.target).text.startswith("40")
                assert http.post(session.target, "41").text == "ok"

    def test_take_bodies_that_are_under_way(self, site: Server, visitors: Visitors) -> None:
        for session in visitors.come_to_two_workers():
            visitors.ask("POST", session.target, "40")
            body = f'42["message",{{"do":"nothing","with":"{"x" * 500_000}"}}]'
            with Http(site.address) as http:
                length = {"Content-Length": str(len(body))}
                http.send_request("POST", session.target, body[:100_000], length)
                for start in range(100_000, len(body), 100_000):
                    http.send(body[start : start + 100_000].encode())
                assert http.read_response().text == "ok"

    def test_answer_requests_that_follow_without_waiting_in_their_order(
        self, site: Server, visitors: Visitors
    ) -> None:
        first, other = visitors.come_to_two_workers()
        targets = [first.target, other.target] * 3
        with Http(site.address) as http:
            for path in targets:
                http.send_request("POST", path, "3")
            http.send_request("GET", "/state/")
            assert [http.read_response().text for _ in targets] == ["ok"] * len(targets)
            assert "clients" in http.read_response().json

    def test_close_the_descriptors_that_they_give_away(
        self, site: Server, visitors: Visitors
    ) -> None:
        first, other = visitors.come_to_two_workers()
        pids = [worker_of(first), worker_of(other)]
        visitors.ask("POST", first.target, "3")
        visitors.ask("POST", other.target, "3")
        before = [count_descriptors(pid) for pid in pids]
        for session in (first, other) * 50:
            visitors.ask("POST", session.target, "3")

        def are_closed() -> bool:
            return all(
                count_descriptors(pid) <= most + 5 for pid, most in zip(pids, before, strict=True)
            )

        wait_until(are_closed, "the descriptors to be closed")

    @pytest.mark.parametrize("sid", ["1.x", "../1.x", "x" * 70 + ".x", "nobody.x", ".x", "%00.x"])
    def test_know_no_session_of_a_forged_worker(self, visitors: Visitors, sid: str) -> None:
        session = visitors.come()
        path = session.target.replace(session.handshake["sid"], sid)
        for _ in range(5):
            assert visitors.ask("GET", path)[0] == 400

    def test_end_alone(self, site: Server, visitors: Visitors) -> None:
        """The clients of others notice nothing, and its own are told that they are unknown."""
        killed, other = visitors.come_to_two_workers()
        os.kill(worker_of(killed), signal.SIGKILL)
        killed.cut()

        def is_unknown() -> bool:
            with Http(site.address) as http:
                try:
                    return bool(http.get(killed.target).json == UNKNOWN)
                except ConnectionError:  # that worker had accepted it
                    return False

        wait_until(is_unknown, "the session to be gone")
        assert visitors.ask("POST", other.target, "40") == (200, "ok")


class TestSeveralWorkers:
    def test_send_to_each_others_clients_through_a_broker(
        self, own_redis: RedisServer, start_server: StartServer, connect: Connect
    ) -> None:
        settings = {"SOCKETIO_BROKER_URL": own_redis.url}
        server = start_server(gunicorn=under_gunicorn("--workers", "3"), settings=settings)
        first = connect(to=server)
        clients = [first]

        def differ() -> bool:
            clients.append(connect(to=server))
            return worker_of(clients[-1].carrier) != worker_of(first.carrier)

        wait_until(differ, "clients of two workers")
        clients[-1].subscribe("room")
        first.method("broadcast_channel", "hello", "room")
        assert clients[-1].next_message() == "hello"
        server.wait_for_output(rf"workers: 3; broker: {own_redis.url} \((not )?connected\)\n")


class TestOneWorkerOfSeveral:
    def test_says_once_that_there_is_no_broker(self, site: Server) -> None:
        site.wait_for_output("3 workers without SOCKETIO_BROKER_URL")
        assert site.output.count("without SOCKETIO_BROKER_URL") == 1
        assert 'name a Redis there, as "redis://localhost:6379/0", or run' in site.output

    def test_says_once_what_all_of_them_serve(self, site: Server) -> None:
        site.wait_for_output(
            r"\[INFO\] socketio_server [\d.]+ at /socket\.io/, polling and websocket; "
            r"handlers: [1-9]\d*; workers: 3; broker: none\n"
        )
        assert site.output.count("[INFO] socketio_server") == 1

    def test_says_so_again_after_a_reload_with_the_machine_s_name(
        self, start_server: StartServer
    ) -> None:
        settings = {"SOCKETIO_NODE": "a"}
        server = start_server(gunicorn=under_gunicorn("--workers", "2"), settings=settings)
        line = "workers: 2; node: a; broker: none"
        server.wait_for_output(line)
        server.send_signal(signal.SIGHUP)
        wait_until(lambda: server.output.count(line) == 2, "a second line")


class Visits:
    """Asks for a page, again and again.

    :param keeps: whether it uses one connection, for as long as the server keeps it.
    """

    def __init__(self, server: Server, *, keeps: bool) -> None:
        self._server = server
        self._keeps = keeps
        self.answers = 0
        self._ended = ThreadEvent()

    def run(self) -> None:
        """Ask until ``end``.

        :raises ConnectionError: if a request was not answered.
        """
        while not self._ended.is_set():
            with Http(self._server.address) as http:
                stays = True
                while stays and not self._ended.is_set():
                    response = http.get("/state/")
                    assert response.status == 200
                    self.answers += 1
                    stays = self._keeps and response.headers.get("connection") != "close"

    def end(self) -> None:
        self._ended.set()


def come_and_come_back(server: Server, transport: TransportName, is_there: Barrier) -> set[int]:
    """Be a client that comes back when its worker says goodbye; return the workers it had."""
    workers = set()
    for _ in range(2):
        carrier = open_carrier(transport, server.address)
        workers.add(worker_of(carrier))
        carrier.send("40")
        if len(workers) == 1:
            is_there.wait(PATIENCE)
            with suppress(ConnectionError):
                while "1" not in carrier.receive():
                    pass
        carrier.cut()
    return workers


class TestAReload:
    def test_fails_no_request_and_refuses_no_client(self, start_server: StartServer) -> None:
        """The old workers serve until the new ones do, and then let them have all connections."""
        server = start_server(gunicorn=under_gunicorn("--workers", "2", "--graceful-timeout", "20"))
        visits = [Visits(server, keeps=keeps) for keeps in (True, False)]
        crowd = [TRANSPORTS[number % 2] for number in range(100)]
        are_there = Barrier(len(crowd) + 1)
        with ThreadPoolExecutor(len(crowd) + len(visits)) as pool:
            visitors = [pool.submit(each.run) for each in visits]
            try:
                clients = [
                    pool.submit(come_and_come_back, server, transport, are_there)
                    for transport in crowd
                ]
                are_there.wait(PATIENCE)
                server.send_signal(signal.SIGHUP)
                workers = [client.result() for client in clients]
                before = [each.answers for each in visits]
                wait_until(
                    lambda: all(v.answers > n for v, n in zip(visits, before, strict=True)),
                    "further answers",
                )
            finally:
                for each in visits:
                    each.end()
            for visitor in visitors:
                visitor.result()
        assert all(len(each) == 2 for each in workers)


class TestSignals:
    def test_sigterm_says_goodbye_and_ends_with_0(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(gunicorn=under_gunicorn("--workers", "2", "--graceful-timeout", "10"))
        client = connect("polling", to=server)
        server.send_signal(signal.SIGTERM)
        client.wait_for_close()
        assert server.wait() == 0
        assert "on_finish" in server.journal.events(client.id)

    def test_sighup_replaces_the_workers_in_order(
        self, start_server: StartServer, connect: Connect, stack: ExitStack
    ) -> None:
        server = start_server(gunicorn=under_gunicorn("--workers", "2", "--graceful-timeout", "10"))
        visitors = Visitors(server, stack)
        old = {worker_of(session) for session in visitors.come_to_two_workers()}
        client = connect("polling", to=server)
        server.send_signal(signal.SIGHUP)
        client.wait_for_close()
        visitors.come_to_another_than(*old)
        assert visitors.ask("GET", "/state/")[0] == 200

    def test_sigquit_ends_at_once(self, start_server: StartServer, connect: Connect) -> None:
        server = start_server(gunicorn=under_gunicorn())
        client = connect(to=server)
        client.ask_later("message", {"do": "wait", "gate": "never opened"})
        server.journal.wait_for("waiting", client.id)
        assert server.stop(signal.SIGQUIT) == 0

    def test_sigusr1_logs_the_counters_of_each_worker(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(gunicorn=under_gunicorn())
        connect(to=server)
        server.send_signal(signal.SIGUSR1)
        server.wait_for_output(r"Statistics of worker \d+: .*sockets 1,")


class TestSettings:
    def test_max_requests_replaces_a_worker(
        self, start_server: StartServer, stack: ExitStack
    ) -> None:
        server = start_server(gunicorn=under_gunicorn("--max-requests", "3"))
        visitors = Visitors(server, stack)
        old = worker_of(visitors.come())
        for _ in range(3):
            visitors.ask("GET", "/state/")
        server.wait_for_output(rf"Worker {old} ends after max_requests")
        visitors.come_to_another_than(old)

    @pytest.mark.parametrize("said", ["https", "http"])
    def test_a_trusted_proxy_says_whether_a_request_is_secure(
        self, start_server: StartServer, said: str
    ) -> None:
        server = start_server(gunicorn=under_gunicorn("--forwarded-allow-ips", "127.0.0.1"))
        with Http(server.address) as http:
            response = http.get("/scheme/", {"X-Forwarded-Proto": said})
        assert response.text == said

    def test_nobody_else_says_whether_a_request_is_secure(self, start_server: StartServer) -> None:
        server = start_server(gunicorn=under_gunicorn("--forwarded-allow-ips", "192.0.2.1"))
        with Http(server.address) as http:
            assert http.get("/scheme/", {"X-Forwarded-Proto": "https"}).text == "http"

    def test_the_project_may_be_loaded_before_the_workers_are(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(gunicorn=under_gunicorn("--preload", "--workers", "2"))
        for transport in TRANSPORTS:
            assert connect(transport, to=server).call("message", NOTHING) == "nothing"

    def test_there_may_be_several_sockets(self, start_server: StartServer, tmp_path: Any) -> None:
        path = str(tmp_path / "site")
        server = start_server(gunicorn=under_gunicorn("--bind", f"unix:{path}", "--workers", "2"))
        answer = b""
        with socket(AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(f"GET {target('polling')} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            while data := sock.recv(65_536):
                answer += data
        assert b"200 OK" in answer
        assert b'"sid":' in answer
        assert server.running

    def test_tls_is_a_proxys_matter(self, configure: MakeConfiguration, tmp_path: Any) -> None:
        certificate = tmp_path / "site.pem"
        certificate.write_text("")
        found = configure(gunicorn=under_gunicorn("--certfile", str(certificate))).run()
        assert "does not speak TLS: let a proxy as nginx do so" in found.stdout + found.stderr
        assert found.returncode != 0

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("redis://:secret@localhost/main", "database must be a number, not 'main'"),
            ("http://:secret@localhost", "not the text 'http://localhost'."),
        ],
    )
    def test_a_mistake_in_the_settings_is_one_line(
        self, configure: MakeConfiguration, url: str, why: str
    ) -> None:
        settings = {"SOCKETIO_BROKER_URL": url}
        found = configure(gunicorn=under_gunicorn(), settings=settings).run()
        output = found.stdout + found.stderr
        assert f"{why}\n" in output
        assert "Exception in worker process" not in output
        assert "secret" not in output
        assert found.returncode != 0


def start_in(place: Path, start_server: StartServer) -> tuple[Server, Path]:
    """Start workers with their folder in a place for temporary files; return both."""
    server = start_server(gunicorn=under_gunicorn(), environment={"TMPDIR": str(place)})
    (folder,) = wait_until(lambda: list(place.glob("socketio-*")), "the workers' folder")
    wait_until(lambda: list(folder.glob("*.accepting")), "the worker to accept clients")
    return server, folder


class TestTheFolderOfTheWorkers:
    def test_is_gone_when_they_are(self, start_server: StartServer, tmp_path: Path) -> None:
        server, folder = start_in(tmp_path, start_server)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert server.stop() == 0
        assert not folder.exists()

    def test_is_gone_although_a_worker_was_killed(
        self, start_server: StartServer, tmp_path: Path
    ) -> None:
        server, folder = start_in(tmp_path, start_server)
        session = Polling(server.address)
        worker = worker_of(session)
        os.kill(worker, signal.SIGKILL)
        session.cut()
        wait_until(
            lambda: {int(mark.stem) for mark in folder.glob("*.accepting")} - {worker},
            "another worker to accept clients",
        )
        assert server.stop() == 0
        assert not folder.exists()

    def test_is_where_gunicorn_has_temporary_files_and_locked_against_systemds_cleaning(
        self, start_server: StartServer, tmp_path: Path
    ) -> None:
        start_server(gunicorn=under_gunicorn("--worker-tmp-dir", str(tmp_path)))
        (folder,) = tmp_path.glob("socketio-*")
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)

    def test_is_not_in_the_environment_of_what_handlers_start(self, site: Server) -> None:
        environment = outside(site, "list_environment").text
        assert "TEST_FOLDER" in environment
        assert "SOCKETIO_WORKERS_FOLDER" not in environment

    def test_is_made_anew_for_the_next_worker_if_it_has_gone(
        self, start_server: StartServer, tmp_path: Path
    ) -> None:
        server, folder = start_in(tmp_path, start_server)
        session = Polling(server.address)
        shutil.rmtree(folder)
        os.kill(worker_of(session), signal.SIGKILL)
        session.cut()
        wait_until(lambda: list(folder.glob("*.accepting")), "another worker to accept clients")
        assert folder.stat().st_mode & 0o777 == 0o700
        Polling(server.address).close()
