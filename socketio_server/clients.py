"""django-socketio's mapping of the clients that are connected to this process.

``CLIENTS`` maps session ids to ``(request, socket, context)``; it is read-only.
"""

from socketio_server.sockets.this_process import CLIENTS

__all__ = ["CLIENTS"]
