"""Envelopes and recipients as they stand on the wire, and back."""

from collections.abc import Sequence

from socketio_server.cluster.broker import Envelope, LocalNode, Recipients
from socketio_server.protocol.redis_adapter import Broadcast, Opts


def to_broadcast(envelope: Envelope, uid: str) -> Broadcast | None:
    """Return an envelope's recipients as other servers read them; ``None`` if there is nobody.

    :param uid: the sending server.
    """
    rooms = _rooms_of(envelope)
    if rooms is None:
        return None
    return Broadcast(uid, envelope.namespace, rooms, _skipped_rooms_of(envelope), envelope.volatile)


def to_opts(recipients: Recipients) -> Opts | None:
    """Return recipients as other servers read them; ``None`` if there is nobody."""
    rooms = _rooms_of(recipients)
    if rooms is None:
        return None
    return Opts(rooms=list(rooms), skip=list(_skipped_rooms_of(recipients)))


def are_wanted(rooms: Sequence[str], namespace: str, node: LocalNode) -> bool:
    """Return whether a client of this process is in any of some rooms, or is one.

    :param rooms: none: everyone.
    """
    if not rooms:
        return node.is_wanted(namespace, None)
    for room in rooms:
        if node.is_wanted(namespace, room) or node.has_client(room, namespace):
            return True
    return False


def to_recipients(
    rooms: tuple[str, ...], skip: tuple[str, ...], namespace: str, node: LocalNode
) -> Recipients:
    """Return the recipients of a broadcast or request as this process knows them.

    :param rooms: each is a channel or a client's id; none: everyone.
    :param skip: likewise, those who are left out.
    """
    return Recipients(
        namespace=namespace,
        channels=rooms or None,
        socket_ids=tuple(room for room in rooms if node.has_client(room, namespace)),
        skip=frozenset(skip),
        skip_channels=skip,
    )


def _rooms_of(recipients: Recipients) -> tuple[str, ...] | None:
    channels, socket_ids = recipients.channels, recipients.socket_ids
    if channels is None:
        return socket_ids
    return channels + socket_ids or None  # without a room it would be everyone


def _skipped_rooms_of(recipients: Recipients) -> tuple[str, ...]:
    return (*recipients.skip, *recipients.skip_channels)
