"""Bounds what all clients together make the server hold, of every kind.

Messages that are queued for clients, packets that wait for handlers, and decoded packets have a
bound each. All three at their bounds would take more memory than the process should have. Therefore
they share one as well, the largest of the three: any kind may be much, but not all of them at once.

Clients are given up for the shared bound in a callback of the loop, and not by who counts: that is
a client at work, or a message on its way to many.
"""

from collections.abc import Callable

from socketio_server.net.loop import Loop
from socketio_server.options import Options

TOO_MANY = (
    "more bytes held for all clients than allowed (the largest of SOCKETIO_MAX_QUEUED_TOTAL, "
    "SOCKETIO_MAX_PENDING_TOTAL and SOCKETIO_MAX_DECODED_TOTAL)"
)
"""Why a client is given up for the shared bound, for the log."""

OWN_SHARE = 4
"""One part in so many of its own bound is for each kind, however much there is of the others."""


class HeldTotal:
    """The bytes that all clients of one server make it hold (``CallbackOwner``)."""

    def __init__(self, loop: Loop, options: Options) -> None:
        self.bytes = 0
        self._loop = loop
        self._most = max(
            options.max_queued_total, options.max_pending_total, options.max_decoded_total
        )
        self._relievers: list[Callable[[], None]] = []
        self._waiting: list[Callable[[], None]] = []  # for room
        self._is_due = False  # whether the loop will call back

    def excess(self, size: int) -> int:
        """Return by how many bytes it would be too much if there were so many more, at most 0 if it
        would not.
        """
        return self.bytes + size - self._most

    def has_too_many_bytes(self, own: int, most: int) -> bool:
        """Return whether there are too many bytes of a kind: by its own bound, or by that of all.

        :param own: how many there are of it.
        :param most: its own bound.
        """
        return own > most or (self.bytes > self._most and own > most // OWN_SHARE)

    def add_reliever(self, relieve: Callable[[], None], *, is_first: bool = False) -> None:
        """Have a function called whenever there are too many bytes, after those before it.

        :param relieve: gives up clients as long as its kind ``has_too_many_bytes``.
        :param is_first: whether it goes before the others.
        """
        self._relievers.insert(0 if is_first else len(self._relievers), relieve)

    def await_room(self, callback: Callable[[], None]) -> None:
        """Have a function called once, as soon as there are fewer bytes; in a loop callback."""
        if callback not in self._waiting:
            self._waiting.append(callback)

    def count(self, change: int) -> None:
        """Count more bytes, or fewer if ``change`` is negative."""
        self.bytes += change
        if (self.bytes > self._most if change > 0 else self._waiting) and not self._is_due:
            self._is_due = True
            self._loop.run_callback(HeldTotal._settle, self)

    def callback_raised(self) -> None:
        """Go on (``CallbackOwner``)."""

    def _settle(self) -> None:
        """Give clients up until the rest fits, and let those go on that wait for room."""
        self._is_due = False
        if self.bytes > self._most:
            for relieve in self._relievers:
                relieve()
        for go_on in tuple(self._waiting):
            self._waiting.remove(go_on)  # it may wait again
            go_on()
