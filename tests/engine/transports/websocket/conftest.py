"""The links of these tests."""

from collections.abc import Iterator

import pytest

from socketio_server.options import Options
from tests.engine.transports.websocket.link import Link


@pytest.fixture
def options() -> Options:
    return Options(max_payload=1000, max_fragments=4)


@pytest.fixture
def link(options: Options) -> Iterator[Link]:
    made = Link(options)
    made.start()
    yield made
    made.close()
