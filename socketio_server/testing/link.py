"""The link between a client and the router: a session whose transport is in memory."""

import secrets
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

from socketio_server.dispatch.dispatcher import Dispatcher
from socketio_server.dispatch.member import Member
from socketio_server.dispatch.router import NamespaceRouter
from socketio_server.engine.heartbeat import Heartbeat
from socketio_server.engine.session import Session
from socketio_server.engine.transports.base import Outgoing, Transport
from socketio_server.exceptions import DecodeError
from socketio_server.http.wsgi import Upgrade
from socketio_server.net.queued_output import LostBecause
from socketio_server.net.refusals import RefusalKind
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.testing.world import world


class LinkDispatcher(Dispatcher):
    """Runs the handlers of one client; can unregister it without running its last handlers."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._members: dict[Member, None] = {}  # those that have not ended

    def add_member(self, router: NamespaceRouter, namespace: str, auth_size: int) -> Member:
        """Return the new member for a client that asks to join a namespace."""
        member = super().add_member(router, namespace, auth_size)
        self._members[member] = None
        return member

    def forget(self, member: Member) -> None:
        """Unregister a member."""
        super().forget(member)
        self._members.pop(member, None)

    def forget_all(self) -> None:
        """Unregister all members; no more handlers run for them."""
        for member in list(self._members):
            member.delivery.close(CloseReason.TRANSPORT_CLOSE)
            self.forget(member)


class LinkKeeper:
    """Keeps the deadlines of one client's session (``SessionKeeper``)."""

    output = None
    """Nobody waits for room."""

    def __init__(self, options: Options, dispatcher: Dispatcher) -> None:
        self.heartbeat: Heartbeat[Session] = Heartbeat(
            world,
            interval=options.ping_interval,
            timeout=options.ping_timeout,
            ping=Session.ping,
            expire=lambda session: session.close(CloseReason.PING_TIMEOUT),
            clock=lambda: world.now,
        )
        self._refusals = dispatcher.stats.refusals

    def pong_received(self, session: Session) -> None:
        """The client answered a heartbeat."""
        self.heartbeat.pong(session)

    def ping_received(self, session: Session) -> None:
        """Do nothing: clients of revision 4 send no pings."""

    def client_refused(self, session: Session, kind: RefusalKind, why: str) -> None:
        """The client broke a rule."""
        self._refusals.add(kind, session.sid, why)

    def probe_started(self, session: Session) -> None:
        """Do nothing: there is no upgrade."""

    def probe_ended(self, session: Session) -> None:
        """Do nothing."""

    def session_ended(self, session: Session, last_transport: Transport) -> None:
        """The session is over."""
        self.heartbeat.clear()

    def session_finished(self, session: Session) -> None:
        """Do nothing: sessions are not counted."""


class Link:
    """One connection of a client: its session's transport (``Transport``).

    Holds the client's methods weakly, because a client that the test forgot must be collected.

    :param upgrade: the accepted handshake.
    :param on_message: the client's method for arriving messages.
    :param on_close: the client's method that is called when the session ends.
    """

    name = "websocket"
    direct = None
    writable = True
    is_reading = True
    is_catching_up = False
    is_receiving = False
    queued_bytes = 0

    def __init__(
        self,
        upgrade: Upgrade,
        options: Options,
        dispatcher: LinkDispatcher,
        *,
        on_message: Callable[[str | bytes], None],
        on_close: Callable[[], None],
    ) -> None:
        self.is_open = False
        """Whether the session is open."""
        self.silent = False
        """Whether all packets are lost, in both directions."""
        self._request: HttpRequest = upgrade.context
        self._options = options
        self._dispatcher = dispatcher
        self._on_message = _weakly(on_message)
        self._on_close = _weakly(on_close)
        self._keeper = LinkKeeper(options, dispatcher)
        site = upgrade.request.site
        assert site is not None  # a handshake has one
        self._session = Session(secrets.token_urlsafe(), self._keeper, site)

    # --- The client's side --------------------------------------------------------------------

    def open(self) -> None:
        """Start the session; must run in the context of its handshake."""
        world.add(self)
        self.is_open = True
        handler = self._dispatcher.accept(self._session, self._request)
        opening = engineio.encode_open(
            sid=self._session.sid,
            upgrades=[],
            ping_interval=self._options.ping_interval,
            ping_timeout=self._options.ping_timeout,
            max_payload=self._options.max_payload,
        )
        self._session.start(self, handler, opening)
        self._keeper.heartbeat.add(self._session)

    def receive(self, *messages: str | bytes) -> None:
        """Pass the client's messages to the server."""
        try:
            for message in messages:
                if self.is_open and not self.silent:
                    self._session.message_received(self, message)
        except DecodeError as error:
            self._session.client_refused(RefusalKind.PACKET, str(error))
            self.close(CloseReason.PARSE_ERROR)

    def drop(self) -> None:
        """Remove the client from the registries, without running handlers."""
        self._dispatcher.forget_all()
        if self.is_open:
            self.is_open = False
            self._on_close()
        self._keeper.heartbeat.clear()
        world.discard(self)

    def abandon(self) -> None:
        """Clean up after a client that was collected, maybe while connected, because other tests
        must not find it in the registries.
        """
        was_open = self.is_open
        self.drop()
        if was_open:
            warnings.warn("a SocketIOClient was never disconnected", ResourceWarning, stacklevel=2)

    # --- The server's side: Transport ---------------------------------------------------------

    def send(self, outgoing: Outgoing) -> None:
        """Pass the server's packets to the client."""
        if not self.is_open or self.silent:
            return
        packets = outgoing.packets
        payload = engineio.encode_payload(packets)
        for packet in engineio.decode_payload(payload, len(packets)):
            if packet.type is engineio.PacketType.MESSAGE:
                self._on_message(packet.data)
            elif packet.type is engineio.PacketType.PING:
                world.run_callback(Link._pong, self)

    def send_first(self, outgoing: Outgoing) -> None:
        """Hand the client a heartbeat."""
        self.send(outgoing)

    def close(self, reason: CloseReason) -> None:
        """End the session; both sides call this."""
        if self.is_open:
            self.is_open = False
            self._on_close()
            self._session.transport_closed(self, reason)
            world.discard(self)

    def callback_raised(self) -> None:
        """Do nothing: what a callback raises is raised in the test."""

    def ask_for_room(self) -> bool:
        """Return ``True``: the client takes everything at once."""
        return True

    def give_up(self, because: LostBecause) -> None:
        """Do nothing: no message ever waits for the client."""

    def pause_reading(self) -> None:
        """Do nothing: the client's messages are read at once."""

    def resume_reading(self) -> None:
        """Do nothing."""

    # ------------------------------------------------------------------------------------------

    def _pong(self) -> None:
        if self.is_open and not self.silent:
            pong = engineio.Packet(engineio.PacketType.PONG)
            self._session.packet_received(self, pong)


def _weakly(method: Callable[..., None]) -> Callable[..., None]:
    """Return a function that calls a method as long as its object exists, by a weak reference."""
    reference = weakref.WeakMethod(method)

    def call(*args: Any) -> None:
        alive = reference()
        if alive is not None:
            alive(*args)

    return call
