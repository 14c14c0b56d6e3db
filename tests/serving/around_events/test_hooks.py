"""What Django does around handlers, besides database connections, locale and message log."""

import contextvars

from django.core.cache import caches
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.test import override_settings

from socketio_server.http.wsgi import SIZE_KEY
from socketio_server.serving.around_events.hooks import PART_SIZE, DjangoHooks
from tests.fakes.server import FakeServer


class TestRefusals:
    def test_permission_denied_refuses_a_client(self) -> None:
        server = FakeServer(hooks=DjangoHooks(None))

        @server.registry.on_connect
        def connect(request: object, socket: object, context: object) -> None:
            raise PermissionDenied("members only")

        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"members only"}']

    def test_without_a_reason_as_well(self) -> None:
        server = FakeServer(hooks=DjangoHooks(None))

        @server.registry.on_connect
        def connect(request: object, socket: object, context: object) -> None:
            raise PermissionDenied

        client = server.open()
        client.send("0")

        assert client.received() == ['4{"message":"Permission denied"}']


class TestCaches:
    @override_settings(
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": "redis://127.0.0.1:1",
            }
        }
    )
    def test_with_connections_are_those_of_all_sockets(self) -> None:
        hooks = DjangoHooks(None)
        found = []

        def shake_hands() -> None:
            hooks.capture(HttpRequest())
            found.append(caches["default"])

        for _ in range(2):
            contextvars.Context().run(shake_hands)
        assert found[0] is found[1]


class TestTheSizeOfARequest:
    """It is what the client is charged for, for as long as its sockets keep the request."""

    def test_is_that_of_its_head(self) -> None:
        request = HttpRequest()
        request.META = {SIZE_KEY: 60_000}
        assert DjangoHooks(None).request_size(request) == 60_000

    def test_counts_cookies_and_parameters_as_what_they_take_once_they_are_parsed(self) -> None:
        request = HttpRequest()
        request.META = {"HTTP_COOKIE": "a=1;b=2;c=3;d=4", "QUERY_STRING": "EIO=4&transport=polling"}
        assert DjangoHooks(None).request_size(request) > 3 * PART_SIZE
