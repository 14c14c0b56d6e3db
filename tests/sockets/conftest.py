"""A server whose clients are looked at, and one of its clients."""

import pytest

from tests.fakes.server import FakeClient, FakeServer


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def client(server: FakeServer) -> FakeClient:
    return server.connect()
