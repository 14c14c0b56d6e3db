"""Where things are, and how the programs here talk."""

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / "peers"
PROJECT = HERE / "project" / "manage.py"
IMAGES = ROOT / "docs" / "images"
PERFORMANCE = ROOT / "docs" / "performance.md"


@dataclass(frozen=True)
class Workshop:
    """The folder of all that is built and measured; git ignores the default one.

    :param folder: where it is.
    """

    folder: Path

    @property
    def programs(self) -> Path:
        """What gcc built."""
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        """The peers' Python, which also draws."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def node(self) -> Path:
        """The folder with the peers' npm packages."""
        return self.folder / "node"

    @property
    def logs(self) -> Path:
        """What the servers said."""
        return self.folder / "logs"

    @property
    def database(self) -> Path:
        """Our project's SQLite file."""
        return self.folder / "project.sqlite3"

    @property
    def plots(self) -> Path:
        """The plots of the last run."""
        return self.folder / "plots"

    @property
    def results(self) -> Path:
        """What was measured, as JSON lines."""
        return self.folder / "results.jsonl"


def say(text: str) -> None:
    """Write a line for whoever started this."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
