"""The decorators that register handlers, to be imported by an ``events.py``.

    from socketio_server import events

    @events.on_message(channel="^room-")
    def message(request, socket, context, message):
        socket.send_and_broadcast_channel(message)

The seven events, their names and their rules for channels are django-socketio's; ``authorize``,
``on``, namespaces and typed messages are new.
"""

from socketio_server.exceptions import EventError, Reject, ValidationError
from socketio_server.registry.events import (
    Event,
    Registration,
    Registry,
    authorize,
    on,
    on_cluster,
    on_connect,
    on_disconnect,
    on_error,
    on_finish,
    on_message,
    on_subscribe,
    on_unsubscribe,
)
from socketio_server.sockets.targets import EVERYONE, OTHERS, SocketSession

__all__ = [
    "EVERYONE",
    "OTHERS",
    "Event",
    "EventError",
    "Registration",
    "Registry",
    "Reject",
    "SocketSession",
    "ValidationError",
    "authorize",
    "on",
    "on_cluster",
    "on_connect",
    "on_disconnect",
    "on_error",
    "on_finish",
    "on_message",
    "on_subscribe",
    "on_unsubscribe",
]
