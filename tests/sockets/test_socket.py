"""What handlers hold: sends, broadcasts, channels, events of their own, acknowledgements.

The sockets are those of a server whose clients are looked at (``tests.fakes.FakeServer``).
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import gevent
import pytest
from gevent.event import Event

from socketio_server.events import EVERYONE, OTHERS, SocketSession
from socketio_server.exceptions import Reject
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.acknowledgements import ack_ids
from socketio_server.sockets.delivery import Delivery
from socketio_server.sockets.socket import Socket
from tests.fakes import PATIENCE, FakeClient, FakeServer, queued_output, settle


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def client(server: FakeServer) -> FakeClient:
    return server.connect()


def received(*clients: FakeClient) -> list[list[object]]:
    return [client.messages() for client in clients]


class TestIdentity:
    def test_the_session_id_is_what_the_client_sees(self, client: FakeClient) -> None:
        assert client.socket.session.session_id == client.id
        assert client.socket.id == client.id

    def test_it_has_at_most_20_characters_and_is_never_the_same(self, server: FakeServer) -> None:
        ids = {server.connect().id for _ in range(50)}

        assert len(ids) == 50
        assert all(0 < len(session_id) <= 20 for session_id in ids)

    def test_it_is_never_the_secret_of_the_session(self, client: FakeClient) -> None:
        assert client.socket.session.session_id != client.session.sid

    def test_it_knows_its_request_and_what_the_client_brought(self, server: FakeServer) -> None:
        request = object()
        socket = server.connect(request=request, auth={"token": "abc"}).socket

        assert socket.request is request
        assert socket.auth == {"token": "abc"}
        assert socket.namespace == "/"
        assert socket.recovered is False

    def test_without_auth_there_is_none(self, client: FakeClient) -> None:
        assert client.socket.auth is None

    @pytest.mark.parametrize("name", ["polling", "websocket"])
    def test_it_knows_its_transport(self, server: FakeServer, name: str) -> None:
        assert server.connect(name=name).socket.transport == name


class TestConnected:
    def test_it_is_until_the_client_goes(self, client: FakeClient) -> None:
        socket = client.socket
        assert socket.connected()
        assert socket.close_reason is None

        client.leave(CloseReason.PING_TIMEOUT)
        assert not socket.connected()
        assert socket.close_reason == "ping timeout"

    def test_after_the_end_it_still_knows_its_transport(self, server: FakeServer) -> None:
        client = server.connect(name="polling")
        socket = client.socket
        client.leave()

        assert socket.transport == "polling"


class TestSend:
    def test_this_client_gets_it_and_no_other(self, server: FakeServer) -> None:
        one, other = server.connect(), server.connect()
        one.socket.send("hi")

        assert received(one, other) == [["hi"], []]

    @pytest.mark.parametrize(
        "message", ["text", "", 0, 1.5, True, None, [1, [2]], {"a": {"b": None}}, "été €😀"]
    )
    def test_a_message_is_anything_that_json_carries(
        self, client: FakeClient, message: object
    ) -> None:
        client.socket.send(message)

        assert client.messages() == [message]

    def test_messages_arrive_in_the_order_of_the_sends(self, client: FakeClient) -> None:
        for i in range(100):
            client.socket.send(i)

        assert client.messages() == list(range(100))

    def test_bytes_go_as_attachments(self, client: FakeClient) -> None:
        client.socket.send({"file": b"\x01", "more": [b"\x02"]})

        head, *attachments = client.received()
        assert head.startswith("52-[")
        assert attachments == ["bAQ==", "bAg=="]

    def test_after_the_end_it_is_dropped(self, client: FakeClient) -> None:
        socket = client.socket
        client.leave()
        socket.send("too late")

        assert client.received() == []


class TestBroadcast:
    def test_every_other_client_gets_it(self, server: FakeServer) -> None:
        sender, same, other = (
            server.connect(channels=["room"]),
            server.connect(channels=["room"]),
            server.connect(),
        )
        sender.socket.broadcast("hi")

        assert received(sender, same, other) == [[], ["hi"], ["hi"]]

    def test_with_the_sender_as_well(self, server: FakeServer) -> None:
        sender, other = server.connect(), server.connect()
        sender.socket.send_and_broadcast("hi")

        assert received(sender, other) == [["hi"], ["hi"]]

    def test_alone_it_reaches_nobody(self, client: FakeClient) -> None:
        client.socket.broadcast("hi")

        assert client.received() == []


class TestBroadcastChannel:
    def test_every_other_client_on_the_channel_gets_it(self, server: FakeServer) -> None:
        sender = server.connect(channels=["room", "other"])
        inside, outside = server.connect(channels=["room"]), server.connect(channels=["other"])
        sender.socket.broadcast_channel("hi", "room")

        assert received(sender, inside, outside) == [[], ["hi"], []]

    def test_the_sender_need_not_be_on_it(self, server: FakeServer) -> None:
        sender, inside = server.connect(), server.connect(channels=["room"])
        sender.socket.broadcast_channel("hi", "room")

        assert received(sender, inside) == [[], ["hi"]]

    def test_without_a_channel_it_is_for_all_of_the_sender_s_each_client_once(
        self, server: FakeServer
    ) -> None:
        sender = server.connect(channels=["a", "b"])
        both, one = server.connect(channels=["a", "b"]), server.connect(channels=["b", "c"])
        none = server.connect(channels=["c"])
        sender.socket.broadcast_channel("hi")

        assert received(sender, both, one, none) == [[], ["hi"], ["hi"], []]

    def test_without_a_channel_a_sender_on_none_reaches_nobody(self, server: FakeServer) -> None:
        sender, other = server.connect(), server.connect(channels=["room"])
        sender.socket.broadcast_channel("hi")

        assert received(sender, other) == [[], []]

    @pytest.mark.parametrize("subscribed", [True, False], ids=["on it", "not on it"])
    def test_with_the_sender_as_well_once(self, server: FakeServer, subscribed: bool) -> None:
        sender = server.connect(channels=["room"] if subscribed else [])
        inside, outside = server.connect(channels=["room"]), server.connect()
        sender.socket.send_and_broadcast_channel("hi", "room")

        assert received(sender, inside, outside) == [["hi"], ["hi"], []]

    def test_with_the_sender_as_well_on_all_of_its_channels(self, server: FakeServer) -> None:
        sender = server.connect(channels=["a", "b"])
        both = server.connect(channels=["a", "b"])
        sender.socket.send_and_broadcast_channel("hi")

        assert received(sender, both) == [["hi"], ["hi"]]


class TestWhatCanNotBeEncoded:
    """Raises at the call, before anything is sent to anyone."""

    @pytest.mark.parametrize(
        "send",
        [
            pytest.param(lambda socket, message: socket.send(message), id="send"),
            pytest.param(lambda socket, message: socket.broadcast(message), id="broadcast"),
            pytest.param(
                lambda socket, message: socket.broadcast_channel(message, "room"),
                id="broadcast_channel",
            ),
            pytest.param(
                lambda socket, message: socket.send_and_broadcast(message), id="send_and_broadcast"
            ),
            pytest.param(
                lambda socket, message: socket.send_and_broadcast_channel(message, "room"),
                id="send_and_broadcast_channel",
            ),
            pytest.param(lambda socket, message: socket.emit("news", message), id="emit"),
            pytest.param(
                lambda socket, message: socket.emit("news", message, to="room"), id="emit to"
            ),
        ],
    )
    @pytest.mark.parametrize("message", [object(), {"a": [lambda: None]}], ids=["object", "deep"])
    def test_it_reaches_nobody(
        self, server: FakeServer, send: Callable[[Socket, object], None], message: object
    ) -> None:
        clients = [server.connect(channels=["room"]) for _ in range(3)]
        with pytest.raises(TypeError):
            send(clients[0].socket, message)

        assert received(*clients) == [[], [], []]


class TestSubscribe:
    def test_it_says_whether_it_changed_something(self, client: FakeClient) -> None:
        assert client.socket.subscribe("room") is True
        assert client.socket.subscribe("room") is False
        assert client.socket.unsubscribe("room") is True
        assert client.socket.unsubscribe("room") is False

    def test_channels_stand_in_the_order_of_subscription(self, client: FakeClient) -> None:
        for channel in ("b", "a", "c", "a"):
            client.socket.subscribe(channel)
        client.socket.unsubscribe("b")
        client.socket.subscribe("b")

        assert tuple(client.socket.channels) == ("a", "c", "b")

    def test_it_fires_no_event(self, server: FakeServer, client: FakeClient) -> None:
        def fail(*args: object) -> None:
            raise AssertionError("an event was fired")

        server.registry.on_subscribe(fail)
        server.registry.on_unsubscribe(fail)
        client.socket.subscribe("room")
        client.socket.unsubscribe("room")
        settle()

        assert client.received() == []

    @pytest.mark.parametrize("channel", [5, b"room", UUID(int=1), None])
    def test_a_channel_that_is_no_string_is_refused(self, client: FakeClient, channel: Any) -> None:
        for change in (client.socket.subscribe, client.socket.unsubscribe):
            with pytest.raises(TypeError, match=r"^channel must be a string, not "):
                change(channel)
        with pytest.raises(TypeError):
            client.socket.broadcast_channel("hi", 5)  # type: ignore[arg-type]

        assert not client.socket.channels

    def test_a_channel_without_a_name_is_refused(self, client: FakeClient) -> None:
        for change in (client.socket.subscribe, client.socket.unsubscribe):
            with pytest.raises(ValueError, match="must not be empty"):
                change("")

        assert not client.socket.channels

    def test_what_comes_from_the_channel_arrives_from_then_on(self, server: FakeServer) -> None:
        one, other = server.connect(), server.connect()
        one.socket.subscribe("room")
        other.socket.broadcast_channel("heard", "room")
        one.socket.unsubscribe("room")
        other.socket.broadcast_channel("missed", "room")

        assert one.messages() == ["heard"]

    def test_one_that_has_ended_stays_off_all_channels(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        """A greenlet that outlives the connection must not leave a dead socket behind."""
        socket = client.socket
        client.leave()
        socket.subscribe("room")

        assert not server.clients.channels.subscribers("/", "room")
        assert "room" not in server.clients.channels


# --- Custom events ----------------------------------------------------------------------------


class TestEmit:
    def test_this_client_gets_the_event(self, server: FakeServer) -> None:
        one, other = server.connect(), server.connect()
        one.socket.emit("news", 1, {"a": [2]})
        one.socket.emit("nothing")

        assert one.received() == ['2["news",1,{"a":[2]}]', '2["nothing"]']
        assert other.received() == []

    @pytest.mark.parametrize(
        ("to", "expected"),
        [
            ("a", [True, True, False]),
            (["a", "b"], [True, True, True]),
            ((), [False, False, False]),
            (EVERYONE, [True, True, True]),
        ],
    )
    def test_those_that_it_is_for_get_the_event_once(
        self, server: FakeServer, to: Any, expected: list[bool]
    ) -> None:
        clients = [server.connect(channels=channels) for channels in (["a"], ["a", "b"], ["b"])]
        clients[0].socket.emit("news", to=to)

        assert [client.received() == ['2["news"]'] for client in clients] == expected

    def test_those_to_skip_do_not_get_the_event(self, server: FakeServer) -> None:
        one, other = server.connect(), server.connect()
        one.socket.emit("news", to=EVERYONE, skip=[one.id])
        one.socket.emit("news", skip=[one.id])

        assert one.received() == []
        assert other.received() == ['2["news"]']

    @pytest.mark.parametrize("skip", [str, SocketSession, lambda one: [SocketSession(one)]])
    def test_one_to_skip_may_be_given_as_its_id_or_its_session(
        self, server: FakeServer, skip: Callable[[str], Any]
    ) -> None:
        one, other = server.connect(channels=["room"]), server.connect(channels=["room"])
        one.socket.emit("news", to="room", skip=skip(one.id))
        one.socket.emit("news", skip=skip(one.id))

        assert one.received() == []
        assert other.received() == ['2["news"]']

    def test_those_on_channels_to_skip_do_not_get_the_event(self, server: FakeServer) -> None:
        clients = [server.connect(channels=held) for held in (["a"], ["a", "muted"], ["b"], [])]
        clients[0].socket.emit("news", to=["a", "b"], skip_channels="muted")
        clients[0].socket.emit("weather", to=EVERYONE, skip_channels=["b", "muted", "nobody"])
        clients[0].socket.emit("own", skip_channels=["b", "a"])
        clients[0].socket.emit("mine", skip_channels=["b"])

        assert [client.received() for client in clients] == [
            ['2["news"]', '2["weather"]', '2["mine"]'],
            [],
            ['2["news"]'],
            ['2["weather"]'],
        ]

    def test_the_others_are_all_but_this_client(self, server: FakeServer) -> None:
        one, other, third = server.connect(), server.connect(), server.connect()
        one.socket.emit("news", to=OTHERS, skip=third.id)

        assert [client.received() for client in (one, other, third)] == [[], ['2["news"]'], []]

    def test_one_client_is_named_by_its_session(self, server: FakeServer) -> None:
        """It is a tuple, and no channel: clients choose the names of channels."""
        one, other = server.connect(), server.connect()
        eavesdropper = server.connect(channels=[other.id])
        one.socket.emit("news", to=other.socket.session)
        one.socket.emit("weather", to=SocketSession(one.id))
        one.socket.emit("nothing", to=other.socket.session, skip=other.id)
        one.socket.emit("nothing", to=SocketSession("nobody"))

        assert one.received() == ['2["weather"]']
        assert other.received() == ['2["news"]']
        assert eavesdropper.received() == []

    def test_one_client_is_found_in_the_same_namespace_only(self, server: FakeServer) -> None:
        server.registry.on_connect(lambda *args: None, namespace="/admin")
        client = server.connect()
        client.send("0/admin,")
        admin = next(s for _, s, _ in server.clients.values() if s.namespace == "/admin")
        client.received()
        client.socket.emit("news", to=admin.session)

        assert client.received() == []

    @pytest.mark.parametrize(
        "arguments",
        [
            {"to": 5},
            {"to": b"room"},
            {"to": [5]},
            {"skip": 5},
            {"skip_channels": 5},
            {"callback": 5},
            {"callback": print, "timeout": "5"},
        ],
    )
    def test_arguments_of_a_wrong_type_are_refused(
        self, client: FakeClient, arguments: dict[str, Any]
    ) -> None:
        with pytest.raises(TypeError):
            client.socket.emit("news", **arguments)
        assert client.received() == []

    @pytest.mark.parametrize(
        "arguments",
        [{"to": ""}, {"skip_channels": [""]}, {"callback": print, "timeout": -1}, {"timeout": 5}],
    )
    def test_arguments_that_make_no_sense_are_refused(
        self, client: FakeClient, arguments: dict[str, Any]
    ) -> None:
        with pytest.raises(ValueError, match=r"empty|timeout"):
            client.socket.emit("news", **arguments)
        assert client.received() == []

    def test_a_callback_that_would_never_run_is_refused(self, client: FakeClient) -> None:
        async def answered(value: object) -> None: ...

        with pytest.raises(TypeError, match=r"callback .* async def"):
            client.socket.emit("news", callback=answered)

    @pytest.mark.parametrize("name", [None, True, 5, b"news"])
    def test_a_name_that_is_no_string_is_refused(self, client: FakeClient, name: Any) -> None:
        with pytest.raises(TypeError, match="event's name"):
            client.socket.emit(name)
        with pytest.raises(TypeError, match="event's name"):
            client.socket.call(name)
        assert client.received() == []

    def test_a_volatile_one_is_dropped_where_the_client_is_slow(self, server: FakeServer) -> None:
        slow, ready = server.connect(), server.connect()
        slow.transport.writable = False
        slow.socket.emit("news", volatile=True)
        slow.socket.emit("weather", to=EVERYONE, volatile=True)
        slow.socket.emit("lasting")

        assert slow.received() == ['2["lasting"]']
        assert ready.received() == ['2["weather"]']

    @pytest.mark.parametrize(
        "name",
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener"],
    )
    def test_a_reserved_name_is_refused(self, client: FakeClient, name: str) -> None:
        with pytest.raises(ValueError, match=name):
            client.socket.emit(name)
        with pytest.raises(ValueError, match=name):
            client.socket.call(name)

        assert client.received() == []


def ack_id_of(packet: str, event: str) -> int:
    """The id that a packet wants to be acknowledged with."""
    digits, _, rest = packet.removeprefix("2").partition("[")
    assert rest.startswith(f'"{event}"')
    return int(digits)


class TestCallbacks:
    def test_one_is_called_with_what_the_client_acknowledges(self, client: FakeClient) -> None:
        answers: list[tuple[object, ...]] = []
        client.socket.emit("question", 1, callback=lambda *values: answers.append(values))
        (packet,) = client.received()
        ack_id = ack_id_of(packet, "question")
        assert answers == []

        client.send(f'3{ack_id}["yes",2]')
        assert answers == [("yes", 2)]

    def test_it_is_called_once(self, client: FakeClient) -> None:
        answers: list[object] = []
        client.socket.emit("question", callback=answers.append)
        ack_id = ack_id_of(client.received()[0], "question")
        client.send(f"3{ack_id}[1]", f"3{ack_id}[2]")

        assert answers == [1]
        assert client.closed == []

    def test_an_acknowledgement_that_nobody_asked_for_is_ignored(self, client: FakeClient) -> None:
        client.send("3987654321[1]")

        assert client.closed == []

    def test_another_client_can_not_answer_instead(self, server: FakeServer) -> None:
        asked, other = server.connect(), server.connect()
        answers: list[object] = []
        asked.socket.emit("question", callback=answers.append)
        ack_id = ack_id_of(asked.received()[0], "question")
        other.send(f'3{ack_id}["forged"]')

        assert answers == []

    def test_a_client_that_does_not_know_yet_that_it_is_connected_can_not_answer(
        self, server: FakeServer
    ) -> None:
        """It has been asked nothing, and guesses."""
        go_on = Event()
        answers: list[object] = []

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: object) -> None:
            socket.emit("question", callback=answers.append)
            go_on.wait()

        client = server.open()
        client.send("0")
        ack_id = next(ack_ids) - 1
        client.send(f'3{ack_id}["a guess"]')
        go_on.set()
        settle()
        assert ack_id_of(client.received()[-1], "question") == ack_id
        client.send(f'3{ack_id}["answer"]')

        assert answers == ["answer"]

    def test_after_the_timeout_it_is_not_called(self, client: FakeClient) -> None:
        answers: list[object] = []
        client.socket.emit("question", callback=answers.append, timeout=0.001)
        gevent.sleep(0.1)  # in which the loop reads what has arrived in time, and then gives up
        ack_id = ack_id_of(client.received()[0], "question")
        client.send(f"3{ack_id}[1]")

        assert answers == []
        assert client.closed == []

    def test_in_time_it_is(self, client: FakeClient) -> None:
        answers: list[object] = []
        client.socket.emit("question", callback=answers.append, timeout=60.0)
        ack_id = ack_id_of(client.received()[0], "question")
        client.send(f"3{ack_id}[1]")

        assert answers == [1]

    def test_where_the_client_goes_it_is_not_called(self, client: FakeClient) -> None:
        answers: list[object] = []
        client.socket.emit("question", callback=answers.append)
        client.leave()

        assert answers == []

    def test_the_oldest_is_forgotten_where_a_client_owes_too_many(
        self, client: FakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("socketio_server.sockets.acknowledgements.MAX_PENDING", 3)
        answers: list[object] = []
        for _ in range(4):
            client.socket.emit("question", callback=answers.append)
        first, *others = (ack_id_of(packet, "question") for packet in client.received())
        client.send(f'3{first}["too late"]')
        assert answers == []
        for number, ack_id in enumerate(others):
            client.send(f"3{ack_id}[{number}]")

        assert answers == [0, 1, 2]

    def test_it_is_for_one_client_only(self, client: FakeClient) -> None:
        with pytest.raises(ValueError, match="callback"):
            client.socket.emit("question", to=EVERYONE, callback=print)

    def test_it_runs_in_the_socket_s_order_of_events(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        order: list[str] = []

        @server.registry.on_message
        def message(request: object, socket: Socket, context: object, message: str) -> None:
            gevent.sleep(0)
            order.append(message)

        client.socket.emit("question", callback=order.append)
        ack_id = ack_id_of(client.received()[0], "question")
        client.send('2["message","before"]', f'3{ack_id}["answer"]', '2["message","after"]')

        assert order == ["before", "answer", "after"]

    def test_one_that_raises_ends_nothing(self, server: FakeServer, client: FakeClient) -> None:
        errors: list[Exception] = []

        @server.registry.on_error
        def error(request: object, socket: object, context: object, error: Exception) -> None:
            errors.append(error)

        def callback(value: object) -> None:
            raise LookupError

        client.socket.emit("question", callback=callback)
        ack_id = ack_id_of(client.received()[0], "question")
        client.send(f"3{ack_id}[1]")

        assert [type(e) for e in errors] == [LookupError]
        assert client.socket.connected()


class TestCall:
    """Emits and waits; other sockets go on meanwhile."""

    def call(
        self, socket: Socket, *args: Any, **kwargs: Any
    ) -> "gevent.Greenlet[..., tuple[Any, BaseException | None]]":
        """Call in a greenlet; it returns what ``call`` returned, and raised."""

        def run() -> tuple[Any, BaseException | None]:
            try:
                return socket.call(*args, **kwargs), None
            except (TimeoutError, RuntimeError, LookupError) as error:
                return None, error

        greenlet = gevent.spawn(run)
        gevent.sleep(0)
        return greenlet

    @pytest.mark.parametrize(
        ("json", "value"),
        [("[1]", 1), ("[1,2]", (1, 2)), ("[]", None), ("[[1,2]]", [1, 2]), ("[null]", None)],
    )
    def test_it_returns_what_the_client_acknowledges(
        self, client: FakeClient, json: str, value: object
    ) -> None:
        call = self.call(client.socket, "question", "arg", timeout=60.0)
        (packet,) = client.received()
        assert packet.endswith('["question","arg"]')
        client.send(f"3{ack_id_of(packet, 'question')}{json}")

        assert call.get(block=False) == (value, None)

    def test_it_raises_where_nothing_comes_in_time(self, client: FakeClient) -> None:
        call = self.call(client.socket, "question", timeout=0.001)

        assert type(call.get(timeout=PATIENCE)[1]) is TimeoutError

    @pytest.mark.parametrize(("timeout", "error"), [("5", TypeError), (-1, ValueError)])
    def test_it_refuses_a_wrong_timeout_before_it_asks(
        self, client: FakeClient, timeout: Any, error: type[Exception]
    ) -> None:
        with pytest.raises(error, match="timeout"):
            client.socket.call("question", timeout=timeout)
        assert client.received() == []

    @pytest.mark.parametrize("timeout", [60.0, None])
    def test_it_raises_where_the_client_goes(
        self, client: FakeClient, timeout: float | None
    ) -> None:
        call = self.call(client.socket, "question", timeout=timeout)
        client.leave()

        assert type(call.get(block=False)[1]) is TimeoutError

    @pytest.mark.parametrize("timeout", [60.0, None])
    def test_it_raises_where_the_client_has_gone_already(
        self, client: FakeClient, timeout: float | None
    ) -> None:
        socket = client.socket
        client.leave()
        call = self.call(socket, "question", timeout=timeout)
        settle()

        assert type(call.get(block=False)[1]) is TimeoutError

    def test_it_does_not_wait_for_ever_for_one_of_very_many(self, client: FakeClient) -> None:
        """A client that acknowledges nothing is not remembered without end."""
        call = self.call(client.socket, "question")
        for _ in range(1100):
            client.socket.emit("more", callback=print)
        client.leave()
        settle()

        assert call.ready()
        assert type(call.get(block=False)[1]) is TimeoutError

    def test_a_handler_may_call_its_own_client(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        @server.registry.on_message
        def message(request: object, socket: Socket, context: object, message: object) -> None:
            socket.send(socket.call("question", timeout=60.0))

        client.send('2["message","hi"]')
        ack_id = ack_id_of(client.received()[0], "question")
        client.send(f'3{ack_id}["answer"]')

        assert client.messages() == ["answer"]

    def test_a_client_that_may_still_be_refused_is_not_asked_and_can_not_answer(
        self, server: FakeServer
    ) -> None:
        go_on = Event()

        @server.registry.on_subscribe
        def subscribe(request: object, socket: Socket, context: object, channel: str) -> None:
            if socket.id != member.id:
                go_on.wait()
                raise Reject("no")

        member = server.connect()
        member.emit("__subscribe__", "room")
        doubtful = server.connect()
        doubtful.emit("__subscribe__", "room")
        member.received()

        call = self.call(member.socket, "question", to="room", timeout=60.0)
        (packet,) = member.received()
        ack_id = ack_id_of(packet, "question")
        doubtful.send(f'3{ack_id}["a guess"]')
        member.send(f'3{ack_id}["answer"]')

        assert call.get(block=False) == (({member.id: "answer"}, ()), None)
        go_on.set()
        settle()

    def test_in_on_connect_it_raises_because_the_client_can_not_answer(
        self, server: FakeServer
    ) -> None:
        errors: list[Exception] = []

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: object) -> None:
            try:
                socket.call("question", timeout=60.0)
            except RuntimeError as error:
                errors.append(error)

        server.connect()

        assert len(errors) == 1


class TestACallThatIsBrokenOff:
    """By a ``gevent.Timeout`` of the caller's own, for instance."""

    @pytest.mark.parametrize("to", [None, EVERYONE])
    def test_leaves_no_acknowledgement_pending(
        self, client: FakeClient, to: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forgotten: list[int] = []
        monkeypatch.setattr(
            Delivery, "forget_acknowledgement", lambda self, ack_id: forgotten.append(ack_id)
        )
        call = gevent.spawn(client.socket.call, "question", to=to)
        settle()
        call.kill()

        assert forgotten == [ack_id_of(client.received()[0], "question")]


class TestCallSeveral:
    """Broadcasts with acknowledgements."""

    def call(self, socket: Socket, **kwargs: Any) -> "gevent.Greenlet[..., Any]":
        greenlet = gevent.spawn(socket.call, "question", **kwargs)
        gevent.sleep(0)
        return greenlet

    def answer(self, client: FakeClient, value: object) -> None:
        client.send(f"3{ack_id_of(client.received()[0], 'question')}[{value}]")

    def test_it_collects_all_answers(self, server: FakeServer) -> None:
        a, b = server.connect(channels=["room"]), server.connect(channels=["room"])
        call = self.call(a.socket, to="room", timeout=60.0)
        self.answer(a, 1)
        assert not call.ready()
        self.answer(b, 2)

        answers = call.get(block=False)
        assert answers.values == {a.id: 1, b.id: 2}
        assert answers.missing == ()

    def test_it_asks_the_others(self, server: FakeServer) -> None:
        a, b, c = server.connect(), server.connect(), server.connect(channels=["busy"])
        call = self.call(a.socket, to=OTHERS, skip_channels="busy")
        self.answer(b, 2)

        assert call.get(block=False).values == {b.id: 2}
        assert a.received() == c.received() == []

    def test_it_asks_one_by_its_session(self, server: FakeServer) -> None:
        a, b = server.connect(), server.connect()
        call = self.call(a.socket, to=b.socket.session)
        self.answer(b, 2)

        assert call.get(block=False).values == {b.id: 2}
        assert a.received() == []

    def test_one_that_is_not_there_is_missing(self, client: FakeClient) -> None:
        answers = client.socket.call("question", to=SocketSession("nobody"))

        assert answers == ({}, ("nobody",))

    def test_one_that_is_skipped_is_not_asked(self, client: FakeClient) -> None:
        session = client.socket.session

        assert client.socket.call("question", to=session, skip=session) == ({}, ())
        with pytest.raises(TimeoutError):
            client.socket.call("question", skip=session)

    def test_it_tells_who_did_not_answer_in_time(self, server: FakeServer) -> None:
        a, b = server.connect(), server.connect()
        call = self.call(a.socket, to=EVERYONE, timeout=0.05)
        self.answer(a, 1)

        answers = call.get(timeout=PATIENCE)
        assert answers.values == {a.id: 1}
        assert answers.missing == (b.id,)

    def test_it_tells_who_went_away(self, server: FakeServer) -> None:
        a, b = server.connect(), server.connect()
        call = self.call(a.socket, to=EVERYONE)
        b_id = b.id
        b.leave()
        self.answer(a, 1)

        answers = call.get(block=False)
        assert answers.missing == (b_id,)

    def test_it_tells_who_answered_what_is_no_json(self, server: FakeServer) -> None:
        a, b = server.connect(), server.connect()
        b_id = b.id
        call = self.call(a.socket, to=EVERYONE)
        self.answer(a, 1)
        (question,) = b.received()
        b.send(f"3{question[1 : question.index('[')]}[no")

        assert call.get(block=False).missing == (b_id,)

    def test_it_does_not_wait_for_those_who_are_about_to_end(self, server: FakeServer) -> None:
        """Their last handlers may take a while; they answer nothing any more."""
        go_on = Event()

        @server.registry.on_disconnect
        def disconnect(*args: object) -> None:
            go_on.wait()

        a, b = server.connect(), server.connect()
        b_id = b.id
        b.leave()
        call = self.call(a.socket, to=EVERYONE)
        self.answer(a, 1)

        assert call.ready()
        assert call.get(block=False).missing == (b_id,)
        go_on.set()
        settle()

    def test_it_does_not_wait_for_those_who_are_refused_meanwhile(self, server: FakeServer) -> None:
        a = server.connect()
        go_on = Event()

        @server.registry.on_connect
        def connect(*args: object) -> None:
            go_on.wait()
            raise PermissionError

        refused = server.open()
        refused.send("0")
        call = self.call(a.socket, to=EVERYONE)
        self.answer(a, 1)
        go_on.set()
        settle()

        assert call.ready()
        assert call.get(block=False).values == {a.id: 1}

    def test_where_nobody_is_there_it_returns_at_once(self, client: FakeClient) -> None:
        answers = self.call(client.socket, to="empty").get(block=False)

        assert answers.values == {}
        assert answers.missing == ()


class TestDisconnect:
    def test_it_ends_the_connection_to_the_namespace(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        ended: list[object] = []
        server.registry.on_disconnect(
            lambda request, socket, context: ended.append(socket.close_reason)
        )
        socket = client.socket
        socket.disconnect()
        settle()

        assert client.received() == ["1"]
        assert client.closed == []
        assert ended == ["server namespace disconnect"]
        assert not socket.connected()
        assert len(server.clients) == 0

    def test_the_client_may_join_again(self, server: FakeServer, client: FakeClient) -> None:
        first = client.id
        client.socket.disconnect()
        settle()
        client.send("0")

        assert client.id != first
        assert client.socket.connected()

    def test_with_close_it_ends_the_whole_session(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        ended: list[object] = []
        server.registry.on_disconnect(
            lambda request, socket, context: ended.append(socket.close_reason)
        )
        client.socket.disconnect(close=True)
        settle()

        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]
        assert len(ended) == 1
        assert len(server.clients) == 0

    def test_doing_it_again_changes_nothing(self, server: FakeServer, client: FakeClient) -> None:
        ended: list[object] = []
        server.registry.on_disconnect(lambda *args: ended.append(args))
        socket = client.socket
        socket.disconnect()
        socket.disconnect()
        settle()
        socket.disconnect()
        settle()

        assert len(ended) == 1
        assert client.received() == ["1"]


class TestSlowClients:
    def test_what_is_held_back_for_all_is_bounded(self) -> None:
        server = FakeServer(Options(max_queued_total=50_000))
        server.clients.output = queued_output(server.loop, server.options)
        go_on = Event()

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: object) -> None:
            if request == "slow":
                go_on.wait()

        sender = server.connect()
        slow = server.open(request="slow")
        slow.send("0")
        sender.socket.broadcast("x" * 10_000)
        assert server.clients.output.total > 10_000
        for _ in range(9):
            sender.socket.broadcast("x" * 10_000)
        assert slow.closed == [CloseReason.TRANSPORT_ERROR]
        go_on.set()
        settle()

        assert server.clients.output.total == 0
        assert sender.closed == []

    def test_what_is_held_back_for_one_is_bounded(self) -> None:
        """While its ``on_connect`` runs, messages to it wait (security, 10)."""
        server = FakeServer(Options(max_queued_bytes=1000))
        go_on = Event()

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: object) -> None:
            if request == "slow":
                go_on.wait()

        sender = server.connect()
        slow = server.open(request="slow")
        slow.send("0")
        for _ in range(20):
            sender.socket.broadcast("x" * 100)
        go_on.set()
        settle()

        assert slow.closed == [CloseReason.TRANSPORT_ERROR]
        assert slow.refusals == ["slow client: too many bytes were held back for the client"]
        assert sender.closed == []
