"""All Engine.IO sessions of a server: handshakes, requests by ``sid``, heartbeats, the end.

The HTTP side of the Engine.IO protocol (v4, "Transports"); the rules of a handshake are in
``handshake``. The handlers that ``accept`` makes, one per session, interpret the messages.
"""

import logging
import re
import secrets
from collections.abc import Callable
from typing import Any

from socketio_server.engine.admission import Admission
from socketio_server.engine.farewells import Farewell, Farewells
from socketio_server.engine.handshake import REVISION_3, encode_opening, verify_handshake
from socketio_server.engine.heartbeat import Heartbeat
from socketio_server.engine.origin_guard import OriginGuard
from socketio_server.engine.origins import Site
from socketio_server.engine.request import EngineRequest, Query
from socketio_server.engine.session import Session, SessionHandler
from socketio_server.engine.session_cookie import Binding, cookies_of
from socketio_server.engine.transports.base import Transport
from socketio_server.engine.transports.exchange import error_response
from socketio_server.engine.transports.polling import (
    PACKETS_FOR_PYTHON,
    PYTHON_AGENTS,
    PollingTransport,
)
from socketio_server.engine.transports.revision3 import PollingTransport3, WebSocketTransport3
from socketio_server.engine.transports.websocket import UpgradedConnection, WebSocketTransport
from socketio_server.net.connection import Connection
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.held_total import HeldTotal
from socketio_server.net.loop import Loop
from socketio_server.net.queued_output import QueuedOutput
from socketio_server.net.refusals import RefusalKind
from socketio_server.net.statistics import Stats
from socketio_server.net.turns import Turns
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.responses import Response

SID_BYTES = 20
"""Random bytes of a ``sid``: 160 bits, because anybody who knows it can act as the client."""

WORKER_END = "."
"""Separates the worker's name from the secret of a ``sid``; no secret contains it."""

_OWNER = re.compile(rb"[?&]sid=([^.&\s]+)\.")

GOODBYE_TIME = 1.0
"""Seconds over which a shutdown spreads its goodbyes, because clients must not all reconnect at
once."""

GOODBYES_AT_ONCE = 10
"""Goodbyes that a shutdown sends before it pauses."""

_REFUSALS = {
    ErrorCode.UNKNOWN_TRANSPORT: (
        RefusalKind.REQUEST,
        "unknown transport, or one that SOCKETIO_TRANSPORTS leaves out",
    ),
    ErrorCode.UNKNOWN_SESSION: (RefusalKind.UNKNOWN_SID, "unknown session"),
    ErrorCode.BAD_HANDSHAKE_METHOD: (
        RefusalKind.REQUEST,
        "handshake with a method other than GET",
    ),
    ErrorCode.BAD_REQUEST: (RefusalKind.REQUEST, "malformed request"),
    ErrorCode.FORBIDDEN: (RefusalKind.ORIGIN, "page of another origin"),
    ErrorCode.UNSUPPORTED_PROTOCOL_VERSION: (
        RefusalKind.VERSION,
        "unsupported protocol version",
    ),
}
"""How each error is counted and logged."""

_SETTINGS_OF_BODIES = {408: " (SOCKETIO_BODY_TIMEOUT)", 413: " (SOCKETIO_MAX_PAYLOAD)"}
"""What is logged, by the status with which a request's body is refused, of the limit."""

_NO_PONG = "no pong in time (SOCKETIO_PING_TIMEOUT)"
_UPLOADS = (
    "the client was sending a large message, behind which its pong waits; send it in pieces, or "
    "raise the setting for slow uploads"
)


class Engine:
    """Keeps the sessions of one server.

    :param loop: the gevent loop.
    :param clock: a monotonic clock, in seconds.
    :param accept: makes the handler of a new session; its second argument is the ``context`` of
        ``open_polling`` or ``open_websocket``.
    :param worker: the name of this process among those that hand connections over to each other,
        the beginning of its sessions' ids; empty if there are no others.
    :param turns: the turns of large work, shared with the rest of the server; ``None``: its own.
    :param held_total: counts what all clients make the server hold; ``None``: only the engine's
        part.
    :param on_unknown_sid: called with the name of the process that an unknown ``sid`` begins with,
        which may be empty; must not wait.
    """

    def __init__(
        self,
        loop: Loop,
        options: Options,
        accept: Callable[[Session, Any], SessionHandler],
        stats: Stats,
        *,
        clock: Callable[[], float],
        worker: str = "",
        turns: Turns | None = None,
        held_total: HeldTotal | None = None,
        on_unknown_sid: Callable[[str], None] = lambda worker: None,
    ) -> None:
        self.turns = turns or Turns(loop, options, clock=clock)
        """The turns of work that can't be done at once."""
        self._loop = loop
        self._options = options
        self._on_unknown_sid = on_unknown_sid
        self._clock = clock
        self._accept = accept
        self._sessions: dict[str, Session] = {}
        self.worker = worker
        """The name of this process in its sessions' ids; empty if it has none."""
        self.draining = False
        """Whether the server is stopping, and accepts no new sessions."""
        self.stats = stats
        """The server's counters."""
        self.origins = OriginGuard(options, self._site_of, self.refuse)
        """Lets pages of the site's own and of allowed origins in."""
        self.output = QueuedOutput(loop, options, clock=clock, held_total=held_total)
        """The account of the messages that are queued for all clients."""
        self.admission = Admission(
            max_connections=options.max_connections,
            max_per_address=options.max_connections_per_address,
            max_burst=options.max_handshakes_per_address,
            trusted=options.trusted_proxies,
            clock=clock,
        )
        """Counts connections, handshakes and sessions, and limits them."""
        self._heartbeat: Heartbeat[Session] = Heartbeat(
            loop,
            interval=options.ping_interval,
            timeout=options.ping_timeout,
            ping=Session.ping,
            expire=self._heartbeat_expired,
            clock=clock,
            on_raised=Session.callback_raised,
        )
        # Clients of revision 3 send the pings themselves.
        self._awaited_pings: Deadlines[Session] = Deadlines(
            loop,
            options.ping_interval + options.ping_timeout,
            self._heartbeat_expired,
            clock=clock,
            on_raised=Session.callback_raised,
        )
        self._probes: Deadlines[Session] = Deadlines(
            loop,
            options.upgrade_timeout,
            self._probe_timed_out,
            clock=clock,
            on_raised=Session.callback_raised,
        )
        self._closings: Deadlines[Connection] = Deadlines(
            loop,
            options.close_timeout,
            Connection.abort,
            clock=clock,
            on_raised=Connection.callback_raised,
        )
        self._farewells = Farewells(loop, options.close_timeout, clock=clock)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def is_full(self) -> bool:
        """Whether there are as many sessions as there may be."""
        return len(self._sessions) >= self._options.max_sessions

    @property
    def is_drained(self) -> bool:
        """Whether every client has got its messages and its goodbye, or is given up."""
        return not self._closings and not self.output.stalls and self._farewells.are_over

    def has_session(self, path: str, params: Query) -> bool:
        """Return whether a request belongs to a session that exists, or ended just now.

        All other requests are the application's, which may use the parameter ``sid`` for itself.

        :param path: the URL's path, as in ``EngineRequest``. It must be that of the session's
            handshake, which the project's URLs, and a proxy before them, choose.
        """
        known = self._find(params.get("sid", ""))
        return (
            known is not None
            and known.site.path == path
            and "transport" in params
            and "EIO" in params
        )

    def find_owner(self, request_line: bytes) -> str | None:
        """Return the name of another worker that has the session which a request asks for.

        :param request_line: it is not parsed here, because the owner will parse it: a wrong guess
            costs no more than that.
        :return: ``None`` if it is this one, or the request is none of a session.
        """
        found = _OWNER.search(request_line) if self.worker else None
        if found is None or b"transport=" not in request_line or b"EIO=" not in request_line:
            return None
        owner = found[1].decode("latin-1")
        return owner if owner != self.worker else None

    def verify_handshake(self, request: EngineRequest) -> ErrorCode | None:
        """Return the error in a request for a new session; ``None`` if it is valid.

        A request for a session that is not here is taken for one.
        """
        error = verify_handshake(request, self._options)
        if error is ErrorCode.UNKNOWN_SESSION:
            worker, separator, _ = request.params["sid"].partition(WORKER_END)
            self._on_unknown_sid(worker if separator else "")
        return error

    def refuse(
        self,
        code: ErrorCode,
        address: str,
        *,
        kind: RefusalKind | None = None,
        why: str | None = None,
    ) -> Response:
        """Count a refused request, and return its answer.

        :param address: the client's.
        :param kind: the kind to count, if it is not the usual one of the code.
        :param why: the reason to log, if it is not the usual one of the code.
        """
        usual_kind, usual_why = _REFUSALS[code]
        # After a restart, every client returns with an unknown sid.
        level = logging.INFO if code is ErrorCode.UNKNOWN_SESSION else logging.WARNING
        self.stats.refusals.add(
            kind or usual_kind, address, f"{why or usual_why} (from {address})", level
        )
        return error_response(code)

    def open_polling(
        self, request: EngineRequest, context: Any, binding: Binding | None
    ) -> Response:
        """Open a session over polling, and answer its handshake.

        :param request: passed ``verify_handshake``.
        :param context: for the session's handler; the engine does not look at it.
        :param binding: binds the session to its browser; ``None``: any client may use the ``sid``.
        """
        session = self._new_session(request)
        session.binding = binding
        make = PollingTransport3 if session.revision == REVISION_3 else PollingTransport
        transport = make(session, self._loop, self._options, self._clock, self.output, self.turns)
        if request.user_agent.startswith(PYTHON_AGENTS):
            transport.packets_per_answer = PACKETS_FOR_PYTHON
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
        transport = self._make_websocket(session, upgraded)
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
        if (refused := self.origins.refuse_elsewhere(request, session.site)) is not None:
            return refused
        if not self._is_from_its_browser(request, session.binding):
            return self._refuse_stolen_sid(address)
        if "websocket" not in self._options.transports:
            return self.refuse(ErrorCode.BAD_REQUEST, address)
        return session

    def probe_websocket(self, session: Session, upgraded: UpgradedConnection) -> None:
        """Let a WebSocket, its handshake done, try to take over a session.

        If another WebSocket carries or probes the session already, the new one is closed at once,
        as in the reference server.
        """
        transport = self._make_websocket(session, upgraded)
        if session.can_upgrade:
            session.start_probe(transport)
            transport.start()
        else:
            self._log_refusal(session, RefusalKind.REQUEST, "a second WebSocket of a session")
            transport.start()
            transport.close(CloseReason.FORCED_CLOSE)

    def find_polled(self, request: EngineRequest) -> PollingTransport | Response:
        """Return the polling transport of a request, or the answer that ends the request here.

        :param request: has a ``sid``.
        """
        address = request.address
        transport_name = request.params.get("transport")
        if transport_name not in self._options.transports:
            return self.refuse(ErrorCode.UNKNOWN_TRANSPORT, address)
        known = self._find(request.params["sid"])
        if known is None:
            return self.refuse(ErrorCode.UNKNOWN_SESSION, address)
        if (refused := self.origins.refuse_elsewhere(request, known.site)) is not None:
            return refused
        if request.method == "OPTIONS":
            return Response(204, b"")
        if isinstance(known, Farewell) and known.is_over:
            return self.refuse(ErrorCode.UNKNOWN_SESSION, address)
        transport = known.transport
        if not isinstance(transport, PollingTransport) or transport_name != "polling":
            return self.refuse(ErrorCode.BAD_REQUEST, address)
        if not self._is_from_its_browser(request, known.binding):
            return self._refuse_stolen_sid(address)
        if request.method not in ("GET", "POST"):
            return self.refuse(ErrorCode.BAD_REQUEST, address)
        if request.method == "GET":
            self._farewells.prolong(request.params["sid"])
        return transport

    def body_refused(self, request: EngineRequest, status: int) -> None:
        """End the session of a POST whose body was too large, too late or malformed, because a
        session can't go on with data missing.

        :param request: has a ``sid``.
        :param status: the HTTP status of the answer.
        """
        session = self._sessions.get(request.params["sid"])
        if session is not None:
            kind = RefusalKind.SLOW_BODY if status == 408 else RefusalKind.BODY
            self.client_refused(
                session,
                kind,
                f"request body refused with status {status}{_SETTINGS_OF_BODIES.get(status, '')}",
            )
            session.close(CloseReason.PARSE_ERROR)

    def drain(self, sleep: Callable[[float], object], goodbye_time: float = GOODBYE_TIME) -> None:
        """Accept no new sessions, and close all; return when all goodbyes are sent.

        :param sleep: makes the caller's greenlet wait for some seconds.
        :param goodbye_time: seconds over which the goodbyes are spread.
        """
        self.draining = True
        sessions = list(self._sessions.values())
        for count, session in enumerate(sessions, start=1):
            session.close(CloseReason.SERVER_SHUTTING_DOWN)
            if count % GOODBYES_AT_ONCE == 0:
                sleep(goodbye_time * GOODBYES_AT_ONCE / len(sessions))
        self._heartbeat.clear()
        self._awaited_pings.clear()
        self._probes.clear()

    def pong_received(self, session: Session) -> None:
        """A session's client answered a heartbeat (``SessionKeeper``)."""
        self._heartbeat.pong(session)

    def ping_received(self, session: Session) -> None:
        """A session's client sent a ping (``SessionKeeper``)."""
        self._awaited_pings.add(session)

    def client_refused(self, session: Session, kind: RefusalKind, why: str) -> None:
        """A session's client broke a rule (``SessionKeeper``)."""
        self._log_refusal(session, kind, why)

    def probe_started(self, session: Session) -> None:
        """A WebSocket probes a session (``SessionKeeper``)."""
        self._probes.add(session)

    def probe_ended(self, session: Session) -> None:
        """The probe finished or failed (``SessionKeeper``)."""
        self._probes.discard(session)

    def session_ended(self, session: Session, last_transport: Transport) -> None:
        """A session is over (``SessionKeeper``)."""
        self._unregister(session)
        if isinstance(last_transport, PollingTransport):
            self._farewells.keep(session, last_transport)

    def session_finished(self, session: Session) -> None:
        """A client's last handler has run (``SessionKeeper``).

        Until then the session counts for its address: the handlers of clients that have gone are
        bounded like those of others.
        """
        self.admission.session_ended(session.address)

    def _new_session(self, request: EngineRequest) -> Session:
        revision = int(request.params["EIO"])  # verify_handshake has checked it
        assert request.site is not None  # it is a handshake
        return Session(self._make_sid(), self, request.site, revision, request.address)

    def _make_sid(self) -> str:
        secret = secrets.token_urlsafe(SID_BYTES)
        return f"{self.worker}{WORKER_END}{secret}" if self.worker else secret

    def _make_websocket(self, session: Session, upgraded: UpgradedConnection) -> WebSocketTransport:
        make = WebSocketTransport3 if session.revision == REVISION_3 else WebSocketTransport
        return make(
            upgraded,
            session,
            self._loop,
            self._options,
            self._clock,
            self._closings,
            self.turns,
        )

    def _start(self, session: Session, transport: Transport, context: Any) -> None:
        opening = encode_opening(
            sid=session.sid,
            revision=session.revision,
            transport=transport.name,
            options=self._options,
        )
        self.admission.session_opened(session.address)
        self._sessions[session.sid] = session
        try:
            self._await_heartbeat(session)
            session.start(transport, self._accept(session, context), opening)
        except BaseException:  # an internal error
            if session.is_open:
                session.callback_raised()
            elif session.sid in self._sessions:
                self._unregister(session)
                self.session_finished(session)
            raise
        if self.draining:  # its handshake was under way when the goodbyes were sent
            session.close(CloseReason.SERVER_SHUTTING_DOWN)

    def _find(self, sid: str) -> Session | Farewell | None:
        """Return a session, or its remains if it ended just now; ``None`` if there are none."""
        return self._sessions.get(sid) or self._farewells.find(sid)

    def _site_of(self, sid: str) -> Site | None:
        known = self._find(sid)
        return None if known is None else known.site

    def _unregister(self, session: Session) -> None:
        del self._sessions[session.sid]
        self._heartbeat.discard(session)
        self._awaited_pings.discard(session)

    def _is_from_its_browser(self, request: EngineRequest, binding: Binding | None) -> bool:
        """Return whether a request comes from the browser that a session is bound to, if any."""
        if binding is None or self._options.cookie is None:
            return True
        return binding.admits(cookies_of(request.cookie, self._options.cookie))

    def _refuse_stolen_sid(self, address: str) -> Response:
        return self.refuse(
            ErrorCode.FORBIDDEN, address, kind=RefusalKind.STOLEN_SID, why="sid of another browser"
        )

    def _await_heartbeat(self, session: Session) -> None:
        if session.revision == REVISION_3:
            self._awaited_pings.add(session)
        else:
            self._heartbeat.add(session)

    def _heartbeat_expired(self, session: Session) -> None:
        transport = session.transport
        if transport.is_catching_up or not transport.is_reading:
            # The pong may lie in the kernel, because we have paused reading; or the client has yet
            # to read the bytes before our ping.
            if session.revision == REVISION_3:
                self._awaited_pings.add(session)
            else:
                self._heartbeat.ask_again(session)
            return
        if transport.is_receiving:
            why, level = f"{_NO_PONG}: {_UPLOADS}", logging.WARNING
        else:
            why, level = _NO_PONG, logging.INFO  # nobody's fault: phones go through tunnels
        self._log_refusal(session, RefusalKind.PING_TIMEOUT, why, level)
        session.close(CloseReason.PING_TIMEOUT)

    def _probe_timed_out(self, session: Session) -> None:
        self._log_refusal(
            session,
            RefusalKind.UPGRADE_TIMEOUT,
            "upgrade not finished in time (SOCKETIO_UPGRADE_TIMEOUT)",
        )
        session.abandon_probe()

    def _log_refusal(
        self, session: Session, kind: RefusalKind, why: str, level: int = logging.WARNING
    ) -> None:
        """Count and log a refusal of a session's client."""
        self.stats.refusals.add(kind, session.key, f"{why} (from {session.address})", level)
