"""The broker of a server that is one process."""

from collections.abc import Callable, Iterable

from socketio_server.cluster.broker import Envelope, LocalNode, Responses
from socketio_server.net.statistics import Snapshot
from socketio_server.protocol.cluster_requests import Question, Request, Response


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

    def tell(self, namespace: str, request: Request) -> None:
        """Do nothing: there are no other processes (``Broker``)."""

    def ask(
        self,
        namespace: str,
        question: Question,
        timeout: float,
        acknowledged: Callable[[Response], None] | None = None,
    ) -> Responses:
        """Return no response: nobody else is there (``Broker``)."""
        return Responses((), 0)

    def listen(self, namespace: str, channel: str | None = None, *, wait: bool = True) -> None:
        """Do nothing: there are no other processes (``Broker``)."""

    def start(self, namespaces: Iterable[str]) -> None:
        """Do nothing (``Broker``)."""

    def stop(self, timeout: float) -> None:
        """Do nothing (``Broker``)."""

    def leave_to_parent(self) -> None:
        """Do nothing (``Broker``)."""

    def count(self, snapshot: Snapshot) -> None:
        """Add nothing (``Broker``)."""
