"""The servers behind the pages, and what their handlers saw."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.browser.window import Window
from tests.support.server import ROOT, Configuration, Server
from tests.support.tools import PATIENCE, wait_until

DEMO = ROOT / "manage.py"
"""The demo's command line."""

PAGES = ROOT / "tests" / "browser" / "pages" / "manage.py"
"""The command line of the project with the other pages."""


def connections(server: Server, window: Window) -> list[list[tuple[Any, ...]]]:
    """Return what a window's connections did, each a list of events and their arguments.

    As the handlers in ``tests.browser.pages.handlers`` saw it.
    """
    found: dict[str | None, list[tuple[Any, ...]]] = {}
    for entry in server.journal.entries(handler=window.name):
        if entry.event == "connect":
            found[entry.socket] = []
        else:
            found[entry.socket].append((entry.event, *entry.details["args"]))
    return list(found.values())


@contextmanager
def django_server(configuration: Configuration, port: int) -> Iterator[None]:
    """Run Django's own ``runserver``, which serves pages and no Socket.IO.

    :param configuration: its arguments are for our server, and left out.
    """
    address = ("127.0.0.1", port)
    process = subprocess.Popen(
        [sys.executable, str(configuration.manage), "runserver", "--noreload", f"127.0.0.1:{port}"],
        cwd=configuration.cwd,
        env=configuration.variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        assert process.poll() is None, "runserver ended"
        with socket.socket() as probe:
            return probe.connect_ex(address) == 0

    try:
        wait_until(answers, "runserver")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)
