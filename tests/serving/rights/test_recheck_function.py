"""``recheck``: what the project asks to verify again."""

from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404
from django.test import override_settings

import socketio_server
from socketio_server import EVERYONE
from socketio_server.decorators import user_passes_test
from socketio_server.events import Registry
from socketio_server.testing import SocketIOClient, SubscriptionRefused
from tests.serving.rights.site import GET_USER, REVOKED, Room, fail_to_read
from tests.support.users import (
    Connect,
    browser_of,
    make_user,
)

pytestmark = pytest.mark.usefixtures("tables")


class TestRecheck:
    def test_takes_a_user_off_a_channel_that_it_may_no_longer_be_on(
        self, connect: Connect, room: Room, log: list[str]
    ) -> None:
        ann, bob = make_user(), make_user("bob")
        client, other = connect(ann), connect(bob)
        room.members -= {"ann"}
        socketio_server.recheck(ann)

        assert client.received == [("__unsubscribed__", "room-1", "Permission denied")]
        assert client.connected
        assert log == ["left room-1"]
        assert other.received == []

    def test_asks_once_for_all_clients_of_a_session(self, connect: Connect, room: Room) -> None:
        ann = make_user()
        browser = browser_of(ann)
        clients = [connect(ann, browser=browser) for _ in range(3)]
        room.asked = 0
        room.members.clear()
        socketio_server.recheck(ann)

        assert room.asked == 1
        assert all(client.received for client in clients)

    def test_disconnects_a_user_whom_the_backend_refuses(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: Any) -> Any:
            raise PermissionDenied("blocked")

        ann = make_user()
        client = connect(ann)
        monkeypatch.setattr(GET_USER, refuse)
        socketio_server.recheck(ann)

        assert client.received == [("__disconnected__", "blocked")]
        assert client.close_reason == REVOKED

    def test_takes_a_user_whom_the_backend_refuses_out_of_its_room(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: Any) -> Any:
            raise PermissionDenied("blocked")

        ann = make_user()
        with SocketIOClient(user=ann, registry=Registry()) as client:
            monkeypatch.setattr(GET_USER, refuse)
            socketio_server.recheck(ann)
            socketio_server.emit("news", to=ann)

            assert client.received == []

    @override_settings(SOCKETIO_REFRESH_INTERVAL=0)
    def test_reads_a_session_and_its_user_once_for_all_its_clients(
        self, connect: Connect, django_assert_num_queries: Any
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        clients = [connect(ann, browser=browser) for _ in range(3)]
        with django_assert_num_queries(2):
            socketio_server.recheck(ann)

        assert all(client.connected for client in clients)

    def test_of_a_channel_verifies_all_who_are_on_it(self, connect: Connect, room: Room) -> None:
        clients = [connect(make_user()), connect(make_user("bob"))]
        clients[0].subscribe("room-2")
        room.members.clear()
        socketio_server.recheck("room-1")

        for client in clients:
            assert client.received == [("__unsubscribed__", "room-1", "Permission denied")]

    def test_of_everyone_verifies_all(self, connect: Connect, room: Room) -> None:
        clients = [connect(make_user()), connect(make_user("bob"))]
        room.members.clear()
        socketio_server.recheck(EVERYONE)

        assert all(client.received for client in clients)

    def test_of_clients_that_nothing_guards_does_nothing(self) -> None:
        with SocketIOClient(registry=Registry()) as client:
            socketio_server.recheck(EVERYONE)
            assert client.connected

    def test_leaves_what_the_server_gave(
        self, connect: Connect, registry: Registry, room: Room
    ) -> None:
        @registry.on("give")
        def give(request: Any, socket: Any, context: Any) -> None:
            socket.subscribe("room-9")

        ann = make_user()
        client = connect(ann)
        client.emit("give")
        room.members.clear()
        socketio_server.recheck(ann)

        (event,) = client.received
        assert event[1] == "room-1"

    @pytest.mark.parametrize("to", [1, None, ["room-1"], b"room"])
    def test_of_anything_else_is_a_type_error(self, to: Any) -> None:
        with pytest.raises(TypeError, match=r"^to must be a channel, a user or EVERYONE, not "):
            socketio_server.recheck(to)

    def test_of_nobody_is_a_value_error(self) -> None:
        from django.contrib.auth.models import AnonymousUser

        with pytest.raises(ValueError, match="told from others"):
            socketio_server.recheck(AnonymousUser())
        with pytest.raises(ValueError, match="empty"):
            socketio_server.recheck("")

    def test_raises_in_the_test_what_a_handler_raises_and_leaves_the_client(
        self, connect: Connect, registry: Registry
    ) -> None:
        ann = make_user()
        client = connect(ann)

        @registry.authorize
        def fail(*args: Any) -> bool:
            raise LookupError("no such table")

        socketio_server.recheck(ann)
        with pytest.raises(LookupError):
            client.send("hi")
        assert client.received == []

    @pytest.mark.parametrize("absence", [ObjectDoesNotExist, Http404])
    def test_takes_a_channel_away_whose_handler_does_not_find_what_it_looks_for(
        self, connect: Connect, registry: Registry, absence: type[Exception]
    ) -> None:
        """``return Room.objects.get(pk=pk, members=request.user)``"""
        ann = make_user()
        client = connect(ann)

        @registry.authorize
        def find(*args: Any) -> None:
            raise absence("Room matching query does not exist.")

        socketio_server.recheck("room-1")
        assert client.received == [("__unsubscribed__", "room-1", "Permission denied")]

        with pytest.raises(SubscriptionRefused, match="Permission denied"):
            client.subscribe("room-1")

    def test_of_a_channel_whose_handler_raises_verifies_the_others(
        self, connect: Connect, registry: Registry, room: Room
    ) -> None:
        ann = make_user()
        fails: list[bool] = []

        @registry.authorize(channel="^a-channel$")
        def fail(*args: Any) -> bool:
            if fails:
                raise LookupError("no such table")
            return True

        client = connect(ann, raise_handler_errors=False)
        client.unsubscribe("room-1")
        client.subscribe("a-channel")
        client.subscribe("room-1")
        fails.append(True)
        room.members.clear()
        socketio_server.recheck(ann)

        assert client.received == [("__unsubscribed__", "room-1", "Permission denied")]

    def test_is_made_up_for_at_the_interval_where_a_handler_raised(
        self, connect: Connect, registry: Registry, room: Room
    ) -> None:
        fails: list[bool] = []

        @registry.authorize
        def fail(*args: Any) -> bool:
            if fails:
                raise LookupError("no such table")
            return True

        ann = make_user()
        client = connect(ann, raise_handler_errors=False)
        client.clock.advance(60)
        fails.append(True)
        socketio_server.recheck(ann)

        fails.clear()
        room.members.clear()
        client.clock.advance(60)
        assert client.received == [("__unsubscribed__", "room-1", "Permission denied")]

    def test_is_made_up_for_where_the_user_could_not_be_read(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ann = make_user()
        client = connect(ann)
        with monkeypatch.context() as patched:
            patched.setattr(GET_USER, fail_to_read)
            type(ann)(pk=ann.pk, username="ann", is_active=False).save()
            assert client.connected

        client.clock.advance(60)
        assert client.close_reason == REVOKED


class TestAnonymousClients:
    def test_are_verified_upon_recheck(self, registry: Registry, room: Room) -> None:
        registry.on_connect.registrations.clear()
        with SocketIOClient(registry=registry) as client:
            client.subscribe("room-1")
            room.members.clear()
            client.clock.advance(60)
            assert client.received == []

            socketio_server.recheck(EVERYONE)
            assert client.received == [("__unsubscribed__", "room-1", "Permission denied")]

    def test_are_verified_after_each_interval_until_they_can_be(self) -> None:
        registry, asked, fails = Registry(), [], [False]

        @registry.authorize(channel="^room-1$")
        def may_enter(request: Any, socket: Any, context: Any, channel: str) -> bool:
            asked.append(channel)
            if fails[0]:
                raise LookupError("no such table")
            return len(asked) == 1

        registry.authorize(channel="^lobby$")(lambda request, socket, context, channel: True)
        with SocketIOClient(registry=registry, raise_handler_errors=False) as client:
            client.subscribe("room-1")
            fails[0] = True
            socketio_server.recheck(EVERYONE)
            client.subscribe("lobby")
            client.clock.advance(60)
            assert client.received == []

            fails[0] = False
            client.clock.advance(120)
            assert client.received == [("__unsubscribed__", "room-1", "Permission denied")]
            assert len(asked) == 4


def test_a_test_that_only_the_decorator_knows_is_made_upon_recheck(registry: Registry) -> None:
    paid = ["ann"]

    @registry.on_connect
    @user_passes_test(lambda user: user.username in paid, "Not paid.")
    def connect(request: Any, socket: Any, context: Any) -> None: ...

    ann = make_user()
    with SocketIOClient(user=ann, registry=registry) as client:
        assert client._socket is not None
        assert SESSION_KEY in client._socket.request.session
        paid.clear()
        socketio_server.recheck(ann)

        assert client.close_reason == REVOKED
        assert client.received == [("__disconnected__", "Not paid.")]
