"""The functions of the package's face that look up, change and ask sockets and servers of all
processes.
"""

import logging
from collections.abc import Callable
from typing import Any, Literal

from socketio_server.exceptions import BrokerUnavailable
from socketio_server.protocol.names import MAIN_NAMESPACE
from socketio_server.serving import current, outside
from socketio_server.sockets.operations import TIMEOUT, Operations
from socketio_server.sockets.records import Count, Replies, ServerStats, SocketRecord
from socketio_server.sockets.targets import (
    EVERYONE,
    Channels,
    Selection,
    Skip,
    Target,
    check_channel,
    check_event_name,
    check_namespace,
    check_seconds,
    select,
)
from socketio_server.sockets.this_process import CLIENTS

OnError = Literal["raise", "log"]

logger = logging.getLogger("socketio_server")

_operations = Operations(CLIENTS, current.describe_server)


def find_sockets(
    *,
    to: Target = EVERYONE,
    skip: Skip = (),
    skip_channels: Channels = (),
    namespace: str = MAIN_NAMESPACE,
    limit: int | None = None,
    timeout: float = TIMEOUT,
) -> Replies[SocketRecord]:
    """Return records of sockets of all processes.

    :param to: whose; ``to``, ``skip`` and ``skip_channels`` are as in ``emit``.
    :param limit: how many records at most, whichever; ``None``: all.
    :param timeout: seconds that other servers have to reply.
    :return: the records, and in ``missing`` how many servers did not reply.
    :raises BrokerUnavailable: if a process without a server can't reach the broker.
    :raises TypeError: if an argument is of a wrong type.
    :raises ValueError: if a channel's name is empty or reserved, the namespace does not begin with
        a slash, or the limit or the timeout is negative.
    """
    check_namespace(namespace)
    check_limit(limit)
    check_seconds(timeout)
    selection = select(to, skip, skip_channels)
    reach_servers()
    return _operations.find(selection.within(namespace), timeout, limit)


def count_sockets(
    *,
    to: Target = EVERYONE,
    skip: Skip = (),
    skip_channels: Channels = (),
    namespace: str = MAIN_NAMESPACE,
    timeout: float = TIMEOUT,
) -> Count:
    """Return how many sockets there are in all processes.

    :param to: whose; all arguments are as in ``find_sockets``, and so is what it raises.
    :return: an integer, and in ``missing`` how many servers did not reply.
    """
    check_namespace(namespace)
    check_seconds(timeout)
    selection = select(to, skip, skip_channels)
    reach_servers()
    return _operations.count_all(selection.within(namespace), timeout)


def users_on(
    channel: str, *, namespace: str = MAIN_NAMESPACE, timeout: float = TIMEOUT
) -> Replies[Any]:
    """Return the users on a channel, in any process: each once, without anonymous ones.

    :param timeout: seconds that other servers have to reply.
    :return: the users as they are in the database now, and in ``missing`` how many servers did not
        reply.
    :raises BrokerUnavailable: if a process without a server can't reach the broker.
    :raises TypeError: if the channel is no string.
    :raises ValueError: if its name is empty or reserved, the namespace does not begin with a slash,
        or the timeout is negative.
    """
    from socketio_server.serving.users import users_of  # needs Django's settings, we don't

    check_channel(channel)
    check_namespace(namespace)
    check_seconds(timeout)
    reach_servers()
    found = _operations.find_users(select(channel).within(namespace), timeout)
    return Replies(users_of(found), found.missing)


def channel_names(*, namespace: str = MAIN_NAMESPACE, timeout: float = TIMEOUT) -> Replies[str]:
    """Return the channels that somebody is on, in any process.

    :param timeout: seconds that other servers have to reply.
    :return: their names, and in ``missing`` how many servers did not reply.
    :raises BrokerUnavailable: if a process without a server can't reach the broker.
    :raises ValueError: if the namespace does not begin with a slash, or the timeout is negative.
    """
    check_namespace(namespace)
    check_seconds(timeout)
    reach_servers()
    shared = bool(outside.option("broker_shared_with_node"))
    return _operations.channel_names(namespace, timeout, shared_with_node=shared)


def subscribe(
    channel: str,
    *,
    to: Target,
    skip: Skip = (),
    skip_channels: Channels = (),
    namespace: str = MAIN_NAMESPACE,
    on_error: OnError = "raise",
) -> None:
    """Put sockets of all processes on a channel; fires no event.

    :param to: which sockets; ``to``, ``skip`` and ``skip_channels`` are as in ``emit``.
    :param on_error: ``"log"``: if a process without a server can't reach the broker, log it instead
        of raising ``BrokerUnavailable``.
    :raises BrokerUnavailable: if a process without a server can't reach the broker.
    :raises TypeError: if an argument is of a wrong type.
    :raises ValueError: if a channel's name is empty or reserved, the namespace does not begin with
        a slash, or ``on_error`` is wrong.
    """
    check_channel(channel)
    recipients = _select(to, skip, skip_channels, namespace, on_error).within(namespace)
    _try(lambda: _operations.subscribe(recipients, channel), "subscribe", on_error)


def unsubscribe(
    channel: str,
    *,
    to: Target,
    skip: Skip = (),
    skip_channels: Channels = (),
    namespace: str = MAIN_NAMESPACE,
    on_error: OnError = "raise",
) -> None:
    """Take sockets of all processes off a channel; fires no event.

    :param to: which sockets; all arguments are as in ``subscribe``, and so is what it raises.
    """
    check_channel(channel)
    recipients = _select(to, skip, skip_channels, namespace, on_error).within(namespace)
    _try(lambda: _operations.unsubscribe(recipients, channel), "unsubscribe", on_error)


def disconnect(
    *,
    to: Target,
    skip: Skip = (),
    skip_channels: Channels = (),
    close: bool = False,
    namespace: str = MAIN_NAMESPACE,
    on_error: OnError = "raise",
) -> None:
    """Disconnect sockets of all processes from their namespace.

    :param to: which sockets; ``to``, ``skip`` and ``skip_channels`` are as in ``emit``.
    :param close: whether their whole sessions end, with all namespaces.
    :param on_error: as in ``subscribe``, and so is what it raises.
    """
    recipients = _select(to, skip, skip_channels, namespace, on_error).within(namespace)
    _try(lambda: _operations.disconnect_all(recipients, close=bool(close)), "disconnect", on_error)


def emit_cluster(
    event: str, *args: Any, namespace: str = MAIN_NAMESPACE, on_error: OnError = "raise"
) -> None:
    """Let the ``on_cluster`` handlers of all servers run for an event, those of this one included.

    :param args: JSON's types, and what Django's encoder converts to them.
    :param on_error: as in ``subscribe``.
    :raises BrokerUnavailable: if a process without a server can't reach the broker.
    :raises TypeError: if an argument can't be encoded, or the event's name is no string.
    :raises ValueError: if the name is reserved, the namespace does not begin with a slash, or
        ``on_error`` is wrong.
    """
    check_event_name(event)
    check_on_error(on_error)
    check_namespace(namespace)
    reach_servers()
    _try(lambda: _operations.emit_event(namespace, event, args), "emit_cluster", on_error)


def call_cluster(
    event: str, *args: Any, namespace: str = MAIN_NAMESPACE, timeout: float = TIMEOUT
) -> Replies[Any]:
    """Let the ``on_cluster`` handlers of all servers run for an event, and wait for their answers.

    :param args: as in ``emit_cluster``.
    :param timeout: seconds to wait.
    :return: an answer for each server, and in ``missing`` how many servers gave none.
    :raises BrokerUnavailable: if a process without a server can't reach the broker.
    :raises TypeError: if an argument can't be encoded, or the event's name is no string.
    :raises ValueError: if the name is reserved, the namespace does not begin with a slash, or the
        timeout is negative.
    """
    check_event_name(event)
    check_namespace(namespace)
    check_seconds(timeout)
    reach_servers()
    return _operations.call_event(namespace, event, args, timeout)


def cluster_stats(*, timeout: float = TIMEOUT) -> Replies[ServerStats]:
    """Return the numbers of ``stats()`` of all servers.

    :param timeout: seconds that other servers have to reply.
    :return: those of each server with its name, and in ``missing`` how many servers did not reply;
        Node's servers have none.
    :raises BrokerUnavailable: if a process without a server can't reach the broker.
    :raises TypeError: if the timeout is no number.
    :raises ValueError: if it is negative.
    """
    check_seconds(timeout)
    reach_servers()
    return _operations.describe_servers(timeout)


def check_limit(limit: int | None) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless a limit is ``None``, or 0 or more."""
    if limit is not None and type(limit) is not int:
        raise TypeError(f"limit must be an integer or None, not {limit!r}")
    if limit is not None and limit < 0:
        raise ValueError(f"limit must not be negative: {limit}")


def check_on_error(on_error: OnError) -> None:
    """Raise ``ValueError`` unless ``on_error`` is known."""
    if on_error not in ("raise", "log"):
        raise ValueError(f'on_error must be "raise" or "log", not {on_error!r}')


def reach_servers() -> None:
    """Let a process without a server use the broker of those that have one."""
    if current.server is None:
        outside.connect()


def _select(
    to: Target, skip: Skip, skip_channels: Channels, namespace: str, on_error: OnError
) -> Selection:
    """Check arguments, and return who is selected; the servers can be reached then."""
    check_on_error(on_error)
    check_namespace(namespace)
    selection = select(to, skip, skip_channels)
    reach_servers()
    return selection


def _try(action: Callable[[], None], function: str, on_error: OnError) -> None:
    """Do what a function is to do; if the broker can't be reached, raise or log it."""
    try:
        action()
    except BrokerUnavailable as error:
        if on_error == "raise":
            raise
        logger.error(
            "%s() reached no other process: %s. Start Redis, or look at SOCKETIO_BROKER_URL; what "
            "the call was to do is not done later",
            function,
            error,
        )
