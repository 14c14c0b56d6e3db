"""Clients of Socket.IO protocol v4."""

from pathlib import PurePosixPath

from socketio_server.exceptions import Reject
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.subscriptions import Channels
from tests.dispatch.router.steps import namespaces
from tests.fakes.hub import settle
from tests.fakes.server import FakeServer


class TestClientsOfSocketIO4:
    """They are in the main namespace without asking for it."""

    def test_join_the_main_namespace_with_their_session(self, server: FakeServer) -> None:
        client = server.open(revision=3)
        settle()

        assert client.received() == ["0"]
        assert namespaces(server) == ["/"]

    def test_may_ask_for_it_all_the_same(self, server: FakeServer) -> None:
        client = server.open(revision=3)
        client.send("0", "0")

        assert client.received() == ["0"]
        assert client.closed == []
        assert namespaces(server) == ["/"]

    def test_join_other_namespaces_once(self, server: FakeServer) -> None:
        client = server.open(revision=3)
        client.send("0/admin")
        assert client.received() == ["0", "0/admin,"]
        assert namespaces(server) == ["/", "/admin"]

        client.send("0/admin")
        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_learn_why_they_are_refused(self, server: FakeServer) -> None:
        client = server.open(revision=3)
        settle()
        client.send("0/unknown")

        assert client.received() == ["0", '4/unknown,"Invalid namespace"']

    def test_are_told_with_the_types_that_the_project_s_encoder_knows(self) -> None:
        clients: Clients[Socket] = Clients(Channels())
        clients.encode_with(str)
        server = FakeServer(clients=clients)

        @server.registry.on_connect
        def refuse(request: object, socket: object, context: object) -> None:
            raise Reject("no", PurePosixPath("/where"))

        client = server.open(revision=3)
        settle()

        assert client.received() == ['4"/where"']
