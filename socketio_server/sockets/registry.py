"""The clients of this process, and the channels that they are on: one of each per process.

Both are django-socketio's mappings, for looking and not for writing.
"""

from socketio_server.sockets.clients import Clients
from socketio_server.sockets.socket import Socket
from socketio_server.sockets.subscriptions import Channels

CHANNELS = Channels()
"""Maps channels to the session ids subscribed."""

CLIENTS: Clients[Socket] = Clients(CHANNELS)
"""Maps session ids to ``(request, socket, context)``."""
