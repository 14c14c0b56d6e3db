"""The official clients when their server goes away and comes back on the same port."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.interop.clients import (
    FLAVOURS,
    PYTHON,
    RETURNING_FLAVOURS,
    Client,
    Driver,
    Flavour,
    Language,
)
from tests.interop.conftest import HANDLERS, SETTINGS
from tests.support.server import Configuration, Server
from tests.support.tools import free_port

STOPS, IS_KILLED = "stops", "is-killed"


class Story(NamedTuple):
    """What a client went through: its ids before and after, and why it lost the server."""

    first_id: str
    reason: str
    second_id: str | None


Stories = dict[Flavour, Story]


@pytest.fixture(scope="module")
def stories(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    start_driver: Callable[[Language], Driver],
) -> Iterator[Stories]:
    """Let the server of clients of every flavour go, and come back."""
    configuration = Configuration(
        tmp_path_factory.mktemp("restarted"),
        arguments=("--noreload", f"127.0.0.1:{free_port()}"),
        settings={**SETTINGS, "SOCKETIO_EVENTS": [HANDLERS]},
    )
    with ExitStack() as stack:
        server = Server(configuration)
        stack.callback(server.kill)
        clients = []
        for flavour in FLAVOURS:
            client = start_driver(flavour.language).open(flavour, server.url, reconnection=True)
            stack.callback(client.do, "forget")
            clients.append(client)
        first_ids = [client.wait_until_connected() for client in clients]
        if request.param == STOPS:
            assert server.stop(signal.SIGTERM) == 0
        else:
            server.kill()
        reasons = [client.wait_for("disconnect")[0] for client in clients]
        stack.callback(Server(configuration).kill)
        second_ids = [
            client.wait_until_connected() if _comes_back(client, reason) else None
            for client, reason in zip(clients, reasons, strict=True)
        ]
        yield {
            client.flavour: Story(*story)
            for client, *story in zip(clients, first_ids, reasons, second_ids, strict=True)
        }


def _comes_back(client: Client, reason: str) -> bool:
    """Whether a client tries again: not where it takes the server to have sent it away."""
    return reason != client.flavour.language.server_sent_away


@pytest.mark.parametrize("stories", [IS_KILLED], indirect=True)
class TestAServerThatIsKilled:
    def test_has_its_clients_back_with_new_ids(self, stories: Stories, flavour: Flavour) -> None:
        story = stories[flavour]
        assert story.second_id not in (None, story.first_id)


@pytest.mark.parametrize("stories", [STOPS], indirect=True)
class TestAServerThatStops:
    def test_closes_the_transports_in_order(self, stories: Stories, flavour: Flavour) -> None:
        language = flavour.language
        # The Python client calls it so where the server ends the session by a packet.
        by_packet = language is PYTHON and flavour.last_transport == "polling"
        reason = language.server_sent_away if by_packet else language.transport_closed
        assert stories[flavour].reason == reason

    @pytest.mark.parametrize("flavour", RETURNING_FLAVOURS, ids=str)
    def test_has_its_clients_back_with_new_ids(self, stories: Stories, flavour: Flavour) -> None:
        story = stories[flavour]
        assert story.second_id not in (None, story.first_id)
