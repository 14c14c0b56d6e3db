"""A server and one client of it; what either leaves behind in the loop fails the test."""

from collections.abc import Iterator

import pytest

from socketio_server.options import Options
from tests.fakes.loop import FakeIO
from tests.fakes.net import socket_pair
from tests.http.site import Peer, Site


@pytest.fixture
def options() -> Options:
    return Options(max_time_per_turn=1000.0, max_payload=1000, max_queued_bytes=300_000)


@pytest.fixture
def site(options: Options) -> Site:
    return Site(options)


@pytest.fixture
def peer(site: Site) -> Iterator[Peer]:
    with socket_pair() as (ours, theirs):
        made = Peer(site, ours, theirs)
        yield made
        made.connection.abort()
        site.run()
        assert site.has_no_deadlines(), "a deadline outlived its connection"
        watched = [watcher for watcher in site.loop.watchers if isinstance(watcher, FakeIO)]
        assert watched == [], "something stayed behind in the loop"


@pytest.fixture
def target(site: Site) -> str:
    """Where the requests of a session go, whose opening packet was fetched."""
    return site.open_session()
