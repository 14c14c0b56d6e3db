"""The broadcasts that Socket.IO servers exchange over Redis: bytes in, values out, and back.

Knows the wire of ``@socket.io/redis-adapter`` 8 and ``@socket.io/redis-emitter`` 5, which has no
specification besides their sources. Broadcasts are MessagePack. ``protocol.cluster_requests`` has
the requests and responses, and ``cluster.redis`` talks to Redis.

Node calls a channel a *room*, and a socket's id is a room, too.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from socketio_server.exceptions import DecodeError
from socketio_server.protocol.jsoncodec import MAX_DEPTH
from socketio_server.protocol.names import MAIN_NAMESPACE, SOCKET_ID_LENGTH
from socketio_server.protocol.socketio import check_event

_EVENTS = (2, 5)
"""EVENT, and BINARY_EVENT of older emitters; bytes stand in the data of both."""

UID_LENGTH = 6
"""Characters of a server's name in the cluster, as in Node."""

MAX_ROOMS = 100_000
"""Rooms in the recipients of a message, and in those whom it skips: each is looked up here."""

Room = str | int | float
"""A room on the wire; in Node it may be a number."""

Rooms = Annotated[list[Room], Meta(max_length=MAX_ROOMS)]

Flag = bool | int | float | str | None


class ChannelNames:
    """The names of Redis's channels.

    :param prefix: the adapter's option ``key``.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def all(self) -> bytes:
        """Return a pattern of them all."""
        return _escape(self._prefix) + b"*"

    def broadcast(self, namespace: str, rooms: Sequence[str] = ()) -> bytes:
        """Return the channel of a broadcast: for exactly one room it has one of its own."""
        base = f"{self._prefix}#{namespace}#"
        return (f"{base}{rooms[0]}#" if len(rooms) == 1 else base).encode()

    def to_sockets(self, namespace: str) -> bytes:
        """Return the pattern of the channels of all rooms that may be a socket's id."""
        return _escape(f"{self._prefix}#{namespace}#") + b"?" * SOCKET_ID_LENGTH + b"#"

    def request(self, namespace: str) -> bytes:
        """Return the channel of requests to all servers."""
        return f"{self._prefix}-request#{namespace}#".encode()

    def response(self, namespace: str, uid: str | None = None) -> bytes:
        """Return the channel of responses, to all servers or to one."""
        base = f"{self._prefix}-response#{namespace}#"
        return (base if uid is None else f"{base}{uid}#").encode()


def _escape(text: str) -> bytes:
    """Return a pattern of Redis's that matches only this text."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text).encode()


# --- Broadcasts -------------------------------------------------------------------------------


class Broadcast(msgspec.Struct, frozen=True):
    """Whom an event is for: the sockets in any of some rooms, or everybody in the namespace.

    :param uid: the sending server.
    :param rooms: empty: everybody.
    :param skip: rooms whose sockets don't get it.
    """

    uid: str
    namespace: str
    rooms: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    volatile: bool = False


class Packet(msgspec.Struct):
    """An event, as it stands on the wire.

    :param data: its name and arguments, not decoded yet (``decode_event``).
    """

    type: int
    data: Raw
    nsp: str = MAIN_NAMESPACE


class Opts(msgspec.Struct, rename={"skip": "except"}):
    """The recipients of a broadcast or request, as they stand on the wire."""

    rooms: Rooms
    skip: Rooms = []
    flags: dict[str, Flag] | None = None


class _SmallPacket(msgspec.Struct):
    type: int
    data: list[Any]
    nsp: str = MAIN_NAMESPACE


class _SmallMessage(msgspec.Struct, array_like=True):
    uid: str
    packet: _SmallPacket
    opts: Opts


class _Message(msgspec.Struct, array_like=True):
    uid: str
    packet: Packet
    opts: Opts


_SMALL = 4096
"""Bytes of a broadcast up to which to decode it as a whole takes less time than in two steps."""


_encoder = msgspec.msgpack.Encoder()


def encode_messagepack(value: Any) -> bytes:
    """Encode a value, with integers that MessagePack can't carry as the floats that they are in
    JavaScript.
    """
    try:
        return _encoder.encode(value)
    except OverflowError:
        return _encoder.encode(_limit_integers(value))


def _limit_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _limit_integers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_limit_integers(item) for item in value]
    if type(value) is int and not -(2**63) <= value < 2**64:
        try:
            return float(value)
        except OverflowError:
            return inf if value > 0 else -inf
    return value


def encode_broadcast(broadcast: Broadcast, data: Sequence[Any]) -> bytes:
    """Encode a broadcast as the adapter does.

    :param data: the event's name and arguments.
    """
    packet = {"type": _EVENTS[0], "data": data, "nsp": broadcast.namespace}
    flags = {"volatile": True} if broadcast.volatile else {}
    opts = {"rooms": broadcast.rooms, "except": broadcast.skip, "flags": flags}
    return encode_messagepack((broadcast.uid, packet, opts))


def decode_broadcast(message: bytes) -> tuple[Broadcast, list[Any] | Raw]:
    """Decode whom a broadcast is for, which costs little whatever its data are.

    :return: it, and the event's name and arguments; of a large one not decoded yet
        (``decode_event``).
    :raises DecodeError: if it is malformed, or no event.
    """
    decoded: _Message | _SmallMessage
    if len(message) <= _SMALL:
        decoded = decode_unchecked(_small_message_decoder, message)
        if may_be_too_deep(message):
            check_depth(decoded.packet.data)
        check_event(decoded.packet.data)
    else:
        decoded = decode_unchecked(_message_decoder, message)
    packet, opts = decoded.packet, decoded.opts
    if packet.type not in _EVENTS:
        raise DecodeError(f"packet of type {packet.type} in a broadcast")
    broadcast = Broadcast(
        decoded.uid,
        packet.nsp,
        rooms=room_names(opts.rooms),
        skip=room_names(opts.skip),
        volatile=opts.flags is not None and opts.flags.get("volatile") is True,
    )
    return broadcast, packet.data


def decode_event(data: Raw, pause: Callable[[], None] | None = None) -> list[Any]:
    """Decode the name and the arguments of an event.

    :param pause: called between the parts of the work on a large one.
    :raises DecodeError: if they are malformed, nested too deep, or take more memory than there is.
    """
    event: list[Any] = decode_unchecked(_event_decoder, data)
    if may_be_too_deep(bytes(data)):
        if pause is not None:
            pause()
        check_depth(event, pause)
    check_event(event)
    return event


def room_names(rooms: Sequence[Room]) -> tuple[str, ...]:
    """Return rooms as channels; numbers as JavaScript writes them."""
    for room in rooms:
        if type(room) is not str:
            return tuple(room if type(room) is str else _number(room) for room in rooms)
    return tuple(rooms)  # type: ignore[arg-type]  # all are text, as nearly always


def _number(room: Room) -> str:
    return str(int(room)) if isinstance(room, float) and room.is_integer() else str(room)


# --- MessagePack ------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decode_extension(code: int, data: memoryview) -> Any:
    """Decode what ``notepack.io`` 2 writes for undefined, dates and ArrayBuffers, all with code 0.

    An ArrayBuffer of one or eight bytes can't be told from the other two, because msgspec hides the
    byte that differs. Dates of version 3 are timestamps, which msgspec knows.
    """
    if code != 0:
        raise ValueError(f"extension {code}")
    if len(data) == 1:
        return None
    if len(data) == 8:
        return _EPOCH + timedelta(milliseconds=int.from_bytes(data, "big", signed=True))
    return bytes(data)


_small_message_decoder = msgspec.msgpack.Decoder(_SmallMessage, ext_hook=decode_extension)
_message_decoder = msgspec.msgpack.Decoder(_Message)
_event_decoder = msgspec.msgpack.Decoder(list[Any], ext_hook=decode_extension)

_FAULTS = (
    msgspec.DecodeError,
    ValueError,
    TypeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)

_CONTAINERS = frozenset([dict, list, tuple])

_NO_CONTAINERS = bytes(set(range(256)) - set(range(0x80, 0xA0)) - set(range(0xDC, 0xE0)))


def decode_unchecked(decoder: Any, data: bytes | Raw) -> Any:
    """Decode MessagePack, of whose depth the caller takes care.

    :raises DecodeError: if it is malformed, or takes more memory than there is.
    """
    try:
        return decoder.decode(data)
    except _FAULTS as error:
        raise DecodeError(f"malformed message: {error}") from error


def may_be_too_deep(data: bytes) -> bool:
    """Return whether MessagePack may be nested too deep."""
    return len(data) > MAX_DEPTH and len(data.translate(None, _NO_CONTAINERS)) > MAX_DEPTH


def check_depth(value: Any, pause: Callable[[], None] | None = None) -> None:
    """Raise ``DecodeError`` if a value is nested deeper than packets of clients may be.

    :param pause: called between the levels.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) in _CONTAINERS
        ]
        if not level:
            return
        if pause is not None:
            pause()
    raise DecodeError(f"message is nested deeper than {MAX_DEPTH} levels")
