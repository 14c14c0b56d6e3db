"""The test client's interface: ``SocketIOClient``."""

import contextvars
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from django.test import Client

from socketio_server.exceptions import ValidationError
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.names import MAIN_NAMESPACE, MESSAGE, SUBSCRIBE, UNSUBSCRIBE
from socketio_server.registry.events import REGISTRY, Registry
from socketio_server.serving.transactions import count_waiting
from socketio_server.serving.users import room_of
from socketio_server.sockets.acknowledgements import unpack
from socketio_server.sockets.targets import check_event_name
from socketio_server.testing.exceptions import SubscriptionRefused
from socketio_server.testing.handshake import Handshake
from socketio_server.testing.peer import Peer
from socketio_server.testing.world import Clock, clock, world

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


class SocketIOClient(Peer):
    """A client whose server is the test's own process.

    Each call returns when all handlers that it caused have run. An exception of a handler is logged
    and passed to ``on_error`` as on a server, and then raised in the test, from the call that
    caused it, unless ``raise_handler_errors=False``.

    All connected clients share ``CLIENTS`` and ``CHANNELS``, so that the functions of
    ``socketio_server`` reach them, also from views under test. Leaving the ``with`` block
    disconnects the client, and its last handlers run; ``self.enterContext(SocketIOClient())`` in a
    ``TestCase`` does the same at the end of the test.

    :param client: the Django test client that makes the handshake, with its cookies and session; a
        new one by default.
    :param user: the user that it is logged in as, with ``force_login``.
    :param namespace: the namespace to join.
    :param auth: the client's ``auth`` option: ``socket.auth`` in handlers.
    :param headers: headers of the handshake, for instance ``{"Accept-Language": "fr"}``.
    :param query: parameters of the handshake's URL, besides the protocol's own.
    :param secure: whether the handshake uses HTTPS.
    :param registry: the handlers, if not the project's.
    :param raise_handler_errors: whether exceptions of handlers are raised in the test as well.
    :raises TypeError: if ``user`` is no user.
    :raises ValueError: if it is anonymous, or in no database.
    """

    def __init__(
        self,
        *,
        client: Client | None = None,
        user: "AbstractBaseUser | None" = None,
        namespace: str = MAIN_NAMESPACE,
        auth: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        secure: bool = False,
        registry: Registry = REGISTRY,
        raise_handler_errors: bool = True,
    ) -> None:
        if user is not None and room_of(user) is None:
            raise TypeError(f"{user!r} is no user, as which a client could be logged in")
        handshake = Handshake(client or Client(), user, headers or {}, query or {}, secure)
        super().__init__(
            namespace, auth, handshake, registry, raise_handler_errors=raise_handler_errors
        )

    def __repr__(self) -> str:
        state = "connected" if self._joined else "not connected"
        return f"<SocketIOClient {self.session_id or self.namespace}, {state}>"

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self.disconnect()
        else:  # exceptions of the last handlers must not hide the one that failed the test
            with suppress(Exception):
                self.disconnect()

    @property
    def clock(self) -> Clock:
        """The time of all clients: ``client.clock.advance(seconds)``."""
        return clock

    # --- The connection -----------------------------------------------------------------------

    def connect(self) -> None:
        """Connect, and run ``on_connect``. A client that was disconnected may connect again.

        After any exception, a handler's too, the client is not connected.

        :raises ConnectionRefused: if the server refuses the client.
        """
        if self.connected:
            raise RuntimeError("the client is connected already")
        if world.busy:
            raise RuntimeError("a client can't connect while handlers run")
        try:
            with world.turn():
                # A copied context, because the test must not see middleware's context variables.
                contextvars.copy_context().run(self._open)
                self._join()
            if self._refusal is not None:
                raise self._refusal
        except BaseException:
            with suppress(Exception):
                self._close(CloseReason.TRANSPORT_CLOSE)
            raise

    def disconnect(
        self, reason: CloseReason | str = CloseReason.CLIENT_NAMESPACE_DISCONNECT
    ) -> None:
        """End the connection, and run the last handlers; without a connection, do nothing.

        :param reason: the handlers' ``socket.close_reason``; by default that of a client that says
            goodbye, ``"transport close"`` for a page that was closed.
        """
        self._close(CloseReason(reason))

    @property
    def connected(self) -> bool:
        """Whether the client is connected."""
        world.settle()
        return self._joined

    @property
    def close_reason(self) -> CloseReason | None:
        """The handlers' ``socket.close_reason`` of the last connection; ``None`` while it lasts."""
        world.settle()
        return None if self._socket is None else self._socket.close_reason

    def go_silent(self) -> None:
        """Lose the network without a goodbye: no packet arrives any more, in either direction.

        The server notices it by an unanswered heartbeat: ``client.clock.advance(45)`` with the
        default settings.
        """
        self._require_link().silent = True

    # --- Sending ------------------------------------------------------------------------------

    def send(self, message: Any) -> None:
        """Send a message: ``on_message`` runs."""
        self.emit(MESSAGE, message)

    def emit(self, event: str, *args: Any) -> None:
        """Send a custom event without asking for an acknowledgement.

        :raises ValueError: if the event's name is reserved.
        """
        check_event_name(event)
        with world.turn():
            self._emit(event, args)

    def call(self, event: str, *args: Any) -> Any:
        """Send an event, and return the value of its acknowledgement.

        The value is the handlers' return value, converted to JSON and back; several values are a
        tuple. A message that does not fit its handler's annotation is acknowledged with an error,
        and raises no exception here.

        :raises TimeoutError: if the server did not acknowledge.
        :raises ValueError: if the event's name is reserved.
        """
        check_event_name(event)
        ack_id = next(self._ack_ids)
        try:
            with world.turn():
                self._emit(event, args, ack_id)
        except ValidationError:
            if ack_id not in self._acks:
                raise
        if ack_id not in self._acks:
            raise TimeoutError(f"the server did not acknowledge {event!r}: {self._explain()}")
        return unpack(self._acks.pop(ack_id))

    def subscribe(self, channel: str) -> bool:
        """Subscribe to a channel: ``authorize`` is asked, and ``on_subscribe`` runs.

        :return: ``False`` if the client was on it already.
        :raises SubscriptionRefused: if the server refuses.
        """
        return self._ask_for(SUBSCRIBE, channel)

    def unsubscribe(self, channel: str) -> bool:
        """Leave a channel: ``on_unsubscribe`` runs.

        :return: ``False`` if the client was not on it.
        :raises SubscriptionRefused: if the channel's name is invalid.
        """
        return self._ask_for(UNSUBSCRIBE, channel)

    def on(self, event: str, answer: Any) -> None:
        """Acknowledge an event whenever the server asks for it: ``socket.call``, callbacks.

        :param answer: the value of the acknowledgement: a tuple for several values, ``None`` for
            none; or a function of the event's arguments that returns it.
        """
        self._answers[event] = answer

    def acknowledge(self, event: str, *values: Any) -> None:
        """Acknowledge the oldest event of this name that has arrived and was not acknowledged.

        For callbacks, and for late answers; a handler in ``socket.call`` gets its answer from
        ``on`` only.

        :raises LookupError: if there is no such event.
        """
        world.settle()
        packet = next((packet for packet in self._owed if packet.data[0] == event), None)
        if packet is None:
            raise LookupError(f"no {event!r} waits for an acknowledgement")
        self._owed.remove(packet)
        with world.turn():
            self._acknowledge(packet, values)

    # --- Received events ----------------------------------------------------------------------

    @property
    def received(self) -> list[tuple[Any, ...]]:
        """The received events in order, each as a tuple of its name and arguments.

        A message is ``("message", message)``. ``get_received`` and ``assert_received`` remove the
        events that they return or compare.
        """
        world.settle()
        return list(self._received)

    @property
    def messages(self) -> list[Any]:
        """The messages among ``received``; several arguments are a list."""
        events = [args for name, *args in self.received if name == MESSAGE]
        return [args[0] if len(args) == 1 else args or None for args in events]

    def get_received(self) -> list[tuple[Any, ...]]:
        """Return ``received``, and clear it."""
        received = self.received
        self._received.clear()
        return received

    def assert_received(self, *expected: Any) -> None:
        """Assert that ``received`` is exactly this, in this order, and clear it.

        :param expected: messages, and custom events as tuples, for instance ``("typing", "Ann")``.
        """
        __tracebackhide__ = True
        wanted = [each if isinstance(each, tuple) else (MESSAGE, each) for each in expected]
        received = self.received
        if received != wanted:
            waiting = count_waiting()
            more = (
                f"\nMessages that wait for the commit: {waiting}. "
                "captureOnCommitCallbacks(execute=True) sends them"
            )
            raise AssertionError(
                f"Expected events:\n{_list(wanted)}\nReceived events:\n{_list(received)}"
                f"{more if waiting else ''}"
            )
        self._received.clear()

    def assert_received_nothing(self) -> None:
        """Assert that ``received`` is empty."""
        __tracebackhide__ = True
        self.assert_received()

    # ------------------------------------------------------------------------------------------

    def _ask_for(self, event: str, channel: str) -> bool:
        answer = self.call(event, channel)
        if isinstance(answer, dict):
            raise SubscriptionRefused(answer["error"], answer.get("data"))
        return bool(answer)

    def _explain(self) -> str:
        """Return why there was no acknowledgement."""
        if world.busy:
            return "other handlers are still running"
        if not self._joined:
            return "the connection ended"
        return "no handler is registered for it on the client's channels, or one raised"


def _list(events: Sequence[tuple[Any, ...]]) -> str:
    return "\n".join(f"  {event!r}" for event in events) or "  nothing"
