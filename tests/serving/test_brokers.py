"""What the log says of a server's broker."""

from typing import Any

import pytest

from socketio_server.options import Options
from socketio_server.serving.brokers import describe_broker


class TestDescription:
    @pytest.mark.parametrize(
        ("url", "connected", "text"),
        [
            (None, None, "none"),
            ("redis://ann:secret@one:1/0", 1, "redis://one:1/0 (connected)"),
            ("redis://one?password=secret", 0, "redis://one (not connected)"),
            ("redis+sentinel://ann:secret@one,two/main", 1, "redis+sentinel://one,two/main (conn"),
        ],
    )
    def test_has_no_password(self, url: str | None, connected: int | None, text: str) -> None:
        snapshot: Any = {} if connected is None else {"broker_connected": connected}
        described = describe_broker(Options(broker_url=url), snapshot)
        assert described.startswith(text)
        assert "secret" not in described
