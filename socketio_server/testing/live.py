"""The real server for tests with browsers, in a process of its own on the test's database.

``LiveServer`` starts and stops the process, whose program is ``server_process``. What the process
must know of the tests (their databases, settings and import path) is written to its stdin, which
stays open: when the tests end, however they do, the process reads the end of it, and stops.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from subprocess import PIPE, TimeoutExpired
from typing import Any, ClassVar

from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import TransactionTestCase

from socketio_server import conf
from socketio_server.serving import outside

STOP_MARGIN = 10.0
"""Seconds that the process may take beyond ``drain_timeout`` before it is killed."""

_COMMAND = [
    sys.executable,
    *("-P", "-m", "gevent.monkey"),
    *("--module", "socketio_server.testing.server_process"),
]


class LiveServer:
    """A server that runs until ``stop()``, on a port that the system chooses.

    :param host: the name or address to listen on.
    :param databases: aliases of the test's databases; the server has no others.
    :param server_settings: Django settings of the server's process, besides those of the project.
    :raises ImproperlyConfigured: if a database lives in the memory of the test's process.
    :raises RuntimeError: if the process ends before it listens; its stderr says why.
    """

    def __init__(
        self,
        host: str = "localhost",
        *,
        databases: Iterable[str] = ("default",),
        server_settings: Mapping[str, Any] | None = None,
    ) -> None:
        overrides = {
            "ALLOWED_HOSTS": [*settings.ALLOWED_HOSTS, host],
            "SOCKETIO_PUBLIC_URL": None,  # or the tests' pages would go to the public site
            **(server_settings or {}),
        }
        order = pickle.dumps((host, settings.DEBUG, _names_of(databases), overrides))
        self._process = subprocess.Popen(_COMMAND, stdin=PIPE, stdout=PIPE, env=_environment())
        outside.live_servers += 1
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):  # it has ended, and there is no line to read
            stdin.write(order)
            stdin.flush()
        port = stdout.readline()
        if not port:
            self.stop()
            raise RuntimeError("The live server did not start: the lines above say why.")
        self.url = f"http://{host}:{int(port)}"
        """Scheme, host and port."""

    def __str__(self) -> str:
        return self.url

    def stop(self) -> None:
        """Say goodbye to the clients, run their last handlers, and end the process."""
        outside.live_servers -= 1
        try:
            self._process.communicate(timeout=conf.option("drain_timeout") + STOP_MARGIN)
        except TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def _names_of(databases: Iterable[str]) -> dict[str, str]:
    """Return the names of the test's databases, by alias.

    :raises ImproperlyConfigured: if another process can't open one.
    """
    names = {}
    for alias in databases:
        connection: Any = connections[alias]
        if connection.vendor == "sqlite" and connection.is_in_memory_db():
            raise ImproperlyConfigured(
                f"The test database {alias!r} is in this process's memory, where the live server "
                f'can\'t read it: set DATABASES[{alias!r}]["TEST"] = {{"NAME": BASE_DIR / '
                '"test.sqlite3"}.'
            )
        names[alias] = str(connection.settings_dict["NAME"])
    return names


def _environment() -> dict[str, str]:
    """Return the environment in which the process finds the project as the tests do."""
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    return {**os.environ, "PYTHONPATH": path, ENVIRONMENT_VARIABLE: settings.SETTINGS_MODULE}


class SocketIOLiveServerTestCase(TransactionTestCase):
    """Django's ``LiveServerTestCase``, with the server that serves Socket.IO.

    The server runs in a process of its own, once for each class, and serves pages, static files and
    Socket.IO. It has its own memory: what a test mocks or overrides is not so there.
    """

    host: ClassVar[str] = "localhost"
    """Where the server listens, and part of ``live_server_url``."""

    server_settings: ClassVar[Mapping[str, Any]] = {}
    """Settings of the server's process, besides those of the project."""

    live_server_url: ClassVar[str]
    """Where the site is, without a slash at the end."""

    @classmethod
    def setUpClass(cls) -> None:
        """Start the server.

        :raises ImproperlyConfigured: if a database of the test is SQLite's in memory.
        """
        super().setUpClass()
        server = LiveServer(cls.host, databases=cls.databases, server_settings=cls.server_settings)
        cls.addClassCleanup(server.stop)
        cls.live_server_url = server.url
