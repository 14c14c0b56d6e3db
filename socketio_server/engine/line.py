"""The line of those who wait for room to send a client a message."""

from collections import deque
from typing import Protocol

from gevent.event import Event

from socketio_server.net.queued_output import Backlog, LostBecause, QueuedOutput


class LineTransport(Protocol):
    """The transport of the client."""

    def give_up(self, because: LostBecause) -> None:
        """Drop the queued messages, and close soon."""


class LineSession(Protocol):
    """The session of the client."""

    @property
    def transport(self) -> LineTransport:
        """Its transport, as of now."""


class Line:
    """The senders that wait for a client, in the order of their arrival (``Holder``).

    Each has its message encoded already. Those messages take memory as queued ones do, and are
    counted with them: a client whose senders hold too much is given up. After making one, ``close``
    it.

    :param session: the client's.
    :param output: the account of the messages that are queued for all clients; ``None``: they are
        not counted.
    """

    __slots__ = ("_backlog", "_messages", "_session")

    is_download = False
    is_excused = True
    """The client's progress is watched where its messages are queued (``Holder``)."""

    def __init__(self, session: LineSession, output: QueuedOutput | None) -> None:
        self._session = session
        self._messages: dict[Event, bytes] = {}  # by the senders' places
        # None: nothing is counted, or no more (``close``).
        self._backlog = None if output is None else Backlog(self, output)

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits."""
        return not self._messages

    def join(self, message: bytes) -> Event:
        """Let a sender wait behind the others. This may give up any client.

        :return: its place: an event that is set when it may be its turn.
        """
        place = Event()
        self._messages[place] = message
        if self._backlog is not None:
            self._backlog.add(message)
        return place

    def is_first(self, place: Event) -> bool:
        """Return whether nobody waits before the sender at a place."""
        return next(iter(self._messages)) is place

    def wake_first(self) -> None:
        """Let the first sender look whether it may send."""
        next(iter(self._messages)).set()

    def wake_all(self) -> None:
        """Let all senders look whether they must go on waiting."""
        for place in self._messages:
            place.set()

    def leave(self, place: Event) -> None:
        """Take a sender out of the line."""
        message = self._messages.pop(place)
        if self._backlog is not None:
            self._backlog.taken(len(message))
            self._backlog.discard(message)

    def close(self) -> None:
        """Count nothing more: the line is empty, or its senders send nothing more."""
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            backlog.close(deque(self._messages.values()))

    # --- Holder -------------------------------------------------------------------------------

    def try_again(self) -> None:
        """Do nothing: senders are told when there is room (``Holder``)."""

    def give_up(self, because: LostBecause) -> None:
        """Close the client's session soon, which ends the waiting (``Holder``)."""
        self.close()
        self._session.transport.give_up(because)

    def callback_raised(self) -> None:
        """Close the client's session soon (``CallbackOwner``)."""
        self.give_up(LostBecause.CLOSED)
