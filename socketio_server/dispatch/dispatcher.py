"""Turns packets into events: which handlers run, when, in which order, and how an exception of
theirs is handled.

The one place where a connection's life is told: connect, events, and the end exactly once.
Everything here but ``accept`` and the timeouts runs in worker greenlets, one item after another per
socket.
"""

import contextvars
import logging
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from gevent.event import Event as GeventEvent
from greenlet import getcurrent

from socketio_server.dispatch import validation
from socketio_server.dispatch.client_account import InputTotal
from socketio_server.dispatch.decoded import DecodedRoom
from socketio_server.dispatch.happenings import Happening
from socketio_server.dispatch.inbox import size_of
from socketio_server.dispatch.member import Item, Left, Member, MemberRouter, Move
from socketio_server.dispatch.middleware import NO_ANSWER, CallNext, EventCall
from socketio_server.dispatch.rights import DENIED, Grant, Rights, bind, refusal_of
from socketio_server.dispatch.router import NamespaceRouter
from socketio_server.dispatch.unhandled import Unhandled
from socketio_server.engine.session import Session
from socketio_server.engine.transports.base import Outgoing
from socketio_server.exceptions import DecodeError, Reject, ValidationError
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.log import place_of, show
from socketio_server.net.loop import Loop
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Stats
from socketio_server.net.turns import LARGE
from socketio_server.net.workers import Pool
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import (
    MESSAGE,
    RESERVED_HEAD,
    SOCKET_ID_HEAD,
    SUBSCRIBE,
    UNSUBSCRIBE,
    USER_ROOM_HEAD,
    may_be_socket_id,
)
from socketio_server.protocol.socketio import (
    Packet,
    PacketType,
    decode,
    decode_kept,
    estimate_size,
)
from socketio_server.registry.events import Event, Registration, Registry
from socketio_server.registry.signatures import describe
from socketio_server.sockets.acknowledgements import Acknowledged
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.delivery import Delivery
from socketio_server.sockets.socket import Socket

SOCKET_ID_BYTES = 13
"""Random bytes of a public id. With its head it has 20 characters, as Node's, and the most that
django-socketio's users had room for."""


_ACKNOWLEDGEMENT = Event("acknowledgement", arguments=None, always=True)
"""The event that middleware and the log see when a client's acknowledgement goes to a callback."""

logger = logging.getLogger("socketio_server")


WrapHandler = Callable[[Callable[..., Any], Callable[[Any], bool]], Callable[..., Any]]
"""The type of ``EventHooks.wrap_handler``."""


class EventHooks(Protocol):
    """The work of the layer above around handlers; it knows Django, the dispatcher does not."""

    refusals: tuple[type[Exception], ...]
    """Exceptions that a handler may raise, besides ``Reject``, to refuse a client."""

    def capture(self, request: Any) -> Any:
        """Return the state that the project's middleware activated for a request, besides context
        variables; ``None`` if there is none.

        Runs in the greenlet of the handshake.
        """

    def request_size(self, request: Any) -> int:
        """Estimate how many bytes of a handshake's request are kept as long as its session."""

    def restore(self, captured: Any) -> None:
        """Activate the captured state again, in the worker's greenlet."""

    def watch(self, request: Any, router: MemberRouter) -> None:
        """Prepare the request of a client that joins a namespace for handlers. Idempotent."""

    def join_user_room(self, request: Any) -> None:
        """Tell the router which user the client is (``MemberRouter.user_is``), unless it was
        told already.
        """

    def before_event(self) -> None:
        """Prepare for an event's handlers, in a worker that is dirty (see ``Worker``)."""

    def after_event(self, request: Any) -> None:
        """Clean up after an event's handlers, even if they raised, in a worker that is dirty.

        :param request: the client's; ``None``: the event is another server's.
        :raises Exception: if what the handlers left to be saved can't be saved.
        """

    def forget_changes(self, request: Any) -> None:
        """Save nothing of what handlers of the current event have changed so far: one raised, or
        refused.
        """

    wrap_handler: WrapHandler | None
    """Returns the wrapper to call instead of a handler, given what tells whether the value that it
    returns refuses the client; ``None``: call the handler itself."""

    def tell(self, happening: Happening, socket: Socket, **details: Any) -> None:
        """Tell the project what happened to a socket; must not raise."""

    def report_exception(self, socket: Socket, event_name: str, error: BaseException) -> None:
        """Report a handler's exception, besides the log; must not raise."""

    def find_mistake(self, result: Any) -> str | None:
        """Describe the mistake in a handler's return value, if it can't be meant."""

    logs_messages: bool
    """Whether ``log_message`` does anything."""

    def log_message(self, request: Any, kind: str, message: Any) -> None:
        """Log that a client subscribed, unsubscribed or sent a message."""


class Dispatcher:
    """Runs the handlers of one server (``RouterKeeper``, ``InboxKeeper``).

    :param registry: the handlers.
    :param clients: the registry of clients.
    :param stats: counts events.
    :param clock: a monotonic clock, in seconds.
    :param unhandled: told of events for which no handler ran, and of handlers that refuse clients;
        ``None``: nobody is told.
    :param middleware: wraps every event, if there is any.
    :param grants: what all clients of the process were let do, if it has several dispatchers.
    :param on_raised: called with each exception of a handler, besides the log and ``on_error``.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        clients: Clients[Socket],
        hooks: EventHooks,
        pool: Pool,
        loop: Loop,
        options: Options,
        stats: Stats,
        clock: Callable[[], float],
        unhandled: Unhandled | None = None,
        middleware: CallNext | None = None,
        grants: dict[Member, Grant] | None = None,
        on_raised: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.options = options
        self.stats = stats
        self.pool = pool
        self.clock = clock
        self.encoder = clients.encoder
        self.old_encoder = clients.old_encoder
        self._registry = registry
        self._clients = clients
        self._hooks = hooks
        self.refusals: tuple[type[Exception], ...] = (Reject, *hooks.refusals)
        """Exceptions that refuse a client (``Court``)."""
        self.rights = Rights(registry, clients, self, stats, {} if grants is None else grants)
        """What the clients were let do."""
        self._unhandled = unhandled
        self._middleware = middleware
        self._on_raised = on_raised
        self._unjoined: Deadlines[NamespaceRouter] = Deadlines(
            loop,
            options.connect_timeout,
            self._connect_timed_out,
            clock=clock,
            on_raised=NamespaceRouter.callback_raised,
        )
        self._assembling: Deadlines[NamespaceRouter] = Deadlines(
            loop,
            options.attachment_timeout,
            self._attachments_timed_out,
            clock=clock,
            on_raised=NamespaceRouter.callback_raised,
        )
        self.total = InputTotal(options.max_pending_total)
        """Counts what all clients make the server hold (``RouterKeeper``)."""
        self.room = DecodedRoom(loop, options, clock=clock)
        """The room for decoded packets (``InboxKeeper``)."""
        self._live = 0  # members that were accepted, or may yet be, and have not ended
        self._idle = GeventEvent()  # set while there are none
        self._idle.set()

    def accept(self, session: Session, request: Any) -> NamespaceRouter:
        """Make the handler of a new session; must run in the greenlet of its handshake.

        Handlers run in a copy of the context variables of that greenlet, and with the other state
        that the project's middleware activated, because the request's language must be active in
        them too.
        """
        captured = self._hooks.capture(request)
        router = NamespaceRouter(session, request, contextvars.copy_context(), captured, self)
        self._unjoined.add(router)
        return router

    def request_size(self, request: Any) -> int:
        """Estimate how many bytes a handshake's request takes (``RouterKeeper``)."""
        return self._hooks.request_size(request)

    def has_namespace(self, namespace: str) -> bool:
        """Return whether clients may join a namespace (``RouterKeeper``)."""
        return self._registry.has_namespace(namespace)

    def add_member(
        self, router: NamespaceRouter, namespace: str, auth: Any, auth_size: int
    ) -> Member:
        """Return the new member for a client that asks to join a namespace (``RouterKeeper``)."""
        socket_id = SOCKET_ID_HEAD + secrets.token_urlsafe(SOCKET_ID_BYTES)
        delivery = Delivery(socket_id, namespace, router.session)
        socket = Socket(delivery, self._clients, request=router.request, auth=auth)
        member = Member(
            self,
            router.scope.copy(),
            router=router,
            delivery=delivery,
            socket=socket,
            auth_size=auth_size,
        )
        self._unjoined.discard(router)
        self._live += 1
        self._idle.clear()
        return member

    def user_is(self, member: Member, room: str | None) -> None:
        """Put a member into the room of its user (``RouterKeeper``)."""
        delivery = member.delivery
        if self._clients.has_client(delivery.id, delivery.namespace):
            for held in delivery.rooms:
                if held != room and held.startswith(USER_ROOM_HEAD):
                    self._clients.leave(delivery, held)
            if room is not None:
                self._clients.enter(delivery, room)

    def router_closed(self, router: NamespaceRouter) -> None:
        """The router's session is over (``RouterKeeper``)."""
        self._unjoined.discard(router)
        self._assembling.discard(router)

    def attachments_due(self, router: NamespaceRouter) -> None:
        """A binary packet waits for its attachments (``RouterKeeper``)."""
        self._assembling.add(router)

    def attachments_came(self, router: NamespaceRouter) -> None:
        """A binary packet is complete (``RouterKeeper``)."""
        self._assembling.discard(router)

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until every socket's last handler has run.

        :return: ``False`` if ``timeout`` seconds passed first.
        """
        self._clients.timekeeper.wait(self._idle, timeout)
        return self._idle.is_set()

    def _connect_timed_out(self, router: NamespaceRouter) -> None:
        router.session.client_refused(
            RefusalKind.CONNECT_TIMEOUT, "client joined no namespace in time"
        )
        router.session.close(CloseReason.FORCED_CLOSE)

    def _attachments_timed_out(self, router: NamespaceRouter) -> None:
        router.refuse_packet(DecodeError("attachments did not arrive in time"))

    def forget(self, member: Member) -> None:
        """Unregister a member that has no items left to handle. Idempotent."""
        delivery = member.delivery
        if delivery.owner is not None:
            delivery.owner = None
            self.rights.forget(member)
            self._clients.discard(delivery)
            member.router.member_finished(member)
            self._live -= 1
            if not self._live:
                self._idle.set()

    def decoded_size(self, item: Item) -> int:
        """Estimate how many bytes an item takes once it is decoded (``InboxKeeper``)."""
        if isinstance(item, (Move, Left, PacketType, CloseReason)):
            return 0
        return estimate_size(item.answer.kept if isinstance(item, Acknowledged) else item)

    # ------------------------------------------------------------------------------------------

    def handle(self, member: Member, item: Item) -> None:
        """Handle one item; items after the last handler are dropped (``InboxKeeper``)."""
        delivery = member.delivery
        delivery.handler = getcurrent()
        try:
            captured = member.router.captured
            if captured is not None:
                self._hooks.restore(captured)
            if delivery.owner is None:
                return
            if type(item) is str:
                packet = decode(item)  # nearly always
                if len(item) > LARGE:  # to decode it took a turn
                    self._take_turn()
                self._event(member, packet)
            elif isinstance(item, PacketType):
                self._connect(member)
            elif isinstance(item, CloseReason):
                self._end(member)
            elif isinstance(item, Acknowledged):
                self._acknowledged(member, item)
            elif isinstance(item, Move):
                tell = member.subscribed if item.is_on else member.unsubscribed
                tell(item.channel)
            elif isinstance(item, Left):
                self._left(member, item.channel)
            else:
                pause = self._take_turn if size_of(item) > LARGE else None
                packet = decode_kept(item, pause)
                if pause is not None:
                    pause()
                self._event(member, packet)
        except DecodeError as error:
            member.drop_events()
            member.router.weigh()
            member.router.refuse_packet(error)
        except Exception:  # a fault of ours must end neither the worker nor the inbox
            logger.exception("Internal error while handling an event of socket %s", delivery.id)
        finally:
            if type(item) is CloseReason:  # unregister the member even after an exception
                self.forget(member)
            delivery.handler = None

    def _take_turn(self) -> None:
        """Let others be served between two parts of the work on a large packet."""
        self.pool.take_turn(is_large=True)

    # ------------------------------------------------------------------------------------------

    def _connect(self, member: Member) -> None:
        """Run ``on_connect``, then answer; no message reaches the client before the answer."""
        event, delivery = self._registry.on_connect, member.delivery
        delivery.hold(None, self.options.max_queued_bytes, self._clients.output)
        self._clients.add(delivery, member.socket)
        self._clients.broker.listen(delivery.namespace)
        self.user_is(member, member.router.user_room)
        self._hooks.watch(member.socket.request, member.router)
        self.rights.connecting(member)
        refusal = self._fire_refusable(member, event, event.select(delivery.namespace, ()), ())
        if refusal is not None:
            self.forget(member)
            delivery.close(CloseReason.SERVER_NAMESPACE_DISCONNECT)
            member.router.refuse(member, *refusal)
            member.release_messages(accepted=False)
        else:
            self._join_user_room(member)
            member.router.answer(member)
            member.release_messages(accepted=True)
            self.tell(member, Happening.CLIENT_CONNECTED)
            for channel in delivery.channels:
                member.subscribed(channel)

    def _join_user_room(self, member: Member) -> None:
        """Find out which user a client is, so that messages to the user reach it, and with which
        rights it was let in.
        """
        try:
            self.rights.connected(member)
            self._hooks.join_user_room(member.socket.request)
        except Exception as error:
            key = ("user", type(error), place_of(error))
            more = self.stats.refusals.throttle(key, member.router.session.key)
            if more is not None:
                text = "Messages to a user do not reach socket %s: its user can't be read%s"
                logger.error(text, member.delivery.id, more, exc_info=error)
            self._hooks.forget_changes(member.socket.request)
        self._clean_up(member, "on_connect")

    def _event(self, member: Member, packet: Packet) -> None:
        """Run the handlers of a client's event, and acknowledge it with their answer."""
        data = packet.data
        name = data[0]
        args: Sequence[Any]
        if name == MESSAGE:
            event = self._registry.on_message
            # Several arguments reach the handler as one list.
            args = (data[1] if len(data) == 2 else data[1:] or None,)
            if self._hooks.logs_messages:
                self._hooks.log_message(member.socket.request, "message", args[0])
        elif name in self._registry.custom:
            event = self._registry.custom[name]
            args = data[1:]
        else:
            self._control(member, packet, name)
            return
        handlers = member.select(event)
        if not handlers and self._unhandled is not None:
            self._unhandled.event(name, packet.namespace, member.delivery.channels)
        answer = self._fire(member, event, handlers, args)
        if (
            packet.ack_id is not None
            and answer is not NO_ANSWER
            and (handlers or answer is not None)
        ):
            self._acknowledge(member, packet, answer, handlers)

    def _control(self, member: Member, packet: Packet, name: str) -> None:
        """Handle an event that is for the server itself; ignore an unknown one."""
        if name == SUBSCRIBE:
            self._subscribe(member, packet)
        elif name == UNSUBSCRIBE:
            self._unsubscribe(member, packet)
        elif self._unhandled is not None:
            self._unhandled.event(name, packet.namespace, member.delivery.channels)

    def _subscribe(self, member: Member, packet: Packet) -> None:
        """Run ``authorize``, put the socket on the channel, then run ``on_subscribe``; both may
        refuse.
        """
        channel = self._channel_of(packet)
        if channel is None:
            self._refuse_channel(member, packet, "invalid")
            return
        why = self._find_obstacle(channel)
        if why is not None:
            self._refuse_channel(member, packet, why, f"Invalid channel: {why}")
            return
        held = member.delivery.channels
        if channel not in held and len(held) >= self.options.max_channels:
            self._refuse_channel(member, packet, "more than SOCKETIO_MAX_CHANNELS")
            return
        refusal = self._authorize(member, channel)
        is_guarded = refusal is None and self.rights.has_asked(member, channel)
        if refusal is not None:
            self.rights.refused(member, channel, refusal[0])
            self._acknowledge(member, packet, _error_of(*refusal))
            return
        event = self._registry.on_subscribe
        handlers = event.select_for(member.delivery.namespace, channel)
        if channel not in held and (handlers or self._middleware is not None):
            member.delivery.hold(channel, self.options.max_queued_bytes, self._clients.output)
        is_open = member.delivery.awaits_decision(channel)
        changed = member.socket.subscribe(channel)
        self.rights.subscribed(member, channel)
        if not handlers and self._unhandled is not None:
            self._unhandled.subscription(channel, packet.namespace)
        refusal = self._fire_refusable(member, event, handlers, (channel,))
        if refusal is None and is_guarded and self.rights.has_lost(member, channel):
            refusal = DENIED, None
        if refusal is not None:
            member.socket.unsubscribe(channel)
            self.rights.unsubscribed(member, channel)
            member.release_messages(accepted=False)
            self._acknowledge(member, packet, _error_of(*refusal))
        else:
            member.release_messages(accepted=True)
            self._acknowledge(member, packet, changed)
            if is_open and channel in member.delivery.channels:
                member.subscribed(channel)
            self._hooks.log_message(member.socket.request, "subscribe", channel)

    def _authorize(self, member: Member, channel: str) -> tuple[str, Any] | None:
        """Run the ``authorize`` handlers of a channel, all of which must let the client in.

        :return: as ``_fire_refusable``.
        """
        event, namespace = self._registry.authorize, member.delivery.namespace
        handlers = event.select_for(namespace, channel)
        if handlers:
            self.rights.asked(member, channel)
            is_guarded = self.rights.has_asked(member, channel)
            refusal = self._fire_refusable(member, event, bind(handlers, channel), (channel,))
            if refusal is None and is_guarded and self.rights.has_lost(member, channel):
                return DENIED, None
            return refusal
        if self.options.subscribe_default == "allow":
            return None
        if self._unhandled is not None:
            self._unhandled.denied(channel, namespace)
        return DENIED, None

    def _unsubscribe(self, member: Member, packet: Packet) -> None:
        channel = self._channel_of(packet)
        if channel is None or channel.startswith(RESERVED_HEAD):
            self._refuse_channel(member, packet, "invalid")
            return
        changed = member.socket.unsubscribe(channel)
        self.rights.unsubscribed(member, channel)
        self._run_unsubscribe(member, channel)
        self._acknowledge(member, packet, changed)
        self._hooks.log_message(member.socket.request, "unsubscribe", channel)

    def _left(self, member: Member, channel: str) -> None:
        """Run ``on_unsubscribe`` for a channel that the client was taken off."""
        self._run_unsubscribe(member, channel)
        self._hooks.log_message(member.socket.request, "unsubscribe", channel)

    def _run_unsubscribe(self, member: Member, channel: str) -> None:
        event = self._registry.on_unsubscribe
        self._fire(member, event, event.select_for(member.delivery.namespace, channel), (channel,))

    def _refuse_channel(
        self, member: Member, packet: Packet, why: str, answer: str = "Invalid channel"
    ) -> None:
        """Refuse a channel whose name is invalid, or that is one too many."""
        named = show(str(packet.data[1])) if len(packet.data) > 1 else "none"
        member.router.session.client_refused(RefusalKind.CHANNEL, f"channel {named}: {why}")
        self._acknowledge(member, packet, {"error": answer})

    def _acknowledged(self, member: Member, item: Acknowledged) -> None:
        """Run the callback of a client's acknowledgement."""
        values = item.answer.values()
        if size_of(item) > LARGE:
            self._take_turn()
        registration = Registration(item.run, None, member.delivery.namespace, ())
        self._fire(member, _ACKNOWLEDGEMENT, (registration,), values)

    def _end(self, member: Member) -> None:
        """Run the last handlers, all of which still see the socket on its channels."""
        registry = self._registry
        self._fire_last(member, registry.on_disconnect)
        for channel in member.delivery.channels:
            self._fire_last(member, registry.on_unsubscribe, channel)
        self._fire_last(member, registry.on_finish)
        self._tell_end(member)

    def _tell_end(self, member: Member) -> None:
        """Tell the project that a client has gone, and is to be found no more."""
        delivery = member.delivery
        channels, reason = delivery.channels, delivery.close_reason
        self._clients.discard(delivery)
        for channel in channels:
            self.tell(member, Happening.CHANNEL_UNSUBSCRIBED, channel=channel, reason=reason)
        self.tell(member, Happening.CLIENT_DISCONNECTED, reason=reason)

    def _fire_last(self, member: Member, event: Event, *channel: str) -> None:
        """Run the handlers of one of the last events; an error must not stop the other events."""
        try:
            if channel:
                handlers = event.select_for(member.delivery.namespace, *channel)
            else:
                handlers = member.select(event)
            self._fire(member, event, handlers, channel)
        except Exception:
            logger.exception("Internal error in %s of socket %s", event.name, member.delivery.id)

    def _channel_of(self, packet: Packet) -> str | None:
        """Return the channel that a client names, or ``None`` if the name is not valid."""
        if len(packet.data) != 2 or not isinstance(packet.data[1], str):
            return None
        channel: str = packet.data[1]
        fits = 0 < len(channel) <= self.options.max_channel_length and channel.isprintable()
        return channel if fits else None

    def tell(self, member: Member, happening: Happening, **details: Any) -> None:
        """Tell the project what happened to a socket (``RouterKeeper``)."""
        self._hooks.tell(happening, member.socket, **details)

    def _find_obstacle(self, channel: str) -> str | None:
        """Return why no client may subscribe to a channel of this name."""
        if channel.startswith(RESERVED_HEAD):
            return f"it begins with {RESERVED_HEAD!r}, which is reserved"
        if may_be_socket_id(channel, of_node=self.options.broker_shared_with_node):
            return "it could be the id of a socket"  # what is sent to that is for the socket only
        return None

    def _acknowledge(
        self,
        member: Member,
        packet: Packet,
        answer: Any,
        handlers: Sequence[Registration] = (),
    ) -> None:
        """Acknowledge a packet, if it has an id; a tuple gives several values, ``None`` none."""
        if packet.ack_id is None:
            return
        values = () if answer is None else answer if isinstance(answer, tuple) else (answer,)
        try:
            encoded = self.encoder.ack(packet.ack_id, values, namespace=packet.namespace)
        except TypeError as error:  # the handler's answer can't be encoded
            names = " or ".join(describe(registration.handler) for registration in handlers)
            why = f"{names or 'middleware'} returned a value that can't be sent: {error}"
            self._handler_raised(member, packet.data[0], TypeError(why))
            self._clean_up(member, packet.data[0])
        else:
            outgoing = Outgoing(engineio.MESSAGE + encoded.text, encoded.attachments)
            member.delivery.send(outgoing, self._clients.timekeeper)

    def ask(self, member: Member, event: Event, handlers: Sequence[Registration], arg: str) -> Any:
        """Return the answer of handlers that may refuse (``Court``)."""
        return self._fire(member, event, handlers, (arg,))

    def restore(self, captured: Any) -> None:
        """Activate the captured state of a client's handshake (``Court``)."""
        self._hooks.restore(captured)

    def raised(self, error: BaseException) -> None:
        """Pass on what a handler has raised, besides the log (``Court``)."""
        if self._on_raised is not None:
            self._on_raised(error)

    def _fire(
        self, member: Member, event: Event, handlers: Sequence[Registration], args: Sequence[Any]
    ) -> Any:
        """Run an event's handlers, inside of the middleware.

        :return: the first answer that is not ``None``; ``NO_ANSWER`` if a handler raised and none
            answered.
        :raises Reject: or another refusal, if a handler refuses an event that can be refused.
        """
        if not handlers and self._middleware is None:
            return None
        worker = member.delivery.handler
        if getattr(worker, "is_dirty", False):
            self._hooks.before_event()
        try:
            if self._middleware is None:
                return self._run(member, event, handlers, args)
            return self._run_middleware(self._middleware, member, event, handlers, args)
        except BaseException:
            self._hooks.forget_changes(member.socket.request)
            raise
        finally:
            self.stats.events += 1
            if getattr(worker, "is_dirty", False):
                self._clean_up(member, event.name)

    def _clean_up(self, member: Member, event_name: str) -> None:
        """Clean up after an event; what can't be saved is an error of its handlers."""
        if not getattr(getcurrent(), "is_dirty", False):
            return
        request = member.socket.request
        try:
            self._hooks.after_event(request)
        except BaseException as error:  # ends no more than the event
            if isinstance(error, KeyboardInterrupt):
                raise
            self._handler_raised(member, event_name, error)
            self._hooks.forget_changes(request)  # of on_error, which could not be saved either
            self._hooks.after_event(request)

    def _fire_refusable(
        self, member: Member, event: Event, handlers: Sequence[Registration], args: Sequence[Any]
    ) -> tuple[str, Any] | None:
        """Run the handlers of an event that they may refuse.

        An exception refuses the client too: a check whose database fails lets nobody in.

        :return: the message and data for a refused client; ``None`` if it is accepted.
        """
        try:
            answer = self._fire(member, event, handlers, args)
        except self.refusals as error:
            return refusal_of(error)
        except BaseException as error:  # ends no more than the connection
            if isinstance(error, KeyboardInterrupt):
                raise
            self._handler_raised(member, event.name, error)
            self._clean_up(member, event.name)
            return "Internal error", None
        if event.must_grant:
            return None if answer else (DENIED, None)
        return refusal_of(Reject()) if answer is False else None

    def _run_middleware(
        self,
        middleware: CallNext,
        member: Member,
        event: Event,
        handlers: Sequence[Registration],
        args: Sequence[Any],
    ) -> Any:
        call = EventCall(
            event.name, member.socket, args, partial(self._run, member, event, handlers)
        )
        try:
            answer = middleware(call)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # ends no more than the handler
            if event.can_refuse:
                raise
            if event.answers and isinstance(error, self.refusals):
                self._hooks.forget_changes(member.socket.request)
                return _error_of(*refusal_of(error))
            self._handler_raised(member, event.name, error)
            return NO_ANSWER
        return NO_ANSWER if call.raised and answer is None else answer

    def _run(
        self,
        member: Member,
        event: Event,
        handlers: Sequence[Registration],
        args: Sequence[Any],
    ) -> Any:
        answer: Any = None
        raised = False
        socket, wrap = member.socket, self._hooks.wrap_handler
        for registration in handlers:
            try:
                handler = registration.handler
                if wrap is not None:
                    handler = wrap(handler, event.is_refusal)
                own = validation.convert(registration.types, args) if registration.types else args
                result = handler(socket.request, socket, socket.context, *own)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # ends no more than the handler
                if isinstance(error, TypeError) and event.arguments is None:
                    _note_arguments(error, registration, event.name, args)
                if event.can_refuse:
                    if self._unhandled is not None and isinstance(error, self.refusals):
                        self._unhandled.refusal(event, registration, error)
                    raise
                if event.answers and isinstance(error, self.refusals):
                    self._hooks.forget_changes(member.socket.request)
                    if self._unhandled is not None:
                        self._unhandled.refusal(event, registration, error)
                    if answer is None:
                        answer = _error_of(*refusal_of(error))
                    continue
                raised = True
                self._handler_raised(member, event.name, error)
                if isinstance(error, ValidationError) and answer is None:
                    answer = {"error": str(error)}
            else:
                if result is not None:
                    if not self._is_meant(member, event, registration, result):
                        raised = True
                    elif answer is None:
                        answer = result
                elif event.must_grant:
                    self._refuse(event, registration, result)
        return NO_ANSWER if raised and answer is None else answer

    def _is_meant(
        self, member: Member, event: Event, registration: Registration, result: Any
    ) -> bool:
        """Return whether a handler's return value can be meant; if not, it is an error of the
        handler.

        :raises Reject: if the event can be refused, and the value refuses or can't be meant.
        """
        mistake = self._hooks.find_mistake(result)
        if mistake is not None:
            why = f"{describe(registration.handler)} returned {mistake}"
            self._handler_raised(member, event.name, TypeError(why))
            if event.can_refuse:
                raise Reject
        elif event.is_refusal(result):
            self._refuse(event, registration, result)
        return mistake is None

    def _refuse(self, event: Event, registration: Registration, result: Any) -> None:
        """Refuse the client, because of what a handler returned.

        :raises Reject: always.
        """
        if self._unhandled is not None:
            self._unhandled.refusal(event, registration, result=result)
        raise Reject(DENIED) if event.must_grant else Reject

    def _handler_raised(self, member: Member, event_name: str, error: BaseException) -> None:
        """Log a handler's exception, and run ``on_error``; the connection goes on.

        A client that makes a handler raise with every message must not fill the log: the same
        exception from the same place is logged once in a while for each session, because a client
        gets a new socket as often as it joins.
        """
        if isinstance(error, ValidationError):  # the client's fault, not the handler's
            why = (
                f"invalid message to {event_name} from socket {member.delivery.id}: "
                f"{show(str(error))}"
            )
            member.router.session.client_refused(RefusalKind.MESSAGE, why)
        else:
            more = self.stats.refusals.throttle(
                (event_name, type(error), place_of(error)), member.router.session.key
            )
            if more is not None:
                _log_raised(error, event_name, member.delivery.id, more)
                self._hooks.report_exception(member.socket, event_name, error)
            self.tell(member, Happening.HANDLER_FAILED, event=event_name, exception=error)
        self._hooks.forget_changes(member.socket.request)
        if self._on_raised is not None:
            self._on_raised(error)
        on_error = self._registry.on_error
        if event_name != on_error.name:
            self._run(member, on_error, member.select(on_error), (error,))


def _note_arguments(
    error: TypeError, registration: Registration, event_name: str, args: Sequence[Any]
) -> None:
    """Add to a custom event's error, if the call itself has failed, what the handler was given."""
    traceback = error.__traceback__
    if traceback is not None and traceback.tb_next is None:
        error.add_note(
            f"{describe(registration.handler)} got request, socket, context and, from the client, "
            f"{len(args)} arguments of the event {show(event_name)}"
        )


def _log_raised(error: BaseException, event_name: str, socket_id: str, more: str) -> None:
    if isinstance(error, Reject):
        text = (
            "Handler of %s raised %r for socket %s, which refuses nothing there: the event has "
            "happened already (%s:%s)%s"
        )
        place = place_of(error) or ("?", 0)
        logger.error(text, event_name, error, socket_id, *place, more)
    else:
        text = "Handler of %s raised for socket %s%s"
        logger.error(text, event_name, socket_id, more, exc_info=error)


def _error_of(message: str, data: Any) -> dict[str, Any]:
    """Return the acknowledgement of a refused client."""
    return {"error": message} if data is None else {"error": message, "data": data}
