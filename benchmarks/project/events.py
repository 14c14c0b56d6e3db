"""The handlers that are measured: what the peers do as well, with Django's ORM on top."""

from typing import Any

from django.http import HttpRequest

from benchmarks.project.models import Entry
from socketio_server import events
from socketio_server.sockets.socket import Socket


@events.on_message
def answer(
    request: HttpRequest, socket: Socket, context: dict[str, Any], message: dict[str, Any]
) -> None:
    """Send back what came; ``orm``: with the title of an entry; ``pour``: send much instead."""
    if message["action"] == "pour":
        _pour(socket, message)
        return
    if message["action"] == "orm":
        message["title"] = Entry.objects.get(pk=1).title
    socket.send(message)


@events.on_message(channel="^room-")
def tell_the_room(
    request: HttpRequest, socket: Socket, context: dict[str, Any], message: dict[str, Any]
) -> None:
    """Send to everybody on the channel what one of them sent."""
    socket.send_and_broadcast_channel(message, "room-1")


def _pour(socket: Socket, message: dict[str, Any]) -> None:
    """Send many large messages, to this client or to a room."""
    text = "x" * message["size"]
    for _ in range(message["times"]):
        if message["room"] is None:
            socket.send(text)
        else:
            socket.broadcast_channel(text, message["room"])
