"""A Redis that a Sentinel watches over, and its replica."""

import subprocess
from typing import Any, Self

from redis import Redis, RedisError

from tests.support.redis import RedisServer
from tests.support.tools import PATIENCE, free_port, wait_until

SERVICE = "main"
PASSWORD = "for Sentinels"

CONFIGURATION = f"""
bind 127.0.0.1
port {{port}}
dir {{folder}}
requirepass "{PASSWORD}"
sentinel monitor {SERVICE} 127.0.0.1 {{master}} 1
sentinel down-after-milliseconds {SERVICE} 2000
sentinel failover-timeout {SERVICE} 3000
"""

FAILOVER = 2 * PATIENCE
"""Seconds that the Sentinel may take: it tries again if the replica did not answer in time."""


class Sentinel:
    """A Sentinel with a password, a master, and the replica that takes its place when it ends."""

    def __init__(self) -> None:
        self.master = RedisServer("--repl-diskless-sync-delay", "0")
        self.replica = RedisServer("--replicaof", "127.0.0.1", str(self.master.port))
        wait_until(self._is_replicated, "the replica to be one")
        folder = self.master.folder
        self.port = free_port()
        file = folder / "sentinel.conf"
        file.write_text(
            CONFIGURATION.format(port=self.port, folder=folder, master=self.master.port)
        )
        with (folder / "sentinel.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["redis-server", str(file), "--sentinel"], stdout=log, stderr=log
            )
        self.client = Redis(port=self.port, password=PASSWORD, decode_responses=True)

    def __enter__(self) -> Self:
        try:
            wait_until(self._knows_replica, "the Sentinel to know the replica")
        except AssertionError:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it and both servers."""
        self.client.close()
        self._process.kill()
        self._process.wait(PATIENCE)
        self.replica.stop()
        self.master.stop()

    @property
    def url(self) -> str:
        """The URL that leads to the master, behind a Sentinel that does not exist."""
        sentinels = f"127.0.0.1:{free_port()},127.0.0.1:{self.port}"
        password = PASSWORD.replace(" ", "%20")
        return f"redis+sentinel://{sentinels}/{SERVICE}/0?sentinel_password={password}"

    def fail_over(self) -> None:
        """End the master; return when the Sentinel has named the other one."""
        self.master.shut_down()
        wait_until(self._names_replica, "another master", FAILOVER)

    def _names_replica(self) -> bool:
        address: Any = self.client.sentinel_get_master_addr_by_name(SERVICE)
        return int(address[1]) == self.replica.port

    def _is_replicated(self) -> bool:
        return bool(self.replica.client.info("replication")["master_link_status"] == "up")

    def _knows_replica(self) -> bool:
        try:
            found = self.client.sentinel_slaves(SERVICE)
        except RedisError:
            return False
        return any(replica["master-link-status"] == "ok" for replica in found)
