"""The page on tests: its tests pass, and its table has all that the client can do."""

import inspect
import re
import shutil
from pathlib import Path

from socketio_server.testing import SocketIOClient
from tests.docs.conftest import Serve
from tests.docs.pages import page
from tests.docs.project import Project
from tests.support.server import ROOT

PAGE = page("docs/testing.md")
DEMO = ("events.py", "manage.py", "mysite", "templates", "locale")


def add_tests(project: Project, *names: str) -> None:
    """Put some of the page's tests into a project."""
    for block in PAGE.blocks:
        if block.path in names:
            project.apply(block)


class TestItsTests:
    def test_of_the_demo_pass_there(self, tutorial: Project, tmp_path: Path) -> None:
        for name in DEMO:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tmp_path / name)
            else:
                shutil.copy(ROOT / name, tmp_path)
        demo = Project(tmp_path, tutorial.library)
        add_tests(demo, "test_chat.py", "test_time.py")
        said = demo.manage("test")
        assert "Ran 5 tests" in said
        assert "OK" in said

    def test_of_members_pass_with_the_guides_handlers(self, serve: Serve) -> None:
        project = serve.project("docs/how-to/authentication.md")
        add_tests(project, "test_members.py")
        said = project.manage("test")
        assert "Ran 4 tests" in said
        assert "OK" in said


class TestItsTable:
    def test_has_every_public_member_and_no_other(self) -> None:
        shown = {
            re.match(r"\w+", text)[0]  # type: ignore[index]
            for row in PAGE.rows
            for text in re.findall(r"`([^`]+)`", row[0])
        }
        members = {name for name in vars(SocketIOClient) if not name.startswith("_")}
        assert shown - {"session_id"} == members

    def test_tells_what_a_client_is_made_with(self) -> None:
        text = PAGE.path.read_text(encoding="utf-8")
        for name in inspect.signature(SocketIOClient).parameters:
            assert f"`{name}`" in text
