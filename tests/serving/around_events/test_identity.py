"""``request.user`` in handlers: that of now."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError
from django.test import Client, override_settings
from django.utils import functional
from pytest_django import DjangoAssertNumQueries

from socketio_server.clients import CLIENTS
from socketio_server.events import Registry
from socketio_server.protocol.socketio import Encoded
from socketio_server.signals import client_connected
from tests.support.users import (
    WITH_SESSIONS,
    Connect,
    browser_of,
    create_permission_tables,
    delete_user,
    make_user,
)

pytestmark = pytest.mark.usefixtures("tables")


def rename(user: Any) -> None:
    """Rename ann, of which no signal tells."""
    type(user).objects.filter(pk=user.pk).update(username="anne")


class TestTheUser:
    def test_is_looked_up_again_after_the_interval(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(client=browser_of(ann))
        assert client.call("who") == "ann"

        rename(ann)
        client.clock.advance(9.9)
        assert client.call("who") == "ann"
        client.clock.advance(0.1)
        assert client.call("who") == "anne"

    @override_settings(SOCKETIO_REFRESH_INTERVAL=0)
    def test_is_looked_up_for_each_event_with_0(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(client=browser_of(ann))
        assert client.call("who") == "ann"

        rename(ann)
        assert client.call("who") == "anne"

    @override_settings(SOCKETIO_REFRESH_INTERVAL=None)
    def test_stays_that_of_the_connection_with_none(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(client=browser_of(ann))
        assert client.call("who") == "ann"

        delete_user(ann)
        client.clock.advance(1000)
        assert client.call("who") == "ann"

    @override_settings(SOCKETIO_REFRESH_INTERVAL=0)
    def test_is_one_object_within_an_event(self, connect: Connect, registry: Registry) -> None:
        @registry.on("same")
        def same(request: Any, socket: Any, context: Any) -> bool:
            return request.user is request.user is socket.user

        assert connect(client=browser_of(make_user())).call("same") is True

    @pytest.mark.parametrize(
        "end",
        [
            pytest.param(lambda user, browser: browser.logout(), id="logs out"),
            pytest.param(lambda user, browser: browser.session.flush(), id="loses the session"),
            pytest.param(lambda user, browser: delete_user(user), id="is deleted"),
            pytest.param(
                lambda user, browser: type(user).objects.update(is_active=False), id="is blocked"
            ),
            pytest.param(
                lambda user, browser: type(user).objects.update(password="new"),
                id="has another password",
            ),
        ],
    )
    def test_is_anonymous_once_it(
        self, connect: Connect, end: Callable[[Any, Client], object]
    ) -> None:
        ann = make_user()
        browser = browser_of(ann)
        client = connect(client=browser)
        assert client.call("who") == "ann"

        end(ann, browser)
        client.clock.advance(10)
        assert client.call("who") == ""
        assert client.connected

    def test_that_is_saved_is_looked_up_at_once(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(client=browser_of(ann))
        assert client.call("who") == "ann"
        ann.username = "anne"
        ann.save()
        assert client.call("who") == "anne"

    def test_with_another_password_is_not_logged_out_by_a_look(self, connect: Connect) -> None:
        ann = make_user()
        browser = browser_of(ann)
        client = connect(client=browser)
        ann.set_password("new")
        ann.save()
        assert client.call("who") == ""

        assert browser.session["_auth_user_id"] == str(ann.pk)

    def test_costs_two_queries_for_an_event_that_asks(
        self, connect: Connect, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = connect(client=browser_of(make_user()))
        with django_assert_num_queries(2):
            client.call("who")
        with django_assert_num_queries(0):
            client.call("who")
            client.call("nothing")
        client.clock.advance(10)
        with django_assert_num_queries(0):
            client.call("nothing")
        with django_assert_num_queries(2):
            client.call("who")

    def test_costs_two_queries_at_the_connection_for_messages_to_it(
        self, connect: Connect, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        browser = browser_of(make_user())
        with django_assert_num_queries(2):
            connect(client=browser)

    def test_can_be_awaited(self, connect: Connect, registry: Registry) -> None:
        @registry.on("await")
        def wait(request: Any, socket: Any, context: Any) -> str:
            name: str = async_to_sync(request.auser)().get_username()
            return name

        assert connect(client=browser_of(make_user())).call("await") == "ann"

    def test_is_read_once_for_a_client_that_joins_many_namespaces(
        self,
        connect: Connect,
        registry: Registry,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        registry.on("news", namespace="/one")(print)
        registry.on("news", namespace="/two")(print)
        ann = make_user()
        client = connect(client=browser_of(ann))
        with django_assert_num_queries(0):
            client._transmit(Encoded(b"0/one,"))
            client._transmit(Encoded(b"0/two,"))
        client.clock.advance(10)
        with django_assert_num_queries(2):
            client._transmit(Encoded(b"1/two,"))
            client._transmit(Encoded(b"0/two,"))

        rooms = [socket._delivery.rooms for _, socket, _ in CLIENTS.values()]
        assert len(rooms) == 3
        assert all(len(each) == 1 for each in rooms)

    def test_is_read_again_at_the_next_namespace_once_a_signal_has_told_of_it(
        self, connect: Connect, registry: Registry
    ) -> None:
        registry.on("news", namespace="/one")(print)
        ann = make_user()
        client = connect(client=browser_of(ann))
        ann.is_active = False
        ann.save()
        client._transmit(Encoded(b"0/one,"))

        assert [list(socket._delivery.rooms) for _, socket, _ in CLIENTS.values()] == [[], []]

    def test_costs_nothing_without_a_session(
        self, connect: Connect, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(0):
            client = connect()
            assert client.call("who") == ""

    def test_that_cannot_be_read_fails_the_handler_only(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = connect(client=browser_of(make_user()))
        with monkeypatch.context() as patch:
            patch.setattr("django.contrib.auth.backends.ModelBackend.get_user", _fail)
            with pytest.raises(DatabaseError):
                client.call("who")
        assert client.call("who") == "ann"

    def test_that_cannot_be_read_at_the_connection_is_logged_and_let_in(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        browser = browser_of(make_user())
        with monkeypatch.context() as patch:
            patch.setattr("django.contrib.auth.backends.ModelBackend.get_user", _fail)
            client = connect(client=browser)

        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "its user can't be read" in caplog.text
        assert client.call("who") == "ann"


def _fail(*args: object) -> None:
    raise DatabaseError("the server is gone")


class TestAUserThatAHandlerHasSet:
    @pytest.fixture(autouse=True)
    def _log_in(self, registry: Registry) -> None:
        @registry.on_connect
        def log_in(request: Any, socket: Any, context: Any) -> None:
            from django.contrib.auth.models import User

            request.user = User.objects.get(username=socket.auth["name"])
            request.user.token = "a token"

        @registry.on("token")
        def token(request: Any, socket: Any, context: Any) -> str:
            found: str = request.user.token
            return found

        @registry.on("may")
        def may(request: Any, socket: Any, context: Any) -> bool:
            found: bool = request.user.has_perm("auth.add_user")
            return found

    def test_is_kept_and_looked_up_again(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(auth={"name": "ann"})
        rename(ann)

        assert client.call("who") == "ann"
        client.clock.advance(10)
        assert client.call("who") == "anne"
        assert client.call("token") == "a token"

    def test_wins_over_the_session(self, connect: Connect) -> None:
        make_user()
        client = connect(client=browser_of(make_user("ben")), auth={"name": "ann"})
        client.clock.advance(10)
        assert client.call("who") == "ann"

    @pytest.mark.parametrize("change", [{"is_active": False}, None], ids=["blocked", "deleted"])
    def test_is_anonymous_once_it_is(self, connect: Connect, change: dict[str, Any] | None) -> None:
        ann = make_user()
        client = connect(auth={"name": "ann"})
        if change is None:
            delete_user(ann)
        else:
            type(ann).objects.update(**change)
        client.clock.advance(10)
        assert client.call("who") == ""

    def test_of_whom_little_was_loaded_is_anonymous_once_it_is_blocked(
        self, connect: Connect, registry: Registry
    ) -> None:
        @registry.on_connect
        def load_little(request: Any, socket: Any, context: Any) -> None:
            request.user = type(ann).objects.only("username").get()

        ann = make_user()
        client = connect(auth={"name": "ann"})
        type(ann).objects.update(is_active=False)
        client.clock.advance(10)
        assert client.call("who") == ""

    @pytest.mark.parametrize(
        "cached_property", [functional.cached_property, functools.cached_property]
    )
    def test_computes_its_cached_properties_again(
        self,
        connect: Connect,
        registry: Registry,
        monkeypatch: pytest.MonkeyPatch,
        cached_property: Any,
    ) -> None:
        greeting = cached_property(lambda user: f"Hello, {user.username}")
        greeting.__set_name__(type(ann := make_user()), "greeting")
        monkeypatch.setattr(type(ann), "greeting", greeting, raising=False)

        @registry.on("greeting")
        def greet(request: Any, socket: Any, context: Any) -> Any:
            return request.user.greeting

        client = connect(auth={"name": "ann"})
        assert client.call("greeting") == "Hello, ann"
        rename(ann)
        client.clock.advance(10)
        assert client.call("greeting") == "Hello, anne"
        assert client.call("token") == "a token"

    def test_forgets_what_was_loaded_with_it(self, connect: Connect, registry: Registry) -> None:
        from django.contrib.auth.models import Group

        @registry.on_connect
        def load_groups(request: Any, socket: Any, context: Any) -> None:
            request.user = type(ann).objects.prefetch_related("groups").get()

        @registry.on("groups")
        def groups(request: Any, socket: Any, context: Any) -> list[str]:
            return [group.name for group in request.user.groups.all()]

        create_permission_tables()
        ann, group = make_user(), Group.objects.create(name="staff")
        ann.groups.add(group)
        client = connect(auth={"name": "ann"})
        assert client.call("groups") == ["staff"]

        members: Any = type(ann).groups.through
        members.objects.all().delete()
        client.clock.advance(10)
        assert client.call("groups") == []

    @pytest.mark.parametrize("way", ["itself", "a group"])
    def test_has_the_permissions_of_now(self, connect: Connect, way: str) -> None:
        from django.contrib.auth.models import Group, Permission, User
        from django.contrib.contenttypes.models import ContentType

        create_permission_tables()
        kind = ContentType.objects.create(app_label="auth", model="user")
        permission = Permission.objects.create(codename="add_user", content_type=kind)
        ann, group = make_user(), Group.objects.create(name="staff")
        group.permissions.add(permission)
        client = connect(auth={"name": "ann"})
        assert client.call("may") is False

        if way == "itself":
            held: Any = User.user_permissions.through
            held.objects.create(user=ann, permission=permission)
        else:
            members: Any = User.groups.through
            members.objects.create(user=ann, group=group)
        client.clock.advance(10)
        assert client.call("may") is True


def put_ann(get_response: Any) -> Any:
    """Middleware that knows the user by itself, and adds to it."""

    def call(request: Any) -> Any:
        from django.contrib.auth.models import User

        request.user = User.objects.get(username="ann")
        request.user.token = "a token"
        return get_response(request)

    return call


def read_session(get_response: Any) -> Any:
    """Middleware that reads the session before that."""

    def call(request: Any) -> Any:
        request.session.get("colour")
        return get_response(request)

    return call


class TestAUserOfTheProjectsMiddleware:
    @pytest.mark.parametrize("more", [[], [f"{__name__}.read_session"]], ids=["", "session read"])
    def test_is_looked_up_again_and_goes_with_the_session_if_that_is_its_own(
        self, connect: Connect, registry: Registry, more: list[str]
    ) -> None:
        @registry.on("token")
        def token(request: Any, socket: Any, context: Any) -> Any:
            return getattr(request.user, "token", None)

        middleware = [*WITH_SESSIONS["MIDDLEWARE"], *more, f"{__name__}.put_ann"]
        ann = make_user()
        browser = browser_of(ann)
        with override_settings(MIDDLEWARE=middleware):
            client, other = connect(client=browser), connect(client=browser_of(make_user("ben")))
        rename(ann)
        client.clock.advance(10)
        assert (client.call("who"), client.call("token")) == ("anne", "a token")

        browser.session.flush()
        client.clock.advance(10)
        assert client.call("who") == ""
        assert (other.call("who"), other.call("token")) == ("anne", "a token")


class TestAUserWhoIsImpersonated:
    """The project's middleware sets it where another is logged in."""

    @pytest.fixture
    def browser(self, boss: Any) -> Client:
        return browser_of(boss)

    @pytest.fixture
    def client(self, connect: Connect, browser: Client) -> Any:
        middleware = [
            *WITH_SESSIONS["MIDDLEWARE"],
            f"{__name__}.read_session",
            f"{__name__}.put_ann",
        ]
        with override_settings(MIDDLEWARE=middleware):
            client = connect(client=browser)
        return client

    def test_stays_while_the_other_is_logged_in(self, client: Any, boss: Any) -> None:
        type(boss).objects.filter(pk=boss.pk).update(first_name="B.")
        client.clock.advance(10)
        assert client.call("who") == "ann"

    def test_is_anonymous_once_the_other_is_blocked(self, client: Any, boss: Any) -> None:
        type(boss).objects.filter(pk=boss.pk).update(is_active=False)
        client.clock.advance(10)
        assert client.call("who") == ""

    def test_is_anonymous_once_the_other_has_logged_out(self, client: Any, browser: Client) -> None:
        browser.logout()
        client.clock.advance(10)
        assert client.call("who") == ""


class TestAProjectWithoutTheMiddleware:
    @pytest.mark.parametrize(
        ("name", "middleware"),
        [
            ("user", "AuthenticationMiddleware"),
            ("session", "SessionMiddleware"),
            ("_messages", "MessageMiddleware"),
        ],
    )
    @override_settings(MIDDLEWARE=[])
    def test_is_told_which_is_missing(
        self, connect: Connect, registry: Registry, name: str, middleware: str
    ) -> None:
        registry.on("look")(lambda request, socket, context: getattr(request, name))
        with pytest.raises(AttributeError, match=f"{middleware} is not installed"):
            connect().call("look")


class TestAReceiverOfASignal:
    def test_sees_the_user_and_leaves_later_events_theirs(self, connect: Connect) -> None:
        names = []

        def note(sender: object, request: Any, **kwargs: object) -> None:
            names.append(request.user.get_username())

        ann = make_user()
        client_connected.connect(note)
        try:
            with override_settings(SOCKETIO_REFRESH_INTERVAL=0):
                client = connect(client=browser_of(ann))
                rename(ann)
                assert client.call("who") == "anne"
        finally:
            client_connected.disconnect(note)
        assert names == ["ann"]
