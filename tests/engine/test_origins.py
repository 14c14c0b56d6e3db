"""Which pages may talk to the server."""

import gc
import weakref
from unittest.mock import Mock

import pytest

from socketio_server.engine.origins import MAX_ORIGIN, site_of, spell

OWN = "example.com"


def is_own(origin: str, host: str, *, is_secure: bool) -> bool:
    """Return whether a page is one of a host's own."""
    site = site_of("/socket.io/", host, is_secure=is_secure, find_public_host=lambda: host)
    return site.is_own(origin)


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
        assert is_own(origin, host, is_secure=False)

    @pytest.mark.parametrize(
        ("origin", "expected"),
        [
            ("https://example.com", True),
            ("https://example.com:443", True),
            ("HTTPS://Example.com", True),
            ("http://example.com", False),
            ("http://example.com:443", False),
            ("https://example.com:8443", False),
        ],
    )
    def test_of_a_secure_request_only_its_secure_pages_may(
        self, origin: str, expected: bool
    ) -> None:
        """Who sits in a network can write the plain ones."""
        assert is_own(origin, OWN, is_secure=True) is expected

    @pytest.mark.parametrize("is_secure", [False, True])
    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            pytest.param("http://evil.test", OWN, id="other host"),
            pytest.param("http://example.com.evil.test", OWN, id="own name in front"),
            pytest.param("http://evil-example.com", OWN, id="own name behind"),
            pytest.param("http://sub.example.com", OWN, id="subdomain"),
            pytest.param("http://example.com@evil.test", OWN, id="own name as user"),
            pytest.param("http://example.com/", OWN, id="path"),
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
            pytest.param("http://example.com", "", id="no host"),
            pytest.param("http://example.com:port", OWN, id="port that is no number"),
            pytest.param("http://example.com:99999", OWN, id="port out of range"),
            pytest.param("http://[::1", "[::1]", id="bracket that is not closed"),
            pytest.param("http://[::1]:9000", "[::2]:9000", id="other IPv6 address"),
            pytest.param("http://exa\tmple.com", OWN, id="control character"),
        ],
    )
    def test_no_others_may(self, origin: str, host: str, is_secure: bool) -> None:
        assert not is_own(origin, host, is_secure=is_secure)

    def test_a_host_whose_name_is_too_long_has_no_pages(self) -> None:
        """Answers repeat an allowed origin, and what they begin with is kept for the next ones."""
        host = "a" * MAX_ORIGIN
        assert not is_own(f"http://{host}", host, is_secure=False)


class TestTheHandshakesHost:
    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("example.com", True),
            ("EXAMPLE.com", True),
            ("example.com:80", True),
            ("example.com:8000", False),
            ("evil.test", False),
            ("", False),
        ],
    )
    def test_is_that_of_later_requests(self, host: str, expected: bool) -> None:
        site = site_of("/", OWN, is_secure=True, find_public_host=lambda: "public.test")
        assert site.is_at(host) is expected


class TestSites:
    def test_sessions_of_one_share_it(self) -> None:
        one, other = (
            site_of("/", OWN, is_secure=True, find_public_host=lambda: OWN) for _ in range(2)
        )
        assert one is other

    def test_its_public_host_is_found_once(self) -> None:
        first = site_of("/", "inner", "outer", is_secure=True, find_public_host=lambda: "outer")
        find = Mock()
        assert site_of("/", "inner", "outer", is_secure=True, find_public_host=find) is first
        assert not find.called

    @pytest.mark.parametrize(
        ("path", "host", "forwarded", "is_secure"),
        [
            ("/other/", "inner", "outer", True),
            ("/", "other", "outer", True),
            ("/", "inner", "other", True),
            ("/", "inner", "outer", False),
        ],
    )
    def test_another_path_host_proxy_or_scheme_makes_another(
        self, path: str, host: str, forwarded: str, is_secure: bool
    ) -> None:
        first = site_of("/", "inner", "outer", is_secure=True, find_public_host=lambda: "one.test")
        other = site_of(
            path, host, forwarded, is_secure=is_secure, find_public_host=lambda: "two.test"
        )
        assert other is not first
        assert other.is_own("https://two.test")

    def test_without_a_host_it_is_that_of_the_server_s_address(self) -> None:
        sites = [
            site_of("/", "", is_secure=True, find_public_host=lambda name=name: name)  # type: ignore[misc]
            for name in ("one.test", "two.test")
        ]
        assert [site.own for site in sites] == ["https://one.test", "https://two.test"]

    def test_they_are_forgotten_with_the_last_session(self) -> None:
        known = weakref.ref(
            site_of("/", "once.test", is_secure=True, find_public_host=lambda: "once.test")
        )
        gc.collect()
        assert known() is None


class TestSpelling:
    """Browsers write an origin in one way (RFC 6454 section 6.2)."""

    @pytest.mark.parametrize(
        "origin",
        [
            "https://example.com",
            "http://localhost:8000",
            "https://example.com:8443",
            "http://127.0.0.1:9000",
            "http://[::1]:9000",
            "http://my_host.example",
            "https://xn--bcher-kva.example",
            "null",
            "file://",
            "capacitor://localhost",
            "ionic://localhost",
            "app://app.example:1",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://6b1f1a9e-0f2c-4c39-8b0e-1d3d0c4e2b11",
        ],
    )
    def test_as_they_do_it_stays(self, origin: str) -> None:
        assert spell(origin) == origin

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            pytest.param("https://example.com/", "https://example.com", id="slash"),
            pytest.param("https://example.com/chat?a#b", "https://example.com", id="path"),
            pytest.param("https://example.com?a", "https://example.com", id="query"),
            pytest.param("https://Example.com", "https://example.com", id="capitals"),
            pytest.param("HTTPS://example.com", "https://example.com", id="capital scheme"),
            pytest.param("https://example.com:443", "https://example.com", id="default port"),
            pytest.param("http://example.com:80/", "http://example.com", id="default port, slash"),
            pytest.param("http://example.com:08000", "http://example.com:8000", id="zeros"),
            pytest.param("https://me@example.com", "https://example.com", id="user"),
            pytest.param("example.com", "https://example.com", id="no scheme"),
            pytest.param("//example.com", "https://example.com", id="slashes only"),
            pytest.param("localhost:3000", "http://localhost:3000", id="own machine"),
            pytest.param("wss://example.com", "https://example.com", id="WebSocket over TLS"),
            pytest.param("ws://example.com:80", "http://example.com", id="WebSocket"),
            pytest.param(" https://example.com\n", "https://example.com", id="spaces"),
            pytest.param(
                "https://b\u00fccher.example", "https://xn--bcher-kva.example", id="letters"
            ),
            pytest.param("http://[0:0:0:0:0:0:0:1]", "http://[::1]", id="long IPv6"),
            pytest.param("Null", "null", id="capital null"),
            pytest.param("file:///index.html", "file://", id="local file"),
        ],
    )
    def test_in_another_way_it_is_corrected(self, written: str, expected: str) -> None:
        assert spell(written) == expected
        assert spell(expected) == expected

    @pytest.mark.parametrize(
        "written",
        [
            "",
            "*",
            "https://",
            "https:example.com",
            "https://*.example.com",
            "https://example.*",
            "https://example.com:*",
            "https://example.com:70000",
            "https://example.com, https://example.org",
            "https://exa mple.com",
            "https://[::g]",
            "https://[::1",
            "capacitor://",
            r"^https://.*$",
        ],
    )
    def test_that_is_none_can_not_be_corrected(self, written: str) -> None:
        assert spell(written) is None
