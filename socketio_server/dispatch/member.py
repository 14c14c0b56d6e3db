"""A client in a namespace, as the dispatcher keeps it."""

from contextvars import Context
from typing import Any, NamedTuple, Protocol

from greenlet import greenlet

from socketio_server.dispatch.happenings import Happening
from socketio_server.dispatch.inbox import Account, Inbox, InboxKeeper
from socketio_server.engine.session import Session
from socketio_server.exceptions import DecodeError
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.socketio import Assembly, Kept, PacketType
from socketio_server.registry.events import Event, Registration
from socketio_server.sockets.acknowledgements import Acknowledged
from socketio_server.sockets.delivery import Delivery
from socketio_server.sockets.socket import Socket


class Move(NamedTuple):
    """The client was put on a channel, or taken off it, by code that handles none of its events."""

    channel: str
    is_on: bool


class SubscriptionRevoked(NamedTuple):
    """The client was taken off a channel that it may no longer be on: ``on_unsubscribe`` is to
    run.
    """

    channel: str


Item = str | bytes | Assembly | Acknowledged | Move | SubscriptionRevoked | PacketType | CloseReason
"""The items of an inbox, in order: ``CONNECT``; events, not yet decoded (``socketio.Kept``),
acknowledgements, moves and revoked subscriptions; at the end why the connection ended."""


_LIFE = (Move, SubscriptionRevoked, PacketType, CloseReason)
"""The items that are not the client's events."""


_NOTHING_SELECTED: dict[Event, tuple[Registration, ...]] = {}


class MemberRouter(Account, Protocol):
    """Routes a client's packets to its members, one per namespace."""

    @property
    def session(self) -> Session:
        """The session that carries the packets."""

    @property
    def captured(self) -> Any:
        """The captured state that the dispatcher's hooks restore for the handlers."""

    @property
    def user_room(self) -> str | None:
        """The room of the client's user, if it is known to have one."""

    def charge(self, change: int) -> None:
        """Charge the client for more bytes, or for fewer if ``change`` is negative."""

    def charge_subscriptions(self, change: int) -> None:
        """Charge the client for subscriptions and pending acknowledgements, if they are many."""

    def answer(self, member: "Member") -> None:
        """Tell the client that it joined the namespace, and under which id."""

    def refuse(self, member: "Member", message: str, data: Any) -> None:
        """Tell the client that it may not join the namespace, and why."""

    def leave_out(self, member: "Member") -> None:
        """Forget a member that could not join, and whose last handlers are not to run."""

    def refuse_packet(self, error: DecodeError) -> None:
        """End the session, because a packet can't be understood."""

    def messages_released(self, member: "Member") -> None:
        """The messages that were held for a member are sent."""

    def disconnect(
        self, member: "Member", reason: CloseReason = CloseReason.SERVER_NAMESPACE_DISCONNECT
    ) -> None:
        """Take a member out of its namespace, and drop its waiting events."""

    def disconnect_all(self) -> None:
        """Take the client out of all namespaces, and end its session."""

    def is_handled_by(self, caller: greenlet) -> bool:
        """Return whether a greenlet handles an event of the client, in any of its namespaces."""

    def tell(self, member: "Member", happening: Happening, **details: Any) -> None:
        """Tell the project what happened to a member's socket; never raises."""

    def taken_off(self, member: "Member", channel: str) -> None:
        """A member was taken off a channel; called at once, before it may be put on it again."""

    def set_user_room(self, room: str | None) -> None:
        """Note the client's user, by its room, and put the members into the room."""

    def member_finished(self, member: "Member") -> None:
        """A member's last handler has run, or no handler will."""


class Member(Inbox[Item]):
    """One client's membership of a namespace: its socket, and the inbox of its events.

    It is an inbox, and does not just have one, because each of the two would keep the other alive.
    It and the socket's delivery refer to each other until the last handler has run
    (``Delivery.owner``); a router lets go of its members when they leave. So all of them are freed
    by reference counting, without the garbage collector.
    """

    __slots__ = (
        "_selected_for",
        "_selections",
        "auth_cost",
        "auth_packet",
        "auth_size",
        "delivery",
        "is_postponed",
        "router",
        "socket",
    )

    def __init__(
        self,
        keeper: InboxKeeper,
        scope: Context,
        *,
        router: MemberRouter,
        delivery: Delivery,
        socket: Socket,
        auth_size: int = 0,
    ) -> None:
        super().__init__(keeper, router, scope)
        self.router = router
        self.auth_size = auth_size
        """Characters of the client's auth, before it was decoded."""
        self.auth_cost = 0
        """Bytes that it takes, about."""
        self.auth_packet: Kept | None = None
        """The packet that it came with, until it is decoded."""
        self.is_postponed = False
        """Whether it joins when its predecessor's last handler has run."""
        self.socket = socket
        """The socket that handlers get."""
        self.delivery = delivery
        """Sends the socket's messages to the client."""
        delivery.owner = self
        # By event, its handlers for the channels in _selected_for; none until the first select().
        self._selections: dict[Event, tuple[Registration, ...]] = _NOTHING_SELECTED
        self._selected_for: tuple[str, ...] | None = None

    def postpone(self) -> None:
        """Join when ``start`` is called."""
        self.is_postponed = True
        super().postpone()

    def start(self) -> None:
        """Begin to handle the waiting items."""
        self.is_postponed = False
        super().start()

    def drop_events(self) -> None:
        """Drop the client's waiting events; its joining and its end are still handled."""
        self.drop(but=_LIFE)

    def select(self, event: Event) -> tuple[Registration, ...]:
        """Return an event's handlers for the socket's present channels.

        The selection is kept until the channels change: patterns are not matched again for each
        message.
        """
        channels = self.delivery.channels
        if channels is not self._selected_for:
            self._selected_for = channels
            self._selections = {}
        selection = self._selections.get(event)
        if selection is None:
            selection = event.select(self.delivery.namespace, channels)
            self._selections[event] = selection
        return selection

    def copy_scope(self) -> Context:
        """Return a copy of the context variables of the client's handlers."""
        return self._scope.copy()

    def release_messages(self, *, accepted: bool) -> None:
        """Send the held messages, without the doubtful ones unless ``accepted``."""
        self.delivery.release(accepted=accepted)
        self.router.messages_released(self)

    def is_handled_by(self, caller: greenlet) -> bool:
        """Return whether a greenlet handles an event of the client (``SocketOwner``)."""
        return self.router.is_handled_by(caller)

    def charge_subscriptions(self, change: int) -> None:
        """Charge the client for subscriptions and pending acknowledgements (``SocketOwner``)."""
        self.router.charge_subscriptions(change)

    def subscribed(self, channel: str) -> None:
        """Tell the project of a channel that the socket is on now (``SocketOwner``)."""
        self.tell_moved(Move(channel, is_on=True))

    def unsubscribed(self, channel: str) -> None:
        """Tell the project of a channel that the socket is on no more (``SocketOwner``)."""
        self.router.taken_off(self, channel)
        self.tell_moved(Move(channel, is_on=False))

    def moved(self, channel: str, *, is_on: bool) -> None:
        """Tell the project later, as one of the client's events (``SocketOwner``)."""
        if not is_on:
            self.router.taken_off(self, channel)
        self.put(Move(channel, is_on))

    def tell_moved(self, move: Move) -> None:
        """Tell the project that the socket is on a channel, or no more."""
        if move.is_on:
            self.router.tell(self, Happening.CHANNEL_SUBSCRIBED, channel=move.channel)
        else:
            happening = Happening.CHANNEL_UNSUBSCRIBED
            self.router.tell(self, happening, channel=move.channel, reason=None)

    def disconnect(self, *, close: bool) -> None:
        """Take the client out of the namespace, or of all (``SocketOwner``)."""
        if close:
            self.router.disconnect_all()
        else:
            self.router.disconnect(self)
