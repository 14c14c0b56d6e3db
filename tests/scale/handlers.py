"""What the clients of the tries ask for."""

from typing import Any

from django.http import HttpRequest

import socketio_server
from socketio_server import events
from socketio_server.sockets.socket import Socket
from tests.project.journal import record

Context = dict[str, Any]


@events.on("join")
def join(request: HttpRequest, socket: Socket, context: Context) -> bool:
    """Let a client hear the ticks."""
    return socket.subscribe("all")


@events.on("tick")
def tick(request: HttpRequest, socket: Socket, context: Context, number: int) -> None:
    """Send a number to all."""
    socketio_server.emit("tick", number, to="all")


@events.on("count")
def count(request: HttpRequest, socket: Socket, context: Context, number: int) -> int:
    """Answer with a number."""
    return number


@events.on_connect
def note_start(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Write down that a socket has connected."""
    record("connect", "scale", socket)


@events.on_finish
def note_end(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Write down that a socket's last handler runs."""
    record("finish", "scale", socket)
