"""The page on tests: its tests pass, and its table has all that the client can do."""

import inspect
import re
from pathlib import Path

from socketio_server.testing import SocketIOClient
from tests.docs.conftest import Serve
from tests.docs.pages import page
from tests.docs.project import EVENTS, Project

PAGE = page("docs/testing.md")


def add_tests(project: Project, *names: str) -> None:
    """Put some of the page's tests into a project."""
    for block in PAGE.blocks:
        if block.path in names:
            project.apply(block)


class TestItsTests:
    def test_of_the_tutorial_pass_there(self, tutorial: Project, tmp_path: Path) -> None:
        project = tutorial.copy(tmp_path / "project")
        project.apply(*(block for block in page("docs/tutorial.md").blocks if block.path == EVENTS))
        add_tests(project, "test_chat.py")
        said = project.manage("test")
        for line in ("Ran 3 tests", "OK"):
            assert line in said
            assert f"`{line}`" in PAGE.path.read_text(encoding="utf-8")
        add_tests(project, "test_time.py")
        assert "Ran 4 tests" in project.manage("test")
        add_tests(project, "test_live.py", "mysite/settings.py")
        assert "Ran 5 tests" in project.manage("test")

    def test_of_members_pass_with_the_guides_handlers(self, serve: Serve) -> None:
        project = serve.project("docs/how-to/authentication.md")
        add_tests(project, "test_members.py", "test_live_members.py", "mysite/settings.py")
        said = project.manage("test")
        assert "Ran 5 tests" in said
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
