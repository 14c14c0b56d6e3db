"""Language and time zone: handlers have those of their client's handshake."""

from datetime import timedelta
from datetime import timezone as fixed_timezone
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import timezone, translation
from pytest_django import Settings

from socketio_server.serving.around_events.hooks import DjangoHooks
from tests.fakes.server import FakeServer


class TestLanguageAndTimeZone:
    """What the project's middleware activated for the handshake is active in handlers."""

    @pytest.fixture
    def server(self) -> FakeServer:
        """A server whose handler tells language and offset from UTC."""
        made = FakeServer(hooks=DjangoHooks(None))

        @made.registry.on_message
        def message(request: object, socket: Any, context: object, message: object) -> None:
            socket.send([translation.get_language(), timezone.localtime().strftime("%z")])

        return made

    def test_what_any_other_middleware_activated(self, server: FakeServer) -> None:
        with translation.override("fr"), timezone.override(fixed_timezone(timedelta(hours=3))):
            client = server.connect()
        client.emit("message", "?")

        assert client.messages() == [["fr", "+0300"]]

    @pytest.mark.parametrize(
        "middleware",
        ["django.middleware.locale.LocaleMiddleware", "project.middleware.TimeZoneOfUser"],
    )
    def test_django_s_and_any_foreign_middleware_may_activate_some(
        self, middleware: str, settings: Settings
    ) -> None:
        settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware", middleware]
        hooks = DjangoHooks(None)

        with translation.override("fr"), timezone.override(fixed_timezone(timedelta(hours=3))):
            assert hooks.capture(HttpRequest()) is not None

    def test_nobody_looks_where_no_middleware_activates_any(self, settings: Settings) -> None:
        settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
        hooks = DjangoHooks(None)

        with translation.override("fr"):
            assert hooks.capture(HttpRequest()) is None

    def test_the_language_that_the_locale_middleware_found(
        self, server: FakeServer, rf: RequestFactory
    ) -> None:
        request = rf.get("/")
        request.LANGUAGE_CODE = "fr"
        with translation.override("fr"):
            client = server.connect(request=request)
        client.emit("message", "?")

        assert client.messages() == [["fr", timezone.localtime().strftime("%z")]]

    def test_one_client_s_is_not_another_s(self, server: FakeServer, rf: RequestFactory) -> None:
        clients = []
        for language, hours in (("fr", 3), ("en", -3)):
            request = rf.get("/")
            request.LANGUAGE_CODE = language
            zone = fixed_timezone(timedelta(hours=hours))
            with translation.override(language), timezone.override(zone):
                clients.append(server.connect(request=request))
        clients.append(server.connect(request=rf.get("/")))
        for client in clients * 2:
            client.emit("message", "?")

        assert [client.messages() for client in clients] == [
            [["fr", "+0300"]] * 2,
            [["en", "-0300"]] * 2,
            [["en", timezone.localtime().strftime("%z")]] * 2,
        ]

    def test_the_settings_own_where_it_was_deactivated_again(self, server: FakeServer) -> None:
        with translation.override("fr"), timezone.override(fixed_timezone(timedelta(hours=3))):
            translation.deactivate()
            timezone.deactivate()
            client = server.connect()
        client.emit("message", "?")

        assert client.messages() == [["en", timezone.localtime().strftime("%z")]]
