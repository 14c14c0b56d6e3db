"""A Socket.IO server inside a Django project.

The functions here reach clients from outside of a handler: from views, signals, management
commands. They are django-socketio's. Handlers are registered with the decorators of
``socketio_server.events``.
"""

from collections.abc import Collection
from typing import Any

from socketio_server.cluster.base import Envelope
from socketio_server.exceptions import NoSocket
from socketio_server.net.statistics import Snapshot
from socketio_server.protocol.names import MAIN_NAMESPACE, MESSAGE
from socketio_server.serving import current
from socketio_server.sockets.acknowledgements import Answers
from socketio_server.sockets.registry import CLIENTS
from socketio_server.sockets.targets import EVERYONE, Target, channels_of, check_event_name

__all__ = [
    "EVERYONE",
    "Answers",
    "NoSocket",
    "__version__",
    "broadcast",
    "broadcast_channel",
    "call",
    "emit",
    "send",
    "stats",
]

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


def emit(
    event: str,
    *args: Any,
    to: Target = EVERYONE,
    skip: Collection[str] = (),
    namespace: str = MAIN_NAMESPACE,
    volatile: bool = False,
) -> None:
    """Send a custom event to clients; none need be there to get it.

    :param to: a channel, several (each client gets it once), or ``EVERYONE`` in the namespace.
    :param skip: session ids of clients that don't get it.
    :param volatile: whether clients that can't take it at once go without.
    :raises TypeError: if an argument can't be encoded.
    :raises ValueError: if the event's name is reserved.
    """
    check_event_name(event)
    CLIENTS.broker.publish(
        Envelope(
            namespace=namespace,
            event_name=event,
            args=args,
            channels=channels_of(to),
            skip=frozenset(skip),
            volatile=volatile,
        )
    )


def call(
    event: str,
    *args: Any,
    to: Target = EVERYONE,
    skip: Collection[str] = (),
    namespace: str = MAIN_NAMESPACE,
    timeout: float | None = None,
) -> Answers:
    """Send a custom event to clients of this process, and wait for all their acknowledgements.

    :param timeout: seconds to wait; ``None``: until all have answered or gone.
    :return: the answers by session id, and the ids of those that did not answer.
    :raises TypeError: if an argument can't be encoded.
    :raises ValueError: if the event's name is reserved.
    """
    check_event_name(event)
    return CLIENTS.call(
        namespace, event, args, channels=channels_of(to), skip=skip, timeout=timeout
    )


def stats() -> Snapshot:
    """Return what the server of this process holds, and has counted since its start.

    :raises RuntimeError: if no server runs in this process.
    """
    if current.server is None:
        raise RuntimeError("No Socket.IO server runs in this process.")
    return current.server.snapshot()


def _publish(message: Any, namespace: str, channels: tuple[str, ...] | None) -> None:
    CLIENTS.broker.publish(
        Envelope(namespace=namespace, event_name=MESSAGE, args=(message,), channels=channels)
    )
