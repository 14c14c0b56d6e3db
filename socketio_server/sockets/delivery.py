"""The delivery of messages to one client in one namespace."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from gevent.event import Event
from greenlet import getcurrent, greenlet

from socketio_server.engine.session import Session
from socketio_server.engine.transports.base import Outgoing, limit_deflating
from socketio_server.net.connection import Connection
from socketio_server.net.queued_output import QueuedOutput
from socketio_server.net.refusals import RefusalKind
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.acknowledgements import (
    PENDING_SIZE,
    Acknowledged,
    Answer,
    Ledger,
    Pending,
    Timekeeper,
)
from socketio_server.sockets.hold import Hold

DROPS_PER_TURN = 8
"""Messages to clients that have gone that are dropped before other greenlets get a turn."""


class SocketOwner(Protocol):
    """Handles the events of a socket's client: the dispatcher's side, as the socket sees it."""

    def is_handled_by(self, caller: greenlet) -> bool:
        """Return whether a greenlet handles an event of the client, in any of its namespaces."""

    def put(self, item: Acknowledged) -> None:
        """Run a callback after the events that arrived before the acknowledgement."""

    def disconnect(self, *, close: bool) -> None:
        """Take the client out of the namespace; with ``close``, end its whole session."""

    def charge_subscriptions(self, change: int) -> None:
        """Charge the client for subscriptions and pending acknowledgements, if they are many; may
        end its session.
        """

    def subscribed(self, channel: str) -> None:
        """The socket is on a channel now."""

    def unsubscribed(self, channel: str) -> None:
        """The socket is on a channel no more."""

    def moved(self, channel: str, *, is_on: bool) -> None:
        """The socket is on a channel, or no more; nobody is told before a later turn."""


class Delivery:
    """Sends a client its messages, or holds them, or drops them (``Recipient``).

    ``close_reason`` decides: once it is set, no message reaches the client any more. Before that,
    messages wait while there is a hold, and are sent while there is none.

    The *fastlane* is the short way past that decision: the connection of a WebSocket that accepts a
    message's frames unchanged. It is set only while the socket is open, there is no hold and the
    session's transport offers it: a sender that sees one may write to it without a further check.
    ``deliver`` sets it when all three conditions hold; the method that ends one resets it.

    :param socket_id: the socket's public id.
    :param session: the Engine.IO session that carries the messages.
    """

    __slots__ = (
        "_hold",
        "_ledger",
        "_session",
        "channels",
        "close_reason",
        "fastlane",
        "handler",
        "id",
        "namespace",
        "owner",
        "rooms",
    )

    def __init__(self, socket_id: str, namespace: str, session: Session) -> None:
        self.id = socket_id
        self.namespace = namespace
        self.channels: tuple[str, ...] = ()
        """The socket's channels, in order of subscription; replaced as a whole by ``Clients``."""
        self.rooms: tuple[str, ...] = ()
        """The rooms of our own that the socket is in, likewise."""
        self.owner: SocketOwner | None = None
        """Handles the client's events; ``None`` again when the last handler has run."""
        self.close_reason: CloseReason | None = None
        """Why the connection ended; ``None`` while it lasts."""
        self.fastlane: Connection | None = None
        """The connection to write frames to; ``None``: call ``deliver``."""
        self.handler: greenlet | None = None
        """The greenlet that handles an event of the client in this namespace just now, if any."""
        self._session = session
        self._hold: Hold | None = None  # None: messages are sent
        self._ledger: Ledger | None = None  # None until the client owes an acknowledgement

    @property
    def transport(self) -> str:
        """The name of the session's transport, as of now."""
        return self._session.transport.name

    @property
    def writable(self) -> bool:
        """Whether a message would go out at once."""
        return self.close_reason is None and self._hold is None and self._session.transport.writable

    @property
    def clear_lane(self) -> Connection | None:
        """The fastlane, if a message to this client only need not wait for room."""
        fastlane = self.fastlane
        if (
            fastlane is not None
            and fastlane.queued <= fastlane.high_water
            and self._session.line is None
        ):
            return fastlane
        return None

    @property
    def places(self) -> tuple[str, ...]:
        """The channels held, and the rooms of our own."""
        return self.channels + self.rooms

    @property
    def holds_messages(self) -> bool:
        """Whether messages are held until a handler has decided."""
        return self._hold is not None

    @property
    def is_joining(self) -> bool:
        """Whether the client does not know yet that it is connected."""
        return self._hold is not None and self._hold.channel is None

    def awaits_decision(self, channel: str) -> bool:
        """Return whether a handler may still keep the client off a channel."""
        return self._hold is not None and self._hold.channel in (None, channel)

    @property
    def is_open(self) -> bool:
        """Whether the connection lasts (``Recipient``)."""
        return self.close_reason is None

    def moved(self, channel: str, *, is_on: bool) -> None:
        """Have the project told later that it was put on a channel or taken off (``Recipient``)."""
        if self.owner is not None and not self.awaits_decision(channel):
            self.owner.moved(channel, is_on=is_on)

    # --- Messages -----------------------------------------------------------------------------

    def deliver(self, outgoing: Outgoing, channels: Sequence[str] | None = None) -> None:
        """Send a message, hold it, or drop it after the end.

        :param channels: the channels that it was published on; ``None`` if on none.
        """
        if self.fastlane is not None:
            self.fastlane.write(outgoing.frames)
        elif self.close_reason is not None:
            return
        elif self._hold is None:
            transport = self._session.transport
            self.fastlane = transport.direct  # before the send, which may end the session
            transport.send(outgoing)
        else:
            self._hold_message(self._hold, outgoing, channels)

    def send(self, outgoing: Outgoing, timekeeper: Timekeeper) -> None:
        """Send a message that is for this client only, as soon as there is room for it.

        Other greenlets go on while the caller's waits. If it may not wait, or the client may still
        be refused, the message is queued. If the client has gone, the others get a turn now and
        then, because a caller with much to send waits for nothing any more.

        :param timekeeper: lets the greenlet wait.
        """
        fastlane = self.fastlane
        if (
            fastlane is not None
            and fastlane.queued <= fastlane.high_water
            and self._session.line is None
        ):  # as ``clear_lane``, without a call for each message
            fastlane.write(outgoing.frames)  # nearly always
        elif self._may_queue(self._session):
            self.deliver(outgoing)
        else:
            with self.room(outgoing, timekeeper):
                self.deliver(outgoing)

    @contextmanager
    def room(
        self, outgoing: Outgoing, timekeeper: Timekeeper, timeout: float | None = None
    ) -> Iterator[float | None]:
        """Wait until there is room for a message to this client only; send it inside the ``with``.

        A client other than the one whose event the caller handles is closed if it makes the caller
        wait for longer than the timekeeper's patience.

        :param timeout: seconds after which the message is not to be sent any more.
        :return: the seconds that are left of ``timeout``.
        """
        session = self._session
        if self._may_queue(session) or not timekeeper.may_wait():
            yield timeout
            return
        if self.close_reason is not None:
            timekeeper.dropped += 1
            if timekeeper.dropped % DROPS_PER_TURN == 0:
                timekeeper.let_others_run()
            yield timeout
            return
        is_own = self.owner is not None and self.owner.is_handled_by(getcurrent())
        limits = [timeout, None if is_own else timekeeper.patience]
        limit = min((seconds for seconds in limits if seconds is not None), default=None)
        began, waited = timekeeper.now, 0.0
        place = session.join_line(outgoing.frames)
        try:
            while not self._is_turn(session, place) and (limit is None or waited < limit):
                place.clear()
                timekeeper.wait(place, None if limit is None else limit - waited)
                waited = timekeeper.now - began
            if limit != timeout and not self._is_turn(session, place):
                session.client_refused(
                    RefusalKind.STALLED,
                    "client made other senders wait too long (SOCKETIO_STALL_TIMEOUT)",
                )
                session.close(CloseReason.TRANSPORT_ERROR)
            yield None if timeout is None else timeout - waited
        finally:
            session.leave_line(place)

    def _may_queue(self, session: Session) -> bool:
        """Return whether the client has not gone, and a message need not wait: there is room, or
        it is held.
        """
        return self.close_reason is None and (self._hold is not None or session.ask_for_room())

    def _is_turn(self, session: Session, place: Event) -> bool:
        return self.close_reason is not None or session.is_turn_of(place)

    def is_doubtful(self, channels: Sequence[str] | None) -> bool:
        """Return whether a handler may still refuse the client a message on these channels."""
        hold = self._hold
        if hold is None or hold.channel is None or channels is None:
            return hold is not None and hold.channel is None
        return not any(c in self.places for c in channels if c != hold.channel)

    def hold(self, channel: str | None, limit: int, output: QueuedOutput | None) -> None:
        """Hold messages until ``release``.

        :param channel: as in ``Hold``.
        :param limit: bytes; a client for which more are held is given up.
        :param output: as in ``Hold``.
        """
        self._hold = Hold(channel, self._session, limit, output)
        self.fastlane = None

    def release(self, *, accepted: bool) -> None:
        """Send the held messages, without the doubtful ones unless ``accepted``."""
        hold, self._hold = self._hold, None
        if hold is not None:
            self._send_held(hold.release(accepted=accepted))

    def _send_held(self, messages: Sequence[Outgoing]) -> None:
        limit_deflating(messages[1:])  # the first costs no more than if it had not waited
        for outgoing in messages:
            self._session.send(outgoing)

    def close(self, reason: CloseReason, goodbye: Outgoing | None = None) -> None:
        """Drop all messages after this; the first reason stays.

        :param goodbye: the last packet, sent behind all earlier messages; those that an
            ``on_subscribe`` handler has yet to decide on are dropped, because the goodbye must not
            wait for it. ``None``: the client has left, or was refused.
        """
        if self.close_reason is not None:
            return
        if goodbye is None:
            self.drop_held()
        elif self._hold is None or self.is_joining:
            self.deliver(goodbye)
        else:
            self._send_held((*self._hold.release(accepted=False), goodbye))
        self.close_reason = reason
        self.fastlane = None
        self._session.wake_line()  # messages that wait for room are dropped now
        if self._ledger is not None:
            self.charge_subscriptions(-PENDING_SIZE * len(self._ledger))
            self._ledger.close()

    def drop_held(self) -> None:
        """Drop the held messages, and the goodbye with them: nobody waits for them any more."""
        if self._hold is not None:
            self._hold.release(accepted=False)

    def leave_to_parent(self) -> None:
        """Send nothing from this process, which was forked from the one that has the client.

        Wake nobody, because the parent's greenlets must not run here.
        """
        self.close_reason = CloseReason.TRANSPORT_CLOSE
        self.fastlane = self.owner = None
        self._session.leave_to_parent()

    def charge_subscriptions(self, change: int) -> None:
        """Charge the client for subscriptions and pending acknowledgements (``Recipient``)."""
        if self.owner is not None:
            self.owner.charge_subscriptions(change)

    # --- Acknowledgements ---------------------------------------------------------------------

    def ask(
        self,
        ack_id: int,
        outgoing: Outgoing,
        pending: Pending,
        timekeeper: Timekeeper,
        timeout: float | None = None,
    ) -> float | None:
        """Send an event that the client must acknowledge, as soon as there is room for it.

        It goes past the hold of an ``on_subscribe`` handler, which may be waiting for the answer.

        :param timeout: seconds after which it is not sent any more.
        :return: the seconds that are left of ``timeout``; 0 or less if the event was not sent.
        """
        with self.room(outgoing, timekeeper, timeout) as left:
            if left is not None and left <= 0:
                return left
            self.expect(ack_id, pending)
            hold = self._hold
            if hold is None or hold.channel is None or self.close_reason is not None:
                self.deliver(outgoing)
            else:
                self._session.send(outgoing)
            return left

    def expect(self, ack_id: int, pending: Pending) -> None:
        """Expect the acknowledgement of ``ack_id``; after the end, report the client as gone."""
        if self.close_reason is not None:
            pending.gone(self.id)
            return
        if self._ledger is None:
            self._ledger = Ledger(self.id)
        before = len(self._ledger)
        self._ledger.add(ack_id, pending)
        if len(self._ledger) > before:
            self.charge_subscriptions(PENDING_SIZE)

    def forget_acknowledgement(self, ack_id: int) -> None:
        """Ignore the acknowledgement of ``ack_id``, should it still arrive."""
        if self._ledger is not None and self._ledger.pop(ack_id) is not None:
            self.charge_subscriptions(-PENDING_SIZE)

    def acknowledged(self, ack_id: int, answer: Answer) -> None:
        """Pass on the client's acknowledgement of ``ack_id``.

        Ignore one of a client that was not told yet that it is connected: nothing was asked, and
        the id is a guess.
        """
        if self._ledger is None or self.is_joining:
            return
        pending = self._ledger.pop(ack_id)
        if pending is not None:
            self.charge_subscriptions(-PENDING_SIZE)
            pending.answered(self.id, answer)

    def run_callback(self, callback: Callable[..., Any], answer: Answer) -> None:
        """Run a callback with the values of an acknowledgement, in a later turn of the inbox."""
        if self.owner is not None:
            self.owner.put(Acknowledged(callback, answer))

    # ------------------------------------------------------------------------------------------

    def disconnect(self, *, close: bool) -> None:
        """Take the client out of the namespace; with ``close``, end its whole session."""
        if self.owner is not None:
            self.owner.disconnect(close=close)
        elif close:  # the client left this namespace, and may be in others
            self._session.close(CloseReason.FORCED_SERVER_CLOSE)

    def close_transport(self, reason: CloseReason) -> None:
        """End the session without a word to the client, which comes back by itself."""
        self._session.close(reason)

    def _hold_message(self, hold: Hold, outgoing: Outgoing, channels: Sequence[str] | None) -> None:
        if not hold.keep(outgoing, doubtful=self.is_doubtful(channels)):
            self._session.send(outgoing)
        elif hold.overflows:
            self._session.client_refused(
                RefusalKind.QUEUED,
                "too many bytes were held back for the client (SOCKETIO_MAX_QUEUED_BYTES)",
            )
            self._session.close(CloseReason.TRANSPORT_ERROR)
