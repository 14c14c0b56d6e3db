"""The server that is examined: not the one of all tests, whose log others read."""

import pytest

from tests.support.server import Server
from tests.support.types import StartServer


@pytest.fixture
def server(share_server: StartServer) -> Server:
    """A server that nobody else asks for anything."""
    return share_server(settings={"SOCKETIO_NODE": "doctor"})
