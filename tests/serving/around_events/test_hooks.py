"""What Django does around handlers, besides database connections, locale and message log."""

from django.core.exceptions import PermissionDenied

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
