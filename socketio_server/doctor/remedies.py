"""What a site may have wrong: causes in words, and the lines of nginx's configuration to change."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from socketio_server.doctor.site import Answer
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.views import NOT_RUNNING

HOST = "proxy_set_header Host $http_host;"
SCHEME = "proxy_set_header X-Forwarded-Proto $scheme;"
UPGRADE = (
    "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }  # outside of server {}",
    "proxy_http_version 1.1;",
    "proxy_set_header Upgrade $http_upgrade;",
    "proxy_set_header Connection $connection_upgrade;",
)
ENCODING = "proxy_set_header Accept-Encoding $http_accept_encoding;"
EXTENSIONS = "proxy_set_header Sec-WebSocket-Extensions $http_sec_websocket_extensions;"
BUFFERING = "proxy_buffering off;"
COOKIE = "proxy_set_header Cookie $http_cookie;"
ORIGIN = "proxy_set_header Origin $http_origin;"
LOGIN = (
    "The site wants a login (status 401): pass the cookie of a user who is logged in, "
    "--cookie sessionid=…"
)
SAME_PROCESS = "ip_hash;  # in upstream {}"

GATEWAYS = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


class Wrong(Exception):
    """Raised when a step finds something wrong.

    :param text: what, and what comes of it.
    :param nginx: the lines of its configuration to change.
    :param code: Engine.IO's error, if the server refused a request with one.
    """

    def __init__(self, text: str, *nginx: str, code: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.nginx = nginx
        self.code = code


class NotExamined(Exception):
    """Raised when a step can't be made, with the reason."""


def body_size(opening: Mapping[str, Any]) -> str:
    """Return the line that lets the largest messages of the server's clients through.

    :param opening: what the server said of a session.
    """
    return f"client_max_body_size {math.ceil(opening.get('maxPayload', 1) / 2**20)}m;"


def read_timeout(opening: Mapping[str, Any]) -> str:
    """Return the line that outlasts the time between two of the server's heartbeats."""
    return f"proxy_read_timeout {max(60, math.ceil(opening.get('pingInterval', 0) / 500))}s;"


def explain(answer: Answer, opening: Mapping[str, Any]) -> Wrong:
    """Return what is wrong where a request was refused.

    :param opening: what the server said of its session, empty if there is none.
    """
    code = error_code(answer)
    if answer.status == HTTPStatus.GATEWAY_TIMEOUT:
        return Wrong(
            "The proxy does not wait for the server's answer (status 504).", read_timeout(opening)
        )
    if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Wrong(
            "The proxy refuses a message that the server takes (status 413).", body_size(opening)
        )
    if code == ErrorCode.UNKNOWN_SESSION:
        return Wrong(
            "A session is unknown to the process that got its next request: the proxy chooses "
            "among several, which hand no connections over to each other. Give each machine a "
            "SOCKETIO_NODE of its own, and let the proxy choose by the session's id (a map of "
            "$arg_sid); or by the client's address.",
            SAME_PROCESS,
        )
    if code == ErrorCode.FORBIDDEN:
        return Wrong(
            "The server refuses the host or the page's origin (status 403): its log says which it "
            "sees. It needs the host that browsers ask for, in ALLOWED_HOSTS, and pages of others "
            "in SOCKETIO_ALLOWED_ORIGINS.",
            HOST,
            code=code,
        )
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return Wrong(LOGIN)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Wrong(
            "The server takes no more handshakes from this address (status 429): behind a proxy on "
            "another machine it takes SOCKETIO_TRUSTED_PROXIES."
        )
    if code is not None:
        return Wrong(
            f"The server refuses the request: {answer.start} (status {answer.status}).", code=code
        )
    is_runserver = answer.headers.get("server", "").startswith("WSGIServer")
    if is_runserver or answer.body.startswith(NOT_RUNNING.encode()):
        return Wrong(
            "Django answers without Socket.IO: plain `runserver` or a WSGI server runs it (status "
            f"{answer.status}). Start `python manage.py runserver_socketio` in its place, or "
            "beside it, and examine that address: its port is SOCKETIO_PORT."
        )
    if answer.status in GATEWAYS:
        return Wrong(
            f"No server answers behind the proxy (status {answer.status}). Is `python manage.py "
            "runserver_socketio` running where proxy_pass leads?"
        )
    if answer.status == HTTPStatus.BAD_REQUEST:
        return Wrong(
            "Django refuses the request (status 400): its log says whether ALLOWED_HOSTS lacks the "
            "host that the proxy passes on.",
            HOST,
        )
    if answer.location is not None:
        return Wrong(
            f"The site redirects to {answer.location} (status {answer.status}), where clients do "
            "not follow: pages must name that address, and no login may be asked for."
        )
    return Wrong(
        f"What answers is no Socket.IO server: status {answer.status}, {answer.start!r}. Let its "
        "path lead to `python manage.py runserver_socketio`."
    )


def may_lack_upgrade(answer: Answer) -> bool:
    """Return whether a WebSocket may have been refused because the Upgrade header was lost."""
    has_other_cause = answer.status in (
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.GATEWAY_TIMEOUT,
        *GATEWAYS,
    )
    known = ErrorCode.UNKNOWN_SESSION, ErrorCode.FORBIDDEN
    return not has_other_cause and error_code(answer) not in known


def error_code(answer: Answer) -> int | None:
    """Return the code of an error of Engine.IO; ``None`` if the answer is no such error."""
    try:
        found = json.loads(answer.body)["code"]
    except (ValueError, TypeError, KeyError):
        return None
    return found if isinstance(found, int) else None
