"""A PostgreSQL server for tests: a cluster of its own in a folder, reached by a Unix socket."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from glob import glob
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from tests.support.tools import PATIENCE, wait_until

USER = "tests"
UNPRIVILEGED = "nobody"
"""Who runs the server where the tests run as root, which PostgreSQL refuses to."""


def find_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, which Debian keeps out of the ``PATH``."""
    found = shutil.which("initdb") or next(
        iter(sorted(glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)), None
    )
    return None if found is None else Path(found).resolve().parent


class PostgreSQL:
    """A running server.

    :param programs: the folder of its programs.
    """

    def __init__(self, programs: Path) -> None:
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._numbers = itertools.count()
        self.folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # not below pytest's, root's own
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        data = self.folder / "data"
        initdb = [programs / "initdb", "-D", data, "-U", USER, "--auth=trust", "--no-sync"]
        self._start([*initdb, "--encoding=UTF8", "--locale=C"]).wait(PATIENCE * 3)
        settings = {"listen_addresses": "", "unix_socket_directories": self.folder, "fsync": "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._process = self._start([programs / "postgres", "-D", data, *options])
        wait_until(self._answers, "PostgreSQL to answer", timeout=PATIENCE * 3)

    def query(self, sql: str, *args: Any) -> list[Any]:
        """Return the first column of what a query finds."""
        with self._connect() as connection:
            return [row[0] for row in connection.execute(SQL(sql), args)]

    def create(self, template: str = "template1") -> str:
        """Make a database like another; return its name."""
        name = f"tests{next(self._numbers)}"
        with self._connect() as connection:
            statement = SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(Identifier(name), Identifier(template)))
        return name

    def settings(self, name: str, **more: Any) -> dict[str, Any]:
        """Return Django's settings for a database of the server."""
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": USER,
            "HOST": str(self.folder),
            **more,
        }
        return {"DATABASES": {"default": database}}

    def backends(self, name: str) -> list[int]:
        """Return the ids of the processes that serve connections to a database."""
        return self.query("SELECT pid FROM pg_stat_activity WHERE datname = %s", name)

    def stop(self) -> None:
        """Stop it, and remove all that it has written."""
        self._process.send_signal(signal.SIGINT)  # "fast shutdown"
        self._process.wait(PATIENCE)
        shutil.rmtree(self.folder)

    def _start(self, command: list[Any]) -> "subprocess.Popen[bytes]":
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                user=self._user,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(host=str(self.folder), user=USER, dbname="postgres", autocommit=True)
