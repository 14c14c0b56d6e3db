"""A server without a socket of its own, and clients of it on real sockets.

The loop stands still until a test moves it. Only the application's requests have greenlets, in the
hub of the test's own thread.
"""

import _socket
import socket as socket_module
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gevent.event import Event

from socketio_server.engine.engine import Engine
from socketio_server.engine.origins import Site as RequestSite
from socketio_server.engine.origins import site_of
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session
from socketio_server.http.body import StreamedBody
from socketio_server.http.connection import HttpConnection, make_deadlines, write_size_of
from socketio_server.http.siblings import Siblings
from socketio_server.net.connection import READ_SIZE, Connection
from socketio_server.net.deadlines import Deadlines
from socketio_server.net.handover import Outcome, Waiter
from socketio_server.net.statistics import Stats
from socketio_server.options import Options
from tests.fakes.engine import RecordingSessionHandler
from tests.fakes.hub import make_pool, settle
from tests.fakes.loop import FakeLoop
from tests.fakes.net import is_at_end, read_available

BIG = bytes(range(256)) * 16_384  # 4 MB: more than any buffer on the way

CHUNKED = "Transfer-Encoding: chunked"
EXPECT = "Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
"""The header lines of a WebSocket handshake."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Answer(NamedTuple):
    """An answer; ``headers`` by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def site_at(path: str) -> RequestSite:
    """The site of a handshake."""
    return site_of(path, "localhost", is_secure=False, find_public_host=lambda: "localhost")


def wait_for(event: Event) -> Application:
    """Return an application that greets when an event is set."""

    def wait(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        event.wait()
        return greet(environ, start)

    return wait


def note_paths(asked: list[str]) -> Application:
    """Return an application that notes for which paths it is called."""

    def note(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        asked.append(environ["PATH_INFO"])
        return ignore(environ, start)

    return note


class Site:
    """A server without a socket of its own (``HttpServer``), and the sessions that it has.

    :param worker: its name among several.
    :param folder: where these meet.
    """

    path = "/socket.io/"

    def __init__(self, options: Options, *, worker: str = "", folder: Path | None = None) -> None:
        self.loop = FakeLoop()
        self.options = options
        self.stats = Stats(self.loop.clock)
        self.engine = Engine(
            self.loop, options, self.accept, self.stats, clock=self.loop.clock, worker=worker
        )
        self.is_copy = False
        self.has_siblings = bool(worker)
        self.siblings = Siblings(str(folder), worker, self.loop, self.stats.refusals)
        self.request_workers = make_pool(100, options=options)
        self.environ: dict[str, Any] = {"wsgi.url_scheme": "http"}
        self.application: Application = greet
        self.ended: list[int] = []
        self.sessions: list[Session] = []
        self.handlers: list[RecordingSessionHandler] = []
        clock = self.loop.clock
        self.wall_clock = lambda: 784_111_777.0
        self.write_size = write_size_of(options)
        self.deadlines = make_deadlines(self.loop, options, clock)
        self.stream_deadlines = Deadlines(
            self.loop, options.body_timeout, StreamedBody.time_out, clock=clock
        )

    def accept(self, session: Session, request: object) -> RecordingSessionHandler:
        self.sessions.append(session)
        self.handlers.append(RecordingSessionHandler())
        return self.handlers[-1]

    def take(self, sock: _socket.socket, address: Any, data: bytes, head_size: int) -> None:
        """Serve a connection that another server has accepted."""
        connection = Connection(sock, self.loop, self.engine.output)
        HttpConnection(connection, address, self).start(data, head_size)

    def request_ended(self, size: int) -> None:
        self.ended.append(size)

    def hand_over(
        self,
        tcp: Connection,
        address: Any,
        owner: str | None,
        data: bytes,
        head_size: int,
        waiter: Waiter,
    ) -> Outcome:
        return self.siblings.give(0, owner, tcp.socket, address, data, head_size, waiter)

    def open_session(self) -> str:
        """Open a session over polling; return the target of its requests."""
        query = {"EIO": "4", "transport": "polling"}
        handshake = EngineRequest("GET", query, site=site_at(self.path))
        self.engine.open_polling(handshake, "request", None)
        return f"{self.path}?EIO=4&transport=polling&sid={self.sessions[-1].sid}"

    def run(self) -> None:
        """Let everything happen that can, on the loop and in greenlets."""
        for _ in range(3):
            self.loop.run()
            settle()
        self.loop.run()

    def has_no_deadlines(self) -> bool:
        """Whether nothing is waited for on any connection."""
        return not self.stream_deadlines and not any(self.deadlines.values())


class Peer:
    """A client's end of a connection."""

    def __init__(self, site: Site, ours: socket_module.socket, sock: socket_module.socket) -> None:
        self.site = site
        self.sock = sock
        self.connection = Connection(ours, site.loop, site.engine.output)
        self.http = HttpConnection(self.connection, ("192.0.2.1", 1234), site)
        self.http.start()
        self._unread = b""

    def send(self, *data: bytes) -> None:
        """Send pieces, each of which arrives before the next is sent."""
        for piece in data:
            self.sock.sendall(piece)
            self.site.run()

    def end(self) -> None:
        """Send no more, but read on."""
        self.sock.shutdown(socket_module.SHUT_WR)
        self.site.run()

    def close(self) -> None:
        """Go away."""
        self.sock.close()
        self.site.run()

    def read(self) -> bytes:
        """Read until nothing more comes."""
        data = b""
        while piece := read_available(self.sock):
            data += piece
            self.site.run()
        return data

    def answers(self) -> list[Answer]:
        """Return the answers that have come since the last call; each must be whole."""
        data = self._unread + self.read()
        answers = []
        while data:
            head, _, data = data.partition(b"\r\n\r\n")
            line, *lines = head.decode("latin-1").split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
            size = int(headers.get("content-length", 0))
            assert len(data) >= size, "an answer is not whole"
            answers.append(Answer(int(line.split(" ")[1]), headers, data[:size]))
            data = data[size:]
        return answers

    def answer(self) -> Answer:
        """Return the only answer that has come since the last call."""
        (answer,) = self.answers()
        return answer

    def statuses(self) -> list[int]:
        """Return the statuses of the answers that have come since the last call."""
        return [answer.status for answer in self.answers()]

    @property
    def is_cut(self) -> bool:
        """Whether the server has closed, and all before that was read."""
        return is_at_end(self.sock)


def greet(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Tell what was asked for, and what came with it."""
    body = environ["wsgi.input"].read()
    text = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} ".encode() + body
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


def ignore(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer without a look at what came."""
    start_response("200 OK", [("Content-Length", "7")])
    return [b"ignored"]


def request(
    method: str, target: str, body: bytes | None = None, *lines: str, version: str = "1.1"
) -> bytes:
    """Return a request."""
    headers = ["Host: localhost", *lines]
    if body is not None:
        headers.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{method} {target} HTTP/{version}", *headers, "", ""])
    return head.encode() + (body or b"")


def head(method: str, target: str, *lines: str) -> bytes:
    """Return a request's head."""
    return request(method, target, None, *lines)


def in_chunks(*chunks: bytes) -> bytes:
    """Return a body in chunks, up to its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


def bytes_of(data: bytes) -> list[bytes]:
    """Return data, byte by byte."""
    return [bytes([byte]) for byte in data]


def send_what_is_taken(peer: Peer, data: bytes) -> bytes:
    """Send data until no more of it is taken; return the rest."""
    view = memoryview(data)
    peer.sock.setblocking(False)
    blocked = False
    while view:
        try:
            view = view[peer.sock.send(view[:READ_SIZE]) :]
            blocked = False
        except BlockingIOError:
            if blocked:
                break
            blocked = True
            peer.site.run()
    peer.site.run()
    return bytes(view)
