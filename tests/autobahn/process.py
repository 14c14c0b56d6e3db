"""Runs the echo server as a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.server import ROOT, Address


@contextmanager
def echo_server(*, deflates: bool) -> Iterator[Address]:
    """Run the server; yield its address.

    :param deflates: whether it speaks permessage-deflate.
    """
    command = [sys.executable, "-m", "gevent.monkey", "--module", "tests.autobahn.echo"]
    with subprocess.Popen(
        [*command, *(["deflate"] if deflates else [])], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield "127.0.0.1", int(process.stdout.readline())
        finally:
            process.kill()
