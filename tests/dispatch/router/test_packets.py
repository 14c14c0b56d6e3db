"""The packets of a session on their way to its sockets: what may come when.

Clients speak packets as text, and are closed for what they may not say.
"""

from typing import Any

import pytest

from socketio_server.protocol.close_reasons import CloseReason
from tests.dispatch.router.steps import gate, got, message
from tests.fakes.hub import PATIENCE, settle
from tests.fakes.server import FakeClient, FakeServer


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
