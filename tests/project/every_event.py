"""The events of django-socketio, for handlers that are registered for each."""

from socketio_server import events

EVERY_EVENT = (
    events.on_connect,
    events.on_subscribe,
    events.on_message,
    events.on_unsubscribe,
    events.on_error,
    events.on_disconnect,
    events.on_finish,
)
