"""The server and the client of the router's tests."""

import pytest

from tests.dispatch.router.steps import make_server
from tests.fakes.server import FakeClient, FakeServer


@pytest.fixture
def server() -> FakeServer:
    return make_server()


@pytest.fixture
def client(server: FakeServer) -> FakeClient:
    return server.connect()
