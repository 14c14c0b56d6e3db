"""What Django does around handlers: database connections, refusals, languages, the message log."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import timedelta
from datetime import timezone as fixed_timezone
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import HttpRequest
from django.test import RequestFactory, override_settings
from django.utils import timezone, translation

from socketio_server.net.workers import WorkerPool
from socketio_server.options import DEFAULT_MESSAGE_LOG_FORMAT, Options
from socketio_server.serving.around_events import DjangoHooks, IdleRelease, find_trace
from tests.fakes import FakeClient, FakeLoop, FakeServer, settle

ALIAS = "of_handlers"
"""A database besides the project's own, for handlers of these tests."""


class CountingHooks(DjangoHooks):
    """Counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__(None)
        self.before = self.after = 0

    def before_event(self) -> None:
        self.before += 1
        super().before_event()

    def after_event(self) -> None:
        self.after += 1
        super().after_event()


# --- Database connections (security, 17) ------------------------------------------------------


@pytest.fixture
def max_age() -> int:
    """``CONN_MAX_AGE`` of the database."""
    return 0


@pytest.fixture
def database(
    tmp_path: Path, max_age: int, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any
) -> Iterator[Any]:
    """A database in a file, not connected, and the only one there is."""
    configured = connections.configure_settings(
        {
            "default": {},
            ALIAS: {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": tmp_path / "db.sqlite3",
                "CONN_MAX_AGE": max_age,
            },
        }
    )
    monkeypatch.setattr(connections, "settings", {ALIAS: configured[ALIAS]})
    with django_db_blocker.unblock():
        yield connections[ALIAS]
        connections[ALIAS].close()
        del connections[ALIAS]


@pytest.fixture
def hooks() -> CountingHooks:
    return CountingHooks()


@pytest.fixture
def server(hooks: CountingHooks) -> FakeServer:
    return FakeServer(hooks=hooks)


def query(database: Any) -> int:
    with database.cursor() as cursor:
        cursor.execute("SELECT 1")
        found: int = cursor.fetchone()[0]
    return found


class TestDatabaseConnections:
    def test_one_that_a_handler_opened_is_released_after_the_event(
        self, server: FakeServer, database: Any
    ) -> None:
        @server.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None:
            socket.send([query(database), database.connection is not None])

        client = server.connect()
        client.emit("message", "hi")

        assert client.messages() == [[1, True]]
        assert database.connection is None

    def test_also_where_the_handler_raised(self, server: FakeServer, database: Any) -> None:
        @server.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None:
            query(database)
            raise LookupError

        server.connect().emit("message", "hi")

        assert database.connection is None

    def test_also_where_it_refused(self, server: FakeServer, database: Any) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Any, context: object) -> None:
            query(database)
            raise PermissionDenied

        server.open().send("0")

        assert database.connection is None

    def test_also_after_the_last_event(self, server: FakeServer, database: Any) -> None:
        @server.registry.on_finish
        def finish(request: object, socket: Any, context: dict[str, object]) -> None:
            query(database)

        server.connect().leave()

        assert database.connection is None

    def test_nothing_is_done_for_handlers_that_open_none(
        self, server: FakeServer, hooks: CountingHooks
    ) -> None:
        @server.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None: ...

        server.connect().emit("message", "hi")

        assert (hooks.before, hooks.after) == (0, 0)

    def test_nothing_is_done_for_those_behind_one_that_did(
        self, server: FakeServer, hooks: CountingHooks, database: Any
    ) -> None:
        @server.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None:
            if message == "query":
                query(database)

        client = server.connect()
        client.emit("message", "query")
        assert hooks.after == 1
        client.emit("message", "nothing")
        client.emit("message", "nothing")

        assert (hooks.before, hooks.after) == (0, 1)


class TestPersistentConnections:
    """``CONN_MAX_AGE``: kept between events, and checked before they are used again."""

    @pytest.fixture
    def max_age(self) -> int:
        return 3600

    @pytest.fixture
    def client(self, server: FakeServer, database: Any) -> FakeClient:
        """A client of a server with a handler that queries and one that does not."""

        @server.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None:
            if message == "query":
                socket.send(query(database))
            else:
                socket.send(len(database.queries_log))

        return server.connect()

    def test_one_is_kept(self, client: FakeClient, database: Any) -> None:
        client.emit("message", "query")
        kept = database.connection
        assert kept is not None

        client.emit("message", "query")
        assert database.connection is kept

    def test_one_that_broke_is_replaced(
        self, client: FakeClient, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client.emit("message", "query")
        broken = database.connection
        broken.close()
        database.errors_occurred = True
        monkeypatch.setattr(database, "is_usable", lambda: False)  # SQLite's own never says so
        client.emit("message", "query")

        assert client.messages() == [1, 1]
        assert database.connection is not broken

    def test_one_that_is_too_old_is_released(self, client: FakeClient, database: Any) -> None:
        client.emit("message", "query")
        database.close_at = 0
        client.emit("message", "nothing")

        assert database.connection is None

    @override_settings(DEBUG=True)
    def test_the_queries_of_earlier_events_are_forgotten(
        self, client: FakeClient, database: Any
    ) -> None:
        client.emit("message", "query")
        client.emit("message", "query")
        client.emit("message", "how many?")

        assert client.messages() == [1, 1, 0]


class Idling:
    """A server whose workers keep their connections for a minute, and its time."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.loop = FakeLoop()
        self.pool = WorkerPool(gevent.get_hub(), Options(), 10, clock=monotonic)
        release = IdleRelease(
            self.pool, self.loop, 60.0, clock=lambda: time.monotonic() + self.passed
        )
        self.server = FakeServer(hooks=DjangoHooks(None, release), pool=self.pool)

    def let_pass(self, seconds: float) -> None:
        """Let time pass, and the loop do what is due."""
        self.passed += seconds
        gevent.get_hub().loop.run_callback(self.loop.advance, seconds)
        settle()


class TestIdleRelease:
    """``SOCKETIO_DATABASE_IDLE_TIMEOUT``: opening one for each event takes longer than a query."""

    @pytest.fixture
    def idling(self) -> Idling:
        return Idling()

    @pytest.fixture
    def client(self, idling: Idling, database: Any) -> FakeClient:
        @idling.server.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None:
            query(database)
            if message == "break":
                database.errors_occurred = True
            if message == "raise":
                raise LookupError

        return idling.server.connect()

    @pytest.mark.parametrize("message", ["query", "raise"])
    def test_one_is_kept_for_the_next_event(
        self, client: FakeClient, database: Any, message: str
    ) -> None:
        client.emit("message", message)
        kept = database.connection
        assert kept is not None

        client.emit("message", "query")
        assert database.connection is kept

    def test_one_that_was_idle_for_so_long_is_closed(
        self, idling: Idling, client: FakeClient, database: Any
    ) -> None:
        client.emit("message", "query")
        idling.let_pass(59.0)
        assert database.connection is not None
        database.close_at -= 60.0  # Django reads a clock of its own
        idling.let_pass(1.1)

        assert database.connection is None
        assert not idling.loop.watchers

    def test_each_event_counts_anew(
        self, idling: Idling, client: FakeClient, database: Any
    ) -> None:
        client.emit("message", "query")
        idling.let_pass(40.0)
        client.emit("message", "query")
        idling.let_pass(40.0)
        assert database.connection is not None

    @pytest.mark.parametrize("max_age", [None, 3600])
    def test_one_that_may_be_kept_longer_is(
        self, idling: Idling, client: FakeClient, database: Any
    ) -> None:
        client.emit("message", "query")
        kept = database.connection
        idling.let_pass(61.0)

        assert database.connection is kept

    def test_one_that_broke_is_closed_at_once(
        self, client: FakeClient, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "is_usable", lambda: False)
        client.emit("message", "break")

        assert database.connection is None


# --- What else is Django's --------------------------------------------------------------------


class TestRefusals:
    def test_permission_denied_refuses_a_client(self, server: FakeServer) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: object, context: object) -> None:
            raise PermissionDenied("members only")

        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"members only"}']

    def test_without_a_reason_as_well(self, server: FakeServer) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: object, context: object) -> None:
            raise PermissionDenied

        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"Permission denied"}']


class TestLanguageAndTimeZone:
    """What the project's middleware activated for the handshake is active in handlers."""

    @pytest.fixture(params=["by a trace", "without one"])
    def server(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
        """A server whose handler tells language and offset from UTC."""
        if request.param == "without one":
            monkeypatch.setattr(
                "socketio_server.serving.around_events.find_trace", lambda activate: None
            )
        made = FakeServer(hooks=DjangoHooks(None))

        @made.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None:
            socket.send([translation.get_language(), timezone.localtime().strftime("%z")])

        return made

    def test_what_any_other_middleware_activated(self, server: FakeServer) -> None:
        with translation.override("fr"), timezone.override(fixed_timezone(timedelta(hours=3))):
            client = server.connect()
        client.emit("message", "?")

        assert client.messages() == [["fr", "+0300"]]

    def test_the_language_that_the_locale_middleware_found(
        self, server: FakeServer, rf: RequestFactory
    ) -> None:
        request = rf.get("/")
        request.LANGUAGE_CODE = "fr"
        with translation.override("fr"):
            client = server.connect(request=request)
        client.emit("message", "?")

        assert client.messages() == [["fr", timezone.localtime().strftime("%z")]]

    def test_one_client_s_is_not_another_s(self, server: FakeServer, rf: RequestFactory) -> None:
        clients = []
        for language, hours in (("fr", 3), ("en", -3)):
            request = rf.get("/")
            request.LANGUAGE_CODE = language
            zone = fixed_timezone(timedelta(hours=hours))
            with translation.override(language), timezone.override(zone):
                clients.append(server.connect(request=request))
        clients.append(server.connect(request=rf.get("/")))
        for client in clients * 2:
            client.emit("message", "?")

        assert [client.messages() for client in clients] == [
            [["fr", "+0300"]] * 2,
            [["en", "-0300"]] * 2,
            [["en", timezone.localtime().strftime("%z")]] * 2,
        ]

    def test_the_settings_own_where_it_was_deactivated_again(self, server: FakeServer) -> None:
        with translation.override("fr"), timezone.override(fixed_timezone(timedelta(hours=3))):
            translation.deactivate()
            timezone.deactivate()
            client = server.connect()
        client.emit("message", "?")

        assert client.messages() == [["en", timezone.localtime().strftime("%z")]]


class TestTraces:
    """By a trace, and without asking Django, the hooks see that nothing was activated."""

    def test_a_language_leaves_the_same_as_that_nothing_is_translated(self) -> None:
        trace = find_trace(translation.deactivate_all)
        assert trace is not None
        assert find_trace(partial(translation.activate, "fr")) is trace

    def test_any_time_zone_leaves_the_same(self) -> None:
        trace = find_trace(partial(timezone.activate, "UTC"))
        assert trace is not None
        assert find_trace(partial(timezone.activate, "Asia/Tokyo")) is trace

    def test_looking_for_it_activates_nothing(self) -> None:
        before = translation.get_language()
        find_trace(partial(translation.activate, "fr"))
        assert translation.get_language() == before

    def test_what_leaves_none_or_several_can_not_be_told_by_them(self) -> None:
        several = [ContextVar[int]("one"), ContextVar[int]("other")]

        def set_all() -> None:
            for variable in several:
                variable.set(1)

        assert find_trace(lambda: None) is None
        assert find_trace(set_all) is None


# --- The message log (semantics, 6) -----------------------------------------------------------


@pytest.fixture
def request_(rf: RequestFactory) -> HttpRequest:
    return rf.get("/socket.io/", REMOTE_ADDR="10.0.0.1", HTTP_USER_AGENT="a browser")


@pytest.fixture
def log(request_: HttpRequest, caplog: pytest.LogCaptureFixture) -> Callable[..., str]:
    """Log a message; return the line."""

    def log(message: object = "hi", kind: str = "message", format_: str = "%(MESSAGE)s") -> str:
        DjangoHooks(format_).log_message(request_, kind, message)
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("socketio_server.messages", "INFO")
        return record.getMessage()

    caplog.set_level(logging.INFO)
    return log


class TestMessageLog:
    def test_the_default_is_the_original_s(self, log: Callable[..., str]) -> None:
        line = log("hi", "message", DEFAULT_MESSAGE_LOG_FORMAT)

        assert re.fullmatch(
            r'10\.0\.0\.1 - - \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] "Socket\.IO message: hi"', line
        )

    @pytest.mark.parametrize(
        ("format_", "line"),
        [
            ("%(TYPE)s", "subscribe"),
            ("%(HTTP_USER_AGENT)s %(REQUEST_METHOD)s", "a browser GET"),
            ("%(NO_SUCH_KEY)s|%(REMOTE_USER)s", "-|-"),
            ("100%% %(MESSAGE)s", "100% room"),
            ("no keys", "no keys"),
        ],
    )
    def test_the_format_has_the_keys_of_the_request_and_three_more(
        self, log: Callable[..., str], format_: str, line: str
    ) -> None:
        assert log("room", "subscribe", format_) == line

    @pytest.mark.parametrize(
        ("message", "line"),
        [
            ("plain", "plain"),
            ("été €😀", "été €😀"),
            ({"a": [1, None]}, "{'a': [1, None]}"),
            (None, "None"),
            ("two\nlines\r", r"two\nlines\r"),
            ("\x1b[31mred", r"\x1b[31mred"),
            ("\0\x7f\x9b", r"\x00\x7f\x9b"),
            ("\u2028\u202e", r"\u2028\u202e"),
            ("100% %s %(TIME)s", "100% %s %(TIME)s"),
            ("x" * 200, "x" * 200),
            ("x" * 201, "x" * 200 + "…"),
        ],
    )
    def test_what_clients_send_is_escaped_and_cut(
        self, log: Callable[..., str], message: object, line: str
    ) -> None:
        assert log(message) == line

    def test_none_turns_it_off(
        self, request_: HttpRequest, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        hooks = DjangoHooks(None)
        hooks.log_message(request_, "message", "hi")

        assert caplog.records == []
        assert not hooks.logs_messages

    @pytest.mark.parametrize("format_", ["%(MESSAGE)d", "%(MESSAGE", "%", "%(MESSAGE)y"])
    def test_a_format_that_does_not_fit_raises_nothing(
        self, request_: HttpRequest, caplog: pytest.LogCaptureFixture, format_: str
    ) -> None:
        caplog.set_level(logging.INFO)
        DjangoHooks(format_).log_message(request_, "message", "hi")

        (record,) = caplog.records
        assert record.levelname == "ERROR"
        assert "SOCKETIO_MESSAGE_LOG_FORMAT" in record.getMessage()
