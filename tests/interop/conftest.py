"""Servers for the official clients, and the clients in every language and over every transport."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from tests.interop.clients import FLAVOURS, Client, Driver, Flavour, Language
from tests.support.server import ROOT, Server
from tests.support.tools import require
from tests.support.types import StartServer

HANDLERS = "tests.project.interop_events"
SETTINGS = {"SOCKETIO_ALLOW_EIO3": True}
"""For servers that clients of both revisions of Engine.IO can talk to."""
RESTLESS = {**SETTINGS, "SOCKETIO_PING_INTERVAL": 0.05}
"""For servers with a lot of heartbeats."""


class Connect(Protocol):
    """Opens a client and waits until it is connected; ``Driver.open`` has the options."""

    def __call__(self, flavour: Flavour | None = None, /, **options: Any) -> Client: ...


@pytest.fixture(scope="session")
def start_driver() -> Iterator[Callable[[Language], Driver]]:
    """Give each language's driver, one for all tests."""
    drivers: dict[Language, Driver] = {}

    def start(language: Language) -> Driver:
        if language.package is not None:
            require("node")
            package = ROOT / "node_modules" / language.package
            require(f"{language.package} (npm ci)", found=package.exists())
        if language not in drivers:
            drivers[language] = Driver(language)
        return drivers[language]

    yield start
    for driver in drivers.values():
        driver.close()


@pytest.fixture(scope="session")
def server(share_server: StartServer) -> Server:
    """The server of most of these tests."""
    return share_server(events=HANDLERS, settings=SETTINGS)


@pytest.fixture(params=FLAVOURS, ids=str)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Give each official client over each transport in turn."""
    chosen: Flavour = request.param
    return chosen


@pytest.fixture
def open_client(
    server: Server, flavour: Flavour, start_driver: Callable[[Language], Driver]
) -> Iterator[Connect]:
    """Open clients, of the flavour under test unless another is named, without waiting."""
    opened = []

    def open_client(other: Flavour | None = None, /, **options: Any) -> Client:
        chosen = other or flavour
        client = start_driver(chosen.language).open(chosen, **{"url": server.url, **options})
        opened.append(client)
        return client

    yield open_client
    for client in opened:
        client.do("forget")


@pytest.fixture
def connect(open_client: Connect) -> Connect:
    """Open clients, of the flavour under test unless another is named, and wait for them."""

    def connect(other: Flavour | None = None, /, **options: Any) -> Client:
        client = open_client(other, **options)
        client.wait_until_connected()
        return client

    return connect
