"""A Socket.IO client for tests: your handlers without a server, without sockets, without waiting.

    from django.test import TestCase
    from socketio_server.testing import SocketIOClient

    class ChatTests(TestCase):
        def test_what_is_said_reaches_the_room(self):
            with SocketIOClient(user=self.ann) as ann, SocketIOClient(user=self.bob) as bob:
                ann.subscribe("room-1")
                bob.subscribe("room-1")
                ann.send("hello")
                bob.assert_received("hello")

The handshake goes through the project's middleware and the server's own view, messages through the
real encoders, router and dispatcher to the handlers, which run at once: in the test's own thread,
and so in its database transaction. Only what lies between a client and the router is replaced:
transports, heartbeat timers, workers and the time. What this can't show is how handlers of several
sockets overlap: here each runs to its end, or until it waits for an acknowledgement.
"""

import contextvars
import json
import os
import secrets
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from django.apps import apps
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from gevent.event import Event

from socketio_server import conf
from socketio_server.acknowledgements import Clock as ServerClock
from socketio_server.acknowledgements import unpack
from socketio_server.apps import SocketIOConfig
from socketio_server.channels import MAIN_NAMESPACE
from socketio_server.clients import CLIENTS
from socketio_server.connection import Watcher
from socketio_server.counters import Stats
from socketio_server.dispatcher import CallNext, Dispatcher
from socketio_server.engine import Engine
from socketio_server.events import REGISTRY, SUBSCRIBE, UNSUBSCRIBE, Registry
from socketio_server.exceptions import DecodeError, SocketIOError, ValidationError
from socketio_server.handler import UPGRADE_KEY
from socketio_server.heartbeat import Heartbeat
from socketio_server.hooks import DjangoHooks
from socketio_server.options import Options
from socketio_server.protocol import engineio, socketio
from socketio_server.protocol.engineio import CloseReason
from socketio_server.protocol.socketio import Packet, PacketType
from socketio_server.service import load_middleware
from socketio_server.session import Session
from socketio_server.sockets import MESSAGE, Socket, check_event_name
from socketio_server.transports.base import Outgoing
from socketio_server.workers import Job

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

__all__ = ["Clock", "ConnectionRefused", "SocketIOClient", "SubscriptionRefused", "clock"]

FOREVER = 3600.0
"""Seconds after which a handler that waits without a timeout counts as waiting for ever: clients
that are silent are given up long before."""

_HANDSHAKE = {"EIO": str(engineio.PROTOCOL_VERSION), "transport": "websocket"}
_HANDSHAKE_HEADERS = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
_MAX_ATTACHMENTS = 999_999_999  # no limit: the server may send what it likes


class ConnectionRefused(SocketIOError):
    """Raised by ``connect`` when the client was not let in.

    :param message: what the client was told: ``error.message`` of its ``connect_error`` event.
    :param data: ``error.data`` there.
    :param response: the answer to the handshake, where that was refused already, by the origin
        check or by the project's middleware; ``None`` where ``on_connect`` refused.
    """

    def __init__(self, message: str, data: Any = None, response: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        self.response = response


class SubscriptionRefused(SocketIOError):
    """Raised by ``subscribe`` when ``on_subscribe`` refused, or the channel's name is none.

    :param message: what the client was told: ``error`` in its acknowledgement.
    :param data: ``data`` there.
    """

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class SocketIOClient:
    """A client whose server is the test's own process.

    Whatever the client does, all that comes of it has been done when the call returns. What
    handlers raise is logged and goes to ``on_error`` as it always does, and is then raised in the
    test, from the call that led to it.

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
        self.namespace = namespace
        self.session_id = ""
        """The connection's public id, ``socket.session.session_id`` in handlers; empty before the
        first connection."""
        self._client = client or Client()
        self._user = user
        self._auth = auth
        self._headers = headers or {}
        self._query = query or {}
        self._secure = secure
        self._registry = registry
        self._raise_handler_errors = raise_handler_errors
        self._link: _Link | None = None  # None before the first connection
        self._finalizer: weakref.finalize[..., Any] | None = None  # while it is connected
        self._socket: Socket | None = None  # the server's end, also after the connection's end
        self._joined = False  # the server let us into the namespace, and we are in it yet
        self._left = False  # the server took us out of it
        self._refusal: ConnectionRefused | None = None
        self._assembly: socketio.Assembly | None = None  # while attachments are due
        self._received: list[tuple[Any, ...]] = []
        self._answers: dict[str, Any] = {}  # to what the server wants acknowledged, by event
        self._owed: list[Packet] = []  # what it wants acknowledged, and nobody has
        self._ack_ids = count()
        self._acks: dict[int, Sequence[Any]] = {}  # the server's acknowledgements
        self._encoder = socketio.Encoder()

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
    def clock(self) -> "Clock":
        """The time of all clients: ``client.clock.advance(seconds)``."""
        return clock

    # --- The connection -----------------------------------------------------------------------

    def connect(self) -> None:
        """Connect, and run ``on_connect``. A client that was disconnected may connect again.

        If this raises, the client is not connected.

        :raises ConnectionRefused: if the client is not let in.
        :raises Exception: what ``on_connect`` handlers raise else, unless
            ``raise_handler_errors=False``.
        """
        if self.connected:
            raise RuntimeError("the client is connected already")
        if _world.busy:
            raise RuntimeError("a client can't connect while handlers run")
        self._socket = self._refusal = self._assembly = None
        self._left = False
        self._owed.clear()
        try:
            with _world.turn():
                # What middleware activates, a language say, must not reach the test.
                link = contextvars.copy_context().run(self._open)
                link.receive(self._encode_connect())
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
        :raises Exception: what handlers raise, unless ``raise_handler_errors=False``.
        """
        self._close(CloseReason(reason))

    @property
    def connected(self) -> bool:
        """Whether the client is connected."""
        _world.settle()
        return self._joined

    @property
    def close_reason(self) -> CloseReason | None:
        """Why the last connection ended, as the handlers saw it; ``None`` while it lasts."""
        _world.settle()
        return None if self._socket is None else self._socket.close_reason

    def go_silent(self) -> None:
        """Lose the network without a goodbye: nothing arrives any more, in neither direction.

        The server notices when a heartbeat goes unanswered:
        ``client.clock.advance(45)`` with the default settings.
        """
        self._require_link().silent = True

    # --- What the client does -----------------------------------------------------------------

    def send(self, message: Any) -> None:
        """Send a message: ``on_message`` runs.

        :raises Exception: what handlers raise, unless ``raise_handler_errors=False``.
        """
        self.emit(MESSAGE, message)

    def emit(self, event: str, *args: Any) -> None:
        """Send a custom event, and ask for no acknowledgement.

        :raises ValueError: if the event's name is reserved.
        :raises Exception: what handlers raise, unless ``raise_handler_errors=False``.
        """
        check_event_name(event)
        with _world.turn():
            self._emit(event, args)

    def call(self, event: str, *args: Any) -> Any:
        """Send an event, and return the value of its acknowledgement.

        That is what the handlers returned, as JSON carries it; a tuple where there are several
        values. A message that does not fit its handler's annotation is acknowledged with an error,
        and so raises nothing here.

        :raises TimeoutError: if the server did not acknowledge.
        :raises ValueError: if the event's name is reserved.
        :raises Exception: what handlers raise, unless ``raise_handler_errors=False``.
        """
        check_event_name(event)
        ack_id = next(self._ack_ids)
        try:
            with _world.turn():
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
        :raises Exception: what handlers raise else, unless ``raise_handler_errors=False``.
        """
        return self._ask_for(SUBSCRIBE, channel)

    def unsubscribe(self, channel: str) -> bool:
        """Leave a channel: ``on_unsubscribe`` runs.

        :return: ``False`` if the client was not on it.
        :raises SubscriptionRefused: if the channel's name is none.
        :raises Exception: what handlers raise, unless ``raise_handler_errors=False``.
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
        :raises Exception: what the callback raises, unless ``raise_handler_errors=False``.
        """
        _world.settle()
        packet = next((packet for packet in self._owed if packet.data[0] == event), None)
        if packet is None:
            raise LookupError(f"no {event!r} waits for an acknowledgement")
        self._owed.remove(packet)
        with _world.turn():
            self._acknowledge(packet, values)

    # --- What has arrived ---------------------------------------------------------------------

    @property
    def received(self) -> list[tuple[Any, ...]]:
        """What has arrived, in order: of each event its name and arguments, in one tuple.

        A message is ``("message", message)``. ``get_received`` and ``assert_received`` take out
        what they return or have seen.
        """
        _world.settle()
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

    # --- Inside -------------------------------------------------------------------------------

    def _open(self) -> "_Link":
        """Make the handshake, and open a session."""
        options = conf.options()
        stats = Stats()
        dispatcher = Dispatcher(
            registry=self._registry,
            clients=CLIENTS,
            hooks=DjangoHooks(options.message_log_format),
            pool=_world,
            loop=_world,
            options=options,
            stats=stats,
            middleware=_world.middleware(options.middleware),
            on_raised=_world.errors.append if self._raise_handler_errors else None,
        )
        request = self._shake_hands(options, dispatcher)
        link = _Link(request, options, stats, _weakly(self._message_arrived), _weakly(self._closed))
        self._link = link
        self._finalizer = weakref.finalize(self, _abandon, link)
        self._finalizer.atexit = False
        link.open(dispatcher)
        return link

    def _shake_hands(self, options: Options, dispatcher: Dispatcher) -> HttpRequest:
        """Make the handshake's request, as a WebSocket's; return what handlers get of it.

        :raises ConnectionRefused: if the view or some middleware answers anything else.
        """
        judging = replace(options, transports=("websocket",))
        engine = Engine(_world, judging, dispatcher.accept, dispatcher.stats)
        if self._user is not None:
            self._client.force_login(self._user)
        with _serving(engine):
            response = self._client.get(
                reverse("socketio"),
                {**self._query, **_HANDSHAKE},
                secure=self._secure,
                headers={**_HANDSHAKE_HEADERS, **self._headers},
            )
        request: HttpRequest | None = response.wsgi_request.META.pop(UPGRADE_KEY, None)
        if request is None or response.status_code != 101:
            text = response.content[:200].decode(errors="replace")
            message = f"{response.status_code} {response.reason_phrase}: {text}"
            raise ConnectionRefused(message, response=response)
        return request

    def _require_link(self) -> "_Link":
        if self._link is None or not self.connected:
            reason = self.close_reason
            raise RuntimeError(f"the client is not connected: {reason or 'call connect() first'}")
        return self._link

    def _emit(self, event: str, args: Sequence[Any], ack_id: int | None = None) -> None:
        link = self._require_link()
        encoded = self._encoder.event(event, args, namespace=self.namespace, ack_id=ack_id)
        link.receive(encoded.text.decode(), *encoded.attachments)

    def _ask_for(self, event: str, channel: str) -> bool:
        answer = self.call(event, channel)
        if isinstance(answer, dict):
            raise SubscriptionRefused(answer["error"], answer.get("data"))
        return bool(answer)

    def _acknowledge(self, packet: Packet, values: Sequence[Any]) -> None:
        assert packet.ack_id is not None  # the server asked
        if self._link is not None:
            encoded = self._encoder.ack(packet.ack_id, values, namespace=self.namespace)
            self._link.receive(encoded.text.decode(), *encoded.attachments)

    def _answer(self, packet: Packet, answer: Any) -> None:
        try:
            values = answer(*packet.data[1:]) if callable(answer) else answer
            some = () if values is None else values if isinstance(values, tuple) else (values,)
            self._acknowledge(packet, some)
        except Exception as error:  # noqa: BLE001  # the test's own, and so raised in the test
            _world.errors.append(error)

    def _encode_connect(self) -> str:
        head = "0" if self.namespace == MAIN_NAMESPACE else f"0{self.namespace},"
        return head if self._auth is None else head + json.dumps(self._auth)

    def _close(self, reason: CloseReason) -> None:
        link, finalizer = self._link, self._finalizer
        if link is None or finalizer is None:
            return
        try:
            with _world.turn():
                if self._joined and reason is CloseReason.CLIENT_NAMESPACE_DISCONNECT:
                    link.receive(socketio.encode_disconnect(namespace=self.namespace).decode())
                    reason = CloseReason.TRANSPORT_CLOSE
                link.close(reason)
        finally:
            if not _world.busy:  # whatever went wrong, nothing of it stays
                link.drop()
                finalizer.detach()
                self._finalizer = None

    def _closed(self) -> None:
        """The session is over."""
        self._joined = False

    def _message_arrived(self, data: str | bytes) -> None:
        if isinstance(data, str):
            packet = socketio.decode(data, max_attachments=_MAX_ATTACHMENTS)
            if packet.attachments:
                self._assembly = socketio.Assembly(packet, max_size=2**63)
            else:
                self._packet_arrived(packet)
        elif self._assembly is not None and (whole := self._assembly.add(data)) is not None:
            self._assembly = None
            self._packet_arrived(whole)

    def _packet_arrived(self, packet: Packet) -> None:
        """Take a packet, as the official client does: after it was taken out, none."""
        if self._left:
            return
        if packet.type is PacketType.CONNECT:
            self._joined = True
            self.session_id = packet.data["sid"]
            self._socket = CLIENTS.find(self.session_id, self.namespace)
        elif packet.type is PacketType.CONNECT_ERROR:
            self._refusal = ConnectionRefused(packet.data["message"], packet.data.get("data"))
        elif packet.type is PacketType.DISCONNECT:
            self._joined = False
            self._left = True
            if self._link is not None:  # as it has no other namespace
                _world.run_callback(self._link.close, CloseReason.TRANSPORT_CLOSE)
        elif packet.type is PacketType.EVENT:
            self._event_arrived(packet)
        elif packet.ack_id is not None:
            self._acks[packet.ack_id] = packet.data

    def _event_arrived(self, packet: Packet) -> None:
        event = packet.data[0]
        self._received.append(tuple(packet.data))
        if packet.ack_id is not None:
            if event in self._answers:
                _world.run_callback(self._answer, packet, self._answers[event])
            else:
                self._owed.append(packet)

    def _explain(self) -> str:
        """Say why there was no acknowledgement."""
        if _world.busy:
            return "other handlers run yet"
        if not self._joined:
            return "the connection ended"
        return "no handler is registered for it, or one raised"


class Clock:
    """The time of all clients. It stands still until it is moved, or a handler waits.

    A handler that waits for an acknowledgement with a timeout (``socket.call``) moves it to the
    end of the timeout at once, if no client answers.
    """

    @property
    def now(self) -> float:
        """Seconds since the first of the clients that are connected has connected."""
        return _world.now

    def advance(self, seconds: float) -> None:
        """Let time pass: heartbeats go out and are answered, timeouts run off, in their order.

        :raises Exception: what handlers raise.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        with _world.turn():
            _world.advance(seconds)


class _Timer:
    """A timer that goes off once (``Watcher``)."""

    def __init__(self, world: "_World", after: float) -> None:
        self._world = world
        self._after = after
        self._callback: Callable[[], object] | None = None  # while it runs
        self.due = 0.0

    def start(self, callback: Any, *args: Any) -> None:
        """Go off after its time."""
        self._callback = partial(callback, *args)
        self.due = self._world.now + self._after
        self._world.timers[self] = None

    def stop(self) -> None:
        """Do not go off."""
        self._world.timers.pop(self, None)

    def close(self) -> None:
        """Do not go off."""
        self.stop()

    def go_off(self) -> None:
        """Call what it was started for."""
        self.stop()
        if self._callback is not None:
            self._callback()


class _World:
    """All that a server would be around the clients of a test: loop, workers and time.

    Whatever becomes due is put into a queue, which is run when the test's call has done its own
    part: in the order in which a server's loop would come to it (``Loop``, ``Pool``, and the
    ``Clock`` of acknowledgements).
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.busy = False
        """Whether the queue is being run, or will be by who set this."""
        self.errors: list[BaseException] = []
        """What handlers raised, and the test has yet to be told."""
        self.timers: dict[_Timer, None] = {}
        """Those that run, in the order of their starts."""
        self._queue: deque[Callable[[], object]] = deque()
        # Those that are connected, and the pytest test that each was connected in, if it was one.
        self._links: dict[_Link, str | None] = {}
        self._middleware: dict[tuple[str, ...], CallNext | None] = {}
        self._usual_clock: ServerClock | None = None  # what we stand in for, while any is connected

    # --- What the server asks for -------------------------------------------------------------

    def io(self, fd: int, events: int) -> Watcher:
        """Fail: nothing here has a descriptor (``Loop``)."""
        raise NotImplementedError("test clients have no descriptors")

    def timer(self, after: float, repeat: float = 0.0) -> _Timer:
        """Return a timer (``Loop``)."""
        return _Timer(self, after)

    def run_callback(self, func: Any, *args: Any) -> None:
        """Have a function called soon (``Loop``)."""
        self._queue.append(partial(func, *args))

    def run(self, job: Job) -> None:
        """Run a job: soon, or at once where nobody will else (``Pool``)."""
        self._queue.append(job.work)
        self.settle()

    def run_later(self, job: Job) -> None:
        """Run a job soon (``Pool``)."""
        self._queue.append(job.work)

    def wait(self, event: Event, timeout: float | None) -> None:
        """Do what other sockets wait for; then let the time pass (``Clock``).

        :raises RuntimeError: if that would take for ever.
        """
        with self._hold():
            self._run_queue()
            self.advance(FOREVER if timeout is None else timeout, until=event)
        if timeout is None and not event.is_set():
            raise RuntimeError(
                "a handler waits for an acknowledgement for ever: no client gives it "
                "(SocketIOClient.on), and there is no timeout"
            )

    def call_later(self, seconds: float, func: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after some time (``Clock``)."""
        timer = self.timer(seconds)
        timer.start(func)
        return timer.close

    # --- What the clients ask for -------------------------------------------------------------

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let a client do something, then run all that comes of it, and raise what that raised.

        Inside of another turn, which does that, only the first.
        """
        if self.busy:
            yield
            return
        with self._hold():
            yield
            self._run_queue()
            errors = list(self.errors)
            self.errors.clear()
        if errors:  # invalid messages last: that was the client's fault
            raise min(errors, key=lambda error: isinstance(error, ValidationError))

    def settle(self) -> None:
        """Run what waits, unless that is under way; what it raises, the next turn raises."""
        if not self.busy:
            with self._hold():
                self._run_queue()

    def advance(self, seconds: float, until: Event | None = None) -> None:
        """Let time pass, or as much of it as there is until an event is set."""
        end = self.now + seconds
        self._run_queue()
        while until is None or not until.is_set():
            timer = min(self.timers, key=lambda timer: timer.due, default=None)
            if timer is None or timer.due > end:
                self.now = max(self.now, end)
                return
            self.now = max(self.now, timer.due)
            timer.go_off()
            self._run_queue()

    def middleware(self, paths: tuple[str, ...]) -> CallNext | None:
        """Return what wraps events: one for all clients, as in a server."""
        if paths not in self._middleware:
            self._middleware[paths] = load_middleware(paths)
        return self._middleware[paths]

    def add(self, link: "_Link") -> None:
        """A client is connected; those that an earlier test left behind go."""
        test = _running_test()
        for other, its_test in list(self._links.items()):
            if its_test not in (None, test):
                other.drop()
        if self._usual_clock is None:
            self._usual_clock, CLIENTS.clock = CLIENTS.clock, self
            self.errors.clear()
        self._links[link] = test

    def discard(self, link: "_Link") -> None:
        """A client is gone; with the last one all that it left behind."""
        self._links.pop(link, None)
        if not self.busy:
            self._clean_up()

    # ------------------------------------------------------------------------------------------

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Be busy."""
        was_busy, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = was_busy
            if not was_busy:
                self._clean_up()

    def _run_queue(self) -> None:
        while self._queue:
            self._queue.popleft()()

    def _clean_up(self) -> None:
        if self._links:
            return
        if self._usual_clock is not None:
            CLIENTS.clock, self._usual_clock = self._usual_clock, None
        self.now = 0.0
        self.timers.clear()
        self._queue.clear()
        self._middleware.clear()


class _Link:
    """What is between a client and the router: a session, carried in memory.

    At once its session's transport (``Transport``) and the keeper of its deadlines
    (``SessionKeeper``). Does not keep the client alive.

    :param request: the handshake's.
    :param on_message: takes what arrives at the client.
    :param on_close: called when the session is over.
    """

    name = "websocket"
    writable = True
    is_read = True
    queued_bytes = 0

    def __init__(
        self,
        request: HttpRequest,
        options: Options,
        stats: Stats,
        on_message: Callable[[str | bytes], None],
        on_close: Callable[[], None],
    ) -> None:
        self.is_open = False
        """Whether the session lasts."""
        self.silent = False
        """Whether all is lost that is sent, in both directions."""
        self._request = request
        self._options = options
        self._stats = stats
        self._on_message = on_message
        self._on_close = on_close
        self._session = Session(secrets.token_urlsafe(), self)
        self._heartbeat: Heartbeat[Session] = Heartbeat(
            _world,
            interval=options.ping_interval,
            timeout=options.ping_timeout,
            ping=Session.ping,
            expire=lambda session: session.close(CloseReason.PING_TIMEOUT),
            clock=lambda: _world.now,
        )

    def open(self, dispatcher: Dispatcher) -> None:
        """Begin the session; must run in the context of its handshake."""
        _world.add(self)
        self.is_open = True
        handler = dispatcher.accept(self._session, self._request)
        opening = engineio.encode_open(
            sid=self._session.sid,
            upgrades=[],
            ping_interval=self._options.ping_interval,
            ping_timeout=self._options.ping_timeout,
            max_payload=self._options.max_payload,
        )
        self._session.start(self, handler, opening)
        self._heartbeat.add(self._session)

    def receive(self, *messages: str | bytes) -> None:
        """Hand the server what the client sends."""
        try:
            for message in messages:
                if self.is_open and not self.silent:
                    self._session.message_received(self, message)
        except DecodeError as error:
            self._session.client_refused("packet", str(error))
            self.close(CloseReason.PARSE_ERROR)

    def drop(self) -> None:
        """Take what is left of the client out of the registries, without running handlers."""
        for _, socket, _ in list(CLIENTS.values()):
            if socket.request is self._request:
                socket.is_live = False
                socket.end(CloseReason.TRANSPORT_CLOSE)
                for channel in socket.channels:
                    socket.unsubscribe(channel)
                CLIENTS.discard(socket)
        if self.is_open:
            self.is_open = False
            self._on_close()
        self._heartbeat.clear()
        _world.discard(self)

    def send(self, outgoing: Outgoing) -> None:
        """Hand the client what the server sends (``Transport``)."""
        if not self.is_open or self.silent:
            return
        payload = engineio.encode_payload(outgoing.packets)
        for packet in engineio.decode_payload(payload, outgoing.count):
            if packet.type is engineio.PacketType.MESSAGE:
                self._on_message(packet.data)
            elif packet.type is engineio.PacketType.PING:
                _world.run_callback(self._pong)

    def close(self, reason: CloseReason) -> None:
        """End the session; both sides do it by this (``Transport``)."""
        if self.is_open:
            self.is_open = False
            self._on_close()
            self._session.transport_closed(self, reason)

    def pause_reading(self) -> None:
        """Do nothing: what the client sent was read at once (``Transport``)."""

    def resume_reading(self) -> None:
        """Do nothing (``Transport``)."""

    def pong_received(self, session: Session) -> None:
        """The client answered a heartbeat (``SessionKeeper``)."""
        self._heartbeat.pong(session)

    def ping_received(self, session: Session) -> None:
        """Nothing: clients of revision 4 send no pings."""

    def client_refused(self, session: Session, kind: str, why: str) -> None:
        """The client broke a rule (``SessionKeeper``)."""
        self._stats.refuse(kind, self, why)

    def probe_started(self, session: Session) -> None:
        """Do nothing: there is no upgrade (``SessionKeeper``)."""

    def probe_ended(self, session: Session) -> None:
        """Do nothing (``SessionKeeper``)."""

    def session_ended(self, session: Session, last_transport: Any) -> None:
        """The session is over (``SessionKeeper``)."""
        self._heartbeat.clear()
        _world.discard(self)

    def _pong(self) -> None:
        if self.is_open and not self.silent:
            pong = engineio.Packet(engineio.PacketType.PONG)
            self._session.packet_received(self, pong)


class _Handshakes:
    """A server, as far as the view asks for one.

    :param engine: judges the handshakes.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine


@contextmanager
def _serving(engine: Engine) -> Iterator[None]:
    """Let the view find a server."""
    config = apps.get_app_config(SocketIOConfig.name)
    assert isinstance(config, SocketIOConfig)
    usual = config.server
    config.server = cast(Any, _Handshakes(engine))
    try:
        yield
    finally:
        config.server = usual


def _weakly(method: Callable[..., None]) -> Callable[..., None]:
    """Return a function that calls a method while its object is there, and does not keep it so."""
    reference = weakref.WeakMethod(method)

    def call(*args: Any) -> None:
        alive = reference()
        if alive is not None:
            alive(*args)

    return call


def _abandon(link: _Link) -> None:
    """A client was forgotten while it was connected: no other test may find its remains."""
    was_open = link.is_open
    link.drop()
    if was_open:
        warnings.warn("a SocketIOClient was never disconnected", ResourceWarning, stacklevel=2)


def _running_test() -> str | None:
    """Return which test function pytest runs; ``None`` in fixtures, whose clients may live on.

    A client that is forgotten there or in other runners goes when Python collects it; the tests
    that fail keep theirs alive for longer, by their tracebacks.
    """
    test = os.environ.get("PYTEST_CURRENT_TEST", "")  # pytest's documented way to tell
    return test if test.endswith("(call)") else None


def _list(events: Sequence[tuple[Any, ...]]) -> str:
    return "\n".join(f"  {event!r}" for event in events) or "  nothing"


_world = _World()

clock = Clock()
"""The time of all clients, for tests that have no client at hand."""
