"""What a broker asks other servers, and what they ask it."""

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from msgspec import Raw
from redis import ResponseError

from socketio_server.cluster.redis import broker as broker_module
from socketio_server.protocol import cluster_requests
from socketio_server.protocol.cluster_requests import (
    ACKNOWLEDGEMENT,
    CLIENT_COUNT,
    Disconnect,
    FetchSockets,
    Response,
    ServerEvent,
    SocketFields,
    decode_request,
    encode_request,
    encode_response,
)
from socketio_server.protocol.redis_adapter import Opts
from tests.cluster.fakes import FakePatience
from tests.cluster.redis.cluster import REQUESTS, RESPONSES, Cluster, fetch
from tests.fakes.hub import settle


class TestAsking:
    def ask(self, cluster: Cluster, *, servers: int) -> "gevent.Greenlet[..., Any]":
        """Ask, in a cluster of so many servers."""
        cluster.redis.servers = servers
        asking = gevent.spawn(cluster.broker.ask, "/", fetch(), 5.0)
        settle()
        return asking

    def respond(self, cluster: Cluster, channel: bytes, **fields: Any) -> None:
        response = encode_response(Response(**{"request_id": "r", **fields}))
        cluster.redis.send(b"message", channel, response)
        settle()

    def test_it_publishes_a_request_and_waits_for_all_servers(self, cluster: Cluster) -> None:
        cluster.start()
        asking = self.ask(cluster, servers=3)
        ((channel, message),) = cluster.redis.published
        assert channel == REQUESTS
        assert decode_request(message).uid == cluster.broker._uid

        self.respond(cluster, RESPONSES, sockets=["a"])
        self.respond(cluster, RESPONSES, request_id="another's", sockets=["x"])
        assert not asking.ready()
        self.respond(cluster, cluster.own_responses, sockets=["b"])
        found = asking.get(block=False)
        assert [response.sockets for response in found.received] == [["a"], ["b"]]
        assert found.missing == 0

    def test_acknowledgements_are_passed_on_undecoded_as_they_arrive(
        self, cluster: Cluster
    ) -> None:
        """Whoever waits for them decodes them in its turn."""
        cluster.start()
        cluster.redis.servers = 2
        taken: list[Response] = []
        asking = gevent.spawn(cluster.broker.ask, "/", fetch(), 5.0, taken.append)
        settle()
        malformed = Raw(b"\x91" * 200 + b"\x90")
        self.respond(cluster, RESPONSES, type=CLIENT_COUNT, client_count=1)
        self.respond(cluster, RESPONSES, type=ACKNOWLEDGEMENT, packet=malformed)
        assert [response.packet for response in taken] == [malformed]
        found = asking.get(block=False)
        assert [response.client_count for response in found.received] == [1]

    def test_responses_that_take_too_much_memory_are_refused(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster_requests, "MAX_DECODED", 30_000)
        cluster.start()
        asking = self.ask(cluster, servers=3)
        self.respond(cluster, RESPONSES, data=[[]] * 2_000)
        self.respond(cluster, RESPONSES, sockets=[SocketFields(id="a")] * 200)
        assert cluster.refusals.counts == {"cluster": 2}
        self.respond(cluster, RESPONSES, data="x" * 4_000)
        self.respond(cluster, RESPONSES, sockets=["a"])
        assert len(asking.get(block=False).received) == 2

    def test_others_get_turns_while_a_response_is_read(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster.start()
        asking = self.ask(cluster, servers=2)
        turns = cluster.patience.turns

        def slow(data: bytes, pause: Callable[[], None]) -> Response:
            for _ in range(10):
                cluster.now += 1.0
                pause()
            return Response(request_id="r")

        monkeypatch.setattr(broker_module, "decode_response", slow)
        self.respond(cluster, RESPONSES)
        assert cluster.patience.turns == turns + 10
        assert len(asking.get(block=False).received) == 1

    @pytest.mark.parametrize("reply", [5, None, [], [b"a", b"b"], [b"a", ResponseError("ERR")]])
    def test_what_is_no_count_of_servers_costs_the_connection_without_a_traceback(
        self,
        cluster: Cluster,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        reply: Any,
    ) -> None:
        cluster.start()
        obey = cluster.redis.obey

        def count_wrongly(connection: Any, words: list[bytes]) -> None:
            if words[0] == b"PUBSUB":
                connection.answers.put(reply)
            else:
                obey(connection, words)

        monkeypatch.setattr(cluster.redis, "obey", count_wrongly)
        assert self.ask(cluster, servers=3).get(block=False) == ([], 1)
        assert "is lost for sending: it has sent what is no answer of Redis" in caplog.messages[0]
        assert caplog.records[0].exc_info is None

    def test_alone_it_does_not_wait(self, cluster: Cluster) -> None:
        cluster.start()
        assert self.ask(cluster, servers=1).get(block=False) == ([], 0)

    def test_what_has_come_is_returned_with_what_is_missing(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster.start()
        monkeypatch.setattr(FakePatience, "wait", lambda *args: gevent.idle())
        assert self.ask(cluster, servers=3).get() == ([], 2)

    def test_a_question_that_finds_no_room_is_not_waited_for(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.redis.servers = 3
        question = FetchSockets(request_id="r", opts=Opts(rooms=["x" * 16_000_000]))
        asking = gevent.spawn(cluster.broker.ask, "/", question, 5.0)
        settle()
        assert asking.get(block=False) == ([], 1)

    def test_in_another_namespace_it_listens_to_the_responses(self, cluster: Cluster) -> None:
        cluster.start()
        assert gevent.spawn(cluster.broker.ask, "/new", fetch(), 5.0).get() == ([], 0)
        assert b"socket.io-response#/new#" in cluster.redis.subscriptions

    def test_telling_does_not_wait(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.tell("/", Disconnect(opts=Opts(rooms=["a"])))
        settle()
        ((channel, message),) = cluster.redis.published
        assert channel == REQUESTS
        assert decode_request(message) == Disconnect(
            uid=cluster.broker._uid, opts=Opts(rooms=["a"])
        )


class TestRequests:
    def test_of_others_are_done(self, cluster: Cluster) -> None:
        cluster.start()
        request = encode_request(Disconnect(uid="others", opts=Opts(rooms=["a"])))
        cluster.redis.send(b"message", REQUESTS, request)
        settle()
        ((done, recipients, close),) = cluster.operations.done
        assert (done, recipients.channels, close) == ("disconnect", ("a",), False)

    def test_of_its_own_are_ignored(self, cluster: Cluster) -> None:
        cluster.start()
        cluster.broker.tell("/", Disconnect(opts=Opts(rooms=["a"])))
        settle()
        ((channel, message),) = cluster.redis.published
        cluster.redis.send(b"message", channel, message)
        settle()
        assert cluster.operations.done == []

    def test_that_take_too_much_memory_are_refused(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster_requests, "MAX_DECODED", 30_000)
        cluster.start()
        for data in (["news", "x" * 4_000], ["news", [[]] * 2_000]):
            request = encode_request(ServerEvent(uid="others", data=data))
            cluster.redis.send(b"message", REQUESTS, request)
        settle()
        assert len(cluster.operations.done) == 1
        assert cluster.refusals.counts == {"cluster": 1}

    def test_responses_that_nobody_waits_for_are_not_even_decoded(self, cluster: Cluster) -> None:
        cluster.start()
        deep = b"[" * 200 + b"]" * 200
        cluster.redis.send(b"message", RESPONSES, b'{"requestId":"other","data":' + deep + b"}")
        settle()
        assert cluster.refusals.counts == {}

    @pytest.mark.parametrize("channel", [REQUESTS, RESPONSES])
    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"garbage",
            b"x" * 10_001,
            b'{"type":4,"opts":"x"}',
            b'{"type":4,"opts":{"rooms":[["a"]]}}',
            b'{"type":2,"opts":{"rooms":[]},"rooms":"x"}',
            b'{"type":6,"data":["a",' + b"[" * 200 + b"]" * 200 + b"]}",
        ],
    )
    def test_that_can_not_be_read_do_nothing_and_are_counted(
        self, cluster: Cluster, channel: bytes, message: bytes
    ) -> None:
        cluster.start()
        cluster.redis.send(b"message", channel, message)
        settle()
        assert cluster.operations.done == []
        assert cluster.refusals.counts == {"cluster": 1}
