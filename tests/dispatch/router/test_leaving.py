"""Leaving a namespace, and the end of a session that leaves all.

Socket.IO protocol v5, "Disconnection from a namespace".
"""

import re
from typing import Any

import gevent
import pytest
from gevent.event import Event

from socketio_server.net.deadlines import TICK
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.delivery import Delivery
from tests.dispatch.router.steps import gate, got, make_server, message, namespaces
from tests.fakes.engine import MOMENT
from tests.fakes.hub import settle
from tests.fakes.server import FakeClient, FakeServer


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

    def test_one_that_the_server_disconnects_from_all_may_join_none_while_its_goodbye_waits(
        self, server: FakeServer
    ) -> None:
        decided = Event()
        server.registry.on_connect(lambda *args: decided.wait() and None, namespace="/slow")
        client = server.connect()
        client.send("0/slow,")
        gevent.spawn(client.socket.disconnect, close=True).join()
        client.received()

        client.send("0/admin,", '2/admin,7["message","still here"]', "51-[", b"x")
        assert client.received() == []
        assert namespaces(server) == ["/slow"]  # its last handlers are behind the one that decides

        decided.set()
        settle()
        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]

    def test_one_that_is_disconnected_while_it_owes_attachments_is_to_blame_for_nothing(
        self,
    ) -> None:
        server = make_server(attachment_timeout=MOMENT)
        go_on = Event()
        server.registry.on_connect(lambda *args: go_on.wait() and None, namespace="/admin")
        client = server.connect()
        client.send("0/admin,")
        client.send('51-["message",{"_placeholder":true,"num":0},"' + "x" * 20_000 + '"]')
        assert server.dispatcher.total.bytes > 20_000
        gevent.spawn(client.socket.disconnect, close=True).join()
        assert server.dispatcher.total.bytes == 0

        client.send(b"x", '2["message","too late"]')
        server.loop.advance(TICK)
        assert client.closed == []
        client.received()
        go_on.set()
        settle()
        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]
        assert client.refusals == []
        assert client.received()[1:] == ["1/admin,"]  # behind the answer

    @pytest.mark.parametrize("times", [1, 2])
    def test_one_that_the_server_disconnects_from_all_is_told_however_often_it_does(
        self, times: int
    ) -> None:
        server = make_server()

        @server.registry.on_connect
        def disconnect(request: object, socket: Any, context: object) -> None:
            for _ in range(times):
                socket.disconnect(close=True)

        client = server.open()
        client.send("0")
        assert [packet[:7] for packet in client.received()] == ['0{"sid"', "1"]
        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]

    def test_one_that_the_server_took_out_of_this_namespace_before_is_told_as_well(self) -> None:
        server = make_server()

        @server.registry.on_connect
        def disconnect(request: object, socket: Any, context: object) -> None:
            socket.disconnect()
            socket.disconnect(close=True)

        client = server.open()
        client.send("0")
        assert [packet[:7] for packet in client.received()] == ['0{"sid"', "1"]
        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]

    def test_one_that_left_a_namespace_itself_is_not_told_what_is_decided_there(
        self, server: FakeServer
    ) -> None:
        decided = Event()
        server.registry.on_connect(lambda *args: decided.wait() and None, namespace="/admin")
        client = server.connect()
        client.send("0/admin,", "1/admin,")
        gevent.spawn(client.socket.disconnect, close=True).join()
        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]
        decided.set()
        settle()

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


class TestTheEndOfASession:
    """It counts for the client's address until the last handler has run."""

    def test_without_members_finishes_it(self, server: FakeServer) -> None:
        client = server.open()
        assert client.keeper.finished == 0
        client.leave()
        assert client.keeper.finished == 1

    def test_finishes_it_when_the_last_handlers_of_all_members_have_run(
        self, server: FakeServer
    ) -> None:
        gates = gate(server, "/", "/admin")
        client = server.connect()
        client.send("0/admin,", message(200), message(200, "/admin"))
        client.leave()
        gates["/admin"].set()
        settle()
        assert client.keeper.finished == 0
        gates["/"].set()
        settle()
        assert client.keeper.finished == 1

    def test_finishes_it_when_the_last_handlers_have_run_of_those_that_left_before(
        self, server: FakeServer
    ) -> None:
        gates = gate(server, "/")
        client = server.connect()
        client.send("0/admin,", message(200), "1", "0", "1/admin,")
        client.leave()
        assert client.keeper.finished == 0
        gates["/"].set()
        settle()
        assert client.keeper.finished == 1

    def test_finishes_it_when_a_handler_has_refused_the_client(self, server: FakeServer) -> None:
        go_on = Event()
        server.registry.on_connect(lambda *args: go_on.wait() and False, namespace="/admin")
        client = server.open()
        client.send("0/admin,")
        client.leave()
        assert client.keeper.finished == 0
        go_on.set()
        settle()
        assert client.keeper.finished == 1

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
        assert client.keeper.finished == 1
