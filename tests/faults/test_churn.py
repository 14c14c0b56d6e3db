"""Delivery accounting: clients that come and go, and count what they get and what arrives.

Numbered messages go both ways, over upgrades and slow phases. Within a connection none may be
missing, doubled or out of order; what the server gets is checked by its handler ``count``.
"""

import json
import random
from collections.abc import Sequence
from itertools import pairwise
from threading import Event, Thread

import pytest

from tests.faults.crowd import ask, join
from tests.faults.noise import SCALE, SEED
from tests.faults.watch import Watch
from tests.support.client import Client
from tests.support.http import Refused
from tests.support.server import Address
from tests.support.types import StartServer
from tests.support.wire import (
    TRANSPORTS,
    Polling,
    TransportName,
    Upgrading,
    open_carrier,
)

pytestmark = pytest.mark.timeout(180)

CLIENTS = 20
CONNECTIONS = max(1, round(3 * SCALE))
"""Connections that each client makes, one after the other."""

MESSAGES = 60
"""Messages each way in a connection."""

SIZE = 2048
"""Characters of a message to all; with small buffers of the kernel, most wait in the server."""

SMALL_BUFFER = 4096

SLOW_PHASES = 0.05
"""How often a client does not read for a while: before so many of its messages."""

LONGEST_PHASE = 0.5
"""Seconds that this takes at most."""

SENDING_PAUSE = 0.01
"""Seconds between four messages to all and the next four."""

SETTINGS = {
    # On a busy machine a slow phase may be much longer than it was meant to be.
    "SOCKETIO_MAX_QUEUED_BYTES": 100_000_000,
}
"""A server that gives up no client for being slow."""


class Churner:
    """A client that connects again and again, in all ways, in a thread of its own."""

    def __init__(self, address: Address, number: int) -> None:
        self.faults: list[str] = []
        """What was wrong."""
        self.received = 0
        """How many messages it got."""
        self._address = address
        self._random = random.Random(f"{SEED}/churn/{number}")
        # Each client in its own order, so that all transports are in use at any time.
        self._transports: list[TransportName] = [
            TRANSPORTS[(number + i) % len(TRANSPORTS)] for i in range(CONNECTIONS)
        ]
        self.thread = Thread(target=self._churn, daemon=True)
        self.thread.start()

    def _churn(self) -> None:
        for transport in self._transports:
            try:
                self._connect_once(transport)
            except (OSError, AssertionError, Refused) as error:
                self.faults.append(f"{transport}: {error!r}")

    def _connect_once(self, transport: TransportName) -> None:
        """Exchange numbered messages over one connection."""
        buffer = self._random.choice((None, SMALL_BUFFER))
        client = Client(open_carrier(transport, self._address, receive_buffer=buffer)).connect()
        upgrade_at = self._random.randrange(MESSAGES // 4, MESSAGES // 2)
        assert client.subscribe("churn") is True
        for number in range(MESSAGES):
            if number == upgrade_at and isinstance(client.carrier, Upgrading):
                client.carrier.upgrade()
            if self._random.random() < SLOW_PHASES:
                Event().wait(self._random.uniform(0.0, LONGEST_PHASE))
            asked = client.ask_later("count", number)
            if number == MESSAGES - 1 or self._random.random() < 0.5:  # else several are under way
                assert client.answer_to(asked) == [number]
        self._check(transport, client.packets)
        self._end(client)

    def _check(self, transport: TransportName, packets: Sequence[str]) -> None:
        """Note what is wrong with the numbers of the messages that came."""
        numbers = [json.loads(p[1:])[1][0] for p in packets if p.startswith('2["message"')]
        self.received += len(numbers)
        for last, number in pairwise(numbers):
            if number != last + 1:
                self.faults.append(f"{transport}: message {number} came behind {last}")

    def _end(self, client: Client) -> None:
        """End a connection, so that the server hears of it at once."""
        is_polling = isinstance(client.carrier, Polling)
        ways = [client.close] if is_polling else [client.close, client.carrier.reset]
        self._random.choice(ways)()
        client.carrier.cut()


class TestDelivery:
    def test_over_upgrades_reconnects_and_slow_phases_misses_doubles_and_reorders_nothing(
        self, share_attacked: StartServer, watch: Watch
    ) -> None:
        server = share_attacked(settings=SETTINGS)
        with watch(server, "delivery", "messages both ways, clients that come and go") as trial:
            churners = [Churner(server.address, number) for number in range(CLIENTS)]
            sender = join(server)
            sent = 0
            while any(churner.thread.is_alive() for churner in churners):
                flood = ["flood", "churn", sent, sent + 4, SIZE]
                assert ask(sender, json.dumps(flood), sent) == "[]"
                sent += 4
                Event().wait(SENDING_PAUSE)
            sender.close()
            received = sum(churner.received for churner in churners)
            trial.inputs = received + CLIENTS * CONNECTIONS * MESSAGES
        assert [fault for churner in churners for fault in churner.faults] == []
        assert received > CLIENTS * CONNECTIONS
