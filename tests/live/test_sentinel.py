"""Redis behind a Sentinel, which names another master when one ends."""

from collections.abc import Iterator
from time import monotonic

import pytest

from socketio_server.cluster.broker import Envelope
from socketio_server.cluster.redis.publisher import RedisPublisher
from tests.cluster.fakes import FakeNode
from tests.support.client import Client
from tests.support.sentinel import Sentinel
from tests.support.tools import wait_until
from tests.support.types import Connect, StartServer


@pytest.fixture
def sentinel() -> Iterator[Sentinel]:
    with Sentinel() as sentinel:
        yield sentinel


@pytest.fixture
def publisher(sentinel: Sentinel) -> Iterator[RedisPublisher]:
    """What a process without a server sends through."""
    publisher = RedisPublisher(FakeNode(), sentinel.url, "socket.io", monotonic)
    yield publisher
    publisher.stop(0)


class TestFailover:
    def test_leads_servers_and_other_processes_to_the_new_master(
        self,
        sentinel: Sentinel,
        publisher: RedisPublisher,
        start_server: StartServer,
        connect: Connect,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        settings = {
            "SOCKETIO_BROKER_URL": sentinel.url,
            "SOCKETIO_EVENTS": ["tests.project.handlers.commands"],
        }
        servers = [
            start_server(folder=tmp_path_factory.mktemp("server"), settings=settings)
            for _ in range(2)
        ]
        near, far = [connect(to=server) for server in servers]
        check_that_messages_arrive(publisher, near, far)

        sentinel.fail_over()
        for server in servers:
            server.wait_for_output("is back for sending after")
            server.wait_for_output("is back for receiving after")
        wait_until(lambda: sentinel.replica.servers() == 2, "the servers to be on the new one")
        check_that_messages_arrive(publisher, near, far)


def check_that_messages_arrive(publisher: RedisPublisher, near: Client, far: Client) -> None:
    """Send a message from one server to another, and one from a process without any."""
    near.method("broadcast", "from a server")
    assert far.next_message() == "from a server"
    outside = Envelope(namespace="/", event_name="message", args=("from outside",))
    publisher.publish(outside)
    assert far.next_message() == "from outside"
