"""Names with a meaning in Socket.IO or django-socketio."""

import re

MAIN_NAMESPACE = "/"

MESSAGE = "message"
"""The event that ``send`` emits and ``on_message`` handles."""

SUBSCRIBE = "__subscribe__"

UNSUBSCRIBE = "__unsubscribe__"
"""The Socket.IO events by which clients join and leave channels (django-socketio's control
words)."""

UNSUBSCRIBED = "__unsubscribed__"
"""Tells a client that the server took it off a channel: the channel, and the reason."""

DISCONNECTED = "__disconnected__"
"""Tells a client why the server is about to disconnect it."""

SOCKET_ID_LENGTH = 20
"""Characters of a socket's public id, in Node and here."""

SOCKET_ID_HEAD = "-_"
"""The beginning of our sockets' ids, by which they are told from channels."""

_SOCKET_ID = re.compile(f"[A-Za-z0-9_-]{{{SOCKET_ID_LENGTH}}}")


def may_be_socket_id(name: str, *, of_node: bool) -> bool:
    """Return whether a name could be the id of a socket.

    :param of_node: whether it could be one of a server of Node's, too.
    """
    head = "" if of_node else SOCKET_ID_HEAD
    return name.startswith(head) and _SOCKET_ID.fullmatch(name) is not None


RESERVED_HEAD = "~"
"""The beginning of rooms of our own, which are no channels: nobody may subscribe to one."""

USER_ROOM_HEAD = f"{RESERVED_HEAD}user:"
"""The beginning of users' rooms."""

RESERVED_EVENTS = frozenset(
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]
)
"""Event names that neither side may send (section Sending and receiving data)."""
