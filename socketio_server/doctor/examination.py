"""The examination: its steps, in their order, each of which finds something wrong or nothing.

A step works in sessions of its own. No handler of the project runs: what is sent are requests to
join a namespace that no server has, because its name can't be printed, and their refusal shows that
they arrived.
"""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from http.client import HTTPException
from select import select
from time import monotonic
from typing import Any, Literal

import msgspec

from socketio_server import health
from socketio_server.doctor import remedies
from socketio_server.doctor.polling import SEPARATOR, Polling, cookie_header
from socketio_server.doctor.remedies import NotExamined, Wrong, explain
from socketio_server.doctor.site import Answer, Site, read
from socketio_server.doctor.websocket import Closed, Refused, WebSocket
from socketio_server.protocol import engineio
from socketio_server.protocol.engineio import ErrorCode

LARGE = 900_000
"""Characters of the large message: nearly the server's limit by default."""

MARGIN = 1_000
"""Characters by which the large message stays below the server's limit."""

LAST_BREATH = 5.0
"""Seconds that ``silence`` lasts beyond the time between two heartbeats, by default."""

SAMPLES = 8
"""Requests by which several processes show."""

HELD_BACK = 0.5
"""Seconds within which the last part of an answer follows the first if both were held back."""

_NAMELESS = "\x7f"  # a character that no namespace may have
_NAME = "socketio_doctor"  # in the server's log
_COOKIE = "socketio_doctor"


class Finding(msgspec.Struct, frozen=True):
    """What a step came to."""

    step: str
    state: Literal["right", "wrong", "not examined"]
    text: str = ""
    """What is wrong, or why the step was not made."""
    nginx: tuple[str, ...] = ()
    """The lines of nginx's configuration to change."""


class Examination:
    """Examines a site.

    :param site: the site.
    :param origin: the origin of its pages; ``None``: its own.
    :param idle: seconds of silence; ``None``: the time between two heartbeats, and some more.
    :param token: the proof that the examiner may ask for the server's health.
    :param cookie: of a user who is logged in, for sites where nobody else may connect.
    :param tell: called with what a step waits for, if it waits for long.
    """

    def __init__(
        self,
        site: Site,
        *,
        origin: str | None,
        idle: float | None,
        token: str,
        cookie: str | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._site = site
        self._cookie = cookie
        self._tell = tell
        self._headers = {"Origin": origin or site.origin, **cookie_header(cookie)}
        self._health_headers = {
            **self._headers,
            health.TOKEN_HEADER: token,
            **cookie_header(cookie, f"{_COOKIE}=1"),
        }
        self._idle = idle
        self._opening: dict[str, Any] = {}  # of the first session
        self._polls = True  # False if the server speaks WebSocket only
        self._health: dict[str, Any] | None = None  # None unless the server tells
        self._steps: dict[str, Callable[[], None]] = {
            "handshake": self._examine_handshake,
            "health": self._examine_health,
            "origin": self._examine_origin,
            "cookies": self._examine_cookies,
            "polling": self._examine_polling,
            "size": self._examine_size,
            "compression": self._examine_compression,
            "upgrade": self._examine_upgrade,
            "silence": self._examine_silence,
            "buffering": self._examine_buffering,
            "workers": self._examine_workers,
        }

    def run(self) -> Iterator[Finding]:
        """Make the steps, and yield what each finds; without a handshake there are no others."""
        for step, examine in self._steps.items():
            finding = _find(step, examine)
            yield finding
            if step == "handshake" and finding.state != "right":
                return

    def _examine_handshake(self) -> None:
        try:
            self._opening = Polling(self._site, self._headers).opening
        except Wrong as wrong:
            origin = self._headers["Origin"]
            if wrong.code == ErrorCode.FORBIDDEN and origin != self._site.origin:
                raise Wrong(
                    f"The server refuses pages of {origin}: add it to SOCKETIO_ALLOWED_ORIGINS."
                ) from wrong
            if wrong.text == remedies.LOGIN and self._cookie is not None:
                raise Wrong(_LOGS_NOBODY_IN) from wrong
            if wrong.code != ErrorCode.UNKNOWN_TRANSPORT:
                raise
            self._polls = False
            with self._use_websocket(self._site.target(transport="websocket")) as websocket:
                self._opening = json.loads(websocket.receive()[1:])

    def _examine_health(self) -> None:
        """Ask what only the server knows, and compare the host and the scheme that it sees."""
        told = self._ask("health")
        self._health = told
        if told["host"] != self._site.host:
            raise Wrong(
                f"The server sees the host {told['host']!r} instead of {self._site.host!r}: it "
                "takes the site's own pages for those of another.",
                remedies.HOST,
            )
        if self._site.is_secure and told["scheme"] != "https":
            raise Wrong(
                "The server takes requests over TLS for plain ones: its cookies and redirects are "
                "wrong. It also takes SECURE_PROXY_SSL_HEADER.",
                remedies.SCHEME,
            )

    def _examine_origin(self) -> None:
        """The page's origin arrives where it is verified."""
        told = self._told()
        if told["origin"] != self._headers["Origin"]:
            raise Wrong(
                f"The page's origin arrives as {told['origin']!r}: any page of the web can act as "
                "its visitor.",
                remedies.ORIGIN,
            )

    def _examine_cookies(self) -> None:
        """The session's cookie comes with the answer, and those of requests arrive; a user's logs
        the user in.
        """
        told = self._told()
        if _COOKIE not in told["cookies"]:
            raise Wrong(
                "Cookies don't arrive at the server: nobody is logged in there.", remedies.COOKIE
            )
        is_sent = f"{told['session_cookie']}=" in (self._cookie or "")
        if is_sent and not told["is_logged_in"]:
            raise Wrong(_LOGS_NOBODY_IN)
        if told["cookie"] is None or not self._polls:
            return
        set_now = [
            cookie
            for cookie in self._open_polling().answer.cookies
            if cookie.startswith(f"{told['cookie']}-")
        ]
        if not set_now:
            raise Wrong(
                "The cookie that binds a session to its browser is lost on the way: nothing may "
                "hide Set-Cookie (proxy_hide_header)."
            )
        attributes = [part.strip().casefold() for part in set_now[0].split(";")]
        if f"path={self._site.path}".casefold() not in attributes:
            raise Wrong(
                f"The session's cookie is for another path than {self._site.path}: "
                f"{set_now[0].partition(';')[2].strip()}. Set FORCE_SCRIPT_NAME, or fix "
                "proxy_cookie_path."
            )
        if self._site.is_secure and "secure" not in attributes:
            raise Wrong(
                "The session's cookie would also be sent without TLS. It takes "
                "SECURE_PROXY_SSL_HEADER, too.",
                remedies.SCHEME,
            )

    def _examine_polling(self) -> None:
        """A packet goes there, and another comes back."""
        session = self._open_polling()
        self._exchange(session, _NAME)

    def _examine_size(self) -> None:
        session = self._open_polling()
        self._exchange(session, _NAME, _large(self._opening))

    def _examine_compression(self) -> None:
        """A large answer comes compressed, and is what it was; WebSockets agree on it, too."""
        told = self._told()
        threshold = told["compression_threshold"]
        if threshold is None:
            raise NotExamined("SOCKETIO_COMPRESSION_THRESHOLD is None.")
        session = self._open_polling()
        answer = self._exchange(session, f"{_NAME}_" * (threshold // len(_NAME) + 100))
        if answer.encoding != "gzip":
            raise Wrong(
                f"Answers of more than {threshold} bytes come uncompressed to clients that accept "
                "gzip.",
                remedies.ENCODING,
            )
        if told["per_message_deflate"]:
            offer = {"Sec-WebSocket-Extensions": "permessage-deflate"}
            with self._open_websocket({**self._headers, **offer}) as websocket:
                if "permessage-deflate" not in websocket.headers.get(
                    "sec-websocket-extensions", ""
                ):
                    raise Wrong(
                        "WebSockets come to no agreement on compression, though "
                        "SOCKETIO_PER_MESSAGE_DEFLATE is on.",
                        remedies.EXTENSIONS,
                    )

    def _examine_upgrade(self) -> None:
        """A session goes over to a WebSocket, or begins there, and sends a large message."""
        if not self._polls:
            with self._use_websocket(self._site.target(transport="websocket")) as websocket:
                self._ask_large(websocket)
            return
        session = self._open_polling()
        if "websocket" not in session.opening["upgrades"]:
            raise NotExamined("SOCKETIO_TRANSPORTS leaves WebSockets out.")
        with self._use_websocket(session.websocket_target, session.headers) as websocket:
            websocket.send(engineio.PROBE_PING)
            if websocket.receive() != engineio.PROBE_PONG.decode():
                raise Wrong("The WebSocket's probe is not answered.")
            websocket.send(engineio.UPGRADE.decode())
            self._ask_large(websocket)

    def _ask_large(self, websocket: WebSocket) -> None:
        """Send a large message, and wait for its answer."""
        websocket.send(_question(_NAME, _large(self._opening)))
        while not _is_reply(websocket.receive(), _NAME):
            pass

    @contextmanager
    def _use_websocket(
        self, target: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[WebSocket]:
        """Open a WebSocket for what the ``with`` block does with it.

        :raises Wrong: if it can't be opened, or ends.
        """
        try:
            with WebSocket(self._site, target, headers or self._headers) as websocket:
                yield websocket
        except Refused as error:
            if not remedies.may_lack_upgrade(error.answer):
                raise explain(error.answer, self._opening) from error
            raise Wrong(
                f"No WebSocket can be opened (status {error.answer.status}): the proxy leaves out "
                "the Upgrade header. Clients stay with polling.",
                *remedies.UPGRADE,
            ) from error
        except (Closed, TimeoutError) as error:
            raise Wrong(
                "A WebSocket opens, and its messages don't come through: clients stay with "
                "polling, or come and go."
            ) from error

    def _examine_silence(self) -> None:
        """A WebSocket and a poll wait side by side, and nothing happens to either."""
        interval = self._opening["pingInterval"] / 1000
        idle = interval + LAST_BREATH if self._idle is None else self._idle
        self._tell(f"silence: waits for {idle:g} s, in which a proxy may cut connections")
        with ExitStack() as stack:
            poll = None
            if self._polls:
                poll = self._open_polling().start_poll()
                stack.callback(poll.close)
            try:
                websocket = stack.enter_context(self._open_websocket(self._headers))
            except (Refused, Closed):
                websocket = None  # which the upgrade has told of
            since = monotonic()
            if websocket is not None:
                try:
                    _keep_silent(websocket, since + idle)
                except Closed as error:
                    seconds = monotonic() - since
                    if error.in_order:
                        raise NotExamined(
                            f"The server ends sessions after {seconds:.0f} s that join no "
                            "namespace (SOCKETIO_CONNECT_TIMEOUT)."
                        ) from error
                    raise Wrong(
                        f"A silent WebSocket is cut after {seconds:.0f} s; the server's heartbeat "
                        f"comes every {interval:g} s.",
                        remedies.read_timeout(self._opening),
                    ) from error
            left = max(0.0, since + idle - monotonic())
            if poll is not None and select([poll.sock], [], [], left)[0]:
                answer = read(poll)
                if answer.status != HTTPStatus.OK:
                    raise explain(answer, self._opening)

    def _examine_buffering(self) -> None:
        """The first part of an answer comes before the last is sent."""
        self._told()
        connection = self._site.connect()
        sock = connection.sock  # which the connection forgets where the answer ends with it
        try:
            target = f"{self._site.path}?{health.QUESTION}=stream"
            self._site.send(connection, "GET", target, headers=self._health_headers)
            response = connection.getresponse()
            response.read1()
            sock.settimeout(HELD_BACK)
            response.read()
        except TimeoutError:
            return  # the last part has yet to be sent
        finally:
            connection.close()
        raise Wrong(
            "The proxy holds answers back until it has all of them: the server does not notice "
            "clients that read slowly, and streamed views come in one piece.",
            remedies.BUFFERING,
        )

    def _examine_workers(self) -> None:
        """Several processes have a broker, and its Redis is there."""
        told = [self._told(), *(self._ask("health") for _ in range(SAMPLES))]
        count = max(len({one["worker"] for one in told}), *(one["workers"] for one in told))
        if count > 1 and not all(one["has_broker"] for one in told):
            raise Wrong(
                f"{count} processes serve the site without SOCKETIO_BROKER_URL: what one sends "
                "does not reach the clients of the others."
            )
        if any(one["is_broker_lost"] for one in told):
            raise Wrong("A process has lost the Redis of SOCKETIO_BROKER_URL: its log says why.")

    def _ask(self, question: str) -> dict[str, Any]:
        """Return the server's answer to a question of its health.

        :raises NotExamined: if it does not tell.
        """
        target = f"{self._site.path}?{health.QUESTION}={question}"
        answer = self._site.request("GET", target, headers=self._health_headers)
        try:
            told = json.loads(answer.body)
            if "worker" in told:
                return dict(told)
        except (ValueError, TypeError):
            pass
        raise NotExamined(_UNTOLD)

    def _told(self) -> dict[str, Any]:
        """Return what the server told of its health.

        :raises NotExamined: if it did not tell.
        """
        if self._health is None:
            raise NotExamined(_UNTOLD)
        return self._health

    def _open_polling(self) -> Polling:
        """Open a session over polling.

        :raises Wrong: if the server refuses.
        :raises NotExamined: if it speaks WebSocket only.
        """
        if not self._polls:
            raise NotExamined("SOCKETIO_TRANSPORTS leaves polling out.")
        return Polling(self._site, self._headers)

    def _open_websocket(self, headers: Mapping[str, str]) -> WebSocket:
        """Open a session over a WebSocket alone."""
        return WebSocket(self._site, self._site.target(transport="websocket"), headers)

    def _exchange(self, session: Polling, name: str, size: int = 0) -> Answer:
        """Send a question of some size, and return the answer with its refusal.

        :raises Wrong: if either does not come through.
        """
        answer = session.post(_question(name, size))
        if (answer.status, answer.body) != (HTTPStatus.OK, b"ok"):
            raise explain(answer, session.opening)
        answer = session.poll(Accept_Encoding="gzip")
        try:
            if _is_reply(answer.text, name):
                return answer
        except ValueError:
            pass
        raise Wrong("An answer to a polling request does not come through as it was sent.")


_LOGS_NOBODY_IN = (
    "The cookie that was passed logs nobody in: it has run out, the user has logged out, or it is "
    "of another site. Pass one of a user who is logged in there, --cookie sessionid=…"
)

_NO_TLS = (
    "TLS fails: what answers there may speak plain HTTP. Examine its http:// address, or that of "
    "the proxy which has the certificate"
)

_UNTOLD = (
    "The server tells of its health only with DEBUG, to staff, or to who runs this command with "
    "its SECRET_KEY."
)


def _find(step: str, examine: Callable[[], None]) -> Finding:
    """Make a step."""
    try:
        examine()
    except Wrong as wrong:
        return Finding(step, "wrong", wrong.text, wrong.nginx)
    except NotExamined as reason:
        return Finding(step, "not examined", str(reason))
    except (OSError, HTTPException) as error:
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError):
            return Finding(step, "wrong", f"{_NO_TLS} ({error.reason or error}).")
        return Finding(step, "wrong", f"The connection fails: {error or type(error).__name__}.")
    return Finding(step, "right")


def _large(opening: Mapping[str, Any]) -> int:
    """Return the size of the large message, for a server's limit."""
    max_payload: int = opening["maxPayload"]
    return max(0, min(LARGE, max_payload - MARGIN))


def _question(name: str, size: int) -> str:
    """Return a request to join a namespace that no server has.

    :param size: characters that go along.
    """
    return f'40/{name}{_NAMELESS},{{"x":"{"x" * size}"}}'


def _is_reply(packets: str, name: str) -> bool:
    return any(packet.startswith(f"44/{name}{_NAMELESS},") for packet in packets.split(SEPARATOR))


def _keep_silent(websocket: WebSocket, until: float) -> None:
    """Answer heartbeats, and do nothing else."""
    while (left := until - monotonic()) > 0:
        try:
            packet = websocket.receive(left)
        except TimeoutError:
            return
        if packet == engineio.PING.decode():
            websocket.send(engineio.PONG.decode())
