"""A Socket.IO server inside a Django project.

The functions here reach clients from outside of a handler: from views, signals, management
commands. They are django-socketio's. Handlers are registered with the decorators of
``socketio_server.events``.
"""

from typing import Any

from socketio_server.brokers.base import Envelope
from socketio_server.channels import MAIN_NAMESPACE
from socketio_server.clients import CLIENTS
from socketio_server.exceptions import NoSocket
from socketio_server.sockets import MESSAGE

__all__ = ["NoSocket", "__version__", "broadcast", "broadcast_channel", "send"]

__version__ = "0.1.0"


def send(session_id: str, message: Any, *, namespace: str = MAIN_NAMESPACE) -> None:
    """Send a message to the client of one session.

    :param session_id: the connection's public id: ``socket.session.session_id``.
    :raises NoSocket: if there is no such client.
    :raises TypeError: if the message can't be encoded.
    """
    socket = CLIENTS.find(session_id, namespace)
    if socket is None:
        raise NoSocket(f"There is no socket with the session ID: {session_id}")
    socket.send(message)


def broadcast(message: Any, *, namespace: str = MAIN_NAMESPACE) -> None:
    """Send a message to every client.

    :raises NoSocket: if there are none.
    :raises TypeError: if the message can't be encoded.
    """
    if not CLIENTS.members(namespace):
        raise NoSocket("There are no clients.")
    _publish(message, namespace, None)


def broadcast_channel(message: Any, channel: str, *, namespace: str = MAIN_NAMESPACE) -> None:
    """Send a message to every client on a channel.

    :raises NoSocket: if there are none.
    :raises TypeError: if the message can't be encoded.
    """
    if not CLIENTS.channels.subscribers(namespace, channel):
        raise NoSocket(f"There are no clients on the channel: {channel}")
    _publish(message, namespace, (channel,))


def _publish(message: Any, namespace: str, channels: tuple[str, ...] | None) -> None:
    CLIENTS.broker.publish(
        Envelope(namespace=namespace, event_name=MESSAGE, args=(message,), channels=channels)
    )
