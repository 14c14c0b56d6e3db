"""Waiting for what other workers have sent to a client: it comes to the client over Redis."""

import itertools
from contextlib import ExitStack

from tests.support.client import Client
from tests.support.server import Server
from tests.support.wire import OverWebSocket

_numbers = itertools.count()


class Fence:
    """Sends one message to a client from each worker, behind all that it has sent before.

    :param workers: how many the server has.
    """

    def __init__(self, server: Server, workers: int) -> None:
        self._server = server
        self._workers = workers

    def send_to(self, client_id: str) -> list[str]:
        """Return the messages that the client will have got when all others have come."""
        messages: dict[str, str] = {}  # by worker
        with ExitStack() as stack:
            while len(messages) < self._workers:
                carrier = OverWebSocket(self._server.address)
                stack.callback(carrier.cut)
                worker = carrier.handshake["sid"].partition(".")[0]
                if worker not in messages:
                    messages[worker] = f"fence-{next(_numbers)}"
                    Client(carrier).connect().function("send", client_id, messages[worker])
        return list(messages.values())
