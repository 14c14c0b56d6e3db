"""A database with a server: what Django does around requests, around events."""

from collections.abc import Callable
from typing import Any

import django
import pytest

from tests.support.client import Client, answers_to
from tests.support.postgresql import PostgreSQL
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import Connect, StartServer

StartWithDatabase = Callable[..., Server]

HAS_POOLS = django.VERSION >= (5, 1)

POOL = {"OPTIONS": {"pool": {"min_size": 1, "max_size": 20}}}

WAYS_TO_CONNECT = [
    pytest.param({}, id="a connection for each event"),
    pytest.param({"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}, id="kept connections"),
    pytest.param(
        {**POOL, "CONN_HEALTH_CHECKS": True},
        id="a pool",
        marks=pytest.mark.skipif(not HAS_POOLS, reason="Django has pools since 5.1"),
    ),
]


@pytest.fixture
def name(postgresql: PostgreSQL, migrated: str) -> str:
    """The name of a database."""
    return postgresql.create(migrated)


@pytest.fixture
def start(postgresql: PostgreSQL, name: str, start_server: StartServer) -> StartWithDatabase:
    """Start a server with the database, with the given settings for it."""

    def start(**database: Any) -> Server:
        return start_server(settings=postgresql.settings(name, **database))

    return start


def wait_for_no_backends(postgresql: PostgreSQL, name: str) -> None:
    """Wait until nobody is connected to the database."""
    wait_until(lambda: not postgresql.backends(name), "all connections to be closed")


def query(client: Client, sql: str) -> Any:
    """Have a handler run a query, and return its answer."""
    return client.call("message", {"do": "query", "sql": sql})


class TestIdleSockets:
    def test_the_start_leaves_no_connection(
        self, start: StartWithDatabase, postgresql: PostgreSQL, name: str
    ) -> None:
        start()

        assert postgresql.backends(name) == []

    @pytest.mark.parametrize(
        "database",
        [
            pytest.param({}, id="a connection for each event"),
            pytest.param({"CONN_MAX_AGE": 1}, id="connections that are kept for a second"),
        ],
    )
    def test_hold_no_connection(
        self,
        start: StartWithDatabase,
        connect: Connect,
        postgresql: PostgreSQL,
        name: str,
        database: dict[str, Any],
    ) -> None:
        server = start(**database)
        clients = [connect(to=server) for _ in range(50)]
        asked = [client.ask_later("message", {"do": "count users"}) for client in clients]
        assert answers_to(clients, asked) == [[0]] * 50

        wait_for_no_backends(postgresql, name)


class TestMoreEventsThanConnections:
    @pytest.mark.skipif(not HAS_POOLS, reason="Django has pools since 5.1")
    def test_a_pool_of_20_answers_200_events_of_a_tenth_of_a_second(
        self, start: StartWithDatabase, connect: Connect, postgresql: PostgreSQL, name: str
    ) -> None:
        server = start(**POOL)
        clients = [connect(to=server) for _ in range(200)]
        wait = {"do": "query", "sql": "SELECT 1 FROM pg_sleep(0.1)"}
        asked = [client.ask_later("message", wait) for client in clients]

        assert answers_to(clients, asked) == [[1]] * 200
        assert len(postgresql.backends(name)) <= 20
        assert server.stop() == 0


class TestABackendThatIsKilled:
    @pytest.mark.parametrize("database", WAYS_TO_CONNECT)
    def test_between_two_events_costs_none(
        self,
        start: StartWithDatabase,
        connect: Connect,
        postgresql: PostgreSQL,
        name: str,
        database: dict[str, Any],
    ) -> None:
        client = connect(to=start(**database))
        first = query(client, "SELECT pg_backend_pid()")
        postgresql.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name
        )
        wait_until(lambda: first not in postgresql.backends(name), "the backend to end")
        second = query(client, "SELECT pg_backend_pid()")

        assert isinstance(second, int)
        assert second != first


class TestAtomicRequests:
    def test_a_handler_commits_before_it_is_acknowledged(
        self, start: StartWithDatabase, connect: Connect
    ) -> None:
        server = start(ATOMIC_REQUESTS=True)
        client, other = connect(to=server), connect(to=server)
        client.call("message", {"do": "add user", "name": "ann"})

        assert query(other, "SELECT username FROM auth_user") == "ann"

    def test_one_that_raises_rolls_back(self, start: StartWithDatabase, connect: Connect) -> None:
        server = start(ATOMIC_REQUESTS=True)
        client = connect(to=server)
        client.do_without_answer("add user", name="ann", then="raise")
        server.journal.wait_for("on_error", client.id)

        assert query(client, "SELECT count(*) FROM auth_user") == 0


class TestOnCommit:
    """``SOCKETIO_ON_COMMIT`` with ``ATOMIC_REQUESTS``."""

    @pytest.fixture
    def server(self, postgresql: PostgreSQL, name: str, start_server: StartServer) -> Server:
        settings = postgresql.settings(name, ATOMIC_REQUESTS=True)
        return start_server(settings={**settings, "SOCKETIO_ON_COMMIT": True})

    def test_what_a_handler_sends_arrives_after_its_commit(
        self, server: Server, connect: Connect
    ) -> None:
        client, other = connect(to=server), connect(to=server)
        added = client.ask_later("message", {"do": "add user", "name": "ann", "tell": 1})

        assert other.next_event() == ["message", "ann is new"]
        assert query(other, "SELECT username FROM auth_user") == "ann"
        assert client.answer_to(added) == ["ann"]
        assert client.messages() == ["added ann", "ann is new"]

    def test_what_one_that_raises_has_sent_never_arrives(
        self, server: Server, connect: Connect
    ) -> None:
        client, other = connect(to=server), connect(to=server)
        client.do_without_answer("add user", name="ann", tell=1, then="raise")
        server.journal.wait_for("on_error", client.id)

        assert query(client, "SELECT count(*) FROM auth_user") == 0
        assert client.messages() == []
        assert query(other, "SELECT 1") == 1
        assert other.messages() == []
