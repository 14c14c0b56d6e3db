"""Servers as several processes with a Redis between them.

Where a scenario has to know which process a client is at, each process listens on a port of its
own, and the load generator's clients take turns. Else they are workers of gunicorn.
"""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.servers import HOST, SERVERS, Server

REDIS = Server(
    title="Redis",
    command=(
        "redis-server",
        "--port",
        "{port}",
        "--bind",
        HOST,
        "--save",
        "",
        "--appendonly",
        "no",
    ),
)
LABELS = {"workers": ("ours", "alone"), "moved": ("ours",)}
"""Who is measured in scenarios that are not for both servers, ours and Node.js."""


def _gunicorn(workers: int) -> Server:
    worker = "socketio_server.gunicorn.Worker"
    return Server(
        title=f"gunicorn, workers: {workers}",
        command=(
            *(sys.executable, "-m", "gunicorn", "benchmarks.project.wsgi", "-k", worker),
            *("-w", str(workers), "-b", f"{HOST}:{{port}}"),
        ),
    )


def servers_of(scenario: str, label: str) -> Sequence[Server]:
    """Return what is started for a scenario, each on a port of its own."""
    if scenario == "moved" or (scenario, label) == ("workers", "ours"):
        return [_gunicorn(2)]
    if label == "alone":
        return [_gunicorn(1)]
    return [SERVERS[label]] * 2


def add_costs(found: dict[str, Any]) -> None:
    """Add what a message costs each process: that of its sender, the other one, and Redis."""
    sender, receiver, redis = found["cpu_s_by_pid"]
    found["cpu_us_per_op"] = (sender + receiver) * 1e6 / max(1, found["deliveries"])
    messages = max(1, found["completed"])
    found["sender_us"] = sender * 1e6 / messages
    found["receiver_us"] = receiver * 1e6 / messages
    found["redis_us"] = redis * 1e6 / messages
