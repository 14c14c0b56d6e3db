"""The page on the architecture, compared with the package and with the layers of the linter."""

import ast
import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.docs.pages import page
from tests.support.server import ROOT

PAGE = page("docs/architecture.md")
PACKAGE = ROOT / "socketio_server"
GEVENT = ("gevent", "geventwebsocket", "greenlet")
ROOMS = [row for row in PAGE.rows if len(row) == 4 and row[2] in ("yes", "no")]


def parts_of(room: list[str]) -> list[Path]:
    """Return the files and folders of a row."""
    return [PACKAGE / name for name in re.findall(r"`([^`]+)`", room[0])]


def imports_of(room: list[str]) -> Iterator[str]:
    """Yield the names of what the modules of a row import, without what stands behind a dot."""
    for part in parts_of(room):
        for path in part.rglob("*.py") if part.is_dir() else [part]:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    yield from (alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    yield node.module.partition(".")[0]


class TestItsRooms:
    def test_are_all_folders_and_modules_of_the_package(self) -> None:
        shown = {part.name for room in ROOMS for part in parts_of(room)}
        found = {
            path.name
            for path in PACKAGE.iterdir()
            if path.suffix == ".py" or (path / "__init__.py").exists()
        }
        assert shown == found

    def test_are_in_the_order_of_the_linters_layers(self) -> None:
        setup = ConfigParser(interpolation=None)
        setup.read(ROOT / "setup.cfg")
        layers = re.findall(r"\w+", setup["importlinter:contract:layers"]["layers"])
        below = layers[layers.index("serving") :]
        shown = [part.stem for room in ROOMS for part in parts_of(room)]
        assert shown[shown.index("serving") :] == below

    @pytest.mark.parametrize("room", ROOMS, ids=lambda room: room[0])
    def test_know_gevent_and_django_as_it_says(self, room: list[str]) -> None:
        imported = set(imports_of(room))
        assert room[2] == ("yes" if imported.intersection(GEVENT) else "no"), "gevent"
        assert room[3] == ("yes" if "django" in imported else "no"), "Django"
