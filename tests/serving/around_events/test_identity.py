"""``request.user`` and ``request.session`` in handlers: those of now (django.md, section 2)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.messages import add_message, get_messages
from django.db import DatabaseError
from django.test import Client, override_settings
from pytest_django import DjangoAssertNumQueries

import socketio_server
from socketio_server.channels import CHANNELS
from socketio_server.clients import CLIENTS
from socketio_server.events import Registry, Reject
from socketio_server.protocol.socketio import Encoded
from socketio_server.serving.around_events.sessions import KEPT_KEYS, Saves
from socketio_server.signals import client_connected
from socketio_server.testing import SocketIOClient
from tests.testing.users import WITH_SESSIONS, create_tables

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _tables() -> Iterator[None]:
    with override_settings(**WITH_SESSIONS):
        create_tables()
        yield


@pytest.fixture
def registry() -> Registry:
    """Handlers that tell and do what a test wants."""
    registry = Registry()

    @registry.on("who")
    def who(request: Any, socket: Any, context: Any) -> str:
        name: str = socket.user.get_username()
        return name

    @registry.on("get")
    def get(request: Any, socket: Any, context: Any, key: str) -> Any:
        return request.session.get(key)

    @registry.on("set")
    def set_(request: Any, socket: Any, context: Any, key: str, value: Any) -> None:
        request.session[key] = value

    @registry.on("set and fail")
    def set_and_fail(request: Any, socket: Any, context: Any, key: str, value: Any) -> None:
        request.session[key] = value
        raise LookupError

    @registry.on("nothing")
    def nothing(request: Any, socket: Any, context: Any) -> str:
        return "done"

    return registry


def make_user(name: str = "ann") -> Any:
    from django.contrib.auth.models import User

    return User.objects.create(username=name)


def rename(user: Any) -> None:
    """Rename ann, of which no signal tells."""
    type(user).objects.filter(pk=user.pk).update(username="anne")


def delete(user: Any) -> None:
    """Delete a user, without its groups, of which there is no table."""
    type(user).objects.filter(pk=user.pk)._raw_delete("default")


def logged_in(user: Any) -> Client:
    """A browser in which a user is logged in."""
    browser = Client()
    browser.force_login(user)
    return browser


def change(browser: Client, **values: Any) -> None:
    """Change the session as a view does."""
    session = browser.session
    session.update(values)
    session.save()


Connect = Callable[..., SocketIOClient]


@pytest.fixture
def connect(registry: Registry) -> Iterator[Connect]:
    """Connect a client with the handlers."""
    clients = []

    def connect(**more: Any) -> SocketIOClient:
        client = SocketIOClient(registry=registry, **more)
        client.connect()
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.disconnect()


class TestTheUser:
    def test_is_looked_up_again_after_the_interval(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(client=logged_in(ann))
        assert client.call("who") == "ann"

        rename(ann)
        client.clock.advance(9.9)
        assert client.call("who") == "ann"
        client.clock.advance(0.1)
        assert client.call("who") == "anne"

    @override_settings(SOCKETIO_REFRESH_INTERVAL=0)
    def test_is_looked_up_for_each_event_with_0(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(client=logged_in(ann))
        assert client.call("who") == "ann"

        rename(ann)
        assert client.call("who") == "anne"

    @override_settings(SOCKETIO_REFRESH_INTERVAL=None)
    def test_stays_that_of_the_connection_with_none(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(client=logged_in(ann))
        assert client.call("who") == "ann"

        delete(ann)
        client.clock.advance(1000)
        assert client.call("who") == "ann"

    @override_settings(SOCKETIO_REFRESH_INTERVAL=0)
    def test_is_one_object_within_an_event(self, connect: Connect, registry: Registry) -> None:
        @registry.on("same")
        def same(request: Any, socket: Any, context: Any) -> bool:
            return request.user is request.user is socket.user

        assert connect(client=logged_in(make_user())).call("same") is True

    @pytest.mark.parametrize(
        "end",
        [
            pytest.param(lambda user, browser: browser.logout(), id="logs out"),
            pytest.param(lambda user, browser: browser.session.flush(), id="loses the session"),
            pytest.param(lambda user, browser: delete(user), id="is deleted"),
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
        browser = logged_in(ann)
        client = connect(client=browser)
        assert client.call("who") == "ann"

        end(ann, browser)
        client.clock.advance(10)
        assert client.call("who") == ""
        assert client.connected

    def test_that_is_saved_is_looked_up_at_once(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(client=logged_in(ann))
        assert client.call("who") == "ann"
        ann.username = "anne"
        ann.save()
        assert client.call("who") == "anne"

    def test_with_another_password_is_not_logged_out_by_a_look(self, connect: Connect) -> None:
        ann = make_user()
        browser = logged_in(ann)
        client = connect(client=browser)
        ann.set_password("new")
        ann.save()
        assert client.call("who") == ""

        assert browser.session["_auth_user_id"] == str(ann.pk)

    def test_costs_two_queries_for_an_event_that_asks(
        self, connect: Connect, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = connect(client=logged_in(make_user()))
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
        browser = logged_in(make_user())
        with django_assert_num_queries(2):
            connect(client=browser)

    def test_is_read_once_for_a_client_that_joins_many_namespaces(
        self,
        connect: Connect,
        registry: Registry,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        registry.on("news", namespace="/one")(print)
        registry.on("news", namespace="/two")(print)
        ann = make_user()
        client = connect(client=logged_in(ann))
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
        client = connect(client=logged_in(ann))
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
        client = connect(client=logged_in(make_user()))
        with monkeypatch.context() as patch:
            patch.setattr("django.contrib.auth.backends.ModelBackend.get_user", _fail)
            with pytest.raises(DatabaseError):
                client.call("who")
        assert client.call("who") == "ann"

    def test_that_cannot_be_read_at_the_connection_is_logged_and_let_in(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        browser = logged_in(make_user())
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
        client = connect(client=logged_in(make_user("ben")), auth={"name": "ann"})
        client.clock.advance(10)
        assert client.call("who") == "ann"

    @pytest.mark.parametrize("change", [{"is_active": False}, None], ids=["blocked", "deleted"])
    def test_is_anonymous_once_it_is(self, connect: Connect, change: dict[str, Any] | None) -> None:
        ann = make_user()
        client = connect(auth={"name": "ann"})
        if change is None:
            delete(ann)
        else:
            type(ann).objects.update(**change)
        client.clock.advance(10)
        assert client.call("who") == ""

    def test_has_the_permissions_of_now(self, connect: Connect) -> None:
        ann = make_user()
        client = connect(auth={"name": "ann"})
        type(ann).objects.update(is_superuser=True)
        client.clock.advance(10)
        assert client.call("may") is True


class TestTheSession:
    def test_is_that_of_now(self, connect: Connect) -> None:
        browser = logged_in(make_user())
        client = connect(client=browser)
        change(browser, colour="red")
        assert client.call("get", "colour") == "red"

        change(browser, colour="blue")
        client.clock.advance(10)
        assert client.call("get", "colour") == "blue"

    def test_is_saved_after_the_event(self, connect: Connect) -> None:
        browser = logged_in(make_user())
        connect(client=browser).call("set", "colour", "red")
        assert browser.session["colour"] == "red"

    def test_keeps_what_a_view_has_stored_meanwhile(self, connect: Connect) -> None:
        browser = logged_in(make_user())
        client = connect(client=browser)
        client.call("get", "colour")
        change(browser, size="large")
        client.call("set", "colour", "red")

        assert dict(browser.session.items()) | {"colour": "red", "size": "large"} == dict(
            browser.session.items()
        )

    def test_keeps_the_views_value_of_a_key_that_both_changed(
        self, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        browser = logged_in(make_user())
        client = connect(client=browser)
        client.call("get", "colour")
        change(browser, colour="the view's")
        client.call("set", "colour", "the handler's")
        assert browser.session["colour"] == "the view's"
        assert "A handler's change of 'colour' in a session is lost" in caplog.text

    def test_of_which_a_view_has_stored_the_same_has_lost_nothing(
        self, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        browser = logged_in(make_user())
        client = connect(client=browser)
        client.call("get", "colour")
        change(browser, colour="red")
        client.call("set", "colour", "red")
        assert caplog.text == ""

    def test_of_two_clients_is_changed_by_both_in_turn(self, connect: Connect) -> None:
        browser = logged_in(make_user())
        clients = [connect(client=browser), connect(client=browser)]
        for client in clients:
            client.call("get", "colour")
        for client, colour in zip(clients * 2, "abcd", strict=True):
            client.call("set", "colour", colour)
            assert browser.session["colour"] == colour
        assert clients[0].call("get", "colour") == "d"

    def test_of_one_client_is_not_read_again_after_its_own_change(
        self, connect: Connect, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = connect(client=logged_in(make_user()))
        client.call("who")
        client.call("set", "colour", "red")
        with django_assert_num_queries(0):
            assert client.call("get", "colour") == "red"
            assert client.call("who") == "ann"

    def test_is_not_saved_where_a_handler_raised(self, connect: Connect) -> None:
        browser = logged_in(make_user())
        client = connect(client=browser)
        with pytest.raises(LookupError):
            client.call("set and fail", "colour", "red")

        assert client.call("get", "colour") is None
        assert "colour" not in browser.session

    def test_is_not_saved_where_a_handler_refuses(
        self, connect: Connect, registry: Registry
    ) -> None:
        @registry.on_subscribe
        def refuse(request: Any, socket: Any, context: Any, channel: str) -> bool:
            request.session["colour"] = "red"
            return False

        browser = logged_in(make_user())
        client = connect(client=browser)
        client.call("__subscribe__", "room")
        assert "colour" not in browser.session

    def test_is_not_saved_where_a_message_is_refused(
        self, connect: Connect, registry: Registry
    ) -> None:
        @registry.on("refused")
        def refused(request: Any, socket: Any, context: Any) -> None:
            request.session["colour"] = "red"
            raise Reject("no")

        browser = logged_in(make_user())
        connect(client=browser).call("refused")
        assert "colour" not in browser.session

    def test_that_is_gone_is_not_brought_back(self, connect: Connect) -> None:
        from django.contrib.sessions.models import Session

        browser = logged_in(make_user())
        client = connect(client=browser)
        client.call("get", "colour")
        Session.objects.all().delete()
        client.call("set", "colour", "red")
        assert not Session.objects.exists()
        assert client.connected

    def test_that_cannot_be_saved_is_an_error_of_the_handler(
        self, connect: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        errors = []
        registry.on_error(lambda request, socket, context, exception: errors.append(exception))
        client = connect(client=logged_in(make_user()))
        client.call("get", "colour")
        monkeypatch.setattr("django.contrib.sessions.base_session.AbstractBaseSession.save", _fail)
        with pytest.raises(Exception) as raised:  # noqa: PT011 (Django's UpdateError is one)
            client.call("set", "colour", "red")
        assert errors == [raised.value]
        assert client.connected

    def test_can_be_saved_by_the_handler_too(self, connect: Connect, registry: Registry) -> None:
        @registry.on("save")
        def save(request: Any, socket: Any, context: Any) -> None:
            request.session["colour"] = "red"
            request.session.save()

        browser = logged_in(make_user())
        client = connect(client=browser)
        client.call("get", "colour")
        change(browser, size="large")
        client.call("save")
        assert (browser.session["colour"], browser.session["size"]) == ("red", "large")

    def test_of_a_client_that_came_without_is_not_stored(self, connect: Connect) -> None:
        from django.contrib.sessions.models import Session

        client = connect()
        client.call("set", "colour", "red")
        assert not Session.objects.exists()

    @pytest.mark.parametrize("engine", ["cache", "cached_db", "file"])
    def test_is_merged_in_other_stores_too(
        self, connect: Connect, engine: str, tmp_path: Any
    ) -> None:
        with override_settings(
            SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}",
            SESSION_FILE_PATH=str(tmp_path),
        ):
            browser = logged_in(make_user())
            client = connect(client=browser)
            client.call("get", "colour")
            change(browser, size="large", shape="the view's")
            client.call("set", "colour", "red")
            client.call("set", "shape", "the handler's")
            found = browser.session
            assert (found["colour"], found["size"]) == ("red", "large")
            found.flush()
            client.call("set", "colour", "blue")
            assert not browser.session.exists(found.session_key or "none")

    def test_in_cookies_is_read_only(self, connect: Connect) -> None:
        with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
            browser = logged_in(make_user())
            client = connect(client=browser)
            assert client.call("who") == "ann"
            client.call("set", "colour", "red")
            client.clock.advance(10)
            assert client.call("get", "colour") is None


class TestSaves:
    def test_outdate_what_was_loaded_before(self) -> None:
        saves = Saves()
        assert not saves.has("key", saves.count)

        before = saves.count
        now = saves.add("key", before)
        assert saves.has("key", before)
        assert not saves.has("key", now)
        assert not saves.has("another key", before)

    def test_leave_a_client_outdated_that_saved_while_another_did(self) -> None:
        saves = Saves()
        before = saves.count
        saves.add("key", before)

        assert saves.add("key", before) == before

    def test_of_too_many_sessions_outdate_all(self) -> None:
        saves = Saves()
        before = saves.count
        for number in range(KEPT_KEYS + 1):
            saves.add(str(number), saves.count)

        assert saves.has("another key", before)
        assert not saves.has("another key", saves.count)
        assert not saves.has(str(KEPT_KEYS), saves.count)


class TestAReceiverOfASignal:
    def test_sees_the_user_and_leaves_later_events_theirs(self, connect: Connect) -> None:
        names = []

        def note(sender: object, request: Any, **kwargs: object) -> None:
            names.append(request.user.get_username())

        ann = make_user()
        client_connected.connect(note)
        try:
            with override_settings(SOCKETIO_REFRESH_INTERVAL=0):
                client = connect(client=logged_in(ann))
                rename(ann)
                assert client.call("who") == "anne"
        finally:
            client_connected.disconnect(note)
        assert names == ["ann"]


class TestMessages:
    def test_of_a_handler_are_on_the_next_page(self, connect: Connect, registry: Registry) -> None:
        @registry.on("tell")
        def tell(request: Any, socket: Any, context: Any, text: str) -> list[str]:
            add_message(request, 20, text)
            return []

        @registry.on("read")
        def read(request: Any, socket: Any, context: Any) -> list[str]:
            return [message.message for message in get_messages(request)]

        browser = logged_in(make_user())
        client = connect(client=browser)
        client.call("tell", "one")
        client.call("tell", "two")
        assert "one" in browser.session["_messages"]
        assert client.call("read") == ["one", "two"]
        assert client.call("read") == []


class TestMessagesToAUser:
    def test_reach_all_of_its_clients_and_nobody_else(self, connect: Connect) -> None:
        ann = make_user()
        phone, desk = connect(client=logged_in(ann)), connect(client=logged_in(ann))
        ben, stranger = connect(client=logged_in(make_user("ben"))), connect()
        socketio_server.emit("news", 1, to=ann)

        assert phone.received == desk.received == [("news", 1)]
        assert ben.received == stranger.received == []

    def test_are_not_sent_to_who_is_skipped(self, connect: Connect) -> None:
        ann, ben = make_user(), make_user("ben")
        at_ann, at_ben = connect(client=logged_in(ann)), connect(client=logged_in(ben))
        socketio_server.emit("news", to=[ann, ben, "room"], skip=ann)
        assert at_ann.received == []
        assert at_ben.received == [("news",)]

    def test_reach_the_user_that_a_handler_has_set(
        self, connect: Connect, registry: Registry
    ) -> None:
        ann = make_user()

        @registry.on_connect
        def log_in(request: Any, socket: Any, context: Any) -> None:
            request.user = ann

        @registry.on("tell me")
        def tell(request: Any, socket: Any, context: Any) -> None:
            socket.emit("told", to=request.user)

        client = connect()
        client.call("tell me")
        assert client.received == [("told",)]

    def test_stay_away_once_a_handler_has_seen_that_it_is_gone(self, connect: Connect) -> None:
        ann = make_user()
        browser = logged_in(ann)
        client = connect(client=browser)
        browser.logout()
        client.call("who")
        socketio_server.emit("news", to=ann)
        assert client.received == []

    def test_reach_each_namespace_by_itself(self, connect: Connect, registry: Registry) -> None:
        registry.on("news", namespace="/admin")(print)
        ann = make_user()
        browser = logged_in(ann)
        client, admin = connect(client=browser), connect(client=browser, namespace="/admin")
        socketio_server.emit("news", to=ann, namespace="/admin")
        assert client.received == []
        assert admin.received == [("news",)]

    def test_leave_channels_alone(self, connect: Connect) -> None:
        connect(client=logged_in(make_user()))
        assert len(CHANNELS) == 0

    @pytest.mark.parametrize("name", ["AnonymousUser", "User"])
    def test_are_for_users_that_can_be_told_apart(self, name: str) -> None:
        from django.contrib.auth import models

        user = getattr(models, name)()
        with pytest.raises(ValueError, match=r"can't be told from others"):
            socketio_server.emit("news", to=user)
        with pytest.raises(ValueError, match=r"can't be told from others"):
            socketio_server.emit("news", skip=user)


class TestUsersOnAChannel:
    def test_are_those_there_each_once_without_the_anonymous(self, connect: Connect) -> None:
        ann, ben, cem = make_user(), make_user("ben"), make_user("cem")
        for user in (ben, ann, ben):
            connect(client=logged_in(user)).subscribe("room")
        connect().subscribe("room")
        connect(client=logged_in(cem)).subscribe("elsewhere")
        found = socketio_server.users_on("room")
        assert list(found) == [ben, ann]
        assert found.missing == 0

    def test_without_those_that_are_deleted(self, connect: Connect) -> None:
        ann = make_user()
        connect(client=logged_in(ann)).subscribe("room")
        delete(ann)
        assert list(socketio_server.users_on("room")) == []

    def test_are_not_shown_as_channels(self, connect: Connect) -> None:
        connect(client=logged_in(make_user())).subscribe("room")
        (record,) = socketio_server.find_sockets()
        assert record.channels == ("room",)
        assert list(socketio_server.channel_names()) == ["room"]

    def test_cost_one_query_however_many_clients_there_are(
        self, connect: Connect, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for name in "abc":
            connect(client=logged_in(make_user(name))).subscribe("room")
        with django_assert_num_queries(1):
            assert len(socketio_server.users_on("room")) == 3
