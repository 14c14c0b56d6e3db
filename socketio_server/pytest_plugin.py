"""The fixture ``socketio_live_server``, which pytest finds by an entry point of the package.

It needs pytest-django. pytest imports this module wherever the package is installed, also for tests
of other projects: hence it imports nothing of Django until a test asks for the fixture.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from socketio_server.testing import LiveServer


@pytest.fixture(scope="session")
def _socketio_live_servers(
    django_db_setup: None,
) -> "Iterator[Callable[[frozenset[str]], LiveServer]]":
    """Start servers that last for all tests, one for each set of databases."""
    from socketio_server.testing import LiveServer

    servers: dict[frozenset[str], LiveServer] = {}

    def serve(databases: frozenset[str]) -> LiveServer:
        if databases not in servers:
            servers[databases] = LiveServer(databases=databases)
        return servers[databases]

    yield serve
    for server in servers.values():
        server.stop()


@pytest.fixture
def socketio_live_server(
    request: pytest.FixtureRequest,
    transactional_db: None,
    _socketio_live_servers: "Callable[[frozenset[str]], LiveServer]",
) -> "LiveServer":
    """The real server, in a process of its own, on the test's databases; ``url`` is its address."""
    from django.db import connections

    marker = request.node.get_closest_marker("django_db")
    databases = (marker and marker.kwargs.get("databases")) or ["default"]
    return _socketio_live_servers(frozenset(connections if databases == "__all__" else databases))
