"""Packets become events: which handlers run, when, in which order, and what happens when one
raises.

The one place where a connection's life is told: connect, events, and the end exactly once.
Everything here but ``accept`` and the timeout runs in worker greenlets, one item after another per
socket.
"""

import contextvars
import logging
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic, perf_counter
from typing import Any, Protocol

from gevent.event import Event as GeventEvent
from greenlet import getcurrent

from socketio_server.dispatch import validation
from socketio_server.dispatch.inbox import Inbox
from socketio_server.dispatch.middleware import NO_ANSWER, CallNext, EventCall
from socketio_server.dispatch.router import NamespaceRouter
from socketio_server.engine.session import Session
from socketio_server.exceptions import Reject, ValidationError
from socketio_server.net.connection import Loop
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Stats
from socketio_server.net.workers import Pool
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import MESSAGE, SUBSCRIBE, UNSUBSCRIBE
from socketio_server.protocol.socketio import Packet, PacketType
from socketio_server.registry.events import Event, Registration, Registry
from socketio_server.sockets.acknowledgements import Acknowledged
from socketio_server.sockets.hold import Gate
from socketio_server.sockets.registry import Clients
from socketio_server.sockets.socket import Socket

SOCKET_ID_BYTES = 15
"""Random bytes of a public id: 20 characters, the most that django-socketio's users had room
for."""

_ACKNOWLEDGEMENT = Event("acknowledgement", is_custom=True)
"""What middleware and the log see when a client's acknowledgement goes to a callback."""

_EVENT = PacketType.EVENT  # globals are found faster than attributes

logger = logging.getLogger("socketio_server")


Item = Packet | CloseReason | Acknowledged
"""What a socket's inbox holds: what the client sent, in order, and at the end why it closed."""


class EventHooks(Protocol):
    """What the layer above does around handlers; it knows Django, the dispatcher does not."""

    refusals: tuple[type[Exception], ...]
    """What a handler may raise, besides ``Reject``, to refuse a client."""

    def capture(self, request: Any) -> Any:
        """Return what the project's middleware activated for a request besides context variables.

        Runs in the greenlet of the handshake; ``None``: nothing.
        """

    def restore(self, captured: Any) -> None:
        """Activate it again, in the worker's greenlet."""

    def before_event(self) -> None:
        """Runs before an event's handlers, in a worker that is dirty (see ``Worker``)."""

    def after_event(self) -> None:
        """Runs after them, whatever they raised, in a worker that is dirty."""

    logs_messages: bool
    """Whether ``log_message`` does anything."""

    def log_message(self, request: Any, kind: str, message: Any) -> None:
        """Log that a client subscribed, unsubscribed or sent a message."""


class Dispatcher:
    """Runs the handlers of one server.

    :param registry: the handlers.
    :param clients: the sockets.
    :param stats: where events are counted.
    :param middleware: wraps every event, if there is any.
    :param on_raised: told what handlers raise, besides the log and ``on_error``.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        clients: Clients,
        hooks: EventHooks,
        pool: Pool,
        loop: Loop,
        options: Options,
        stats: Stats,
        middleware: CallNext | None = None,
        on_raised: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.options = options
        self.stats = stats
        self.encoder = clients.encoder
        self.old_encoder = clients.old_encoder
        self._registry = registry
        self._clients = clients
        self._hooks = hooks
        self._refusals: tuple[type[Exception], ...] = (Reject, *hooks.refusals)
        self._middleware = middleware
        self._on_raised = on_raised
        self._pool = pool
        self._unjoined: Deadlines[NamespaceRouter] = Deadlines(
            loop, options.connect_timeout, self._connect_timed_out, clock=monotonic
        )
        self._item_handler = self._handle  # one bound method for all inboxes
        self._live = 0  # sockets that were accepted, or may yet be, and have not ended
        self._idle = GeventEvent()  # set while there are none
        self._idle.set()

    def accept(self, session: Session, request: Any) -> NamespaceRouter:
        """Make the handler of a new session; must run in the greenlet of its handshake.

        Handlers run in a copy of the context variables of that greenlet, and with what else the
        project's middleware activated, so that the request's language is active in them too.
        """
        scope = contextvars.copy_context()
        router = NamespaceRouter(session, request, scope, self._hooks.capture(request), self)
        self._unjoined.add(router)
        return router

    def has_namespace(self, namespace: str) -> bool:
        """Return whether clients may join a namespace."""
        return self._registry.has_namespace(namespace)

    def make_socket(self, router: NamespaceRouter, namespace: str, auth: Any) -> Socket:
        """Make the socket of a client that asks to join a namespace."""
        socket = Socket(
            secrets.token_urlsafe(SOCKET_ID_BYTES),
            namespace,
            session=router.session,
            owner=router,
            clients=self._clients,
            request=router.request,
            auth=auth,
        )
        socket.inbox = Inbox(
            socket,
            self._pool,
            self.options,
            scope=router.scope.copy(),
            handle=self._item_handler,
            on_full=_inbox_full,
            must_wait=_must_catch_up,
        )
        self._unjoined.discard(router)
        self._live += 1
        self._idle.clear()
        return socket

    def router_closed(self, router: NamespaceRouter) -> None:
        """A session is over."""
        self._unjoined.discard(router)

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until every socket's last handler has run.

        :return: ``False`` if that took longer than ``timeout`` seconds.
        """
        return bool(self._idle.wait(timeout))

    def _connect_timed_out(self, router: NamespaceRouter) -> None:
        router.session.client_refused(
            RefusalKind.CONNECT_TIMEOUT, "no namespace was joined in time"
        )
        router.session.close(CloseReason.FORCED_CLOSE)

    def _handle(self, socket: Socket, item: Item) -> None:
        """Handle one item of a socket's inbox; what comes behind its end is dropped."""
        try:
            captured = socket.owner.captured
            if captured is not None:
                self._hooks.restore(captured)
            if type(item) is Packet:
                if item.type is _EVENT:
                    if socket.is_live:
                        self._event(socket, item)
                else:
                    self._connect(socket)
            elif not socket.is_live:
                return
            elif isinstance(item, CloseReason):
                self._end(socket, item)
            elif isinstance(item, Acknowledged):
                self._acknowledged(socket, item)
        except Exception:  # a fault of ours must not end the worker, nor what waits behind it
            logger.exception("Internal error in an event of socket %s", socket.id)

    def _connect(self, socket: Socket) -> None:
        """Run ``on_connect``, then answer; nothing reaches the client before the answer."""
        event = self._registry.on_connect
        self._clients.add(socket)
        socket.is_live = True
        socket.close_gate(Gate(None, self.options.max_queued_bytes))
        try:
            self._fire(socket, event, event.select(socket.namespace, ()), ())
        except self._refusals as error:
            self._forget(socket)
            socket.lose_client()
            socket.owner.refuse(socket, *_refusal(error))
            return
        socket.owner.answer(socket)
        socket.open_gate(accepted=True)

    def _event(self, socket: Socket, packet: Packet) -> None:
        """Run the handlers of what the client sent, and acknowledge with what they return."""
        data = packet.data
        name = data[0]
        args: Sequence[Any]
        if name == MESSAGE:
            event = self._registry.on_message
            args = (data[1] if len(data) == 2 else data[1:] or None,)  # several arrive as a list
            if self._hooks.logs_messages:
                self._hooks.log_message(socket.request, "message", args[0])
        elif name in self._registry.custom:
            event = self._registry.custom[name]
            args = data[1:]
        else:
            self._control(socket, packet, name)
            return
        answer = self._fire(socket, event, socket.select(event), args)
        if packet.ack_id is not None and answer is not NO_ANSWER:
            self._acknowledge(socket, packet, answer)

    def _control(self, socket: Socket, packet: Packet, name: str) -> None:
        """Handle an event that is for the server itself; one that nobody knows does nothing."""
        if name == SUBSCRIBE:
            self._subscribe(socket, packet)
        elif name == UNSUBSCRIBE:
            self._unsubscribe(socket, packet)

    def _subscribe(self, socket: Socket, packet: Packet) -> None:
        """Put the socket on the channel, then run ``on_subscribe``, which may refuse."""
        channel = self._channel_of(packet)
        if channel is None or (
            channel not in socket.channels and len(socket.channels) >= self.options.max_channels
        ):
            self._refuse_channel(socket, packet)
            return
        event = self._registry.on_subscribe
        handlers = event.select_for(socket.namespace, channel)
        changed = socket.subscribe(channel)
        if changed and (handlers or self._middleware is not None):
            socket.close_gate(Gate(channel, self.options.max_queued_bytes))
        try:
            self._fire(socket, event, handlers, (channel,))
        except self._refusals as error:
            socket.unsubscribe(channel)
            socket.open_gate(accepted=False)
            message, data = _refusal(error)
            answer = {"error": message} if data is None else {"error": message, "data": data}
            self._acknowledge(socket, packet, answer)
        else:
            socket.open_gate(accepted=True)
            self._acknowledge(socket, packet, changed)
            self._hooks.log_message(socket.request, "subscribe", channel)

    def _unsubscribe(self, socket: Socket, packet: Packet) -> None:
        channel = self._channel_of(packet)
        if channel is None:
            self._refuse_channel(socket, packet)
            return
        changed = socket.unsubscribe(channel)
        event = self._registry.on_unsubscribe
        self._fire(socket, event, event.select_for(socket.namespace, channel), (channel,))
        self._acknowledge(socket, packet, changed)
        self._hooks.log_message(socket.request, "unsubscribe", channel)

    def _refuse_channel(self, socket: Socket, packet: Packet) -> None:
        """Answer a client that names no channel, or that holds enough of them."""
        socket.owner.session.client_refused(
            RefusalKind.CHANNEL, "an invalid channel, or too many of them"
        )
        self._acknowledge(socket, packet, {"error": "Invalid channel"})

    def _acknowledged(self, socket: Socket, item: Acknowledged) -> None:
        """Run the callback of a client's acknowledgement."""
        registration = Registration(item.run, None, socket.namespace, ())
        self._fire(socket, _ACKNOWLEDGEMENT, (registration,), item.values)

    def _end(self, socket: Socket, reason: CloseReason) -> None:
        """Run the last handlers, all of which still see the socket on its channels; forget it."""
        registry = self._registry
        socket.end(reason)
        namespace, channels = socket.namespace, socket.channels
        self._fire(socket, registry.on_disconnect, socket.select(registry.on_disconnect), ())
        for channel in channels:
            handlers = registry.on_unsubscribe.select_for(namespace, channel)
            self._fire(socket, registry.on_unsubscribe, handlers, (channel,))
        self._fire(socket, registry.on_finish, socket.select(registry.on_finish), ())
        self._forget(socket)

    def _forget(self, socket: Socket) -> None:
        socket.is_live = False
        for channel in socket.channels:
            socket.unsubscribe(channel)
        self._clients.discard(socket)
        self._live -= 1
        if not self._live:
            self._idle.set()

    def _channel_of(self, packet: Packet) -> str | None:
        """Return the channel that a client names, if it is one: clients choose the names."""
        if len(packet.data) != 2 or not isinstance(packet.data[1], str):
            return None
        channel: str = packet.data[1]
        fits = 0 < len(channel) <= self.options.max_channel_length and channel.isprintable()
        return channel if fits else None

    def _acknowledge(self, socket: Socket, packet: Packet, answer: Any) -> None:
        """Answer a packet, if it asks for it; a tuple gives several values, ``None`` none."""
        if packet.ack_id is None:
            return
        values = () if answer is None else answer if isinstance(answer, tuple) else (answer,)
        try:
            socket.acknowledge(packet.ack_id, values)
        except TypeError as error:  # the handler's answer can't be encoded
            self._handler_raised(socket, packet.data[0], error)

    def _fire(
        self, socket: Socket, event: Event, handlers: Sequence[Registration], args: Sequence[Any]
    ) -> Any:
        """Run an event's handlers, inside of the middleware.

        :return: the first answer that is not ``None``; ``NO_ANSWER`` where a handler raised.
        :raises Reject: or another refusal, where the event may be refused and a handler did.
        """
        if not handlers and self._middleware is None:
            return None
        worker = getcurrent()
        if getattr(worker, "is_dirty", False):
            self._hooks.before_event()
        began = perf_counter()
        try:
            if self._middleware is None:
                return self._run(socket, event, handlers, args)
            return self._run_middleware(self._middleware, socket, event, handlers, args)
        finally:
            self.stats.events += 1
            self.stats.handler_time += perf_counter() - began
            if getattr(worker, "is_dirty", False):
                self._hooks.after_event()

    def _run_middleware(
        self,
        middleware: CallNext,
        socket: Socket,
        event: Event,
        handlers: Sequence[Registration],
        args: Sequence[Any],
    ) -> Any:
        call = EventCall(event.name, socket, args, partial(self._run, socket, event, handlers))
        try:
            answer = middleware(call)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # ends no more than the handler
            if event.can_refuse and isinstance(error, self._refusals):
                raise
            self._handler_raised(socket, event.name, error)
            return NO_ANSWER
        return NO_ANSWER if call.raised and answer is None else answer

    def _run(
        self,
        socket: Socket,
        event: Event,
        handlers: Sequence[Registration],
        args: Sequence[Any],
    ) -> Any:
        answer: Any = None
        raised = False
        for registration in handlers:
            try:
                own = validation.convert(registration.types, args) if registration.types else args
                result = registration.handler(socket.request, socket, socket.context, *own)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # ends no more than the handler
                if event.can_refuse and isinstance(error, self._refusals):
                    raise
                raised = True
                self._handler_raised(socket, event.name, error)
                if isinstance(error, ValidationError) and answer is None:
                    answer = {"error": str(error)}
            else:
                answer = result if answer is None else answer
        return NO_ANSWER if raised and answer is None else answer

    def _handler_raised(self, socket: Socket, event_name: str, error: BaseException) -> None:
        """Log what a handler raised, and run ``on_error``; the connection goes on.

        A client that makes a handler raise with every message must not fill the log: the same
        exception from the same place is logged once in a while.
        """
        if isinstance(error, ValidationError):  # the client's fault, not the handler's
            why = f"Invalid message to {event_name} from socket {socket.id}"
            socket.owner.session.client_refused(RefusalKind.MESSAGE, why)
        else:
            more = self.stats.refusals.throttle(
                (event_name, type(error), _place_of(error)), socket.id
            )
            if more is not None:
                text = "Handler of %s raised for socket %s%s"
                logger.error(text, event_name, socket.id, more, exc_info=error)
        if self._on_raised is not None:
            self._on_raised(error)
        on_error = self._registry.on_error
        if event_name != on_error.name:
            self._run(socket, on_error, socket.select(on_error), (error,))


def _place_of(error: BaseException) -> tuple[str, int] | None:
    """Return the file and line in which an exception was raised."""
    trace = error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno


def _inbox_full(socket: Socket, full: bool) -> None:
    """Read no more from a client while its handlers have enough to do."""
    socket.owner.inbox_full(full)


def _must_catch_up(socket: Socket) -> bool:
    """Return whether a client's events must wait until it has taken what waits for it."""
    direct = socket.direct
    if direct is not None and not direct.half_full:
        return False  # nearly always
    return socket.owner.session.must_catch_up()


def _refusal(error: Exception) -> tuple[str, Any]:
    """Return what a refused client is told."""
    if isinstance(error, Reject):
        return error.message, error.data
    return str(error) or "Permission denied", None
