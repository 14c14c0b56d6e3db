"""The README: its code is the demo's, and its commands do what they are said to do."""

import os
import re
import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from socketio_server import __version__
from tests.docs.pages import page
from tests.support.server import ROOT
from tests.support.tools import free_port

README = page("README.md")


class TestReadme:
    def test_the_handlers_that_it_shows_are_the_demos(self) -> None:
        (block,) = README.of("python")
        demo = (ROOT / "events.py").read_text(encoding="utf-8")
        assert demo.endswith('"""\n\n' + block.text)

    def test_two_commands_set_everything_up(self) -> None:
        demo, _, test = (block.text for block in README.of("sh"))
        assert (demo, test) == ("make demo\n", "make test\n")

    def test_the_demo_is_started_by_the_command_that_it_shows(self, tmp_path: Path) -> None:
        """In a folder with the demo and a virtual environment, as ``make demo`` leaves it."""
        _, block, _ = README.of("sh")
        for name in ("manage.py", "events.py", "mysite", "templates"):
            (tmp_path / name).symlink_to(ROOT / name)
        (tmp_path / ".venv").symlink_to(sys.prefix)
        shell = subprocess.Popen(
            ["sh", "-ec", block.text.replace("9000", str(free_port()))],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with shell:
            assert shell.stdout is not None
            lines = list(takewhile(lambda line: not line.startswith("Quit"), shell.stdout))
            os.killpg(shell.pid, signal.SIGINT)
        assert lines[-1].startswith("Starting server at http://localhost:"), "".join(lines)

    def test_the_screenshot_is_a_picture(self) -> None:
        (link,) = (link for link in README.links if link.endswith(".png"))
        assert (ROOT / link).read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize("tool", ["Chromium", "Node.js", "Redis"])
    def test_ci_installs_what_it_says_tests_need(self, tool: str) -> None:
        ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
        assert tool in README.path.read_text(encoding="utf-8")
        assert tool.removesuffix(".js").lower() in ci
        assert ci.endswith("\nmake lint test workers versions\n")

    def test_the_version_is_the_packages(self) -> None:
        (version,) = re.findall(r"Version ([\d.]+),", README.path.read_text(encoding="utf-8"))
        assert version == __version__
