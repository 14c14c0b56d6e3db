"""django-socketio's mapping of the channels that clients of this process are on.

``CHANNELS`` maps channels to the session ids of their subscribers; it is read-only.
"""

from socketio_server.sockets.this_process import CHANNELS

__all__ = ["CHANNELS"]
