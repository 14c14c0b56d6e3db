"""The engine: handshakes, requests by ``sid``, heartbeats, upgrades, the shutdown.

Everything up to the HTTP server: requests are values, WebSockets are socket pairs. Where a test
is about deadlines their delays are a moment, and the loop's timers go off by hand.
"""

import gc
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import pytest
from msgspec.structs import replace

from socketio_server.engine import origins
from socketio_server.engine.engine import Engine
from socketio_server.engine.origins import site_of
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.session import Session
from socketio_server.engine.session_cookie import Binding
from socketio_server.engine.transports.polling import PollingTransport, error_response
from socketio_server.engine.transports.websocket import UpgradedConnection
from socketio_server.net.deadlines import TICK
from socketio_server.net.statistics import Stats
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.responses import Response
from socketio_server.protocol.websocket import Close
from tests.fakes import (
    HERE,
    MOMENT,
    PATIENCE,
    FakeExchange,
    FakeLoop,
    RecordingSessionHandler,
    WebSocketPeer,
    outgoing,
    packets,
    settle,
    websocket,
)

HANDSHAKE = {"EIO": "4", "transport": "polling"}
COOKIE = "socketio-1=abc"


def request(method: str = "GET", /, **query: str) -> EngineRequest:
    """A request as the HTTP server hands it over."""
    site = None if "sid" in query else HERE
    return EngineRequest(method, query, host="example.com", site=site)


def from_page(origin: str, method: str = "GET", /, **query: str) -> EngineRequest:
    """A request of a page."""
    return replace(request(method, **query), origin=origin)


def upgrade(**query: str) -> EngineRequest:
    """A request that asks to become a WebSocket."""
    return replace(request(**query), is_websocket=True)


class Site:
    """An engine, the sessions that it accepted, and requests to it."""

    def __init__(self, **options: Any) -> None:
        self.loop = FakeLoop()
        self.options = Options(**options)
        self.stats = Stats(self.loop.clock)
        self.engine = Engine(
            self.loop, self.options, self.accept, self.stats, clock=self.loop.clock
        )
        self.sessions: list[Session] = []
        self.handlers: list[RecordingSessionHandler] = []
        self.requests: list[object] = []
        self._stack = ExitStack()

    def accept(self, session: Session, request: object) -> RecordingSessionHandler:
        self.sessions.append(session)
        self.handlers.append(RecordingSessionHandler())
        self.requests.append(request)
        return self.handlers[-1]

    def open_polling(self, binding: Binding | None = None, at: origins.Site = HERE) -> str:
        """Open a session over polling; return its ``sid``."""
        handshake = replace(request(**HANDSHAKE), site=at)
        response = self.engine.open_polling(handshake, "request", binding)
        (packet,) = packets(response.body)
        sid: str = json.loads(packet[1:])["sid"]
        return sid

    def open_websocket(self, data: bytes = b"") -> WebSocketPeer:
        """Open a session over a WebSocket; return its client."""
        pair = websocket(self.loop, self.options, self.engine.output)
        connection, client = self._stack.enter_context(pair)
        upgraded = UpgradedConnection(connection, data)
        self.engine.open_websocket(request(**HANDSHAKE), "request", upgraded)
        return client

    def probe(self, session: Session, data: bytes = b"") -> WebSocketPeer:
        """Let a WebSocket try to take over a session; return its client."""
        connection, client = self._stack.enter_context(websocket(self.loop, self.options))
        self.engine.probe_websocket(session, UpgradedConnection(connection, data))
        return client

    def request(self, asked: EngineRequest, body: bytes = b"") -> FakeExchange:
        """Begin a request, and let the loop run until it waits or has its answer."""
        exchange = FakeExchange()
        found = self.engine.find_polled(asked)
        if isinstance(found, Response):
            exchange.reply(found)
        elif asked.method == "GET":
            found.answer_get(exchange)
        else:
            found.answer_post(body, "text/plain;charset=UTF-8", exchange)
        self.loop.run()
        return exchange

    def respond(self, asked: EngineRequest, body: bytes = b"") -> Response:
        """Return the answer to a request that must not wait."""
        response = self.request(asked, body).response
        assert response is not None, "it waits"
        return response

    def find_upgradable(self, asked: EngineRequest) -> Session | Response:
        return self.engine.find_upgradable(asked)

    def get(self, sid: str) -> list[str]:
        """Return the packets that a GET gets at once."""
        response = self.respond(request(transport="polling", sid=sid))
        assert response.status == 200, response
        return list(packets(response.body))

    def post(self, sid: str, body: bytes) -> Response:
        return self.respond(request("POST", transport="polling", sid=sid), body)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.fixture
def impatient() -> Iterator[Site]:
    """A site where every deadline comes when its timer goes off."""
    made = Site(ping_interval=MOMENT, ping_timeout=MOMENT, upgrade_timeout=MOMENT)
    yield made
    made.close()


class TestHandshakeOverPolling:
    def test_it_is_answered_with_the_opening_packet(self, site: Site) -> None:
        response = site.engine.open_polling(request(**HANDSHAKE), "request", None)

        assert response.status == 200
        (packet,) = packets(response.body)
        assert packet[0] == "0"
        assert json.loads(packet[1:]) == {
            "sid": site.sessions[0].sid,
            "upgrades": ["websocket"],
            "pingInterval": 25_000,
            "pingTimeout": 20_000,
            "maxPayload": 1_000_000,
        }

    def test_the_options_are_announced(self) -> None:
        site = Site(ping_interval=1.5, ping_timeout=0.25, max_payload=123, transports=("polling",))
        (packet,) = packets(site.engine.open_polling(request(**HANDSHAKE), "request", None).body)

        opening = json.loads(packet[1:])
        assert (opening["pingInterval"], opening["pingTimeout"]) == (1500, 250)
        assert opening["maxPayload"] == 123
        assert opening["upgrades"] == []
        site.close()

    def test_the_sid_has_at_least_160_bits_and_is_never_the_same(self, site: Site) -> None:
        sids = {site.open_polling() for _ in range(100)}

        assert len(sids) == 100
        assert all(len(sid) * 6 >= 160 for sid in sids)  # 6 bits per character of base64
        assert len(site.engine) == 100

    def test_the_handler_is_made_for_the_session_and_its_request(self, site: Site) -> None:
        sid = site.open_polling()

        assert site.requests == ["request"]
        assert [session.sid for session in site.sessions] == [sid]
        assert site.sessions[0].is_open
        assert site.sessions[0].transport.name == "polling"


class TestHandshakeOverWebSocket:
    def test_the_opening_packet_is_the_first_message(self, site: Site) -> None:
        client = site.open_websocket()

        (packet,) = client.received()
        assert isinstance(packet, str)
        assert packet[0] == "0"
        assert json.loads(packet[1:]) == {
            "sid": site.sessions[0].sid,
            "upgrades": [],
            "pingInterval": 25_000,
            "pingTimeout": 20_000,
            "maxPayload": 1_000_000,
        }
        assert site.sessions[0].transport.name == "websocket"

    def test_messages_pass_in_both_directions(self, site: Site) -> None:
        client = site.open_websocket()
        client.received()
        client.send("4hello")
        site.loop.run()
        site.sessions[0].send(outgoing("welcome"))

        assert site.handlers[0].messages == ["hello"]
        assert client.received() == ["4welcome"]

    def test_a_client_that_is_gone_by_then_is_noticed_at_once(self, site: Site) -> None:
        with websocket(site.loop, site.options) as (connection, client):
            client.sock.close()
            asked = request(**HANDSHAKE)
            site.engine.open_websocket(asked, "request", UpgradedConnection(connection))
            site.loop.run()

        (handler,) = site.handlers
        assert len(handler.closed) == 1
        assert len(site.engine) == 0


class TestRoomForSessions:
    def test_the_server_is_full_with_as_many_sessions_as_there_may_be(self) -> None:
        site = Site(max_sessions=2)
        site.open_polling()
        assert not site.engine.is_full

        site.open_polling()
        assert site.engine.is_full
        site.close()


class TestWhoseARequestIs:
    @pytest.mark.parametrize("has_ended", [False, True])
    def test_one_with_sid_transport_and_version_is_its_session_s(
        self, site: Site, has_ended: bool
    ) -> None:
        sid = site.open_polling()
        if has_ended:
            site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)

        assert site.engine.has_session("", {"sid": sid, **HANDSHAKE})

    @pytest.mark.parametrize("missing", ["sid", "transport", "EIO"])
    def test_one_without_any_of_these_is_the_application_s(self, site: Site, missing: str) -> None:
        params = {"sid": site.open_polling(), **HANDSHAKE}
        del params[missing]

        assert not site.engine.has_session("", params)

    def test_one_on_another_path_is_the_application_s(self, site: Site) -> None:
        assert not site.engine.has_session("/page", {"sid": site.open_polling(), **HANDSHAKE})


class TestHeartbeats:
    @pytest.fixture
    def site(self) -> Iterator[Site]:
        made = Site(ping_interval=25.0, ping_timeout=20.0, stall_timeout=60.0, max_lag=200.0)
        yield made
        made.close()

    def test_a_client_that_takes_what_waits_for_it_is_not_given_up(self, site: Site) -> None:
        """Its pong can't come before it has read what was sent before the ping."""
        client = site.open_websocket()
        site.sessions[0].send(outgoing("x" * 2_000_000))
        site.loop.advance(50.0)
        assert site.handlers[0].closed == []

        received: list[object] = []
        while "2" not in received:
            site.loop.run()
            received += client.received()
        client.send("3")
        site.loop.advance(20.0)
        assert site.handlers[0].closed == []

    def test_a_client_that_is_not_read_from_is_not_given_up(self, site: Site) -> None:
        site.open_websocket()
        site.sessions[0].pause_reading()
        site.loop.advance(200.0)
        assert site.handlers[0].closed == []

        site.sessions[0].resume_reading()
        site.loop.advance(45.0)
        assert site.handlers[0].closed == [CloseReason.PING_TIMEOUT]


class TestAnswersToPolls:
    @pytest.mark.parametrize(
        ("user_agent", "most"),
        [
            ("python-requests/2.32.3", 16),
            ("Python/3.11 aiohttp/3.9.5", 16),
            ("Mozilla/5.0 (X11; Linux x86_64) Python/3", 40),
            ("node-XMLHttpRequest", 40),
            ("", 40),
        ],
    )
    def test_have_as_many_packets_as_the_client_takes(
        self, site: Site, user_agent: str, most: int
    ) -> None:
        asked = replace(request(**HANDSHAKE), user_agent=user_agent)
        response = site.engine.open_polling(asked, "request", None)
        sid = json.loads(packets(response.body)[0][1:])["sid"]
        for number in range(40):
            site.sessions[0].send(outgoing(str(number)))

        poll = site.request(request(sid=sid, **HANDSHAKE))
        assert len(poll.packets) == most


class TestRevision3:
    """``socket.io-client`` 2.x and its like, where they are let in."""

    @pytest.fixture
    def site(self) -> Iterator[Site]:
        made = Site(allow_eio3=True, ping_interval=MOMENT, ping_timeout=MOMENT)
        yield made
        made.close()

    def test_the_client_sends_the_pings_and_is_given_up_without_them(self, site: Site) -> None:
        asked = request(EIO="3", transport="websocket")
        with websocket(site.loop, site.options) as (connection, client):
            site.engine.open_websocket(asked, "request", UpgradedConnection(connection))
            client.received()
            client.send("2")
            site.loop.run()
            assert client.received() == ["3"]

            site.loop.advance(TICK)
            assert site.handlers[0].closed == [CloseReason.PING_TIMEOUT]

    @pytest.mark.parametrize(("revision", "data"), [("3", b"\x04\x01"), ("4", b"\x01")])
    def test_its_bytes_have_a_type_before_them_and_no_other_s(
        self, site: Site, revision: str, data: bytes
    ) -> None:
        asked = request(EIO=revision, transport="websocket")
        with websocket(site.loop, site.options) as (connection, client):
            site.engine.open_websocket(asked, "request", UpgradedConnection(connection))
            client.send(data)
            site.loop.run()

            assert site.handlers[0].messages == [b"\x01"]

    def test_a_ping_in_time_begins_the_wait_for_the_next(self) -> None:
        site = Site(allow_eio3=True, ping_interval=25.0, ping_timeout=20.0)
        asked = request(EIO="3", transport="websocket")
        with websocket(site.loop, site.options) as (connection, client):
            site.engine.open_websocket(asked, "request", UpgradedConnection(connection))
            for _ in range(3):
                site.loop.advance(40.0)
                client.send("2")
                site.loop.run()
            assert site.handlers[0].closed == []

            site.loop.advance(45.0)
            assert site.handlers[0].closed == [CloseReason.PING_TIMEOUT]

    def test_a_client_that_is_not_read_from_is_not_given_up(self) -> None:
        site = Site(allow_eio3=True, ping_interval=25.0, ping_timeout=20.0, max_lag=200.0)
        asked = request(EIO="3", transport="websocket")
        with websocket(site.loop, site.options) as (connection, client):
            site.engine.open_websocket(asked, "request", UpgradedConnection(connection))
            site.sessions[0].pause_reading()
            site.loop.advance(200.0)
            assert site.handlers[0].closed == []
            assert "2" not in client.received()

            site.sessions[0].resume_reading()
            site.loop.advance(45.0)
            assert site.handlers[0].closed == [CloseReason.PING_TIMEOUT]

    def test_no_ping_is_awaited_from_a_client_that_has_gone(self, site: Site) -> None:
        asked = request(EIO="3", transport="polling")
        site.engine.open_polling(asked, "request", None)
        site.sessions[0].close(CloseReason.TRANSPORT_CLOSE)
        site.loop.advance(1.0)

        assert site.stats.refusals.counts == {}
        assert site.loop.timers == 0


class TestOrigins:
    def test_a_request_without_one_is_allowed(self, site: Site) -> None:
        assert site.engine.is_allowed_origin(request())

    @pytest.mark.parametrize("revision", ["4", "3"])
    @pytest.mark.parametrize("allowed", [(), ("*",)])
    def test_a_request_without_one_that_a_page_of_another_site_sends_is_not(
        self, allowed: tuple[str, ...], revision: str
    ) -> None:
        site = Site(allowed_origins=allowed)
        asked = replace(request(EIO=revision, transport="polling"), is_cross_site=True)

        assert not site.engine.is_allowed_origin(asked)
        site.close()

    @pytest.mark.parametrize(
        ("origin", "expected"),
        [
            ("http://example.com", True),
            ("https://listed.test", True),
            ("https://listed.test:8443", False),
            ("https://sub.listed.test", False),
            ("http://listed.test", False),
            ("capacitor://localhost", True),
            ("file://", True),
            ("http://evil.test", False),
            ("null", False),
        ],
    )
    def test_the_own_host_s_and_the_listed_are(self, origin: str, expected: bool) -> None:
        listed = ("https://listed.test", "capacitor://localhost", "file://")
        site = Site(allowed_origins=listed)
        asked = replace(from_page(origin), is_cross_site=True)

        assert site.engine.is_allowed_origin(asked) is expected
        site.close()

    @pytest.mark.parametrize("origin", ["https://other.test", "null", "file://"])
    def test_with_a_star_any_is(self, origin: str) -> None:
        site = Site(allowed_origins=("*",))

        assert site.engine.is_allowed_origin(from_page(origin))
        site.close()

    def test_of_a_host_that_is_not_known_only_the_listed_are(self) -> None:
        site = Site(allowed_origins=("https://listed.test",))

        for origin, expected in (("https://listed.test", True), ("http://example.com", False)):
            asked = replace(from_page(origin), site=None)
            assert site.engine.is_allowed_origin(asked) is expected
        site.close()

    def test_a_secure_page_is_allowed_where_the_request_is_not_and_the_log_says_so_once(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            assert site.engine.is_allowed_origin(from_page("https://example.com"))

        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert "'https://example.com'" in record.getMessage()
        assert "SECURE_PROXY_SSL_HEADER" in record.getMessage()

    def test_of_a_plain_page_the_log_says_nothing(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert site.engine.is_allowed_origin(from_page("http://example.com"))

        assert caplog.records == []

    def test_those_of_the_handshake_s_host_are_allowed_to_the_end(self, site: Site) -> None:
        secure = site_of("", "inner:8000", public_host="example.com", is_secure=True)
        sid = site.open_polling(at=secure)

        def get(origin: str | None, host: str) -> int:
            asked = replace(request(transport="polling", sid=sid), origin=origin, host=host)
            site.sessions[0].send(outgoing("hello"))
            return site.respond(asked).status

        assert get("https://example.com", "inner:8000") == 200
        assert get("http://example.com", "inner:8000") == 403
        assert get("http://inner:8000", "inner:8000") == 403
        assert get("http://evil.test", "evil.test") == 403
        assert site.stats.refusals.counts == {"origin": 3}

    def test_a_request_for_another_host_than_the_handshake_s_is_refused(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        asked = replace(request(transport="polling", sid=site.open_polling()), host="evil.test")

        assert site.respond(asked) == error_response(ErrorCode.FORBIDDEN)
        assert site.stats.refusals.counts == {"host": 1}
        assert "host 'evil.test' is not that of the session's handshake" in caplog.text

    def test_of_a_session_a_page_of_another_site_without_one_gets_nothing(self, site: Site) -> None:
        asked = request(transport="polling", sid=site.open_polling())

        assert site.respond(replace(asked, is_cross_site=True)).status == 403

    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PUT"])
    @pytest.mark.parametrize("transport", ["polling", "websocket"])
    def test_it_is_checked_on_every_request(self, site: Site, method: str, transport: str) -> None:
        sid = site.open_polling()
        asked = from_page("http://evil.test", method, transport=transport, sid=sid)

        assert site.respond(asked, b"4hello") == error_response(ErrorCode.FORBIDDEN)
        assert site.handlers[0].messages == []

    def test_a_page_of_an_allowed_one_may_poll(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].send(outgoing("hello"))
        asked = from_page("http://example.com", transport="polling", sid=sid)

        assert site.respond(asked).body == b"4hello"

    def test_it_is_checked_on_upgrades(self, site: Site) -> None:
        sid = site.open_polling()
        asked = from_page("http://evil.test", transport="websocket", sid=sid)

        assert site.find_upgradable(asked) == error_response(ErrorCode.FORBIDDEN)


class TestCorsHeaders:
    @pytest.fixture
    def site(self) -> Iterator[Site]:
        made = Site(allowed_origins=("https://listed.test",))
        yield made
        made.close()

    def test_a_request_without_an_origin_needs_none(self, site: Site) -> None:
        assert site.engine.cors_headers(request()) == ()

    def test_a_foreign_page_gets_none(self, site: Site) -> None:
        asked = from_page("http://evil.test")
        assert site.engine.cors_headers(asked) == ()

    def test_an_allowed_page_may_read_the_answer_and_send_cookies(self, site: Site) -> None:
        asked = from_page("https://listed.test")
        assert dict(site.engine.cors_headers(asked)) == {
            "Access-Control-Allow-Origin": "https://listed.test",
            "Access-Control-Allow-Credentials": "true",
            "Vary": "Origin",
        }

    def test_a_preflight_is_told_what_may_follow(self, site: Site) -> None:
        asked = from_page("https://listed.test", "OPTIONS")
        headers = dict(site.engine.cors_headers(asked))

        assert headers["Access-Control-Allow-Methods"] == "GET, POST"
        assert headers["Access-Control-Allow-Headers"] == "Content-Type"

    def test_where_any_page_may_none_may_send_cookies(self) -> None:
        site = Site(allowed_origins=("*",))
        headers = dict(site.engine.cors_headers(from_page("http://any.test")))

        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in headers
        site.close()


class TestRequestsOfASession:
    def test_a_get_takes_what_is_queued(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].send(outgoing("hello"))

        assert site.get(sid) == ["4hello"]

    def test_a_get_waits_for_something(self, site: Site) -> None:
        sid = site.open_polling()
        poll = site.request(request(transport="polling", sid=sid))
        assert poll.response is None

        site.sessions[0].send(outgoing("hello"))
        site.loop.run()
        assert poll.response == Response(200, b"4hello")

    def test_a_post_is_handed_up_and_answered_with_ok(self, site: Site) -> None:
        sid = site.open_polling()
        response = site.post(sid, b"4hello\x1ebAQI=")

        assert (response.status, response.body) == (200, b"ok")
        assert site.handlers[0].messages == ["hello", b"\x01\x02"]

    def test_an_options_request_is_answered_with_nothing(self, site: Site) -> None:
        asked = request("OPTIONS", transport="polling", sid=site.open_polling(Binding(COOKIE)))
        response = site.respond(asked)
        assert (response.status, response.body) == (204, b"")

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            pytest.param({}, ErrorCode.UNKNOWN_TRANSPORT, id="no transport"),
            pytest.param({"transport": "x"}, ErrorCode.UNKNOWN_TRANSPORT, id="unknown transport"),
            pytest.param({"transport": "websocket"}, ErrorCode.BAD_REQUEST, id="other transport"),
        ],
    )
    def test_the_transport_must_fit(
        self, site: Site, query: dict[str, str], error: ErrorCode
    ) -> None:
        sid = site.open_polling()
        assert site.respond(request(sid=sid, **query)) == error_response(error)

    @pytest.mark.parametrize("sid", ["unknown", "", "../../etc"])
    def test_the_session_must_exist(self, site: Site, sid: str) -> None:
        site.open_polling()
        response = site.respond(request(transport="polling", sid=sid))

        assert response == error_response(ErrorCode.UNKNOWN_SESSION)

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD"])
    def test_the_method_must_be_get_or_post(self, site: Site, method: str) -> None:
        sid = site.open_polling()
        response = site.respond(request(method, transport="polling", sid=sid), b"4hello")

        assert response == error_response(ErrorCode.BAD_REQUEST)
        assert site.handlers[0].messages == []

    def test_a_session_over_websocket_takes_no_polling(self, site: Site) -> None:
        client = site.open_websocket()
        client.received()
        sid = site.sessions[0].sid

        response = site.respond(request(transport="polling", sid=sid))
        assert response == error_response(ErrorCode.BAD_REQUEST)
        assert site.post(sid, b"4hello") == error_response(ErrorCode.BAD_REQUEST)
        assert site.sessions[0].is_open


class TestCookies:
    """A stolen ``sid`` is of no use in another browser (security, 2)."""

    def get(self, site: Site, sid: str, cookie: str | None) -> Response:
        site.sessions[-1].send(outgoing("secret"))
        asked = request(transport="polling", sid=sid)
        return site.respond(asked if cookie is None else replace(asked, cookie=cookie))

    @pytest.mark.parametrize("cookie", ["socketio-1=abc", "a=b; socketio-1=abc; c=d"])
    def test_the_browser_of_the_handshake_may_go_on(self, site: Site, cookie: str) -> None:
        sid = site.open_polling(Binding(COOKIE))

        assert self.get(site, sid, cookie).body == b"4secret"
        assert self.get(site, sid, cookie).body == b"4secret"

    @pytest.mark.parametrize(
        "cookie", [None, "", "socketio-1=", "socketio-1=xyz", "socketio-2=abc", "abc"]
    )
    def test_no_other_may(self, site: Site, cookie: str | None) -> None:
        sid = site.open_polling(Binding(COOKIE))

        assert self.get(site, sid, cookie) == error_response(ErrorCode.FORBIDDEN)
        assert site.sessions[0].is_open

    def test_no_other_may_post_or_upgrade(self, site: Site) -> None:
        sid = site.open_polling(Binding(COOKIE))

        assert site.post(sid, b"4forged") == error_response(ErrorCode.FORBIDDEN)
        asked = upgrade(transport="websocket", sid=sid)
        assert site.find_upgradable(asked) == error_response(ErrorCode.FORBIDDEN)
        assert site.handlers[0].messages == []

    def test_no_other_may_fetch_the_last_packets_of_a_session(self, site: Site) -> None:
        sid = site.open_polling(Binding(COOKIE))
        site.sessions[0].send(outgoing("secret"))
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        poll = request(transport="polling", sid=sid)

        assert site.respond(poll) == error_response(ErrorCode.FORBIDDEN)
        assert site.respond(replace(poll, cookie=COOKIE)).body == b"4secret"

    def test_a_browser_that_got_its_cookie_with_the_handshake_is_bound_from_then_on(
        self, site: Site
    ) -> None:
        sid = site.open_polling(Binding(COOKIE, is_new=True))

        assert self.get(site, sid, COOKIE).status == 200
        assert self.get(site, sid, "socketio-1=xyz").status == 403
        assert self.get(site, sid, None).status == 403
        assert self.get(site, sid, COOKIE).status == 200

    def test_a_client_that_keeps_no_cookies_is_free(self, site: Site) -> None:
        sid = site.open_polling(Binding(COOKIE, is_new=True))

        assert self.get(site, sid, None).body == b"4secret"
        assert self.get(site, sid, None).body == b"4secret"

    def test_without_a_cookie_s_name_nobody_is_bound(self) -> None:
        site = Site(cookie=None)
        sid = site.open_polling(Binding(COOKIE))

        assert self.get(site, sid, None).body == b"4secret"
        site.close()


class TestBodies:
    """What they may be is the HTTP connection's business: ``tests/test_http.py``."""

    def test_one_is_for_the_transport_of_its_session(self, site: Site) -> None:
        asked = request("POST", transport="polling", sid=site.open_polling())
        found = site.engine.find_polled(asked)

        assert isinstance(found, PollingTransport)
        assert found is site.sessions[0].transport

    @pytest.mark.parametrize("status", [400, 408, 413])
    def test_the_session_of_one_that_is_refused_ends(self, site: Site, status: int) -> None:
        """What is missing would leave it open and deaf."""
        site.engine.body_refused(request(sid=site.open_polling()), status)

        assert site.handlers[0].closed == [CloseReason.PARSE_ERROR]
        assert site.stats.refusals.counts == {"body": 1}

    def test_that_of_a_session_that_has_ended_changes_nothing(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        site.engine.body_refused(request(sid=sid), 413)

        assert site.handlers[0].closed == [CloseReason.FORCED_SERVER_CLOSE]
        assert site.stats.refusals.counts == {}


class TestTheEndOfASession:
    def test_it_is_forgotten(self, site: Site) -> None:
        client = site.open_websocket()
        client.close()
        site.loop.run()

        assert site.handlers[0].closed == [CloseReason.TRANSPORT_CLOSE]
        assert len(site.engine) == 0

    def test_a_polling_client_may_still_fetch_what_was_sent(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].send(outgoing("last words"))
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        assert len(site.engine) == 0

        assert site.get(sid) == ["4last words"]
        assert site.get(sid) == ["1"]

    def test_a_polling_client_can_send_nothing_any_more(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)

        assert site.post(sid, b"4too late") == error_response(ErrorCode.BAD_REQUEST)
        assert site.handlers[0].messages == []

    @pytest.mark.parametrize(
        "reason",
        [
            CloseReason.TRANSPORT_CLOSE,
            CloseReason.TRANSPORT_ERROR,
            CloseReason.PING_TIMEOUT,
            CloseReason.PARSE_ERROR,
        ],
    )
    def test_where_the_client_is_at_fault_or_has_left_there_is_nothing_to_fetch(
        self, site: Site, reason: CloseReason
    ) -> None:
        sid = site.open_polling()
        site.sessions[0].send(outgoing("too late"))
        site.sessions[0].close(reason)
        site.loop.run()
        response = site.respond(request(transport="polling", sid=sid))

        assert response == error_response(ErrorCode.UNKNOWN_SESSION)

    @pytest.mark.parametrize(
        "reason",
        [
            CloseReason.FORCED_SERVER_CLOSE,
            CloseReason.TRANSPORT_CLOSE,
            CloseReason.PING_TIMEOUT,
            CloseReason.PARSE_ERROR,
        ],
    )
    def test_what_is_never_fetched_does_not_count_for_ever(
        self, site: Site, reason: CloseReason
    ) -> None:
        site.open_polling()
        site.sessions[0].send(outgoing("never fetched" * 1000))
        assert site.engine.output.total > 0
        site.sessions[0].close(reason)
        site.loop.advance(site.options.close_timeout)

        assert site.engine.output.total == 0
        site.loop.advance(1000.0)
        assert site.loop.timers == 0

    def test_once_the_goodbye_is_fetched_the_session_is_unknown(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)

        assert site.get(sid) == ["1"]
        response = site.respond(request(transport="polling", sid=sid))
        assert response == error_response(ErrorCode.UNKNOWN_SESSION)

    def test_a_client_that_closes_frees_its_own_get_with_a_noop(self, site: Site) -> None:
        sid = site.open_polling()
        poll = site.request(request(transport="polling", sid=sid))

        assert site.post(sid, b"1").status == 200
        assert poll.response == Response(200, b"6")
        response = site.respond(request(transport="polling", sid=sid))
        assert response == error_response(ErrorCode.UNKNOWN_SESSION)

    def test_a_client_that_closes_frees_its_get_of_the_same_moment_too(self, site: Site) -> None:
        sid = site.open_polling()
        post, poll = FakeExchange(), FakeExchange()
        for asked in (
            request("POST", transport="polling", sid=sid),
            request(transport="polling", sid=sid),
        ):
            found = site.engine.find_polled(asked)
            assert isinstance(found, PollingTransport)
            if asked.method == "POST":
                found.answer_post(b"1", "", post)
            else:
                found.answer_get(poll)
        site.loop.run()

        assert post.status == 200
        assert poll.packets == ["6"]

    def test_one_with_much_to_fetch_has_time_for_each_get(self, site: Site) -> None:
        sid = site.open_polling()
        words = [letter * site.options.max_payload for letter in "abc"]
        for word in words:
            site.sessions[0].send(outgoing(word))
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        for packet in [*(f"4{word}" for word in words), "1"]:
            site.loop.advance(0.9 * site.options.close_timeout)
            assert site.get(sid) == [packet]

    def test_the_time_for_the_next_get_begins_when_an_answer_was_read(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].send(outgoing("last words"))
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        exchange = FakeExchange()
        exchange.is_slow = True
        found = site.engine.find_polled(request(transport="polling", sid=sid))
        assert isinstance(found, PollingTransport)
        found.answer_get(exchange)
        site.loop.advance(2 * site.options.close_timeout)
        exchange.is_slow = False

        assert site.get(sid) == ["1"]

    def test_a_polling_client_may_fetch_what_was_sent_only_for_a_while(self) -> None:
        site = Site(close_timeout=MOMENT)
        sid = site.open_polling()
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        site.loop.advance(TICK)
        response = site.respond(request(transport="polling", sid=sid))

        assert response == error_response(ErrorCode.UNKNOWN_SESSION)
        site.close()

    def test_where_nothing_is_left_it_is_forgotten_at_once(self, site: Site) -> None:
        sid = site.open_polling()
        poll = site.request(request(transport="polling", sid=sid))
        site.post(sid, b"nonsense")
        assert poll.response == Response(200, b"1")
        site.loop.advance(site.options.close_timeout)

        assert len(site.engine) == 0

    @pytest.mark.parametrize("when", ["at once", "during a probe", "after an upgrade"])
    def test_nothing_of_it_is_kept(self, site: Site, when: str) -> None:
        sid = site.open_polling()
        session = site.sessions.pop()
        if when != "at once":
            client = site.probe(session)
            client.send("2probe")
            site.loop.run()
        if when == "after an upgrade":
            client.send("5")
            site.loop.run()
        session.close(CloseReason.FORCED_SERVER_CLOSE)
        del session
        site.loop.advance(site.options.close_timeout)
        gc.collect()

        kept = [thing for thing in gc.get_objects() if isinstance(thing, Session)]
        assert sid not in [session.sid for session in kept]

    def test_a_bad_packet_ends_its_sender_s_session_and_no_other(self, site: Site) -> None:
        bad, good = site.open_polling(), site.open_polling()
        assert site.post(bad, b"nonsense") == error_response(ErrorCode.BAD_REQUEST)

        assert site.handlers[0].closed == [CloseReason.PARSE_ERROR]
        assert site.post(good, b"4hello").status == 200
        assert site.handlers[1].closed == []


class TestRefusals:
    def test_what_clients_do_wrong_is_counted_and_logged(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        sid = site.open_polling()
        site.post(sid, b"nonsense")

        assert site.stats.refusals.counts == {"packet": 1}
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("socketio_server", "WARNING")
        assert "packet type" in record.getMessage()
        assert sid not in record.getMessage()

    def test_a_stolen_sid_is_too(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        sid = site.open_polling(Binding(COOKIE))
        site.respond(request(transport="polling", sid=sid))

        assert site.stats.refusals.counts == {"stolen sid": 1}
        assert "sid of another browser" in caplog.text
        assert sid not in caplog.text

    def test_an_unknown_sid_is_no_warning_because_a_restart_makes_all_unknown(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "socketio_server")
        site.respond(request(transport="polling", sid="unknown"))

        (record,) = caplog.records
        assert record.levelname == "INFO"
        assert "unknown session" in record.getMessage()

    def test_a_foreign_host_is_counted_and_logged_by_name(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert site.engine.refuse_host(request()) == error_response(ErrorCode.FORBIDDEN)

        assert site.stats.refusals.counts == {"host": 1}
        assert "host 'example.com' is not in ALLOWED_HOSTS" in caplog.text

    def test_a_foreign_origin_is_counted_and_logged_by_name(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.engine.refuse_origin(from_page("http://evil.test"))

        assert site.stats.refusals.counts == {"origin": 1}
        assert "origin 'http://evil.test' is neither 'http://example.com' nor in" in caplog.text

    def test_a_missing_pong_is_counted(self, impatient: Site) -> None:
        impatient.open_websocket()
        impatient.loop.advance(2 * TICK)

        assert impatient.stats.refusals.counts == {"ping timeout": 1}

    def test_an_upgrade_that_takes_too_long_is_counted(self) -> None:
        site = Site(upgrade_timeout=MOMENT)
        site.open_polling()
        site.probe(site.sessions[0])
        site.loop.advance(TICK)

        assert site.stats.refusals.counts == {"upgrade timeout": 1}
        site.close()


class TestHeartbeat:
    def test_a_client_is_asked_after_the_interval(self, impatient: Site) -> None:
        sid = impatient.open_polling()
        poll = impatient.request(request(transport="polling", sid=sid))
        impatient.loop.advance(TICK)

        assert poll.response == Response(200, b"2")

    def test_one_that_answers_is_asked_again(self, impatient: Site) -> None:
        client = impatient.open_websocket()
        client.received()
        for _ in range(3):
            impatient.loop.advance(TICK)
            assert client.received() == ["2"]
            client.send("3")
            impatient.loop.run()

        assert impatient.handlers[0].closed == []

    def test_one_that_does_not_is_closed(self, impatient: Site) -> None:
        client = impatient.open_websocket()
        client.received()
        impatient.loop.advance(TICK)
        assert impatient.handlers[0].closed == []

        impatient.loop.advance(TICK)
        assert impatient.handlers[0].closed == [CloseReason.PING_TIMEOUT]
        assert client.received() == ["2", Close(1000, "")]

    def test_one_that_is_not_being_read_from_is_given_another_chance(self, impatient: Site) -> None:
        client = impatient.open_websocket()
        impatient.sessions[0].pause_reading()
        for _ in range(5):
            impatient.loop.advance(TICK)
        assert impatient.handlers[0].closed == []

        impatient.sessions[0].resume_reading()
        client.send("3")
        impatient.loop.run()
        assert impatient.handlers[0].closed == []

    def test_one_that_has_gone_is_asked_no_more(self, impatient: Site) -> None:
        client = impatient.open_websocket()
        client.close()
        impatient.loop.run()
        impatient.loop.advance(1.0)

        assert impatient.handlers[0].closed == [CloseReason.TRANSPORT_CLOSE]
        assert impatient.stats.refusals.counts == {}


class TestUpgrade:
    """The engine's part in it; the states are in ``tests/test_session.py``."""

    def find(self, site: Site, **query: str) -> Session | Response:
        return site.find_upgradable(upgrade(**query))

    def test_a_session_over_polling_is_found(self, site: Site) -> None:
        sid = site.open_polling()
        assert self.find(site, transport="websocket", sid=sid) is site.sessions[0]

    @pytest.mark.parametrize("sid", ["unknown", ""])
    def test_an_unknown_one_is_not(self, site: Site, sid: str) -> None:
        found = self.find(site, transport="websocket", sid=sid)
        assert found == error_response(ErrorCode.UNKNOWN_SESSION)

    def test_where_another_websocket_carries_the_session_a_second_is_closed(
        self, site: Site
    ) -> None:
        """No second WebSocket takes over a session (security, 2)."""
        carrier = site.open_websocket(b"")
        second = site.probe(site.sessions[0])
        second.send("2probe", "5")
        site.loop.run()
        carrier.received()

        assert second.received() == [Close(1000, "")]
        second.close()
        site.loop.run()
        assert second.is_cut
        site.sessions[0].send(outgoing("hello"))
        assert carrier.received() == ["4hello"]
        assert site.stats.refusals.counts == {"request": 1}

    def test_where_websockets_are_switched_off_it_is_refused(self) -> None:
        site = Site(transports=("polling",))
        sid = site.open_polling()
        found = self.find(site, transport="websocket", sid=sid)
        assert found == error_response(ErrorCode.BAD_REQUEST)
        site.close()

    def test_a_websocket_takes_over(self, site: Site) -> None:
        sid = site.open_polling()
        client = site.probe(site.sessions[0])
        client.send("2probe")
        site.loop.run()
        client.send("5", "4hello")
        site.loop.run()

        assert site.sessions[0].transport.name == "websocket"
        assert site.handlers[0].messages == ["hello"]
        response = site.respond(request(transport="polling", sid=sid))
        assert response == error_response(ErrorCode.BAD_REQUEST)

    def test_where_another_websocket_probes_a_second_is_closed(self, site: Site) -> None:
        site.open_polling()
        first = site.probe(site.sessions[0])
        second = site.probe(site.sessions[0])
        site.loop.run()
        assert second.received() == [Close(1000, "")]

        first.send("2probe", "5")
        site.loop.run()
        assert site.sessions[0].transport.name == "websocket"

    def test_one_that_came_too_late_is_closed(self, site: Site) -> None:
        site.open_polling()
        session = site.sessions[0]
        session.close(CloseReason.PING_TIMEOUT)

        assert site.probe(session).received() == [Close(1000, "")]

    def test_one_that_takes_too_long_is_closed_and_the_session_goes_on(self) -> None:
        site = Site(upgrade_timeout=MOMENT)
        sid = site.open_polling()
        client = site.probe(site.sessions[0])
        site.loop.advance(TICK)

        assert client.received() == [Close(1000, "")]
        assert site.post(sid, b"4still here").status == 200
        assert self.find(site, transport="websocket", sid=sid) is site.sessions[0]
        site.close()

    def test_one_that_took_over_in_time_is_left_alone(self) -> None:
        site = Site(upgrade_timeout=MOMENT)
        site.open_polling()
        client = site.probe(site.sessions[0])
        client.send("2probe", "5")
        site.loop.run()
        client.received()
        site.loop.advance(TICK)

        assert client.received() == []
        assert site.sessions[0].is_open
        assert site.stats.refusals.counts == {}
        site.close()


class TestShutdown:
    def test_everybody_is_told(self, site: Site) -> None:
        sid = site.open_polling()
        client = site.open_websocket()
        client.received()
        assert not site.engine.draining
        gevent.spawn(site.engine.drain, gevent.sleep)
        settle()

        assert site.engine.draining
        assert [handler.closed for handler in site.handlers] == [
            [CloseReason.SERVER_SHUTTING_DOWN],
            [CloseReason.SERVER_SHUTTING_DOWN],
        ]
        assert client.received() == [Close(1001, "")]
        assert site.get(sid) == ["1"]
        assert len(site.engine) == 0

    def test_it_works_with_more_clients_than_are_told_in_one_go(self, site: Site) -> None:
        for _ in range(35):
            site.open_polling()
        gevent.spawn(site.engine.drain, gevent.sleep, 0.01).get(timeout=PATIENCE)

        assert all(h.closed == [CloseReason.SERVER_SHUTTING_DOWN] for h in site.handlers)
        assert len(site.engine) == 0

    def test_goodbyes_are_spread_so_that_not_all_come_back_at_once(self, site: Site) -> None:
        for _ in range(35):
            site.open_polling()
        greenlet = gevent.spawn(site.engine.drain, gevent.sleep, 2 * PATIENCE)
        settle()

        assert len(site.engine) == 25
        greenlet.kill()

    def test_nobody_is_asked_for_a_heartbeat_any_more(self, impatient: Site) -> None:
        client = impatient.open_websocket()
        client.received()
        gevent.spawn(impatient.engine.drain, gevent.sleep)
        settle()
        impatient.loop.advance(TICK)

        assert client.received() == [Close(1001, "")]

    def test_no_timer_outlives_the_goodbyes(self) -> None:
        site = Site(allow_eio3=True, upgrade_timeout=100.0)
        site.open_polling()
        site.engine.open_polling(request(EIO="3", transport="polling"), "request", None)
        site.probe(site.sessions[0])
        site.engine.drain(gevent.sleep)
        site.loop.advance(2 * site.options.close_timeout)

        assert site.loop.timers == 0
        site.close()

    def test_a_session_whose_handshake_was_under_way_gets_its_goodbye_with_the_opening(
        self, site: Site
    ) -> None:
        site.engine.drain(gevent.sleep)
        client = site.open_websocket()
        site.open_polling()

        assert [handler.closed for handler in site.handlers] == [
            [CloseReason.SERVER_SHUTTING_DOWN],
            [CloseReason.SERVER_SHUTTING_DOWN],
        ]
        opening, goodbye = client.received()
        assert str(opening).startswith("0{")
        assert goodbye == Close(1001, "")
        assert len(site.engine) == 0

    def test_without_clients_it_is_done_at_once(self, site: Site) -> None:
        site.engine.drain(gevent.sleep)
        assert site.engine.draining
        assert site.engine.is_drained

    def test_it_is_done_when_each_websocket_has_answered_its_goodbye(self, site: Site) -> None:
        client = site.open_websocket()
        site.engine.drain(gevent.sleep)
        assert not site.engine.is_drained

        client.close(1001)
        site.loop.run()
        assert site.engine.is_drained

    def test_it_is_done_when_each_polling_client_has_fetched_its_goodbye(self, site: Site) -> None:
        sid = site.open_polling()
        site.engine.drain(gevent.sleep)
        assert not site.engine.is_drained

        assert site.get(sid) == ["1"]
        assert site.engine.is_drained

    def test_it_is_done_when_each_message_is_sent(self, site: Site) -> None:
        client = site.open_websocket()
        site.sessions[0].send(outgoing("x" * 2_000_000))
        site.engine.drain(gevent.sleep)
        site.loop.advance(2 * site.options.close_timeout)
        assert not site.engine.is_drained

        while Close(1001, "") not in client.received():
            site.loop.run()
        client.close(1001)
        site.loop.run()
        assert site.engine.is_drained

    def test_clients_that_do_not_answer_are_not_waited_for(self, site: Site) -> None:
        site.open_websocket()
        site.open_polling()
        site.engine.drain(gevent.sleep)
        site.loop.advance(site.options.close_timeout)

        assert site.engine.is_drained
