"""Writes down what happens in handlers, for ``tests.support.journal`` to read."""

import json
import os
from typing import Any

from socketio_server.sockets.socket import Socket
from tests.project.settings import FOLDER


def record(event: str, handler: str, socket: Socket | None = None, **details: Any) -> None:
    """Append a line, whole or not at all."""
    line = json.dumps(
        {
            "event": event,
            "handler": handler,
            "socket": None if socket is None else socket.id,
            "process": os.getpid(),
            "details": details,
        }
    )
    with (FOLDER / "journal").open("ab", buffering=0) as journal:
        journal.write(line.encode() + b"\n")
