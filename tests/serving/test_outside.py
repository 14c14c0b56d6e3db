"""The broker of a process without a server: made when something is sent, from the settings."""

import pytest
from django.test import override_settings

import socketio_server
from socketio_server.serving import outside
from socketio_server.sockets.this_process import CLIENTS
from socketio_server.testing import SocketIOClient


@pytest.fixture
def settings_of_broker(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    settings: dict[str, str | None] = {
        "broker_url": "redis://localhost/0",
        "broker_prefix": "socket.io",
    }
    monkeypatch.setattr(CLIENTS, "broker", CLIENTS.broker)
    monkeypatch.setattr(outside, "_is_tested", lambda: False)
    monkeypatch.setattr(outside, "read_option", settings.__getitem__)
    return settings


class TestThePublisher:
    def test_is_made_once(self, settings_of_broker: dict[str, str | None]) -> None:
        outside.connect()
        publisher = CLIENTS.broker
        outside.connect()
        assert publisher.reaches_others
        assert CLIENTS.broker is publisher

    def test_follows_the_settings(self, settings_of_broker: dict[str, str | None]) -> None:
        outside.connect()
        publisher = CLIENTS.broker
        settings_of_broker["broker_prefix"] = "others"
        outside.connect()
        assert CLIENTS.broker is not publisher

    def test_ends_with_its_url(self, settings_of_broker: dict[str, str | None]) -> None:
        outside.connect()
        settings_of_broker["broker_url"] = None
        outside.connect()
        assert not CLIENTS.broker.reaches_others


class TestAnEventThatReachesNobody:
    @pytest.fixture(autouse=True)
    def anew(self) -> None:
        outside._tell_unsent.cache_clear()

    @override_settings(DEBUG=True)
    def test_is_told_once_with_the_reason(self, caplog: pytest.LogCaptureFixture) -> None:
        socketio_server.emit("news", 1)
        socketio_server.emit("news", 2)

        (record,) = caplog.records
        text = record.getMessage()
        assert text.startswith("The event 'news' reaches nobody. No Socket.IO server runs in this ")

    @override_settings(DEBUG=True)
    def test_may_be_a_recheck(self, caplog: pytest.LogCaptureFixture) -> None:
        socketio_server.recheck("room-1")

        (record,) = caplog.records
        assert record.getMessage().startswith("A recheck reaches nobody. No Socket.IO server runs ")

    def test_is_told_in_tests_beside_a_live_server(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outside, "live_servers", 1)
        socketio_server.emit("news", 1)

        assert "The event 'news' reaches nobody" in caplog.text

    def test_is_not_told_without_debug(self, caplog: pytest.LogCaptureFixture) -> None:
        socketio_server.emit("news", 1)
        socketio_server.recheck("room-1")

        assert not caplog.records

    @override_settings(DEBUG=True)
    def test_is_none_while_a_client_is_there(self, caplog: pytest.LogCaptureFixture) -> None:
        with SocketIOClient() as client:
            socketio_server.emit("news", 1)
            assert client.received

        assert not [each for each in caplog.records if "reaches nobody" in each.getMessage()]
