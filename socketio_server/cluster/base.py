"""How a broadcast leaves the process that it was made in."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An event, and whom it is for: plain data, so that it can cross to other processes.

    :param event_name: the Socket.IO event.
    :param args: its arguments.
    :param channels: for the subscribers of any of these; ``None``: for everyone in the namespace.
    :param skip: ids of sockets that don't get it.
    :param volatile: whether clients that can't take it at once go without.
    """

    namespace: str
    event_name: str
    args: tuple[Any, ...]
    channels: tuple[str, ...] | None = None
    skip: frozenset[str] = frozenset()
    volatile: bool = False


class LocalNode(Protocol):
    """The sockets of this process, as its broker sees them."""

    def deliver(self, envelope: Envelope) -> None:
        """Send an event to the sockets of this process that it is for.

        :raises TypeError: if an argument can't be encoded; nobody got anything then.
        """


class Broker(Protocol):
    """Carries envelopes to every process of a cluster, this one included."""

    def publish(self, envelope: Envelope) -> None:
        """Have the envelope delivered, to local sockets at once.

        :raises TypeError: if the arguments can't be encoded; nobody got anything then.
        """
