"""The packets of a session on their way to its sockets: what may come when.

Socket.IO protocol v5, "Connection to a namespace" and "Disconnection from a namespace"; clients
speak packets as text, and are closed for what they may not say.
"""

import re
from typing import Any

import pytest
from gevent.event import Event

from socketio_server.net.deadlines import TICK
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from tests.fakes import MOMENT, FakeClient, FakeServer, settle


def make_server(**options: Any) -> FakeServer:
    """A server with an ``/admin`` namespace, whose handlers say in the context what they got."""
    server = FakeServer(Options(**options))

    def note(request: object, socket: Any, context: dict[str, Any], *args: object) -> None:
        context.setdefault("got", []).extend(args)

    for namespace in ("/", "/admin"):
        server.registry.on_connect(namespace=namespace)(note)
        server.registry.on_message(namespace=namespace)(note)
    return server


@pytest.fixture
def server() -> FakeServer:
    return make_server()


@pytest.fixture
def client(server: FakeServer) -> FakeClient:
    return server.connect()


def got(client: FakeClient) -> list[object]:
    """The messages that reached the handlers of the main namespace."""
    found: list[object] = client.socket.context.get("got", [])
    return found


def namespaces(server: FakeServer) -> list[str]:
    """The namespaces of all sockets."""
    return [socket.namespace for _, socket, _ in server.clients.values()]


class TestJoining:
    def test_a_client_joins_the_main_namespace(self, server: FakeServer) -> None:
        client = server.open()
        client.send("0")

        assert client.received() == [f'0{{"sid":"{client.id}"}}']
        assert namespaces(server) == ["/"]

    def test_it_joins_another_one(self, server: FakeServer) -> None:
        client = server.open()
        client.send("0/admin,")

        (answer,) = client.received()
        assert answer.startswith('0/admin,{"sid":"')
        assert namespaces(server) == ["/admin"]

    def test_it_may_be_in_several(self, server: FakeServer) -> None:
        client = server.connect()
        client.send("0/admin,")

        assert namespaces(server) == ["/", "/admin"]
        ids = list(server.clients)
        assert ids[0] != ids[1]

    def test_it_may_bring_its_credentials(self, server: FakeServer) -> None:
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

    def test_one_with_a_long_name_is_refused_whoever_it_would_be_for(
        self, server: FakeServer
    ) -> None:
        """Clients choose the names, and patterns are tried on them and remember it."""
        server.registry.on_connect(lambda *args: None, namespace=re.compile("/."))
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

        assert client.refusals == ["namespace: an invalid namespace, or too many of them"]

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

    def test_one_that_has_gone_is_forgotten(self) -> None:
        server = make_server(connect_timeout=MOMENT)
        client = server.open()
        client.leave()
        server.loop.advance(TICK)

        assert client.closed == [CloseReason.TRANSPORT_CLOSE]


class TestPackets:
    def test_they_reach_the_socket_of_their_namespace(self, server: FakeServer) -> None:
        client = server.connect()
        client.send("0/admin,", '2["message","main"]', '2/admin,["message","other"]')

        contexts = [context for _, _, context in server.clients.values()]
        assert [context["got"] for context in contexts] == [["main"], ["other"]]

    @pytest.mark.parametrize(
        "packet",
        [
            pytest.param('2["message","too early"]', id="event"),
            pytest.param('20["message"]', id="event with an id"),
            pytest.param("30[]", id="acknowledgement"),
            pytest.param("1", id="disconnect"),
        ],
    )
    def test_any_before_the_client_joined_closes_the_session(
        self, server: FakeServer, packet: str
    ) -> None:
        client = server.open()
        client.send(packet)

        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_any_to_a_namespace_that_it_did_not_join_closes_too(self, client: FakeClient) -> None:
        client.send('2/admin,["message","hi"]')

        assert client.closed == [CloseReason.PARSE_ERROR]

    @pytest.mark.parametrize(
        "packet",
        [
            pytest.param("", id="empty"),
            pytest.param("9", id="unknown type"),
            pytest.param("2", id="event without data"),
            pytest.param('2{"a":1}', id="event that is no array"),
            pytest.param("2[1]", id="event without a name"),
            pytest.param('2["connect"]', id="reserved name"),
            pytest.param('2["disconnect"]', id="another reserved name"),
            pytest.param('2["message"', id="no JSON"),
            pytest.param('4{"message":"no"}', id="refusal by the client"),
            pytest.param("x" * 100, id="noise"),
        ],
    )
    def test_malformed_ones_close_the_session(self, client: FakeClient, packet: str) -> None:
        client.send(packet)

        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_one_client_s_fault_is_nobody_else_s(self, server: FakeServer) -> None:
        bad, good = server.connect(), server.connect()
        bad.send("noise")
        good.emit("message", "hi")

        assert got(good) == ["hi"]
        assert good.closed == []


class TestAttachments:
    def test_a_packet_waits_for_its_own(self, client: FakeClient) -> None:
        client.send('51-["message",{"_placeholder":true,"num":0}]')
        assert got(client) == []

        client.send(b"\x01\x02")
        assert got(client) == [b"\x01\x02"]

    def test_several_come_in_order(self, client: FakeClient) -> None:
        client.send(
            '52-["message",[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]]',
            b"first",
            b"second",
            '2["message","next"]',
        )

        assert got(client) == [[b"second", b"first"], "next"]

    @pytest.mark.parametrize(
        "packets",
        [
            pytest.param([b"\x01"], id="one that belongs to nothing"),
            pytest.param(
                ['51-["message",{"_placeholder":true,"num":0}]', '2["message","hi"]'],
                id="text while one is due",
            ),
            pytest.param(['51-["message","hi"]'], id="announced without a placeholder"),
            pytest.param(
                ['51-["message",{"_placeholder":true,"num":1}]'], id="placeholder out of range"
            ),
            pytest.param(['511-["message"]'], id="too many"),
        ],
    )
    def test_what_does_not_fit_closes_the_session(
        self, client: FakeClient, packets: list[str | bytes]
    ) -> None:
        client.send(*packets)

        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_together_they_may_not_be_larger_than_a_message(self) -> None:
        client = make_server(max_payload=100).connect()
        placeholders = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'
        client.send(f'52-["message",{placeholders}]', b"x" * 60)
        assert client.closed == []

        client.send(b"x" * 60)
        assert client.closed == [CloseReason.PARSE_ERROR]


class TestLeaving:
    def test_a_client_leaves_a_namespace_and_keeps_the_others(self, server: FakeServer) -> None:
        client = server.connect()
        client.send("0/admin,", "1/admin,")

        assert namespaces(server) == ["/"]
        assert client.closed == []
        client.emit("message", "still here")
        assert got(client) == ["still here"]

    def test_its_reason_is_told(self, client: FakeClient) -> None:
        socket = client.socket
        client.send("1")

        assert socket.close_reason == "client namespace disconnect"
        assert not socket.connected()

    def test_after_that_its_packets_close_the_session(self, client: FakeClient) -> None:
        client.send("1", '2["message","hi"]')

        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_packets_that_were_on_their_way_when_the_server_said_goodbye_are_dropped(
        self, client: FakeClient
    ) -> None:
        context = client.socket.context
        client.socket.disconnect()
        client.send('2["message","too late"]', "30[]", "1")

        assert context.get("got", []) == []
        assert client.closed == []

    def test_once_it_has_joined_again_they_are_not(self, client: FakeClient) -> None:
        client.socket.disconnect()
        client.send("0", "1")
        assert client.closed == []

        client.send('2["message","after its own leaving"]')
        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_the_session_s_end_ends_all(self, server: FakeServer) -> None:
        client = server.connect()
        client.send("0/admin,")
        sockets = [socket for _, socket, _ in server.clients.values()]
        client.leave(CloseReason.PING_TIMEOUT)

        assert [socket.close_reason for socket in sockets] == ["ping timeout"] * 2
        assert len(server.clients) == 0


class TestBackpressure:
    """A client whose handlers are behind is not read from."""

    def test_it_is_paused_and_resumed(self) -> None:
        server = make_server(max_pending_events=4)
        go_on = Event()

        @server.registry.on_message
        def message(*args: object) -> None:
            go_on.wait()

        client = server.connect()
        client.emit("message", "in work")
        client.send(*['2["message","waits"]'] * 3)
        assert not client.transport.paused

        client.emit("message", "one too many")
        assert client.transport.paused

        go_on.set()
        settle()
        assert not client.transport.paused
        assert len(got(client)) == 5

    def test_as_long_as_any_of_its_sockets_is_behind(self) -> None:
        server = make_server(max_pending_events=2)
        gates = {"/": Event(), "/admin": Event()}

        for namespace in gates:

            @server.registry.on_message(namespace=namespace)
            def message(request: object, socket: Any, context: object, message: object) -> None:
                gates[socket.namespace].wait()

        client = server.connect()
        client.send("0/admin,")
        for head in ("2", "2/admin,"):
            client.send(*[head + '["message","hi"]'] * 3)
        assert client.transport.paused

        gates["/"].set()
        settle()
        assert client.transport.paused

        gates["/admin"].set()
        settle()
        assert not client.transport.paused
