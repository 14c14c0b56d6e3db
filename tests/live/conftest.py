"""Clients for the live tests, over every transport."""

import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.fence import Fence
from tests.support.postgresql import PostgreSQL, find_programs
from tests.support.server import Configuration, Server
from tests.support.tools import require
from tests.support.types import Connect, StartServer
from tests.support.wire import TRANSPORTS, Polling, TransportName, Upgrading, open_carrier


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers, leave out what asks for the state of one, or has its own servers."""
    if config.getoption("--workers") == 1:
        return
    here = {item for item in items if "tests/live/" in item.path.as_posix()}
    left_out = {item for item in here if item.get_closest_marker("one_process") or has_own(item)}
    config.hook.pytest_deselected(items=[*left_out])
    items[:] = [item for item in items if item not in left_out]


def has_own(item: pytest.Item) -> bool:
    """Return whether a test has a server of its own, or none, instead of the one that all share."""
    fixtures = set(getattr(item, "fixturenames", ()))
    if "server" in fixtures:
        return False
    return "connect" not in fixtures or bool({"start_server", "share_server"} & fixtures)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> TransportName:
    """Every way to carry a session; ``upgraded`` has gone from polling to WebSocket."""
    name: TransportName = request.param
    return name


@pytest.fixture
def impatient(share_server: StartServer) -> Server:
    """A server that does not wait long for anything, and keeps much for slow readers meanwhile."""
    return share_server(
        settings={
            "SOCKETIO_PING_INTERVAL": 0.2,
            "SOCKETIO_PING_TIMEOUT": 1.0,
            "SOCKETIO_CONNECT_TIMEOUT": 2.0,
            "SOCKETIO_UPGRADE_TIMEOUT": 0.3,
            "SOCKETIO_CLOSE_TIMEOUT": 0.5,
            "SOCKETIO_STALL_TIMEOUT": 0.3,
            "SOCKETIO_MAX_QUEUED_BYTES": 10_000_000,
        }
    )


@pytest.fixture
def frugal(share_server: StartServer) -> Server:
    """A server that keeps little for slow readers, and logs no messages."""
    return share_server(
        settings={
            "SOCKETIO_HIGH_WATER": 50_000,
            "SOCKETIO_MAX_QUEUED_BYTES": 200_000,
            "SOCKETIO_MESSAGE_LOG_FORMAT": None,
        }
    )


_numbers = itertools.count()


@pytest.fixture
def gate() -> str:
    """The name of a gate that no other test opens."""
    return f"gate-{next(_numbers)}"


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Connect clients, which are closed when the test ends."""
    clients: list[Client] = []

    def connect(
        transport: TransportName = "websocket",
        *,
        to: Server | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Any = None,
        receive_buffer: int | None = None,
        join: bool = True,
    ) -> Client:
        server: Server = request.getfixturevalue("server") if to is None else to
        carrier = open_carrier(
            transport,
            server.address,
            query=query,
            headers=headers,
            receive_buffer=receive_buffer,
        )
        workers: int = request.config.getoption("--workers")
        client = Client(
            carrier,
            upgrades=transport == "upgraded",
            send_fence=Fence(server, workers).send_to if to is None and workers > 1 else None,
        )
        clients.append(client)
        return client.connect(auth) if join else client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def session(server: Server) -> Iterator[Polling]:
    """A session over polling."""
    session = Polling(server.address)
    yield session
    session.close()


@pytest.fixture
def upgrading_client(connect: Connect) -> Client:
    """A client that is connected over polling, and can upgrade."""
    client = connect("upgraded", join=False)
    client.upgrades = False
    return client.connect()


@pytest.fixture
def upgrading(upgrading_client: Client) -> Upgrading:
    """Its session."""
    assert isinstance(upgrading_client.carrier, Upgrading)
    return upgrading_client.carrier


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server with nothing in it."""
    programs = find_programs()
    require("PostgreSQL", found=programs is not None)
    assert programs is not None
    server = PostgreSQL(programs)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def migrated(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a migrated database, which others are made like."""
    name = postgresql.create()
    folder = tmp_path_factory.mktemp("migrate")
    migrate = Configuration(folder, settings=postgresql.settings(name))
    subprocess.run(
        [sys.executable, str(migrate.manage), "migrate", "--verbosity=0"],
        env=migrate.variables,
        cwd=migrate.started_in,
        check=True,
    )
    return name
