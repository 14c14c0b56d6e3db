"""The packets of a session on their way to its sockets: what may come when.

Socket.IO protocol v5, "Connection to a namespace" and "Disconnection from a namespace"; clients
speak packets as text, and are closed for what they may not say.
"""

import json
import re
from pathlib import PurePosixPath
from typing import Any

import gevent
import pytest
from gevent.event import Event

from socketio_server.dispatch.inbox import TEXT_SIZE
from socketio_server.exceptions import Reject
from socketio_server.net.deadlines import TICK
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.delivery import Delivery
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.subscriptions import Channels
from tests.fakes import MOMENT, PATIENCE, FakeClient, FakeServer, settle


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
        assert client.refusals == ["connect timeout: client joined no namespace in time"]

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
        assert client.refusals == []


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

    def test_they_are_counted(self, server: FakeServer) -> None:
        client = server.connect()
        client.send('2["message","hi"]', "35[]")

        assert server.stats.messages_in == 3  # with the one that joined the namespace


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
            pytest.param(['51-["message","hi"]', b""], id="announced without a placeholder"),
            pytest.param(
                ['51-["message",{"_placeholder":true,"num":1}]', b""], id="placeholder out of range"
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

    def test_must_come_in_time(self) -> None:
        server = make_server(attachment_timeout=MOMENT)
        client = server.connect()
        client.send('52-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]')
        client.send(b"x")
        server.loop.advance(TICK)
        assert client.closed == [CloseReason.PARSE_ERROR]
        assert client.refusals == ["packet: attachments did not arrive in time"]

    def test_of_a_client_that_has_gone_are_not_awaited(self) -> None:
        server = make_server(attachment_timeout=MOMENT)
        client = server.connect()
        client.send('51-["message",{"_placeholder":true,"num":0}]')
        client.leave()
        server.loop.advance(TICK)
        assert client.refusals == []

    def test_that_came_are_not_awaited(self) -> None:
        server = make_server(attachment_timeout=MOMENT)
        client = server.connect()
        client.send('51-["message",{"_placeholder":true,"num":0}]', b"x")
        server.loop.advance(TICK)
        assert client.closed == []


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

    def test_the_namespaces_that_the_server_took_it_out_of_are_kept_up_to_the_limit(self) -> None:
        server = make_server(max_namespaces=2)
        server.registry.on_message(namespace=re.compile("^/n.*"))(print)
        client = server.connect()
        for number in range(3):
            client.send(f"0/n{number},")
            next(
                socket
                for _, socket, _ in server.clients.values()
                if socket.namespace == f"/n{number}"
            ).disconnect()
            settle()
        client.send("1/n1,", "1/n2,")
        assert client.closed == []

        client.send("1/n0,")
        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_the_session_s_end_ends_all(self, server: FakeServer) -> None:
        client = server.connect()
        client.send("0/admin,")
        sockets = [socket for _, socket, _ in server.clients.values()]
        client.leave(CloseReason.PING_TIMEOUT)

        assert [socket.close_reason for socket in sockets] == ["ping timeout"] * 2
        assert len(server.clients) == 0


def gate(server: FakeServer, *namespaces: str) -> dict[str, Event]:
    """Have the handlers of namespaces wait until their event is set."""
    gates = {namespace: Event() for namespace in namespaces}

    def wait(request: object, socket: Any, *args: object) -> None:
        gates[socket.namespace].wait()

    for namespace in gates:
        server.registry.on_message(wait, namespace=namespace)
    return gates


def message(size: int, namespace: str = "/") -> str:
    """A packet that takes so many bytes while it waits."""
    head = "2" if namespace == "/" else f"2{namespace},"
    rest = size - TEXT_SIZE - len(head + '["message",""]')
    return f'{head}["message","{"x" * rest}"]'


def settle_all(server: FakeServer) -> None:
    """Let handlers run until all have ended; large messages get turns of their own."""
    with gevent.Timeout(PATIENCE):
        while server.dispatcher.total.bytes or server.pool.busy:
            settle()


class TestWhatWaitsForTheHandlers:
    """It is packet text, decoded when its turn has come (security, 10a)."""

    def test_is_bounded_by_bytes_from_which_on_the_client_is_not_read_from(self) -> None:
        server = make_server(max_pending_bytes=100_000)
        gates = gate(server, "/")
        client = server.connect()
        client.send(message(100))
        client.send(message(99_900))
        assert not client.transport.paused

        client.send(message(100))
        assert client.transport.paused
        assert server.dispatcher.total.bytes == 100_000

        gates["/"].set()
        settle_all(server)
        assert not client.transport.paused
        assert len(got(client)) == 3

    def test_keeps_the_client_from_being_read_until_half_of_it_is_handled(self) -> None:
        server = make_server(max_pending_bytes=100_000)
        handled = []
        gates = [Event() for _ in range(5)]

        @server.registry.on_message
        def handle(request: object, socket: object, context: object, message: str) -> None:
            handled.append(message)
            gates[len(handled) - 1].wait()

        client = server.connect()
        client.send(message(100))
        client.send(*[message(30_000)] * 4)
        for done, paused in enumerate([True, True, True, False]):
            assert client.transport.paused is paused
            gates[done].set()
            settle()
        gates[4].set()

    def test_keeps_the_client_from_being_read_as_often_as_it_is_too_much(self) -> None:
        server = make_server(max_pending_bytes=10_000)
        gates = [Event() for _ in range(6)]
        waiting = iter(gates)
        server.registry.on_message(lambda *args: next(waiting).wait() and None)
        client = server.connect()
        for first, second, third in (gates[:3], gates[3:]):
            client.send(*[message(5000)] * 2)
            assert not client.transport.paused

            client.send(message(5000))
            assert client.transport.paused

            first.set()
            settle()
            assert not client.transport.paused
            second.set()
            third.set()
            settle()

    def test_is_kept_of_no_client_that_has_little_of_it(self) -> None:
        server = make_server()
        gates = gate(server, "/")
        client = server.connect()
        client.send(message(100), message(50_000))
        assert server.dispatcher.total.bytes > 0

        gates["/"].set()
        settle_all(server)
        assert server.dispatcher.total.bytes == 0

    def test_is_that_of_all_its_namespaces_together(self) -> None:
        server = make_server(max_pending_bytes=100_000)
        gates = gate(server, "/", "/admin")
        client = server.connect()
        client.send("0/admin,")
        for namespace in gates:
            client.send(message(100, namespace), message(50_000, namespace))
        assert client.transport.paused

        gates["/admin"].set()
        with gevent.Timeout(PATIENCE):
            while client.transport.paused:
                settle()
        gates["/"].set()

    def test_is_no_question_of_its_number(self, server: FakeServer) -> None:
        gates = gate(server, "/")
        client = server.connect()
        client.send(*['2["message","x"]'] * 5000)
        assert not client.transport.paused

        gates["/"].set()
        with gevent.Timeout(PATIENCE):
            while len(got(client)) < 5000:
                settle()

    def test_does_not_keep_acknowledgements_from_coming(self, server: FakeServer) -> None:
        answers = []

        @server.registry.on("ask")
        def ask(request: object, socket: Any, context: object) -> None:
            answers.append(socket.call("question", timeout=PATIENCE))

        client = server.connect()
        client.emit("ask")
        (question,) = client.received()
        ack_id = question[1 : question.index("[")]
        client.send(*['2["message","x"]'] * 100, f'3{ack_id}["answer"]')
        assert answers == ["answer"]
        assert len(got(client)) == 100

    def test_does_not_keep_the_client_from_leaving(self, server: FakeServer) -> None:
        gates = gate(server, "/")
        client = server.connect()
        socket = client.socket
        client.send('2["message","in work"]', '2["message","waits"]', "1")
        assert not socket.connected()
        assert len(server.clients) == 1

        gates["/"].set()
        settle()
        assert socket.context["got"] == ["in work", "waits"]
        assert len(server.clients) == 0


class TestPacketsThatDoNotParse:
    """They end the session when their turn has come."""

    BAD = '2["message","no end'

    def test_end_the_session_after_what_came_before_them_was_handled(
        self, server: FakeServer
    ) -> None:
        gates = gate(server, "/")
        client = server.connect()
        context = client.socket.context
        client.send('2["message","before"]', self.BAD, '2["message","after"]')
        assert client.closed == []

        gates["/"].set()
        settle()
        assert client.closed == [CloseReason.PARSE_ERROR]
        assert client.refusals == ["packet: malformed JSON"]
        assert context["got"] == ["before"]

    def test_end_the_session_and_nothing_behind_them_waits_any_more(
        self, server: FakeServer
    ) -> None:
        gates = gate(server, "/")
        client = server.connect()
        client.send('2["message","before"]', self.BAD, message(50_000))
        assert server.dispatcher.total.bytes > 50_000

        gates["/"].set()
        settle()
        assert server.dispatcher.total.bytes == 0

    def test_end_the_session_though_the_client_has_left_meanwhile(self, server: FakeServer) -> None:
        gates = gate(server, "/")
        client = server.connect()
        context = client.socket.context
        client.send('2["message","before"]', self.BAD, '2["message","after"]', "1")
        gates["/"].set()
        settle()

        assert context["got"] == ["before"]
        assert client.closed == [CloseReason.PARSE_ERROR]
        assert len(server.clients) == 0

    def test_as_answers_that_somebody_waits_for_end_the_session(self, server: FakeServer) -> None:
        raised = []

        @server.registry.on("ask")
        def ask(request: object, socket: Any, context: object) -> None:
            try:
                socket.call("question", timeout=PATIENCE)
            except TimeoutError as error:
                raised.append(error)

        client = server.connect()
        client.emit("ask")
        (question,) = client.received()
        ack_id = question[1 : question.index("[")]
        client.send(f"3{ack_id}[no")
        assert len(raised) == 1
        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_as_answers_for_a_callback_end_the_session(self, server: FakeServer) -> None:
        answers: list[object] = []

        @server.registry.on("ask")
        def ask(request: object, socket: Any, context: object) -> None:
            socket.emit("question", callback=answers.append)

        client = server.connect()
        client.emit("ask")
        (question,) = client.received()
        ack_id = question[1 : question.index("[")]
        client.send(f"3{ack_id}[no", '2["message","after"]')
        assert answers == []
        assert client.closed == [CloseReason.PARSE_ERROR]

    def test_as_answers_that_nobody_waits_for_are_not_looked_at(self, client: FakeClient) -> None:
        client.send("35[no")
        assert client.closed == []


class TestWhatWaitsForTheHandlersOfAllClients:
    """It is bounded as well; then the client goes that holds most."""

    def test_the_client_that_holds_most_is_closed_and_what_it_sent_dropped(self) -> None:
        server = make_server(max_pending_total=200_000)
        gates = gate(server, "/")
        clients = [server.connect() for _ in range(3)]
        for client in clients:
            client.send(message(100))
        for client, size in zip(clients, (50_000, 90_000, 50_000), strict=True):
            client.send(message(size))
        assert [client.closed for client in clients] == [[], [], []]

        clients[0].send(message(20_000))
        assert [client.closed for client in clients] == [[], [CloseReason.TRANSPORT_ERROR], []]
        assert clients[1].refusals == [
            "pending: too many bytes wait for handlers, or for their rest"
        ]
        assert server.dispatcher.total.bytes < 125_000

        gates["/"].set()
        settle_all(server)
        assert [len(got(client)) for client in clients[::2]] == [3, 2]
        assert len(server.clients) == 2

    def test_what_is_yet_to_be_complete_counts_as_well(self) -> None:
        server = make_server(max_pending_total=200_000)
        clients = [server.connect() for _ in range(3)]
        clients[0].session.bytes_held(90_000)  # of a message, as its transport says
        clients[1].send("51-" + message(60_000)[1:])
        assert server.dispatcher.total.bytes > 150_000
        assert [client.closed for client in clients] == [[], [], []]

        clients[2].send('52-["message",{"_placeholder":true,"num":0}]', b"x" * 60_000)
        assert clients[0].closed == [CloseReason.TRANSPORT_ERROR]
        for client in clients:
            client.leave()
        settle()
        assert server.dispatcher.total.bytes == 0

    def test_so_does_auth_as_what_it_takes_once_it_is_decoded(self) -> None:
        server = make_server()
        client = server.connect(auth={"list": [[]] * 1000})
        assert server.dispatcher.total.bytes > 80_000

        client.leave()
        settle()
        assert server.dispatcher.total.bytes == 0

    def test_one_that_is_gone_already_may_lose_what_waits_too(self) -> None:
        server = make_server(max_pending_total=100_000)
        gates = gate(server, "/")
        gone, other = server.connect(), server.connect()
        context = gone.socket.context
        for client, size in ((gone, 80_000), (other, 10_000)):
            client.send(message(100), message(size))
        gone.leave()
        other.send(message(10_000))
        assert other.closed == []

        gates["/"].set()
        settle()
        assert len(context["got"]) == 1
        assert len(got(other)) == 3
        assert len(server.clients) == 1


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


class TestAfterAMemoryError:
    """Whatever raised it, the server goes on, and nobody is counted for ever."""

    def test_of_a_handler(self, server: FakeServer) -> None:
        @server.registry.on_message
        def fail(request: object, socket: Any, context: dict[str, Any], message: str) -> None:
            if len(message) > 100:
                raise MemoryError
            context["got"] = message

        client = server.connect()
        client.send(message(50_000), message(5000), '2["message","small"]')
        settle_all(server)
        assert client.socket.context["got"] == "small"
        assert server.dispatcher.room.taken == 0

    def test_while_a_packet_is_decoded(
        self, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(text: str) -> None:
            raise MemoryError

        other, client = server.connect(), server.connect()
        context = other.socket.context
        monkeypatch.setattr("socketio_server.protocol.jsoncodec._decode", fail)
        client.send(message(50_000))
        settle_all(server)
        assert client.closed == [CloseReason.PARSE_ERROR]

        monkeypatch.undo()
        other.send('2["message","small"]')
        settle()
        assert context is other.socket.context
        assert server.dispatcher.room.taken == 0
        assert len(server.clients) == 1

    def test_while_the_dispatcher_works(
        self, server: FakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*args: object) -> None:
            raise MemoryError

        client = server.connect()
        monkeypatch.setattr("socketio_server.dispatch.dispatcher.decode", fail)
        client.send(message(50_000))
        settle_all(server)
        assert "Internal error" in caplog.text
        assert server.dispatcher.room.taken == 0

        client.leave()
        settle()
        assert server.dispatcher.wait_until_idle(0)
        assert len(server.clients) == 0


class TestHandlersOfOneClient:
    def test_run_side_by_side_for_a_few_namespaces(self) -> None:
        server = make_server(max_handlers_per_client=2)
        server.registry.on_connect(lambda *args: None, namespace="/third")
        gates = gate(server, "/", "/admin", "/third")
        client = server.connect()
        client.send("0/admin,", "0/third,")
        sockets = {socket.namespace: socket for _, socket, _ in server.clients.values()}

        @server.registry.on_message(namespace="/third")
        def third(request: object, socket: object, context: dict[str, Any], m: object) -> None:
            context["third"] = m

        client.send(*[message(100, namespace) for namespace in gates])
        gates["/third"].set()
        settle()
        assert "third" not in sockets["/third"].context

        gates["/"].set()
        settle()
        assert "third" in sockets["/third"].context
        gates["/admin"].set()
        settle()


class TestJoiningAgain:
    """It waits for the last handlers of the socket that left (H1)."""

    @pytest.fixture
    def gates(self, server: FakeServer) -> dict[str, Event]:
        return gate(server, "/", "/admin")

    def test_waits_for_the_old_one_s_end(self, server: FakeServer, gates: dict[str, Event]) -> None:
        client = server.connect()
        old = client.id
        client.send('2["message","in work"]', "1", "0")
        assert client.received() == []
        assert list(server.clients) == [old]

        gates["/"].set()
        settle()
        assert client.id != old
        assert list(server.clients) == [client.id]

    def test_events_that_come_meanwhile_are_the_new_one_s(
        self, server: FakeServer, gates: dict[str, Event]
    ) -> None:
        client = server.connect()
        client.send('2["message","in work"]', "1", "0", '2["message","new"]')
        gates["/"].set()
        settle()
        assert got(client) == ["new"]

    def test_one_that_left_before_it_was_let_in_is_not_answered(self, server: FakeServer) -> None:
        go_on = Event()
        server.registry.on_connect(lambda *args: go_on.wait(), namespace="/slow")
        client = server.connect()
        client.send("0/slow,", "1/slow,", "0/slow,")
        go_on.set()
        settle()
        (answer,) = client.received()
        assert answer.startswith("0/slow,")
        assert len(server.clients) == 2

    def test_one_that_left_before_it_was_refused_is_not_told(self, server: FakeServer) -> None:
        go_on = Event()

        def refuse(*args: object) -> None:
            go_on.wait()
            raise Reject("no")

        server.registry.on_connect(refuse, namespace="/slow")
        client = server.connect()
        client.send("0/slow,", "1/slow,", "0/slow,")
        go_on.set()
        settle()
        assert client.received() == ['4/slow,{"message":"no"}']

    def test_one_that_left_before_the_old_one_s_end_leaves_nothing_that_waits(
        self, server: FakeServer, gates: dict[str, Event]
    ) -> None:
        client = server.connect()
        client.send('2["message","in work"]', "1", "0", message(50_000))
        assert server.dispatcher.total.bytes > 50_000

        client.send("1")
        assert server.dispatcher.total.bytes == 0
        gates["/"].set()
        settle()

    def test_again_and_again_makes_one_socket(
        self, server: FakeServer, gates: dict[str, Event]
    ) -> None:
        client = server.connect()
        client.send('2["message","in work"]', *["1", "0"] * 100)
        gates["/"].set()
        settle()
        assert [p[:7] for p in client.received()] == ['0{"sid"']
        assert len(server.clients) == 1
        assert server.dispatcher.total.bytes == 0

    def test_again_and_again_and_leaving_at_last_makes_none(
        self, server: FakeServer, gates: dict[str, Event]
    ) -> None:
        client = server.connect()
        client.send('2["message","in work"]', *["1", "0"] * 100, "1")
        gates["/"].set()
        settle()
        assert client.received() == []
        assert len(server.clients) == 0
        assert server.dispatcher.wait_until_idle(0)

    def test_is_no_other_namespace_for_the_limit(self) -> None:
        server = make_server(max_namespaces=1)
        gates = gate(server, "/")
        client = server.connect()
        client.send('2["message","in work"]', "1", "0")
        gates["/"].set()
        settle()
        assert client.socket.connected()

    def test_sockets_that_end_count_as_namespaces(self) -> None:
        server = make_server(max_namespaces=1)
        gates = gate(server, "/")
        client = server.connect()
        client.send('2["message","in work"]', "1", "0/admin,")
        assert client.received() == ['4/admin,{"message":"Invalid namespace"}']

        gates["/"].set()
        settle()
        client.send("0/admin,")
        assert len(server.clients) == 1


class TestAuth:
    def test_is_bounded(self) -> None:
        server = make_server(max_auth_size=100)
        client = server.open()
        client.send("0" + json.dumps({"token": "x" * 100}))
        assert client.received() == ['4{"message":"Auth is too large"}']
        assert client.refusals == ["namespace: auth is too large"]

        auth = json.dumps({"token": "x" * 87})
        assert len(auth) == 100
        client.send(f"0{auth}")
        assert client.socket.connected()

    def test_of_all_namespaces_together(self) -> None:
        server = make_server(max_auth_size=100)
        client = server.connect(auth={"token": "x" * 50})
        auth = json.dumps({"token": "x" * 50})
        client.send(f"0/admin,{auth}")
        assert client.received() == ['4/admin,{"message":"Auth is too large"}']

        client.send("1")
        client.send(f"0/admin,{auth}")
        assert namespaces(server) == ["/admin"]


class TestTheEndOfASession:
    def test_a_member_whose_end_raises_keeps_no_other_from_ending(
        self, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended: list[str] = []
        for namespace in ("/", "/admin"):
            server.registry.on_disconnect(namespace=namespace)(
                lambda request, socket, context: ended.append(socket.namespace)
            )
        client = server.connect()
        client.send("0/admin,")
        close = Delivery.close

        def close_or_raise(delivery: Delivery, *args: Any) -> None:
            if delivery.namespace == "/":
                raise RuntimeError("on purpose")
            close(delivery, *args)

        monkeypatch.setattr(Delivery, "close", close_or_raise)
        with pytest.raises(RuntimeError, match="on purpose"):
            client.leave()
        settle()
        assert ended == ["/admin"]
