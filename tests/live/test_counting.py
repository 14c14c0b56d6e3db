"""Whatever is refused is counted by its kind, and told in the log with where it came from.

Security, rule 19: the same kind of one client is logged once in ten seconds. What exactly is
answered is in the tests of each rule; here every refusal happens once over the wire.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.support.client import Client
from tests.support.http import Http
from tests.support.server import Server
from tests.support.tools import wait_until
from tests.support.types import Connect, StartServer
from tests.support.views import outside, stats
from tests.support.websocket import PING, WebSocket, frame, handshake_headers
from tests.support.wire import OverWebSocket, Polling, TransportName, open_probe, target

EVIL = {"Origin": "https://evil.example"}
BROWSER = {"Cookie": "socketio-1=one"}
OTHER_BROWSER = {"Cookie": "socketio-1=another"}
BURST = 30
"""Packets that a client may send at once."""

MAX_QUEUED = 50_000
"""Bytes that may wait for a client."""


@pytest.fixture
def wary(share_server: StartServer) -> Server:
    """A server that is soon at its limits."""
    return share_server(
        settings={
            "SOCKETIO_HEAD_TIMEOUT": 1.0,
            "SOCKETIO_BODY_TIMEOUT": 1.0,
            "SOCKETIO_CONNECT_TIMEOUT": 2.0,
            "SOCKETIO_UPGRADE_TIMEOUT": 1.0,
            "SOCKETIO_STALL_TIMEOUT": 1.0,
            "SOCKETIO_COMPRESSION_THRESHOLD": None,
            "SOCKETIO_PING_INTERVAL": 1.0,
            "SOCKETIO_PING_TIMEOUT": 2.0,
            "SOCKETIO_MAX_PACKET_RATE": 1000,
            "SOCKETIO_MAX_PACKET_BURST": BURST,
            "SOCKETIO_MAX_PAYLOAD": 10_000,
            "SOCKETIO_MAX_QUEUED_BYTES": MAX_QUEUED,
            "LOGGING": {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"console": {"class": "logging.StreamHandler"}},
                "loggers": {"socketio_server": {"handlers": ["console"], "level": "INFO"}},
            },
        }
    )


class Stranger:
    """Opens whatever it takes to be refused, and closes it in the end."""

    def __init__(self, server: Server, connect: Connect) -> None:
        self.server = server
        self._connect = connect
        self._closers: list[Callable[[], None]] = []

    def client(self, transport: TransportName = "websocket") -> Client:
        """Connect a client."""
        return self._connect(transport, to=self.server)

    def session(self, headers: dict[str, str] | None = None) -> Polling:
        """Open a session over polling."""
        session = Polling(self.server.address, headers=headers)
        self._closers.append(session.cut)
        return session

    def websocket(self) -> WebSocket:
        """Open a session over WebSocket that joins no namespace."""
        websocket = OverWebSocket(self.server.address).websocket
        self._closers.append(websocket.cut)
        return websocket

    def probe(self, session: Polling) -> None:
        """Open a WebSocket that is to take over a session, and send nothing."""
        self._closers.append(open_probe(session).cut)

    def ask(self, path: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> None:
        """Send a request that is refused."""
        with Http(self.server.address) as http:
            assert http.request(method, path, headers=headers).status >= 400

    def ask_for_websocket(self, path: str, headers: dict[str, str] | None = None) -> None:
        """Ask for a WebSocket that is refused."""
        self.ask(path, {**handshake_headers(), **(headers or {})})

    def close(self) -> None:
        """Close what was opened."""
        for close in self._closers:
            close()


Way = Callable[[Stranger], object]
WAYS: list[tuple[str, Way]] = []


def way(kind: str) -> Callable[[Way], Way]:
    """Register a way to be refused."""

    def register(function: Way) -> Way:
        WAYS.append((kind, function))
        return function

    return register


@way("request")
def an_unknown_transport(stranger: Stranger) -> None:
    stranger.ask(target("pigeon"))


@way("request")
def a_handshake_by_post(stranger: Stranger) -> None:
    stranger.ask(target("polling"), method="POST")


@way("request")
def a_malformed_websocket(stranger: Stranger) -> None:
    stranger.ask(target("websocket"), handshake_headers(sec_websocket_key="short"))


@way("request")
def a_malformed_websocket_of_a_session(stranger: Stranger) -> None:
    path = target("websocket", sid=stranger.session().handshake["sid"])
    stranger.ask(path, handshake_headers(sec_websocket_key="short"))


@way("request")
def another_method(stranger: Stranger) -> None:
    stranger.ask(stranger.session().target, method="PUT")


@way("request")
def a_second_websocket(stranger: Stranger) -> None:
    session = stranger.session()
    stranger.probe(session)
    stranger.probe(session)


@way("version")
def another_version(stranger: Stranger) -> None:
    stranger.ask(target("polling", EIO="2"))


@way("unknown sid")
def an_unknown_sid(stranger: Stranger) -> None:
    stranger.ask(target("polling", sid="unknown"))


@way("unknown sid")
def a_websocket_with_an_unknown_sid(stranger: Stranger) -> None:
    stranger.ask_for_websocket(target("websocket", sid="unknown"))


@way("origin")
def a_foreign_page(stranger: Stranger) -> None:
    stranger.ask(target("polling"), EVIL)


@way("origin")
def a_foreign_page_over_websocket(stranger: Stranger) -> None:
    stranger.ask_for_websocket(target("websocket"), EVIL)


@way("origin")
def a_foreign_page_in_a_session(stranger: Stranger) -> None:
    stranger.ask(stranger.session().target, EVIL)


@way("origin")
def a_foreign_page_that_upgrades(stranger: Stranger) -> None:
    session = stranger.session()
    stranger.ask_for_websocket(target("websocket", sid=session.handshake["sid"]), EVIL)


@way("stolen sid")
def another_browser(stranger: Stranger) -> None:
    stranger.ask(stranger.session(BROWSER).target, OTHER_BROWSER)


@way("stolen sid")
def another_browser_that_upgrades(stranger: Stranger) -> None:
    session = stranger.session(BROWSER)
    path = target("websocket", sid=session.handshake["sid"])
    stranger.ask_for_websocket(path, OTHER_BROWSER)


@way("http")
def a_malformed_head(stranger: Stranger) -> None:
    with Http(stranger.server.address) as http:
        http.send(b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n")
        assert http.read_response().status == 400


@way("slow head")
def a_slow_head(stranger: Stranger) -> None:
    with Http(stranger.server.address) as http:
        http.send(b"GET / HTTP/1.1\r\n")
        assert http.read_to_the_end() == b""


@way("slow body")
def a_slow_upload(stranger: Stranger) -> None:
    with Http(stranger.server.address) as http:
        http.begin_post("/outside/broadcast/", size=9)
        http.read_to_the_end()


@way("body")
def a_large_payload(stranger: Stranger) -> None:
    assert stranger.session().post("4" * 10_001).status == 413


@way("slow body")
def a_slow_payload(stranger: Stranger) -> None:
    path = stranger.session().target
    with Http(stranger.server.address) as http:
        http.begin_post(path, size=9)
        assert http.read_response().status == 408


@way("packet")
def a_malformed_packet(stranger: Stranger) -> None:
    assert stranger.session().post("nonsense").status == 400


@way("packet")
def a_frame_that_is_not_masked(stranger: Stranger) -> None:
    stranger.websocket().send(frame(1, "hello", masked=False))


@way("packet")
def a_large_frame(stranger: Stranger) -> None:
    stranger.websocket().send_text("4" * 10_001)


@way("packet")
def a_reserved_name(stranger: Stranger) -> None:
    stranger.client().emit("disconnect")


@way("packet")
def a_flood_of_pings(stranger: Stranger) -> None:
    stranger.websocket().send(frame(PING) * 100)


@way("namespace")
def an_unknown_namespace(stranger: Stranger) -> None:
    stranger.client().carrier.send("40/unknown,")


@way("channel")
def a_channel_without_a_name(stranger: Stranger) -> None:
    assert stranger.client().subscribe("") == {"error": "Invalid channel"}


@way("channel")
def no_channel_to_leave(stranger: Stranger) -> None:
    assert stranger.client().unsubscribe("") == {"error": "Invalid channel"}


@way("queued")
def too_little_is_fetched(stranger: Stranger) -> None:
    stranger.session().send("40")
    for _ in range(10):
        outside(stranger.server, "broadcast", "x" * (MAX_QUEUED // 5))


@way("rate")
def too_many_packets(stranger: Stranger) -> None:
    stranger.client().carrier.send(*['42["message","x"]'] * (2 * BURST))


@way("rate")
def too_many_packets_in_a_payload(stranger: Stranger) -> None:
    stranger.client("polling").carrier.send(*['42["message","x"]'] * (2 * BURST))


@way("connect timeout")
def no_namespace_in_time(stranger: Stranger) -> None:
    stranger.websocket()


@way("ping timeout")
def no_pong_in_time(stranger: Stranger) -> None:
    stranger.client()


@way("upgrade timeout")
def no_upgrade_in_time(stranger: Stranger) -> None:
    client = stranger.client("polling")
    assert isinstance(client.carrier, Polling)
    stranger.probe(client.carrier)


@pytest.fixture
def stranger(wary: Server, connect: Connect) -> Iterator[Stranger]:
    stranger = Stranger(wary, connect)
    yield stranger
    stranger.close()


def count(server: Server, kind: str) -> int:
    """Return how often something was refused so far."""
    refusals: dict[str, int] = stats(server)["refusals"]
    return refusals.get(kind, 0)


class TestRefusals:
    @pytest.mark.parametrize(
        ("kind", "way"), [pytest.param(kind, way, id=way.__name__) for kind, way in WAYS]
    )
    def test_are_counted_and_logged(
        self, wary: Server, stranger: Stranger, kind: str, way: Way
    ) -> None:
        before = count(wary, kind)
        way(stranger)
        wait_until(lambda: count(wary, kind) > before, f"a {kind!r} to be counted")
        wary.wait_for_output(rf"Refused \({kind}\): [^\n]+ \(from 127\.0\.0\.1\)")
        assert "Traceback" not in wary.output
