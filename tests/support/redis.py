"""A Redis server for tests, which they may stop, start again and look into."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from redis import Redis, RedisError

from tests.support.tools import PATIENCE, free_port, require, wait_until


class RedisServer:
    """A running ``redis-server`` on a port of its own, without persistence.

    :param options: more of its command's own.
    """

    def __init__(self, *options: str) -> None:
        require("redis-server")
        self._options = options
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.client = Redis(port=self.port)
        """A connection for the test."""
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, at first or after its end."""
        command = ["redis-server", "--port", str(self.port), "--dir", str(self.folder)]
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *options, *self._options], stdout=log, stderr=log
            )
        wait_until(self._answers, "Redis to answer")

    def subscriptions(self, pattern: str = "*") -> set[str]:
        """Return the channels that somebody is subscribed to."""
        channels: Any = self.client.pubsub_channels(pattern)
        return {channel.decode() for channel in channels}

    def servers(self) -> int:
        """Return how many servers take part in the cluster."""
        found: Any = self.client.pubsub_numsub("socket.io-request#/#")
        return int(found[0][1])

    def shut_down(self) -> None:
        """End it; ``start`` brings it back."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it stand still: it accepts connections, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, and remove all that it has written."""
        self.client.close()
        self._process.kill()
        self._process.wait(PATIENCE)
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            return bool(self.client.ping())
        except RedisError:
            return False
