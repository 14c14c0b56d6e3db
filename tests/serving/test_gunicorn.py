"""What gunicorn's settings mean for the server of a worker; live tests run the workers."""

import pytest
from gunicorn.config import Config

from socketio_server.options import Options
from socketio_server.serving.gunicorn import keep_alive_timeout_of


class TestKeepalive:
    @pytest.mark.parametrize(("keepalive", "seconds"), [(1, 1.0), (75, 75.0), (2, 5.0), (0, 5.0)])
    def test_counts_unless_it_is_the_default_which_is_shorter_than_a_proxys(
        self, keepalive: int, seconds: float
    ) -> None:
        cfg = Config()
        cfg.set("keepalive", keepalive)
        assert keep_alive_timeout_of(cfg, Options()) == seconds
