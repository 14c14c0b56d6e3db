"""What a server tells of itself to those who run it: the health answer, for ``socketio_doctor``.

It is asked for with ``?doctor=health`` at the handshake's URL, and given to staff, to everybody
while ``DEBUG`` is on, and to programs that have the project's ``SECRET_KEY``; to all others that
URL is what it always is. ``?doctor=stream`` is answered in two parts, which tells whether a proxy
holds answers back.
"""

from collections.abc import Iterator
from time import sleep
from typing import Any

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse

import socketio_server
from socketio_server.serving.current import RunningServer, name_of_process

QUESTION = "doctor"
"""The parameter of the URL that asks."""

TOKEN_HEADER = "X-Socketio-Doctor"
"""The header with the proof that somebody has the ``SECRET_KEY``."""

TOKEN_AGE = 300
"""Seconds for which that proof is good, for clocks that differ."""

PARTS = b"first\n", b"last\n"
"""The two parts of the answer to ``?doctor=stream``."""

PAUSE = 3.0
"""Seconds between them."""

_SALT = "socketio_server.doctor"
_NOT_STORED = {"Cache-Control": "private, no-store"}


def make_token() -> str:
    """Return the proof that this process has the project's ``SECRET_KEY``."""
    return TimestampSigner(salt=_SALT).sign(QUESTION)


def answer(question: str, request: HttpRequest, server: RunningServer) -> HttpResponseBase | None:
    """Return the answer to a question; ``None`` if it is none, or who asks may not know."""
    if not _may_know(request):
        return None
    if question == "health":
        return JsonResponse(_health(request, server), headers=_NOT_STORED)
    if question == "stream":
        # With its length, because nginx passes chunks on as they come, however it is told to.
        headers = {**_NOT_STORED, "Content-Length": str(len(b"".join(PARTS)))}
        return StreamingHttpResponse(_stream(), content_type="text/plain", headers=headers)
    return None


def _may_know(request: HttpRequest) -> bool:
    if settings.DEBUG or getattr(getattr(request, "user", None), "is_staff", False):
        return True
    try:
        TimestampSigner(salt=_SALT).unsign(request.headers.get(TOKEN_HEADER, ""), max_age=TOKEN_AGE)
    except BadSignature:
        return False
    return True


def _health(request: HttpRequest, server: RunningServer) -> dict[str, Any]:
    """Return what only the server knows: of itself, and of the request as it came."""
    options = server.options
    return {
        "version": socketio_server.__version__,
        "worker": name_of_process(),
        "workers": server.workers,
        "has_broker": options.broker_url is not None,
        "is_broker_lost": server.snapshot().get("broker_connected") == 0,
        "cookie": options.cookie,
        "compression_threshold": options.compression_threshold,
        "per_message_deflate": options.per_message_deflate,
        "host": request.META.get("HTTP_HOST"),
        "scheme": request.scheme,
        "origin": request.headers.get("Origin"),
        "cookies": list(request.COOKIES),
        "session_cookie": settings.SESSION_COOKIE_NAME,
        "is_logged_in": getattr(getattr(request, "user", None), "is_authenticated", False),
    }


def _stream() -> Iterator[bytes]:
    first, last = PARTS
    yield first
    sleep(PAUSE)
    yield last
