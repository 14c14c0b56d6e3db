"""Names with a meaning in Socket.IO or django-socketio."""

MAIN_NAMESPACE = "/"

MESSAGE = "message"
"""The event that ``send`` emits and ``on_message`` handles."""

SUBSCRIBE = "__subscribe__"

UNSUBSCRIBE = "__unsubscribe__"
"""The Socket.IO events by which clients join and leave channels (django-socketio's control
words)."""

SOCKET_ID_LENGTH = 20
"""Characters of a socket's public id, in Node and here."""

SOCKET_ID_HEAD = "-_"
"""The beginning of our sockets' ids, by which they are told from channels."""

RESERVED_EVENTS = frozenset(
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]
)
"""Event names that neither side may send (section Sending and receiving data)."""
