"""What the answers to the server's own questions make it hold and compute: acknowledgements cost
no less than what clients send by themselves.
"""

import json
from collections.abc import Iterator
from itertools import cycle

import pytest

from tests.faults.crowd import Wire, ask, crowd, join, plain, send_each
from tests.faults.watch import MIB, MOST, Watch, look, waiting_bytes
from tests.faults.worst import WORST, fill
from tests.support.redis import RedisServer
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import StartServer
from tests.support.websocket import WebSocket

pytestmark = pytest.mark.timeout(180)

CALLED = 20
"""Clients that answer at once."""


def asked(client: WebSocket) -> int:
    """Return the id that the server wants its question to be acknowledged with."""
    packet = client.receive_text()
    digits, _, name = packet.removeprefix("42").partition("[")
    assert name.startswith('"question"'), packet
    return int(digits)


@pytest.fixture(scope="module")
def cluster(share_attacked: StartServer) -> Iterator[tuple[Server, Server]]:
    """Two servers with a Redis between them."""
    redis = RedisServer()
    one, other = (
        share_attacked(
            settings={"SOCKETIO_BROKER_URL": redis.url, "SOCKETIO_STALL_TIMEOUT": 1.0},
            environment={"TEST_PURPOSE": f"attacked cluster, {name}"},
        )
        for name in ("one", "other")
    )
    yield one, other
    redis.stop()


class TestLargeAnswers:
    @pytest.mark.parametrize("event", ["question", "hint"])
    def test_of_many_clients_take_turns(self, wire: Wire, watch: Watch, event: str) -> None:
        """Whether a handler or a callback waits for them."""
        server, encode, headers = wire
        name = f"large answers: {event}{', deflated' if headers else ''}"
        with watch(server, "answers", name, inputs=CALLED, most=MOST, patience=90):
            clients = [join(server, headers=headers) for _ in range(CALLED)]
            for client in clients:
                client.send_text(f'42["{event}"]')
            kinds = cycle(["empty arrays", "deep arrays"])
            answers = [encode(f"43{asked(client)}[{WORST[next(kinds)]}]") for client in clients]
            send_each(clients, answers)
            for client in clients:
                assert ask(client, '["echo",1]') == "[1]"
                client.close()

    def test_that_handlers_keep_are_bounded_once_they_are_decoded(
        self, wire: Wire, watch: Watch
    ) -> None:
        """The handlers wait for another answer, which never comes."""
        server, encode, headers = wire
        name = f"large answers that handlers keep{', deflated' if headers else ''}"
        with watch(server, "answers", name, inputs=CALLED, most=MOST, patience=90):
            clients = [join(server, headers=headers) for _ in range(CALLED)]
            for client in clients:
                client.send_text('42["interview"]')
            answers = [encode(f"43{asked(client)}[{fill('[]', 200_000)}]") for client in clients]
            send_each(clients, answers)
            wait_until(lambda: look(server, "stats")["decoded_bytes"] > 15 * MIB, "much to be kept")
            assert look(server, "stats")["decoded_bytes"] <= 48 * MIB
            for client in clients:
                client.cut()

    def test_to_one_call_are_bounded(self, share_attacked: StartServer, watch: Watch) -> None:
        server = share_attacked(settings={"SOCKETIO_STALL_TIMEOUT": 1.0})
        name = "large answers to one call"
        with watch(server, "answers", name, inputs=40, most=MOST, patience=90):
            clients, host = crowd(server, 40, channel="asked"), join(server)
            host.send_text('421["survey","asked",5]')
            answers = [plain(f"43{asked(client)}[{WORST['empty arrays']}]") for client in clients]
            send_each(clients, answers)
            assert waiting_bytes(server) <= 64 * MIB
            came, missing = json.loads(host.receive_text().removeprefix("431"))
            assert (came + missing, missing > 0) == (40, True)
            for client in (*clients, host):
                client.cut()


class TestLargeAnswersThroughTheBroker:
    """The clients that answer are another process's."""

    def test_take_turns_and_are_bounded_in_both(
        self, cluster: tuple[Server, Server], watch: Watch
    ) -> None:
        asking, answering = cluster
        name = "large answers through the broker"
        with (
            watch(asking, "answers", f"{name}, asking", inputs=40, most=MOST, patience=90),
            watch(answering, "answers", f"{name}, answering", inputs=40, most=MOST, patience=90),
        ):
            clients, host = crowd(answering, 40, channel="asked"), join(asking)
            host.send_text('421["survey","asked",15]')
            kinds = cycle(WORST.values())
            answers = [plain(f"43{asked(client)}[{next(kinds)}]") for client in clients]
            send_each(clients, answers)
            assert waiting_bytes(asking) <= 64 * MIB
            came, missing = json.loads(host.receive_text().removeprefix("431"))
            assert came + missing == 40
            assert came > 0
            for client in (*clients, host):
                client.cut()
