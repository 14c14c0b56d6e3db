"""What gunicorn's settings mean for the server of a worker; live tests run the workers."""

from pathlib import Path

import pytest
from gunicorn.config import Config

from socketio_server.options import Options
from socketio_server.serving.gunicorn import FOLDER, keep_alive_timeout_of, shared_folder


class TestKeepalive:
    @pytest.mark.parametrize(("keepalive", "seconds"), [(1, 1.0), (75, 75.0), (2, 5.0), (0, 5.0)])
    def test_counts_unless_it_is_the_default_which_is_shorter_than_a_proxys(
        self, keepalive: int, seconds: float
    ) -> None:
        cfg = Config()
        cfg.set("keepalive", keepalive)
        assert keep_alive_timeout_of(cfg, Options()) == seconds


class TestTheFolderOfTheWorkers:
    @pytest.fixture
    def cfg(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Config:
        monkeypatch.setenv(FOLDER, "")  # so that it is as before afterwards
        monkeypatch.delenv(FOLDER)
        cfg = Config()
        cfg.set("worker_tmp_dir", str(tmp_path))
        return cfg

    def test_is_made_once(self, cfg: Config) -> None:
        assert shared_folder(cfg) == shared_folder(cfg)

    def test_is_inherited_by_the_gunicorn_that_replaces_this_one(self, cfg: Config) -> None:
        folder = shared_folder(cfg)
        assert cfg.env_orig[FOLDER] == folder
