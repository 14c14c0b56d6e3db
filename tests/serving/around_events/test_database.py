"""Database connections: which are kept between events, and which are closed."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connections, transaction
from django.http import HttpResponse
from django.test import override_settings
from gevent.event import Event
from greenlet import getcurrent

from socketio_server.net.workers import Worker
from socketio_server.serving.around_events.hooks import DjangoHooks
from socketio_server.signals import client_disconnected
from tests.fakes.hub import make_pool, settle
from tests.fakes.loop import FakeLoop
from tests.fakes.server import FakeClient, FakeServer

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

    def after_event(self, request: Any) -> None:
        self.after += 1
        super().after_event(request)


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

    def test_one_that_a_handler_opened_is_released_where_it_raised(
        self, server: FakeServer, database: Any
    ) -> None:
        @server.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None:
            query(database)
            raise LookupError

        server.connect().emit("message", "hi")

        assert database.connection is None

    def test_one_that_a_handler_opened_is_released_where_it_refused(
        self, server: FakeServer, database: Any
    ) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Any, context: object) -> None:
            query(database)
            raise PermissionDenied

        server.open().send("0")

        assert database.connection is None

    def test_one_that_a_handler_opened_is_released_after_the_last_event(
        self, server: FakeServer, database: Any
    ) -> None:
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

    def test_those_of_a_signal_s_receiver_are_treated_as_a_handler_s(
        self, server: FakeServer, hooks: CountingHooks, database: Any
    ) -> None:
        found: list[object] = []

        def note(sender: object, **details: object) -> None:
            found.append((query(database), database.connection is not None))

        client_disconnected.connect(note)
        try:
            server.connect().leave()
        finally:
            client_disconnected.disconnect(note)

        assert found == [(1, True)]
        assert database.connection is None


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

    def test_one_is_looked_at_before_the_receivers_of_signals_use_it(
        self, client: FakeClient, hooks: CountingHooks
    ) -> None:
        looked: list[int] = []

        def note(sender: object, **details: object) -> None:
            looked.append(hooks.before)

        client.emit("message", "query")
        before = hooks.before
        client_disconnected.connect(note)
        try:
            client.leave()
        finally:
            client_disconnected.disconnect(note)

        assert looked == [before + 1]

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
    """A server whose workers keep connections to SQLite for a minute, and its time."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.loop = FakeLoop()
        self.pool = make_pool(10)
        hooks = DjangoHooks(None, loop=self.loop, sqlite_timeout=60.0, clock=self.clock)
        self.server = FakeServer(hooks=hooks, pool=self.pool)

    def clock(self) -> float:
        return time.monotonic() + self.passed

    def let_pass(self, seconds: float, database: Any) -> None:
        """Let time pass, and the loop do what is due."""
        self.passed += seconds
        if database.close_at is not None:
            database.close_at -= seconds  # Django reads a clock of its own
        gevent.get_hub().loop.run_callback(self.loop.advance, seconds)
        settle()


class TestIdleWorkers:
    """Connections that expire while their worker has nothing to do are closed all the same."""

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
    def test_one_to_sqlite_is_kept_for_the_next_event(
        self, client: FakeClient, database: Any, message: str
    ) -> None:
        client.emit("message", message)
        kept = database.connection
        assert kept is not None

        client.emit("message", "query")
        assert database.connection is kept

    def test_one_to_a_server_is_not(
        self, client: FakeClient, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "vendor", "postgresql")
        client.emit("message", "query")

        assert database.connection is None

    def test_one_to_sqlite_that_was_idle_for_so_long_is_closed(
        self, idling: Idling, client: FakeClient, database: Any
    ) -> None:
        client.emit("message", "query")
        idling.let_pass(59.0, database)
        assert database.connection is not None
        idling.let_pass(2.0, database)

        assert database.connection is None
        assert not idling.loop.watchers

    def test_each_event_counts_anew(
        self, idling: Idling, client: FakeClient, database: Any
    ) -> None:
        client.emit("message", "query")
        idling.let_pass(40.0, database)
        client.emit("message", "query")
        idling.let_pass(40.0, database)

        assert database.connection is not None

    def test_one_that_broke_is_closed_at_once(
        self, client: FakeClient, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "is_usable", lambda: False)
        client.emit("message", "break")

        assert database.connection is None

    def test_the_worker_of_a_view_is_looked_after_as_well(
        self, idling: Idling, database: Any
    ) -> None:
        class View:
            def work(self) -> None:
                query(database)
                database.close_at = time.monotonic() + 10
                self.worker = getcurrent()

        view = View()
        idling.pool.run(view)
        settle()
        assert database.connection is not None
        idling.let_pass(11.0, database)

        assert database.connection is None
        assert isinstance(view.worker, Worker)
        assert not view.worker.is_dirty

    def test_a_worker_that_is_busy_is_looked_after_once_it_is_idle(
        self, idling: Idling, database: Any
    ) -> None:
        is_done = Event()

        class View:
            def work(self) -> None:
                query(database)
                is_done.wait()

        idling.pool.run(View())
        settle()
        idling.let_pass(5.0, database)
        assert database.connection is not None
        is_done.set()
        settle()
        idling.let_pass(2.0, database)

        assert database.connection is None
        assert not idling.loop.watchers


class TestIdleWorkersWithPersistentConnections:
    @pytest.mark.parametrize("max_age", [3600])
    def test_one_is_closed_when_its_max_age_is_over(self, database: Any, max_age: int) -> None:
        idling = Idling()

        @idling.server.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None:
            query(database)

        idling.server.connect().emit("message", "query")
        idling.let_pass(3500.0, database)  # real time passes as well
        assert database.connection is not None
        idling.let_pass(200.0, database)

        assert database.connection is None
        assert not idling.loop.watchers

    @pytest.mark.parametrize("max_age", [None])
    def test_one_without_a_max_age_is_kept(self, database: Any, max_age: None) -> None:
        idling = Idling()

        @idling.server.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None:
            query(database)

        idling.server.connect().emit("message", "query")
        idling.let_pass(3600.0, database)

        assert database.connection is not None
        assert not idling.loop.watchers


class TestAtomicRequests:
    """``ATOMIC_REQUESTS``: each handler is a transaction, as each view is."""

    @pytest.fixture
    def server(self, database: Any, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
        """A server of handlers that write."""
        query(database)
        with database.cursor() as cursor:
            cursor.execute("CREATE TABLE notes (text TEXT)")
        monkeypatch.setitem(database.settings_dict, "ATOMIC_REQUESTS", True)
        server = FakeServer(hooks=DjangoHooks(None))

        @server.registry.on_message
        def message(request: object, socket: Any, context: object, message: Any) -> Any:
            write(database, message)
            if message == "raise":
                raise LookupError
            return database.in_atomic_block

        return server

    def test_a_handler_commits(self, server: FakeServer, database: Any) -> None:
        client = server.connect()
        client.emit("message", "hi", ack_id=1)

        assert client.received() == ["31[true]"]
        assert notes(database) == ["hi"]

    def test_one_that_raises_rolls_back(self, server: FakeServer, database: Any) -> None:
        server.connect().emit("message", "raise")

        assert notes(database) == []

    def test_on_error_has_a_transaction_of_its_own(self, server: FakeServer, database: Any) -> None:
        @server.registry.on_error
        def error(request: object, socket: Any, context: object, exception: object) -> None:
            write(database, "error")

        server.connect().emit("message", "raise")

        assert notes(database) == ["error"]

    def test_the_other_handlers_of_the_event_have_theirs(
        self, server: FakeServer, database: Any
    ) -> None:
        @server.registry.on_message
        def second(request: object, socket: Any, context: object, message: Any) -> None:
            write(database, "second")

        server.connect().emit("message", "raise")

        assert notes(database) == ["second"]

    def test_a_refusal_rolls_back(self, server: FakeServer, database: Any) -> None:
        @server.registry.on_connect
        def connect(request: object, socket: Any, context: object) -> None:
            write(database, "connect")
            raise PermissionDenied

        server.open().send("0")

        assert notes(database) == []

    @pytest.mark.parametrize("answer", [False, HttpResponse("no")])
    def test_a_refusal_by_what_is_returned_rolls_back(
        self, server: FakeServer, database: Any, answer: object
    ) -> None:
        @server.registry.on_subscribe
        def subscribe(request: object, socket: Any, context: object, channel: str) -> object:
            write(database, "subscribe")
            return answer

        server.connect().emit("__subscribe__", "room")

        assert notes(database) == []

    def test_an_authorize_that_grants_nothing_rolls_back(
        self, server: FakeServer, database: Any
    ) -> None:
        @server.registry.authorize(channel=r"room-(?P<pk>\d)")
        def may(request: object, socket: Any, context: object, channel: str, pk: str) -> bool:
            write(database, pk)
            return pk == "1"

        client = server.connect()
        client.emit("__subscribe__", "room-1")
        client.emit("__subscribe__", "room-2")

        assert notes(database) == ["1"]

    def test_an_authorize_may_opt_out(self, server: FakeServer, database: Any) -> None:
        @server.registry.authorize(channel=r"room-(?P<pk>\d)")
        @transaction.non_atomic_requests(using=ALIAS)
        def may(request: object, socket: Any, context: object, channel: str, pk: str) -> bool:
            write(database, pk)
            return False

        server.connect().emit("__subscribe__", "room-1")

        assert notes(database) == ["1"]

    def test_false_where_nothing_can_be_refused_is_an_answer(
        self, server: FakeServer, database: Any
    ) -> None:
        @server.registry.on("answer")
        def answer(request: object, socket: Any, context: object) -> bool:
            write(database, "answer")
            return False

        server.connect().emit("answer", ack_id=1)

        assert notes(database) == ["answer"]

    def test_a_value_that_is_a_mistake_rolls_back(self, server: FakeServer, database: Any) -> None:
        @server.registry.on("answer")
        def answer(request: object, socket: Any, context: object) -> HttpResponse:
            write(database, "answer")
            return HttpResponse("not sent")

        server.connect().emit("answer", ack_id=1)

        assert notes(database) == []

    def test_the_acknowledgement_goes_out_after_the_commit(
        self, server: FakeServer, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = server.connect()
        sent_before = []
        commit = database.commit

        def note_and_commit() -> None:
            sent_before.append(client.received())
            commit()

        monkeypatch.setattr(database, "commit", note_and_commit)
        client.emit("message", "hi", ack_id=1)

        assert sent_before == [[]]
        assert client.received() == ["31[true]"]

    def test_a_commit_that_fails_is_not_acknowledged(
        self, server: FakeServer, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise DatabaseError

        client = server.connect()
        monkeypatch.setattr(database, "commit", fail)
        client.emit("message", "hi", ack_id=1)

        assert client.received() == []
        assert notes(database) == []

    def test_a_handler_may_opt_out(self, server: FakeServer, database: Any) -> None:
        @server.registry.on("free")
        @transaction.non_atomic_requests(using=ALIAS)
        def free(request: object, socket: Any, context: object) -> bool:
            write(database, "free")
            in_atomic_block: bool = database.in_atomic_block
            return in_atomic_block

        client = server.connect()
        client.emit("free", ack_id=1)

        assert client.received() == ["31[false]"]
        assert notes(database) == ["free"]

    def test_opting_out_is_for_one_database(self, server: FakeServer, database: Any) -> None:
        @server.registry.on("free")
        @transaction.non_atomic_requests(using="another")
        def free(request: object, socket: Any, context: object) -> bool:
            in_atomic_block: bool = database.in_atomic_block
            return in_atomic_block

        client = server.connect()
        client.emit("free", ack_id=1)

        assert client.received() == ["31[true]"]

    def test_no_handler_is_wrapped_where_no_database_asks_for_it(self, database: Any) -> None:
        assert DjangoHooks(None).wrap_handler is None


def write(database: Any, text: str) -> None:
    """Make a note."""
    with database.cursor() as cursor:
        cursor.execute("INSERT INTO notes VALUES (%s)", [text])


def notes(database: Any) -> list[str]:
    """Return what was noted."""
    with database.cursor() as cursor:
        cursor.execute("SELECT text FROM notes")
        return [text for (text,) in cursor.fetchall()]
