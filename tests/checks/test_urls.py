"""System checks: the server's URL and the pages' script."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import clear_script_prefix, include, path, re_path, set_script_prefix
from django.views.decorators.cache import never_cache

from socketio_server import assets, views
from tests.checks.run import run


def a_view(request: HttpRequest) -> HttpResponse:
    """Anything but the server's."""
    return HttpResponse()


Urlconf = Callable[..., None]


@pytest.fixture
def urlconf() -> Iterator[Urlconf]:
    """Gives the project other URLs."""
    with ExitStack() as stack:

        def use(*patterns: Any) -> None:
            module = ModuleType("some_urlconf")
            vars(module)["urlpatterns"] = list(patterns)
            stack.enter_context(override_settings(ROOT_URLCONF=module))

        yield use


class TestUrls:
    """E002."""

    def test_a_urlconf_without_the_server_s_url_is_an_error(self, urlconf: Urlconf) -> None:
        urlconf()
        (message,) = run()

        assert message.id == "socketio_server.E002"
        assert message.is_serious()
        assert message.hint is not None
        assert 'include("socketio_server.urls")' in message.hint

    @pytest.mark.parametrize("prefix", ["", "realtime/", "été/"])
    def test_one_that_has_it_anywhere_is_none(self, urlconf: Urlconf, prefix: str) -> None:
        urlconf(path(prefix, include("socketio_server.urls")), re_path("", a_view))

        assert run() == []

    def test_a_pattern_before_it_that_matches_all_is_an_error_that_names_it(
        self, urlconf: Urlconf
    ) -> None:
        urlconf(re_path("^.*$", a_view), path("", include("socketio_server.urls")))
        (message,) = run()

        assert message.id == "socketio_server.E002"
        assert "/socket.io/" in message.msg
        assert "'^.*$'" in message.msg
        assert message.hint is not None
        assert "before" in message.hint

    def test_another_url_of_its_name_is_an_error(self, urlconf: Urlconf) -> None:
        urlconf(
            path("", include("socketio_server.urls")),
            path("about-socketio/", a_view, name="socketio"),
        )
        (message,) = run()

        assert message.id == "socketio_server.E002"
        assert "/about-socketio/" in message.msg
        assert message.hint is not None
        assert 'the name "socketio"' in message.hint

    def test_a_view_of_its_own_that_a_project_decorates_is_none(self, urlconf: Urlconf) -> None:
        urlconf(path("socket.io/", never_cache(views.socketio), name="socketio"))

        assert run() == []

    @override_settings(LANGUAGES=[("en", "English"), ("fr", "Français")])
    def test_every_language_of_the_urls_is_looked_at(self, urlconf: Urlconf) -> None:
        server = include("socketio_server.urls")
        urlconf(*i18n_patterns(path("", server)))
        assert run() == []

        urlconf(re_path("^fr/", a_view), *i18n_patterns(path("", server)))
        (message,) = run()
        assert message.id == "socketio_server.E002"
        assert "/fr/socket.io/" in message.msg

    def test_a_path_that_a_proxy_takes_away_is_no_part_of_it(self, urlconf: Urlconf) -> None:
        urlconf(path("", include("socketio_server.urls")))
        set_script_prefix("/sub/")
        try:
            assert run() == []
        finally:
            clear_script_prefix()


class TestBundle:
    """E003."""

    def test_a_missing_client_is_an_error_that_names_the_command(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(assets, "CLIENT_BUNDLE", "socketio_server/not-there.js")
        (message,) = run()

        assert message.id == "socketio_server.E003"
        assert message.is_serious()
        assert "not-there.js" in message.msg
        assert message.hint is not None
        assert "pip install -e ." in message.hint
