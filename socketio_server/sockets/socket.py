"""What handlers hold: one client's connection to a namespace.

The methods and names are django-socketio's. None of them waits for a client or switches greenlets.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from socketio_server.cluster.base import Envelope
from socketio_server.engine.session import Session
from socketio_server.engine.transports.base import Outgoing
from socketio_server.net.connection import Connection
from socketio_server.net.refusals import RefusalKind
from socketio_server.protocol import engineio
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import MESSAGE
from socketio_server.sockets.acknowledgements import (
    Acknowledged,
    CallbackRunner,
    Ledger,
    Pending,
    Waiter,
    ack_ids,
)
from socketio_server.sockets.hold import Gate
from socketio_server.sockets.registry import Clients
from socketio_server.sockets.targets import Target, channels_of, check_event_name

if TYPE_CHECKING:
    from socketio_server.dispatch.inbox import Inbox
    from socketio_server.registry.events import Event, Registration


class SocketOwner(Protocol):
    """What routes a client's packets to its sockets."""

    session: Session
    """What carries them."""

    captured: Any
    """What the dispatcher's hooks restore for the handlers."""

    def answer(self, socket: "Socket") -> None:
        """Tell the client that it joined the socket's namespace, and under which id."""

    def inbox_full(self, full: bool) -> None:
        """A socket's handlers have enough to do, or again room for more."""

    def gate_opened(self, socket: "Socket") -> None:
        """What was held back from a socket's client was sent."""

    def refuse(self, socket: "Socket", message: str, data: Any) -> None:
        """Tell the client that it may not join the socket's namespace, and why."""

    def disconnect(self, socket: "Socket") -> None:
        """Take a socket out of its namespace."""

    def disconnect_all(self) -> None:
        """Take the client out of all namespaces, and end its session."""


class SocketSession(NamedTuple):
    """``socket.session``: where django-socketio's handlers found the id of a connection."""

    session_id: str


class Socket:
    """One client's connection to a namespace.

    :param socket_id: the public id.
    :param session: the Engine.IO session that carries it.
    :param owner: what routes its packets.
    :param request: the Django request of the handshake.
    """

    __slots__ = (
        "__weakref__",
        "_channels",
        "_clients",
        "_end_reason",
        "_gate",
        "_ledger",
        "_selections",
        "_session",
        "auth",
        "context",
        "direct",
        "id",
        "inbox",
        "is_live",
        "namespace",
        "owner",
        "recovered",
        "request",
    )

    def __init__(
        self,
        socket_id: str,
        namespace: str,
        *,
        session: Session,
        owner: SocketOwner,
        clients: Clients,
        request: Any,
        auth: Any = None,
    ) -> None:
        self.id = socket_id
        self.namespace = namespace
        self.request = request
        self.auth = auth
        """What the client's ``auth`` option held."""
        self.context: dict[Any, Any] = {}
        """The handlers' own: one dict per connection, from connect to finish."""
        self.recovered = False
        """Whether a lost session was taken up again."""
        self.inbox: Inbox[Socket, Any]
        """What waits for the handlers; set and used by the dispatcher."""
        self._session = session
        self.owner = owner
        """What routes its packets; for the dispatcher's use."""
        self.is_live = False
        """Whether its events are handled: from the first to the last; set by the dispatcher."""
        self._clients = clients
        self._channels: tuple[str, ...] = ()
        self._gate: Gate | None = None  # None: messages pass
        self.direct: Connection | None = None
        """Where messages go on the shortest way; ``None``: ``deliver`` knows another."""
        self._end_reason: CloseReason | None = None  # set when the last handlers begin
        self._ledger: Ledger | None = None  # None until the client owes an acknowledgement
        # The handlers that run while the channels are what they are; None until one was asked for.
        self._selections: dict[Event, tuple[Registration, ...]] | None = None

    @property
    def session(self) -> SocketSession:
        """Holds ``session_id``, the connection's public id: what the client sees as
        ``socket.id``."""
        return SocketSession(self.id)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels held, in order of subscription."""
        return self._channels

    @property
    def transport(self) -> str:
        """``"polling"`` or ``"websocket"``, as of now; after the end, as of then."""
        return self._session.transport.name

    @property
    def close_reason(self) -> CloseReason | None:
        """Why the connection ended; ``None`` while it lasts."""
        return self._end_reason or self._session.close_reason

    def connected(self) -> bool:
        """Return whether the client is still there."""
        return self.close_reason is None

    def send(self, message: Any) -> None:
        """Send a message to this client only.

        :raises TypeError: if it can't be encoded.
        """
        self._clients.messages_out += 1
        self.deliver(self._clients.encode(self.namespace, MESSAGE, (message,)))

    def broadcast(self, message: Any) -> None:
        """Send a message to every other client.

        :raises TypeError: if it can't be encoded.
        """
        self._publish(MESSAGE, (message,), None, skip=(self.id,))

    def broadcast_channel(self, message: Any, channel: str | None = None) -> None:
        """Send a message to every other client on a channel.

        :param channel: without one, on any of this socket's channels, each client once.
        :raises TypeError: if the message can't be encoded.
        """
        channels = self._channels if channel is None else (channel,)
        self._publish(MESSAGE, (message,), channels, skip=(self.id,))

    def send_and_broadcast(self, message: Any) -> None:
        """Send a message to every client, this one included.

        :raises TypeError: if it can't be encoded.
        """
        self.send(message)
        self.broadcast(message)

    def send_and_broadcast_channel(self, message: Any, channel: str | None = None) -> None:
        """Send a message to this client and to every other client on a channel.

        :param channel: without one, on any of this socket's channels, each client once.
        :raises TypeError: if the message can't be encoded.
        """
        self.send(message)
        self.broadcast_channel(message, channel)

    def subscribe(self, channel: str) -> bool:
        """Put this socket on a channel; fires no event.

        :return: ``False`` if it was on it already, or its last handler has run.
        """
        if channel in self._channels or (self._end_reason is not None and not self.is_live):
            return False
        self._channels += (channel,)
        self._selections = None
        self._clients.channels.add(self, channel)
        return True

    def unsubscribe(self, channel: str) -> bool:
        """Take this socket off a channel; fires no event.

        :return: ``False`` if it was not on it.
        """
        if channel not in self._channels:
            return False
        self._channels = tuple(held for held in self._channels if held != channel)
        self._selections = None
        self._clients.channels.discard(self, channel)
        return True

    def emit(
        self,
        event: str,
        *args: Any,
        to: Target | None = None,
        skip: Collection[str] = (),
        volatile: bool = False,
        callback: Callable[..., Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Send a custom event: to this client, or to all that ``to`` names.

        :param to: a channel, several (each client gets it once), or ``EVERYONE`` in the namespace.
        :param skip: session ids of clients that don't get it.
        :param volatile: whether clients that can't take it at once go without.
        :param callback: called with the values of this client's acknowledgement, as one of its
            events.
        :param timeout: seconds after which an acknowledgement comes too late for the callback.
        :raises TypeError: if an argument can't be encoded.
        :raises ValueError: if the event's name is reserved, or a callback is given with ``to``.
        """
        check_event_name(event)
        if to is not None:
            if callback is not None:
                raise ValueError("a callback is for this client's answer: use call() with to=")
            self._publish(event, args, channels_of(to), skip=skip, volatile=volatile)
        elif self.id not in skip and not (volatile and not self.writable):
            self._clients.messages_out += 1
            if callback is None:
                self.deliver(self._clients.encode(self.namespace, event, args))
            else:
                self._emit_with_callback(event, args, callback, timeout)

    def call(
        self,
        event: str,
        *args: Any,
        to: Target | None = None,
        skip: Collection[str] = (),
        timeout: float | None = None,
    ) -> Any:
        """Send a custom event, and wait for the acknowledgement; other sockets go on meanwhile.

        :param to: with it, for all of these clients' acknowledgements.
        :param timeout: seconds to wait; ``None``: until the client goes.
        :return: the acknowledgement's value, a tuple where there are several; with ``to``,
            ``Answers``.
        :raises TimeoutError: if it did not come in time, or the client has gone; not with ``to``.
        :raises TypeError: if an argument can't be encoded.
        :raises ValueError: if the event's name is reserved.
        :raises RuntimeError: in an ``on_connect`` handler, before the client knows that it is
            connected.
        """
        check_event_name(event)
        if to is not None:
            channels = channels_of(to)
            return self._clients.call(
                self.namespace, event, args, channels=channels, skip=skip, timeout=timeout
            )
        if self._gate is not None and self._gate.channel is None and self.connected():
            raise RuntimeError("on_connect can't call(): emit() with a callback instead")
        waiter = Waiter((self.id,), self._clients.clock)
        ack_id = self._ask(event, args, waiter)
        answers = waiter.wait(timeout)
        self.ledger.discard(ack_id)
        if self.id not in answers.values:
            raise TimeoutError(f"the client did not acknowledge {event!r}")
        return answers.values[self.id]

    def disconnect(self, close: bool = False) -> None:
        """End this connection: to its namespace, or with ``close`` the client's whole session.

        ``on_disconnect`` and the rest run after the event that is being handled.
        """
        if close:
            self.owner.disconnect_all()
        else:
            self.owner.disconnect(self)

    @property
    def writable(self) -> bool:
        """Whether a message would go out at once: nothing waits for the client."""
        return self._gate is None and self._session.transport.writable

    @property
    def ledger(self) -> Ledger:
        """The acknowledgements that the client owes. For the server's own use."""
        if self._ledger is None:
            self._ledger = Ledger(self.id)
        return self._ledger

    def select(self, event: "Event") -> "tuple[Registration, ...]":
        """Return an event's handlers for the channels that are held now. For the dispatcher's use.

        Kept until the channels change: patterns are not matched again for each message.
        """
        if self._selections is None:
            self._selections = {}
        selection = self._selections.get(event)
        if selection is None:
            selection = event.select(self.namespace, self._channels)
            self._selections[event] = selection
        return selection

    def deliver(self, outgoing: Outgoing, channels: Sequence[str] | None = None) -> None:
        """Send an encoded message; after the end, drop it. For the server's own use.

        :param channels: where it comes from channels, which.
        """
        if self.direct is not None:
            self.direct.write(outgoing.frames)
        elif self._gate is None:
            transport = self._session.transport
            transport.send(outgoing)
            self.direct = transport.direct
        else:
            self._deliver_through(self._gate, outgoing, channels)

    def acknowledge(self, ack_id: int, values: Sequence[Any]) -> None:
        """Answer an event that the client wants acknowledged. For the dispatcher's use.

        :raises TypeError: if a value can't be encoded.
        """
        encoded = self._clients.encoder.ack(ack_id, values, namespace=self.namespace)
        self.deliver(Outgoing(engineio.MESSAGE + encoded.text, encoded.attachments))

    def settle(self, ack_id: int, values: Sequence[Any]) -> None:
        """The client acknowledged an event. For the router's use."""
        if self._ledger is not None:
            self._ledger.settle(ack_id, values)

    def lose_client(self) -> None:
        """The client will acknowledge nothing more. For the router's use."""
        self.ledger.close()
        self.direct = None  # behind a close frame nothing may follow (RFC 6455 section 5.5.1)

    def end(self, reason: CloseReason) -> None:
        """Let nothing reach the client any more. For the dispatcher's use."""
        self._end_reason = reason
        self.close_gate(Gate(None, 0))

    @property
    def is_gated(self) -> bool:
        """Whether messages may be held back. For the router's use."""
        return self._gate is not None

    def close_gate(self, gate: Gate) -> None:
        """Hold messages back until ``open_gate``. For the dispatcher's use."""
        self._gate = gate
        self.direct = None

    def open_gate(self, *, accepted: bool) -> None:
        """Send what was held back, unless it came from what was refused."""
        gate, self._gate = self._gate, None
        if gate is not None:
            for outgoing in gate.release(accepted=accepted):
                self._session.send(outgoing)
            self.owner.gate_opened(self)

    def _deliver_through(
        self, gate: Gate, outgoing: Outgoing, channels: Sequence[str] | None
    ) -> None:
        if not self.connected():
            return
        held = self._channels
        doubtful = gate.channel is None or (
            channels is not None and not any(c in held for c in channels if c != gate.channel)
        )
        if not gate.holds(outgoing, doubtful=doubtful):
            self._session.send(outgoing)
        elif gate.overflows:
            self._session.client_refused(RefusalKind.SLOW_CLIENT, "too much was held back for it")
            self._session.close(CloseReason.TRANSPORT_ERROR)

    def _publish(
        self,
        event: str,
        args: tuple[Any, ...],
        channels: tuple[str, ...] | None,
        *,
        skip: Collection[str],
        volatile: bool = False,
    ) -> None:
        self._clients.broker.publish(
            Envelope(
                namespace=self.namespace,
                event_name=event,
                args=args,
                channels=channels,
                skip=frozenset(skip),
                volatile=volatile,
            )
        )

    def _ask(self, event: str, args: Sequence[Any], pending: Pending) -> int:
        """Send an event that is to be acknowledged; return its id."""
        ack_id = next(ack_ids)
        outgoing = self._clients.encode(self.namespace, event, args, ack_id)
        self.ledger.add(ack_id, pending)
        if self._gate is not None and self._gate.channel is not None:
            self._session.send(outgoing)  # its answer may be what the handler waits for
        else:
            self.deliver(outgoing)
        return ack_id

    def _emit_with_callback(
        self,
        event: str,
        args: Sequence[Any],
        callback: Callable[..., Any],
        timeout: float | None,
    ) -> None:
        ack_id: int | None = None

        def run(values: Sequence[Any]) -> None:
            self.inbox.put(Acknowledged(callback, values))

        def forget() -> None:
            if ack_id is not None:
                self.ledger.discard(ack_id)

        clock = self._clients.clock
        ack_id = self._ask(event, args, CallbackRunner(run, forget, timeout, clock))
