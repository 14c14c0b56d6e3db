"""What the tests of the command's processes share."""

import sys
from pathlib import Path

import pytest

import __main__


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that this process seems to have been started with, in the working directory."""
    made = tmp_path / "manage.py"
    made.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(made)])
    monkeypatch.setattr(__main__, "__spec__", None)
    return made
