"""Links and names of files on every page: what they point to is there."""

import ast
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import DOCS, EXAMPLES, Page, page, pages
from tests.support.server import ROOT

_FILE = re.compile(r"`((?:[\w.-]+/)+[\w.-]+|[\w-]+\.(?:py|md|cfg|toml|json))`")
_DOCS = re.compile(r"\bdocs/[\w/-]+\.md")
READERS_FOLDERS = {"mysite", "templates", ".venv"}
"""What begins with these is in the reader's project."""

READERS_FILES = {"views.py", "setup.py"}


def exists(name: str, found: Page) -> bool:
    """Whether a file is there: from the repository's root, the package's, or the page's folder."""
    folders = [ROOT, ROOT / "socketio_server", found.path.parent]
    return any((folder / name).exists() for folder in folders)


class TestLinks:
    @pytest.mark.parametrize("found", pages(), ids=str)
    def test_point_to_files_that_exist(self, found: Page) -> None:
        for link in found.links:
            target = urlsplit(link)
            if not target.scheme and target.path:
                assert (found.path.parent / target.path).exists(), link

    @pytest.mark.parametrize("found", pages(), ids=str)
    def test_point_to_headings_that_exist(self, found: Page) -> None:
        for link in found.links:
            target = urlsplit(link)
            if target.scheme or not target.fragment:
                continue
            path = (found.path.parent / target.path).resolve() if target.path else found.path
            assert target.fragment in page(str(path.relative_to(ROOT))).anchors, link

    @pytest.mark.parametrize("found", pages(), ids=str)
    def test_to_elsewhere_are_encrypted(self, found: Page) -> None:
        assert {urlsplit(link).scheme for link in found.links} <= {"", "https"}

    def test_every_page_can_be_reached_from_the_table_of_contents(self) -> None:
        index = page("docs/index.md")
        linked = {(index.path.parent / urlsplit(link).path).resolve() for link in index.links}
        assert {*DOCS.rglob("*.md"), *EXAMPLES.rglob("*.md")} - {index.path} <= linked


class TestNamesOfFiles:
    @pytest.mark.parametrize("found", pages(), ids=str)
    def test_files_that_are_named_exist(self, found: Page) -> None:
        own = {Path(block.path).name for block in found.blocks if block.path}
        for name in _FILE.findall("\n".join(found.prose)):
            is_readers = name.split("/")[0] in READERS_FOLDERS or name in READERS_FILES
            if not (is_readers or name in own or name.startswith("node_modules")):
                assert exists(name, found), name

    def test_messages_name_no_page_because_installed_packages_have_none(self) -> None:
        for path in (ROOT / "socketio_server").rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            statements = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
            for node in ast.walk(tree):  # docstrings are for those who have the pages, too
                if isinstance(node, ast.Constant) and node not in statements:
                    assert not _DOCS.search(str(node.value)), f"{path}:{node.lineno}"

    def test_pages_that_the_code_names_exist(self) -> None:
        for path in [*(ROOT / "socketio_server").rglob("*.py"), ROOT / "setup.cfg"]:
            for name in _DOCS.findall(path.read_text(encoding="utf-8")):
                assert (ROOT / name).exists(), f"{path.relative_to(ROOT)}: {name}"
