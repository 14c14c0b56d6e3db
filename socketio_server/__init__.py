"""A Socket.IO server inside a Django project.

These functions send to clients from outside of handlers, for instance from views and signals, and
look up and change sockets of all processes.
``send``, ``broadcast`` and ``broadcast_channel`` are django-socketio's. Register handlers with the
decorators of ``socketio_server.events``.

With ``on_commit=True``, what they send inside of a database transaction is encoded at the call, and
sent when the transaction is committed; after a rollback it is not sent. Outside of a transaction
they send at once, as with ``on_commit=False``.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from socketio_server.exceptions import BrokerUnavailable, NoServer, NoSocket
from socketio_server.net.statistics import Snapshot
from socketio_server.protocol.names import MAIN_NAMESPACE, MESSAGE
from socketio_server.serving import current, outside
from socketio_server.serving.everywhere import (
    OnError,
    call_cluster,
    channel_names,
    check_on_error,
    cluster_stats,
    count_sockets,
    disconnect,
    emit_cluster,
    find_sockets,
    reach_servers,
    subscribe,
    unsubscribe,
    users_on,
)
from socketio_server.sockets.acknowledgements import Answers
from socketio_server.sockets.records import Count, Replies, ServerStats, SocketRecord
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
from socketio_server.sockets.transactions import Transactions

__all__ = [
    "EVERYONE",
    "OTHERS",
    "Answers",
    "BrokerUnavailable",
    "Count",
    "NoServer",
    "NoSocket",
    "Replies",
    "ServerStats",
    "SocketRecord",
    "SocketSession",
    "__version__",
    "broadcast",
    "broadcast_channel",
    "call",
    "call_cluster",
    "channel_names",
    "cluster_stats",
    "count_sockets",
    "disconnect",
    "emit",
    "emit_cluster",
    "find_sockets",
    "recheck",
    "send",
    "stats",
    "subscribe",
    "unsubscribe",
    "users_on",
]

__version__ = "0.1.0"

logger = logging.getLogger("socketio_server")


def send(
    session_id: str | SocketSession,
    message: Any,
    *,
    namespace: str = MAIN_NAMESPACE,
    on_error: OnError = "raise",
    on_commit: bool | None = None,
    using: str | None = None,
) -> None:
    """Send a message to the client of one session.

    :param session_id: the connection's public id: ``socket.session.session_id``, or
        ``socket.session`` itself.
    :param on_error: ``"log"``: if a process without a server can't reach the broker, log it instead
        of raising ``BrokerUnavailable``.
    :param on_commit: whether the message waits for the commit of the caller's transaction; by
        default as ``SOCKETIO_ON_COMMIT`` says.
    :param using: the alias of the transaction's database, as in ``transaction.on_commit``.
    :raises NoSocket: if there is no such client, unless a broker may know it; ``NoServer`` if no
        server runs in this process. After a commit it is logged, not raised.
    :raises BrokerUnavailable: if a process without a server can't reach the broker.
    :raises TypeError: if the id is no string, or the message can't be encoded.
    :raises ValueError: if the namespace does not begin with a slash, or ``on_error`` is neither
        ``"raise"`` nor ``"log"``.
    :raises RuntimeError: if more than ``SOCKETIO_MAX_QUEUED_BYTES`` would wait for the commit.
    """
    wanted = id_of(session_id, "session_id")
    _send(
        namespace,
        MESSAGE,
        (message,),
        select(SocketSession(wanted)),
        on_error,
        on_commit,
        using,
        missing=f"There is no socket with the session ID: {wanted}",
    )


def broadcast(
    message: Any,
    *,
    namespace: str = MAIN_NAMESPACE,
    on_error: OnError = "raise",
    on_commit: bool | None = None,
    using: str | None = None,
) -> None:
    """Send a message to every client.

    :param on_error: as in ``send``, like ``on_commit`` and ``using``.
    :raises NoSocket: if there are none, without a broker; ``NoServer`` if no server runs in this
        process.
    :raises BrokerUnavailable: as ``send``.
    :raises TypeError: if the message can't be encoded.
    :raises ValueError: if the namespace does not begin with a slash, or ``on_error`` is wrong.
    """
    _send(
        namespace,
        MESSAGE,
        (message,),
        select(EVERYONE),
        on_error,
        on_commit,
        using,
        missing="There are no clients.",
    )


def broadcast_channel(
    message: Any,
    channel: str,
    *,
    namespace: str = MAIN_NAMESPACE,
    on_error: OnError = "raise",
    on_commit: bool | None = None,
    using: str | None = None,
) -> None:
    """Send a message to every client on a channel.

    :param on_error: as in ``send``, like ``on_commit`` and ``using``.
    :raises NoSocket: if there are none, without a broker; ``NoServer`` if no server runs in this
        process.
    :raises BrokerUnavailable: as ``send``.
    :raises TypeError: if the channel is no string, or the message can't be encoded.
    :raises ValueError: if the channel's name is empty, the namespace does not begin with a slash,
        or ``on_error`` is wrong.
    """
    check_channel(channel)
    _send(
        namespace,
        MESSAGE,
        (message,),
        select(channel),
        on_error,
        on_commit,
        using,
        missing=f"There are no clients on the channel: {channel}",
    )


def emit(
    event: str,
    *args: Any,
    to: Target = EVERYONE,
    skip: Skip = (),
    skip_channels: Channels = (),
    namespace: str = MAIN_NAMESPACE,
    volatile: bool = False,
    on_error: OnError = "raise",
    on_commit: bool | None = None,
    using: str | None = None,
) -> None:
    """Send a custom event to clients; without any client it does nothing.

    :param to: a channel, several (each client gets it once), ``EVERYONE`` in the namespace, or one
        client by its ``socket.session``.
    :param skip: session ids, or ``socket.session``, of clients that don't get it: one or several.
    :param skip_channels: one channel or several, whose subscribers don't get it.
    :param volatile: whether it is dropped for clients that can't take it at once.
    :param on_error: as in ``send``, like ``on_commit`` and ``using``.
    :raises BrokerUnavailable: as ``send``.
    :raises TypeError: if an argument is of a wrong type, or can't be encoded.
    :raises ValueError: if the event's name is reserved, a channel's name is empty, the namespace
        does not begin with a slash, or ``on_error`` is wrong.
    """
    check_event_name(event)
    selection = select(to, skip, skip_channels)
    _send(namespace, event, args, selection, on_error, on_commit, using, volatile=volatile)


def call(
    event: str,
    *args: Any,
    to: Target = EVERYONE,
    skip: Skip = (),
    skip_channels: Channels = (),
    namespace: str = MAIN_NAMESPACE,
    timeout: float | None = None,
) -> Answers:
    """Send a custom event to clients of all processes, and wait for their acknowledgements.

    :param to: the recipients; ``to``, ``skip`` and ``skip_channels`` are as in ``emit``.
    :param timeout: seconds to wait; ``None``: until all have answered or disconnected, but those of
        other processes have a minute.
    :return: the answers by session id, and the ids of those that did not answer.
    :raises BrokerUnavailable: if a process without a server can't reach the broker.
    :raises TypeError: if an argument is of a wrong type, or can't be encoded.
    :raises ValueError: if the event's name is reserved, a channel's name is empty, the namespace
        does not begin with a slash, or the timeout is negative.
    """
    check_event_name(event)
    check_namespace(namespace)
    check_timeout(timeout)
    selection = select(to, skip, skip_channels)
    reach_servers()
    return ask(CLIENTS, namespace, event, args, selection, timeout)


def recheck(to: Any, *, namespace: str = MAIN_NAMESPACE, using: str | None = None) -> None:
    """Verify clients again, because the application knows that their rights may have changed.

    Each keeps what the decorators of ``on_connect`` and ``authorize`` let it, and loses the rest.
    Inside of a database transaction it happens after the commit. A process without a server reaches
    those of others through the broker, if there is one.

    :param to: a user, whose clients are verified in all namespaces; a channel, for which the
        clients are verified that asked for it; or ``EVERYONE``.
    :param namespace: the channel's.
    :param using: the database of the transaction.
    :raises TypeError: if it is none of these.
    :raises ValueError: if the user is anonymous, the channel's name is empty, or the namespace does
        not begin with a slash.
    """
    from socketio_server.serving.rights import rechecks  # needs settings, which this may not

    check_namespace(namespace)
    rechecks.request_recheck(rechecks.scope_of(to, namespace), using)
    if outside.is_alone():
        outside.tell_unsent("A recheck")


def stats() -> Snapshot:
    """Return numbers of the server in this process: its objects, and its counters since its start.

    :raises RuntimeError: if no server runs in this process.
    """
    if current.server is None:
        raise RuntimeError("No Socket.IO server runs in this process.")
    return current.server.snapshot()


def _send(
    namespace: str,
    event: str,
    args: tuple[Any, ...],
    selection: Selection,
    on_error: OnError,
    on_commit: bool | None,
    using: str | None,
    *,
    volatile: bool = False,
    missing: str | None = None,
) -> None:
    """Send an event, now or when the caller's transaction is committed.

    :param missing: the error if nobody is there; ``None``: it is no error.
    """
    check_on_error(on_error)
    check_namespace(namespace)
    transactions = _transactions(on_commit)
    if transactions is None or not transactions.is_open(using):
        _send_now(namespace, event, args, selection, on_error, volatile=volatile, missing=missing)
        return
    reach_servers()  # which may take less than clients do
    args, size = CLIENTS.freeze(namespace, event, args)
    send = partial(
        _send_now, namespace, event, args, selection, on_error, volatile=volatile, missing=missing
    )
    transactions.defer(partial(_send_late, event, send), size, using)


def _transactions(on_commit: bool | None) -> Transactions | None:
    """Return what puts sends off until the commit; ``None`` if they are not to wait for it."""
    if on_commit is None:
        on_commit = outside.option("on_commit")
    elif not isinstance(on_commit, bool):
        raise TypeError(f"on_commit must be True, False or None, not {on_commit!r}")
    if not on_commit:
        return None
    from socketio_server.serving.transactions import DjangoTransactions  # imports the settings

    return DjangoTransactions(outside.option("max_queued_bytes"))


def _send_now(
    namespace: str,
    event: str,
    args: tuple[Any, ...],
    selection: Selection,
    on_error: OnError,
    *,
    volatile: bool,
    missing: str | None,
) -> None:
    """Send an event; if the broker can't be reached, raise or log it.

    :raises NoSocket: if nobody is there, and that is an error.
    """
    reach_servers()
    if missing is not None and not (
        CLIENTS.broker.reaches_others or _is_anybody_there(namespace, selection)
    ):
        raise _no_socket(missing)
    if outside.is_alone():
        outside.tell_unsent(f"The event {event!r}")
    try:
        publish(CLIENTS, namespace, event, args, selection, volatile=volatile)
    except BrokerUnavailable as error:
        if on_error == "raise":
            raise
        logger.error("The event %r was not sent: %s", event, error)


def _send_late(event: str, send: Callable[[], None]) -> None:
    """Send an event after the commit, when the caller can't be told that nobody is there."""
    try:
        send()
    except NoSocket as error:
        logger.warning("The event %r was not sent after the commit: %s", event, error)


def _is_anybody_there(namespace: str, selection: Selection) -> bool:
    """Return whether a selection has recipients in this process."""
    if selection.socket_id is not None:
        return CLIENTS.find(selection.socket_id, namespace) is not None
    if selection.channels is None:
        return bool(CLIENTS.members(namespace))
    return any(CLIENTS.channels.subscribers(namespace, each) for each in selection.channels)


def _no_socket(why: str) -> NoSocket:
    """Return the error of a message without a recipient."""
    if current.server is None and not CLIENTS:
        return NoServer(f"{why.removesuffix('.')}. {outside.NO_SERVER}")
    return NoSocket(why)
