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
from typing import Any

import msgspec

from socketio_server.exceptions import DecodeError
from socketio_server.protocol.jsoncodec import MAX_DEPTH
from socketio_server.protocol.names import MAIN_NAMESPACE, SOCKET_ID_LENGTH
from socketio_server.protocol.socketio import check_event

_EVENTS = (2, 5)
"""EVENT, and BINARY_EVENT of older emitters; bytes stand in the data of both."""

UID_LENGTH = 6
"""Characters of a server's name in the cluster, as in Node."""

Room = str | int | float
"""A room on the wire; in Node it may be a number."""


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
    """An event for the sockets in any of some rooms, or everybody in the namespace.

    :param uid: the sending server.
    :param data: the event's name and arguments.
    :param rooms: empty: everybody.
    :param skip: rooms whose sockets don't get it.
    """

    uid: str
    namespace: str
    data: list[Any]
    rooms: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    volatile: bool = False


class Packet(msgspec.Struct):
    """An event, as it stands on the wire."""

    type: int
    data: list[Any]
    nsp: str = MAIN_NAMESPACE


class Opts(msgspec.Struct, rename={"skip": "except"}):
    """The recipients of a broadcast or request, as they stand on the wire."""

    rooms: list[Room]
    skip: list[Room] = []
    flags: dict[str, Any] | None = None


class _Message(msgspec.Struct, array_like=True):
    uid: str
    packet: Packet
    opts: Opts


_encoder = msgspec.msgpack.Encoder()


def _encode(message: tuple[Any, ...]) -> bytes:
    """Encode a message, with integers that MessagePack can't carry as the floats that they are in
    JavaScript.
    """
    try:
        return _encoder.encode(message)
    except OverflowError:
        return _encoder.encode(_limit_integers(message))


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


def encode_broadcast(broadcast: Broadcast) -> bytes:
    """Encode a broadcast as the adapter does."""
    packet = {"type": _EVENTS[0], "data": broadcast.data, "nsp": broadcast.namespace}
    flags = {"volatile": True} if broadcast.volatile else {}
    opts = {"rooms": broadcast.rooms, "except": broadcast.skip, "flags": flags}
    return _encode((broadcast.uid, packet, opts))


def decode_broadcast(data: bytes) -> Broadcast:
    """Decode a broadcast.

    :raises DecodeError: if it is malformed, no event, or nested too deep.
    """
    message: _Message = decode_with(_message_decoder, data)
    packet, opts = message.packet, message.opts
    if packet.type not in _EVENTS:
        raise DecodeError(f"packet of type {packet.type} in a broadcast")
    check_event(packet.data)
    return Broadcast(
        message.uid,
        packet.nsp,
        packet.data,
        rooms=room_names(opts.rooms),
        skip=room_names(opts.skip),
        volatile=opts.flags is not None and opts.flags.get("volatile") is True,
    )


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


_message_decoder = msgspec.msgpack.Decoder(_Message, ext_hook=decode_extension)

_FAULTS = (
    msgspec.DecodeError,
    ValueError,
    TypeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)

_NO_CONTAINERS = bytes(set(range(256)) - set(range(0x80, 0xA0)) - set(range(0xDC, 0xE0)))


def decode_with(decoder: Any, data: bytes) -> Any:
    """Decode MessagePack.

    :raises DecodeError: if it is malformed, nested too deep, or takes more memory than there is.
    """
    value = decode_unchecked(decoder, data)
    if may_be_too_deep(data):
        check_message_depth(value)
    return value


def decode_unchecked(decoder: Any, data: bytes) -> Any:
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


def check_message_depth(message: Any) -> None:
    """Raise ``DecodeError`` if a message is nested too deep, as ``check_depth`` for its values."""
    check_depth(msgspec.to_builtins(message, builtin_types=(bytes, datetime)))


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
            if type(item) in (dict, list, tuple)
        ]
        if not level:
            return
        if pause is not None:
            pause()
    raise DecodeError(f"message is nested deeper than {MAX_DEPTH} levels")
