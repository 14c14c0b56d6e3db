"""The registry of a test."""

import pytest

from socketio_server.registry.events import (
    Registry,
)


@pytest.fixture
def registry() -> Registry:
    return Registry()
