"""The interface between the sockets of a process and the broker that carries broadcasts."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A broadcast event and its recipients; plain data, because it crosses to other processes.

    :param event_name: the Socket.IO event.
    :param args: its arguments.
    :param channels: the subscribers of any of these get it; ``None``: everyone in the namespace.
    :param skip: ids of sockets that don't get it.
    :param skip_channels: the subscribers of any of these don't get it either.
    :param volatile: whether it is dropped for clients that can't take it at once.
    """

    namespace: str
    event_name: str
    args: tuple[Any, ...]
    channels: tuple[str, ...] | None = None
    skip: frozenset[str] = frozenset()
    skip_channels: tuple[str, ...] = ()
    volatile: bool = False


class LocalNode(Protocol):
    """The sockets of this process, as its broker sees them."""

    def deliver(self, envelope: Envelope) -> None:
        """Send an event to its recipients in this process.

        :raises TypeError: if an argument can't be encoded; then it was sent to nobody.
        """


class Broker(Protocol):
    """Carries envelopes to every process of a cluster, this one included."""

    def publish(self, envelope: Envelope) -> None:
        """Deliver the envelope to local sockets at once, and to other processes soon.

        :raises TypeError: if an argument can't be encoded; then it was sent to nobody.
        """
