"""The engine: handshakes and requests by ``sid``."""

import json
import logging
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from socketio_server.engine.session_cookie import Binding
from socketio_server.engine.transports.exchange import BAD_REQUEST, error_response
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.engine.transports.websocket import UpgradedConnection
from socketio_server.net.deadlines import TICK
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import ErrorCode
from socketio_server.protocol.http1.responses import Response
from tests.engine.site import COOKIE, HANDSHAKE, Site, from_page, request, upgrade
from tests.fakes.engine import MOMENT, outgoing, packets
from tests.fakes.websocket import websocket
from tests.support.websocket import frame


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

        assert response == BAD_REQUEST
        assert site.handlers[0].messages == []

    def test_a_session_over_websocket_takes_no_polling(self, site: Site) -> None:
        client = site.open_websocket()
        client.received()
        sid = site.sessions[0].sid

        response = site.respond(request(transport="polling", sid=sid))
        assert response == BAD_REQUEST
        assert site.post(sid, b"4hello") == BAD_REQUEST
        assert site.sessions[0].is_open


class TestCookies:
    """A stolen ``sid`` is of no use in another browser."""

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

    @pytest.mark.parametrize(
        ("status", "setting", "kind"),
        [
            (400, "", "body"),
            (408, " (SOCKETIO_BODY_TIMEOUT)", "slow body"),
            (413, " (SOCKETIO_MAX_PAYLOAD)", "body"),
        ],
    )
    def test_the_session_of_one_that_is_refused_ends(
        self, site: Site, caplog: pytest.LogCaptureFixture, status: int, setting: str, kind: str
    ) -> None:
        """What is missing would leave it open and deaf."""
        site.engine.body_refused(request(sid=site.open_polling()), status)

        assert site.handlers[0].closed == [CloseReason.PARSE_ERROR]
        assert site.stats.refusals.counts == {kind: 1}
        assert f"request body refused with status {status}{setting} (from " in caplog.text

    def test_that_of_a_session_that_has_ended_changes_nothing(self, site: Site) -> None:
        sid = site.open_polling()
        site.sessions[0].close(CloseReason.FORCED_SERVER_CLOSE)
        site.engine.body_refused(request(sid=sid), 413)

        assert site.handlers[0].closed == [CloseReason.FORCED_SERVER_CLOSE]
        assert site.stats.refusals.counts == {}


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

    def test_an_unknown_sid_tells_which_process_has_made_it(self, site: Site) -> None:
        for sid in ("a-123.secret", "secret"):
            site.engine.verify_handshake(request(**HANDSHAKE, sid=sid))

        assert site.unknown == ["a-123", ""]

    def test_a_foreign_host_is_counted_and_logged_by_name(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert site.engine.origins.refuse_host(request()) == error_response(ErrorCode.FORBIDDEN)

        assert site.stats.refusals.counts == {"host": 1}
        assert "host 'example.com' is not in ALLOWED_HOSTS" in caplog.text

    def test_a_foreign_origin_is_counted_and_logged_by_name(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        site.engine.origins.refuse(from_page("http://evil.test"))

        assert site.stats.refusals.counts == {"origin": 1}
        assert "origin 'http://evil.test' is neither 'http://example.com' nor in" in caplog.text

    def test_a_missing_pong_is_counted(self, impatient: Site) -> None:
        impatient.open_websocket()
        impatient.loop.advance(2 * TICK)

        assert impatient.stats.refusals.counts == {"ping timeout": 1}

    def test_one_behind_a_large_message_is_warned_of_with_the_remedy(
        self, impatient: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        impatient.open_websocket(frame(2, b"x" * 50_000)[:-1])
        impatient.loop.advance(2 * TICK)

        assert impatient.stats.refusals.counts == {"ping timeout": 1}
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert (
            "no pong in time (SOCKETIO_PING_TIMEOUT): the client was sending a large message, "
            "behind which its pong waits; send it in pieces" in record.getMessage()
        )

    def test_an_upgrade_that_takes_too_long_is_counted(self) -> None:
        site = Site(upgrade_timeout=MOMENT)
        site.open_polling()
        site.probe(site.sessions[0])
        site.loop.advance(TICK)

        assert site.stats.refusals.counts == {"upgrade timeout": 1}
        site.close()
