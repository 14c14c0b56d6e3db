"""What clients lose that may no longer do what they were let do."""

from collections.abc import Callable

import pytest
from gevent.event import Event

from socketio_server.cluster.broker import Recipients
from socketio_server.dispatch.rights import Grant
from socketio_server.events import Reject
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.registry.guards import Guarded
from socketio_server.sockets.operations import Operations
from socketio_server.sockets.socket import Socket
from tests.dispatch.journal import Boom, Context, Journal
from tests.fakes.hub import settle
from tests.fakes.server import FakeClient, RecordingHooks


class Rights:
    """What users may, as the test says."""

    def __init__(self) -> None:
        self.may_connect: Exception | None = None
        self.channels: set[str] = set()
        self.asked: list[str] = []
        self.error: Exception | None = None


@pytest.fixture
def rights(server: Journal) -> Rights:
    """Let a server's decorator and its ``authorize`` decide by what the test says."""
    rights = Rights()

    def test(request: object) -> None:
        if rights.may_connect is not None:
            raise rights.may_connect

    def connect(*args: object) -> None: ...

    server.registry.on_connect(Guarded(connect, test))

    @server.registry.authorize(channel="^room-")
    def may(request: object, socket: Socket, context: Context, channel: str) -> bool:
        rights.asked.append(channel)
        if rights.error is not None:
            raise rights.error
        return channel in rights.channels

    return rights


def grant_of(server: Journal, client: FakeClient) -> Grant:
    """Return what a client was let do."""
    grants = server.dispatcher.rights._grants.values()
    (found,) = (each for each in grants if each.member.socket is client.socket)
    return found


def verify(server: Journal, client: FakeClient, channels: list[str] | None = None) -> bool:
    """Verify a client again."""
    done = grant_of(server, client).verify(channels, {})
    settle()
    return done


class TestAChannel:
    @pytest.fixture
    def client(self, server: Journal, rights: Rights) -> FakeClient:
        """A client on two guarded channels, and on an open one."""
        rights.channels = {"room-1", "room-2"}
        client = server.connect(channels=["room-1", "room-2", "lobby"])
        server.note("on_unsubscribe")
        return client

    def test_is_kept_while_the_client_may(
        self, server: Journal, rights: Rights, client: FakeClient
    ) -> None:
        assert verify(server, client)
        assert client.socket.channels == ["room-1", "room-2", "lobby"]
        assert client.received() == []

    def test_is_taken_from_a_client_that_may_no_longer_and_it_is_told(
        self, server: Journal, rights: Rights, client: FakeClient
    ) -> None:
        rights.channels = {"room-2"}
        verify(server, client)

        assert client.socket.channels == ["room-2", "lobby"]
        assert client.received() == ['2["__unsubscribed__","room-1","Permission denied"]']
        assert server.entries == [("on_unsubscribe", "room-1")]

    def test_is_taken_with_the_reason_that_authorize_gives(
        self, server: Journal, rights: Rights, client: FakeClient
    ) -> None:
        rights.error = Reject("banned")
        verify(server, client, ["room-1"])

        assert client.received() == ['2["__unsubscribed__","room-1","banned"]']

    def test_is_verified_in_the_language_of_the_client(
        self, server: Journal, rights: Rights
    ) -> None:
        assert isinstance(server.hooks, RecordingHooks)
        server.hooks.captured = "french"
        rights.channels = {"room-1"}
        client = server.connect(channels=["room-1"])
        server.hooks.restored.clear()
        verify(server, client)

        assert server.hooks.restored == ["french"]

    def test_is_verified_alone_where_only_it_is_in_doubt(
        self, server: Journal, rights: Rights, client: FakeClient
    ) -> None:
        rights.asked.clear()
        verify(server, client, ["room-2", "room-3", "lobby"])

        assert rights.asked == ["room-2"]

    def test_is_verified_once_for_all_clients_of_a_session(
        self, server: Journal, rights: Rights, client: FakeClient
    ) -> None:
        other = server.connect(channels=["room-1"])
        rights.asked.clear()
        rights.channels = {"room-2"}
        outcomes: dict[tuple[str, str], str | None] = {}
        for each in (client, other):
            grant_of(server, each).verify(None, outcomes)
        settle()

        assert rights.asked == ["room-1", "room-2"]
        assert other.socket.channels == []

    def test_that_the_server_gave_is_the_server_s_own(
        self, server: Journal, rights: Rights
    ) -> None:
        client = server.connect()
        client.socket.subscribe("room-9")
        rights.channels = {"room-9"}
        client.emit("__subscribe__", "room-9")
        rights.channels = set()
        verify(server, client)

        assert client.socket.channels == ["room-9"]

    @pytest.mark.parametrize("way", ["socket", "operations"])
    def test_is_the_server_s_own_where_it_has_taken_and_given_it(
        self, server: Journal, rights: Rights, client: FakeClient, way: str
    ) -> None:
        if way == "socket":
            client.socket.unsubscribe("room-1")
            client.socket.subscribe("room-1")
        else:
            operations = Operations(server.clients)
            recipients = Recipients(namespace="/")
            operations.leave(recipients, ["room-1"])
            operations.join(recipients, ["room-1"])
            settle()
        rights.channels = set()
        verify(server, client)

        assert client.socket.channels == ["lobby", "room-1"]

    def test_is_the_client_s_own_where_it_has_asked_after_the_server_took_it(
        self, server: Journal, rights: Rights, client: FakeClient
    ) -> None:
        client.socket.unsubscribe("room-1")
        client.emit("__subscribe__", "room-1")
        rights.channels = set()
        verify(server, client)

        assert client.socket.channels == ["lobby"]

    def test_that_on_subscribe_took_is_the_server_s_own_when_it_is_given(
        self, server: Journal, rights: Rights, client: FakeClient
    ) -> None:
        @server.registry.on_subscribe(channel="^room-3$")
        def leave(request: object, socket: Socket, context: Context, channel: str) -> None:
            socket.unsubscribe(channel)

        rights.channels = {"room-3"}
        client.emit("__subscribe__", "room-3")
        client.socket.subscribe("room-3")
        rights.channels = set()
        verify(server, client)

        assert client.socket.channels == ["lobby", "room-3"]

    def test_that_the_client_has_left_or_lost_is_not_verified(
        self, server: Journal, rights: Rights, client: FakeClient
    ) -> None:
        client.emit("__unsubscribe__", "room-1")
        client.socket.unsubscribe("room-2")
        rights.asked.clear()
        verify(server, client)

        assert rights.asked == []

    def test_is_lost_by_asking_again_for_it_too(
        self, server: Journal, rights: Rights, client: FakeClient
    ) -> None:
        rights.channels = {"room-2"}
        client.emit("__subscribe__", "room-1", ack_id=1)

        assert client.socket.channels == ["room-2", "lobby"]
        assert client.received() == [
            '2["__unsubscribed__","room-1","Permission denied"]',
            '31[{"error":"Permission denied"}]',
        ]
        assert server.entries == [("on_unsubscribe", "room-1")]

    def test_on_unsubscribe_runs_behind_the_client_s_earlier_events(
        self, server: Journal, rights: Rights, client: FakeClient
    ) -> None:
        go_on = Event()
        server.registry.on("wait")(lambda *args: go_on.wait() and None)
        client.emit("wait")
        rights.channels = {"room-2"}
        verify(server, client)
        assert client.socket.channels == ["room-2", "lobby"]
        assert server.entries == []

        go_on.set()
        settle()
        assert server.entries == [("on_unsubscribe", "room-1")]


class TestASubscriptionThatIsUnderWay:
    """The right is lost after ``authorize`` has begun."""

    @pytest.mark.parametrize("event", ["authorize", "on_subscribe"])
    @pytest.mark.parametrize("held", [[], ["room-1"]], ids=["new", "again"])
    def test_is_refused(self, server: Journal, rights: Rights, held: list[str], event: str) -> None:
        rights.channels = {"room-1"}
        client = server.connect(channels=held)
        go_on = Event()

        def wait(*args: object) -> bool:
            go_on.wait()
            return True

        getattr(server.registry, event)(wait)
        client.emit("__subscribe__", "room-1", ack_id=1)
        rights.channels = set()
        server.registry.authorize.registrations[1:] = []
        verify(server, client)
        go_on.set()
        settle()

        assert client.socket.channels == []
        assert '31[{"error":"Permission denied"}]' in client.received()


class TestAConnection:
    def test_is_ended_with_its_reason(self, server: Journal, rights: Rights) -> None:
        client = server.connect()
        socket = client.socket
        server.note("on_disconnect", "on_finish")
        rights.may_connect = PermissionError("Please log in.")
        verify(server, client)

        assert client.received() == ['2["__disconnected__","Please log in."]', "1"]
        assert socket.close_reason is CloseReason.AUTHORIZATION_REVOKED
        assert server.entries == ["on_disconnect", "on_finish"]
        assert client.closed == []

    def test_is_ended_without_its_waiting_events(self, server: Journal, rights: Rights) -> None:
        go_on = Event()
        server.registry.on("wait")(lambda *args: go_on.wait() and None)
        server.note("on_message")
        client = server.connect()
        client.emit("wait")
        client.emit("message", "too late")
        rights.may_connect = PermissionError()
        verify(server, client)
        go_on.set()
        settle()

        assert server.entries == []

    def test_is_forgotten_when_it_has_ended(self, server: Journal, rights: Rights) -> None:
        client = server.connect()
        client.send("1")

        assert server.dispatcher.rights._grants == {}


class TestATestThatFails:
    """A database that is away for a moment sends nobody away."""

    @pytest.fixture(params=["decorator", "authorize"])
    def fail(self, request: pytest.FixtureRequest, rights: Rights) -> Callable[[], None]:
        def fail() -> None:
            setattr(
                rights, "may_connect" if request.param == "decorator" else "error", Boom("gone")
            )

        return fail

    def test_leaves_the_client_what_it_has_and_is_logged(
        self,
        server: Journal,
        rights: Rights,
        fail: Callable[[], None],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        rights.channels = {"room-1"}
        client = server.connect(channels=["room-1"])
        fail()

        assert not verify(server, client)
        assert client.socket.channels == ["room-1"]
        assert client.socket.connected()
        (record,) = caplog.records
        assert record.getMessage().startswith("The rights of socket ")
        assert record.exc_info


class TestWhoIsKept:
    def test_are_clients_that_something_guards(self, server: Journal) -> None:
        client = server.connect()
        assert server.dispatcher.rights._grants == {}

        server.registry.authorize(lambda *args: True, namespace="/chat")
        server.connect()
        assert server.dispatcher.rights._grants == {}

        client.send("0/chat,")
        assert len(server.dispatcher.rights._grants) == 1
