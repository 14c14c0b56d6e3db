"""What the tests of the command's processes share, and those of users and sessions."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

import __main__
from socketio_server.events import Registry
from socketio_server.testing import SocketIOClient
from tests.support.users import WITH_SESSIONS, Connect, create_tables


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that this process seems to have been started with, in the working directory."""
    made = tmp_path / "manage.py"
    made.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(made)])
    monkeypatch.setattr(__main__, "__spec__", None)
    return made


@pytest.fixture
def tables(db: None) -> Iterator[None]:
    """Tables of users and sessions."""
    with override_settings(**WITH_SESSIONS):
        create_tables()
        yield


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
