"""Broadcasts that are heard one after another, and reach a client in one write."""

from collections.abc import Sequence
from typing import Any

from socketio_server.cluster.broker import LocalNode
from socketio_server.cluster.envelopes import to_recipients
from socketio_server.engine.transports.base import Outgoing
from socketio_server.protocol.redis_adapter import Broadcast


class Burst:
    """Delivers broadcasts in order; those in a row that have the same recipients together.

    After calling ``add``, call ``end`` before anything else reaches the clients.

    :param node: this process.
    """

    def __init__(self, node: LocalNode) -> None:
        self._node = node
        self._last: Broadcast | None = None  # of those that wait
        self._outgoing: list[Outgoing] = []  # those that wait, encoded

    def add(self, broadcast: Broadcast, data: Sequence[Any]) -> None:
        """Deliver a broadcast, now or with the next ones.

        :param data: the event's name and arguments.
        :raises TypeError: if an argument can't be encoded; the others are delivered.
        :raises ValueError: if it is too large; likewise.
        """
        outgoing = self._node.encode(broadcast.namespace, data[0], data[1:])
        if self._last is not None and not _may_go_together(self._last, broadcast):
            self.end()
        self._last = broadcast
        self._outgoing.append(outgoing)

    def end(self) -> None:
        """Deliver what waits. Idempotent."""
        last, outgoing = self._last, self._outgoing
        if last is not None:
            self._last, self._outgoing = None, []
            recipients = to_recipients(last.rooms, last.skip, last.namespace, self._node)
            self._node.deliver_encoded(recipients, outgoing, volatile=last.volatile)


def _may_go_together(one: Broadcast, other: Broadcast) -> bool:
    """Return whether the next write after one broadcast would be that of the other."""
    return (
        one.rooms == other.rooms
        and one.skip == other.skip
        and one.namespace == other.namespace
        and not one.volatile  # one that is sent may leave no room for the next
        and not other.volatile
    )
