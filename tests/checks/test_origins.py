"""System checks: pages of other origins."""

import pytest
from django.core import checks as django_checks
from django.core.checks import CheckMessage
from django.test import override_settings
from pytest_django import Settings

from tests.checks.run import ids, run


class TestOrigins:
    """E005 and W001."""

    @pytest.mark.parametrize(
        ("origin", "hint"),
        [
            ("https://example.com/", "Write 'https://example.com'."),
            ("https://Example.com:443", "Write 'https://example.com'."),
            ("localhost:8000", "Write 'http://localhost:8000'."),
        ],
    )
    def test_one_that_no_page_has_is_an_error_with_the_right_spelling(
        self, origin: str, hint: str
    ) -> None:
        with override_settings(SOCKETIO_ALLOWED_ORIGINS=["https://a.example", origin]):
            (message,) = run()

        assert message.id == "socketio_server.E005"
        assert message.is_serious()
        assert message.msg == f"SOCKETIO_ALLOWED_ORIGINS has {origin!r}, which is no page's origin."
        assert message.hint == hint

    @pytest.mark.parametrize("origin", ["https://*.example.com", "https://", "nonsense !"])
    def test_one_that_can_not_be_corrected_is_told_what_one_is(self, origin: str) -> None:
        with override_settings(SOCKETIO_ALLOWED_ORIGINS=[origin]):
            (message,) = run()

        assert message.id == "socketio_server.E005"
        assert "scheme, host and port" in str(message.hint)

    @override_settings(SOCKETIO_ALLOWED_ORIGINS=["capacitor://localhost", "file://"])
    def test_those_of_apps_are_none(self) -> None:
        assert run() == []

    @pytest.mark.parametrize("origin", ["*", "null"])
    def test_any_origin_is_a_warning(self, origin: str) -> None:
        with override_settings(SOCKETIO_ALLOWED_ORIGINS=[origin]):
            (message,) = run()

        assert origin in message.msg
        assert message.id == "socketio_server.W001"
        assert not message.is_serious(django_checks.ERROR)
        assert message.is_serious(django_checks.WARNING)

    @override_settings(SOCKETIO_ALLOWED_ORIGINS=["https://example.com"])
    def test_named_ones_are_none(self) -> None:
        assert run() == []


LIVE = "https://live.example.com"


def lost_cookies() -> list[CheckMessage]:
    return [message for message in run() if message.id == "socketio_server.W007"]


class TestPublicUrl:
    """W006."""

    @override_settings(SOCKETIO_PUBLIC_URL=LIVE)
    def test_another_host_that_lets_no_page_in_is_a_warning_with_all_that_it_takes(self) -> None:
        (message,) = run()

        assert message.id == "socketio_server.W006"
        assert LIVE in message.msg
        for needed in ("SOCKETIO_ALLOWED_ORIGINS", "withCredentials", 'SOCKETIO_PUBLIC_URL = ""'):
            assert needed in str(message.hint)

    @pytest.mark.parametrize("url", [None, ""])
    def test_the_page_s_own_host_is_none(self, url: str | None) -> None:
        with override_settings(SOCKETIO_PUBLIC_URL=url):
            assert run() == []

    def test_what_is_no_url_is_left_to_the_settings_own_check(self) -> None:
        with override_settings(SOCKETIO_PUBLIC_URL="nonsense"):
            assert ids() == ["socketio_server.E001"]


class TestTheSessionsCookieOnAnotherHost:
    """W007."""

    @pytest.fixture(autouse=True)
    def live(self, settings: Settings) -> None:
        settings.SOCKETIO_PUBLIC_URL = LIVE
        settings.SOCKETIO_ALLOWED_ORIGINS = ["https://www.example.com"]
        settings.MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]

    def test_of_the_same_site_needs_a_domain_for_both(self, settings: Settings) -> None:
        (message,) = run()

        assert message.id == "socketio_server.W007"
        assert "https://www.example.com" in message.msg
        assert LIVE in message.msg
        assert 'SESSION_COOKIE_DOMAIN = ".example.com"' in str(message.hint)
        assert "io({ withCredentials: true })" in str(message.hint)

    @pytest.mark.parametrize("domain", [".example.com", "example.com"])
    def test_gets_there_with_that_domain(self, settings: Settings, domain: str) -> None:
        settings.SESSION_COOKIE_DOMAIN = domain
        assert run() == []

    @pytest.mark.parametrize("domain", ["www.example.com", ".ample.com"])
    def test_does_not_with_another(self, settings: Settings, domain: str) -> None:
        settings.SESSION_COOKIE_DOMAIN = domain
        assert len(lost_cookies()) == 1

    @pytest.mark.parametrize("origin", ["https://example.org", "http://www.example.com"])
    def test_of_another_site_needs_samesite_none_and_secure(
        self, settings: Settings, origin: str
    ) -> None:
        settings.SOCKETIO_ALLOWED_ORIGINS = [origin]
        (message,) = lost_cookies()
        assert 'SESSION_COOKIE_SAMESITE = "None"' in str(message.hint)

        settings.SESSION_COOKIE_SAMESITE = "None"
        assert len(lost_cookies()) == 1
        settings.SESSION_COOKIE_SECURE = True
        assert lost_cookies() == []

    def test_is_no_matter_on_another_port_of_the_same_host_nor_in_an_app(
        self, settings: Settings
    ) -> None:
        settings.SOCKETIO_ALLOWED_ORIGINS = ["https://live.example.com:8443", "app://localhost"]
        assert run() == []

    def test_is_no_matter_without_sessions(self, settings: Settings) -> None:
        settings.MIDDLEWARE = []
        assert run() == []

    def test_is_not_sent_where_any_page_may_connect(self, settings: Settings) -> None:
        settings.SOCKETIO_ALLOWED_ORIGINS = ["*"]
        (message,) = lost_cookies()
        assert "withCredentials" in message.msg
