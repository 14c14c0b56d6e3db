"""Holds provisional messages until a handler has accepted or refused their client."""

from socketio_server.engine.transports.base import Outgoing


class Hold:
    """Keeps a client's messages while a handler may still refuse the client or its subscription.

    While ``on_connect`` runs it keeps all messages, because none may precede the server's answer.
    While ``on_subscribe`` runs it keeps the messages of the new channel, and all later ones,
    because messages arrive in the order in which they were sent.

    :param channel: the new channel; ``None`` for a new connection.
    :param limit: bytes that it may keep.
    """

    __slots__ = ("_limit", "_messages", "_size", "channel")

    def __init__(self, channel: str | None, limit: int) -> None:
        self.channel = channel
        self._limit = limit
        self._size = 0
        self._messages: list[tuple[Outgoing, bool]] = []  # each with whether it is doubtful

    def keep(self, outgoing: Outgoing, *, doubtful: bool) -> bool:
        """Keep a message, or return ``False`` if it may be sent.

        :param doubtful: whether the client gets it only if it is accepted.
        """
        if not doubtful and not self._messages and self.channel is not None:
            return False
        self._size += len(outgoing.frames)
        self._messages.append((outgoing, doubtful))
        return True

    @property
    def overflows(self) -> bool:
        """Whether it keeps more than ``limit`` bytes."""
        return self._size > self._limit

    def release(self, *, accepted: bool) -> list[Outgoing]:
        """Return the messages in order, without the doubtful ones unless ``accepted``."""
        return [outgoing for outgoing, doubtful in self._messages if accepted or not doubtful]
