"""Writes all seven events into the journal, as handlers of every kind see them.

``bare`` and ``called`` are for no channel, ``room`` for those that begin with ``room-``; they are
registered in this order.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

from socketio_server import events
from socketio_server.channels import CHANNELS
from socketio_server.clients import CLIENTS
from socketio_server.sockets.socket import Socket
from tests.project.every_event import EVERY_EVENT
from tests.project.journal import record

Context = dict[str, Any]


def recorder(event: events.Event, label: str) -> Callable[..., None]:
    """Return a handler that writes what it sees."""

    def handle(request: HttpRequest, socket: Socket, context: Context, *args: Any) -> None:
        if args and isinstance(args[0], dict) and "do" in args[0]:
            return  # a command to other handlers
        record(
            event.name,
            label,
            socket,
            args=[repr(arg) if isinstance(arg, Exception) else arg for arg in args],
            channels=socket.channels,
            close_reason=socket.close_reason,
            connected=socket.connected(),
            is_client=socket.id in CLIENTS,
            subscribed_to=[name for name in CHANNELS if socket.id in CHANNELS[name]],
            context=dict(context),
            context_identity=id(context),
            transport=socket.transport,
        )

    return handle


for event in EVERY_EVENT:
    event(recorder(event, "bare"))
    event()(recorder(event, "called"))
    if event is not events.on_connect:
        event(channel="^room-")(recorder(event, "room"))
