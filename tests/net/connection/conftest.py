"""The connections of these tests."""

from collections.abc import Iterator

import pytest

from socketio_server.options import Options
from tests.fakes.net import socket_pair
from tests.net.connection.wire import Wire


@pytest.fixture
def options() -> Options:
    return Options(max_queued_bytes=10_000_000, stall_timeout=10.0)


@pytest.fixture
def wire(options: Options) -> Iterator[Wire]:
    with socket_pair() as (ours, peer):
        made = Wire(ours, peer, options)
        yield made
        made.connection.abort()
