"""All Engine.IO sessions of a server: handshakes, requests by ``sid``, heartbeats, the end.

The HTTP side of the Engine.IO protocol (v4, "Handshake" and "Transports"). What the sessions'
messages mean is decided by the handlers that ``accept`` makes, one per session.
"""

import logging
import secrets
from collections.abc import Callable
from typing import Any

from socketio_server.engine import origins
from socketio_server.engine.admission import Admission
from socketio_server.engine.heartbeat import Heartbeat
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session, SessionHandler
from socketio_server.engine.session_cookie import Binding, cookies_of
from socketio_server.engine.transports.base import Transport
from socketio_server.engine.transports.polling import PollingTransport, error_response
from socketio_server.engine.transports.revision3 import PollingTransport3, WebSocketTransport3
from socketio_server.engine.transports.websocket import UpgradedConnection, WebSocketTransport
from socketio_server.net.connection import Loop
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Stats
from socketio_server.options import Options
from socketio_server.protocol import engineio, engineio3
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.responses import Response

SID_BYTES = 20
"""Random bytes of a ``sid``: 160 bits, since whoever knows it can act as the client."""

GOODBYE_TIME = 1.0
"""Seconds over which a shutdown spreads its goodbyes, so that the clients don't return all at
once."""

REVISION_3 = engineio3.PROTOCOL_VERSION

_REFUSALS = {
    ErrorCode.UNKNOWN_TRANSPORT: (RefusalKind.REQUEST, "an unknown transport"),
    ErrorCode.UNKNOWN_SESSION: (RefusalKind.UNKNOWN_SID, "a session that there is not"),
    ErrorCode.BAD_HANDSHAKE_METHOD: (
        RefusalKind.REQUEST,
        "a handshake with another method than GET",
    ),
    ErrorCode.BAD_REQUEST: (RefusalKind.REQUEST, "a request that does not fit"),
    ErrorCode.FORBIDDEN: (RefusalKind.ORIGIN, "a page of another origin"),
    ErrorCode.UNSUPPORTED_PROTOCOL_VERSION: (
        RefusalKind.VERSION,
        "an unsupported protocol version",
    ),
}
"""How each error is counted and logged."""


class Engine:
    """Keeps the sessions of one server.

    :param loop: the gevent loop.
    :param clock: seconds that never go back.
    :param accept: makes the handler of a new session; its second argument is what ``open_polling``
        or ``open_websocket`` got as ``context``.
    """

    def __init__(
        self,
        loop: Loop,
        options: Options,
        accept: Callable[[Session, Any], SessionHandler],
        stats: Stats,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._options = options
        self._clock = clock
        self._accept = accept
        self._sessions: dict[str, Session] = {}
        # Ended over polling, with packets that the client has yet to fetch.
        self._lingering: dict[str, PollingTransport] = {}
        self._revisions = {str(engineio.PROTOCOL_VERSION)}
        if options.allow_eio3:
            self._revisions.add(str(REVISION_3))
        self._draining = False
        self.stats = stats
        """What the server counts."""
        self.admission = Admission(
            max_connections=options.max_connections,
            max_per_address=options.max_connections_per_address,
            max_burst=options.max_handshakes_per_address,
            trusted=options.trusted_proxies,
            clock=clock,
        )
        """How many connections there are, and may be."""
        self._heartbeat: Heartbeat[Session] = Heartbeat(
            loop,
            interval=options.ping_interval,
            timeout=options.ping_timeout,
            ping=Session.ping,
            expire=self._heartbeat_expired,
            clock=clock,
        )
        # Clients of revision 3 send the pings themselves.
        self._pinged: Deadlines[Session] = Deadlines(
            loop,
            options.ping_interval + options.ping_timeout,
            self._heartbeat_expired,
            clock=clock,
        )
        self._probes: Deadlines[Session] = Deadlines(
            loop, options.upgrade_timeout, self._probe_timed_out, clock=clock
        )
        self._farewells: Deadlines[str] = Deadlines(
            loop, options.close_timeout, self._forget, clock=clock
        )

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for clients which are slow to take them."""
        return sum(session.transport.queued_bytes for session in self._sessions.values())

    @property
    def draining(self) -> bool:
        """Whether the server is about to stop, and takes no new sessions."""
        return self._draining

    def is_allowed_origin(self, request: EngineRequest) -> bool:
        """Return whether a request may come from the page that it comes from."""
        return origins.is_allowed(request.origin, request.host, self._options.allowed_origins)

    def cors_headers(self, request: EngineRequest) -> tuple[tuple[str, str], ...]:
        """Return the headers that let a page of another, allowed origin read the answer."""
        origin = request.origin
        if origin is None or not self.is_allowed_origin(request):
            return ()
        headers = [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
        if origins.ANY not in self._options.allowed_origins:
            headers.append(("Access-Control-Allow-Credentials", "true"))
        if request.method == "OPTIONS":
            headers.append(("Access-Control-Allow-Methods", "GET, POST"))
            headers.append(("Access-Control-Allow-Headers", "Content-Type"))
        return tuple(headers)

    def verify_handshake(self, request: EngineRequest) -> ErrorCode | None:
        """Return what is wrong with a request that asks for a new session, if anything."""
        params = request.params
        transport = params.get("transport", "")
        if transport not in self._options.transports:
            return ErrorCode.UNKNOWN_TRANSPORT
        if "sid" in params:
            return ErrorCode.UNKNOWN_SESSION
        if request.method != "GET":
            return ErrorCode.BAD_HANDSHAKE_METHOD
        if params.get("EIO") not in self._revisions:
            return ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
        if (transport == "websocket") != request.is_websocket:
            return ErrorCode.BAD_REQUEST
        return None

    def refuse(
        self,
        code: ErrorCode,
        address: str,
        *,
        kind: RefusalKind | None = None,
        why: str | None = None,
    ) -> Response:
        """Count a request that is refused, and return its answer.

        :param address: where it came from.
        :param kind: what to count it as, and ``why`` what to log, if not what the code stands for.
        """
        usual_kind, usual_why = _REFUSALS[code]
        # After a restart every client comes back with one.
        level = logging.INFO if code is ErrorCode.UNKNOWN_SESSION else logging.WARNING
        self.stats.refusals.add(
            kind or usual_kind, address, f"{why or usual_why} (from {address})", level
        )
        return error_response(code)

    def open_polling(
        self, request: EngineRequest, context: Any, binding: Binding | None
    ) -> Response:
        """Open a session over polling, and answer the request that asked for it.

        :param request: passed ``verify_handshake``.
        :param context: for the session's handler; the engine does not look at it.
        :param binding: binds it to its browser; ``None`` leaves it free.
        """
        session = self._new_session(request)
        session.binding = binding
        make = PollingTransport3 if session.revision == REVISION_3 else PollingTransport
        transport = make(session, self._loop, self._options, self._clock)
        self._start(session, transport, context)
        return transport.answer_at_once()

    def open_websocket(
        self, request: EngineRequest, context: Any, upgraded: UpgradedConnection
    ) -> None:
        """Open a session over a WebSocket whose handshake is done.

        :param request: passed ``verify_handshake``.
        :param context: for the session's handler; the engine does not look at it.
        """
        session = self._new_session(request)
        make = WebSocketTransport3 if session.revision == REVISION_3 else WebSocketTransport
        transport = make(upgraded, session, self._loop, self._options, self._clock)
        self._start(session, transport, context)
        transport.start()

    def find_upgradable(self, request: EngineRequest) -> Session | Response:
        """Return the session that a WebSocket may try to take over, or the refusal.

        :param request: has a ``sid``.
        """
        address = request.address
        session = self._sessions.get(request.params["sid"])
        if session is None:
            return self.refuse(ErrorCode.UNKNOWN_SESSION, address)
        if not self.is_allowed_origin(request):
            return self.refuse(ErrorCode.FORBIDDEN, address)
        if not self._is_bound_to(session, request):
            return self._refuse_stolen_sid(address)
        if "websocket" not in self._options.transports or not session.can_upgrade:
            return self.refuse(ErrorCode.BAD_REQUEST, address)
        return session

    def probe_websocket(self, session: Session, upgraded: UpgradedConnection) -> None:
        """Let a WebSocket, its handshake done, try to take over a session."""
        make = WebSocketTransport3 if session.revision == REVISION_3 else WebSocketTransport
        transport = make(upgraded, session, self._loop, self._options, self._clock)
        if session.can_upgrade:
            session.start_probe(transport)
            transport.start()
        else:  # it ended, or another was faster, while the handshake was written
            upgraded.connection.abort()

    def find_polled(self, request: EngineRequest) -> PollingTransport | Response:
        """Return what a request is for, or its answer, if that is clear already.

        :param request: has a ``sid``.
        """
        method, params, address = request.method, request.params, request.address
        if params.get("transport") not in self._options.transports:
            return self.refuse(ErrorCode.UNKNOWN_TRANSPORT, address)
        if not self.is_allowed_origin(request):
            return self.refuse(ErrorCode.FORBIDDEN, address)
        if method == "OPTIONS":
            return Response(204, b"")
        sid = params["sid"]
        session = self._sessions.get(sid)
        transport: Transport | None
        if session is not None:
            transport = session.transport
        else:
            transport = self._lingering.get(sid)
            if transport is not None and not transport.queued_bytes:
                transport = None  # its goodbye was fetched
        if transport is None:
            return self.refuse(ErrorCode.UNKNOWN_SESSION, address)
        if not isinstance(transport, PollingTransport) or params["transport"] != "polling":
            return self.refuse(ErrorCode.BAD_REQUEST, address)
        if session is not None and not self._is_bound_to(session, request):
            return self._refuse_stolen_sid(address)
        if method not in ("GET", "POST"):
            return self.refuse(ErrorCode.BAD_REQUEST, address)
        return transport

    def body_refused(self, request: EngineRequest, status: int) -> None:
        """End the session of a POST whose body was too large, too late or malformed: it can't go
        on with data missing.

        :param request: has a ``sid``.
        :param status: what it was answered with.
        """
        session = self._sessions.get(request.params["sid"])
        if session is not None:
            self.client_refused(session, RefusalKind.BODY, f"a body was refused with {status}")
            session.close(CloseReason.PARSE_ERROR)

    def drain(self, sleep: Callable[[float], object]) -> None:
        """Take no new sessions, and say goodbye to all; returns when all goodbyes are said.

        :param sleep: lets the caller's greenlet wait for some seconds.
        """
        self._draining = True
        sessions = list(self._sessions.values())
        pause = GOODBYE_TIME / max(len(sessions), 1)
        for count, session in enumerate(sessions):
            session.close(CloseReason.SERVER_SHUTTING_DOWN)
            if count % 10 == 9:
                sleep(10 * pause)
        self._heartbeat.clear()
        self._pinged.clear()
        self._probes.clear()

    def pong_received(self, session: Session) -> None:
        """A session's client answered a heartbeat (``SessionKeeper``)."""
        self._heartbeat.pong(session)

    def ping_received(self, session: Session) -> None:
        """A session's client asked for a heartbeat (``SessionKeeper``)."""
        self._pinged.add(session)

    def client_refused(self, session: Session, kind: RefusalKind, why: str) -> None:
        """A session's client broke a rule (``SessionKeeper``)."""
        self._note(session, kind, why)

    def probe_started(self, session: Session) -> None:
        """A WebSocket probes (``SessionKeeper``)."""
        self._probes.add(session)

    def probe_ended(self, session: Session) -> None:
        """The probe finished or failed (``SessionKeeper``)."""
        self._probes.discard(session)

    def session_ended(self, session: Session, last_transport: Transport) -> None:
        """A session is over (``SessionKeeper``)."""
        del self._sessions[session.sid]
        self._heartbeat.discard(session)
        self._pinged.discard(session)
        if isinstance(last_transport, PollingTransport) and not last_transport.drained:
            self._lingering[session.sid] = last_transport
            self._farewells.add(session.sid)

    def _new_session(self, request: EngineRequest) -> Session:
        revision = int(request.params["EIO"])  # a number, says verify_handshake
        session = Session(secrets.token_urlsafe(SID_BYTES), self, revision, request.address)
        self._sessions[session.sid] = session
        return session

    def _start(self, session: Session, transport: Transport, context: Any) -> None:
        options = self._options
        upgrades = [
            name
            for name in ("websocket",)
            if transport.name == "polling" and name in options.transports
        ]
        if session.revision == REVISION_3:
            opening = engineio3.encode_open(
                sid=session.sid,
                upgrades=upgrades,
                ping_interval=options.ping_interval,
                ping_timeout=options.ping_timeout,
            )
            self._pinged.add(session)
        else:
            opening = engineio.encode_open(
                sid=session.sid,
                upgrades=upgrades,
                ping_interval=options.ping_interval,
                ping_timeout=options.ping_timeout,
                max_payload=options.max_payload,
            )
            self._heartbeat.add(session)
        session.start(transport, self._accept(session, context), opening)
        if self._draining:  # its handshake was under way when the goodbyes were said
            session.close(CloseReason.SERVER_SHUTTING_DOWN)

    def _is_bound_to(self, session: Session, request: EngineRequest) -> bool:
        """Return whether a request comes from the browser that opened the session."""
        if session.binding is None or self._options.cookie is None:
            return True
        return session.binding.admits(cookies_of(request.cookie, self._options.cookie))

    def _refuse_stolen_sid(self, address: str) -> Response:
        return self.refuse(
            ErrorCode.FORBIDDEN, address, kind=RefusalKind.STOLEN_SID, why="another browser's sid"
        )

    def _heartbeat_expired(self, session: Session) -> None:
        if (
            not session.transport.is_read
        ):  # its pong may lie in the kernel, unread by our own choice
            (self._pinged if session.revision == REVISION_3 else self._heartbeat).add(session)
        else:
            # Nobody's fault: phones go through tunnels.
            self._note(session, RefusalKind.PING_TIMEOUT, "a ping went unanswered", logging.INFO)
            session.close(CloseReason.PING_TIMEOUT)

    def _probe_timed_out(self, session: Session) -> None:
        self._note(session, RefusalKind.UPGRADE_TIMEOUT, "an upgrade was not finished in time")
        session.abandon_probe()

    def _note(
        self, session: Session, kind: RefusalKind, why: str, level: int = logging.WARNING
    ) -> None:
        """Count and log what a session's client did."""
        self.stats.refusals.add(kind, id(session), f"{why} (from {session.address})", level)

    def _forget(self, sid: str) -> None:
        del self._lingering[sid]
