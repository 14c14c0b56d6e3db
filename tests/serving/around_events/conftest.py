"""Handlers that tell who a client is, and change its session."""

from typing import Any

import pytest

from socketio_server.events import Registry


@pytest.fixture
def registry() -> Registry:
    """Handlers that tell and do what a test wants."""
    registry = Registry()

    @registry.on("who")
    def who(request: Any, socket: Any, context: Any) -> str:
        name: str = socket.user.get_username()
        return name

    @registry.on("get")
    def get(request: Any, socket: Any, context: Any, key: str) -> Any:
        return request.session.get(key)

    @registry.on("set")
    def set_(request: Any, socket: Any, context: Any, key: str, value: Any) -> None:
        request.session[key] = value

    @registry.on("set and fail")
    def set_and_fail(request: Any, socket: Any, context: Any, key: str, value: Any) -> None:
        request.session[key] = value
        raise LookupError

    @registry.on("nothing")
    def nothing(request: Any, socket: Any, context: Any) -> str:
        return "done"

    return registry
