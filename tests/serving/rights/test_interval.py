"""The recheck after each ``SOCKETIO_RECHECK_INTERVAL``, which finds what no signal tells of."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import FieldDoesNotExist
from django.db import DataError
from django.test import override_settings
from greenlet import greenlet

from socketio_server.decorators import permission_required, user_passes_test
from socketio_server.events import Registry, Reject
from socketio_server.serving.rights import rechecks
from socketio_server.testing import SocketIOClient
from tests.serving.rights.site import (
    GET_USER,
    REVOKED,
    Room,
    fail_to_read,
    group_permissions,
    guarded_by_permission,
    held_permissions,
    make_permission,
)
from tests.support.users import (
    Connect,
    browser_of,
    make_user,
)

pytestmark = pytest.mark.usefixtures("tables")


def with_event_beside(note: Callable[[Any, Any], None]) -> Registry:
    """Handlers of a site whose test of a connection asks something, while which an event of the
    client runs.

    :param note: gets the user of the test, and that of the event.
    """
    registry = Registry()
    sockets: list[Any] = []

    def anybody(user: Any) -> bool:
        for socket in sockets:
            greenlet(lambda socket=socket: note(user, socket.request.user)).switch()
        return True

    @registry.on_connect
    @user_passes_test(anybody)
    def connect(request: Any, socket: Any, context: Any) -> None: ...

    @registry.on("remember")
    def remember(request: Any, socket: Any, context: Any) -> None:
        sockets.append(socket)

    return registry


def let_the_database_refuse_keys(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let it refuse to look for some keys of sessions, as PostgreSQL does.

    :return: for how many keys it is asked each time.
    """
    from django.contrib.sessions.backends.db import SessionStore
    from django.contrib.sessions.models import Session

    asked: list[int] = []

    def look_for(session_key__in: list[str], **more: Any) -> Any:
        asked.append(len(session_key__in))
        if any("\0" in key or key.startswith("refused") for key in session_key__in):
            raise DataError("invalid input")
        return Session.objects.filter(session_key__in=session_key__in, **more)

    model = SimpleNamespace(
        _base_manager=SimpleNamespace(filter=look_for),
        objects=Session.objects,
        DoesNotExist=Session.DoesNotExist,
    )
    monkeypatch.setattr(SessionStore, "get_model_class", classmethod(lambda cls: model))
    return asked


def open_to_all() -> Registry:
    """Handlers of a site where anybody may subscribe to anything."""
    registry = Registry()
    registry.authorize(lambda request, socket, context, channel: True)
    return registry


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

    def test_finds_who_is_no_longer_a_superuser(self) -> None:
        ann = make_user()
        self.update(ann, is_superuser=True)
        with SocketIOClient(user=ann, registry=guarded_by_permission()) as client:
            client.clock.advance(60)
            assert client.connected
            self.update(ann, is_superuser=False)
            client.clock.advance(60)

            assert client.close_reason == REVOKED

    def test_finds_a_session_whose_backend_was_taken_out_of_the_settings(
        self, connect: Connect
    ) -> None:
        client = connect(make_user())
        client.clock.advance(60)
        other = "django.contrib.auth.backends.AllowAllUsersModelBackend"
        with override_settings(AUTHENTICATION_BACKENDS=[other]):
            client.clock.advance(60)

        assert client.close_reason == REVOKED

    def test_finds_what_a_session_has_lost_that_an_older_secret_key_has_signed(
        self, connect: Connect
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
            client = connect(ann, browser=browser)
            client.clock.advance(60)
            assert client.connected
            self.update(ann, is_active=False)
            client.clock.advance(60)

        assert client.close_reason == REVOKED

    def test_finds_a_session_that_has_run_out(self, connect: Connect) -> None:
        from django.contrib.sessions.models import Session

        client = connect(make_user())
        client.clock.advance(60)
        Session.objects.update(expire_date="2000-01-01 00:00:00+00:00")
        client.clock.advance(60)

        assert client.close_reason == REVOKED

    @pytest.mark.parametrize("cookie", ['"aaaaaaaa\\000"', "refused"], ids=["NUL", "another key"])
    def test_goes_on_beside_a_cookie_that_the_database_refuses(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch, cookie: str
    ) -> None:
        ann, registry = make_user(), open_to_all()
        client, headers = connect(ann), {"Cookie": f"sessionid={cookie}"}
        with (
            SocketIOClient(headers=headers, registry=registry),
            SocketIOClient(headers=headers, registry=registry),
        ):
            client.clock.advance(60)
            let_the_database_refuse_keys(monkeypatch)
            self.update(ann, is_active=False)
            client.clock.advance(60)

            assert client.close_reason == REVOKED

    def test_does_not_ask_the_database_for_keys_with_nul(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, headers = connect(make_user()), {"Cookie": 'sessionid="aaaaaaaa\\000"'}
        with SocketIOClient(headers=headers, registry=open_to_all()) as other:
            asked = let_the_database_refuse_keys(monkeypatch)
            client.clock.advance(180)

            assert asked == [1, 1, 1]
            assert other.connected

    def test_goes_on_where_groups_have_no_permissions(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.contrib.auth.models import Group

        def get_field(name: str) -> Any:
            if name == "permissions":
                raise FieldDoesNotExist
            return known(name)

        ann = make_user()
        ann.groups.add(Group.objects.create(name="staff"))
        client = connect(ann)
        client.clock.advance(60)
        known = Group._meta.get_field
        monkeypatch.setattr(Group._meta, "get_field", get_field)
        self.update(ann, is_active=False)
        client.clock.advance(60)

        assert client.close_reason == REVOKED

    def test_finds_a_session_that_a_cache_has_kept_for_longer_than_the_database(
        self, connect: Connect
    ) -> None:
        from django.contrib.sessions.models import Session

        engine = "django.contrib.sessions.backends.cached_db"
        with override_settings(SESSION_ENGINE=engine):
            client = connect(make_user())
            client.clock.advance(60)
            Session.objects.all()._raw_delete("default")
            client.clock.advance(60)
            assert client.connected

            cache.clear()
            client.clock.advance(60)
            assert client.close_reason == REVOKED

    @pytest.mark.parametrize("engine", ["cache", "file"])
    def test_finds_a_session_that_has_ended_in_another_store(
        self, connect: Connect, engine: str, tmp_path: Path
    ) -> None:
        with override_settings(
            SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}",
            SESSION_FILE_PATH=str(tmp_path),
        ):
            ann = make_user()
            browser = browser_of(ann)
            here, there = connect(ann, browser=browser), connect(ann)
            here.clock.advance(60)
            browser.session.flush()
            here.clock.advance(60)

            assert here.close_reason == REVOKED
            assert there.connected

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

    def test_finds_what_a_client_had_for_no_longer_than_to_subscribe(
        self, connect: Connect, registry: Registry
    ) -> None:
        ann, permission = make_user(), make_permission()

        @registry.authorize(channel="^staff$")
        @permission_required("auth.add_user")
        def may_enter(request: Any, socket: Any, context: Any, channel: str) -> bool:
            return True

        client = connect(ann)
        client.clock.advance(60)  # without the permission
        held_permissions().create(user=ann, permission=permission)
        client.clock.advance(10)
        client.subscribe("staff")
        held_permissions().all().delete()
        client.clock.advance(50)  # without it again

        assert client.received == [("__unsubscribed__", "staff", "Permission denied")]
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
        seen: list[str] = []

        def note(verified: Any, beside: Any) -> None:
            seen.extend((verified.username, beside.username))

        ann = make_user()
        with SocketIOClient(client=browser_of(ann), registry=with_event_beside(note)) as client:
            client.call("remember")
            ann.set_password("another")
            ann.save()
            seen.clear()
            for _ in range(5):
                client.clock.advance(60)
            assert client.connected

        assert set(seen) == {""}

    def test_shows_the_user_it_has_read_to_no_event_beside_it(self) -> None:
        seen: list[Any] = []
        ann = make_user()
        registry = with_event_beside(lambda *users: seen.extend(users))
        with SocketIOClient(client=browser_of(ann), registry=registry) as client:
            client.call("remember")
            client.clock.advance(60)  # the first recheck asks everybody
            seen.clear()
            client.clock.advance(60)

        verified, beside = seen
        assert beside == verified == ann
        assert beside is not verified
