"""What is done with sockets and servers of all processes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from gevent import spawn
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from socketio_server.cluster.broker import Recipients, Responses
from socketio_server.cluster.inquiries import Inquiry
from socketio_server.cluster.memory import MemoryBroker
from socketio_server.dispatch.happenings import Happening
from socketio_server.exceptions import DecodeError
from socketio_server.protocol import cluster_requests
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.cluster_requests import (
    Ask,
    Disconnect,
    FetchSockets,
    Join,
    Leave,
    ListRooms,
    Response,
    ServerEvent,
    ServerFields,
    SocketFields,
    decode_response,
    encode_value,
)
from socketio_server.protocol.redis_adapter import Opts, Packet
from socketio_server.sockets import operations as operations_module
from socketio_server.sockets.acknowledgements import Answers
from socketio_server.sockets.operations import Operations
from socketio_server.sockets.records import Count, Replies, ServerStats, read_record
from socketio_server.sockets.targets import EVERYONE, SocketSession, select
from tests.fakes.hub import settle
from tests.fakes.server import FakeClient, FakeServer, RecordingHooks

EVERYBODY = Recipients(namespace="/")


class OthersBroker(MemoryBroker):
    """Reaches other processes, which respond what a test has prepared."""

    reaches_others = True

    def __init__(self, server: FakeServer) -> None:
        super().__init__(server.clients)
        self.told: list[Any] = []
        self.asked: list[Any] = []
        self.listened: list[tuple[str, bool]] = []
        self.responses: list[Response] = []
        self.missing = 0

    def tell(self, namespace: str, request: Any) -> None:
        self.told.append(request)

    def ask(
        self,
        namespace: str,
        question: Any,
        timeout: float,
        acknowledged: Callable[[Response], None] | None = None,
    ) -> Responses:
        self.asked.append(question)
        inquiry = Inquiry(acknowledged)
        for response in self.responses:
            inquiry.take(response)
        return Responses(inquiry.responses.received, self.missing)

    def listen(self, namespace: str, channel: str | None = None, *, wait: bool = True) -> None:
        if channel is not None:
            self.listened.append((channel, wait))


@pytest.fixture
def operations(server: FakeServer) -> Operations:
    return Operations(server.clients)


@pytest.fixture
def others(server: FakeServer) -> OthersBroker:
    """The other processes."""
    server.clients.broker = broker = OthersBroker(server)
    return broker


def on(*channels: str, **options: Any) -> Recipients:
    return Recipients(namespace="/", channels=channels, **options)


class TestFind:
    def test_sockets_are_found_with_channels_and_data(
        self, server: FakeServer, operations: Operations
    ) -> None:
        client = server.connect(channels=["a", "b"])
        client.socket.data["name"] = "Zoë"
        (record,) = operations.find(EVERYBODY, 1.0)
        assert record.session_id == client.id
        assert record.channels == ("a", "b")
        assert record.data == {"name": "Zoë"}

    def test_those_that_are_wanted_are_found(
        self, server: FakeServer, operations: Operations
    ) -> None:
        a, b, c = (server.connect(channels=[channel]) for channel in ("a", "b", "c"))
        found = operations.find(on("a", "b", socket_ids=(c.id,), skip=frozenset([b.id])), 1.0)
        assert {record.session_id for record in found} == {a.id, c.id}
        assert operations.find(on(), 1.0) == ()
        assert operations.find(Recipients(namespace="/other"), 1.0) == ()

    def test_those_of_other_processes_are_found(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        here = server.connect(channels=["a"])
        others.responses = [
            Response(request_id="r", sockets=[SocketFields(id="x", rooms=["x", "a"], data=1), "y"]),
            Response(request_id="r"),
        ]
        others.missing = 1
        found = operations.find(on("a", skip_channels=("b",)), 1.0)
        assert found.missing == 1
        assert [(record.session_id, record.channels, record.data) for record in found] == [
            (here.id, ("a",), {}),
            ("x", ("a",), 1),
        ]
        (question,) = others.asked
        assert isinstance(question, FetchSockets)
        assert question.opts == Opts(rooms=["a"], skip=["b"])

    def test_data_that_can_not_be_encoded_is_left_out(
        self, server: FakeServer, operations: Operations, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.connect().socket.data["bad"] = object()
        assert [record.data for record in operations.find(EVERYBODY, 1.0)] == [{}]
        assert "can't be shared, so find_sockets() shows none of it: " in caplog.text

    def test_data_is_what_other_processes_get(
        self, server: FakeServer, operations: Operations
    ) -> None:
        server.connect().socket.data.update(when=datetime(2014, 2, 3, tzinfo=UTC), raw=b"\1")
        (record,) = operations.find(EVERYBODY, 1.0)
        assert record.data == {"when": "2014-02-03T00:00:00Z", "raw": "AQ=="}


class TestALimit:
    def test_is_reached_here_and_nobody_else_is_asked(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        a, b, _ = (server.connect() for _ in range(3))
        assert [each.session_id for each in operations.find(EVERYBODY, 1.0, 2)] == [a.id, b.id]
        assert operations.find(EVERYBODY, 1.0, 0) == ()
        assert others.asked == []

    def test_is_told_to_others_who_may_not_know_it(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        here = server.connect()
        others.responses = [
            Response(request_id="r", sockets=[SocketFields(id="x"), SocketFields(id="y")])
        ]
        others.missing = 1
        found = operations.find(EVERYBODY, 1.0, 2)
        assert [each.session_id for each in found] == [here.id, "x"]
        assert found.missing == 1
        assert others.asked[0].opts == Opts(rooms=[], flags={"limit": 2})


class TestCount:
    def test_is_of_all_processes_whether_they_tell_a_number_or_records(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        server.connect(channels=["a"])
        server.connect()
        others.responses = [
            Response(request_id="r", count=10),
            Response(request_id="r", sockets=[SocketFields(id="x"), "y"]),
            Response(request_id="r"),
        ]
        others.missing = 2
        counted = operations.count_all(on("a"), 1.0)
        assert counted == 12
        assert counted.missing == 2
        assert f"{counted!s} of them" == "12 of them"
        assert others.asked[0].opts == Opts(rooms=["a"], flags={"count": True})

    def test_of_nobody_is_nothing(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        server.connect()
        assert operations.count_all(on(), 1.0) == Count()
        assert others.asked == []

    @pytest.mark.parametrize("count", [-1, 1.5, "1", None])
    def test_that_is_none_is_malformed(self, count: Any) -> None:
        with pytest.raises(DecodeError):
            decode_response(msgspec.json.encode({"requestId": "r", "count": count}))


class TestUsers:
    def test_are_those_of_all_processes_each_once(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        for user in ("1", "2", "1"):
            client = server.connect(channels=["a"])
            server.clients.enter(client.socket._delivery, f"~user:auth.user:{user}")
        server.connect(channels=["a"])
        others.responses = [
            Response(request_id="r", users=["~user:auth.user:2", "~user:auth.user:3", "a", 4]),
            Response(
                request_id="r",
                sockets=[SocketFields(id="x", rooms=["x", "a", "~user:auth.user:5"])],
            ),
        ]
        others.missing = 1
        found = operations.find_users(on("a"), 1.0)
        assert found == tuple(f"~user:auth.user:{pk}" for pk in (1, 2, 3, 5))
        assert found.missing == 1
        assert others.asked[0].opts == Opts(rooms=["a"], flags={"users": True})


class TestServers:
    HERE = ServerFields(name="a-1", counters={"events": 3})
    THERE = ServerFields(name="b-2", counters={"events": 4, "refusals": {"rate": 1}})

    def test_tell_their_numbers(self, server: FakeServer, others: OthersBroker) -> None:
        others.responses = [
            Response(request_id="r", server=self.THERE),
            Response(request_id="r", sockets=[]),  # of Node's server
        ]
        others.missing = 1
        told = Operations(server.clients, lambda: self.HERE).describe_servers(1.0)
        assert list(told) == [
            ServerStats("a-1", {"events": 3}),
            ServerStats("b-2", {"events": 4, "refusals": {"rate": 1}}),
        ]
        assert told.missing == 1
        assert others.asked[0].opts == Opts(rooms=["~"], flags={"server": True})

    def test_tell_what_the_ids_of_their_sessions_begin_with(
        self, operations: Operations, others: OthersBroker
    ) -> None:
        told = ServerFields(name="b-2", counters={}, worker="b-2-x")
        others.responses = [
            Response(request_id="r", server=told),
            Response(request_id="r", sockets=[]),  # of Node's server
        ]
        assert operations.find_workers(1.0) == ["b-2-x"]

    def test_of_other_processes_are_told_of_where_none_runs(
        self, operations: Operations, others: OthersBroker
    ) -> None:
        others.responses = [Response(request_id="r", server=self.THERE)]
        assert [each.server for each in operations.describe_servers(1.0)] == ["b-2"]

    @pytest.mark.parametrize("counters", [{"events": "many"}, {"refusals": {"rate": {}}}, [1]])
    def test_that_tell_no_numbers_are_malformed(self, counters: Any) -> None:
        fields = {"requestId": "r", "server": {"name": "a-1", "counters": counters}}
        with pytest.raises(DecodeError):
            decode_response(msgspec.json.encode(fields))


class TestManySockets:
    def test_let_others_have_a_turn_and_may_leave_meanwhile(
        self, server: FakeServer, operations: Operations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(operations_module, "BATCH", 2)
        clients = [server.connect() for _ in range(4)]
        a, b, _, d = (client.id for client in clients)
        timekeeper = server.clients.timekeeper
        monkeypatch.setattr(timekeeper, "let_others_run", clients[2].leave)
        assert [record.session_id for record in operations.find(EVERYBODY, 1.0)] == [a, b, d]


class TestManyChannels:
    def test_of_each_socket_let_others_have_a_turn_and_leave_meanwhile(
        self, server: FakeServer, operations: Operations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(operations_module, "BATCH", 3)
        a, b, c = (server.connect(channels=["x"]) for _ in range(3))
        sockets = [client.socket for client in (a, b)]
        delivery = c.socket._delivery
        turns: list[list[str]] = []

        def let_others_run() -> None:
            turns.append([*a.socket.channels, *b.socket.channels])
            if len(turns) == 2:
                c.leave()

        monkeypatch.setattr(server.clients.timekeeper, "let_others_run", let_others_run)
        operations.join(EVERYBODY, ["1", "2", "3"])
        assert turns == [["x", "1", "2", "3", "x"], ["x", "1", "2", "3", "x", "1", "2", "3"]]
        assert delivery.channels == ()

        turns.clear()
        operations.leave(EVERYBODY, ["x", "1", "3"])
        assert turns == [["2", "x", "1", "2", "3"], ["2", "2"]]
        assert [socket.channels for socket in sockets] == [["2"], ["2"]]

    def test_are_listened_to_once_and_told_of_for_each_socket(self, operations: Operations) -> None:
        hooks = RecordingHooks()
        server = FakeServer(hooks=hooks)
        server.clients.broker = others = OthersBroker(server)
        for _ in range(2):
            server.connect(channels=["1"])
        hooks.told.clear()
        others.listened.clear()
        operations = Operations(server.clients)
        operations.join(EVERYBODY, ["1", "2", "3", "2"])
        settle()
        assert sorted(others.listened) == [("2", False), ("3", False)]
        assert [details["channel"] for _, details in hooks.told] == ["2", "3"] * 2

        hooks.told.clear()
        operations.leave(EVERYBODY, ["4", "3", "1", "3"])
        settle()
        assert [details["channel"] for _, details in hooks.told] == ["3", "1"] * 2


class TestRecords:
    def test_keep_what_identifies_the_user_out(self) -> None:
        headers = {"cookie": "a", "Authorization": "b", "user-agent": "c"}
        fields = SocketFields(
            id="x",
            handshake={
                "address": "::1",
                "issued": 1000,
                "headers": headers,
                "query": {"a": "1"},
                "auth": {"token": "secret"},
            },
        )
        handshake = read_record(fields).handshake
        assert handshake.headers == {"user-agent": "c"}
        assert handshake.query == {"a": "1"}
        assert handshake.address == "::1"
        assert handshake.time == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
        assert "secret" not in repr(handshake)

    @pytest.mark.parametrize("issued", ["x", None, -1, 1e300, float("nan")])
    def test_leave_out_what_is_malformed(self, issued: Any) -> None:
        handshake = {"address": 1, "issued": issued, "headers": [1], "query": "x"}
        record = read_record(SocketFields(id="x", handshake=handshake, rooms=[1]))
        assert record.channels == ("1",)
        assert record.handshake.time is None
        assert record.handshake.headers == record.handshake.query == {}


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values),
    max_leaves=5,
)
HANDSHAKES = st.dictionaries(
    st.sampled_from(["address", "headers", "issued", "query", "time"]), JSON, max_size=3
)


class TestNoise:
    @given(
        st.fixed_dictionaries(
            {"id": st.text(max_size=3) | JSON},
            optional={"handshake": HANDSHAKES | JSON, "rooms": JSON, "data": JSON},
        )
    )
    def test_in_a_response_is_a_record_or_refused(self, record: dict[str, Any]) -> None:
        for codec in (msgspec.json, msgspec.msgpack):
            with suppress(DecodeError, OverflowError):
                data = codec.encode({"requestId": "r", "sockets": [record]})
                sockets = decode_response(data).sockets
                assert sockets is not UNSET
                for fields in sockets:
                    assert isinstance(fields, SocketFields)
                    read_record(fields)


class TestReplies:
    def test_are_a_tuple_that_tells_how_many_are_missing(self) -> None:
        replies = Replies([1, 2], 3)
        assert replies.missing == 3
        assert repr(replies) == "Replies((1, 2), missing=3)"
        assert replies == (1, 2)


class TestChannelNames:
    def test_are_those_of_all_processes_each_once(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        server.connect(channels=["a", "b"])
        others.responses = [
            Response(request_id="r", rooms=["b", "c", 42, "-_345678901234567890", "~user:a:1", ""])
        ]
        assert operations.channel_names("/", 1.0, shared_with_node=False) == ("a", "b", "c", "42")
        assert isinstance(others.asked[0], ListRooms)

    def test_of_node_that_may_be_ids_are_left_out(
        self, operations: Operations, others: OthersBroker
    ) -> None:
        others.responses = [Response(request_id="r", rooms=["Ar7RZOO8k9Sp2OvPAAAa", "room"])]
        assert operations.channel_names("/", 1.0, shared_with_node=True) == ("room",)


class TestSubscribe:
    def test_sockets_hear_what_is_sent_then(
        self, server: FakeServer, operations: Operations
    ) -> None:
        a, b = server.connect(channels=["a"]), server.connect()
        operations.subscribe(on("a"), "vip")
        assert a.socket.channels == ["a", "vip"]
        assert b.socket.channels == []
        b.socket.broadcast_channel("hello", "vip")
        assert a.messages() == ["hello"]

    def test_fires_no_event(self, server: FakeServer, operations: Operations) -> None:
        fired: list[str] = []
        server.registry.on_subscribe(
            lambda request, socket, context, channel: fired.append(channel)
        )
        server.connect()
        operations.subscribe(EVERYBODY, "vip")
        operations.unsubscribe(EVERYBODY, "vip")
        settle()
        assert fired == []

    def test_the_project_is_told_later_as_one_of_the_clients_events(
        self, operations: Operations
    ) -> None:
        hooks = RecordingHooks()
        server = FakeServer(hooks=hooks)
        operations = Operations(server.clients)
        server.connect()
        hooks.told.clear()
        operations.subscribe(EVERYBODY, "vip")
        operations.unsubscribe(EVERYBODY, "vip")
        assert hooks.told == []
        settle()
        assert hooks.told == [
            (Happening.CHANNEL_SUBSCRIBED, {"channel": "vip"}),
            (Happening.CHANNEL_UNSUBSCRIBED, {"channel": "vip", "reason": None}),
        ]

    def test_those_who_have_left_are_left_alone(
        self, server: FakeServer, operations: Operations
    ) -> None:
        client = server.connect(channels=["a"])
        delivery = client.socket._delivery
        client.session.close(CloseReason.TRANSPORT_CLOSE)
        operations.subscribe(EVERYBODY, "vip")
        operations.unsubscribe(EVERYBODY, "a")
        assert delivery.channels == ("a",)

    def test_other_processes_are_told_and_waited_for_once(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        server.connect(channels=["a"])
        others.listened.clear()
        operations.subscribe(on("a", skip_channels=("b",)), "vip")
        assert others.told == [Join(opts=Opts(rooms=["a"], skip=["b"]), rooms=["vip"])]
        assert others.listened == [("vip", False), ("vip", True)]

    def test_nobody_means_nobody(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        client = server.connect()
        operations.subscribe(on(), "vip")
        operations.unsubscribe(on(), "vip")
        operations.disconnect_all(on(), close=True)
        assert others.told == []
        assert client.socket.connected()

    def test_for_another_server_it_waits_for_nothing_and_takes_no_reserved_name(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        client = server.connect()
        operations.join(EVERYBODY, ["vip", "~user:auth.user:1", ""])
        assert client.socket.channels == ["vip"]
        assert others.listened == [("vip", False)]


class TestUnsubscribe:
    def test_sockets_hear_no_more(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        a = server.connect(channels=["a", "b"])
        operations.unsubscribe(on("a"), "b")
        assert a.socket.channels == ["a"]
        assert others.told == [Leave(opts=Opts(rooms=["a"]), rooms=["b"])]


class TestDisconnect:
    @pytest.mark.parametrize("close", [False, True])
    def test_sockets_are_disconnected(
        self, server: FakeServer, operations: Operations, others: OthersBroker, close: bool
    ) -> None:
        a, b = server.connect(channels=["a"]), server.connect()
        socket, other = a.socket, b.socket
        operations.disconnect_all(on("a"), close=close)
        assert not socket.connected()
        assert bool(a.closed) is close
        assert other.connected()
        assert others.told == [Disconnect(opts=Opts(rooms=["a"]), close=close)]


def answer(client: FakeClient, *values: str) -> None:
    """Acknowledge the question that a client has got."""
    (packet,) = client.received()
    ack_id = packet[1:].split("[")[0]
    client.send(f"3{ack_id}[{','.join(values)}]")


class TestCall:
    def call(self, operations: Operations, timeout: float | None = None) -> Any:
        envelope = select(EVERYONE).envelope("/", "question", (1,))
        call = spawn(operations.call, envelope, timeout)
        settle()
        return call

    def test_clients_of_all_processes_answer(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        client = server.connect()
        others.responses = [
            Response(type=8, request_id="r", client_count=3, socket_ids=["x", "y", "z"]),
            Response(type=8, request_id="r", client_count=2),
            Response(type=9, request_id="r", packet=encode_value("X"), socket_id="x"),
            Response(type=9, request_id="r", gone=True, socket_id="y"),
            Response(type=9, request_id="r", packet=encode_value("N")),
        ]
        others.missing = 1
        call = self.call(operations, timeout=5.0)
        answer(client, '"here"')
        answers = call.get()
        assert answers == ({client.id: "here", "x": "X"}, ("y", "z"))
        assert answers.unnamed == ("N",)
        assert answers.unknown == 2
        assert repr(answers).endswith("unnamed=('N',), unknown=2)")
        (question,) = others.asked
        assert question == Ask(
            request_id=question.request_id,
            packet=Packet(2, encode_value(["question", 1]), "/"),
            opts=Opts(rooms=[], flags={"timeout": 5000, "ids": True}),
        )

    def test_integers_that_messagepack_can_not_carry_are_floats_elsewhere(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        server.connect()
        operations.call(select(EVERYONE).envelope("/", "question", (2**65,)), timeout=0.0)
        (question,) = others.asked
        assert isinstance(question, Ask)
        assert question.packet.data == encode_value(["question", 2.0**65])

    def test_nobody_is_asked_what_other_processes_can_not_be(
        self, server: FakeServer, operations: Operations, others: OthersBroker
    ) -> None:
        client = server.connect()
        with pytest.raises(TypeError):
            operations.call(select(EVERYONE).envelope("/", "question", (object(),)), None)
        assert (client.received(), others.asked) == ([], [])

    def test_nobody_is_asked_what_other_processes_would_refuse(
        self,
        server: FakeServer,
        operations: Operations,
        others: OthersBroker,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        client = server.connect()
        monkeypatch.setattr(cluster_requests, "MAX_DECODED", 30_000)
        with pytest.raises(ValueError, match="send it in pieces, or as binary data"):
            operations.call(select(EVERYONE).envelope("/", "question", ([[]] * 1_000,)), None)
        assert (client.received(), others.asked) == ([], [])

    def test_one_client_of_another_process_answers(
        self, server: FakeServer, others: OthersBroker
    ) -> None:
        socket = server.connect().socket
        asked = Response(type=8, request_id="r", client_count=1)
        others.responses = [asked, Response(type=9, request_id="r", packet=encode_value("N"))]
        assert socket.call("question", to=SocketSession("node's")) == ({"node's": "N"}, ())
        others.responses = [asked]
        assert socket.call("question", to=SocketSession("node's")) == ({}, ("node's",))

    def test_nobody_is_asked_where_there_is_nobody(
        self, operations: Operations, others: OthersBroker
    ) -> None:
        assert operations.call(select([]).envelope("/", "question", ()), None) == Answers({}, ())
        assert others.asked == []


class TestPassingOn:
    def test_answers_are_told_as_they_come(
        self, server: FakeServer, operations: Operations
    ) -> None:
        a, b, c = (server.connect() for _ in range(3))
        told: list[Any] = []
        envelope = select(EVERYONE).envelope("/", "question", ())
        wait = operations.pass_on(
            envelope, 60.0, asked=told.append, answered=lambda *answer: told.append(answer)
        )
        ids = [a.id, b.id, c.id]
        assert told.pop() == ids
        passing = spawn(wait)
        settle()
        answer(b, "1", "2")
        assert told == [(ids[1], [1, 2])]
        a.leave()
        (packet,) = c.received()
        c.send(f'3{packet[1:].split("[")[0]}["]')
        passing.get()
        assert told == [(ids[1], [1, 2]), (ids[0], None), (ids[2], None)]

    def test_it_ends_in_time(self, server: FakeServer, operations: Operations) -> None:
        server.connect()
        told: list[Any] = []
        envelope = select(EVERYONE).envelope("/", "question", ())
        wait = operations.pass_on(
            envelope, 0.0, asked=told.append, answered=lambda *answer: told.append(answer)
        )
        wait()
        assert len(told) == 1


class TestEventsOfServers:
    @pytest.fixture
    def ran(self, server: FakeServer) -> list[Any]:
        """What ran here."""
        ran: list[Any] = []

        def run(namespace: str, name: str, args: Sequence[Any], answer: Any) -> None:
            ran.append((namespace, name, list(args)))
            if answer is not None:
                answer("here")

        server.clients.run_cluster_event = run
        return ran

    def test_run_here_and_elsewhere(
        self, operations: Operations, others: OthersBroker, ran: list[Any]
    ) -> None:
        operations.emit_event("/", "news", ({"raw": b"\1"},))
        assert ran == [("/", "news", [{"raw": "AQ=="}])]
        assert others.told == [ServerEvent(data=["news", {"raw": "AQ=="}])]

    def test_are_answered_from_here_and_elsewhere(
        self, operations: Operations, others: OthersBroker, ran: list[Any]
    ) -> None:
        others.responses = [
            Response(type=6, request_id="r", data=1),
            Response(type=6, request_id="r", data=UNSET),
        ]
        others.missing = 2
        answers = operations.call_event("/", "news", (), 1.0)
        assert answers.missing == 2
        assert answers == ("here", 1, None)

    def test_without_an_answer_from_here_that_is_missing(
        self, server: FakeServer, operations: Operations
    ) -> None:
        server.clients.run_cluster_event = lambda *args: None
        answers = operations.call_event("/", "news", (), 0.0)
        assert answers.missing == 1
        assert answers == ()

    def test_without_a_server_here_nobody_is_missing(self, operations: Operations) -> None:
        assert operations.call_event("/", "news", (), 0.0).missing == 0

    def test_that_can_not_be_encoded_run_nowhere(
        self, operations: Operations, others: OthersBroker, ran: list[Any]
    ) -> None:
        with pytest.raises(TypeError):
            operations.emit_event("/", "news", (object(),))
        assert ran == others.told == []
