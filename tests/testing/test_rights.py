"""Revoked means revoked (django.md, section 1), as the test client shows it: at once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY, update_session_auth_hash
from django.core.signals import request_finished, request_started
from django.db.models.signals import post_delete
from django.http import HttpRequest
from django.test import Client, override_settings
from greenlet import greenlet

import socketio_server
from socketio_server import EVERYONE
from socketio_server.decorators import login_required, permission_required, user_passes_test
from socketio_server.events import Registry, Reject
from socketio_server.serving.around_events import identity
from socketio_server.serving.around_events.watched_requests import identity_of
from socketio_server.serving.rights import rechecks, revocations
from socketio_server.testing import ConnectionRefused, SocketIOClient
from tests.testing.users import WITH_SESSIONS, create_permissions

pytestmark = pytest.mark.django_db

REVOKED = "authorization revoked"

GET_USER = "django.contrib.auth.backends.ModelBackend.get_user"


@pytest.fixture(autouse=True)
def _tables() -> Iterator[None]:
    quick = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(**WITH_SESSIONS, PASSWORD_HASHERS=quick):
        create_permissions()
        yield


class Room:
    """Who may be in the rooms, and how often that was asked."""

    def __init__(self) -> None:
        self.members = {"ann", "bob", "cy", ""}
        self.asked = 0


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def log() -> list[str]:
    """What the handlers saw."""
    return []


@pytest.fixture
def registry(room: Room, log: list[str]) -> Registry:
    """Handlers of a site whose members are in rooms."""
    registry = Registry()

    @registry.on_connect
    @login_required
    def connect(request: Any, socket: Any, context: Any) -> None: ...

    @registry.authorize(channel=r"^room-(?P<pk>\d+)$")
    def may(request: Any, socket: Any, context: Any, channel: str, pk: str) -> bool:
        room.asked += 1
        return request.user.get_username() in room.members

    @registry.on_unsubscribe
    def leave(request: Any, socket: Any, context: Any, channel: str) -> None:
        log.append(f"left {channel}")

    @registry.on_disconnect
    def gone(request: Any, socket: Any, context: Any) -> None:
        log.append(f"gone: {socket.close_reason}")

    return registry


def make_user(name: str = "ann") -> Any:
    from django.contrib.auth.models import User

    user = User(username=name)
    user.set_password("secret")
    user.save()
    return user


def browser_of(user: Any) -> Client:
    """A browser in which a user is logged in."""
    browser = Client()
    browser.force_login(user)
    return browser


Connect = Callable[..., SocketIOClient]


@pytest.fixture
def connect(registry: Registry) -> Iterator[Connect]:
    """Connect a client with the handlers, and let it subscribe to a room."""
    clients = []

    def connect(user: Any, *, browser: Client | None = None, **more: Any) -> SocketIOClient:
        client = SocketIOClient(client=browser or browser_of(user), registry=registry, **more)
        client.connect()
        client.subscribe("room-1")
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.disconnect()


def request_of(browser: Client) -> HttpRequest:
    """A request of a browser, as a view gets it."""
    request = HttpRequest()
    request.session = browser.session
    request.COOKIES = {name: morsel.value for name, morsel in browser.cookies.items()}
    return request


class TestLoggingOut:
    def test_ends_the_connections_of_the_session_and_no_other(
        self, connect: Connect, log: list[str]
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        here, there = connect(ann, browser=browser), connect(ann)
        browser.logout()

        assert here.close_reason == REVOKED
        assert here.received == [("__disconnected__", "Please log in.")]
        assert log == ["gone: authorization revoked", "left room-1"]
        assert there.connected
        with pytest.raises(ConnectionRefused, match=r"Please log in\."):
            here.connect()

    def test_ends_those_of_a_session_that_is_deleted(self, connect: Connect) -> None:
        from django.contrib.sessions.models import Session

        client = connect(make_user())
        Session.objects.all().delete()

        assert client.close_reason == REVOKED

    def test_ends_those_of_a_session_that_is_flushed(self, connect: Connect) -> None:
        ann = make_user()
        browser = browser_of(ann)
        client = connect(ann, browser=browser)
        browser.session.flush()

        assert client.close_reason == REVOKED

    def test_is_heard_of_after_requests_to_a_project_without_sessions(self) -> None:
        from django.contrib.sessions.models import Session

        post_delete.disconnect(revocations._session_deleted, sender=Session)
        apps = WITH_SESSIONS["INSTALLED_APPS"]
        for installed in ([app for app in apps if app != "django.contrib.sessions"], apps):
            with override_settings(INSTALLED_APPS=installed):
                request_started.send(None)
                request_finished.send(None)

        assert post_delete.has_listeners(Session)

    def test_in_a_handler_ends_its_own_connection_behind_it(
        self, registry: Registry, connect: Connect
    ) -> None:
        from django.contrib.auth import logout

        @registry.on("log out")
        def log_out(request: Any, socket: Any, context: Any) -> str:
            logout(request)
            return "Goodbye."

        client = connect(make_user())
        assert client.call("log out") == "Goodbye."
        assert client.close_reason == REVOKED


class TestASessionWhoseKeyIsReplaced:
    def test_lets_the_page_come_back_with_its_new_cookies(self, connect: Connect) -> None:
        ann = make_user()
        browser = browser_of(ann)
        client = connect(ann, browser=browser)
        browser.session.cycle_key()

        assert client.close_reason == "session replaced"
        assert client.received == []

    def test_by_a_new_password_ends_the_connections_of_other_sessions(
        self, connect: Connect
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        here, there = connect(ann, browser=browser), connect(ann)
        request_started.send(None)
        try:
            ann.set_password("another")
            ann.save()
            request = request_of(browser)
            request.user = ann
            update_session_auth_hash(request, ann)
            assert here.connected
        finally:
            request_finished.send(None)

        assert here.close_reason == "session replaced"
        assert there.close_reason == REVOKED


class TestAUserWho:
    def test_is_made_inactive_is_disconnected(self, connect: Connect) -> None:
        ann, bob = make_user(), make_user("bob")
        client, other = connect(ann), connect(bob)
        ann.is_active = False
        ann.save()

        assert client.close_reason == REVOKED
        assert other.connected

    def test_is_deleted_is_disconnected(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(ann)
        ann.delete()

        assert client.close_reason == REVOKED

    def test_has_a_new_password_is_disconnected(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(ann)
        ann.set_password("another")
        ann.save()

        assert client.close_reason == REVOKED

    def test_has_logged_in_elsewhere_is_not_verified(self, connect: Connect, room: Room) -> None:
        ann = make_user()
        connect(ann)
        browser_of(ann)

        assert room.asked == 1

    def test_is_saved_without_a_change_keeps_everything(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(ann)
        ann.first_name = "Ann"
        ann.save()

        assert client.connected
        assert client.received == []


def guarded_by_permission(namespace: str = "/") -> Registry:
    """Handlers of a site that is for those who may add users."""
    registry = Registry()

    @registry.on_connect(namespace=namespace)
    @permission_required("auth.add_user")
    def connect(request: Any, socket: Any, context: Any) -> None: ...

    return registry


def make_permission(name: str = "add_user") -> Any:
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType

    kind, _ = ContentType.objects.get_or_create(app_label="auth", model="user")
    return Permission.objects.create(codename=name, content_type=kind)


def held_permissions() -> Any:
    """The permissions that users have, in a table of whose changes no signal tells."""
    from django.contrib.auth.models import User

    through: Any = User.user_permissions.through
    return through.objects


def group_permissions() -> Any:
    """The permissions that groups have, likewise."""
    from django.contrib.auth.models import Group

    through: Any = Group.permissions.through
    return through.objects


class TestPermissions:
    @pytest.fixture
    def registry(self) -> Registry:
        return guarded_by_permission()

    @pytest.fixture
    def permission(self) -> Any:
        return make_permission()

    def test_of_a_user_that_are_taken_away_end_the_connection(
        self, connect: Connect, permission: Any
    ) -> None:
        ann = make_user()
        ann.user_permissions.add(permission)
        client = connect(ann)
        ann.user_permissions.clear()

        assert client.close_reason == REVOKED

    @pytest.mark.parametrize("change", ["leave", "clear", "permissions", "delete"])
    def test_of_a_group_do_so_too(self, connect: Connect, permission: Any, change: str) -> None:
        from django.contrib.auth.models import Group

        group = Group.objects.create(name="staff")
        group.permissions.add(permission)
        ann = make_user()
        ann.groups.add(group)
        members: Any = group.user_set  # type: ignore[attr-defined]
        client = connect(ann)
        if change == "leave":
            members.remove(ann)
        elif change == "clear":
            members.clear()
        elif change == "permissions":
            group.permissions.clear()
        else:
            group.delete()

        assert client.close_reason == REVOKED


class TestProxyModels:
    """Each sends the signals under its own name."""

    @pytest.fixture(autouse=True)
    def _people(self) -> Iterator[None]:
        apps = [*WITH_SESSIONS["INSTALLED_APPS"], "tests.testing.people"]
        with override_settings(INSTALLED_APPS=apps):
            yield

    @pytest.mark.parametrize("change", ["block", "delete"])
    def test_of_users_tell_of_them(self, connect: Connect, change: str) -> None:
        from tests.testing.people.models import Customer

        client = connect(make_user())
        customer = Customer.objects.get()
        if change == "delete":
            customer.delete()
        else:
            customer.is_active = False
            customer.save()

        assert client.close_reason == REVOKED

    def test_of_groups_do_so_too(self) -> None:
        from tests.testing.people.models import Team

        team = Team.objects.create(name="staff")
        team.permissions.add(make_permission())
        ann = make_user()
        ann.groups.add(team)
        with SocketIOClient(user=ann, registry=guarded_by_permission()) as client:
            team.delete()

            assert client.close_reason == REVOKED


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
        with pytest.raises(TypeError):
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


def fail_to_read(*args: Any) -> Any:
    raise LookupError("no directory")


class TestTheIntervalsRecheck:
    def update(self, user: Any, **values: Any) -> None:
        """Change a user in a way of which no signal tells."""
        type(user).objects.filter(pk=user.pk).update(**values)

    def test_finds_what_no_signal_tells_of(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(ann)
        client.clock.advance(60)
        self.update(ann, is_active=False)
        client.clock.advance(59)
        assert client.connected
        client.clock.advance(1)

        assert client.close_reason == REVOKED

    def test_finds_a_session_that_has_run_out(self, connect: Connect) -> None:
        from django.contrib.sessions.models import Session

        client = connect(make_user())
        client.clock.advance(60)
        Session.objects.update(expire_date="2000-01-01 00:00:00+00:00")
        client.clock.advance(60)

        assert client.close_reason == REVOKED

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(
                lambda user: type(user).objects.update(password="another"), id="the password"
            ),
            pytest.param(lambda user: type(user).objects.update(is_active=False), id="the account"),
            pytest.param(lambda user: held_permissions().all().delete(), id="an own permission"),
            pytest.param(
                lambda user: type(user).groups.through.objects.all().delete(), id="the membership"
            ),
            pytest.param(lambda user: group_permissions().all().delete(), id="the group's"),
        ],
    )
    @pytest.mark.parametrize("is_grouped", [False, True], ids=["by itself", "by a group"])
    def test_finds_what_has_changed_since_the_last_of_it(
        self, change: Callable[[Any], object], is_grouped: bool
    ) -> None:
        from django.contrib.auth.models import Group

        ann, permission = make_user(), make_permission()
        if is_grouped:
            group = Group.objects.create(name="staff")
            group.permissions.add(permission)
            ann.groups.add(group)
        else:
            ann.user_permissions.add(permission)
        with SocketIOClient(user=ann, registry=guarded_by_permission()) as client:
            client.clock.advance(60)
            assert client.connected
            change(ann)
            client.clock.advance(60)

            ann = type(ann).objects.get()
            may_still = ann.password != "another" and ann.has_perm("auth.add_user")
            assert client.connected is may_still

    def test_finds_a_permission_that_was_lost_before_the_first_of_it(self) -> None:
        ann = make_user()
        ann.user_permissions.add(make_permission())
        with SocketIOClient(user=ann, registry=guarded_by_permission()) as client:
            held_permissions().all().delete()
            client.clock.advance(60)

            assert client.close_reason == REVOKED

    def test_asks_nobody_twice_whose_rights_have_not_changed(
        self, connect: Connect, room: Room
    ) -> None:
        ann = make_user()
        client = connect(ann)
        client.clock.advance(60)
        assert room.asked == 2

        room.members.clear()
        client.clock.advance(600)
        assert room.asked == 2
        assert client.received == []

    def test_finds_what_a_later_tab_of_the_session_has_lost(self) -> None:
        ann, permission = make_user(), make_permission()
        browser, registry = browser_of(ann), guarded_by_permission("/staff")
        registry.authorize(lambda request, socket, context, channel: True)
        with SocketIOClient(client=browser, registry=registry) as client:
            client.clock.advance(60)  # without the permission
            held_permissions().create(user=ann, permission=permission)
            with SocketIOClient(client=browser, registry=registry, namespace="/staff") as tab:
                held_permissions().all().delete()
                client.clock.advance(60)  # without it again

                assert tab.close_reason == REVOKED
            assert client.connected

    def test_finds_what_a_tab_has_lost_that_came_while_a_batch_waited(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rechecks, "BATCH", 1)
        registry, permission = guarded_by_permission(), make_permission()
        ann, bob = make_user(), make_user("bob")
        for user in (ann, bob):
            user.user_permissions.add(permission)
        browser = browser_of(bob)
        with (
            SocketIOClient(user=ann, registry=registry) as other,
            SocketIOClient(client=browser, registry=registry) as client,
        ):
            client.clock.advance(60)  # ann is looked at, and bob waits
            with SocketIOClient(client=browser, registry=registry) as tab:
                held_permissions().all().delete()
                client.clock.advance(30)
                assert client.close_reason == REVOKED

                client.clock.advance(60)
                assert tab.close_reason == REVOKED
            assert other.close_reason == REVOKED

    def test_asks_once_for_each_session_and_channel_where_they_have(
        self, connect: Connect, room: Room
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        clients = [connect(ann, browser=browser) for _ in range(3)]
        clients[0].clock.advance(60)
        room.asked = 0
        self.update(ann, is_staff=True)
        clients[0].clock.advance(180)

        assert room.asked == 1
        assert all(client.connected for client in clients)

    def test_is_spread_over_the_interval_in_batches(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rechecks, "BATCH", 1)
        users = [make_user(name) for name in ("ann", "bob", "cy")]
        clients = [connect(user) for user in users]
        for user in users:
            self.update(user, is_active=False)
        connected = []
        for seconds in (59, 1, 19, 1, 19, 1):
            clients[0].clock.advance(seconds)
            connected.append(sum(client.connected for client in clients))

        assert connected == [3, 2, 2, 1, 1, 0]

    def test_asks_once_more_who_was_verified_upon_a_signal(
        self, connect: Connect, room: Room
    ) -> None:
        ann = make_user()
        client = connect(ann)
        client.clock.advance(60)
        room.asked = 0
        ann.is_staff = True
        ann.save()
        assert room.asked == 1
        client.clock.advance(180)

        assert room.asked == 2

    def test_finds_what_was_given_with_a_signal_and_lost_without_one(self) -> None:
        ann, permission = make_user(), make_permission()
        ann.user_permissions.add(permission)
        with SocketIOClient(user=ann, registry=guarded_by_permission()) as client:
            client.clock.advance(60)
            ann.user_permissions.add(make_permission("change_user"))
            held_permissions().filter(permission=permission).delete()
            client.clock.advance(60)

            assert client.close_reason == REVOKED

    def test_reads_each_session_and_user_once(
        self, connect: Connect, django_assert_num_queries: Any
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        clients = [connect(ann, browser=browser), connect(ann, browser=browser), connect(ann)]
        clients[0].clock.advance(60)
        with django_assert_num_queries(4):  # sessions, users, their permissions and groups
            clients[0].clock.advance(60)

    def test_makes_the_tests_that_know_more_than_django(self, registry: Registry) -> None:
        paid = ["ann"]

        @registry.on_connect
        @user_passes_test(lambda user: user.username in paid, "Not paid.")
        def connect(request: Any, socket: Any, context: Any) -> None: ...

        with SocketIOClient(user=make_user(), registry=registry) as client:
            client.clock.advance(60)
            assert client.connected

            paid.clear()
            client.clock.advance(60)
            assert client.close_reason == REVOKED

    @override_settings(SOCKETIO_RECHECK_INTERVAL=0)
    def test_does_not_take_place_with_0(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(ann)
        self.update(ann, is_active=False)
        client.clock.advance(600)

        assert client.connected

    def test_leaves_a_client_that_can_not_be_verified_until_it_can(
        self, connect: Connect, registry: Registry, room: Room, caplog: pytest.LogCaptureFixture
    ) -> None:
        ann = make_user()
        client = connect(ann, raise_handler_errors=False)
        fail = [True]

        @registry.authorize
        def away(request: Any, socket: Any, context: Any, channel: str) -> bool:
            if fail:
                raise LookupError("no database")
            raise Reject("banned")

        client.clock.advance(60)
        assert client.received == []
        assert "can't be verified again, so it keeps them until the" in caplog.text

        fail.clear()
        client.clock.advance(60)
        assert client.received == [("__unsubscribed__", "room-1", "banned")]

    def test_makes_up_for_a_user_who_could_not_be_read(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ann = make_user()
        client = connect(ann)
        client.clock.advance(60)
        with monkeypatch.context() as patched:
            patched.setattr(GET_USER, fail_to_read)
            type(ann).objects.filter(pk=ann.pk).update(is_active=False)
            client.clock.advance(60)
            assert client.connected

        client.clock.advance(60)
        assert client.close_reason == REVOKED

    def test_shows_a_user_to_nobody_whose_session_has_ended_with_the_password(self) -> None:
        registry = Registry()
        seen: list[Any] = []
        others: list[Any] = []

        def anybody(user: Any) -> bool:  # asks something, while which the client's events run
            seen.append(user.username)
            for socket in others:
                event = greenlet(lambda socket=socket: seen.append(socket.request.user.username))
                event.switch()
            return True

        @registry.on_connect
        @user_passes_test(anybody)
        def connect(request: Any, socket: Any, context: Any) -> None: ...

        @registry.on("remember")
        def remember(request: Any, socket: Any, context: Any) -> None:
            others.append(socket)

        ann = make_user()
        with SocketIOClient(client=browser_of(ann), registry=registry) as client:
            client.call("remember")
            ann.set_password("another")
            ann.save()
            seen.clear()
            for _ in range(5):
                client.clock.advance(60)
            assert client.connected

        assert set(seen) == {""}

    def test_shows_the_user_it_has_read_to_no_event_beside_it(self) -> None:
        registry = Registry()
        seen: list[Any] = []
        others: list[Any] = []

        def anybody(user: Any) -> bool:
            for socket in others:
                event = greenlet(lambda socket=socket: seen.append(socket.request.user))
                event.switch()
                seen.append(user)
            return True

        @registry.on_connect
        @user_passes_test(anybody)
        def connect(request: Any, socket: Any, context: Any) -> None: ...

        @registry.on("remember")
        def remember(request: Any, socket: Any, context: Any) -> None:
            others.append(socket)

        ann = make_user()
        with SocketIOClient(client=browser_of(ann), registry=registry) as client:
            client.call("remember")
            client.clock.advance(60)  # the first recheck asks everybody
            seen.clear()
            client.clock.advance(60)

        beside, verified = seen
        assert beside == verified == ann
        assert beside is not verified


class TestAUserOfATokens:
    """One that a handler has set: it is read by its primary key."""

    @pytest.mark.parametrize("as_written", [int, str], ids=["its key", "its key as text"])
    def test_is_verified_too(
        self, registry: Registry, room: Room, as_written: Callable[[int], Any]
    ) -> None:
        ann = make_user()
        registry.on_connect.registrations.clear()

        @registry.on_connect
        def connect(request: Any, socket: Any, context: Any) -> None:
            request.user = type(ann)(pk=as_written(ann.pk), username="ann")

        room.members = {"ann"}
        with SocketIOClient(registry=registry) as client:
            assert client.subscribe("room-1")
            client.clock.advance(60)
            assert client.received == []

            type(ann).objects.filter(pk=ann.pk).update(is_active=False)
            client.clock.advance(60)
            assert client.received == [("__unsubscribed__", "room-1", "Permission denied")]


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


class TestMessagesToAUser:
    """They go to who is the user now, also where no handler has asked since."""

    @pytest.fixture
    def registry(self) -> Registry:
        """No handlers, hence nothing to verify by."""
        return Registry()

    @pytest.mark.parametrize(
        "end",
        [
            pytest.param(lambda user, browser: browser.logout(), id="logs out"),
            pytest.param(lambda user, browser: browser.session.flush(), id="loses the session"),
            pytest.param(
                lambda user, browser: type(user)(pk=user.pk, is_active=False).save(),
                id="is blocked",
            ),
        ],
    )
    def test_do_not_reach_a_client_whose_user(
        self, registry: Registry, end: Callable[[Any, Client], object]
    ) -> None:
        ann, browser = make_user(), Client()
        browser.force_login(ann)
        with SocketIOClient(client=browser, registry=registry) as client:
            socketio_server.emit("news", 1, to=ann)
            end(ann, browser)
            socketio_server.emit("news", 2, to=ann)
            assert client.received == [("news", 1)]

    def test_do_not_reach_a_client_that_was_logged_out_while_its_user_was_read(
        self, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ann = make_user()

        @registry.on("look")
        def look(request: Any, socket: Any, context: Any) -> None:
            def read(*args: Any) -> Any:
                found = identity_of(request)
                assert found is not None
                found.log_out()
                return ann

            with monkeypatch.context() as patched:
                patched.setattr(identity, "read_user", read)
                assert request.user == ann

        with SocketIOClient(user=ann, registry=registry) as client:
            client.clock.advance(60)
            client.emit("look")
            socketio_server.emit("news", to=ann)
            assert client.received == []

    def test_reach_the_user_s_other_devices_still(self, registry: Registry) -> None:
        ann, browser, other = make_user(), Client(), Client()
        browser.force_login(ann)
        other.force_login(ann)
        with (
            SocketIOClient(client=browser, registry=registry),
            SocketIOClient(client=other, registry=registry) as client,
        ):
            browser.logout()
            socketio_server.emit("news", to=ann)
            assert client.received == [("news",)]
