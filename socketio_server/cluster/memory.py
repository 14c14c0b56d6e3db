"""The broker of a server that is one process."""

from collections.abc import Callable

from socketio_server.cluster.base import Envelope


class MemoryBroker:
    """Delivers to this process's own sockets, and to nobody else.

    :param deliver: hands an envelope to the sockets that it is for.
    """

    def __init__(self, deliver: Callable[[Envelope], object]) -> None:
        self._deliver = deliver

    def publish(self, envelope: Envelope) -> None:
        """Deliver on the spot (``Broker``)."""
        self._deliver(envelope)
