"""The end of the server: goodbye to everyone, and their last events (sections 1 and 6)."""

import signal
from contextlib import suppress

import pytest

from tests.live.test_ends import check_end, join
from tests.support.http import Http
from tests.support.tools import wait_until
from tests.support.types import Connect, StartServer
from tests.support.wire import TRANSPORTS, OverWebSocket, target


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
            server.send_signal(signal.SIGTERM)
            client.wait_for_close()
            assert "on_disconnect" not in server.journal.events(client.id)
            assert http.get(target("polling")).status == 503
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
        assert server.stop() == 0

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
