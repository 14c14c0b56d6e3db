"""Names of the browser's scripts among the static files.

The template tag writes them into pages. The official client is also served beside the handshake,
where pages written for Node's server look for it. It is copied into the package by the build
(``build_backend/``), and a system check reports if it is missing. The shim is part of the source
tree.
"""

CLIENT_BUNDLE = "socketio_server/socket.io.min.js"
"""The official ``socket.io-client``, a global ``io``; missing in a tree that was never built."""

CLIENT_SHIM = "socketio_server/django-socketio.js"
"""Our client: channels, and the API of django-socketio's pages; loaded after the bundle."""

CLIENT_FILES = {
    "socket.io.js": CLIENT_BUNDLE,
    "socket.io.min.js": CLIENT_BUNDLE,
    "socket.io.min.js.map": f"{CLIENT_BUNDLE}.map",
}
"""The official client's files, by the names under which Node's server serves them."""
