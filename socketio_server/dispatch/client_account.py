"""What one client makes the server hold of its packets, and how much that is for all clients.

A client is charged for packets and answers that wait for handlers, for parts of messages, payloads
and binary packets whose rest has yet to arrive, for ``auth``, and for a large handshake. The
packets that wait are bounded for each client: above the limit, nothing more is read from it. All of
it is bounded for the process: above the limit, clients are closed, those first that hold most.
"""

from collections import deque
from functools import partial
from typing import Protocol

from socketio_server.net.held_total import TOO_MANY, HeldTotal
from socketio_server.net.loop import CallbackOwner, Loop
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.workers import Job
from socketio_server.options import Options

LADEN = 16_384
"""Bytes that one client may make the server hold without being counted for the process."""

USUAL_SUBSCRIPTIONS = 131_072
"""Bytes of subscriptions and pending acknowledgements that a client may have without being charged:
as many as 256 channels with usual names take.
"""

_TOO_MANY_WAIT = "too many bytes wait for handlers, or for their rest (SOCKETIO_MAX_PENDING_TOTAL)"


class Laden(CallbackOwner, Protocol):
    """A client that is counted for the process."""

    @property
    def counted(self) -> int:
        """Bytes of it that are counted."""

    def give_up(self, kind: RefusalKind, why: str) -> None:
        """End the client's session, and drop its waiting events.

        :param kind: how it is counted.
        :param why: for the log.
        """


class InputTotal:
    """The bytes that all laden clients make the server hold.

    :param held_total: counts what they make it hold of every kind.
    """

    def __init__(self, loop: Loop, options: Options, held_total: HeldTotal) -> None:
        self.bytes = 0
        """All of them, with what clients that were given up keep until their last handlers end."""
        self._loop = loop
        self._most = options.max_pending_total
        self._held_total = held_total
        held_total.add_reliever(self._relieve)
        self._laden: set[Laden] = set()
        self._given_up: set[Laden] = set()  # until they hold nothing
        self._leaving = 0  # bytes that these hold
        self._is_relieving = False

    def count(self, client: Laden, change: int) -> None:
        """Count a change of a client's ``counted`` bytes, and give clients up if it is too much."""
        self.bytes += change
        if client in self._given_up:
            self._leaving += change
            if not client.counted:
                self._given_up.remove(client)
        elif client.counted:
            self._laden.add(client)
        else:
            self._laden.discard(client)
        self._held_total.count(change)
        if self.bytes - self._leaving > self._most and not self._is_relieving:
            self._relieve()

    def _relieve(self) -> None:
        """Give up the clients that hold most, until the rest fits."""
        self._is_relieving = True
        try:
            for client in sorted(self._laden, key=lambda client: client.counted, reverse=True):
                own = self.bytes - self._leaving
                if not self._held_total.has_too_many_bytes(own, self._most):
                    break
                self._laden.discard(client)
                self._given_up.add(client)
                self._leaving += client.counted
                kind, why = (
                    (RefusalKind.PENDING, _TOO_MANY_WAIT)
                    if own > self._most
                    else (RefusalKind.HELD_TOTAL, TOO_MANY)
                )
                # What raises there is no fault of the client whose bytes are counted just now.
                self._loop.call(partial(_give_up, kind, why), client, type(client).callback_raised)
        finally:
            self._is_relieving = False


def _give_up(kind: RefusalKind, why: str, client: Laden) -> None:
    client.give_up(kind, why)


class ClientAccount:
    """The account of one client (``Account``, ``Laden``); its router derives from it.

    :param total: counts the bytes of all clients.
    """

    __slots__ = (
        "_is_full",
        "_options",
        "_total",
        "counted",
        "free_handlers",
        "makes_large_messages",
        "other_bytes",
        "queued",
        "subscription_bytes",
        "waiting_bytes",
        "weigh_above",
        "weigh_below",
    )

    def __init__(self, total: InputTotal, options: Options) -> None:
        self._total = total
        self._options = options
        self.waiting_bytes = 0
        """Bytes of packets that wait for handlers (``Account``)."""
        self.other_bytes = 0
        """Bytes of all else that is charged."""
        self.subscription_bytes = 0
        """Bytes of the subscriptions and the pending acknowledgements of all its sockets."""
        self.counted = 0
        """The share of this client in the bytes of all (``Laden``)."""
        self.weigh_above = min(LADEN, options.max_pending_bytes - 1)
        self.weigh_below = 0
        self.free_handlers = options.max_handlers_per_client
        """How many more of the client's inboxes may run handlers (``Account``)."""
        self.makes_large_messages = False
        """Whether the next event takes a turn of its own (``Account``)."""
        self.queued: deque[Job] | None = None
        """The inboxes that wait for a free handler (``Account``)."""
        self._is_full = False  # whether reading from the client is paused

    def charge(self, change: int) -> None:
        """Charge the client for more bytes, or for fewer if ``change`` is negative."""
        self.other_bytes += change
        self.weigh()

    def charge_subscriptions(self, change: int) -> None:
        """Note more bytes of subscriptions and pending acknowledgements, or fewer, and charge the
        client for those beyond what is usual.
        """
        before = self.subscription_bytes
        self.subscription_bytes = after = before + change
        if before > USUAL_SUBSCRIPTIONS or after > USUAL_SUBSCRIPTIONS:
            self.charge(max(after, USUAL_SUBSCRIPTIONS) - max(before, USUAL_SUBSCRIPTIONS))

    def weigh(self) -> None:
        """Act on the number of bytes, and set ``weigh_above`` and ``weigh_below`` (``Account``).

        Pauses reading from the client above its limit, and counts the bytes for the process. Up to
        ``LADEN`` bytes are not counted, which spares most events most of this.
        """
        waiting, most = self.waiting_bytes, self._options.max_pending_bytes
        charged = waiting + self.other_bytes
        if not self._is_full and waiting >= most:
            self._is_full = True
            self.pause_reading()
        elif self._is_full and waiting <= most // 2:
            self._is_full = False
            self.resume_reading()
        if charged > LADEN:
            # Once none waits, the rest may be too little to be counted.
            self.weigh_above = waiting + LADEN
            self.weigh_below = max(waiting - LADEN, min(waiting, 1))
        else:
            self.weigh_above, self.weigh_below = LADEN - self.other_bytes, 0
        if self._is_full:
            self.weigh_below = max(self.weigh_below, most // 2 + 1)
        else:
            self.weigh_above = min(self.weigh_above, most - 1)
        before, self.counted = self.counted, charged if charged > LADEN else 0
        if before or self.counted:
            self._total.count(self, self.counted - before)

    def pause_reading(self) -> None:
        """Read no more from the client, because too many of its packets wait."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Read from the client again."""
        raise NotImplementedError

    def give_up(self, kind: RefusalKind, why: str) -> None:
        """End the client's session, and drop its waiting events (``Laden``)."""
        raise NotImplementedError

    def callback_raised(self) -> None:
        """End the client's session (``CallbackOwner``)."""
        raise NotImplementedError
