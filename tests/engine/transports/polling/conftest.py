"""The clients of these tests."""

import pytest

from socketio_server.engine.transports.polling import PACKETS_FOR_PYTHON
from tests.engine.transports.polling.client import Client


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def python_client() -> Client:
    """One of the official Python client's sessions."""
    client = Client()
    client.transport.packets_per_answer = PACKETS_FOR_PYTHON
    return client
