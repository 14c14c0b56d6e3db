"""What a process does for other servers, and what it answers."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import msgspec
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from socketio_server.cluster.broker import Envelope, Recipients
from socketio_server.cluster.redis import answerer as answerer_module
from socketio_server.cluster.redis.answerer import MAX_ASK_TIMEOUT, Answerer
from socketio_server.exceptions import DecodeError
from socketio_server.net.refusals import Refusals
from socketio_server.protocol.cluster_requests import (
    Ask,
    Disconnect,
    FetchSockets,
    Join,
    Leave,
    ListRooms,
    ListSockets,
    Response,
    ServerEvent,
    ServerFields,
    SocketFields,
    decode_request,
    decode_response,
    encode_value,
)
from socketio_server.protocol.redis_adapter import ChannelNames, Opts, Packet, decode_event
from tests.cluster.fakes import FakeNode, FakeOperations, FakePatience
from tests.fakes.hub import settle

ID = "-_345678901234567890"
COMMON = b"socket.io-response#/#"
OWN = b"socket.io-response#/#asker1#"


class Process:
    """A process that answers."""

    def __init__(self) -> None:
        self.node = FakeNode()
        self.node.wanted.update({("/", None), ("/", "a")})
        self.operations = FakeOperations()
        self.published: list[tuple[bytes, bytes]] = []
        self.now = 100.0
        self.refusals = Refusals(lambda: self.now)
        self.patience = FakePatience()
        self.answerer = Answerer(
            self.node,
            self.operations,
            ChannelNames("socket.io"),
            lambda channel, message: self.published.append((channel, message)),
            decode_event,
            self.refusals,
            patience=self.patience,
            clock=lambda: self.now,
            max_time=0.01,
        )

    def handle(self, request: Any) -> None:
        self.answerer.handle("/", request)
        settle()

    @property
    def responses(self) -> list[tuple[bytes, Response]]:
        return [(channel, decode_response(message)) for channel, message in self.published]


@pytest.fixture
def process() -> Process:
    return Process()


def recipients(*channels: str, **others: Any) -> Recipients:
    return Recipients(namespace="/", channels=channels or None, **others)


class TestChanges:
    def test_sockets_join_channels_at_once(self, process: Process) -> None:
        request = Join(uid="asker1", opts=Opts(rooms=["a"], skip=["b"]), rooms=["c", 4])
        process.answerer.handle("/", request)
        expected = recipients("a", skip=frozenset(["b"]), skip_channels=("b",))
        assert process.operations.done == [("join", expected, ("c", "4"))]

    def test_sockets_leave_channels_at_once(self, process: Process) -> None:
        process.answerer.handle("/", Leave(opts=Opts(rooms=[]), rooms=["c"]))
        assert process.operations.done == [("leave", recipients(), ("c",))]

    def test_sockets_are_disconnected_at_once(self, process: Process) -> None:
        process.answerer.handle("/", Disconnect(opts=Opts(rooms=["a"]), close=True))
        assert process.operations.done == [("disconnect", recipients("a"), True)]

    def test_a_room_may_be_a_client_of_this_process(self, process: Process) -> None:
        process.node.clients.add((ID, "/"))
        process.answerer.handle("/", Disconnect(opts=Opts(rooms=[ID])))
        ((_, found, _),) = process.operations.done
        assert found.socket_ids == (ID,)

    def test_nothing_is_answered(self, process: Process) -> None:
        process.handle(Disconnect(uid="asker1", opts=Opts(rooms=["a"])))
        assert process.published == []


class TestQuestions:
    def test_who_is_there_is_answered_to_who_asked(self, process: Process) -> None:
        process.operations.found = [SocketFields(id="one", rooms=["one", "a"], data={"b": 1})]
        process.handle(FetchSockets(uid="asker1", request_id="r", opts=Opts(rooms=["a"])))
        assert process.operations.done == [("records", recipients("a"))]
        assert process.responses == [
            (OWN, Response(request_id="r", sockets=[*process.operations.found]))
        ]

    @pytest.mark.parametrize(("limit", "count"), [(1, 1), (0, 0), (-1, 2), (True, 2), ("1", 2)])
    def test_no_more_records_are_told_than_are_wanted(
        self, process: Process, limit: Any, count: int
    ) -> None:
        process.operations.found = [SocketFields(id="one"), SocketFields(id="two")]
        opts = Opts(rooms=[], flags={"limit": limit})
        process.handle(FetchSockets(uid="asker1", request_id="r", opts=opts))
        expected = Response(request_id="r", sockets=[*process.operations.found[:count]])
        assert process.responses == [(OWN, expected)]

    def test_how_many_are_there_is_told_without_their_records(self, process: Process) -> None:
        process.operations.found = [SocketFields(id="one")]
        opts = Opts(rooms=["a"], flags={"count": True})
        process.handle(FetchSockets(uid="asker1", request_id="r", opts=opts))
        assert process.operations.done == [("count", recipients("a"))]
        assert process.responses == [(OWN, Response(request_id="r", count=1))]

    def test_their_users_are_told_without_their_records(self, process: Process) -> None:
        process.operations.names = ["~user:auth.user:1"]
        opts = Opts(rooms=["a"], flags={"users": True})
        process.handle(FetchSockets(uid="asker1", request_id="r", opts=opts))
        assert process.operations.done == [("users", recipients("a"))]
        expected = Response(request_id="r", users=["~user:auth.user:1"])
        assert process.responses == [(OWN, expected)]

    @pytest.mark.parametrize(
        "runs", [ServerFields(name="a-1", counters={"events": 3, "refusals": {"rate": 1}}), None]
    )
    def test_the_server_tells_of_itself_if_one_runs(
        self, process: Process, runs: ServerFields | None
    ) -> None:
        process.operations.runs = runs
        opts = Opts(rooms=["~"], flags={"server": True})
        process.handle(FetchSockets(uid="asker1", request_id="r", opts=opts))
        assert process.operations.done == []
        expected = Response(request_id="r", server=UNSET if runs is None else runs)
        assert process.responses == [(OWN, expected)]

    def test_who_does_not_say_who_it_is_is_answered_on_the_common_channel(
        self, process: Process
    ) -> None:
        process.operations.found = [SocketFields(id="one")]
        process.handle(ListSockets(request_id="r", rooms=["a"]))
        assert process.operations.done == [("records", recipients("a"))]
        assert process.responses == [(COMMON, Response(request_id="r", sockets=["one"]))]

    def test_the_rooms_are_told(self, process: Process) -> None:
        process.operations.names = ["a", "one"]
        process.handle(ListRooms(uid="asker1", request_id="r"))
        assert process.responses == [(OWN, Response(request_id="r", rooms=["a", "one"]))]

    def test_too_many_at_once_are_refused(
        self, process: Process, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(answerer_module, "MAX_UNDERWAY", 1)
        process.answerer.handle("/", ListRooms(request_id="r"))
        with pytest.raises(DecodeError):
            process.answerer.handle("/", ListRooms(request_id="r"))
        settle()
        process.handle(ListRooms(request_id="again"))
        assert len(process.published) == 2

    def test_are_answered_one_after_another_and_others_get_turns(
        self, process: Process, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answered_before_turns: list[int] = []

        def rooms(namespace: str) -> list[str]:
            process.now += 0.004
            return []

        def let_others_run() -> None:
            answered_before_turns.append(len(process.published))
            process.answerer.handle("/", ListRooms(request_id="later"))
            gevent.sleep(0)

        monkeypatch.setattr(process.operations, "rooms", rooms)
        monkeypatch.setattr(process.patience, "let_others_run", let_others_run)
        for number in range(3):
            process.answerer.handle("/", ListRooms(request_id=str(number)))
        settle()
        assert answered_before_turns == [3]
        ids = [response.request_id for _, response in process.responses]
        assert ids == ["0", "1", "2", "later"]

    def test_those_that_wait_for_clients_keep_no_places_of_others(
        self, process: Process, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(answerer_module, "MAX_UNDERWAY", 1)
        acknowledged = Event()
        monkeypatch.setattr(
            process.operations, "pass_on", lambda *args, **options: acknowledged.wait
        )
        ask = Ask(request_id="a", packet=Packet(2, encode_value(["question"])), opts=Opts(rooms=[]))
        process.handle(ask)
        with pytest.raises(DecodeError):
            process.handle(ask)
        process.handle(ListRooms(request_id="r"))
        assert [response.request_id for _, response in process.responses] == ["r"]
        acknowledged.set()

    def test_an_internal_error_is_logged(
        self, process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(process.operations, "rooms", None)
        process.answerer.handle("/", ListRooms(request_id="r"))
        process.handle(ListSockets(request_id="next", rooms=["a"]))
        assert [response.request_id for _, response in process.responses] == ["next"]
        assert "Internal error while answering another server, which counts" in caplog.text


class TestAcknowledgements:
    def ask(self, process: Process, flags: dict[str, Any] | None, *answers: Any) -> None:
        opts = Opts(rooms=["a"], skip=["b"], flags=flags)
        process.operations.answers = [
            *(answers or (("one", ["first", "second"]), ("two", []), ("three", None)))
        ]
        packet = Packet(2, encode_value(["question", 1]))
        process.handle(Ask(uid="asker1", request_id="r", packet=packet, opts=opts))

    @pytest.mark.parametrize("ids", [False, True])
    def test_are_none_of_rooms_that_nobody_here_is_in_and_the_event_is_not_even_decoded(
        self, process: Process, ids: bool
    ) -> None:
        packet, opts = Packet(2, Raw(b"\xc1")), Opts(rooms=["c"], flags={"ids": ids})
        process.handle(Ask(uid="asker1", request_id="r", packet=packet, opts=opts))
        assert process.operations.done == []
        ((_, response),) = process.responses
        assert response.client_count == 0
        assert response.socket_ids == ([] if ids else UNSET)

    def test_are_counted_and_passed_on_without_names_for_node(self, process: Process) -> None:
        self.ask(process, {"timeout": 250})
        ((_, envelope, timeout),) = process.operations.done
        assert timeout == 0.25
        assert envelope == Envelope(
            namespace="/",
            event_name="question",
            args=(1,),
            channels=("a",),
            skip=frozenset(["b"]),
            skip_channels=("b",),
        )
        assert process.responses == [
            (OWN, Response(type=8, request_id="r", client_count=3)),
            (OWN, Response(type=9, request_id="r", packet=encode_value("first"))),
            (OWN, Response(type=9, request_id="r")),
        ]

    def test_are_asked_for_before_anything_that_was_sent_later_is_done(
        self, process: Process
    ) -> None:
        process.operations.answers = [("one", [1])]
        packet, opts = Packet(2, encode_value(["question"])), Opts(rooms=["a"])
        process.answerer.handle("/", Ask(request_id="r", packet=packet, opts=opts))
        process.answerer.handle("/", Leave(opts=opts, rooms=["a"]))
        assert [what for what, *_ in process.operations.done] == ["pass on", "leave"]
        assert [response.type for _, response in process.responses] == [8]
        settle()
        assert [response.type for _, response in process.responses] == [8, 9]

    def test_have_names_for_servers_that_want_them(self, process: Process) -> None:
        self.ask(process, {"ids": True})
        ids = ["one", "two", "three"]
        assert [response for _, response in process.responses] == [
            Response(type=8, request_id="r", client_count=3, socket_ids=ids),
            Response(type=9, request_id="r", packet=encode_value("first"), socket_id="one"),
            Response(type=9, request_id="r", socket_id="two"),
            Response(type=9, request_id="r", socket_id="three", gone=True),
        ]

    def test_with_integers_that_messagepack_can_not_carry_have_floats(
        self, process: Process
    ) -> None:
        """JSON's integers have no end."""
        self.ask(process, {"ids": True}, ("one", [[10**30]]))
        (_, answer), *_ = process.responses[1:]
        assert answer == Response(
            type=9, request_id="r", packet=encode_value([1e30]), socket_id="one"
        )

    @pytest.mark.parametrize("error", [TypeError, ValueError])
    def test_are_none_of_an_event_that_clients_can_not_be_sent(
        self,
        process: Process,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        error: type[Exception],
    ) -> None:
        def pass_on(*args: Any, **options: Any) -> Callable[[], None]:
            raise error("why")

        monkeypatch.setattr(process.operations, "pass_on", pass_on)
        self.ask(process, {"ids": True})
        assert process.responses == [
            (OWN, Response(type=8, request_id="r", client_count=0, socket_ids=[]))
        ]
        assert process.refusals.counts == {"cluster": 1}
        assert caplog.messages == ["Refused (cluster): event 'question' of another server: why"]

    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            (None, 5.0),
            ("1", 5.0),
            (True, 5.0),
            (-1, 0.0),
            (1e300, MAX_ASK_TIMEOUT),
            (float("nan"), 5.0),
            (float("inf"), 5.0),
            (10**400, 5.0),
        ],
        ids=lambda value: repr(value)[:9],
    )
    def test_are_waited_for_as_long_as_the_asking_server_says(
        self, process: Process, said: Any, seconds: float
    ) -> None:
        self.ask(process, None if said is None else {"timeout": said})
        assert process.operations.done[0][2] == seconds


class TestEvents:
    def test_let_handlers_run(self, process: Process) -> None:
        process.handle(ServerEvent(uid="asker1", data=["news", 1]))
        assert process.operations.done == [("run", "/", ["news", 1])]
        assert process.published == []

    @pytest.mark.parametrize(("value", "data"), [({"a": 1}, {"a": 1}), (None, UNSET)])
    def test_are_answered_on_the_common_channel(
        self, process: Process, value: Any, data: Any
    ) -> None:
        process.operations.answer = value
        process.handle(ServerEvent(uid="asker1", request_id="r", data=["news"]))
        assert process.responses == [(COMMON, Response(type=6, request_id="r", data=data))]


ROOMS: st.SearchStrategy[Any] = st.lists(st.text(max_size=3) | st.integers() | st.floats())
ANYTHING: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | ROOMS
    | st.dictionaries(
        st.sampled_from(["rooms", "except", "flags", "nsp", "data", "type"]),
        ROOMS | st.text(max_size=3) | st.none() | st.dictionaries(st.text(max_size=3), ROOMS),
    )
)


class TestGarbage:
    @given(
        st.dictionaries(
            st.sampled_from(
                ["uid", "requestId", "type", "opts", "rooms", "close", "data", "packet"]
            ),
            ANYTHING,
        ),
        st.integers(-1, 10),
    )
    def test_is_refused_or_done_and_nothing_else(self, request: dict[str, Any], kind: int) -> None:
        process = Process()
        for codec in (msgspec.json, msgspec.msgpack):
            with suppress(OverflowError, DecodeError):
                process.handle(decode_request(codec.encode({**request, "type": kind})))
