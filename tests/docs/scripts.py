"""The pages' JavaScript, parsed and run by Node.js."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import pytest

from socketio_server.assets import CLIENT_SHIM
from tests.docs.pages import page
from tests.support.server import ROOT, Server
from tests.support.tools import PATIENCE, require

RUNNER = Path(__file__).with_name("page.mjs")
CLIENT = ROOT / "node_modules" / "socket.io-client"
SHIM = ROOT / "socketio_server" / "static" / CLIENT_SHIM

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def scripts_in(html: str) -> str:
    """Return the scripts that stand in a page."""
    return "\n".join(_SCRIPT.findall(html))


def parse(script: str) -> str:
    """Return what Node.js says against a script; nothing if it is well-formed."""
    require("node")
    return subprocess.run(
        ["node", "--input-type=module", "--check", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    ).stderr


class RunningScript:
    """A script that runs in Node.js as if it stood in a page of the server's."""

    def __init__(self, server: Server, script: str) -> None:
        require("node")
        require("socket.io-client (npm ci)", found=CLIENT.exists())
        self._lines: Queue[str | None] = Queue()
        self._process = subprocess.Popen(
            ["node", str(RUNNER), str(CLIENT), str(SHIM), server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdin is not None
        with self._process.stdin as stdin:
            stdin.write(script)
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, expected: Sequence[str]) -> None:
        """Wait until the script has logged these lines, in this order; there may be others."""
        logged: list[str] = []
        for line in expected:
            while self._next_line(logged) != line:
                pass

    def wait_for_all(self, expected: Sequence[str]) -> None:
        """Wait until the script has logged these lines, in any order; there may be others."""
        logged: list[str] = []
        while not set(expected) <= set(logged):
            self._next_line(logged)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)

    def _next_line(self, logged: list[str]) -> str:
        """Wait for a line; add it to those before."""
        try:
            line = self._lines.get(timeout=PATIENCE)
        except Empty:
            line = None
        if line is None:
            pytest.fail("the script logged no more than this:\n" + "\n".join(logged))
        logged.append(line)
        return line

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


def script_of(name: str) -> str:
    """Return all of a guide's scripts, as if they stood in one page."""
    return "".join(block.text for block in page(name).of("js"))
