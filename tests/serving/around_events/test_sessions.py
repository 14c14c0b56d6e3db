"""``request.session`` in handlers: that of now, and saved after each event."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import login
from django.contrib.messages import add_message, get_messages
from django.db import DatabaseError
from django.test import Client, override_settings
from gevent.event import Event
from pytest_django import DjangoAssertNumQueries

from socketio_server.events import Registry, Reject
from socketio_server.serving.around_events import identity
from socketio_server.serving.around_events.hooks import DjangoHooks
from socketio_server.serving.around_events.sessions import KEPT_KEYS, Saves
from tests.fakes.server import FakeServer
from tests.support.users import Connect, browser_of, make_user, request_of

pytestmark = pytest.mark.usefixtures("tables")


def change(browser: Client, **values: Any) -> None:
    """Change the session as a view does."""
    session = browser.session
    session.update(values)
    session.save()


class TestTheSession:
    def test_is_that_of_now(self, connect: Connect) -> None:
        browser = browser_of(make_user())
        client = connect(client=browser)
        change(browser, colour="red")
        assert client.call("get", "colour") == "red"

        change(browser, colour="blue")
        client.clock.advance(10)
        assert client.call("get", "colour") == "blue"

    def test_is_saved_after_the_event(self, connect: Connect) -> None:
        browser = browser_of(make_user())
        connect(client=browser).call("set", "colour", "red")
        assert browser.session["colour"] == "red"

    def test_keeps_what_a_view_has_stored_meanwhile(self, connect: Connect) -> None:
        browser = browser_of(make_user())
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
        browser = browser_of(make_user())
        client = connect(client=browser)
        client.call("get", "colour")
        change(browser, colour="the view's")
        client.call("set", "colour", "the handler's")
        assert browser.session["colour"] == "the view's"
        assert "A handler's change of 'colour' in a session is lost" in caplog.text

    def test_of_which_a_view_has_stored_the_same_has_lost_nothing(
        self, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        browser = browser_of(make_user())
        client = connect(client=browser)
        client.call("get", "colour")
        change(browser, colour="red")
        client.call("set", "colour", "red")
        assert caplog.text == ""

    def test_of_two_clients_is_changed_by_both_in_turn(self, connect: Connect) -> None:
        browser = browser_of(make_user())
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
        client = connect(client=browser_of(make_user()))
        client.call("who")
        client.call("set", "colour", "red")
        with django_assert_num_queries(0):
            assert client.call("get", "colour") == "red"
            assert client.call("who") == "ann"

    def test_is_not_saved_where_a_handler_raised(self, connect: Connect) -> None:
        browser = browser_of(make_user())
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

        browser = browser_of(make_user())
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

        browser = browser_of(make_user())
        connect(client=browser).call("refused")
        assert "colour" not in browser.session

    def test_that_is_gone_is_not_brought_back(self, connect: Connect) -> None:
        from django.contrib.sessions.models import Session

        browser = browser_of(make_user())
        client = connect(client=browser)
        client.call("get", "colour")
        Session.objects.all().delete()
        client.call("set", "colour", "red")
        assert not Session.objects.exists()
        assert client.connected

    def test_that_has_run_out_is_not_saved_again(self, connect: Connect) -> None:
        from django.contrib.sessions.models import Session

        client = connect(client=browser_of(make_user()))
        client.call("get", "colour")
        Session.objects.update(expire_date="2000-01-01 00:00:00+00:00")
        (before,) = Session.objects.values()
        client.call("set", "colour", "red")
        assert list(Session.objects.values()) == [before]

    def test_is_that_of_the_key_which_a_handler_s_login_has_made(
        self, connect: Connect, registry: Registry
    ) -> None:
        @registry.on("log in")
        def log_in(request: Any, socket: Any, context: Any) -> None:
            login(request, ann)

        ann = make_user()
        client = connect()
        client.call("log in")
        client.call("set", "colour", "red")
        client.clock.advance(10)
        assert client.call("get", "colour") == "red"

    def test_that_cannot_be_saved_is_an_error_of_the_handler(
        self, connect: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: object) -> None:
            raise DatabaseError("the server is gone")

        errors = []
        registry.on_error(lambda request, socket, context, exception: errors.append(exception))
        client = connect(client=browser_of(make_user()))
        client.call("get", "colour")
        monkeypatch.setattr("django.contrib.sessions.base_session.AbstractBaseSession.save", fail)
        with pytest.raises(Exception) as raised:  # noqa: PT011 (Django's UpdateError is one)
            client.call("set", "colour", "red")
        assert errors == [raised.value]
        assert client.connected

    def test_can_be_saved_by_the_handler_too(self, connect: Connect, registry: Registry) -> None:
        @registry.on("save")
        def save(request: Any, socket: Any, context: Any) -> None:
            request.session["colour"] = "red"
            request.session.save()

        browser = browser_of(make_user())
        client = connect(client=browser)
        client.call("get", "colour")
        change(browser, size="large")
        client.call("save")
        assert (browser.session["colour"], browser.session["size"]) == ("red", "large")

    def test_can_be_made_by_the_handler_too(self, connect: Connect, registry: Registry) -> None:
        from django.contrib.sessions.backends.db import SessionStore
        from django.contrib.sessions.models import Session

        @registry.on("make")
        def make(request: Any, socket: Any, context: Any) -> None:
            request.session.create()
            request.session["colour"] = "red"

        client = connect()
        client.call("make")
        view = SessionStore(Session.objects.get().session_key)
        view["shape"] = "round"
        view.save()
        client.call("set", "size", "large")
        assert dict(view.load()) == {"colour": "red", "shape": "round", "size": "large"}

    @pytest.mark.parametrize(
        ("before", "act"),
        [
            (None, lambda request: login(request, make_user("ben"))),
            ("ann", lambda request: login(request, make_user("ben"))),
            ("ann", lambda request: request.session.cycle_key()),
        ],
        ids=["login", "login as another", "cycle_key"],
    )
    def test_gets_no_new_key_from_a_handler_unnoticed(
        self,
        connect: Connect,
        registry: Registry,
        caplog: pytest.LogCaptureFixture,
        before: str | None,
        act: Callable[[Any], None],
    ) -> None:
        """The browser would not hear of it."""
        identity._tell_of_new_key.cache_clear()
        registry.on("act")(lambda request, socket, context: act(request))
        client = connect(client=browser_of(make_user(before))) if before else connect()
        client.emit("act")

        (line,) = (record.getMessage() for record in caplog.records)
        assert line.startswith("A handler has given a session a new key, by login()")

    def test_that_keeps_its_key_or_is_made_by_a_handler_is_not_remarked_on(
        self, connect: Connect, registry: Registry, caplog: pytest.LogCaptureFixture
    ) -> None:
        identity._tell_of_new_key.cache_clear()
        registry.on("make")(lambda request, socket, context: request.session.create())
        connect().emit("make")
        connect(client=browser_of(make_user())).emit("set", "colour", "red")

        assert caplog.records == []

    def test_can_be_another_at_the_handler_s_wish(
        self, connect: Connect, registry: Registry
    ) -> None:
        @registry.on("take")
        def take(request: Any, socket: Any, context: Any, key: str) -> None:
            request.session = type(browser.session)(key)

        browser = browser_of(make_user())
        client = connect()
        assert client.call("who") == ""
        client.call("take", browser.session.session_key)
        assert client.call("who") == "ann"
        client.clock.advance(10)
        assert client.call("who") == "ann"

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
            browser = browser_of(make_user())
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
            browser = browser_of(make_user())
            client = connect(client=browser)
            assert client.call("who") == "ann"
            client.call("set", "colour", "red")
            client.clock.advance(10)
            assert client.call("get", "colour") is None


class TestEventsOfTwoNamespaces:
    def test_see_nothing_of_each_other_s_session_that_is_not_saved(self) -> None:
        server = FakeServer(hooks=DjangoHooks(None, refresh_interval=10.0))
        go_on = Event()
        seen: list[Any] = []

        @server.registry.on("set")
        def set_(request: Any, socket: Any, context: Any) -> None:
            request.session["colour"] = "red"
            go_on.wait()

        @server.registry.on("look", namespace="/two")
        def look(request: Any, socket: Any, context: Any) -> None:
            seen.append(request.session.get("colour"))

        client = server.connect(request=request_of(browser_of(make_user())))
        for packet in ("0/two,", '2["set"]', '2/two,["look"]'):
            client.send(packet)
        assert seen == [None]

        go_on.set()
        client.send('2/two,["look"]')
        assert seen == [None, "red"]


class TestMessages:
    def test_of_a_handler_are_on_the_next_page(self, connect: Connect, registry: Registry) -> None:
        @registry.on("tell")
        def tell(request: Any, socket: Any, context: Any, text: str) -> list[str]:
            add_message(request, 20, text)
            return []

        @registry.on("read")
        def read(request: Any, socket: Any, context: Any) -> list[str]:
            return [message.message for message in get_messages(request)]

        browser = browser_of(make_user())
        client = connect(client=browser)
        client.call("tell", "one")
        client.call("tell", "two")
        assert "one" in browser.session["_messages"]
        assert client.call("read") == ["one", "two"]
        assert client.call("read") == []


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
