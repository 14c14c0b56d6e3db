"""A reader's project: what comes of doing what the pages say.

A block of a page that names a file goes to the end of that file; a ``diff`` block changes it. The
tutorial begins with an empty folder, and all other pages with the project that the tutorial made,
but for its ``events.py``.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.docs.pages import Block, Page
from tests.support.server import Configuration, Server
from tests.support.tools import PATIENCE, wait_until
from tests.support.wire import Polling

EVENTS = "events.py"


class Project:
    """A project in a folder.

    :param folder: where it is.
    :param library: a folder from which nothing but the package can be imported.
    """

    def __init__(self, folder: Path, library: Path) -> None:
        self.folder = folder
        self.library = library

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its processes."""
        return Configuration(self.folder, environment=self._environment).variables

    @property
    def _environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.library), "SECRET_KEY": "for the tests of the pages"}

    def copy(self, folder: Path) -> "Project":
        """Return a copy that has no handlers."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("__pycache__", EVENTS))
        return Project(folder, self.library)

    def follow(self, page: Page) -> None:
        """Do to the project's files what a page says, but not what it only shows again."""
        for block in page.blocks:
            if block.path is not None and "." in block.path and block.name is None:
                self.apply(block)

    def apply(self, block: Block) -> None:
        """Do to a file what a block says."""
        assert block.path is not None
        path = self.folder / block.path
        assert path.resolve().is_relative_to(self.folder.resolve()), block
        known = path.read_text(encoding="utf-8") if path.exists() else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            patched(known, block) if block.language == "diff" else known + block.text,
            encoding="utf-8",
        )

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace what depends on the machine in a file."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, (path, old)
        file.write_text(text.replace(old, new), encoding="utf-8")

    def django_admin(self, *arguments: str) -> str:
        """Run ``django-admin``; return its output."""
        return self.python("-m", "django", *arguments)

    def manage(self, *arguments: str) -> str:
        """Run ``manage.py``; return its output."""
        return self.python("manage.py", *arguments)

    def serve(self, port: int = 0, *, through: Sequence[str] = ()) -> Server:
        """Start its server, on a free port unless it has to be another's.

        :param through: Python's arguments before ``manage.py``.
        """
        return Server(
            Configuration(
                self.folder,
                arguments=("--noreload", f"127.0.0.1:{port}"),
                environment=self._environment,
                manage=self.folder / "manage.py",
                cwd=self.folder,
                through=through,
            )
        )

    def serve_by_gunicorn(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> Server:
        """Start its server under gunicorn."""
        return Server(
            Configuration(
                self.folder,
                environment={**self._environment, **(environment or {})},
                cwd=self.folder,
                gunicorn=arguments,
            )
        )

    def python(self, *arguments: str) -> str:
        """Run Python in its folder; return the output."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=3 * PATIENCE,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


def wait_for_all_workers(server: Server, arguments: Sequence[str]) -> set[str]:
    """Open sessions until all workers serve; return their names.

    gunicorn's worker loses a signal to end that comes in the moment in which it begins.
    """
    workers: set[str] = set()

    def are_all_there() -> bool:
        session = Polling(server.address)
        session.send("40")
        assert session.receive()[0].startswith("40")
        session.close()
        workers.add(session.handshake["sid"].partition(".")[0])
        return len(workers) == int(arguments[arguments.index("-w") + 1])

    wait_until(are_all_there, "all workers")
    return workers


def patched(text: str, block: Block) -> str:
    """Return a file's text as a ``diff`` block changes it: what it leaves and removes is there."""
    lines = block.text.splitlines(keepends=True)
    assert all(line[0] in " +-\n" for line in lines), f"{block}: lines begin with a space, + or -"
    before = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
    after = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
    assert text.count(before) == 1, f"{block} does not fit into\n{text}"
    return text.replace(before, after)
