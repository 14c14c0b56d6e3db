"""The router goes on after a MemoryError."""

from typing import Any

import pytest

from socketio_server.dispatch.rights import Rights
from socketio_server.dispatch.router import NamespaceRouter
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.sockets.clients import Clients
from tests.dispatch.router.steps import message, settle_all
from tests.fakes.hub import settle
from tests.fakes.server import FakeServer


class TestAfterAMemoryError:
    """Whatever raised it, the server goes on, and nobody is counted for ever."""

    def test_of_a_handler(self, server: FakeServer) -> None:
        @server.registry.on_message
        def fail(request: object, socket: Any, context: dict[str, Any], message: str) -> None:
            if len(message) > 100:
                raise MemoryError
            context["got"] = message

        client = server.connect()
        client.send(message(50_000), message(5000), '2["message","small"]')
        settle_all(server)
        assert client.socket.context["got"] == "small"
        assert server.dispatcher.decoded_memory.taken == 0

    def test_while_a_packet_is_decoded(
        self, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(text: str) -> None:
            raise MemoryError

        other, client = server.connect(), server.connect()
        context = other.socket.context
        monkeypatch.setattr("socketio_server.protocol.jsoncodec._decode", fail)
        client.send(message(50_000))
        settle_all(server)
        assert client.closed == [CloseReason.PARSE_ERROR]

        monkeypatch.undo()
        other.send('2["message","small"]')
        settle()
        assert context is other.socket.context
        assert server.dispatcher.decoded_memory.taken == 0
        assert len(server.clients) == 1

    def test_while_the_dispatcher_works(
        self, server: FakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*args: object) -> None:
            raise MemoryError

        client = server.connect()
        monkeypatch.setattr("socketio_server.dispatch.dispatcher.decode", fail)
        client.send(message(50_000))
        settle_all(server)
        assert "Internal error" in caplog.text
        assert server.dispatcher.decoded_memory.taken == 0

        client.leave()
        settle()
        assert server.dispatcher.wait_until_idle(0)
        assert len(server.clients) == 0

    @pytest.mark.parametrize(
        ("owner", "method", "packets"),
        [
            (Clients, "add", ["0"]),
            (NamespaceRouter, "answer", ["0"]),
            (Rights, "subscribed", ["0", '2["__subscribe__","room"]']),
        ],
        ids=["connects", "is answered", "subscribes"],
    )
    def test_while_messages_are_held_until_a_client(
        self,
        server: FakeServer,
        monkeypatch: pytest.MonkeyPatch,
        owner: object,
        method: str,
        packets: list[str],
    ) -> None:
        """They would be held for ever."""

        def fail(*args: object, **options: object) -> None:
            raise MemoryError

        server.registry.on_subscribe(lambda *args: None)
        client = server.open()
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, fail)
            client.send(*packets)
        assert client.closed == [CloseReason.TRANSPORT_ERROR]
        assert server.dispatcher.wait_until_idle(0)
        assert len(server.clients) == 0
