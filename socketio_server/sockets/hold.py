"""Holds provisional messages until a handler has accepted or refused their client."""

from collections import deque

from socketio_server.engine.session import Session
from socketio_server.engine.transports.base import Outgoing
from socketio_server.net.queued_output import Backlog, LostBecause, QueuedOutput


class Hold:
    """Keeps a client's messages while a handler may still refuse the client or its subscription
    (``Holder``).

    While ``on_connect`` runs it keeps all messages, because none may precede the server's answer.
    While ``on_subscribe`` runs it keeps the messages of the new channel, and all later ones,
    because messages arrive in the order in which they were sent.

    :param channel: the new channel; ``None`` for a new connection.
    :param session: the client's.
    :param limit: bytes that it may keep.
    :param output: the account of the messages that are queued for all clients; ``None``: they are
        not counted.
    """

    __slots__ = ("_backlog", "_limit", "_messages", "_output", "_session", "_size", "channel")

    is_download = False
    is_excused = True
    """The client can't read the messages yet (``Holder``)."""

    def __init__(
        self, channel: str | None, session: Session, limit: int, output: QueuedOutput | None
    ) -> None:
        self.channel = channel
        """The new channel; ``None`` for a new connection."""
        self._session = session
        self._output = output
        self._backlog: Backlog | None = None  # while messages are kept and counted
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
        if self._output is not None:
            if self._backlog is None:
                self._backlog = Backlog(self, self._output)
            self._backlog.add(outgoing.frames)
        return True

    @property
    def overflows(self) -> bool:
        """Whether it keeps more than ``limit`` bytes."""
        return self._size > self._limit

    def release(self, *, accepted: bool) -> list[Outgoing]:
        """Return the messages in order, without the doubtful ones unless ``accepted``."""
        messages = self._take_all()
        return [outgoing for outgoing, doubtful in messages if accepted or not doubtful]

    def try_again(self) -> None:
        """Do nothing: the handler decides (``Holder``)."""

    def give_up(self, because: LostBecause) -> None:
        """Drop the messages, and close the client's session soon (``Holder``)."""
        self._take_all()
        self._session.transport.give_up(because)

    def callback_raised(self) -> None:
        """Drop the messages, and close the client's session soon (``CallbackOwner``)."""
        self.give_up(LostBecause.CLOSED)

    def _take_all(self) -> list[tuple[Outgoing, bool]]:
        messages, self._messages = self._messages, []
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            backlog.close(deque(outgoing.frames for outgoing, _ in messages))
        return messages
