"""The launcher: a program on patched modules, with the plugins that packages have for gevent."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from socketio_server.serving import patched
from tests.support.tools import PATIENCE

PLUGIN = """\
[gevent.plugins.monkey.did_patch_all]
tell = plugin:tell
"""

Run = Callable[[str], str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a program's text on patched modules, beside what is in the test's folder."""

    def run(text: str) -> str:
        (tmp_path / "program.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-P", patched.__file__, "program.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def install(folder: Path, entry_points: str | None, *, name: str = "plugin-1.0.dist-info") -> None:
    """Put what an installed package says of itself into a folder."""
    (folder / name).mkdir()
    (folder / name / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    if entry_points is not None:
        (folder / name / "entry_points.txt").write_text(entry_points)


class TestPatches:
    def test_are_done_when_the_program_begins(self, run: Run) -> None:
        said = run(
            "from gevent import monkey\n"
            "print(*map(monkey.is_module_patched, ('socket', 'ssl', 'threading', 'subprocess')))"
        )
        assert said == "True True True True\n"

    def test_a_plugin_takes_part(self, run: Run, tmp_path: Path) -> None:
        install(tmp_path, PLUGIN)
        (tmp_path / "plugin.py").write_text(
            "def tell(event):\n    print('the plugin knows of', type(event).__name__)"
        )
        assert run("print('the program')") == (
            "the plugin knows of GeventDidPatchAllEvent\nthe program\n"
        )

    def test_the_program_finds_gevents_own_search_for_plugins_in_its_place(self, run: Run) -> None:
        assert run(
            "from gevent.events import notify_and_call_entry_points as search\n"
            "print(search.__name__)"
        ) == ("notify_and_call_entry_points\n")


class TestPlugins:
    @pytest.mark.parametrize("name", ["plugin-1.0.dist-info", "plugin-1.0.egg-info", "EGG-INFO"])
    def test_are_known_by_their_entry_points(self, tmp_path: Path, name: str) -> None:
        install(tmp_path, PLUGIN, name=name)
        assert patched.has_plugins(str(tmp_path))

    @pytest.mark.parametrize("entry_points", [None, "[console_scripts]\ntell = plugin:tell\n"])
    def test_no_other_package_has_any(self, tmp_path: Path, entry_points: str | None) -> None:
        install(tmp_path, entry_points)
        assert not patched.has_plugins(str(tmp_path))

    def test_gevents_own_does_not_count(self, tmp_path: Path) -> None:
        install(tmp_path, PLUGIN, name="gevent-26.9.0.dist-info")
        assert not patched.has_plugins(str(tmp_path))

    def test_a_folder_that_is_not_there_has_none(self, tmp_path: Path) -> None:
        assert not patched.has_plugins(str(tmp_path / "nowhere"))

    def test_an_archive_may_have_some(self, tmp_path: Path) -> None:
        (tmp_path / "library.zip").touch()
        assert patched.has_plugins(str(tmp_path / "library.zip"))
