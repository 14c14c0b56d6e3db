"""What tests call: ``SocketIOClient``."""

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

    Whatever the client does, all that comes of it has been done when the call returns. What
    handlers raise is logged and goes to ``on_error`` as it always does, and is then raised in the
    test, from the call that led to it, unless ``raise_handler_errors=False``.

    Where several clients are connected they share ``CLIENTS`` and ``CHANNELS``, so that the
    functions of ``socketio_server`` reach them, from views under test too. Leaving the ``with``
    block disconnects, and the last handlers run; ``self.enterContext(SocketIOClient())`` in a
    ``TestCase`` does the same at the test's end.

    :param client: makes the handshake, with its cookies and session; a new one if it is left out.
    :param user: whom that is logged in as, with ``force_login``.
    :param namespace: the namespace to join.
    :param auth: the client's ``auth`` option: ``socket.auth`` in handlers.
    :param headers: headers of the handshake's request, ``{"Accept-Language": "fr"}`` say.
    :param query: its query string, besides the protocol's own.
    :param secure: whether it is made with HTTPS.
    :param registry: the handlers, if not the project's.
    :param raise_handler_errors: whether what handlers raise is raised in the test as well.
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
        else:  # what the last handlers raise yet must not hide why the test failed
            with suppress(Exception):
                self.disconnect()

    @property
    def clock(self) -> Clock:
        """The time of all clients: ``client.clock.advance(seconds)``."""
        return clock

    # --- The connection -----------------------------------------------------------------------

    def connect(self) -> None:
        """Connect, and run ``on_connect``. A client that was disconnected may connect again.

        If this raises, be it what a handler raised, the client is not connected.

        :raises ConnectionRefused: if the client is not let in.
        """
        if self.connected:
            raise RuntimeError("the client is connected already")
        if world.busy:
            raise RuntimeError("a client can't connect while handlers run")
        try:
            with world.turn():
                # What middleware activates, a language say, must not reach the test.
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
        """End the connection, and run the last handlers. Does nothing where there is none.

        :param reason: the ``socket.close_reason`` that they see: by default that of a client that
            says goodbye; ``"transport close"`` is a page that was closed.
        """
        self._close(CloseReason(reason))

    @property
    def connected(self) -> bool:
        """Whether the client is connected."""
        world.settle()
        return self._joined

    @property
    def close_reason(self) -> CloseReason | None:
        """Why the last connection ended, as the handlers saw it; ``None`` while it lasts."""
        world.settle()
        return None if self._socket is None else self._socket.close_reason

    def go_silent(self) -> None:
        """Lose the network without a goodbye: nothing arrives any more, in neither direction.

        The server notices when a heartbeat goes unanswered:
        ``client.clock.advance(45)`` with the default settings.
        """
        self._require_link().silent = True

    # --- What the client does -----------------------------------------------------------------

    def send(self, message: Any) -> None:
        """Send a message: ``on_message`` runs."""
        self.emit(MESSAGE, message)

    def emit(self, event: str, *args: Any) -> None:
        """Send a custom event, and ask for no acknowledgement.

        :raises ValueError: if the event's name is reserved.
        """
        check_event_name(event)
        with world.turn():
            self._emit(event, args)

    def call(self, event: str, *args: Any) -> Any:
        """Send an event, and return the value of its acknowledgement.

        That is what the handlers returned, as JSON carries it; a tuple where there are several
        values. A message that does not fit its handler's annotation is acknowledged with an error,
        and so raises nothing here.

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
        """Subscribe to a channel: ``on_subscribe`` runs.

        :return: ``False`` if the client was on it already.
        :raises SubscriptionRefused: if it is refused.
        """
        return self._ask_for(SUBSCRIBE, channel)

    def unsubscribe(self, channel: str) -> bool:
        """Leave a channel: ``on_unsubscribe`` runs.

        :return: ``False`` if the client was not on it.
        :raises SubscriptionRefused: if the channel's name is none.
        """
        return self._ask_for(UNSUBSCRIBE, channel)

    def on(self, event: str, answer: Any) -> None:
        """Acknowledge an event whenever the server asks for it: ``socket.call``, callbacks.

        :param answer: what it is acknowledged with: a tuple for several values, ``None`` for none;
            or a function of the event's arguments that returns that.
        """
        self._answers[event] = answer

    def acknowledge(self, event: str, *values: Any) -> None:
        """Acknowledge an event that has arrived, the oldest of that name that waits for it.

        For callbacks, and for answers that come late; a handler in ``socket.call`` gets its answer
        from ``on`` only.

        :raises LookupError: if none waits.
        """
        world.settle()
        packet = next((packet for packet in self._owed if packet.data[0] == event), None)
        if packet is None:
            raise LookupError(f"no {event!r} waits for an acknowledgement")
        self._owed.remove(packet)
        with world.turn():
            self._acknowledge(packet, values)

    # --- What has arrived ---------------------------------------------------------------------

    @property
    def received(self) -> list[tuple[Any, ...]]:
        """What has arrived, in order: of each event its name and arguments, in one tuple.

        A message is ``("message", message)``. ``get_received`` and ``assert_received`` take out
        what they return or have seen.
        """
        world.settle()
        return list(self._received)

    @property
    def messages(self) -> list[Any]:
        """The messages among ``received``; several arguments are a list."""
        events = [args for name, *args in self.received if name == MESSAGE]
        return [args[0] if len(args) == 1 else args or None for args in events]

    def get_received(self) -> list[tuple[Any, ...]]:
        """Return ``received``, and forget it."""
        received = self.received
        self._received.clear()
        return received

    def assert_received(self, *expected: Any) -> None:
        """Assert that exactly this has arrived since the last look, in this order, and forget it.

        :param expected: messages; and custom events as tuples, ``("typing", "Ann")`` say.
        """
        __tracebackhide__ = True
        wanted = [each if isinstance(each, tuple) else (MESSAGE, each) for each in expected]
        received = self.received
        if received != wanted:
            raise AssertionError(
                f"Expected to have arrived:\n{_list(wanted)}\nHas arrived:\n{_list(received)}"
            )
        self._received.clear()

    def assert_received_nothing(self) -> None:
        """Assert that nothing has arrived since the last look."""
        __tracebackhide__ = True
        self.assert_received()

    # ------------------------------------------------------------------------------------------

    def _ask_for(self, event: str, channel: str) -> bool:
        answer = self.call(event, channel)
        if isinstance(answer, dict):
            raise SubscriptionRefused(answer["error"], answer.get("data"))
        return bool(answer)

    def _explain(self) -> str:
        """Say why there was no acknowledgement."""
        if world.busy:
            return "other handlers are still running"
        if not self._joined:
            return "the connection ended"
        return "no handler is registered for it, or one raised"


def _list(events: Sequence[tuple[Any, ...]]) -> str:
    return "\n".join(f"  {event!r}" for event in events) or "  nothing"
