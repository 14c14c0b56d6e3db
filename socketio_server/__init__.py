"""A Socket.IO server inside a Django project.

These functions send to clients from outside of handlers, for instance from views and signals.
``send``, ``broadcast`` and ``broadcast_channel`` are django-socketio's. Register handlers with the
decorators of ``socketio_server.events``.
"""

import logging
from typing import Any, Literal

from socketio_server.exceptions import BrokerUnavailable, NoServer, NoSocket
from socketio_server.net.statistics import Snapshot
from socketio_server.protocol.names import MAIN_NAMESPACE, MESSAGE
from socketio_server.serving import current, outside
from socketio_server.sockets.acknowledgements import Answers
from socketio_server.sockets.socket import ask, publish
from socketio_server.sockets.targets import (
    EVERYONE,
    OTHERS,
    Channels,
    Selection,
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
    "BrokerUnavailable",
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

OnError = Literal["raise", "log"]

logger = logging.getLogger("socketio_server")


def send(
    session_id: str | SocketSession,
    message: Any,
    *,
    namespace: str = MAIN_NAMESPACE,
    on_error: OnError = "raise",
) -> None:
    """Send a message to the client of one session.

    :param session_id: the connection's public id: ``socket.session.session_id``, or
        ``socket.session`` itself.
    :param on_error: ``"log"``: if a process without a server can't reach the broker, log it instead
        of raising ``BrokerUnavailable``.
    :raises NoSocket: if there is no such client, unless a broker may know it; ``NoServer`` if no
        server runs in this process.
    :raises BrokerUnavailable: if a process without a server can't reach the broker.
    :raises TypeError: if the id is no string, or the message can't be encoded.
    :raises ValueError: if the namespace does not begin with a slash, or ``on_error`` is neither
        ``"raise"`` nor ``"log"``.
    """
    _check_on_error(on_error)
    check_namespace(namespace)
    wanted = id_of(session_id, "session_id")
    _reach_servers()
    if CLIENTS.find(wanted, namespace) is None and not CLIENTS.broker.reaches_others:
        raise _no_socket(f"There is no socket with the session ID: {wanted}")
    _publish(namespace, MESSAGE, (message,), select(SocketSession(wanted)), on_error)


def broadcast(
    message: Any, *, namespace: str = MAIN_NAMESPACE, on_error: OnError = "raise"
) -> None:
    """Send a message to every client.

    :param on_error: as in ``send``.
    :raises NoSocket: if there are none, without a broker; ``NoServer`` if no server runs in this
        process.
    :raises BrokerUnavailable: as ``send``.
    :raises TypeError: if the message can't be encoded.
    :raises ValueError: if the namespace does not begin with a slash, or ``on_error`` is wrong.
    """
    _check_on_error(on_error)
    check_namespace(namespace)
    _reach_servers()
    if not CLIENTS.members(namespace) and not CLIENTS.broker.reaches_others:
        raise _no_socket("There are no clients.")
    _publish(namespace, MESSAGE, (message,), select(EVERYONE), on_error)


def broadcast_channel(
    message: Any,
    channel: str,
    *,
    namespace: str = MAIN_NAMESPACE,
    on_error: OnError = "raise",
) -> None:
    """Send a message to every client on a channel.

    :param on_error: as in ``send``.
    :raises NoSocket: if there are none, without a broker; ``NoServer`` if no server runs in this
        process.
    :raises BrokerUnavailable: as ``send``.
    :raises TypeError: if the channel is no string, or the message can't be encoded.
    :raises ValueError: if the channel's name is empty, the namespace does not begin with a slash,
        or ``on_error`` is wrong.
    """
    _check_on_error(on_error)
    check_namespace(namespace)
    check_channel(channel)
    _reach_servers()
    subscribers = CLIENTS.channels.subscribers(namespace, channel)
    if not subscribers and not CLIENTS.broker.reaches_others:
        raise _no_socket(f"There are no clients on the channel: {channel}")
    _publish(namespace, MESSAGE, (message,), select(channel), on_error)


def emit(
    event: str,
    *args: Any,
    to: Target = EVERYONE,
    skip: Skip = (),
    skip_channels: Channels = (),
    namespace: str = MAIN_NAMESPACE,
    volatile: bool = False,
    on_error: OnError = "raise",
) -> None:
    """Send a custom event to clients; without any client it does nothing.

    :param to: a channel, several (each client gets it once), ``EVERYONE`` in the namespace, or one
        client by its ``socket.session``.
    :param skip: session ids, or ``socket.session``, of clients that don't get it: one or several.
    :param skip_channels: one channel or several, whose subscribers don't get it.
    :param volatile: whether it is dropped for clients that can't take it at once.
    :param on_error: as in ``send``.
    :raises BrokerUnavailable: as ``send``.
    :raises TypeError: if an argument is of a wrong type, or can't be encoded.
    :raises ValueError: if the event's name is reserved, a channel's name is empty, the namespace
        does not begin with a slash, or ``on_error`` is wrong.
    """
    _check_on_error(on_error)
    check_event_name(event)
    check_namespace(namespace)
    selection = select(to, skip, skip_channels)
    _reach_servers()
    _publish(namespace, event, args, selection, on_error, volatile=volatile)


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
    :raises ValueError: if the event's name is reserved, a channel's name is empty, the namespace
        does not begin with a slash, or the timeout is negative.
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


def _check_on_error(on_error: OnError) -> None:
    """Raise ``ValueError`` unless ``on_error`` is known."""
    if on_error not in ("raise", "log"):
        raise ValueError(f'on_error must be "raise" or "log", not {on_error!r}')


def _reach_servers() -> None:
    """Let a process without a server use the broker of those that have one."""
    if current.server is None:
        outside.connect()


def _publish(
    namespace: str,
    event: str,
    args: tuple[Any, ...],
    selection: Selection,
    on_error: OnError,
    *,
    volatile: bool = False,
) -> None:
    """Send an event; if the broker can't be reached, raise or log it."""
    try:
        publish(CLIENTS, namespace, event, args, selection, volatile=volatile)
    except BrokerUnavailable as error:
        if on_error == "raise":
            raise
        logger.error("The event %r was not sent: %s", event, error)


def _no_socket(why: str) -> NoSocket:
    """Return the error of a message without a recipient."""
    if current.server is None and not CLIENTS:
        return NoServer(
            f"{why.removesuffix('.')}. No Socket.IO server runs in this process, so no client can "
            "be reached from it: call this in the process of `python manage.py "
            "runserver_socketio`, in a view or a handler for instance, or set "
            "SOCKETIO_BROKER_URL."
        )
    return NoSocket(why)
