"""A Socket.IO server inside a Django project.

These functions send to clients from outside of handlers, for instance from views and signals.
``send``, ``broadcast`` and ``broadcast_channel`` are django-socketio's. Register handlers with the
decorators of ``socketio_server.events``.
"""

from typing import Any

from socketio_server.exceptions import NoServer, NoSocket
from socketio_server.net.statistics import Snapshot
from socketio_server.protocol.names import MAIN_NAMESPACE, MESSAGE
from socketio_server.serving import current
from socketio_server.sockets.acknowledgements import Answers
from socketio_server.sockets.socket import ask, publish
from socketio_server.sockets.targets import (
    EVERYONE,
    OTHERS,
    Channels,
    Skip,
    SocketSession,
    Target,
    check_channel,
    check_event_name,
    check_namespace,
    check_timeout,
    id_of,
    select,
)
from socketio_server.sockets.this_process import CLIENTS

__all__ = [
    "EVERYONE",
    "OTHERS",
    "Answers",
    "NoServer",
    "NoSocket",
    "SocketSession",
    "__version__",
    "broadcast",
    "broadcast_channel",
    "call",
    "emit",
    "send",
    "stats",
]

__version__ = "0.1.0"


def send(session_id: str | SocketSession, message: Any, *, namespace: str = MAIN_NAMESPACE) -> None:
    """Send a message to the client of one session.

    :param session_id: the connection's public id: ``socket.session.session_id``, or
        ``socket.session`` itself.
    :raises NoSocket: if there is no such client, unless a broker may know it; ``NoServer`` if no
        server runs in this process.
    :raises TypeError: if the id is no string, or the message can't be encoded.
    :raises ValueError: if the namespace does not begin with a slash.
    """
    check_namespace(namespace)
    wanted = id_of(session_id, "session_id")
    if CLIENTS.find(wanted, namespace) is None and not CLIENTS.broker.reaches_others:
        raise _no_socket(f"There is no socket with the session ID: {wanted}")
    publish(CLIENTS, namespace, MESSAGE, (message,), select(SocketSession(wanted)))


def broadcast(message: Any, *, namespace: str = MAIN_NAMESPACE) -> None:
    """Send a message to every client.

    :raises NoSocket: if there are none, without a broker; ``NoServer`` if no server runs in this
        process.
    :raises TypeError: if the message can't be encoded.
    :raises ValueError: if the namespace does not begin with a slash.
    """
    check_namespace(namespace)
    if not CLIENTS.members(namespace) and not CLIENTS.broker.reaches_others:
        raise _no_socket("There are no clients.")
    publish(CLIENTS, namespace, MESSAGE, (message,), select(EVERYONE))


def broadcast_channel(message: Any, channel: str, *, namespace: str = MAIN_NAMESPACE) -> None:
    """Send a message to every client on a channel.

    :raises NoSocket: if there are none, without a broker; ``NoServer`` if no server runs in this
        process.
    :raises TypeError: if the channel is no string, or the message can't be encoded.
    :raises ValueError: if the channel's name is empty, or the namespace does not begin with a
        slash.
    """
    check_namespace(namespace)
    check_channel(channel)
    subscribers = CLIENTS.channels.subscribers(namespace, channel)
    if not subscribers and not CLIENTS.broker.reaches_others:
        raise _no_socket(f"There are no clients on the channel: {channel}")
    publish(CLIENTS, namespace, MESSAGE, (message,), select(channel))


def emit(
    event: str,
    *args: Any,
    to: Target = EVERYONE,
    skip: Skip = (),
    skip_channels: Channels = (),
    namespace: str = MAIN_NAMESPACE,
    volatile: bool = False,
) -> None:
    """Send a custom event to clients; without any client it does nothing.

    :param to: a channel, several (each client gets it once), ``EVERYONE`` in the namespace, or one
        client by its ``socket.session``.
    :param skip: session ids, or ``socket.session``, of clients that don't get it: one or several.
    :param skip_channels: one channel or several, whose subscribers don't get it.
    :param volatile: whether it is dropped for clients that can't take it at once.
    :raises TypeError: if an argument is of a wrong type, or can't be encoded.
    :raises ValueError: if the event's name is reserved, a channel's name is empty, or the namespace
        does not begin with a slash.
    """
    check_event_name(event)
    check_namespace(namespace)
    selection = select(to, skip, skip_channels)
    publish(CLIENTS, namespace, event, args, selection, volatile=volatile)


def call(
    event: str,
    *args: Any,
    to: Target = EVERYONE,
    skip: Skip = (),
    skip_channels: Channels = (),
    namespace: str = MAIN_NAMESPACE,
    timeout: float | None = None,
) -> Answers:
    """Send a custom event to clients of this process, and wait for all their acknowledgements.

    :param to: the recipients; ``to``, ``skip`` and ``skip_channels`` are as in ``emit``.
    :param timeout: seconds to wait; ``None``: until all have answered or disconnected.
    :return: the answers by session id, and the ids of those that did not answer.
    :raises TypeError: if an argument is of a wrong type, or can't be encoded.
    :raises ValueError: as ``emit``, and if the timeout is negative.
    """
    check_event_name(event)
    check_namespace(namespace)
    check_timeout(timeout)
    return ask(CLIENTS, namespace, event, args, select(to, skip, skip_channels), timeout)


def stats() -> Snapshot:
    """Return numbers of the server in this process: its objects, and its counters since its start.

    :raises RuntimeError: if no server runs in this process.
    """
    if current.server is None:
        raise RuntimeError("No Socket.IO server runs in this process.")
    return current.server.snapshot()


def _no_socket(why: str) -> NoSocket:
    """Return the error of a message without a recipient."""
    if current.server is None and not CLIENTS:
        return NoServer(
            f"{why.removesuffix('.')}. No Socket.IO server runs in this process, so no client can "
            "be reached from it: call this in the process of `python manage.py "
            "runserver_socketio`, in a view or a handler for instance."
        )
    return NoSocket(why)
