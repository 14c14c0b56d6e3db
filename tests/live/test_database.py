"""Django's hygiene around each event: an idle socket holds no database connection."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import Connect, StartServer

CLIENTS = 1000


@pytest.fixture(scope="module")
def with_database(share_server: StartServer, database: dict[str, str]) -> Iterator[Server]:
    """A server for more clients than a process may have files by default."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield share_server(environment={**database, "TEST_PURPOSE": "database"})
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
def idle(with_database: Server) -> int:
    """How many connections the server holds that are no socket's: from its start-up checks."""
    return database_connections(with_database)


def database_connections(server: Server) -> int:
    """Count the server's open files that are the database."""
    folder = Path(f"/proc/{server.pid}/fd")
    paths = []
    for name in os.listdir(folder):
        try:
            paths.append(os.readlink(folder / name))
        except FileNotFoundError:
            continue  # closed meanwhile
    return sum("db.sqlite3" in path for path in paths)


def wait_for_connections(server: Server, count: int) -> None:
    """Wait until so many connections are open."""
    wait_until(
        lambda: database_connections(server) == count,
        f"the server to hold {count} database connections",
    )


class TestDatabaseConnections:
    def test_a_handler_holds_one_only_while_it_runs(
        self, with_database: Server, idle: int, connect: Connect, gate: str
    ) -> None:
        waiting, other = connect(to=with_database), connect(to=with_database)
        asked = waiting.ask_later("message", {"do": "count users", "gate": gate})
        with_database.journal.wait_for("waiting", waiting.id)
        wait_for_connections(with_database, idle + 1)
        other.open(gate)
        assert isinstance(waiting.answer_to(asked)[0], int)
        wait_for_connections(with_database, idle)

    def test_a_handler_that_raises_releases_its_connection(
        self, with_database: Server, idle: int, connect: Connect, gate: str
    ) -> None:
        waiting, other = connect(to=with_database), connect(to=with_database)
        waiting.do_without_answer("count users", gate=gate, then="raise")
        with_database.journal.wait_for("waiting", waiting.id)
        wait_for_connections(with_database, idle + 1)
        other.open(gate)
        with_database.journal.wait_for("on_error", waiting.id)
        wait_for_connections(with_database, idle)

    def test_handlers_that_run_side_by_side_have_one_each(
        self, with_database: Server, idle: int, connect: Connect, gate: str
    ) -> None:
        clients = [connect(to=with_database) for _ in range(10)]
        asked = [c.ask_later("message", {"do": "count users", "gate": gate}) for c in clients]
        for client in clients:
            with_database.journal.wait_for("waiting", client.id)
        wait_for_connections(with_database, idle + 10)
        connect(to=with_database).open(gate)
        for client, ack_id in zip(clients, asked, strict=True):
            assert isinstance(client.answer_to(ack_id)[0], int)
        wait_for_connections(with_database, idle)

    def test_a_thousand_idle_sockets_hold_none(
        self, with_database: Server, idle: int, connect: Connect
    ) -> None:
        clients = [connect(to=with_database) for _ in range(CLIENTS)]
        asked = [client.ask_later("message", {"do": "count users"}) for client in clients]
        answers = [c.answer_to(ack_id) for c, ack_id in zip(clients, asked, strict=True)]
        assert all(isinstance(count, int) for (count,) in answers)
        wait_for_connections(with_database, idle)
