"""What handlers hold: one client's connection to a namespace.

The methods and names are django-socketio's. None of them waits for a client or switches greenlets.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from socketio_server.brokers.base import Envelope
from socketio_server.clients import Clients
from socketio_server.protocol import engineio
from socketio_server.protocol.engineio import CloseReason
from socketio_server.session import Session
from socketio_server.transports.base import Outgoing

if TYPE_CHECKING:
    from socketio_server.workers import Inbox

MESSAGE = "message"
"""The event that ``send`` and ``on_message`` stand for."""


class SocketSession(NamedTuple):
    """``socket.session``: where django-socketio's handlers found the id of a connection."""

    session_id: str


class Gate:
    """Holds a socket's messages back while a handler may still refuse what they would come from.

    While ``on_connect`` runs that is everything, since nothing may precede the server's answer;
    while ``on_subscribe`` runs it is what comes from the new channel alone, and whatever is sent
    behind it, so that the order stays.

    :param channel: the new channel; ``None`` for a new connection.
    :param limit: bytes that may be held back.
    """

    __slots__ = ("_held", "_limit", "_size", "channel")

    def __init__(self, channel: str | None, limit: int) -> None:
        self.channel = channel
        self._limit = limit
        self._size = 0
        self._held: list[tuple[Outgoing, bool]] = []  # with whether it came from the new channel

    def holds(self, outgoing: Outgoing, *, doubtful: bool) -> bool:
        """Hold a message back, or return ``False`` if it may pass.

        :param doubtful: whether it would not come but for what may be refused.
        """
        if not doubtful and not self._held and self.channel is not None:
            return False
        self._size += len(outgoing.frames)
        self._held.append((outgoing, doubtful))
        return True

    @property
    def overflows(self) -> bool:
        """Whether more is held back than may be."""
        return self._size > self._limit

    def release(self, *, accepted: bool) -> list[Outgoing]:
        """Return what was held back, in order, without the doubtful unless ``accepted``."""
        return [outgoing for outgoing, doubtful in self._held if accepted or not doubtful]


class Socket:
    """One client's connection to a namespace.

    :param socket_id: the public id.
    :param session: the Engine.IO session that carries it.
    :param request: the Django request of the handshake.
    """

    __slots__ = (
        "__weakref__",
        "_channels",
        "_clients",
        "_end_reason",
        "_gate",
        "_session",
        "auth",
        "context",
        "id",
        "inbox",
        "namespace",
        "recovered",
        "request",
    )

    def __init__(
        self,
        socket_id: str,
        namespace: str,
        *,
        session: Session,
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
        self.inbox: Inbox[Any]
        """What waits for the handlers; set and used by the dispatcher."""
        self._session = session
        self._clients = clients
        self._channels: tuple[str, ...] = ()
        self._gate: Gate | None = None  # None: messages pass
        self._end_reason: CloseReason | None = None  # set when the last handlers begin

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
        self.deliver(self._clients.encode(self.namespace, MESSAGE, (message,)))

    def broadcast(self, message: Any) -> None:
        """Send a message to every other client.

        :raises TypeError: if it can't be encoded.
        """
        self._publish(message, None)

    def broadcast_channel(self, message: Any, channel: str | None = None) -> None:
        """Send a message to every other client on a channel.

        :param channel: without one, on any of this socket's channels, each client once.
        :raises TypeError: if the message can't be encoded.
        """
        self._publish(message, self._channels if channel is None else (channel,))

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

        :return: ``False`` if it was on it already.
        """
        if channel in self._channels:
            return False
        self._channels += (channel,)
        self._clients.channels.add(self, channel)
        return True

    def unsubscribe(self, channel: str) -> bool:
        """Take this socket off a channel; fires no event.

        :return: ``False`` if it was not on it.
        """
        if channel not in self._channels:
            return False
        self._channels = tuple(held for held in self._channels if held != channel)
        self._clients.channels.discard(self, channel)
        return True

    def deliver(self, outgoing: Outgoing, channels: Sequence[str] | None = None) -> None:
        """Send an encoded message; after the end, drop it. For the server's own use.

        :param channels: where it comes from channels, which.
        """
        if self._gate is None:
            self._session.transport.send(outgoing)
        else:
            self._deliver_through(self._gate, outgoing, channels)

    def acknowledge(self, ack_id: int, values: Sequence[Any]) -> None:
        """Answer an event that the client wants acknowledged. For the dispatcher's use.

        :raises TypeError: if a value can't be encoded.
        """
        encoded = self._clients.encoder.ack(ack_id, values, namespace=self.namespace)
        self.deliver(Outgoing(engineio.MESSAGE + encoded.text, encoded.attachments))

    def end(self, reason: CloseReason) -> None:
        """Let nothing reach the client any more. For the dispatcher's use."""
        self._end_reason = reason
        self._gate = Gate(None, 0)

    def close_gate(self, gate: Gate) -> None:
        """Hold messages back until ``open_gate``. For the dispatcher's use."""
        self._gate = gate

    def open_gate(self, *, accepted: bool) -> None:
        """Send what was held back, unless it came from what was refused."""
        gate, self._gate = self._gate, None
        if gate is not None:
            for outgoing in gate.release(accepted=accepted):
                self._session.send(outgoing)

    def _deliver_through(
        self, gate: Gate, outgoing: Outgoing, channels: Sequence[str] | None
    ) -> None:
        if self._end_reason is not None:
            return
        held = self._channels
        doubtful = gate.channel is None or (
            channels is not None and not any(c in held for c in channels if c != gate.channel)
        )
        if not gate.holds(outgoing, doubtful=doubtful):
            self._session.send(outgoing)
        elif gate.overflows:
            self._session.close(CloseReason.TRANSPORT_ERROR)

    def _publish(self, message: Any, channels: tuple[str, ...] | None) -> None:
        self._clients.broker.publish(
            Envelope(
                namespace=self.namespace,
                event_name=MESSAGE,
                args=(message,),
                channels=channels,
                skip=frozenset((self.id,)),
            )
        )
