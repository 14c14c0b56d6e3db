"""What handlers hold: one client's connection to a namespace.

The methods and names are django-socketio's. What is sent to one client waits until there is room
for it (``Delivery.send``), and ``call`` for the answer as well; the others never switch greenlets.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NamedTuple

from socketio_server.cluster.base import Envelope
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import MESSAGE
from socketio_server.sockets.acknowledgements import CallbackRunner, Waiter, ack_ids
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.delivery import Delivery
from socketio_server.sockets.targets import Target, channels_of, check_event_name


class SocketSession(NamedTuple):
    """``socket.session``: where django-socketio's handlers found the id of a connection."""

    session_id: str


class Socket:
    """One client's connection to a namespace: all that handlers may do with it.

    It may be kept after the end: then it sends nothing, is on no channel and can't be subscribed.

    :param delivery: gets messages to the client.
    :param clients: the registry that the client is in.
    :param request: the Django request of the handshake.
    :param auth: the value of the client's ``auth`` option.
    """

    __slots__ = ("__weakref__", "_clients", "_delivery", "auth", "context", "request")

    recovered = False
    """Whether a lost session was taken up again."""

    def __init__(
        self, delivery: Delivery, clients: "Clients[Socket]", *, request: Any, auth: Any
    ) -> None:
        self.request = request
        self.auth = auth
        """The value of the client's ``auth`` option."""
        self.context: dict[Any, Any] = {}
        """The handlers' own: one dict per connection, from connect to finish."""
        self._delivery = delivery
        self._clients = clients

    @property
    def id(self) -> str:
        """The connection's public id: what the client sees as ``socket.id``."""
        return self._delivery.id

    @property
    def session(self) -> SocketSession:
        """Holds ``session_id``, which is ``id`` under django-socketio's name."""
        return SocketSession(self._delivery.id)

    @property
    def namespace(self) -> str:
        """The namespace that the client joined."""
        return self._delivery.namespace

    @property
    def channels(self) -> list[str]:
        """The channels held, in order of subscription: a list for looking, made anew each time."""
        return list(self._delivery.channels)

    @property
    def transport(self) -> str:
        """``"polling"`` or ``"websocket"``, as of now; after the end, as of then."""
        return self._delivery.transport

    @property
    def writable(self) -> bool:
        """Whether a message would go out at once: nothing waits for the client."""
        return self._delivery.writable

    @property
    def close_reason(self) -> CloseReason | None:
        """Why the connection ended; ``None`` while it lasts."""
        return self._delivery.close_reason

    def connected(self) -> bool:
        """Return whether the client is still there."""
        return self._delivery.close_reason is None

    def send(self, message: Any) -> None:
        """Send a message to this client only.

        :raises TypeError: if it can't be encoded.
        """
        clients, delivery = self._clients, self._delivery
        clients.messages_out += 1
        outgoing = clients.encode(delivery.namespace, MESSAGE, (message,))
        delivery.send(outgoing, clients.timekeeper)

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
        channels = self._delivery.channels if channel is None else (channel,)
        self._publish(MESSAGE, (message,), channels, skip=(self.id,))

    def send_and_broadcast(self, message: Any) -> None:
        """Send a message to every client, this one included.

        :raises TypeError: if it can't be encoded.
        """
        self.broadcast(message)
        self.send(message)

    def send_and_broadcast_channel(self, message: Any, channel: str | None = None) -> None:
        """Send a message to this client and to every other client on a channel.

        :param channel: without one, on any of this socket's channels, each client once.
        :raises TypeError: if the message can't be encoded.
        """
        self.broadcast_channel(message, channel)
        self.send(message)

    def subscribe(self, channel: str) -> bool:
        """Put this socket on a channel; fires no event.

        :return: ``False`` if it was on it already, or its last handler has run.
        """
        delivery = self._delivery
        if channel in delivery.channels or delivery.owner is None:
            return False
        delivery.channels += (channel,)
        self._clients.channels.add(delivery, channel)
        return True

    def unsubscribe(self, channel: str) -> bool:
        """Take this socket off a channel; fires no event.

        :return: ``False`` if it was not on it.
        """
        delivery = self._delivery
        if channel not in delivery.channels:
            return False
        delivery.channels = tuple(held for held in delivery.channels if held != channel)
        self._clients.channels.discard(delivery, channel)
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
            clients, delivery = self._clients, self._delivery
            clients.messages_out += 1
            if callback is None:
                outgoing = clients.encode(delivery.namespace, event, args)
                delivery.send(outgoing, clients.timekeeper)
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
        clients, delivery = self._clients, self._delivery
        if delivery.is_joining:
            raise RuntimeError("on_connect can't call(): emit() with a callback instead")
        ack_id = next(ack_ids)
        waiter = Waiter((delivery.id,), clients.timekeeper)
        outgoing = clients.encode(delivery.namespace, event, args, ack_id)
        left = delivery.ask(ack_id, outgoing, waiter, clients.timekeeper, timeout)
        answers = waiter.wait(left)
        delivery.forget_acknowledgement(ack_id)
        if delivery.id not in answers.values:
            raise TimeoutError(f"the client did not acknowledge {event!r}")
        return answers.values[delivery.id]

    def disconnect(self, close: bool = False) -> None:
        """End this connection: to its namespace, or with ``close`` the client's whole session.

        ``on_disconnect`` and the rest run after the event that is being handled.
        """
        self._delivery.disconnect(close=close)

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

    def _emit_with_callback(
        self,
        event: str,
        args: tuple[Any, ...],
        callback: Callable[..., Any],
        timeout: float | None,
    ) -> None:
        clients, delivery = self._clients, self._delivery
        ack_id = next(ack_ids)
        outgoing = clients.encode(delivery.namespace, event, args, ack_id)
        runner = CallbackRunner(
            partial(delivery.run_callback, callback),
            partial(delivery.forget_acknowledgement, ack_id),
            timeout,
            clients.timekeeper,
        )
        delivery.ask(ack_id, outgoing, runner, clients.timekeeper)
