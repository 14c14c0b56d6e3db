"""Servers to attack, what watches them, and the table at the end."""

import resource
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.faults.crowd import OFFER, Wire, close_all, deflated, plain
from tests.faults.noise import SEED, Noise
from tests.faults.watch import Row, Watch, table
from tests.support.server import Server
from tests.support.types import StartServer

PROJECT = {
    # The attacks are on what lies below, and open sessions by the thousand.
    "MIDDLEWARE": [],
    "LOGGING": {
        "version": 1,
        "disable_existing_loggers": False,
        "loggers": {"django.server": {"level": "ERROR"}},
    },
    "ROOT_URLCONF": "tests.faults.project.urls",
    "SOCKETIO_CLOSE_TIMEOUT": 1.0,  # many tests wait for it
    "SOCKETIO_EVENTS": ["tests.faults.project.handlers"],
    "SOCKETIO_MESSAGE_LOG_FORMAT": None,
    "SOCKETIO_RECHECK_INTERVAL": 0,  # its timer is no greenlet that a client has left
}
"""What all servers here have in common."""

IMPATIENT = {
    "SOCKETIO_HEAD_TIMEOUT": 2.0,
    "SOCKETIO_BODY_TIMEOUT": 2.0,
    "SOCKETIO_CONNECT_TIMEOUT": 2.0,
    "SOCKETIO_UPGRADE_TIMEOUT": 2.0,
    "SOCKETIO_STALL_TIMEOUT": 2.0,
    "SOCKETIO_DOWNLOAD_TIMEOUT": 2.0,
    "SOCKETIO_PING_INTERVAL": 1.0,
    "SOCKETIO_PING_TIMEOUT": 5.0,
}
"""Deadlines that a test can wait for."""

ROWS: list[Row] = []

MAX_DESCRIPTORS = 8192


@pytest.fixture(scope="session")
def many_descriptors() -> Iterator[None]:
    """Let the tests and their servers open thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="session")
def share_attacked(many_descriptors: None, share_server: StartServer) -> StartServer:
    """Start servers that last for all tests, with the project of these."""
    return partial(start_unmeasured, share_server)


@pytest.fixture
def start_attacked(many_descriptors: None, start_server: StartServer) -> StartServer:
    """Start servers that the test may stop, with the project of these."""
    return partial(start_unmeasured, start_server)


def start_unmeasured(start: StartServer, *, settings: Any = None, **more: Any) -> Server:
    """Start a server without coverage: its time and memory are what is measured here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        return start(settings={**PROJECT, **(settings or {})}, **more)


@pytest.fixture(scope="session")
def server(share_attacked: StartServer) -> Server:
    """A server as people run it; only clients that join no namespace are gone sooner."""
    return share_attacked(settings={"SOCKETIO_CONNECT_TIMEOUT": 2.0})


@pytest.fixture(scope="session")
def impatient(share_attacked: StartServer) -> Server:
    """A server whose deadlines a test can wait for."""
    return share_attacked(settings=IMPATIENT)


@pytest.fixture(scope="session")
def deflating(share_attacked: StartServer) -> Server:
    """A server that compresses messages, and takes compressed ones."""
    return share_attacked(settings={"SOCKETIO_PER_MESSAGE_DEFLATE": True})


@pytest.fixture(params=["plain", "deflated"])
def wire(request: pytest.FixtureRequest) -> Wire:
    """A server, without compression and with it; what makes frames; headers of the handshake."""
    if request.param == "plain":
        return request.getfixturevalue("server"), plain, {}
    return request.getfixturevalue("deflating"), deflated, OFFER


@pytest.fixture(scope="session")
def watch(share_server: StartServer) -> Iterator[Watch]:
    """Watches servers under attack."""
    watching = Watch(ROWS)
    yield watching
    watching.close()


@pytest.fixture
def noise(request: pytest.FixtureRequest) -> Noise:
    """Random input, the same for the same test and seed."""
    return Noise(f"{SEED}/{request.node.name}")


@pytest.fixture(autouse=True)
def _close_all() -> Iterator[None]:
    """Close what a test has left open."""
    yield
    close_all()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests run side by side: hand the rows of this process to the one that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["faults"] = [tuple(row) for row in ROWS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the rows of a process that ran tests."""
    ROWS.extend(Row(*row) for row in getattr(node, "workeroutput", {}).get("faults", []))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write the table."""
    if ROWS:
        terminalreporter.section(f"faults (FAULTS_SEED={SEED})")
        for line in table(ROWS):
            terminalreporter.write_line(line)
