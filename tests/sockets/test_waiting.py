"""Who waits while much is queued for a client, and who does not."""

from collections.abc import Callable
from typing import Any
from weakref import ref

import gevent
import pytest
from gevent.event import Event

from socketio_server.engine.transports.base import Outgoing
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.serving.timekeeper import GeventTimekeeper
from socketio_server.sockets.delivery import DROPS_PER_TURN
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.targets import EVERYONE
from tests.fakes.hub import PATIENCE, settle
from tests.fakes.net import queued_output
from tests.fakes.server import FakeClient, FakeServer


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(Options(stall_timeout=1000.0))


def fill(client: FakeClient) -> Socket:
    """Let there be no room for what is sent to a client; return its socket."""
    client.transport.is_full = True
    return client.socket


def make_room(client: FakeClient) -> None:
    """Let a client take what waits for it."""
    client.transport.is_full = False
    client.session.room_made(client.transport)
    settle()


def start(function: Callable[..., Any], *args: Any, **kwargs: Any) -> "gevent.Greenlet[..., Any]":
    """Call a function in a greenlet, which may wait."""
    greenlet = gevent.spawn(function, *args, **kwargs)
    settle()
    return greenlet


class Text(str):
    """A value to which references can be weak."""

    __slots__ = ("__weakref__",)


class NotedMessage(Outgoing):
    """A message to which references can be weak."""

    __slots__ = ("__weakref__",)


NOTED: list["ref[Text]"] = []
"""References to what ``noted`` returned."""


def noted() -> Text:
    """Return a value to send that nobody else has."""
    text = Text("hello")
    NOTED.append(ref(text))
    return text


SENDS: dict[str, Callable[[Socket], object]] = {
    "send": lambda socket: socket.send("hi"),
    "emit": lambda socket: socket.emit("message", "hi"),
    "emit with a callback": lambda socket: socket.emit("message", "hi", callback=print),
    "call": lambda socket: socket.call("message", "hi"),
    "send_and_broadcast": lambda socket: socket.send_and_broadcast("hi"),
    "send_and_broadcast_channel": lambda socket: socket.send_and_broadcast_channel("hi", "room"),
}

all_sends = pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)


class TestASendToOneClient:
    @all_sends
    def test_waits_until_there_is_room(
        self, client: FakeClient, send: Callable[[Socket], object]
    ) -> None:
        socket = fill(client)
        start(send, socket)
        assert client.received() == []

        make_room(client)
        (packet,) = client.received()
        assert packet.endswith('["message","hi"]')

    @all_sends
    def test_goes_out_at_once_where_there_is(
        self, client: FakeClient, send: Callable[[Socket], object]
    ) -> None:
        start(send, client.socket)
        assert len(client.received()) == 1

    def test_is_encoded_before_it_waits(self, client: FakeClient) -> None:
        socket = fill(client)
        with pytest.raises(TypeError):
            socket.send(object())

    def test_of_an_acknowledgement_waits_as_well(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        server.registry.on_message(lambda request, socket, context, message: "answer")
        fill(client)
        client.emit("message", "question", ack_id=1)
        assert client.received() == []

        make_room(client)
        assert client.received() == ['31["answer"]']

    @pytest.mark.parametrize(
        "send",
        [
            pytest.param(lambda socket: socket.send(noted()), id="send"),
            pytest.param(lambda socket: socket.emit("page", noted()), id="emit"),
            pytest.param(
                lambda socket: socket.emit("page", noted(), callback=print),
                id="emit with a callback",
            ),
            pytest.param(lambda socket: socket.call("page", noted()), id="call"),
        ],
    )
    def test_keeps_nothing_but_the_message_while_it_waits(
        self, client: FakeClient, send: Callable[[Socket], object]
    ) -> None:
        """Which is counted; the caller's values may take more."""
        start(send, fill(client))
        assert NOTED[-1]() is None

    def test_of_an_acknowledgement_keeps_no_answer_while_it_waits(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        server.registry.on_message(lambda request, socket, context, message: noted())
        fill(client)
        client.emit("message", "question", ack_id=1)

        assert client.received() == []
        assert NOTED[-1]() is None

    def test_keeps_no_question_until_it_is_answered(self, client: FakeClient) -> None:
        encode = client.server.clients.encode
        messages: list[ref[NotedMessage]] = []

        def note(*args: Any) -> Any:
            outgoing = NotedMessage(b"")
            outgoing.frames = encode(*args).frames
            messages.append(ref(outgoing))
            return outgoing

        client.server.clients.encode = note  # type: ignore[assignment, method-assign]
        start(lambda: client.socket.call("question", "?"))

        assert len(client.received()) == 1
        assert messages[0]() is None

    def test_lets_others_go_on(self, server: FakeServer, client: FakeClient) -> None:
        start(fill(client).send, "waits")
        other = server.connect()
        other.socket.send("does not")

        assert other.messages() == ["does not"]


class TestTheLine:
    def test_is_served_in_order(self, client: FakeClient) -> None:
        socket = fill(client)
        for number in range(5):
            start(socket.send, number)
        make_room(client)

        assert client.messages() == [0, 1, 2, 3, 4]

    def test_moves_on_by_as_many_as_there_is_room_for(self, client: FakeClient) -> None:
        socket = fill(client)
        for number in range(3):
            start(socket.send, number)
        send = client.transport.send

        def send_and_be_full(outgoing: Any) -> None:
            send(outgoing)
            client.transport.is_full = True

        client.transport.send = send_and_be_full  # type: ignore[method-assign]
        for number in range(3):
            make_room(client)
            assert client.messages() == [number]

    def test_is_one_for_all_of_a_client_s_namespaces(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        server.registry.on_message(namespace="/admin")(lambda *args: None)
        client.send("0/admin,")
        client.received()
        admin = next(s for _, s, _ in server.clients.values() if s.namespace == "/admin")
        start(fill(client).send, 1)
        start(admin.send, 2)
        start(client.socket.send, 3)
        make_room(client)

        assert client.received() == [
            '2["message",1]',
            '2/admin,["message",2]',
            '2["message",3]',
        ]

    def test_is_not_for_broadcasts(self, server: FakeServer, client: FakeClient) -> None:
        start(fill(client).send, "waits")
        server.connect().socket.broadcast("goes")

        assert client.messages() == ["goes"]

    def test_keeps_one_greenlet_s_sends_and_broadcasts_in_order(self, client: FakeClient) -> None:
        socket = fill(client)

        def send_several() -> None:
            socket.send(1)
            socket.emit("message", 2, to=EVERYONE)
            socket.send(3)

        start(send_several)
        assert client.received() == []
        make_room(client)
        assert client.messages() == [1, 2, 3]

    def test_is_left_by_who_is_killed(self, client: FakeClient) -> None:
        socket = fill(client)
        first = start(socket.send, "never sent")
        start(socket.send, "sent")
        first.kill()
        make_room(client)

        assert client.messages() == ["sent"]


class TestASendToAClientThatHasGone:
    @pytest.fixture(
        params=[
            pytest.param(lambda client: client.send("1"), id="it has left the namespace"),
            pytest.param(lambda client: client.socket.disconnect(), id="it was sent away"),
            pytest.param(lambda client: client.leave(), id="its session is over"),
        ]
    )
    def gone(self, client: FakeClient, request: pytest.FixtureRequest) -> Socket:
        socket = client.socket
        request.param(client)
        client.received()
        return socket

    @pytest.fixture
    def turns(self, server: FakeServer) -> list[object]:
        """How often the loop was given a turn."""
        turns: list[object] = []
        server.clients.timekeeper.let_others_run = (  # type: ignore[method-assign]
            lambda: turns.append(None)
        )
        return turns

    @all_sends
    def test_lets_others_run_now_and_then(
        self,
        client: FakeClient,
        gone: Socket,
        turns: list[object],
        send: Callable[[Socket], object],
    ) -> None:
        for _ in range(2 * DROPS_PER_TURN):
            start(send, gone)

        assert len(turns) == 2
        assert client.received() == []

    def test_does_not_where_it_may_not_wait(
        self, server: FakeServer, gone: Socket, turns: list[object]
    ) -> None:
        server.clients.timekeeper.may_wait = lambda: False  # type: ignore[method-assign]
        for _ in range(DROPS_PER_TURN):
            start(gone.send, "hi")

        assert turns == []


class TestWhoeverWaits:
    @pytest.mark.parametrize(
        "end",
        [
            pytest.param(lambda client: client.send("1"), id="it leaves the namespace"),
            pytest.param(lambda client: client.socket.disconnect(), id="it is sent away"),
            pytest.param(lambda client: client.leave(), id="it is gone"),
        ],
    )
    def test_goes_on_when_the_client_goes_and_its_message_goes_nowhere(
        self, client: FakeClient, end: Callable[[FakeClient], None]
    ) -> None:
        waiting = [start(fill(client).send, number) for number in range(3)]
        end(client)
        settle()

        assert all(greenlet.ready() for greenlet in waiting)
        assert client.received() in ([], ["1"])

    def test_is_the_handler_of_the_client_s_own_for_as_long_as_it_takes(self) -> None:
        server = FakeServer(Options(stall_timeout=0.01))
        sent = Event()

        @server.registry.on_message
        def answer(request: object, socket: Socket, context: object, message: object) -> None:
            socket.send(message)
            sent.set()

        client = server.connect()
        fill(client)
        client.emit("message", "hi")
        gevent.sleep(0.05)
        assert client.closed == []

        make_room(client)
        assert sent.is_set()
        assert client.messages() == ["hi"]

    def test_is_the_handler_of_the_client_s_own_in_whichever_namespace(self) -> None:
        server = FakeServer(Options(stall_timeout=0.01))
        client = server.connect()
        main = fill(client)

        @server.registry.on_message(namespace="/admin")
        def answer(request: object, socket: Socket, context: object, message: object) -> None:
            main.send(message)

        client.send("0/admin,")
        client.received()
        client.send('2/admin,["message","hi"]')
        gevent.sleep(0.05)
        assert client.closed == []

        make_room(client)
        assert client.messages() == ["hi"]

    def test_waits_for_another_client_only_so_long_and_closes_it_then(self) -> None:
        server = FakeServer(Options(stall_timeout=0.05))
        client = server.connect()
        socket = fill(client)
        gevent.spawn(socket.send, "too much").join(PATIENCE)
        settle()

        assert client.closed == [CloseReason.TRANSPORT_ERROR]
        assert client.refusals == [
            "stalled: client made other senders wait too long (SOCKETIO_STALL_TIMEOUT)"
        ]
        assert client.received() == []

    def test_closes_nobody_who_made_room_while_the_loop_was_busy(self) -> None:
        server = FakeServer(Options(stall_timeout=10.0))
        client = server.connect()

        class Late(GeventTimekeeper):
            now = 0.0

            def wait(self, event: Event, timeout: float | None) -> None:
                self.now += 60.0
                client.transport.is_full = False

        server.clients.timekeeper = Late(10.0, bool)
        start(fill(client).send, "hi")

        assert client.closed == []
        assert client.messages() == ["hi"]

    def test_waits_with_call_no_longer_than_its_timeout(self, client: FakeClient) -> None:
        socket = fill(client)
        call = gevent.spawn(socket.call, "question", timeout=0.05)
        call.join(PATIENCE)

        assert isinstance(call.exception, TimeoutError)
        assert client.closed == []
        make_room(client)
        assert client.received() == []

    def test_waits_with_a_callback_no_longer_than_its_timeout(self, client: FakeClient) -> None:
        socket = fill(client)
        answers: list[object] = []
        emit = gevent.spawn(socket.emit, "question", callback=answers.append, timeout=0.05)
        emit.join(PATIENCE)

        assert emit.ready()
        assert client.closed == []
        make_room(client)
        assert client.received() == []

    def test_has_only_the_rest_of_its_timeout_for_the_callback(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        timers: list[float] = []

        class Slow(GeventTimekeeper):
            now = 0.0

            def wait(self, event: Event, timeout: float | None) -> None:
                self.now += 20.0
                client.transport.is_full = False

            def call_later(self, seconds: float, func: Callable[[], None]) -> Callable[[], None]:
                timers.append(seconds)
                return func

        server.clients.timekeeper = Slow(1000.0, bool)
        start(fill(client).emit, "question", callback=print, timeout=60.0)

        assert timers == [40.0]
        assert len(client.received()) == 1


class TestWhoMayNotWait:
    """It queues."""

    def test_is_whoever_the_timekeeper_says(self, server: FakeServer, client: FakeClient) -> None:
        """Loop callbacks, transactions and a server that stops."""
        server.clients.timekeeper.may_wait = lambda: False  # type: ignore[method-assign]
        fill(client).send("queued")

        assert client.messages() == ["queued"]

    def test_is_a_callback_of_the_loop(self, client: FakeClient) -> None:
        socket = fill(client)
        gevent.get_hub().loop.run_callback(socket.send, "queued")
        settle()

        assert client.messages() == ["queued"]

    def test_is_who_sends_while_the_client_may_still_be_refused(self, server: FakeServer) -> None:
        went_on = Event()

        @server.registry.on_connect
        def connect(request: object, socket: Socket, context: object) -> None:
            socket.send("welcome")
            went_on.set()

        client = server.open()
        client.transport.is_full = True
        client.send("0")

        assert went_on.is_set()

    def test_is_a_volatile_message_which_is_left_out(self, client: FakeClient) -> None:
        socket = fill(client)
        client.transport.writable = False
        socket.emit("message", "left out", volatile=True)
        make_room(client)

        assert client.received() == []


class TestABroadcast:
    @pytest.fixture
    def turns(self, server: FakeServer) -> list[object]:
        """How often the loop was given a turn."""
        turns: list[object] = []
        server.clients.timekeeper.let_others_run = (  # type: ignore[method-assign]
            lambda: turns.append(None)
        )
        server.clients.output = queued_output(server.loop, server.options)
        return turns

    def broadcast(self, server: FakeServer, *, crosses: bool) -> None:
        client = server.connect()
        output = server.clients.output
        assert output is not None
        send = client.transport.send

        def send_much(outgoing: Any) -> None:
            send(outgoing)
            output.crossings += crosses

        client.transport.send = send_much  # type: ignore[method-assign]
        start(server.connect().socket.broadcast, "hi")

    def test_lets_the_loop_take_a_turn_when_it_has_queued_much(
        self, server: FakeServer, turns: list[object]
    ) -> None:
        self.broadcast(server, crosses=True)
        assert len(turns) == 1

    def test_takes_no_turn_of_the_loop_when_it_has_queued_little(
        self, server: FakeServer, turns: list[object]
    ) -> None:
        self.broadcast(server, crosses=False)
        assert turns == []

    def test_takes_no_turn_of_the_loop_where_it_may_not_wait(
        self, server: FakeServer, turns: list[object]
    ) -> None:
        server.clients.timekeeper.may_wait = lambda: False  # type: ignore[method-assign]
        self.broadcast(server, crosses=True)
        assert turns == []

    @pytest.mark.parametrize("channel", [None, "room"])
    def test_with_an_own_part_serves_the_others_first(
        self, server: FakeServer, channel: str | None
    ) -> None:
        sender, other = [server.connect(channels=["room"]) for _ in range(2)]
        socket = fill(sender)
        if channel is None:
            start(socket.send_and_broadcast, "hi")
        else:
            start(socket.send_and_broadcast_channel, "hi", channel)

        assert other.messages() == ["hi"]
        assert sender.received() == []
        make_room(sender)
        assert sender.messages() == ["hi"]
