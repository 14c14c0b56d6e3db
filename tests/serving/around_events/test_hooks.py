"""What Django does around handlers, besides database connections, locale and message log."""

import contextvars

from django.core.cache import caches
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.test import override_settings

from socketio_server.serving.around_events.hooks import DjangoHooks
from tests.fakes import FakeServer


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
