"""django-socketio's mapping of the channels that clients of this process are on.

``CHANNELS`` maps channels to the session ids subscribed; for looking, not for writing.
"""

from socketio_server.sockets.registry import CHANNELS

__all__ = ["CHANNELS"]
