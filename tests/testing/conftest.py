"""Handlers of a test, and a client that is connected to them."""

from collections.abc import Iterator
from typing import Any

import pytest

from socketio_server.events import Registry
from socketio_server.testing import SocketIOClient


@pytest.fixture
def registry() -> Registry:
    """The handlers of a test."""
    return Registry()


@pytest.fixture
def client(registry: Registry) -> Iterator[SocketIOClient]:
    """A client that is connected; what the test does to the registry before it connects is lost."""
    with SocketIOClient(registry=registry) as client:
        yield client


@pytest.fixture
def log(registry: Registry) -> list[str]:
    """What happens on the server, as handlers of all lifecycle events see it."""
    log: list[str] = []

    @registry.on_connect
    def connect(request: Any, socket: Any, context: Any) -> None:
        log.append("connect")

    @registry.on_subscribe
    def subscribe(request: Any, socket: Any, context: Any, channel: str) -> None:
        log.append(f"subscribe {channel}")

    @registry.on_unsubscribe
    def unsubscribe(request: Any, socket: Any, context: Any, channel: str) -> None:
        log.append(f"unsubscribe {channel}")

    @registry.on_disconnect
    def disconnect(request: Any, socket: Any, context: Any) -> None:
        log.append(f"disconnect: {socket.close_reason}")

    @registry.on_finish
    def finish(request: Any, socket: Any, context: Any) -> None:
        log.append("finish")

    return log
