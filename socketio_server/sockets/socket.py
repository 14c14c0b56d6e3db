"""The socket that handlers get: one client's connection to a namespace.

The methods and names are django-socketio's. Methods that send to one client wait until there is
room for the message (``Delivery.send``), and ``call`` also waits for the answer. With a broker,
``subscribe`` waits a moment where the channel is new to this process. The others never switch
greenlets.

With ``SOCKETIO_ON_COMMIT``, messages that are sent inside of a database transaction are encoded at
the call, and sent when it is committed; those that ask for an acknowledgement are sent at once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

from socketio_server.engine.transports.base import Outgoing
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import MESSAGE
from socketio_server.sockets.acknowledgements import Answers, CallbackRunner, Waiter, ack_ids
from socketio_server.sockets.clients import Clients
from socketio_server.sockets.delivery import Delivery
from socketio_server.sockets.operations import Operations
from socketio_server.sockets.targets import (
    EVERYONE,
    OTHERS,
    Channels,
    Selection,
    Skip,
    SocketSession,
    Target,
    check_channel,
    check_event_name,
    check_timeout,
    select,
)


class Socket:
    """One client's connection to a namespace, as handlers use it.

    It may be kept after the end: then it sends nothing, is on no channel and can't be subscribed.

    :param delivery: sends messages to the client.
    :param clients: the registry of clients.
    :param request: the Django request of the handshake.
    :param auth: the value of the client's ``auth`` option.
    """

    __slots__ = ("__weakref__", "_clients", "_data", "_delivery", "auth", "context", "request")

    recovered = False
    """Whether a lost connection was recovered; always ``False`` so far."""

    def __init__(
        self, delivery: Delivery, clients: "Clients[Socket]", *, request: Any, auth: Any
    ) -> None:
        self.request = request
        self.auth = auth
        """The value of the client's ``auth`` option."""
        self.context: dict[Any, Any] = {}
        """The handlers' own data: one dict per connection, from connect to finish."""
        self._data: dict[str, Any] | None = None  # until somebody looks
        self._delivery = delivery
        self._clients = clients

    @property
    def user(self) -> Any:
        """The client's user as of now: ``request.user``."""
        return self.request.user

    @property
    def id(self) -> str:
        """The connection's public id, the client's ``socket.id``."""
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
        """The channels held, in order of subscription: a new list each time."""
        return list(self._delivery.channels)

    @property
    def data(self) -> dict[str, Any]:
        """What all processes may know of this socket (``find_sockets``): JSON's types; it begins
        empty.
        """
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def transport(self) -> str:
        """The current transport, ``"polling"`` or ``"websocket"``; after the end, the last one."""
        return self._delivery.transport

    @property
    def writable(self) -> bool:
        """Whether a message would be sent at once, because none waits for the client."""
        return self._delivery.writable

    @property
    def close_reason(self) -> CloseReason | None:
        """Why the connection ended; ``None`` while it lasts."""
        return self._delivery.close_reason

    def connected(self) -> bool:
        """Return whether the client is connected."""
        return self._delivery.close_reason is None

    def send(self, message: Any) -> None:
        """Send a message to this client only.

        :param message: NaN and infinities in it arrive as ``null``, lone surrogates as U+FFFD.
        :raises TypeError: if it can't be encoded.
        :raises RuntimeError: if too much would wait for the commit, as from all methods that may
            wait for it.
        """
        clients, delivery = self._clients, self._delivery
        if clients.transactions is not None and clients.transactions.is_open():
            self._defer(MESSAGE, (message,))
            return
        clients.messages_out += 1
        outgoing = clients.encode(delivery.namespace, MESSAGE, (message,))
        del message  # while the event waits for room, nothing but it is kept
        delivery.send(outgoing, clients.timekeeper)

    def broadcast(self, message: Any) -> None:
        """Send a message to every other client.

        :raises TypeError: if it can't be encoded.
        """
        self._publish(MESSAGE, (message,), select(OTHERS, sender=self.id))

    def broadcast_channel(self, message: Any, channel: str | None = None) -> None:
        """Send a message to every other client on a channel.

        :param channel: without one, on any of this socket's channels, each client once.
        :raises TypeError: if the message can't be encoded, or the channel is no string.
        :raises ValueError: if the channel's name is empty.
        """
        selection = select(self._delivery.channels if channel is None else channel, self.id)
        self._publish(MESSAGE, (message,), selection)

    def send_and_broadcast(self, message: Any) -> None:
        """Send a message to every client, this one included.

        :raises TypeError: if it can't be encoded.
        """
        if self._goes_like_others():
            self._publish(MESSAGE, (message,), select(EVERYONE))
        else:
            self.broadcast(message)
            self.send(message)

    def send_and_broadcast_channel(self, message: Any, channel: str | None = None) -> None:
        """Send a message to this client and to every other client on a channel.

        :param channel: without one, on any of this socket's channels, each client once.
        :raises TypeError: if the message can't be encoded.
        """
        own = self._delivery.channels
        if self._goes_like_others() and (own if channel is None else channel in own):
            self._publish(MESSAGE, (message,), select(own if channel is None else channel))
        else:
            self.broadcast_channel(message, channel)
            self.send(message)

    def subscribe(self, channel: str) -> bool:
        """Put this socket on a channel; fires no event.

        Waits up to a second until messages of other processes arrive here; inside a database
        transaction, and while Redis is lost, it does not wait, and they arrive later.

        :return: ``False`` if it was on it already, or its last handler has run.
        :raises TypeError: if the channel is no string.
        :raises ValueError: if its name is empty.
        """
        check_channel(channel)
        clients, delivery = self._clients, self._delivery
        if delivery.owner is None or not clients.subscribe(delivery, channel):
            return False
        clients.broker.listen(delivery.namespace, channel)
        if not delivery.awaits_decision(channel) and delivery.owner is not None:
            delivery.owner.subscribed(channel)
        return True

    def unsubscribe(self, channel: str) -> bool:
        """Take this socket off a channel; fires no event.

        :return: ``False`` if it was not on it.
        :raises TypeError: if the channel is no string.
        :raises ValueError: if its name is empty.
        """
        check_channel(channel)
        delivery = self._delivery
        if not self._clients.unsubscribe(delivery, channel):
            return False
        if not delivery.awaits_decision(channel) and delivery.owner is not None:
            delivery.owner.unsubscribed(channel)
        return True

    def emit(
        self,
        event: str,
        *args: Any,
        to: Target | None = None,
        skip: Skip = (),
        skip_channels: Channels = (),
        volatile: bool = False,
        callback: Callable[..., Any] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Send a custom event to this client, or to the recipients in ``to``.

        :param args: as in ``send``.
        :param to: a channel, a user, several (each client gets it once), ``EVERYONE`` in the
            namespace, ``OTHERS``, or one client by its ``socket.session``.
        :param skip: session ids, or ``socket.session``, of clients that don't get it, or users: one
            or several.
        :param skip_channels: one channel or several, whose subscribers don't get it.
        :param volatile: whether it is dropped for clients that can't take it at once.
        :param callback: called with the values of this client's acknowledgement, as one of its
            events.
        :param timeout: seconds after which the callback does not run any more; nor is the event
            sent any more, if there was no room for it until then.
        :raises TypeError: if an argument is of a wrong type, or can't be encoded.
        :raises ValueError: if the event's name is reserved, a channel's name is empty, the timeout
            is negative or has no callback, or a callback is given with ``to``.
        """
        check_event_name(event)
        if callback is not None or timeout is not None:
            _check_callback(callback, timeout, has_target=to is not None)
        clients, delivery = self._clients, self._delivery
        if to is not None:
            selection = select(to, skip, skip_channels, sender=self.id)
            self._publish(event, args, selection, volatile=volatile)
        elif self._is_left_out(skip, skip_channels):
            return
        elif (
            callback is None and clients.transactions is not None and clients.transactions.is_open()
        ):
            self._defer(event, args, volatile=volatile)
        elif not volatile or delivery.writable:
            clients.messages_out += 1
            if callback is None:
                outgoing = clients.encode(delivery.namespace, event, args)
                del args  # as in ``send``
                delivery.send(outgoing, clients.timekeeper)
            else:
                ack_id = next(ack_ids)
                outgoing = clients.encode(delivery.namespace, event, args, ack_id)
                del args
                self._send_with_callback(ack_id, outgoing, callback, timeout)

    def call(
        self,
        event: str,
        *args: Any,
        to: Target | None = None,
        skip: Skip = (),
        skip_channels: Channels = (),
        timeout: float | None = None,
    ) -> Any:
        """Send a custom event, and wait for the acknowledgement; other handlers run meanwhile.

        :param to: the recipients, all of which are to acknowledge; by default this client.
        :param timeout: seconds to wait; ``None``: until the client disconnects.
        :return: the acknowledgement's value, a tuple if there are several; with ``to``,
            ``Answers``.
        :raises TimeoutError: if it did not arrive in time, or the client has disconnected; not with
            ``to``.
        :raises TypeError: if an argument is of a wrong type, or can't be encoded.
        :raises ValueError: if the event's name is reserved, a channel's name is empty, or the
            timeout is negative.
        :raises RuntimeError: in an ``on_connect`` handler, before the client knows that it is
            connected.
        """
        check_event_name(event)
        check_timeout(timeout)
        if to is not None:
            selection = select(to, skip, skip_channels, sender=self.id)
            return ask(self._clients, self.namespace, event, args, selection, timeout)
        if self._delivery.is_joining:
            raise RuntimeError("on_connect can't call(): emit() with a callback instead")
        if not self._is_left_out(skip, skip_channels):
            clients, delivery = self._clients, self._delivery
            with self._expecting() as (ack_id, waiter):
                outgoing = clients.encode(delivery.namespace, event, args, ack_id)
                del args  # as in ``send``
                left = delivery.ask(ack_id, outgoing, waiter, clients.timekeeper, timeout)
                del outgoing  # until the answer arrives, nothing of the question is kept
                answers = waiter.wait(left)
            if self.id in answers.values:
                return answers.values[self.id]
        raise TimeoutError(f"the client did not acknowledge {event!r}")

    def disconnect(self, close: bool = False) -> None:
        """End this connection to its namespace, or with ``close`` the client's whole session.

        ``on_disconnect`` and the other handlers of the end run after the current event.
        """
        self._delivery.disconnect(close=close)

    def _is_left_out(self, skip: Skip, skip_channels: Channels) -> bool:
        """Return whether this client is skipped."""
        if skip == () == skip_channels:
            return False  # nearly always
        selection = select(self.session, skip, skip_channels)
        return selection.leaves_out(self.id, self._delivery.places)

    def _publish(
        self, event: str, args: tuple[Any, ...], selection: Selection, *, volatile: bool = False
    ) -> None:
        """Send an event to other clients, now or when the caller's transaction is committed."""
        clients, namespace = self._clients, self._delivery.namespace
        if clients.transactions is None or not clients.transactions.is_open():
            publish(clients, namespace, event, args, selection, volatile=volatile)
        else:
            args, size = clients.freeze(namespace, event, args)
            send = partial(publish, clients, namespace, event, args, selection, volatile=volatile)
            clients.transactions.defer(send, size)

    def _goes_like_others(self) -> bool:
        """Return whether one event for all does the same as one for this client, and one for the
        others: it is sent now, and need not wait for this client.
        """
        transactions = self._clients.transactions
        is_deferred = transactions is not None and transactions.is_open()
        return self._delivery.clear_lane is not None and not is_deferred

    def _defer(self, event: str, args: tuple[Any, ...], *, volatile: bool = False) -> None:
        """Send an event to this client when the caller's transaction is committed."""
        clients = self._clients
        assert clients.transactions is not None  # the caller has asked it
        outgoing = clients.encode(self._delivery.namespace, event, args)
        clients.transactions.defer(partial(self._send, outgoing, volatile), len(outgoing.frames))

    def _send(self, outgoing: Outgoing, volatile: bool) -> None:
        clients, delivery = self._clients, self._delivery
        if not volatile or delivery.writable:
            clients.messages_out += 1
            delivery.send(outgoing, clients.timekeeper)

    @contextmanager
    def _expecting(self) -> Iterator[tuple[int, Waiter]]:
        """Expect the acknowledgement of an event that is sent inside the ``with``.

        :return: the id of the acknowledgement, and who waits for it.
        """
        delivery = self._delivery
        ack_id, waiter = next(ack_ids), Waiter((delivery.id,), self._clients.timekeeper)
        try:
            yield ack_id, waiter
        finally:
            delivery.forget_acknowledgement(ack_id)
            waiter.close()

    def _send_with_callback(
        self,
        ack_id: int,
        outgoing: Outgoing,
        callback: Callable[..., Any],
        timeout: float | None,
    ) -> None:
        clients, delivery = self._clients, self._delivery
        runner = CallbackRunner(partial(delivery.run_callback, callback))
        left = delivery.ask(ack_id, outgoing, runner, clients.timekeeper, timeout)
        if left is not None and left > 0 and delivery.close_reason is None:
            forget = partial(delivery.forget_acknowledgement, ack_id)
            runner.cancel_timeout = clients.timekeeper.call_later(left, forget)


def publish(
    clients: Clients[Socket],
    namespace: str,
    event: str,
    args: tuple[Any, ...],
    selection: Selection,
    *,
    volatile: bool = False,
) -> None:
    """Send an event to a selection of a namespace's clients, which may be empty; at once.

    :raises TypeError: if an argument can't be encoded.
    """
    socket_id = selection.socket_id
    socket = None if socket_id is None else clients.find(socket_id, namespace)
    if socket is None:  # several clients, or one of another process, or of none
        clients.broker.publish(selection.envelope(namespace, event, args, volatile=volatile))
    elif not selection.leaves_out(socket.id, socket._delivery.places):
        socket._send(clients.encode(namespace, event, args), volatile)


def ask(
    clients: Clients[Socket],
    namespace: str,
    event: str,
    args: tuple[Any, ...],
    selection: Selection,
    timeout: float | None,
) -> Answers:
    """Send an event to a selection of a namespace's clients, and wait for their acknowledgements.

    :raises TypeError: if an argument can't be encoded.
    """
    socket_id = selection.socket_id
    socket = None if socket_id is None else clients.find(socket_id, namespace)
    if socket is None:
        envelope = selection.envelope(namespace, event, args)
        answers = Operations(clients).call(envelope, timeout)
        if socket_id is None:
            return answers
        found = (*answers.values.values(), *answers.unnamed)
        return Answers({socket_id: found[0]}, ()) if found else Answers({}, (socket_id,))
    if selection.leaves_out(socket.id, socket._delivery.places):
        return Answers({}, ())
    delivery = socket._delivery
    with socket._expecting() as (ack_id, waiter):
        outgoing = clients.encode(namespace, event, args, ack_id)
        left = delivery.ask(ack_id, outgoing, waiter, clients.timekeeper, timeout)
        del args, outgoing
        return waiter.wait(left)


def _check_callback(
    callback: Callable[..., Any] | None, timeout: float | None, *, has_target: bool
) -> None:
    """Check the callback of an event's acknowledgement, and its timeout."""
    if callback is None:
        raise ValueError("timeout is for the callback: give a callback, or use call()")
    if not callable(callback):
        raise TypeError(f"callback must be callable, not {callback!r}")
    if iscoroutinefunction(callback):
        raise TypeError(f"callback must not be async def, which nobody would await: {callback!r}")
    if has_target:
        raise ValueError("a callback is for this client's answer: use call() with to=")
    check_timeout(timeout)
