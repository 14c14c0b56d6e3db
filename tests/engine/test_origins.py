"""Which pages may talk to the server (security, 1)."""

import pytest

from socketio_server.engine.origins import is_allowed

OWN = "example.com"


class TestTheRequestsOwnHost:
    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            pytest.param("http://example.com", "example.com", id="default port"),
            pytest.param("https://example.com", "example.com", id="behind TLS"),
            pytest.param("http://example.com:80", "example.com", id="default port spelled out"),
            pytest.param("http://example.com", "example.com:80", id="in the host only"),
            pytest.param("https://example.com", "example.com:443", id="TLS port in the host"),
            pytest.param("http://example.com:9000", "example.com:9000", id="other port"),
            pytest.param("http://EXAMPLE.com", "example.COM", id="capitals"),
            pytest.param("http://127.0.0.1:9000", "127.0.0.1:9000", id="IPv4"),
            pytest.param("http://[::1]:9000", "[::1]:9000", id="IPv6"),
            pytest.param("http://[::1]", "[::1]", id="IPv6 on the default port"),
        ],
    )
    def test_its_pages_may(self, origin: str, host: str) -> None:
        assert is_allowed(origin, host, ())

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            pytest.param("http://evil.test", OWN, id="other host"),
            pytest.param("http://example.com.evil.test", OWN, id="own name in front"),
            pytest.param("http://evil-example.com", OWN, id="own name behind"),
            pytest.param("http://sub.example.com", OWN, id="subdomain"),
            pytest.param("http://example.com@evil.test", OWN, id="own name as user"),
            pytest.param("http://example.com:8000", "example.com:9000", id="other port"),
            pytest.param("http://example.com:8000", OWN, id="port where there is none"),
            pytest.param("http://example.com", "example.com:9000", id="no port where one is"),
            pytest.param("https://example.com", "example.com:80", id="other scheme's port"),
            pytest.param("null", OWN, id="sandboxed page or file"),
            pytest.param("null", "null", id="a host called null"),
            pytest.param("", OWN, id="empty"),
            pytest.param("example.com", OWN, id="no scheme"),
            pytest.param("//example.com", OWN, id="no scheme but slashes"),
            pytest.param("file://example.com", OWN, id="file"),
            pytest.param("ftp://example.com", OWN, id="no web page"),
            pytest.param("chrome-extension://example.com", OWN, id="browser extension"),
            pytest.param("http://", "", id="nothing on either side"),
            pytest.param("http://example.com", "", id="no host"),
            pytest.param("http://example.com:port", OWN, id="port that is no number"),
            pytest.param("http://example.com:99999", OWN, id="port out of range"),
            pytest.param("http://[::1", "[::1]", id="bracket that is not closed"),
            pytest.param("http://[::1]:9000", "[::2]:9000", id="other IPv6 address"),
            pytest.param("http://example.com", "example.com:port", id="host's port no number"),
        ],
    )
    def test_no_others_may(self, origin: str, host: str) -> None:
        assert not is_allowed(origin, host, ())


class TestNoOrigin:
    @pytest.mark.parametrize("allowed", [(), ("https://other.test",)])
    def test_clients_that_are_no_browsers_may(self, allowed: tuple[str, ...]) -> None:
        assert is_allowed(None, OWN, allowed)


class TestAllowedOrigins:
    @pytest.mark.parametrize(
        ("origin", "expected"),
        [
            ("https://other.test", True),
            ("https://other.test:8443", True),
            ("http://example.com", True),  # the own host still
            ("http://other.test", False),
            ("https://other.test:444", False),
            ("https://sub.other.test", False),
            ("null", False),
        ],
    )
    def test_the_listed_may_and_no_others(self, origin: str, expected: bool) -> None:
        allowed = ("https://other.test", "https://other.test:8443")

        assert is_allowed(origin, OWN, allowed) is expected

    @pytest.mark.parametrize("origin", ["https://other.test", "null", "file://"])
    def test_a_star_is_for_any(self, origin: str) -> None:
        assert is_allowed(origin, OWN, ("*",))
