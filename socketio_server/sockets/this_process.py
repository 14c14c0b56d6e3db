"""The registries of this process: its clients, and the channels that they are on.

Both are django-socketio's mappings, and read-only for projects.
"""

from socketio_server.sockets.clients import Clients
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.subscriptions import Channels

CHANNELS = Channels()
"""Maps channels to the session ids of their subscribers."""

CLIENTS: Clients[Socket] = Clients(CHANNELS)
"""Maps session ids to ``(request, socket, context)``."""
