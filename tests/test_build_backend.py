"""The build backend: when it fetches the browser client, and when what is there will do."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


class Build:
    """A checkout, and an npm that installs what its lock file says."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = spec_from_file_location("backend", ROOT / "build_backend" / "backend.py")
        assert spec is not None
        assert spec.loader is not None
        self.backend: Any = module_from_spec(spec)
        spec.loader.exec_module(self.backend)
        self.static = root / "static"
        self.lock = root / "package-lock.json"
        self.fetched = 0
        self.static.mkdir()
        (root / "package.json").write_text("{}")
        self.pin("4.8.1")
        places = {"ROOT": root, "STATIC": self.static, "LOCK": self.lock, "STAMP": root / "stamp"}
        for name, place in places.items():
            monkeypatch.setattr(self.backend, name, place)
        monkeypatch.setattr(self.backend, "_npm_ci", self.install)

    @property
    def bundle(self) -> Path:
        """The client's file."""
        return self.static / str(self.backend.BUNDLE)

    def pin(self, version: str) -> None:
        """Write the lock file."""
        self.lock.write_text(json.dumps({"version": version}))

    def install(self, directory: str) -> None:
        """Do what ``npm ci`` does."""
        self.fetched += 1
        version = json.loads(Path(directory, "package-lock.json").read_text())["version"]
        dist = Path(directory, self.backend.CLIENT, "dist")
        dist.mkdir(parents=True)
        for name in (self.backend.BUNDLE, self.backend.SOURCE_MAP):
            (dist / name).write_text(f"{name} {version}")


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    return Build(tmp_path, monkeypatch)


class TestTheClient:
    def test_is_fetched_once(self, build: Build) -> None:
        for _ in range(2):
            build.backend.provide_client()

        assert build.fetched == 1
        assert build.bundle.read_text() == "socket.io.min.js 4.8.1"

    def test_is_fetched_anew_when_the_lock_file_has_changed(self, build: Build) -> None:
        build.backend.provide_client()
        build.pin("4.8.2")
        build.backend.provide_client()

        assert build.fetched == 2
        assert build.bundle.read_text() == "socket.io.min.js 4.8.2"

    def test_is_fetched_anew_when_it_was_changed(self, build: Build) -> None:
        build.backend.provide_client()
        build.bundle.write_text("socket.io.min.js 4.8.1 and more")
        build.backend.provide_client()

        assert build.fetched == 2
        assert build.bundle.read_text() == "socket.io.min.js 4.8.1"

    @pytest.mark.parametrize("lost", ["BUNDLE", "SOURCE_MAP"])
    def test_is_fetched_anew_when_a_file_is_missing(self, build: Build, lost: str) -> None:
        build.backend.provide_client()
        (build.static / getattr(build.backend, lost)).unlink()
        build.backend.provide_client()

        assert build.fetched == 2

    def test_of_another_origin_is_not_trusted(self, build: Build) -> None:
        """A file that names the right version may be anything."""
        build.bundle.write_text("/*! Socket.IO v4.8.1 */")
        (build.static / build.backend.SOURCE_MAP).write_text("{}")
        build.backend.provide_client()

        assert build.fetched == 1
