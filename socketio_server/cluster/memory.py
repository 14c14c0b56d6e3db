"""The broker of a server that is one process."""

from collections.abc import Iterable

from socketio_server.cluster.broker import Envelope, LocalNode
from socketio_server.net.statistics import Snapshot


class MemoryBroker:
    """Delivers broadcasts to the sockets of this process only.

    :param node: this process.
    """

    reaches_others = False

    def __init__(self, node: LocalNode) -> None:
        self._node = node

    def publish(self, envelope: Envelope) -> None:
        """Deliver on the spot (``Broker``)."""
        self._node.deliver(envelope)

    def listen(self, namespace: str, channel: str | None = None) -> None:
        """Do nothing: there are no other processes (``Broker``)."""

    def start(self, namespaces: Iterable[str]) -> None:
        """Do nothing (``Broker``)."""

    def stop(self, timeout: float) -> None:
        """Do nothing (``Broker``)."""

    def count(self, snapshot: Snapshot) -> None:
        """Add nothing (``Broker``)."""
