"""What gunicorn's settings mean for the server of a worker; live tests run the workers."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config

from socketio_server.options import Options
from socketio_server.serving import gunicorn
from socketio_server.serving.gunicorn import (
    COMING,
    FOLDER,
    ServerWorker,
    _remove,
    keep_alive_timeout_of,
    shared_folder,
)


class TestKeepalive:
    @pytest.mark.parametrize(("keepalive", "seconds"), [(1, 1.0), (75, 75.0), (2, 5.0), (0, 5.0)])
    def test_counts_unless_it_is_the_default_which_is_shorter_than_a_proxys(
        self, keepalive: int, seconds: float
    ) -> None:
        cfg = Config()
        cfg.set("keepalive", keepalive)
        assert keep_alive_timeout_of(cfg, Options()) == seconds


class StoppingServer:
    """Notes how it is stopped."""

    time_over = -1.0

    def start(self) -> None:
        """Do nothing."""

    def retire(self) -> None:
        """Do nothing."""

    def stop(self, goodbye_time: float, *, time_over: float) -> bool:
        self.time_over = time_over
        return True


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

    def test_is_not_inherited_if_others_may_enter_it(self, cfg: Config) -> None:
        folder = shared_folder(cfg)
        assert folder is not None
        os.chmod(folder, 0o755)
        other = shared_folder(cfg)
        assert other not in (None, folder)
        assert cfg.env_orig[FOLDER] == os.environ[FOLDER] == other

    def test_is_not_inherited_if_it_leads_elsewhere(self, cfg: Config, tmp_path: Path) -> None:
        folder = shared_folder(cfg)
        assert folder is not None
        Path(folder).rename(tmp_path / "elsewhere")
        Path(folder).symlink_to("elsewhere")
        assert shared_folder(cfg) != folder

    def test_is_not_inherited_from_another_user(
        self, cfg: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = shared_folder(cfg)
        monkeypatch.setattr(cfg.settings["user"], "value", cfg.uid + 1)
        monkeypatch.setattr(os, "chown", lambda *args: None)
        assert shared_folder(cfg) != folder

    def test_is_locked_when_it_was_made_anew(self, cfg: Config) -> None:
        folder = shared_folder(cfg)
        assert folder is not None
        os.rmdir(folder)
        assert shared_folder(cfg) == folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)

    def test_is_inherited_by_the_gunicorn_that_replaces_this_one(self, cfg: Config) -> None:
        folder = shared_folder(cfg)
        assert cfg.env_orig[FOLDER] == folder

    @pytest.fixture
    def dead(self) -> int:
        """The number of a process that has ended."""
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        return process.pid

    def test_takes_the_wait_for_who_is_about_to_serve_from_the_time_to_stop(
        self, cfg: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker = Site(1).make_worker(cfg)
        worker.tmp.close()
        coming = worker._announcement
        server = worker._server = StoppingServer()
        worker._announcement = None
        worker._is_first = worker.alive = False
        monkeypatch.setattr(worker, "notify", lambda: coming.unlink(missing_ok=True))
        worker.run()
        assert server.time_over > 0.0

    def test_goes_with_what_killed_workers_have_left(self, tmp_path: Path, dead: int) -> None:
        folder = tmp_path / "workers"
        folder.mkdir()
        own = os.getpid()
        for name in f"{dead}", f"node-{dead}", f"{dead}.accepting", f"3-{dead}{COMING}":
            (folder / name).touch()
        (folder / f"3-{own}{COMING}").touch()  # of a worker that could not be forked
        _remove(str(folder), own)
        assert not folder.exists()

    def test_stays_for_another_gunicorns_workers(self, tmp_path: Path) -> None:
        living = [f"node-{os.getppid()}", f"{os.getppid()}.accepting"]
        for name in living:
            (tmp_path / name).touch()
        _remove(str(tmp_path), os.getpid())
        assert sorted(os.listdir(tmp_path)) == sorted(living)

    def test_knows_who_is_about_to_serve(
        self, cfg: Config, monkeypatch: pytest.MonkeyPatch, dead: int
    ) -> None:
        worker = Site(1).make_worker(cfg)
        worker.tmp.close()
        assert worker._successors_come()
        worker._announcement.rename(Path(worker._folder, f"1-{dead}{COMING}"))
        assert not worker._successors_come()


class Site:
    """Makes workers of a project with a mistake in its settings, and keeps what they log."""

    def __init__(self, count: int) -> None:
        self.cfg = Config()
        self.cfg.set("workers", count)
        self.errors: list[str] = []

    def make_worker(self, cfg: Config | None = None) -> Any:
        arguments: Any = 1, 1, [], self, 30, cfg or self.cfg, self
        return ServerWorker(*arguments)

    def wsgi(self) -> None:
        raise ImproperlyConfigured("a mistake")

    def error(self, message: str, *args: object) -> None:
        self.errors.append(message % args)


class TestAMistakeInTheSettings:
    @pytest.fixture
    def site(self, monkeypatch: pytest.MonkeyPatch) -> Site:
        monkeypatch.setattr(gunicorn, "shared_folder", lambda cfg: None)
        monkeypatch.setattr(ServerWorker, "_made", (None, 0))
        return Site(2)

    def end_of(self, worker: Any) -> object:
        with pytest.raises(SystemExit) as end:
            worker.load_wsgi()
        worker.tmp.close()
        return end.value.code

    def test_is_told_by_the_first_worker_only(self, site: Site) -> None:
        first, second = site.make_worker(), site.make_worker()
        second._end()  # as the arbiter tells it
        assert self.end_of(second) == 0
        assert site.errors == []
        assert self.end_of(first) == Arbiter.APP_LOAD_ERROR
        assert site.errors == ["a mistake"]

    def test_is_told_by_another_that_nobody_ends(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gunicorn, "FIRST_TIME", 0.0)
        first, second = site.make_worker(), site.make_worker()
        assert self.end_of(second) == Arbiter.APP_LOAD_ERROR
        assert site.errors == ["a mistake"]
        first.tmp.close()

    def test_is_told_by_one_that_replaces_another(self, site: Site) -> None:
        *others, last = (site.make_worker() for _ in range(3))
        assert self.end_of(last) == Arbiter.APP_LOAD_ERROR
        assert site.errors == ["a mistake"]
        for worker in others:
            worker.tmp.close()
