"""Holds messages back while a handler may still refuse what they would come from."""

from socketio_server.engine.transports.base import Outgoing


class Gate:
    """Holds a socket's messages back while a handler may still refuse what they would come from.

    While ``on_connect`` runs that is everything, since nothing may precede the server's answer;
    while ``on_subscribe`` runs it is what comes from the new channel alone, and whatever is sent
    behind it, so that the order stays.

    :param channel: the new channel; ``None`` for a new connection.
    :param limit: bytes that may be held back.
    """

    __slots__ = ("_held", "_limit", "_size", "channel")

    def __init__(self, channel: str | None, limit: int) -> None:
        self.channel = channel
        self._limit = limit
        self._size = 0
        self._held: list[tuple[Outgoing, bool]] = []  # with whether it came from the new channel

    def holds(self, outgoing: Outgoing, *, doubtful: bool) -> bool:
        """Hold a message back, or return ``False`` if it may pass.

        :param doubtful: whether it would not come but for what may be refused.
        """
        if not doubtful and not self._held and self.channel is not None:
            return False
        self._size += len(outgoing.frames)
        self._held.append((outgoing, doubtful))
        return True

    @property
    def overflows(self) -> bool:
        """Whether more is held back than may be."""
        return self._size > self._limit

    def release(self, *, accepted: bool) -> list[Outgoing]:
        """Return what was held back, in order, without the doubtful unless ``accepted``."""
        return [outgoing for outgoing, doubtful in self._held if accepted or not doubtful]
