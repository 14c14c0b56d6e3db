"""Where the browser's scripts are among the static files.

The template tag writes them into pages, a system check looks whether they are there. The official
client is also served beside the handshake, where pages written for Node's server look for it. It is
put there when the package is built (``build_backend/``); the shim is ours and always there.
"""

CLIENT_BUNDLE = "socketio_server/socket.io.min.js"
"""The official ``socket.io-client``, a global ``io``; absent in a tree that was never installed."""

CLIENT_SHIM = "socketio_server/django-socketio.js"
"""What channels and pages written for django-socketio need besides; loaded after the bundle."""

CLIENT_FILES = {
    "socket.io.js": CLIENT_BUNDLE,
    "socket.io.min.js": CLIENT_BUNDLE,
    "socket.io.min.js.map": f"{CLIENT_BUNDLE}.map",
}
"""The official client as Node's server serves it, by names behind the URL of the handshake."""
