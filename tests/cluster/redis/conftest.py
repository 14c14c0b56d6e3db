"""Fixtures for the tests of brokers."""

from collections.abc import Iterator

import pytest

from socketio_server.cluster.redis import broker as broker_module
from tests.cluster.fakes import FakeRedis
from tests.cluster.redis.cluster import Cluster


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    redis: list[FakeRedis] = []
    monkeypatch.setattr(broker_module, "connector", lambda *args: lambda: redis[0].connect())
    cluster = Cluster()
    redis.append(cluster.redis)
    yield cluster
    cluster.broker.stop(1.0)
