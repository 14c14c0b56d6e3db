"""The broker of a process without a server: made when something is sent, from the settings."""

import pytest

from socketio_server.serving import outside
from socketio_server.sockets.this_process import CLIENTS


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
