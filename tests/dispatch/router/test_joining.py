"""Who may join which namespace, and until when.

Socket.IO protocol v5, "Connection to a namespace".
"""

import re

import pytest

from socketio_server.net.deadlines import TICK
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from tests.dispatch.router.steps import make_server, namespaces
from tests.fakes.engine import MOMENT
from tests.fakes.server import FakeClient, FakeServer


class TestJoining:
    def test_a_client_joins_the_main_namespace(self, server: FakeServer) -> None:
        client = server.open()
        client.send("0")

        assert client.received() == [f'0{{"sid":"{client.id}"}}']
        assert namespaces(server) == ["/"]

    def test_a_client_joins_another_namespace(self, server: FakeServer) -> None:
        client = server.open()
        client.send("0/admin,")

        (answer,) = client.received()
        assert answer.startswith('0/admin,{"sid":"')
        assert namespaces(server) == ["/admin"]

    def test_a_client_may_be_in_several_namespaces(self, server: FakeServer) -> None:
        client = server.connect()
        client.send("0/admin,")

        assert namespaces(server) == ["/", "/admin"]
        ids = list(server.clients)
        assert ids[0] != ids[1]

    def test_a_client_may_bring_its_credentials(self, server: FakeServer) -> None:
        client = server.open()
        client.send('0{"token":"abc"}', '0/admin,{"token":"def"}')

        sockets = [socket for _, socket, _ in server.clients.values()]
        assert [socket.auth for socket in sockets] == [{"token": "abc"}, {"token": "def"}]

    @pytest.mark.parametrize("namespace", ["/unknown", "/admin/sub", "/adm"])
    def test_an_unknown_one_is_refused_and_the_session_goes_on(
        self, server: FakeServer, namespace: str
    ) -> None:
        client = server.open()
        client.send(f"0{namespace},")

        assert client.received() == [f'4{namespace},{{"message":"Invalid namespace"}}']
        client.send("0")
        assert client.socket.connected()

    def test_too_many_are_refused(self) -> None:
        server = make_server(max_namespaces=1)
        client = server.connect()
        client.send("0/admin,")

        assert client.received() == ['4/admin,{"message":"Invalid namespace"}']
        assert client.socket.connected()

    @pytest.mark.parametrize("name", ["/news\n", "/\x00", "/a\u2028b", "/\x1b[31m"])
    def test_one_whose_name_can_not_be_printed_is_refused_whoever_it_would_be_for(
        self, server: FakeServer, name: str
    ) -> None:
        server.registry.on_connect(lambda *args: None, namespace=re.compile("/.*", re.DOTALL))
        client = server.open()
        client.send(f"0{name},")

        assert client.received() == [f'4{name},{{"message":"Invalid namespace"}}']
        (refusal,) = client.refusals
        assert "characters that can't be printed" in refusal
        assert name not in refusal

    def test_one_with_a_number_sign_is_refused_with_a_broker(self) -> None:
        """In Redis its name would be that of a channel in another namespace."""
        server = FakeServer(Options(broker_url="redis://localhost"))
        server.registry.on_connect(lambda *args: None, namespace=re.compile("/.*"))
        client = server.open()
        client.send("0/a#z,")
        client.send("0/a,")

        refused, joined = client.received()
        assert refused == '4/a#z,{"message":"Invalid namespace"}'
        assert joined.startswith("0/a,")
        assert "has a '#'" in client.refusals[0]

    def test_one_with_a_number_sign_is_a_name_like_others_without_a_broker(
        self, server: FakeServer
    ) -> None:
        server.registry.on_connect(lambda *args: None, namespace=re.compile("/.*"))
        client = server.open()
        client.send("0/a#z,")

        assert client.received()[0].startswith("0/a#z,")

    def test_one_with_a_long_name_is_refused_whoever_it_would_be_for(
        self, server: FakeServer
    ) -> None:
        """Clients choose the names, and patterns are tried on them and remember it."""
        server.registry.on_connect(lambda *args: None, namespace=re.compile("/.*"))
        client = server.open()
        fits, too_long = "/" + "n" * 127, "/" + "n" * 128
        client.send(f"0{too_long},")
        client.send(f"0{fits},")

        refused, accepted = client.received()
        assert refused == f'4{too_long},{{"message":"Invalid namespace"}}'
        assert accepted.startswith(f"0{fits},")
        assert namespaces(server) == [fits]

    def test_those_that_are_refused_are_counted(self, server: FakeServer) -> None:
        client = server.open()
        client.send("0/unknown,")

        assert client.refusals == [
            "namespace: namespace '/unknown': no handler is registered for it"
        ]

    @pytest.mark.parametrize("packet", ["0", '0{"token":"again"}'])
    def test_joining_twice_closes_the_session(self, client: FakeClient, packet: str) -> None:
        client.send(packet)

        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_after_leaving_it_may_join_again(self, client: FakeClient) -> None:
        first = client.id
        client.send("1", "0")

        assert client.id != first
        assert client.socket.connected()


class TestTheConnectTimeout:
    def test_a_client_that_joins_nothing_is_closed(self) -> None:
        server = make_server(connect_timeout=MOMENT)
        client = server.open()
        server.loop.advance(TICK)

        assert client.closed == [CloseReason.FORCED_CLOSE]
        assert client.refusals == [
            "connect timeout: client joined no namespace in time (SOCKETIO_CONNECT_TIMEOUT)"
        ]

    def test_one_that_joined_is_left_alone(self) -> None:
        server = make_server(connect_timeout=MOMENT)
        client = server.connect()
        server.loop.advance(TICK)

        assert client.closed == []

    def test_one_that_was_refused_is_not_left_alone(self) -> None:
        """It asked for a namespace that there is not, and is in none."""
        server = make_server(connect_timeout=MOMENT)
        client = server.open()
        client.send("0/unknown,")
        server.loop.advance(TICK)

        assert client.closed == [CloseReason.FORCED_CLOSE]

    def test_nor_is_one_that_a_handler_refused(self) -> None:
        server = make_server(connect_timeout=MOMENT)
        server.registry.on_connect(lambda *args: False)
        client = server.open()
        client.send("0")
        server.loop.advance(TICK)

        assert client.closed == [CloseReason.FORCED_CLOSE]

    def test_one_that_has_gone_is_forgotten(self) -> None:
        server = make_server(connect_timeout=MOMENT)
        client = server.open()
        client.leave()
        server.loop.advance(TICK)

        assert client.closed == [CloseReason.TRANSPORT_CLOSE]
        assert client.refusals == []
