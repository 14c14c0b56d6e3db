"""Which pages and hosts may send requests, and what they are told."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from socketio_server.engine.origins import site_of
from socketio_server.engine.transports.exchange import error_response
from socketio_server.protocol.engineio import ErrorCode
from tests.engine.site import Site, from_page, request
from tests.fakes.engine import outgoing


class TestOrigins:
    def test_a_request_without_one_is_allowed(self, site: Site) -> None:
        assert site.engine.origins.allows(request())

    @pytest.mark.parametrize("revision", ["4", "3"])
    @pytest.mark.parametrize("allowed", [(), ("*",)])
    def test_a_request_without_one_that_a_page_of_another_site_sends_is_not(
        self, allowed: tuple[str, ...], revision: str
    ) -> None:
        site = Site(allowed_origins=allowed)
        asked = replace(request(EIO=revision, transport="polling"), is_cross_site=True)

        assert not site.engine.origins.allows(asked)
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

        assert site.engine.origins.allows(asked) is expected
        site.close()

    @pytest.mark.parametrize("origin", ["https://other.test", "null", "file://"])
    def test_with_a_star_any_is(self, origin: str) -> None:
        site = Site(allowed_origins=("*",))

        assert site.engine.origins.allows(from_page(origin))
        site.close()

    def test_of_a_host_that_is_not_known_only_the_listed_are(self) -> None:
        site = Site(allowed_origins=("https://listed.test",))

        for origin, expected in (("https://listed.test", True), ("http://example.com", False)):
            asked = replace(from_page(origin), site=None)
            assert site.engine.origins.allows(asked) is expected
        site.close()

    def test_a_secure_page_is_allowed_where_the_request_is_not_and_the_log_says_so_once(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(2):
            assert site.engine.origins.allows(from_page("https://example.com"))

        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert "'https://example.com'" in record.getMessage()
        assert "SECURE_PROXY_SSL_HEADER" in record.getMessage()

    def test_of_a_plain_page_the_log_says_nothing(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert site.engine.origins.allows(from_page("http://example.com"))

        assert caplog.records == []

    def test_those_of_the_handshake_s_host_are_allowed_to_the_end(self, site: Site) -> None:
        secure = site_of("", "inner:8000", is_secure=True, find_public_host=lambda: "example.com")
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
        assert site.engine.origins.cors_headers(request()) == ()

    def test_a_foreign_page_gets_none(self, site: Site) -> None:
        asked = from_page("http://evil.test")
        assert site.engine.origins.cors_headers(asked) == ()

    def test_an_allowed_page_may_read_the_answer_and_send_cookies(self, site: Site) -> None:
        asked = from_page("https://listed.test")
        assert dict(site.engine.origins.cors_headers(asked)) == {
            "Access-Control-Allow-Origin": "https://listed.test",
            "Access-Control-Allow-Credentials": "true",
            "Vary": "Origin",
        }

    def test_a_preflight_is_told_what_may_follow(self, site: Site) -> None:
        asked = from_page("https://listed.test", "OPTIONS")
        headers = dict(site.engine.origins.cors_headers(asked))

        assert headers["Access-Control-Allow-Methods"] == "GET, POST"
        assert headers["Access-Control-Allow-Headers"] == "Content-Type"

    def test_where_any_page_may_none_may_send_cookies(self) -> None:
        site = Site(allowed_origins=("*",))
        headers = dict(site.engine.origins.cors_headers(from_page("http://any.test")))

        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in headers
        site.close()
