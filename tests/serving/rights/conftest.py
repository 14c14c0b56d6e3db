"""A site whose members are in rooms, and clients of it that are logged in."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client, override_settings

from socketio_server.decorators import login_required
from socketio_server.events import Registry
from socketio_server.testing import SocketIOClient
from tests.serving.rights.site import Room
from tests.support.users import (
    WITH_SESSIONS,
    Connect,
    browser_of,
    create_permissions,
)


@pytest.fixture
def tables(db: None) -> Iterator[None]:
    """Tables of users, sessions and permissions."""
    quick = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(**WITH_SESSIONS, PASSWORD_HASHERS=quick):
        create_permissions()
        yield


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def log() -> list[str]:
    """What the handlers saw."""
    return []


@pytest.fixture
def registry(room: Room, log: list[str]) -> Registry:
    """Handlers of a site whose members are in rooms."""
    registry = Registry()

    @registry.on_connect
    @login_required
    def connect(request: Any, socket: Any, context: Any) -> None: ...

    @registry.authorize(channel=r"^room-(?P<pk>\d+)$")
    def may(request: Any, socket: Any, context: Any, channel: str, pk: str) -> bool:
        room.asked += 1
        return request.user.get_username() in room.members

    @registry.on_unsubscribe
    def leave(request: Any, socket: Any, context: Any, channel: str) -> None:
        log.append(f"left {channel}")

    @registry.on_disconnect
    def gone(request: Any, socket: Any, context: Any) -> None:
        log.append(f"gone: {socket.close_reason}")

    return registry


@pytest.fixture
def connect(connect: Connect) -> Connect:
    """Connect clients with the handlers, and let them subscribe to a room."""

    def enter(user: Any, *, browser: Client | None = None, **more: Any) -> SocketIOClient:
        client = connect(client=browser or browser_of(user), **more)
        client.subscribe("room-1")
        return client

    return enter
