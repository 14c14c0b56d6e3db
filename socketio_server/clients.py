"""django-socketio's mapping of the clients that are connected to this process.

``CLIENTS`` maps session ids to ``(request, socket, context)``; for looking, not for writing.
"""

from socketio_server.sockets.registry import CLIENTS

__all__ = ["CLIENTS"]
