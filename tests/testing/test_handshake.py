"""The handshake of a test client."""

from typing import Any, cast

import pytest
from django.http import HttpRequest
from django.test import Client, override_settings
from django.utils import translation
from pytest_django import Settings

from socketio_server.events import Registry
from socketio_server.testing import ConnectionRefused, SocketIOClient
from tests.support.users import WITH_USERS


class TestTheHandshake:
    """It is a request like any other, through the project's middleware."""

    @pytest.fixture
    def requests(self, registry: Registry) -> list[HttpRequest]:
        """The requests that ``on_connect`` got."""
        requests: list[HttpRequest] = []

        @registry.on_connect
        def connect(request: HttpRequest, socket: Any, context: Any) -> None:
            requests.append(request)

        return requests

    def test_handlers_get_its_request(
        self, registry: Registry, requests: list[HttpRequest]
    ) -> None:
        headers = {"X-Device": "phone"}
        with SocketIOClient(registry=registry, query={"token": "abc"}, headers=headers):
            (request,) = requests

        assert request.path == "/socket.io/"
        assert request.GET["token"] == "abc"
        assert request.headers["X-Device"] == "phone"
        assert not request.is_secure()

    def test_it_may_be_secure(self, registry: Registry, requests: list[HttpRequest]) -> None:
        with SocketIOClient(registry=registry, secure=True):
            assert requests[0].is_secure()

    def test_it_has_the_cookies_of_the_client_that_is_given(
        self, registry: Registry, requests: list[HttpRequest]
    ) -> None:
        http = Client()
        http.cookies["flavour"] = "vanilla"
        with SocketIOClient(registry=registry, client=http):
            assert requests[0].COOKIES["flavour"] == "vanilla"

    @override_settings(**WITH_USERS)
    def test_it_has_the_session_of_the_client_that_is_given(
        self, registry: Registry, requests: list[HttpRequest]
    ) -> None:
        http = Client()
        session = http.session
        session["colour"] = "green"
        session.save()
        http.cookies["sessionid"] = session.session_key or ""
        with SocketIOClient(registry=registry, client=http):
            assert requests[0].session["colour"] == "green"

    def test_is_of_a_user_only_who_may_log_in(self, settings: Settings) -> None:
        for name, value in WITH_USERS.items():
            setattr(settings, name, value)
        from django.contrib.auth.models import AnonymousUser, User

        with pytest.raises(TypeError, match="'ann' is no user"):
            SocketIOClient(user=cast(Any, "ann"))
        for user in (AnonymousUser(), User(username="ann")):
            with pytest.raises(ValueError, match="primary key"):
                SocketIOClient(user=cast(Any, user))

    def test_the_language_that_it_activates_is_the_handlers_and_not_the_tests(
        self, registry: Registry
    ) -> None:
        languages = []

        @registry.on_message
        def message(request: Any, socket: Any, context: Any, message: Any) -> None:
            languages.append(translation.get_language())

        with SocketIOClient(registry=registry, headers={"Accept-Language": "fr"}) as client:
            client.send("hi")

        assert languages == ["fr"]
        assert translation.get_language() == "en"

    def test_a_foreign_origin_is_refused(self, registry: Registry, log: list[str]) -> None:
        client = SocketIOClient(registry=registry, headers={"Origin": "https://evil.example"})
        with pytest.raises(ConnectionRefused, match="403 Forbidden") as refused:
            client.connect()

        assert refused.value.response.status_code == 403
        assert not client.connected
        assert log == []

    def test_middleware_may_refuse_it(self, registry: Registry, settings: Settings) -> None:
        settings.MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
        settings.SECURE_SSL_REDIRECT = True
        with pytest.raises(ConnectionRefused, match="301 Moved Permanently"):
            SocketIOClient(registry=registry).connect()

    def test_it_works_where_the_project_allows_polling_only(
        self, registry: Registry, settings: Settings
    ) -> None:
        settings.SOCKETIO_TRANSPORTS = ["polling"]
        with SocketIOClient(registry=registry) as client:
            assert client.connected
