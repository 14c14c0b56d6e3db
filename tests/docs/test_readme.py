"""The README: its code is the demo's, and its two commands are what they are said to be."""

import re

import pytest

from socketio_server import __version__
from tests.docs.pages import page
from tests.support.server import ROOT

README = page("README.md")


class TestReadme:
    def test_the_handlers_that_it_shows_are_the_demos(self) -> None:
        (block,) = README.of("python")
        demo = (ROOT / "events.py").read_text(encoding="utf-8")
        assert demo.endswith('"""\n\n' + block.text)

    def test_two_commands_set_everything_up(self) -> None:
        assert [block.text for block in README.of("sh")] == ["make demo\n", "make test\n"]

    def test_the_screenshot_is_a_picture(self) -> None:
        (link,) = (link for link in README.links if link.endswith(".png"))
        assert (ROOT / link).read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize("tool", ["Chromium", "Node.js", "Redis"])
    def test_ci_installs_what_it_says_tests_need(self, tool: str) -> None:
        ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
        assert tool in README.path.read_text(encoding="utf-8")
        assert tool.removesuffix(".js").lower() in ci
        assert ci.endswith("\nmake lint versions test\n")

    def test_the_version_is_the_packages(self) -> None:
        (version,) = re.findall(r"Version ([\d.]+),", README.path.read_text(encoding="utf-8"))
        assert version == __version__
