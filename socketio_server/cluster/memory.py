"""The broker of a server that is one process."""

from socketio_server.cluster.broker import Envelope, LocalNode


class MemoryBroker:
    """Delivers broadcasts to the sockets of this process only.

    :param node: this process.
    """

    def __init__(self, node: LocalNode) -> None:
        self._node = node

    def publish(self, envelope: Envelope) -> None:
        """Deliver on the spot (``Broker``)."""
        self._node.deliver(envelope)
