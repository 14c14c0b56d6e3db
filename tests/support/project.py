"""Projects that tests make themselves: of a few files, the rest is ``tests.project``'s."""

from pathlib import Path

MANAGE = """\
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
    execute_from_command_line(sys.argv)
"""

SETTINGS = """\
from tests.project.settings import *

del SOCKETIO_EVENTS
"""


def make_project(folder: Path, files: dict[str, str], *, settings: str = "") -> Path:
    """Write a project into a folder; return its ``manage.py``.

    :param files: the contents of its further files, by their paths.
    :param settings: further lines of its settings.
    """
    all_files = {"manage.py": MANAGE, "site_settings.py": SETTINGS + settings, **files}
    for name, text in all_files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "manage.py"
