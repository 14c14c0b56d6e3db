"""Bounds what all clients together make the server hold, of every kind.

Messages that are queued for clients, packets that wait for handlers, and decoded packets have a
bound each. All three at their bounds would take more memory than the process should have. Therefore
they share one as well, the largest of the three: any kind may be much, but not all of them at once.
"""

from collections.abc import Callable

from socketio_server.options import Options

OWN_SHARE = 4
"""One part in so many of its own bound is for each kind, however much there is of the others."""


class HeldTotal:
    """The bytes that all clients of one server make it hold."""

    def __init__(self, options: Options) -> None:
        self.bytes = 0
        self._most = max(
            options.max_queued_total, options.max_pending_total, options.max_decoded_total
        )
        self._relievers: list[Callable[[], None]] = []

    def has_room(self, size: int) -> bool:
        """Return whether there may be so many bytes more without anybody given up."""
        return self.bytes + size <= self._most

    def has_too_many(self, own: int, most: int) -> bool:
        """Return whether there are too many bytes of a kind: by its own bound, or by that of all.

        :param own: how many there are of it.
        :param most: its own bound.
        """
        return own > most or (self.bytes > self._most and own > most // OWN_SHARE)

    def add_reliever(self, relieve: Callable[[], None], *, is_first: bool = False) -> None:
        """Have a function called whenever there are too many bytes, after those before it.

        :param relieve: gives up clients as long as its kind ``has_too_many``.
        :param is_first: whether it goes before the others.
        """
        self._relievers.insert(0 if is_first else len(self._relievers), relieve)

    def count(self, change: int) -> None:
        """Count more bytes, or fewer if ``change`` is negative. This may close any client."""
        self.bytes += change
        if change > 0 and self.bytes > self._most:
            for relieve in self._relievers:
                relieve()
