"""Turns packets into events: which handlers run, when, and in which order.

The one place where a connection's life is told: connect, events, and the end exactly once.
``handle`` and what it calls run in worker greenlets, one item after another per socket. What
routers call (``RouterKeeper``) may run in callbacks of the loop, and never waits.
"""

import contextvars
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from gevent import Timeout
from gevent.event import Event as GeventEvent
from greenlet import getcurrent

from socketio_server.dispatch.answers import BoundedDecoder
from socketio_server.dispatch.auth import decode_auth
from socketio_server.dispatch.client_account import InputTotal
from socketio_server.dispatch.decoded_memory import DecodedMemory
from socketio_server.dispatch.developer_hints import DeveloperHints
from socketio_server.dispatch.event_hooks import EventHooks
from socketio_server.dispatch.handler_runner import HandlerRunner
from socketio_server.dispatch.happenings import Happening
from socketio_server.dispatch.member import Item, Member, Move, SubscriptionRevoked
from socketio_server.dispatch.middleware import CallNext
from socketio_server.dispatch.remote_answers import RemoteClients
from socketio_server.dispatch.rights import Grant, Rights
from socketio_server.dispatch.router import NamespaceRouter
from socketio_server.dispatch.subscriptions import Subscriptions
from socketio_server.engine.session import Session
from socketio_server.exceptions import DecodeError
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.held_total import HeldTotal
from socketio_server.net.log import place_of
from socketio_server.net.loop import Loop
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Stats
from socketio_server.net.turns import LARGE
from socketio_server.net.workers import Pool
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import (
    MESSAGE,
    SOCKET_ID_HEAD,
    SUBSCRIBE,
    UNSUBSCRIBE,
    USER_ROOM_HEAD,
)
from socketio_server.protocol.socketio import (
    Assembly,
    Packet,
    PacketType,
    decode,
    decode_kept,
    estimate_size,
)
from socketio_server.registry.events import Event, Registration, Registry
from socketio_server.sockets.acknowledgements import Acknowledged
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.delivery import Delivery
from socketio_server.sockets.socket import Socket

MUCH = 524_288
"""Bytes that a packet takes once it is decoded, from which it gets a turn of its own, however few
characters it has: many small arrays or objects take long."""

SOCKET_ID_BYTES = 13
"""Random bytes of a public id. With its head it has 20 characters, as Node's, and the most that
django-socketio's users had room for."""


_ACKNOWLEDGEMENT = Event("acknowledgement", arguments=None, always=True)
"""The event that middleware and the log see when a client's acknowledgement goes to a callback."""

logger = logging.getLogger("socketio_server")


class Dispatcher:
    """Runs the handlers of one server (``RouterKeeper``, ``InboxKeeper``).

    :param registry: the handlers.
    :param clients: the registry of clients.
    :param stats: counts events.
    :param clock: a monotonic clock, in seconds.
    :param held_total: counts what all clients make the server hold, with their output; ``None``:
        without.
    :param hints: told of events for which no handler ran, and of handlers that refuse clients;
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
        held_total: HeldTotal | None = None,
        hints: DeveloperHints | None = None,
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
        self._runner = HandlerRunner(
            registry,
            clients,
            hooks,
            stats,
            hints=hints,
            middleware=middleware,
            on_raised=on_raised,
        )
        self.rights = Rights(
            registry, clients, self._runner, stats, {} if grants is None else grants
        )
        """What the clients were let do."""
        self._subscriptions = Subscriptions(
            registry, clients, hooks, self._runner, self.rights, options, hints=hints
        )
        self._hints = hints
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
        held_total = held_total or HeldTotal(loop, options)
        self.total = InputTotal(loop, options, held_total)
        """Counts what all clients make the server hold (``RouterKeeper``)."""
        self.remote_clients = RemoteClients(self.total, stats.refusals, self.start_decoding)
        """The clients of other processes whose answers wait here."""
        self.decoded_memory = DecodedMemory(loop, options, held_total, clock=clock)
        """The memory for decoded packets (``InboxKeeper``)."""
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

    def add_member(self, router: NamespaceRouter, namespace: str, auth_size: int) -> Member:
        """Return the new member for a client that asks to join a namespace (``RouterKeeper``)."""
        socket_id = SOCKET_ID_HEAD + secrets.token_urlsafe(SOCKET_ID_BYTES)
        delivery = Delivery(socket_id, namespace, router.session)
        delivery.hold(None, self.options.max_queued_bytes, self._clients.output)
        socket = Socket(delivery, self._clients, request=router.request, auth=None)
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

    def change_user_room(self, member: Member, room: str | None) -> None:
        """Put a member into the room of its user (``RouterKeeper``)."""
        delivery = member.delivery
        if self._clients.has_client(delivery.id, delivery.namespace):
            for other in delivery.rooms:
                if other != room and other.startswith(USER_ROOM_HEAD):
                    self._clients.leave(delivery, other)
            if room is not None:
                self._clients.enter(delivery, room)

    def router_closed(self, router: NamespaceRouter) -> None:
        """The router's session is over (``RouterKeeper``)."""
        self._unjoined.discard(router)
        self._assembling.discard(router)

    def router_left_alone(self, router: NamespaceRouter) -> None:
        """The client was refused, and is in no namespace (``RouterKeeper``)."""
        if router.session.is_open:
            self._unjoined.add(router)

    def attachments_due(self, router: NamespaceRouter) -> None:
        """A binary packet waits for its attachments (``RouterKeeper``)."""
        self._assembling.add(router)

    def attachments_settled(self, router: NamespaceRouter) -> None:
        """No binary packet waits for attachments any more (``RouterKeeper``)."""
        self._assembling.discard(router)

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until every socket's last handler has run.

        :return: ``False`` if ``timeout`` seconds passed first.
        """
        self._clients.timekeeper.wait(self._idle, timeout)
        return self._idle.is_set()

    def _connect_timed_out(self, router: NamespaceRouter) -> None:
        router.session.client_refused(
            RefusalKind.CONNECT_TIMEOUT,
            "client joined no namespace in time (SOCKETIO_CONNECT_TIMEOUT)",
        )
        router.session.close(CloseReason.FORCED_CLOSE)

    def _attachments_timed_out(self, router: NamespaceRouter) -> None:
        router.refuse_packet(
            DecodeError("attachments did not arrive in time (SOCKETIO_ATTACHMENT_TIMEOUT)")
        )

    def forget(self, member: Member) -> None:
        """Unregister a member that has no items left to handle. Idempotent."""
        delivery = member.delivery
        if delivery.owner is not None:
            self._clients.discard(delivery)  # returns what its owner was charged
            delivery.owner = None
            self.rights.forget(member)
            member.router.member_finished(member)
            self._live -= 1
            if not self._live:
                self._idle.set()

    def decoded_size(self, item: Item) -> int:
        """Estimate how many bytes an item takes once it is decoded (``InboxKeeper``)."""
        if isinstance(item, (Move, SubscriptionRevoked, PacketType, CloseReason)):
            return 0
        return item.answer.decoded_size() if isinstance(item, Acknowledged) else estimate_size(item)

    def takes_long(self, item: Item, decoded_size: int = 0) -> bool:
        """Return whether an item gets a turn of its own (``InboxKeeper``).

        :param decoded_size: 0: whether it is to take turns between its parts, for which only its
            own size counts.
        """
        return (
            decoded_size > MUCH
            or item.__sizeof__() > LARGE
            or (isinstance(item, Assembly) and item.work > LARGE)
        )

    def start_decoding(self) -> BoundedDecoder:
        """Begin to decode the answers that one caller has waited for (``RouterKeeper``)."""
        timekeeper, patience = self._clients.timekeeper, self.options.stall_timeout
        return BoundedDecoder(self.decoded_memory, self.pool, timekeeper, patience)

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
                self.forget(member)
            elif isinstance(item, Acknowledged):
                self._acknowledged(member, item)
            elif isinstance(item, Move):
                member.tell_moved(item)
            elif isinstance(item, SubscriptionRevoked):
                self._subscriptions.left(member, item.channel)
            else:
                pause = self._take_turn if self.takes_long(item) else None
                packet = decode_kept(item, pause)
                if pause is not None:
                    pause()
                self._event(member, packet)
        except DecodeError as error:
            member.drop_events()
            member.router.weigh()
            member.router.refuse_packet(error)
        except (Exception, Timeout):  # a fault of ours must end neither the worker nor the inbox
            logger.exception("Internal error while handling an event of socket %s", delivery.id)
            if isinstance(item, CloseReason):
                self.forget(member)
            elif delivery.holds_messages:  # they would be held for ever
                member.router.callback_raised()
        finally:
            delivery.handler = None

    def _take_turn(self) -> None:
        """Let others be served between two parts of the work on a large packet."""
        self.pool.take_turn(is_large=True)

    # ------------------------------------------------------------------------------------------

    def _connect(self, member: Member) -> None:
        """Run ``on_connect``, then answer; no message reaches the client before the answer."""
        self._decode_auth(member)
        event, delivery = self._registry.on_connect, member.delivery
        self._clients.add(delivery, member.socket)
        self._clients.broker.listen(delivery.namespace)
        if member.router.user_room is not None:
            self.change_user_room(member, member.router.user_room)
        self._hooks.watch(member.socket.request, member.router)
        handlers = event.select(delivery.namespace, ())
        self.rights.connecting(member, handlers)
        refusal = self._runner.fire_refusable(member, event, handlers, ())
        if refusal is not None:
            delivery.close(CloseReason.SERVER_NAMESPACE_DISCONNECT)  # which its owner gets back
            self.forget(member)
            member.router.refuse(member, *refusal)
            member.release_messages(accepted=False)
        else:
            self._find_user(member)
            member.router.answer(member)
            member.release_messages(accepted=True)
            self._hooks.tell(Happening.CLIENT_CONNECTED, member.socket)
            for channel in delivery.channels:
                member.subscribed(channel)

    def _decode_auth(self, member: Member) -> None:
        """Decode the auth of a client that asks to join.

        :raises DecodeError: if it is malformed: then the client never joins.
        """
        try:
            decode_auth(member)
        except DecodeError:
            member.delivery.close(CloseReason.PARSE_ERROR)
            self.forget(member)
            member.router.leave_out(member)
            member.release_messages(accepted=False)
            raise
        if member.auth_size > LARGE:  # to decode it took a turn
            self._take_turn()

    def _find_user(self, member: Member) -> None:
        """Find out which user a client is, so that messages to the user reach it."""
        try:
            self._hooks.find_user(member.socket.request)
        except Exception as error:
            key = ("user", type(error), place_of(error))
            more = self.stats.refusals.throttle(key, member.router.session.key)
            if more is not None:
                text = "Messages to a user do not reach socket %s: its user can't be read%s"
                logger.error(text, member.delivery.id, more, exc_info=error)
            self._hooks.forget_changes(member.socket.request)
        self._runner.clean_up(member, "on_connect")

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
        if not handlers and self._hints is not None:
            self._hints.unhandled_event(name, packet.namespace, member.delivery.channels)
        runner = self._runner
        if packet.ack_id is None:
            runner.fire(member, event, handlers, args)
        else:  # keep no answer while its message waits for room
            runner.acknowledge(member, packet, runner.fire(member, event, handlers, args), handlers)

    def _control(self, member: Member, packet: Packet, name: str) -> None:
        """Handle an event that is for the server itself; ignore an unknown one."""
        if name == SUBSCRIBE:
            self._subscriptions.subscribe(member, packet)
        elif name == UNSUBSCRIBE:
            self._subscriptions.unsubscribe(member, packet)
        elif self._hints is not None:
            self._hints.unhandled_event(name, packet.namespace, member.delivery.channels)

    def _acknowledged(self, member: Member, item: Acknowledged) -> None:
        """Run the callback of a client's acknowledgement."""
        pause = self._take_turn if item.__sizeof__() > LARGE else None
        values = item.answer.values(pause)
        if pause is not None:
            pause()
        registration = Registration(item.run, None, member.delivery.namespace, ())
        self._runner.fire(member, _ACKNOWLEDGEMENT, (registration,), values)

    def _end(self, member: Member) -> None:
        """Run the last handlers, all of which still see the socket on its channels."""
        registry = self._registry
        self._fire_last(member, registry.on_disconnect)
        for channel in member.delivery.channels:
            self._fire_last(member, registry.on_unsubscribe, channel)
        self._fire_last(member, registry.on_finish)
        self._tell_end(member)

    def _tell_end(self, member: Member) -> None:
        """Unregister a client, and tell the project that it has gone."""
        delivery = member.delivery
        channels, reason = delivery.channels, delivery.close_reason
        self._clients.discard(delivery)
        for channel in channels:
            self.tell(member, Happening.CHANNEL_UNSUBSCRIBED, channel=channel, reason=reason)
        self._hooks.tell(Happening.CLIENT_DISCONNECTED, member.socket, reason=reason)

    def _fire_last(self, member: Member, event: Event, *channel: str) -> None:
        """Run the handlers of one of the last events; an error must not stop the other events."""
        try:
            if channel:
                handlers = event.select_for(member.delivery.namespace, *channel)
            else:
                handlers = member.select(event)
            self._runner.fire(member, event, handlers, channel)
        except (Exception, Timeout):
            logger.exception("Internal error in %s of socket %s", event.name, member.delivery.id)

    def taken_off(self, member: Member, channel: str) -> None:
        """A member was taken off a channel (``RouterKeeper``)."""
        self.rights.unsubscribed(member, channel)

    def tell(self, member: Member, happening: Happening, **details: Any) -> None:
        """Tell the project what happened to a socket (``RouterKeeper``)."""
        self._hooks.tell(happening, member.socket, **details)
