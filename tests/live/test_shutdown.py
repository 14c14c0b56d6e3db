"""The end of the server: goodbye to everyone, and their last events (sections 1 and 6)."""

import signal
from contextlib import suppress

import pytest

from tests.live.test_ends import check_end, join
from tests.live.test_reload import is_running
from tests.support.client import Client
from tests.support.http import Http
from tests.support.redis import RedisServer
from tests.support.server import Server
from tests.support.tools import PATIENCE, free_port, wait_until
from tests.support.types import Connect, StartServer
from tests.support.views import outside
from tests.support.wire import TRANSPORTS, OverWebSocket, TransportName, target


class TestShutdown:
    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
    def test_every_client_hears_of_it_and_ends_before_the_process_exits_with_0(
        self, start_server: StartServer, connect: Connect, signum: signal.Signals
    ) -> None:
        server = start_server()
        clients = [join(connect(transport, to=server)) for transport in TRANSPORTS]
        polling, websocket, _ = clients
        server.send_signal(signum)
        polling.wait_for_close()
        assert isinstance(websocket.carrier, OverWebSocket)
        assert websocket.carrier.websocket.wait_for_close().code == 1001
        assert server.wait() == 0
        for client in clients:
            check_end(server, client, "server shutting down")

    def test_is_in_order_from_the_banner_on(self, start_server: StartServer) -> None:
        assert start_server().stop() == 0

    def test_handlers_that_still_run_are_waited_for_and_nobody_new_gets_in(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 600})
        client = join(connect(to=server))
        client.ask_later("message", {"do": "wait", "gate": "work"})
        server.journal.wait_for("waiting", client.id)
        with Http(server.address) as http:
            assert client.id in http.get("/state/").json["clients"]
            with Http(server.address) as other:
                other.get("/state/")
                server.send_signal(signal.SIGTERM)
                client.wait_for_close()
                assert "on_disconnect" not in server.journal.events(client.id)
                assert other.get(target("polling")).status == 503
            assert http.post("/outside/open_gate/", '["work"]').text == "done"
        assert server.wait() == 0
        check_end(server, client, "server shutting down")

    def test_nobody_new_is_left_waiting_meanwhile(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 600})
        client = connect(to=server)
        client.ask_later("message", {"do": "wait", "gate": "never opened"})
        server.journal.wait_for("waiting", client.id)
        server.send_signal(signal.SIGTERM)
        client.wait_for_close()
        with suppress(ConnectionError), Http(server.address) as http:
            http.send_request("GET", target("polling"))
            assert http.read_response(timeout=5).status == 503

    def test_handlers_that_never_end_are_not_waited_for_for_ever(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 0.5})
        client = connect(to=server)
        client.ask_later("message", {"do": "wait", "gate": "never opened"})
        server.journal.wait_for("waiting", client.id)
        assert server.stop() == 1
        assert "SOCKETIO_DRAIN_TIMEOUT (0.5 s) is over" in server.output

    def test_a_second_signal_ends_the_process_at_once(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 600})
        client = connect(to=server)
        client.ask_later("message", {"do": "wait", "gate": "never opened"})
        server.journal.wait_for("waiting", client.id)
        server.send_signal(signal.SIGTERM)
        client.wait_for_close()

        def ended_by_another_signal() -> bool:
            server.send_signal(signal.SIGTERM)
            return not server.running

        wait_until(ended_by_another_signal, "the process to end")


class TestQueuedMessages:
    """Messages that wait for clients are delivered, as fast as each client takes them."""

    @pytest.mark.parametrize("transport", TRANSPORTS)
    def test_all_arrive_before_the_goodbye(
        self, start_server: StartServer, connect: Connect, transport: TransportName
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 600})
        client = connect(transport, to=server)
        messages = queue_messages(server)
        server.send_signal(signal.SIGTERM)
        wait_until_refused(server)
        assert client.next_messages(len(messages)) == messages
        client.wait_for_close()
        assert server.wait() == 0

    def test_a_client_that_stalls_is_not_waited_for(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(
            settings={"SOCKETIO_DRAIN_TIMEOUT": 600, "SOCKETIO_STALL_TIMEOUT": 0.5}
        )
        connect(to=server)
        queue_messages(server)
        assert server.stop() == 0

    def test_a_client_that_polls_no_more_is_not_waited_for(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(
            settings={"SOCKETIO_DRAIN_TIMEOUT": 600, "SOCKETIO_CLOSE_TIMEOUT": 0.5}
        )
        connect("polling", to=server)
        queue_messages(server)
        assert server.stop() == 0

    def test_a_slow_client_is_abandoned_when_the_time_is_over(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(
            settings={"SOCKETIO_DRAIN_TIMEOUT": 0.5, "SOCKETIO_STALL_TIMEOUT": 600}
        )
        connect(to=server)
        queue_messages(server)
        assert server.stop() == 0
        assert "SOCKETIO_DRAIN_TIMEOUT (0.5 s) is over" in server.output


class TestHttpRequests:
    """Requests that are under way are finished, like handlers."""

    def test_one_is_answered_before_the_process_exits_with_0(
        self, start_server: StartServer
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 600})
        with Http(server.address) as http, Http(server.address) as other:
            other.get("/state/")
            http.send_request("POST", "/outside/wait/", body='["work"]')
            server.journal.wait_for("waiting")
            server.send_signal(signal.SIGTERM)
            wait_until_refused(server)
            other.post("/outside/open_gate/", '["work"]')
            response = http.read_response()
        assert response.text == "done"
        assert response.headers["connection"] == "close"
        assert server.wait() == 0

    def test_a_stream_goes_on_to_its_end(self, start_server: StartServer) -> None:
        size = 20_000_000
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 600})
        with Http(server.address, receive_buffer=4096) as http:
            http.send_request("GET", f"/download/{size}/?pieces")
            assert http.has_response(PATIENCE)
            server.send_signal(signal.SIGTERM)
            wait_until_refused(server)
            assert len(http.read_response().body) == size
        assert server.wait() == 0

    def test_connections_that_are_kept_alive_end_with_the_next_answer(
        self, start_server: StartServer
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 600})
        with (
            Http(server.address) as waiting,
            Http(server.address) as http,
            Http(server.address) as last,
        ):
            assert "connection" not in http.get("/state/").headers
            last.get("/state/")
            waiting.send_request("POST", "/outside/wait/", body='["work"]')
            server.journal.wait_for("waiting")
            server.send_signal(signal.SIGTERM)
            wait_until_refused(server)
            assert http.get("/state/").headers["connection"] == "close"
            assert http.read_to_the_end() == b""
            last.post("/outside/open_gate/", '["work"]')
        assert server.wait() == 0

    def test_one_that_takes_too_long_is_abandoned(self, start_server: StartServer) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 0.5})
        with Http(server.address) as http:
            http.send_request("POST", "/outside/wait/", body='["never opened"]')
            server.journal.wait_for("waiting")
            assert server.stop() == 1
        assert "SOCKETIO_DRAIN_TIMEOUT (0.5 s) is over" in server.output

    def test_an_asynchronous_one_that_takes_too_long_is_abandoned(
        self, start_server: StartServer, database: dict[str, str]
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 0.5}, environment=database)
        with Http(server.address) as http:
            http.send_request("GET", "/asyncio/awaiting/?gate=unopened")
            server.journal.wait_for("waiting")
            assert server.stop() == 1
        assert "SOCKETIO_DRAIN_TIMEOUT (0.5 s) is over" in server.output


def spin(client: Client, server: Server) -> None:
    """Have a client's handler keep the loop for good."""
    client.ask_later("message", {"do": "spin"})
    server.journal.wait_for("spinning", client.id)


class TestWhatNeverLetsTheLoopTakeItsTurn:
    def test_a_handler_is_ended_and_shown_when_the_time_is_over(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 0.5})
        spin(connect(to=server), server)
        assert server.stop() == 1
        assert "in spin" in server.output

    def test_a_view_is_ended_and_shown_when_the_time_is_over(
        self, start_server: StartServer
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 0.5})
        with Http(server.address) as http:
            http.send_request("POST", "/outside/spin/", body="[]")
            server.journal.wait_for("spinning")
            assert server.stop() == 1
        assert "in spin" in server.output

    def test_a_second_signal_ends_it_at_once(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(settings={"SOCKETIO_DRAIN_TIMEOUT": 600})
        spin(connect(to=server), server)

        def ended_by_another_signal() -> bool:
            server.send_signal(signal.SIGINT)
            return not server.running

        wait_until(ended_by_another_signal, "the process to end")
        assert server.wait() == 1

    def test_the_reloader_s_child_is_ended_just_so(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(
            arguments=[f"127.0.0.1:{free_port()}"], settings={"SOCKETIO_DRAIN_TIMEOUT": 0.5}
        )
        spin(connect(to=server), server)
        assert server.stop() == 1
        wait_until(lambda: not is_running(server.pid), "both processes to end")


class TestForkedProcesses:
    """What a project forks is no second server."""

    def test_one_does_not_keep_the_port(self, start_server: StartServer) -> None:
        server = start_server()
        self.end_but_for_a_forked_process(server)
        with pytest.raises(ConnectionRefusedError):
            Http(server.address)
        assert is_running(server.pid)  # the forked process is of its group

    def test_one_keeps_no_connections_to_the_broker(
        self, own_redis: RedisServer, start_server: StartServer
    ) -> None:
        server = start_server(settings={"SOCKETIO_BROKER_URL": own_redis.url})
        wait_until(lambda: own_redis.servers() == 1, "Redis to know the server")
        self.end_but_for_a_forked_process(server)
        wait_until(lambda: not own_redis.servers(), "Redis to know that it has ended")
        assert is_running(server.pid)

    def test_one_does_not_read_what_clients_send(
        self, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server()
        client = connect(to=server)
        outside(server, "run_forked", "never opened")
        server.journal.wait_for("waiting")  # from now on it would
        process = server.journal.entries(client.id)[0].process
        for _ in range(100):
            assert client.call("message", {"do": "nothing"}) == "nothing"
        assert {e.process for e in server.journal.entries(client.id)} == {process}

    def test_one_logs_its_lines_itself(self, start_server: StartServer) -> None:
        server = start_server()
        outside(server, "log_forked", "a line of a forked process")
        server.wait_for_output("a line of a forked process")
        server.stop()
        assert server.output.count("a line of a forked process") == 1

    def test_the_ways_that_work_are_those_of_the_documentation(
        self, start_server: StartServer
    ) -> None:
        server = start_server()
        assert outside(server, "compute_in_processes").text == "done"
        assert server.stop() == 0

    def end_but_for_a_forked_process(self, server: Server) -> None:
        """Kill a server that has forked a process, which goes on."""
        outside(server, "run_forked", "never opened")
        server.journal.wait_for("waiting")
        server.send_signal(signal.SIGKILL)
        wait_until(lambda: not server.running, "the server to end")


def queue_messages(server: Server) -> list[str]:
    """Queue more messages for every client than the kernel takes; return them."""
    messages = [letter * 900_000 for letter in "abcde"]
    for message in messages:
        outside(server, "broadcast", message)
    return messages


def wait_until_refused(server: Server) -> None:
    """Wait until nobody new gets in."""

    def is_refused() -> bool:
        try:
            Http(server.address).close()
        except ConnectionError:
            return True
        return False

    wait_until(is_refused, "the server to refuse connections")
