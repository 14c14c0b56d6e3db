"""The counters of a server, cheap enough for every message."""

from collections.abc import Callable
from typing import NotRequired, TypedDict

from socketio_server.net.refusals import Refusals


class Snapshot(TypedDict):
    """A server's objects and counters, in numbers (``socketio_server.stats()``).

    Those of the broker are there only if there is one.
    """

    connections: int
    sessions: int
    sockets: int
    channels: int
    queued_bytes: int
    waiting_bytes: int
    decoded_bytes: int
    messages_in: int
    messages_out: int
    events: int
    handler_seconds: float
    log_lines_dropped: int
    refusals: dict[str, int]
    broker_connected: NotRequired[int]
    broker_can_send: NotRequired[int]
    broker_can_receive: NotRequired[int]
    broker_losses: NotRequired[int]
    broker_subscriptions: NotRequired[int]
    broker_queued_bytes: NotRequired[int]
    broker_sent: NotRequired[int]
    broker_unsent: NotRequired[int]
    broker_heard: NotRequired[int]


class Stats:
    """The counters of one server.

    :param clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.messages_in = 0
        """Socket.IO packets that clients sent."""
        self.events = 0
        """Events that handlers were run for."""
        self.handler_time = 0.0
        """Seconds that the handling of all packets took, waiting included."""
        self.refusals = Refusals(clock)
        """Refusals by kind."""


def describe(snapshot: Snapshot) -> str:
    """Return the counters as one line for a log."""
    return ", ".join(f"{name} {value}" for name, value in snapshot.items())
