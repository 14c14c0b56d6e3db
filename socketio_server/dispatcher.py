"""Packets become events: which handlers run, when, in which order, and what happens when one
raises.

The one place where a connection's life is told: connect, events, and the end exactly once.
Everything here but ``accept`` and the timeout runs in worker greenlets, one item after another per
socket.
"""

import contextvars
import logging
import secrets
from collections.abc import Sequence
from typing import Any, Protocol

import gevent
from gevent.event import Event as GeventEvent

from socketio_server.channels import MAIN_NAMESPACE
from socketio_server.clients import Clients
from socketio_server.connection import Loop
from socketio_server.events import Event, Handler, Registry
from socketio_server.exceptions import Reject
from socketio_server.heartbeat import Deadlines
from socketio_server.options import Options
from socketio_server.protocol.engineio import CloseReason
from socketio_server.protocol.socketio import Packet, PacketType
from socketio_server.router import NamespaceRouter
from socketio_server.session import Session
from socketio_server.sockets import MESSAGE, Gate, Socket
from socketio_server.workers import Inbox, WorkerPool

SUBSCRIBE = "__subscribe__"
UNSUBSCRIBE = "__unsubscribe__"
"""The events by which clients join and leave channels (django-socketio's control words)."""

SOCKET_ID_BYTES = 15
"""Random bytes of a public id: 20 characters, the most that django-socketio's users had room
for."""

_NO_ANSWER = object()

_HANDLER_ERRORS = (Exception, gevent.Timeout, SystemExit)
"""What a handler may raise without ending more than itself."""

logger = logging.getLogger("socketio_server")


class EventHooks(Protocol):
    """What the layer above does around handlers; it knows Django, the dispatcher does not."""

    refusals: tuple[type[Exception], ...]
    """What a handler may raise, besides ``Reject``, to refuse a client."""

    def before_event(self) -> None:
        """Runs in the worker's greenlet before an event's handlers."""

    def after_event(self) -> None:
        """Runs there after them, whatever they raised."""

    def log_message(self, request: Any, kind: str, message: Any) -> None:
        """Log that a client subscribed, unsubscribed or sent a message."""


class Dispatcher:
    """Runs the handlers of one server.

    :param registry: the handlers.
    :param clients: the sockets.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        clients: Clients,
        hooks: EventHooks,
        pool: WorkerPool,
        loop: Loop,
        options: Options,
    ) -> None:
        self.options = options
        self.encoder = clients.encoder
        self._registry = registry
        self._clients = clients
        self._hooks = hooks
        self._refusals: tuple[type[Exception], ...] = (Reject, *hooks.refusals)
        self._pool = pool
        self._unjoined: Deadlines[NamespaceRouter] = Deadlines(
            loop, options.connect_timeout, self._connect_timed_out
        )
        self._live = 0  # sockets that were accepted, or may yet be, and have not ended
        self._idle = GeventEvent()  # set while there are none
        self._idle.set()

    def accept(self, session: Session, request: Any) -> NamespaceRouter:
        """Make the handler of a new session; must run in the greenlet of its handshake.

        Handlers run in a copy of the context variables of that greenlet, so that what the project's
        middleware activated, the request's language for one, is active in them too.
        """
        router = NamespaceRouter(session, request, contextvars.copy_context(), self)
        self._unjoined.add(router)
        return router

    def has_namespace(self, namespace: str) -> bool:
        """Return whether clients may join a namespace."""
        return namespace == MAIN_NAMESPACE

    def make_socket(self, router: NamespaceRouter, namespace: str, auth: Any) -> Socket:
        """Make the socket of a client that asks to join a namespace."""
        socket = Socket(
            secrets.token_urlsafe(SOCKET_ID_BYTES),
            namespace,
            session=router.session,
            clients=self._clients,
            request=router.request,
            auth=auth,
        )
        scope = router.scope.copy()

        def handle(item: Packet | CloseReason) -> None:
            scope.run(self._handle, router, socket, item)

        socket.inbox = Inbox(self._pool, self.options, handle, router.inbox_full)
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
        router.session.close(CloseReason.FORCED_CLOSE)

    def _handle(self, router: NamespaceRouter, socket: Socket, item: Packet | CloseReason) -> None:
        """Handle one item of a socket's inbox; what comes behind its end is dropped."""
        if isinstance(item, CloseReason):
            if self._is_live(socket):
                self._end(socket, item)
        elif item.type is PacketType.CONNECT:
            self._connect(router, socket)
        elif self._is_live(socket):
            self._event(socket, item)

    def _is_live(self, socket: Socket) -> bool:
        return self._clients.find(socket.id, socket.namespace) is socket

    def _connect(self, router: NamespaceRouter, socket: Socket) -> None:
        """Run ``on_connect``, then answer; nothing reaches the client before the answer."""
        event = self._registry.on_connect
        self._clients.add(socket)
        socket.close_gate(Gate(None, self.options.max_queued_bytes))
        try:
            self._fire(socket, event, event.select(()))
        except self._refusals as error:
            self._forget(socket)
            router.refuse(socket, *_refusal(error))
            return
        router.answer(socket)
        socket.open_gate(accepted=True)

    def _event(self, socket: Socket, packet: Packet) -> None:
        name, *args = packet.data
        if name == MESSAGE:
            self._message(socket, packet, args)
        elif name == SUBSCRIBE:
            self._subscribe(socket, packet, args)
        elif name == UNSUBSCRIBE:
            self._unsubscribe(socket, packet, args)

    def _message(self, socket: Socket, packet: Packet, args: list[Any]) -> None:
        message = args[0] if len(args) == 1 else args or None
        event = self._registry.on_message
        answer = self._fire(socket, event, event.select(socket.channels), message)
        if answer is not _NO_ANSWER:
            self._acknowledge(socket, packet, answer)
        self._hooks.log_message(socket.request, "message", message)

    def _subscribe(self, socket: Socket, packet: Packet, args: list[Any]) -> None:
        """Put the socket on the channel, then run ``on_subscribe``, which may refuse."""
        channel = self._channel_of(args)
        if channel is None or (
            channel not in socket.channels and len(socket.channels) >= self.options.max_channels
        ):
            self._acknowledge(socket, packet, {"error": "Invalid channel"})
            return
        event = self._registry.on_subscribe
        handlers = event.select_for(channel)
        changed = socket.subscribe(channel)
        if changed and handlers:
            socket.close_gate(Gate(channel, self.options.max_queued_bytes))
        try:
            self._fire(socket, event, handlers, channel)
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

    def _unsubscribe(self, socket: Socket, packet: Packet, args: list[Any]) -> None:
        channel = self._channel_of(args)
        if channel is None:
            self._acknowledge(socket, packet, {"error": "Invalid channel"})
            return
        changed = socket.unsubscribe(channel)
        event = self._registry.on_unsubscribe
        self._fire(socket, event, event.select_for(channel), channel)
        self._acknowledge(socket, packet, changed)
        self._hooks.log_message(socket.request, "unsubscribe", channel)

    def _end(self, socket: Socket, reason: CloseReason) -> None:
        """Run the last handlers, all of which still see the socket on its channels, then forget
        it."""
        registry = self._registry
        socket.end(reason)
        channels = socket.channels
        self._fire(socket, registry.on_disconnect, registry.on_disconnect.select(channels))
        for channel in channels:
            unsubscribe = registry.on_unsubscribe
            self._fire(socket, unsubscribe, unsubscribe.select_for(channel), channel)
        self._fire(socket, registry.on_finish, registry.on_finish.select(socket.channels))
        self._forget(socket)

    def _forget(self, socket: Socket) -> None:
        for channel in socket.channels:
            socket.unsubscribe(channel)
        self._clients.discard(socket)
        self._live -= 1
        if not self._live:
            self._idle.set()

    def _channel_of(self, args: list[Any]) -> str | None:
        """Return the channel that a client names, if it is one: clients choose the names."""
        if len(args) != 1 or not isinstance(args[0], str):
            return None
        channel = args[0]
        fits = 0 < len(channel) <= self.options.max_channel_length and channel.isprintable()
        return channel if fits else None

    def _acknowledge(self, socket: Socket, packet: Packet, answer: Any) -> None:
        """Answer a packet, if the client asked for it; a tuple gives several values, ``None``
        none."""
        if packet.ack_id is None:
            return
        values = () if answer is None else answer if isinstance(answer, tuple) else (answer,)
        try:
            socket.acknowledge(packet.ack_id, values)
        except TypeError as error:  # the handler's answer can't be encoded
            self._handler_raised(socket, self._registry.on_message, error)

    def _fire(self, socket: Socket, event: Event, handlers: Sequence[Handler], *args: Any) -> Any:
        """Run an event's handlers.

        :return: the first answer that is not ``None``; ``_NO_ANSWER`` where a handler raised
            instead.
        :raises Reject: or another refusal, where the event may be refused and a handler did.
        """
        if not handlers:
            return None
        self._hooks.before_event()
        try:
            return self._run(socket, event, handlers, *args)
        finally:
            self._hooks.after_event()

    def _run(self, socket: Socket, event: Event, handlers: Sequence[Handler], *args: Any) -> Any:
        answer = None
        raised = False
        for handler in handlers:
            try:
                result = handler(socket.request, socket, socket.context, *args)
            except _HANDLER_ERRORS as error:
                if event.can_refuse and isinstance(error, self._refusals):
                    raise
                raised = True
                self._handler_raised(socket, event, error)
            else:
                answer = result if answer is None else answer
        return _NO_ANSWER if raised and answer is None else answer

    def _handler_raised(self, socket: Socket, event: Event, error: BaseException) -> None:
        """Log what a handler raised, and run ``on_error``; the connection goes on."""
        logger.error("Handler of %s raised for socket %s", event.name, socket.id, exc_info=error)
        on_error = self._registry.on_error
        if event is not on_error:
            self._run(socket, on_error, on_error.select(socket.channels), error)


def _refusal(error: Exception) -> tuple[str, Any]:
    """Return what a refused client is told."""
    if isinstance(error, Reject):
        return error.message, error.data
    return str(error) or "Permission denied", None
