"""Users and sessions in a database, and clients of a test's handlers."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from socketio_server.events import Registry
from socketio_server.testing import SocketIOClient
from tests.support.users import WITH_SESSIONS, Connect, create_tables, make_user


@pytest.fixture
def tables(db: None) -> Iterator[None]:
    """Tables of users and sessions."""
    with override_settings(**WITH_SESSIONS):
        create_tables()
        yield


@pytest.fixture
def boss(tables: None) -> Any:
    """A user who may act as ann, who is there as well."""
    make_user()
    return make_user("boss")


@pytest.fixture
def registry() -> Registry:
    """The handlers of a test."""
    return Registry()


@pytest.fixture
def connect(registry: Registry) -> Iterator[Connect]:
    """Connect clients with the handlers."""
    clients = []

    def connect(**more: Any) -> SocketIOClient:
        client = SocketIOClient(registry=registry, **more)
        client.connect()
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.disconnect()
