"""``{% socketio %}``: what it writes into a page."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.http import HttpRequest
from django.template import Context, Template
from django.test import RequestFactory
from pytest_django import Settings

from socketio_server.assets import CLIENT_BUNDLE, CLIENT_SHIM
from socketio_server.serving import current

BUNDLE = f"/static/{CLIENT_BUNDLE}"
SHIM = f"/static/{CLIENT_SHIM}"

urlpatterns: list[Any] = []  # For the project that forgot to include the server's.


class Scripts(HTMLParser):
    """The script elements of a page, as dicts of their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "script"
        self.found.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data.strip()


class LazyNonce:
    """A nonce as Django and django-csp have it: false until somebody has read it."""

    was_read = False

    def __bool__(self) -> bool:
        return self.was_read

    def __str__(self) -> str:
        self.was_read = True
        return "r4nd0m"


def render(tag: str = "{% socketio %}", **context: Any) -> Scripts:
    return Scripts(Template("{% load socketio_tags %}" + tag).render(Context(context)))


@pytest.fixture
def our_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it look as if our server served the page."""
    monkeypatch.setattr(current, "server", object())


@pytest.fixture
def request_with_nonce(rf: RequestFactory) -> HttpRequest:
    request = rf.get("/")
    request.csp_nonce = LazyNonce()  # type: ignore[attr-defined]
    return request


class TestTheScripts:
    def test_are_the_official_client_and_then_our_shim(self) -> None:
        assert [script["src"] for script in render().found] == [BUNDLE, SHIM]

    def test_hold_no_code_of_their_own_so_that_a_strict_policy_lets_them_run(self) -> None:
        assert render().text == ""

    def test_are_not_deferred_since_the_pages_own_may_follow_at_once(self) -> None:
        assert not any({"defer", "async", "type"} & script.keys() for script in render().found)

    def test_are_among_the_static_files(self) -> None:
        assert finders.find(CLIENT_BUNDLE)
        assert finders.find(CLIENT_SHIM)

    def test_have_hashed_names_where_the_project_wants_them(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        settings.STATIC_ROOT = tmp_path
        settings.DEBUG = False
        settings.STORAGES = {
            **settings.STORAGES,
            "staticfiles": {
                "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
            },
        }
        call_command("collectstatic", interactive=False, verbosity=0)

        bundle, shim = (str(script["src"]) for script in render().found)

        assert re.fullmatch(r"/static/socketio_server/socket\.io\.min\.[0-9a-f]{12}\.js", bundle)
        assert re.fullmatch(r"/static/socketio_server/django-socketio\.[0-9a-f]{12}\.js", shim)


class TestTheServersAddress:
    def test_has_the_path_that_the_urlconf_gives(self) -> None:
        assert render().found[1]["data-path"] == "/socket.io/"

    def test_has_no_port_where_our_server_served_the_page(self, our_server: None) -> None:
        assert "data-port" not in render().found[1]

    def test_has_the_settings_port_where_another_server_did(self, settings: Settings) -> None:
        settings.SOCKETIO_PORT = 9876
        assert render().found[1]["data-port"] == "9876"

    def test_is_written_without_a_languages_thousands_separator(self, settings: Settings) -> None:
        settings.USE_THOUSAND_SEPARATOR = True
        assert render().found[1]["data-port"] == "9000"

    @pytest.mark.parametrize("url", ["", "https://live.example.com"])
    def test_is_no_guess_where_the_settings_name_it(
        self, settings: Settings, caplog: pytest.LogCaptureFixture, url: str
    ) -> None:
        settings.DEBUG, settings.SOCKETIO_PUBLIC_URL = True, url
        script = render().found[1]
        assert "data-port" not in script
        assert script.get("data-url", "") == url
        assert not caplog.messages

    def test_is_the_settings_also_where_our_server_served_the_page(
        self, settings: Settings, our_server: None
    ) -> None:
        settings.SOCKETIO_PUBLIC_URL = "https://live.example.com"
        assert render().found[1]["data-url"] == "https://live.example.com"

    def test_is_missed_with_a_word_about_what_to_do(self, settings: Settings) -> None:
        settings.ROOT_URLCONF = __name__
        with pytest.raises(ImproperlyConfigured, match=re.escape('path("", include("socketio_s')):
            render()


class TestAServerThatIsMissing:
    @pytest.mark.parametrize("debug", [True, False])
    def test_is_told_once_in_the_terminal_while_debug_is_on(
        self, settings: Settings, caplog: pytest.LogCaptureFixture, debug: bool
    ) -> None:
        settings.DEBUG, settings.SOCKETIO_PORT = debug, 9123
        request = RequestFactory().get("/", SERVER_SOFTWARE="WSGIServer/0.2")
        for _ in range(2):
            render(request=request)

        said = "A page with {% socketio %} will connect to port 9123, and WSGIServer/0.2 does not"
        assert len([text for text in caplog.messages if text.startswith(said)]) == debug

    def test_is_no_matter_where_it_is_there(
        self, settings: Settings, caplog: pytest.LogCaptureFixture, our_server: None
    ) -> None:
        settings.DEBUG = True
        render()

        assert not caplog.messages


class TestTheTransports:
    @pytest.mark.parametrize("spoken", [["polling", "websocket"], ["websocket", "polling"]])
    def test_are_left_out_where_clients_may_use_all(
        self, settings: Settings, spoken: list[str]
    ) -> None:
        settings.SOCKETIO_TRANSPORTS = spoken
        assert "data-transports" not in render().found[1]

    @pytest.mark.parametrize("transport", ["polling", "websocket"])
    def test_are_named_where_there_is_one_only(self, settings: Settings, transport: str) -> None:
        settings.SOCKETIO_TRANSPORTS = [transport]
        assert render().found[1]["data-transports"] == transport


class TestTheConsole:
    @pytest.mark.parametrize("debug", [True, False])
    def test_is_written_to_while_debug_is_on_only(self, settings: Settings, debug: bool) -> None:
        settings.DEBUG = debug
        assert ("data-debug" in render().found[1]) is debug


class TestTheNonce:
    def test_is_left_out_where_there_is_none(self, rf: RequestFactory) -> None:
        assert not any("nonce" in script for script in render(request=rf.get("/")).found)

    def test_is_the_one_of_djangos_context_processor(self) -> None:
        scripts = render(csp_nonce=LazyNonce()).found
        assert [script["nonce"] for script in scripts] == ["r4nd0m", "r4nd0m"]

    def test_is_the_one_of_django_csp(self, request_with_nonce: HttpRequest) -> None:
        scripts = render(request=request_with_nonce).found
        assert [script["nonce"] for script in scripts] == ["r4nd0m", "r4nd0m"]

    def test_is_the_tags_own_argument_before_any_other(
        self, request_with_nonce: HttpRequest
    ) -> None:
        scripts = render("{% socketio nonce=mine %}", request=request_with_nonce, mine="abc").found
        assert [script["nonce"] for script in scripts] == ["abc", "abc"]

    def test_can_be_turned_off(self, request_with_nonce: HttpRequest) -> None:
        scripts = render('{% socketio nonce="" %}', request=request_with_nonce).found
        assert not any("nonce" in script for script in scripts)

    def test_is_escaped(self) -> None:
        scripts = render("{% socketio nonce=mine %}", mine='"><script>').found
        assert [script["nonce"] for script in scripts] == ['"><script>', '"><script>']
