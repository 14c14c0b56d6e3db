"""Joining a namespace whose last socket has not ended yet."""

import pytest
from gevent.event import Event

from socketio_server.exceptions import Reject
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.socket import Socket
from tests.dispatch.router.steps import gate, got, make_server, message, settle_all
from tests.fakes.hub import settle
from tests.fakes.server import FakeServer


class TestJoiningTwice:
    """The official client says nothing of it if it leaves before it is let in. If it asks again
    then, it has left."""

    def test_before_the_first_answer_gets_one_answer(self, server: FakeServer) -> None:
        go_on = Event()
        ended: list[object] = []

        def connect(request: object, socket: Socket, context: object) -> None:
            go_on.wait()
            socket.send("welcome")

        server.registry.on_connect(connect, namespace="/slow")
        server.registry.on_disconnect(namespace="/slow")(
            lambda request, socket, context: ended.append(socket.close_reason)
        )
        client = server.connect()
        client.send("0/slow,", '0/slow,{"token":"another"}', '2/slow,["message","new"]')
        assert client.received() == []
        go_on.set()
        settle()
        answer, welcome = client.received()
        assert answer.startswith('0/slow,{"sid"')
        assert welcome == '2/slow,["message","welcome"]'
        assert ended == ["client namespace disconnect"]
        (joined,) = (s for _, s, _ in server.clients.values() if s.namespace == "/slow")
        assert joined.id in answer
        assert joined.auth == {"token": "another"}
        assert client.closed == []

    def test_before_the_first_refusal_gets_one_refusal(self, server: FakeServer) -> None:
        go_on = Event()

        def refuse(*args: object) -> None:
            go_on.wait()
            raise Reject("no")

        server.registry.on_connect(refuse, namespace="/slow")
        client = server.connect()
        client.send("0/slow,", "0/slow,")
        go_on.set()
        settle()
        assert client.received() == ['4/slow,{"message":"no"}']

    def test_again_and_again_makes_one_socket(self, server: FakeServer) -> None:
        go_on = Event()
        joined: list[Socket] = []

        def connect(request: object, socket: Socket, context: object) -> None:
            joined.append(socket)
            go_on.wait()

        server.registry.on_connect(connect, namespace="/slow")
        client = server.connect()
        client.send(*["0/slow,"] * 100)
        go_on.set()
        settle()
        assert [p[:13] for p in client.received()] == ['0/slow,{"sid"']
        assert len(joined) == 2
        assert server.dispatcher.total.bytes == client.router.waiting_bytes == 0

    def test_after_the_answer_closes_the_session(self, server: FakeServer) -> None:
        client = server.connect()
        client.send("0")
        assert client.closed == [CloseReason.PARSE_ERROR]


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

    def test_one_that_was_kicked_before_it_was_let_in_gets_one_answer(
        self, server: FakeServer
    ) -> None:
        """It would take the first socket's answer and goodbye for the second one's."""
        go_on = Event()
        joined: list[Socket] = []

        def connect(request: object, socket: Socket, context: object) -> None:
            joined.append(socket)
            socket.send("welcome")
            go_on.wait()

        server.registry.on_connect(connect, namespace="/slow")
        client = server.connect()
        client.send("0/slow,")
        joined[0].disconnect()
        client.send("0/slow,")
        go_on.set()
        settle()
        answer, welcome = client.received()
        assert joined[1].id in answer
        assert welcome == '2/slow,["message","welcome"]'
        assert [socket.connected() for socket in joined] == [False, True]

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

    def test_with_auth_when_it_is_closed_for_asking_leaves_nothing_that_counts(self) -> None:
        """The packet that asks makes it too much for all clients, before its auth is counted."""
        server = make_server(max_pending_total=200_000)
        gates = gate(server, "/", "/admin")
        client = server.connect()
        client.send("0/admin,", message(200, "/admin"), "1/admin,", message(200))
        client.session.charge_session(190_000)
        router = client.router
        client.send(message(router.weigh_above - router.waiting_bytes - 20))
        assert client.closed == []

        client.send('0/admin,{"list":[' + "[]," * 5000 + "0]}")
        assert client.closed == [CloseReason.TRANSPORT_ERROR]
        for each in gates.values():
            each.set()
        settle_all(server)
        assert len(server.clients) == 0
        assert router.other_bytes == router.counted == 0

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
