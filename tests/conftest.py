"""Servers for the tests that need them: each a process of its own, as few of them as possible."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest
from django.utils import timezone, translation

from tests.support.redis import RedisServer
from tests.support.server import MANAGE, Configuration, Server, under_gunicorn
from tests.support.types import MakeConfiguration, StartServer

hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")  # a busy machine is no fault of what is tested


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option to try the live tests with several workers."""
    parser.addoption("--workers", type=int, default=1, help="processes of the shared server")


def pytest_configure() -> None:
    """Stop the servers, too, when somebody ends the tests."""

    def end(signum: int, frame: object) -> NoReturn:
        pytest.exit("terminated", returncode=128 + signum)

    signal.signal(signal.SIGTERM, end)


def configuration(
    folder: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    events: str | Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    **more: Any,
) -> Configuration:
    """Make a configuration, with the shorter spellings that ``StartServer`` allows."""
    settings = dict(settings or {})
    if events is not None:
        settings["SOCKETIO_EVENTS"] = [events] if isinstance(events, str) else list(events)
    return Configuration(folder, settings=settings, environment=environment or {}, **more)


def _stop(servers: list[Server]) -> None:
    """Stop servers in order, all at once; kill what does not stop."""
    try:
        for server in servers:
            if server.running:
                server.stop()
    finally:
        for server in servers:
            server.kill()


@pytest.fixture(autouse=True)
def no_language_left() -> Iterator[None]:
    """Deactivate what Django's middleware has activated for a request that a test made."""
    yield
    translation.deactivate()
    timezone.deactivate()


@pytest.fixture
def configure(tmp_path: Path) -> MakeConfiguration:
    """Make the configuration of a server that the test runs by itself."""

    def configure(**more: Any) -> Configuration:
        return configuration(more.pop("folder", None) or tmp_path, **more)

    return configure


@pytest.fixture
def start_server(configure: MakeConfiguration) -> Iterator[StartServer]:
    """Start servers that the test may stop; those that still run at its end are killed."""
    servers: list[Server] = []

    def start(**more: Any) -> Server:
        server = Server(configure(**more))
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def share_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start servers that last for all tests; who asks for the same again gets the same."""
    servers: dict[str, Server] = {}

    def share(**more: Any) -> Server:
        key = json.dumps(more, default=str, sort_keys=True)
        if key not in servers:
            folder = more.pop("folder", None) or tmp_path_factory.mktemp("server")
            servers[key] = Server(configuration(folder, **more))
        return servers[key]

    yield share
    _stop(list(servers.values()))


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A migrated database: what servers need in their environment to use it."""
    folder = tmp_path_factory.mktemp("database")
    environment = {"TEST_DATABASE": str(folder / "db.sqlite3")}
    migrate = Configuration(folder, environment=environment)
    subprocess.run(
        [sys.executable, str(MANAGE), "migrate", "--verbosity=0"],
        env=migrate.variables,
        cwd=migrate.started_in,
        check=True,
    )
    return environment


@pytest.fixture(scope="session")
def server(
    share_server: StartServer, database: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[Server]:
    """The server of all tests that need no other: one process, or with ``--workers`` several."""
    workers: int = request.config.getoption("--workers")
    if workers == 1:
        yield share_server(environment=database)
        return
    with RedisServer() as redis:
        yield share_server(
            environment=database,
            settings={"SOCKETIO_BROKER_URL": redis.url},
            gunicorn=under_gunicorn("--workers", str(workers)),
        )


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A Redis of a module's tests."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis that the test may end."""
    with RedisServer() as server:
        yield server
