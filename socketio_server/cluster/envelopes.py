"""Envelopes as broadcasts of the wire, and back."""

from socketio_server.cluster.broker import Envelope, LocalNode
from socketio_server.protocol.redis_adapter import Broadcast


def to_broadcast(envelope: Envelope, uid: str, node: LocalNode) -> Broadcast | None:
    """Return an envelope as other servers read it; ``None`` if it is for nobody.

    :param uid: the sending server.
    :param node: encodes the arguments.
    :raises TypeError: if an argument can't be encoded.
    """
    data = node.plain((envelope.event_name, *envelope.args))
    rooms = (*(envelope.channels or ()), *envelope.session_ids)
    if not rooms and envelope.channels is not None:
        return None  # without a room it would be for everyone
    skip = (*envelope.skip, *envelope.skip_channels)
    return Broadcast(uid, envelope.namespace, data, rooms, skip, envelope.volatile)


def to_envelope(broadcast: Broadcast, node: LocalNode) -> Envelope:
    """Return a broadcast as this process delivers it.

    A room may be a channel or a client's id, and so may what is left out.
    """
    rooms, namespace = broadcast.rooms, broadcast.namespace
    return Envelope(
        namespace=namespace,
        event_name=broadcast.data[0],
        args=tuple(broadcast.data[1:]),
        channels=rooms or None,
        session_ids=tuple(room for room in rooms if node.has_client(room, namespace)),
        skip=frozenset(broadcast.skip),
        skip_channels=broadcast.skip,
        volatile=broadcast.volatile,
    )
