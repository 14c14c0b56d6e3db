"""``CLIENTS``, deliveries to several of them, and the functions for use outside of handlers."""

import datetime
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from django.utils.translation import gettext_lazy

import socketio_server
from socketio_server import OTHERS, NoServer, NoSocket, SocketSession
from socketio_server.clients import CLIENTS
from socketio_server.cluster.broker import Envelope, Recipients
from socketio_server.options import Options
from socketio_server.protocol import cluster_requests
from socketio_server.protocol.redis_adapter import encode_messagepack
from socketio_server.serving import current
from socketio_server.sockets.socket import Socket
from tests.fakes.net import queued_output
from tests.fakes.server import FakeClient, FakeServer
from tests.sockets.steps import received


class TestAsAMapping:
    """What django-socketio's ``CLIENTS`` was: session ids, and what handlers get."""

    def test_a_session_id_gives_request_socket_and_context(self) -> None:
        server = FakeServer()
        request = object()
        client = server.connect(request=request)
        found = server.clients[client.id]

        assert found == (request, client.socket, client.socket.context)
        assert found[2] is client.socket.context

    def test_it_holds_those_who_are_connected(self) -> None:
        server = FakeServer()
        a, b = server.connect(), server.connect()
        assert list(server.clients) == [a.id, b.id]
        assert len(server.clients) == 2

        a.leave()
        assert list(server.clients) == [b.id]
        assert a.id not in server.clients

    def test_an_unknown_id_is_a_key_error(self) -> None:
        with pytest.raises(KeyError):
            FakeServer().clients["nobody"]

    def test_it_is_for_looking_only(self) -> None:
        assert not hasattr(CLIENTS, "__setitem__")
        assert not hasattr(CLIENTS, "__delitem__")


class TestFind:
    def test_a_socket_is_found_in_its_own_namespace_only(self) -> None:
        server = FakeServer()
        client = server.connect()

        assert server.clients.find(client.id, "/") is client.socket
        assert server.clients.find(client.id, "/admin") is None
        assert server.clients.find("nobody", "/") is None


class TestUsers:
    """The rooms of users, which are no channels."""

    def test_who_is_in_one_gets_messages_to_the_user(self) -> None:
        server = FakeServer()
        clients = [server.connect() for _ in range(3)]
        for client in clients[:2]:
            move(client, "~user:auth.user:1")
        server.clients.deliver(to_rooms("~user:auth.user:1"))
        assert [len(client.received()) for client in clients] == [1, 1, 0]

    def test_who_is_moved_to_another_gets_those_no_more(self) -> None:
        server = FakeServer()
        client, other = server.connect(), server.connect()
        for room in ("~user:auth.user:1", "~user:auth.user:2", None):
            move(client, room)
        move(other, "~user:auth.user:2")
        server.clients.deliver(to_rooms("~user:auth.user:1", "~user:auth.user:2"))
        assert client.received() == []
        assert len(other.received()) == 1

    def test_one_is_left_with_the_connection(self) -> None:
        server = FakeServer()
        client = server.connect()
        move(client, "~user:auth.user:1")
        client.leave()
        assert not server.clients.is_wanted("/", "~user:auth.user:1")

    def test_a_room_is_no_channel(self) -> None:
        server = FakeServer()
        client, thief = server.connect(), server.connect()
        move(client, "~user:auth.user:1")
        thief.emit("__subscribe__", "~user:auth.user:1")
        thief.received()
        assert client.socket.channels == []
        server.clients.deliver(to_rooms("~user:auth.user:1"))
        assert thief.received() == []

    def test_a_message_to_the_user_arrives_though_a_subscription_is_refused_meanwhile(
        self,
    ) -> None:
        server = FakeServer()

        @server.registry.on_subscribe
        def refuse(request: object, socket: Socket, context: object, channel: str) -> bool:
            server.clients.deliver(to_rooms("~user:auth.user:1"))
            return False

        client = server.connect()
        move(client, "~user:auth.user:1")
        client.emit("__subscribe__", "room")
        assert any("to the user" in packet for packet in client.received())


def move(client: FakeClient, room: str | None) -> None:
    """Tell the server which user a client is."""
    client.router.set_user_room(room)


def to_rooms(*rooms: str) -> Envelope:
    return Envelope(namespace="/", event_name="message", args=("to the user",), channels=rooms)


class TestMembers:
    def test_a_namespace_without_clients_is_forgotten(self) -> None:
        """Where a handler takes namespaces by a pattern, clients choose the names."""
        server = FakeServer()
        server.registry.on_connect(lambda *args: None, namespace=re.compile("/room-.*"))
        client = server.open()
        client.send("0/room-1,", "0/room-2,", "1/room-1,")

        assert list(server.clients._members) == ["/room-2"]
        assert not server.clients.members("/room-1")


class TestDeliver:
    @pytest.fixture
    def server(self) -> FakeServer:
        return FakeServer()

    def deliver(
        self,
        server: FakeServer,
        *args: object,
        channels: tuple[str, ...] | None = None,
        skip: frozenset[str] = frozenset(),
    ) -> None:
        server.clients.deliver(
            Envelope(namespace="/", event_name="message", args=args, channels=channels, skip=skip)
        )

    def test_without_channels_everyone_gets_it(self, server: FakeServer) -> None:
        clients = [server.connect(), server.connect(channels=["room"])]
        self.deliver(server, "hi")

        assert [client.messages() for client in clients] == [["hi"], ["hi"]]

    def test_with_one_those_on_it(self, server: FakeServer) -> None:
        inside, outside = server.connect(channels=["room"]), server.connect(channels=["other"])
        self.deliver(server, "hi", channels=("room",))

        assert inside.messages() == ["hi"]
        assert outside.received() == []

    def test_with_several_each_once(self, server: FakeServer) -> None:
        both = server.connect(channels=["a", "b"])
        one = server.connect(channels=["b"])
        none = server.connect()
        self.deliver(server, "hi", channels=("a", "b", "c"))

        assert both.messages() == ["hi"]
        assert one.messages() == ["hi"]
        assert none.received() == []

    def test_without_any_channel_nobody_gets_it(self, server: FakeServer) -> None:
        client = server.connect(channels=["room"])
        self.deliver(server, "hi", channels=())

        assert client.received() == []

    def test_those_to_skip_do_not_get_it(self, server: FakeServer) -> None:
        a, b = server.connect(channels=["room"]), server.connect(channels=["room"])
        self.deliver(server, "hi", channels=("room",), skip=frozenset([a.id]))
        self.deliver(server, "all", skip=frozenset([b.id]))

        assert a.messages() == ["all"]
        assert b.messages() == ["hi"]

    def test_it_is_counted_for_each_who_gets_it(self, server: FakeServer) -> None:
        a = server.connect()
        for _ in range(2):
            server.connect()
        before = server.clients.messages_out
        self.deliver(server, "hi", skip=frozenset([a.id]))

        assert server.clients.messages_out - before == 2

    def test_several_events_reach_each_in_order(self, server: FakeServer) -> None:
        a, b = server.connect(channels=["room"]), server.connect(channels=["room"])
        skipped = server.connect(channels=["room"])
        before = server.clients.messages_out
        several = [server.clients.encode("/", "message", (text,)) for text in ("a", "b")]
        wanted = Recipients(namespace="/", channels=("room",), skip=frozenset([skipped.id]))
        server.clients.deliver_encoded(wanted, several)

        assert [a.messages(), b.messages()] == [["a", "b"]] * 2
        assert skipped.received() == []
        assert server.clients.messages_out - before == 4

    def test_it_is_compressed_once_and_only_the_message_is_kept(
        self, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A message may wait for long, and what waits is counted without what was made of it."""
        deflated: list[bytes] = []
        transports = [server.connect().session.transport for _ in range(2)]
        monkeypatch.setattr(
            type(transports[0]), "send", lambda self, event: deflated.append(event.deflated_frames)
        )
        event = server.clients.encode("/", "message", ("x" * 1000,))
        server.clients.deliver_encoded(Recipients(namespace="/"), (event,))

        assert deflated[0] is deflated[1]
        assert event.deflated_frames is not deflated[0]

    def test_nobody_in_another_namespace_gets_it(self, server: FakeServer) -> None:
        client = server.connect(channels=["room"])
        for channels in (None, ("room",)):
            server.clients.deliver(
                Envelope(namespace="/admin", event_name="message", args=("hi",), channels=channels)
            )

        assert client.received() == []

    def test_what_can_not_be_encoded_reaches_nobody(self, server: FakeServer) -> None:
        client = server.connect()
        with pytest.raises(TypeError):
            self.deliver(server, object())

        assert client.received() == []

    def test_what_is_larger_than_what_may_wait_for_a_client_reaches_nobody(
        self, server: FakeServer
    ) -> None:
        client = server.connect()
        server.clients.output = queued_output(server.loop, Options(max_queued_bytes=100))
        with pytest.raises(ValueError, match=r"no more than 100 \(SOCKETIO_MAX_QUEUED_BYTES\)"):
            self.deliver(server, "x" * 100)

        assert client.received() == []

    def test_what_other_processes_would_refuse_is_told_by_its_size_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = FakeServer()
        server.clients.output = queued_output(server.loop, Options(max_queued_bytes=50_000))
        monkeypatch.setattr(cluster_requests, "MAX_DECODED", 100_000)
        verify = server.clients.verify_for_others
        verify("news", encode_messagepack("x" * 20_000))
        with pytest.raises(ValueError, match=r"'news' takes 50003 bytes .*MAX_QUEUED_BYTES"):
            verify("news", encode_messagepack("x" * 50_000))
        with pytest.raises(ValueError, match=r"'news' takes about \d+ bytes once"):
            verify("news", encode_messagepack([[]] * 5_000))

    def test_what_other_processes_would_refuse_is_not_put_off_until_a_commit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clients = FakeServer().clients
        monkeypatch.setattr(cluster_requests, "MAX_DECODED", 100_000)
        args: tuple[object, ...] = ([[]] * 20_000,)
        clients.freeze("/", "news", args)
        monkeypatch.setattr(clients.broker, "reaches_others", True)
        with pytest.raises(ValueError, match="once other processes have decoded it"):
            clients.freeze("/", "news", args)

    def test_binary_data_goes_as_attachments(self, server: FakeServer) -> None:
        client = server.connect()
        self.deliver(server, {"file": b"\x01\x02"})

        assert client.received() == [
            '51-["message",{"file":{"_placeholder":true,"num":0}}]',
            "bAQI=",
        ]

    def test_it_is_encoded_once_for_all(self, server: FakeServer) -> None:
        class Counting:
            encoded = 0

            def __str__(self) -> str:
                return "thing"

        def default(value: object) -> str:
            Counting.encoded += 1
            return str(value)

        server.clients.encoder = type(server.clients.encoder)(default)
        clients = [server.connect() for _ in range(5)]
        self.deliver(server, Counting())

        assert [client.messages() for client in clients] == [["thing"]] * 5
        assert Counting.encoded == 1


# --- Outside of a handler ---------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server whose clients are the process's own."""
    made = FakeServer(clients=CLIENTS)
    yield made
    for recipient in list(CLIENTS.members("/")):
        CLIENTS.discard(recipient)


@pytest.fixture
def clients(server: FakeServer) -> list[FakeClient]:
    """Two clients on a channel, and one on none."""
    room = [server.connect(channels=["room"]) for _ in range(2)]
    return [*room, server.connect()]


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server runs in this process."""
    monkeypatch.setattr(current, "server", SimpleNamespace(options=Options()))


class TestWithoutAServer:
    """In a shell, a command, a Celery task: nobody can be reached from there."""

    @pytest.mark.parametrize(
        ("send", "why"),
        [
            (lambda: socketio_server.send("nobody", 1), "There is no socket"),
            (lambda: socketio_server.broadcast(1), "There are no clients."),
            (
                lambda: socketio_server.broadcast_channel(1, "room"),
                "There are no clients on the channel: room. No",
            ),
        ],
    )
    def test_that_is_said(self, send: Callable[[], None], why: str) -> None:
        with pytest.raises(NoSocket, match=rf"^{why}.*runserver_socketio") as raised:
            send()
        assert type(raised.value) is NoServer

    @pytest.mark.usefixtures("running")
    def test_with_one_it_is_not(self) -> None:
        with pytest.raises(NoSocket) as raised:
            socketio_server.broadcast_channel(1, "room")
        assert type(raised.value) is NoSocket

    def test_emit_reaches_nobody(self) -> None:
        socketio_server.emit("news")


class TestArguments:
    """They are refused before anything is sent, whoever is there."""

    @pytest.mark.parametrize(
        "call",
        [
            lambda: socketio_server.send(5, "hi"),  # type: ignore[arg-type]
            lambda: socketio_server.send(b"an-id", "hi"),  # type: ignore[arg-type]
            lambda: socketio_server.broadcast_channel("hi", 5),  # type: ignore[arg-type]
            lambda: socketio_server.broadcast_channel("hi", None),  # type: ignore[arg-type]
            lambda: socketio_server.broadcast("hi", namespace=None),  # type: ignore[arg-type]
            lambda: socketio_server.emit(None),  # type: ignore[arg-type]
            lambda: socketio_server.emit("news", to=b"room"),  # type: ignore[arg-type]
            lambda: socketio_server.emit("news", skip=5),  # type: ignore[arg-type]
            lambda: socketio_server.call("news", timeout="5"),  # type: ignore[arg-type]
            lambda: socketio_server.call("news", to=[5]),  # type: ignore[list-item]
        ],
    )
    def test_of_a_wrong_type(self, clients: list[FakeClient], call: Callable[[], object]) -> None:
        with pytest.raises(TypeError):
            call()
        assert received(*clients) == [[], [], []]

    @pytest.mark.parametrize(
        "call",
        [
            lambda: socketio_server.broadcast_channel("hi", ""),
            lambda: socketio_server.send("nobody", "hi", namespace="admin"),
            lambda: socketio_server.broadcast("hi", namespace="admin"),
            lambda: socketio_server.emit("news", to=OTHERS),
            lambda: socketio_server.call("news", to=OTHERS),
            lambda: socketio_server.call("news", namespace="admin"),
            lambda: socketio_server.call("news", timeout=-1),
        ],
    )
    def test_that_make_no_sense(
        self, clients: list[FakeClient], call: Callable[[], object]
    ) -> None:
        with pytest.raises(ValueError, match=r"empty|slash|OTHERS|timeout"):
            call()
        assert received(*clients) == [[], [], []]


class TestOnError:
    @pytest.mark.parametrize(
        ("function", "args"),
        [
            (socketio_server.send, ("nobody", "hi")),
            (socketio_server.broadcast, ("hi",)),
            (socketio_server.broadcast_channel, ("hi", "nowhere")),
            (socketio_server.emit, ("news",)),
        ],
    )
    def test_that_is_unknown_is_told_whoever_is_there(
        self, function: Callable[..., None], args: tuple[str, ...]
    ) -> None:
        with pytest.raises(ValueError, match=r'^on_error must be "raise" or "log", not None$'):
            function(*args, on_error=None)


class TestSend:
    def test_one_client_gets_it(self, clients: list[FakeClient]) -> None:
        socketio_server.send(clients[1].id, {"hello": "you"})

        assert received(*clients) == [[], [{"hello": "you"}], []]

    def test_one_is_found_by_its_session_as_well(self, clients: list[FakeClient]) -> None:
        socketio_server.send(clients[1].socket.session, "hi")

        assert received(*clients) == [[], ["hi"], []]

    def test_where_that_one_is_not_there_it_raises(self, clients: list[FakeClient]) -> None:
        with pytest.raises(NoSocket, match=r"^There is no socket with the session ID: nobody$"):
            socketio_server.send("nobody", "hi")

    def test_one_that_has_left_is_not_there(self, clients: list[FakeClient]) -> None:
        session_id = clients[0].id
        clients[0].leave()
        with pytest.raises(NoSocket):
            socketio_server.send(session_id, "hi")

    def test_one_of_another_namespace_is_not_there(self, clients: list[FakeClient]) -> None:
        with pytest.raises(NoSocket):
            socketio_server.send(clients[0].id, "hi", namespace="/admin")


class TestBroadcast:
    def test_every_client_gets_it_once(self, clients: list[FakeClient]) -> None:
        socketio_server.broadcast("hi")

        assert received(*clients) == [["hi"]] * 3

    @pytest.mark.usefixtures("running")
    def test_without_clients_it_raises(self) -> None:
        with pytest.raises(NoSocket, match=r"^There are no clients\.$"):
            socketio_server.broadcast("hi")

    def test_without_clients_in_that_namespace_it_raises(self, clients: list[FakeClient]) -> None:
        with pytest.raises(NoSocket, match=r"^There are no clients\.$"):
            socketio_server.broadcast("hi", namespace="/admin")


class TestBroadcastChannel:
    def test_those_on_the_channel_get_it_once(self, clients: list[FakeClient]) -> None:
        socketio_server.broadcast_channel("hi", "room")

        assert received(*clients) == [["hi"], ["hi"], []]

    def test_without_any_it_raises(self, clients: list[FakeClient]) -> None:
        with pytest.raises(NoSocket, match=r"^There are no clients on the channel: other$"):
            socketio_server.broadcast_channel("hi", "other")

    def test_a_channel_of_another_namespace_is_another(self, clients: list[FakeClient]) -> None:
        with pytest.raises(NoSocket):
            socketio_server.broadcast_channel("hi", "room", namespace="/admin")

    def test_the_channel_of_somebody_s_id_has_nobody_on_it(self, clients: list[FakeClient]) -> None:
        with pytest.raises(NoSocket):
            socketio_server.broadcast_channel("hi", clients[0].id)


class TestEmit:
    def test_everyone_gets_the_event(self, clients: list[FakeClient]) -> None:
        socketio_server.emit("news", 1, [2])

        assert [client.received() for client in clients] == [['2["news",1,[2]]']] * 3

    def test_those_on_a_channel_get_the_event(self, clients: list[FakeClient]) -> None:
        socketio_server.emit("news", to="room")

        assert [client.received() for client in clients] == [['2["news"]'], ['2["news"]'], []]

    def test_those_on_any_of_several_channels_get_the_event_once(
        self, clients: list[FakeClient]
    ) -> None:
        clients[0].socket.subscribe("other")
        socketio_server.emit("news", to=["room", "other"])

        assert [client.received() for client in clients] == [['2["news"]'], ['2["news"]'], []]

    def test_those_to_skip_do_not_get_the_event(self, clients: list[FakeClient]) -> None:
        socketio_server.emit("news", skip=[clients[0].id, clients[2].id])

        assert [client.received() for client in clients] == [[], ['2["news"]'], []]

    def test_those_on_channels_to_skip_do_not_get_the_event(
        self, clients: list[FakeClient]
    ) -> None:
        socketio_server.emit("news", skip=clients[2].id, skip_channels=["room"])

        assert [client.received() for client in clients] == [[], [], []]

    def test_one_may_be_named_by_its_session(self, clients: list[FakeClient]) -> None:
        socketio_server.emit("news", to=clients[1].socket.session)
        socketio_server.emit("news", to=SocketSession("nobody"))

        assert [client.received() for client in clients] == [[], ['2["news"]'], []]

    def test_where_nobody_is_there_it_raises_nothing(self) -> None:
        socketio_server.emit("news")
        socketio_server.emit("news", to="room")

    @pytest.mark.parametrize("name", ["connect", "disconnect", "connect_error", "newListener"])
    def test_a_reserved_name_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match=name):
            socketio_server.emit(name)


class TestWhatCanNotBeEncoded:
    def test_raises_in_the_caller_and_reaches_nobody(self, clients: list[FakeClient]) -> None:
        with pytest.raises(TypeError):
            socketio_server.send(clients[0].id, object())
        with pytest.raises(TypeError):
            socketio_server.broadcast(object())
        with pytest.raises(TypeError):
            socketio_server.broadcast_channel(object(), "room")
        with pytest.raises(TypeError):
            socketio_server.emit("news", object())

        assert received(*clients) == [[], [], []]


class TestWhatDjangoEncodes:
    def test_messages_take_what_its_own_encoder_takes(self, clients: list[FakeClient]) -> None:
        """The app's ``ready`` sees to that."""
        moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
        socketio_server.send(clients[0].id, {"when": moment, "what": gettext_lazy("You")})

        (message,) = clients[0].messages()
        assert message == {"when": "2026-01-02T03:04:05Z", "what": "You"}
