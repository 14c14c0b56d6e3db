"""How messages get to one client: the fastlane, and that nothing does after the end."""

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event

from socketio_server.cluster.broker import Recipients
from socketio_server.engine.transports.base import Outgoing
from socketio_server.net.queued_output import QueuedOutput
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.delivery import Delivery
from socketio_server.sockets.socket import Socket
from tests.fakes.hub import PATIENCE, settle
from tests.fakes.loop import FakeLoop
from tests.fakes.net import queued_output
from tests.fakes.server import FakeClient, FakeServer


class FakeConnection:
    """A connection that takes frames as they are, and keeps them."""

    queued = 0

    def __init__(self) -> None:
        self.high_water = queued_output(FakeLoop()).high_water
        self.written: list[bytes] = []

    def write(self, frames: bytes) -> None:
        self.written.append(frames)


def offer_fastlane(client: FakeClient) -> FakeConnection:
    """Let a client's transport have a connection that takes frames."""
    client.transport.direct = FakeConnection()
    client.socket.send("finds it")
    client.received()
    connection: FakeConnection = client.transport.direct
    return connection


class TestTheFastlane:
    """Messages go straight to the connection of a WebSocket."""

    def test_is_taken_by_what_follows_the_first_message(self, client: FakeClient) -> None:
        connection = offer_fastlane(client)
        client.socket.send("hello")
        client.server.connect().socket.broadcast("to all")

        assert [b"hello" in connection.written[0], b"to all" in connection.written[1]] == [
            True,
            True,
        ]

    def test_takes_several_messages_at_once(self, client: FakeClient) -> None:
        connection, clients = offer_fastlane(client), client.server.clients
        several = [clients.encode("/", "message", (text,)) for text in ("a", "b")]
        clients.deliver_encoded(Recipients(namespace="/"), several)

        assert connection.written == [several[0].frames + several[1].frames]

    @pytest.mark.parametrize(
        ("send", "channels", "events"),
        [
            (lambda socket: socket.send_and_broadcast("hi"), ["full"], 2),
            (lambda socket: socket.send_and_broadcast("hi"), [], 1),
            (lambda socket: socket.send_and_broadcast_channel("hi"), ["a", "b"], 1),
            (lambda socket: socket.send_and_broadcast_channel("hi", "a"), ["a"], 1),
            (lambda socket: socket.send_and_broadcast_channel("hi", "a"), ["b"], 2),
            (lambda socket: socket.send_and_broadcast_channel("hi"), [], 2),
        ],
        ids=[
            "to all, while it must wait",
            "to all",
            "on its channels",
            "on its channel",
            "on others' channel",
            "on none",
        ],
    )
    def test_makes_one_event_of_those_for_this_client_and_for_others(
        self,
        server: FakeServer,
        send: Callable[[Socket], object],
        channels: list[str],
        events: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        client = server.connect(channels=channels)
        connection = offer_fastlane(client)
        connection.queued = connection.high_water + 1 if channels == ["full"] else 0
        encode, encoded = server.clients.encode, []

        def note(*args: Any) -> Outgoing:
            encoded.append(args)
            return encode(*args)

        monkeypatch.setattr(server.clients, "encode", note)
        send(client.socket)

        assert len(encoded) == events
        assert [b"hi" in frames for frames in connection.written] == [True]

    def test_is_left_while_a_subscription_is_decided(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        go_on = Event()

        @server.registry.on_subscribe
        def subscribe(request: object, socket: Socket, context: object, channel: str) -> None:
            go_on.wait(PATIENCE)

        connection = offer_fastlane(client)
        client.emit("__subscribe__", "room")
        server.connect().socket.broadcast_channel("held", "room")
        assert connection.written == []
        assert client.received() == []

        go_on.set()
        settle()
        assert client.received() == ['2["message","held"]']

    def test_is_taken_as_well_where_much_is_queued_and_there_is_room(
        self, client: FakeClient
    ) -> None:
        connection = offer_fastlane(client)
        connection.queued = connection.high_water + 1
        client.socket.send("hello")

        assert len(connection.written) == 1

    @pytest.mark.parametrize("queued", [0, 1])
    def test_is_not_taken_past_those_who_wait_for_room(
        self, client: FakeClient, queued: int
    ) -> None:
        connection = offer_fastlane(client)
        connection.queued = queued * (connection.high_water + 1)
        place = client.session.join_line(b"hello")
        sender = gevent.spawn(client.socket.send, "hello")
        settle()
        assert connection.written == []

        client.session.leave_line(place)
        sender.join(PATIENCE)
        assert len(connection.written) == 1

    def test_is_not_found_by_a_send_that_ends_the_session(self, client: FakeClient) -> None:
        connection = client.transport.direct = FakeConnection()
        client.transport.send = lambda outgoing: client.session.close(  # type: ignore[method-assign]
            CloseReason.TRANSPORT_ERROR
        )
        socket = client.socket
        socket.send("too much")
        socket.send("too late")

        assert connection.written == []


class TestMessagesThatWereHeld:
    def test_are_not_all_deflated(self, client: FakeClient) -> None:
        """The first is, whatever its size, as if it had not waited."""
        delivery = Delivery("id", "/", client.session)
        messages = [Outgoing(b"4" + b"x" * size) for size in (50_000, 20_000, 20_000)]
        delivery.hold(None, 1_000_000, None)
        for outgoing in messages:
            delivery.deliver(outgoing)
        delivery.release(accepted=True)

        assert [each.deflated_frames == each.frames for each in messages] == [False, False, True]

    def test_nor_are_they_before_a_goodbye(self, client: FakeClient) -> None:
        delivery = Delivery("id", "/", client.session)
        messages = [Outgoing(b"4" + b"x" * size) for size in (50_000, 20_000, 20_000)]
        delivery.hold("room", 1_000_000, None)
        delivery.deliver(Outgoing(b"4doubtful"), ["room"])
        for outgoing in messages:
            delivery.deliver(outgoing)
        delivery.close(CloseReason.SERVER_NAMESPACE_DISCONNECT, Outgoing(b"41"))

        assert [each.deflated_frames == each.frames for each in messages] == [False, False, True]


class TestAQuestion:
    def test_goes_past_what_is_held_until_a_subscription_is_decided(
        self, server: FakeServer, client: FakeClient
    ) -> None:
        go_on = Event()

        @server.registry.on_subscribe
        def subscribe(request: object, socket: Socket, context: object, channel: str) -> None:
            go_on.wait(PATIENCE)
            socket.call("question", timeout=PATIENCE)

        client.emit("__subscribe__", "room")
        server.connect().socket.broadcast_channel("held", "room")
        go_on.set()
        settle()
        (question,) = client.received()
        assert question.endswith('["question"]')

        client.send(f"3{question[1 : question.index('[')]}[]")
        assert client.messages() == ["held"]


def kick(socket: Socket, client: FakeClient) -> None:
    socket.disconnect()


def kick_everywhere(socket: Socket, client: FakeClient) -> None:
    socket.disconnect(close=True)


def leave(socket: Socket, client: FakeClient) -> None:
    client.send("1")


def end_by_the_engine(socket: Socket, client: FakeClient) -> None:
    client.session.close(CloseReason.PING_TIMEOUT)


class TestAfterTheEnd:
    """Gone is gone, also while a handler is still busy."""

    @pytest.fixture
    def go_on(self, server: FakeServer) -> Event:
        """Lets the handler of ``on_message`` go on, which then sends to its client."""
        go_on = Event()

        @server.registry.on_message
        def message(request: object, socket: Socket, context: object, message: object) -> None:
            go_on.wait(PATIENCE)
            socket.send("too late")

        return go_on

    @pytest.mark.parametrize("end", [kick, kick_everywhere, leave, end_by_the_engine])
    @pytest.mark.parametrize("has_fastlane", [True, False])
    def test_nothing_reaches_the_client(
        self,
        server: FakeServer,
        client: FakeClient,
        go_on: Event,
        end: Callable[[Socket, FakeClient], None],
        has_fastlane: bool,
    ) -> None:
        connection = offer_fastlane(client) if has_fastlane else FakeConnection()
        socket, other = client.socket, server.connect().socket
        client.emit("message", "be busy")
        client.emit("message", "wait behind that")
        end(socket, client)
        written, goodbye = len(connection.written), client.received()
        assert not socket.connected()

        for _ in range(2):  # the first might find the way for the second
            socket.send("too late")
            other.broadcast("too late")
        go_on.set()
        settle()

        assert len(connection.written) == written
        assert client.received() == []
        assert len(goodbye) <= 1
        assert list(server.clients) == [other.id]

    @pytest.fixture
    def output(self, server: FakeServer) -> QueuedOutput:
        """The account of the messages for all clients."""
        server.clients.output = queued_output(server.loop)
        return server.clients.output

    @pytest.fixture
    def decided(self, server: FakeServer) -> Event:
        """Lets ``on_subscribe`` handlers decide."""
        event = Event()
        server.registry.on_subscribe(lambda *args: event.wait(PATIENCE) and None)
        return event

    @pytest.mark.parametrize("end", [leave, end_by_the_engine])
    def test_messages_that_were_held_are_dropped_at_once(
        self,
        server: FakeServer,
        output: QueuedOutput,
        decided: Event,
        end: Callable[[Socket, FakeClient], None],
    ) -> None:
        client, other = server.connect(), server.connect()
        client.emit("__subscribe__", "room")
        other.socket.broadcast_channel("x" * 100_000, "room")
        assert output.total > 100_000

        end(client.socket, client)
        assert output.total == 0
        decided.set()
        settle()
        assert client.received() == []

    @pytest.mark.parametrize("end", [kick, kick_everywhere])
    def test_what_is_doubtful_never_arrives_and_the_goodbye_waits_for_no_handler(
        self,
        server: FakeServer,
        output: QueuedOutput,
        decided: Event,
        end: Callable[[Socket, FakeClient], None],
    ) -> None:
        client, other = server.connect(), server.connect()
        client.emit("__subscribe__", "room")
        other.socket.broadcast_channel("to those on it", "room")
        other.socket.broadcast("to all")
        assert client.received() == []

        end(client.socket, client)
        assert client.received() == ['2["message","to all"]', "1"]
        assert output.total == 0
        assert client.closed == ([CloseReason.FORCED_SERVER_CLOSE] * (end is kick_everywhere))
        other.socket.broadcast_channel("to those on it", "room")
        decided.set()
        settle()
        assert client.received() == []

    def test_one_that_joins_again_gets_messages_once(
        self, server: FakeServer, client: FakeClient, decided: Event
    ) -> None:
        """Nothing comes to it through the socket that it had before."""
        old, other = client.socket, server.connect().socket
        old.subscribe("secret")
        client.emit("message", "be busy")
        old.disconnect()
        client.send("0")
        client.received()

        other.broadcast("to all")
        other.broadcast_channel("to those on it", "secret")
        decided.set()
        settle()

        assert client.messages() == ["to all"]

    def test_a_question_is_not_answered(self, client: FakeClient) -> None:
        answers: list[Any] = []
        socket = client.socket
        client.leave()
        socket.emit("question", callback=answers.append, timeout=1)
        with pytest.raises(TimeoutError):
            socket.call("question")

        assert answers == []

    def test_it_is_not_writable(self, client: FakeClient) -> None:
        socket = client.socket
        socket.disconnect()

        assert not socket.writable

    def test_the_session_can_still_be_ended(self, client: FakeClient) -> None:
        """The client may be in other namespaces yet."""
        socket = client.socket
        socket.disconnect()
        settle()
        socket.disconnect(close=True)

        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]


class TestAfterARefusal:
    @pytest.fixture
    def refused(self, server: FakeServer) -> Socket:
        """The socket of a client that was refused, and that its handler kept."""
        kept: list[Socket] = []

        @server.registry.on_connect
        def refuse(request: object, socket: Socket, context: object) -> None:
            kept.append(socket)
            raise PermissionError

        server.open().send("0")
        return kept[0]

    def test_it_is_not_connected(self, refused: Socket) -> None:
        assert not refused.connected()

    def test_it_can_not_be_subscribed(self, server: FakeServer, refused: Socket) -> None:
        assert not refused.subscribe("room")
        assert "room" not in server.clients.channels

    def test_the_reason_why_the_client_left_before_stays(self, server: FakeServer) -> None:
        kept: list[Socket] = []
        go_on = Event()

        @server.registry.on_connect
        def refuse(request: object, socket: Socket, context: object) -> None:
            kept.append(socket)
            go_on.wait(PATIENCE)
            raise PermissionError

        client = server.open()
        client.send("0")
        client.leave()
        go_on.set()
        settle()

        assert kept[0].close_reason is CloseReason.TRANSPORT_CLOSE

    def test_a_session_that_the_handler_ended_is_closed(self, server: FakeServer) -> None:
        @server.registry.on_connect
        def refuse(request: object, socket: Socket, context: object) -> None:
            socket.disconnect(close=True)
            raise PermissionError("not you")

        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"not you"}']
        assert client.closed == [CloseReason.FORCED_SERVER_CLOSE]
