"""The handshake, the only request of a session that goes through the whole Django stack.

The project's middleware runs for it, and handlers get this request. The official client's files are
served beside it.
"""

import logging
import secrets
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from time import time
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import ResolverMatch
from django.utils.cache import get_conditional_response
from django.utils.encoding import escape_uri_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from msgspec.structs import replace

from socketio_server import assets, health
from socketio_server.engine.engine import SID_BYTES, Engine
from socketio_server.engine.origins import site_of
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session_cookie import Binding, cookies_of
from socketio_server.engine.transports.exchange import error_response
from socketio_server.http.engine_requests import engine_request_of
from socketio_server.http.wsgi import UPGRADE_KEY, Upgrade
from socketio_server.net.log import show
from socketio_server.net.refusals import RefusalKind
from socketio_server.options import Options
from socketio_server.protocol.engineio import ErrorCode, encode_error
from socketio_server.protocol.http1.responses import Response
from socketio_server.serving import current
from socketio_server.serving.around_handshakes import login_middleware
from socketio_server.serving.around_handshakes.description import TIME_KEY
from socketio_server.serving.current import RunningServer

UNSUPPORTED_VERSION = (
    "Unsupported protocol version: use socket.io-client 3 or 4, or set "
    "SOCKETIO_ALLOW_EIO3 = True on the server for socket.io-client 2"
)
"""Replaces the reference server's message, because it should tell a developer the remedy."""

NO_TRANSPORT = (
    "request without a transport: while DEBUG is on, pages that can't connect ask so for the reason"
)

_LOGIN_REQUIRED = Response(
    401,
    encode_error(
        ErrorCode.BAD_REQUEST,
        "Log in first: LoginRequiredMiddleware lets no one else connect",
    ),
    "application/json",
)

NOT_RUNNING = "This process does not serve Socket.IO: "
"""Begins the answer of a process without a server."""


@csrf_exempt  # the origin is checked instead, on every request
def socketio(request: HttpRequest, **captured: Any) -> HttpResponseBase:
    """Open an Engine.IO session, or refuse with the protocol's own error.

    For a WebSocket, leave the request in the environ, where the server's WSGI handler finds it, and
    answer with 101. A refused WebSocket gets an HTTP status.

    :param captured: the arguments in the project's URL before the include; handlers find them in
        ``request.resolver_match``.
    """
    server = current.server
    if server is None:
        if "EIO" in request.GET:
            current.tell_missing("A Socket.IO client has come", request.META)
        remedy = current.remedy_for(current.name_of_program(request.META))
        return HttpResponse(f"{NOT_RUNNING}{remedy}.\n", status=503, content_type="text/plain")
    engine = server.engine
    handshake = _read(request)
    if health.QUESTION in handshake.params and handshake.site is not None:
        told = health.answer(handshake.params[health.QUESTION], request, server)
        if told is not None:
            return told
    if request.method == "OPTIONS":
        response = _respond(Response(204, b""))
    elif (refused := _refuse(request, handshake, server)) is not None:
        response = _respond(refused)
    elif handshake.is_websocket:
        request.META[UPGRADE_KEY] = Upgrade(handshake, compact(request))
        response = HttpResponse(status=101, content_type="text/plain")  # no body, and not cached
    else:
        response = _open_polling(request, handshake, engine, server.options)
    for name, value in engine.origins.cors_headers(handshake):
        response[name] = value
    return response


# The view asks for itself: what LoginRequiredMiddleware answers, a client can't follow.
socketio.login_required = False  # type: ignore[attr-defined]


def _read(request: HttpRequest) -> EngineRequest:
    """Return the engine's view of a handshake; it has no site if its host is not the project's."""
    handshake = engine_request_of(request.META)
    try:
        site = site_of(
            handshake.path,
            handshake.host,
            request.META.get("HTTP_X_FORWARDED_HOST", ""),
            is_secure=request.is_secure(),
            find_public_host=request.get_host,  # which must be in ALLOWED_HOSTS
        )
    except DisallowedHost:
        return handshake
    return replace(handshake, site=site)


@require_safe
def client_file(request: HttpRequest, name: str, **captured: Any) -> HttpResponseBase:
    """Send a file of the official client, without our shim, for pages written for Node's server.

    :param name: one of ``assets.CLIENT_FILES``.
    :param captured: the arguments in the project's URL before the include.
    """
    try:
        body, etag = _read_client_file(name)
    except FileNotFoundError as error:
        raise Http404(f"{name} is missing; system check socketio_server.E003 says why") from error
    kind = "application/json" if name.endswith(".map") else "text/javascript; charset=utf-8"
    headers = {"Content-Type": kind, "Cache-Control": "public, max-age=0", "ETag": etag}
    response = HttpResponse(body, headers=headers)
    return get_conditional_response(request, etag=etag, response=response) or response


client_file.login_required = False  # type: ignore[attr-defined]  # pages that log in have it, too


@cache
def _read_client_file(name: str) -> tuple[bytes, str]:
    """Return the bytes of a file of the official client, and their ETag."""
    body = (Path(__file__).parent / "static" / assets.CLIENT_FILES[name]).read_bytes()
    return body, f'"{sha256(body).hexdigest()[:32]}"'


def _open_polling(
    request: HttpRequest, handshake: EngineRequest, engine: Engine, options: Options
) -> HttpResponse:
    """Open a session over polling; set the cookie that binds it, unless the browser has one."""
    binding, new = None, None
    if options.cookie is not None:
        known = cookies_of(handshake.cookie, options.cookie)
        if known:
            binding = Binding(known[0])
        else:
            new = f"{options.cookie}-{secrets.token_hex(4)}", secrets.token_urlsafe(SID_BYTES)
            binding = Binding("=".join(new), is_new=True)
    response = _respond(engine.open_polling(handshake, compact(request), binding))
    if new is not None:
        response.set_cookie(
            *new,
            path=escape_uri_path(request.path),
            secure=request.is_secure(),
            httponly=True,
            samesite="Lax",
        )
    return response


def compact(request: HttpRequest) -> HttpRequest:
    """Note the time of a handshake in its request, and free memory that this holds, because its
    sockets keep it for hours.

    Its input stream would keep the HTTP handler and its buffers, tens of kB. Its ``resolver_match``
    is shared with other requests, unless the project's URL has arguments.
    """
    request.META["wsgi.input"] = _EMPTY
    request.META[TIME_KEY] = time()
    request._stream = _EMPTY
    match = request.resolver_match
    if match is not None and not match.kwargs and not match.args:
        request.resolver_match = _MATCHES.setdefault((match.route, match.view_name), match)
    return request


_EMPTY = BytesIO()
_MATCHES: dict[tuple[str, str], ResolverMatch] = {}


def _refuse(
    request: HttpRequest, handshake: EngineRequest, server: RunningServer
) -> Response | None:
    """Verify a handshake; count a refusal and return its answer, ``None`` if it is accepted."""
    engine = server.engine
    address = handshake.address
    is_new = "sid" not in handshake.params  # or the request of a session that is over
    # While others do, the client comes to one of them, and need not see an error: its session
    # begins, and is told to end.
    if is_new and engine.draining and not server.others_accept:
        why = f"handshake while the server stops (from {address})"
        engine.stats.refusals.add(RefusalKind.STOPPING, address, why, logging.INFO)
        return Response(503, b"")
    if is_new and engine.is_full:
        return _refuse_one_more(
            engine, address, 503, RefusalKind.SESSION, "sessions (SOCKETIO_MAX_SESSIONS)"
        )
    if is_new and not engine.admission.may_shake_hands(address):
        why = "handshakes (SOCKETIO_MAX_HANDSHAKES_PER_ADDRESS)"
        return _refuse_one_more(engine, address, 429, RefusalKind.HANDSHAKE, why)
    if is_new and not engine.admission.may_open_session(address):
        why = "sessions of one address (SOCKETIO_MAX_CONNECTIONS_PER_ADDRESS)"
        return _refuse_one_more(engine, address, 429, RefusalKind.ADDRESS, why)
    if handshake.site is None:
        return engine.origins.refuse_host(handshake)
    if not engine.origins.allows(handshake):
        return engine.origins.refuse(handshake)
    error = engine.verify_handshake(handshake)
    if error is None:
        if not login_middleware.refuses(request):
            return None
        why = f"client is not logged in, and LoginRequiredMiddleware is in use (from {address})"
        level = logging.WARNING if settings.DEBUG else logging.INFO  # the console sends to the log
        engine.stats.refusals.add(RefusalKind.LOGIN, address, why, level)
        return _LOGIN_REQUIRED
    if error is not ErrorCode.UNSUPPORTED_PROTOCOL_VERSION:
        has_transport = "transport" in handshake.params
        return engine.refuse(error, address, why=None if has_transport else NO_TRANSPORT)
    version = show(handshake.params.get("EIO", ""))
    engine.refuse(error, address, why=f"{UNSUPPORTED_VERSION} (EIO={version})")
    return error_response(error, UNSUPPORTED_VERSION)


def _refuse_one_more(
    engine: Engine, address: str, status: int, kind: RefusalKind, what: str
) -> Response:
    """Count and log a handshake beyond a limit; return its answer."""
    engine.stats.refusals.add(kind, address, f"too many {what} (from {address})")
    return Response(status, b"")


def _respond(response: Response) -> HttpResponse:
    # ``private``, because Django 4.2.16 and 5.2.0 cache an answer for all in spite of ``no-store``.
    headers = {
        "Content-Type": response.content_type,
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(response.body, status=response.status, headers=headers)
