"""What servers ask each other, on the wire of Node's Redis adapter: bytes in, values out, and back.

By them a server asks the others for their sockets, changes these, or lets code run there. They are
JSON; those with a client's data are MessagePack, because it may be binary: what begins with a brace
is JSON. The keys are written in the order in which Node writes them. ``protocol.redis_adapter`` has
the broadcasts.
"""

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from socketio_server.exceptions import DecodeError
from socketio_server.protocol.jsoncodec import estimate_size as estimate_json_size
from socketio_server.protocol.redis_adapter import (
    Opts,
    Packet,
    Room,
    Rooms,
    check_depth,
    decode_extension,
    decode_unchecked,
    encode_messagepack,
    may_be_too_deep,
)
from socketio_server.protocol.socketio import check_event

_BRACE = b"{"

MAX_JOINED = 1000
"""Rooms that one request may let sockets join or leave: more than any honest server does, and few
enough for one socket to join or leave at once; others have a turn before the next one does."""

FewRooms = Annotated[list[Room], Meta(max_length=MAX_JOINED)]


class _Request(msgspec.Struct, tag_field="type", rename="camel", kw_only=True):
    """A request of one type.

    :param uid: the server that asks; some requests are sent without.
    """

    uid: str | UnsetType = UNSET


class ListSockets(_Request, tag=0):
    """Asks for the ids of the sockets in some rooms (older servers)."""

    request_id: str
    rooms: Rooms = []


class ListRooms(_Request, tag=1):
    """Asks for the names of all rooms."""

    request_id: str


class Join(_Request, tag=2):
    """Lets sockets join rooms."""

    opts: Opts
    rooms: FewRooms


class Leave(_Request, tag=3):
    """Lets sockets leave rooms."""

    opts: Opts
    rooms: FewRooms


class Disconnect(_Request, tag=4):
    """Disconnects sockets from the namespace, or with ``close`` ends their sessions."""

    opts: Opts
    close: bool = False


class FetchSockets(_Request, tag=5):
    """Asks for records of sockets."""

    request_id: str
    opts: Opts


class ServerEvent(_Request, tag=6):
    """An event for the servers themselves; with a ``request_id`` it asks for an answer."""

    data: list[Any]
    request_id: str | UnsetType = UNSET


class Ask(_Request, tag=7):
    """A broadcast whose recipients are to acknowledge it."""

    request_id: str
    packet: Packet
    opts: Opts


Question = ListSockets | ListRooms | FetchSockets | ServerEvent | Ask
"""A request that asks for responses."""

Request = ListSockets | ListRooms | Join | Leave | Disconnect | FetchSockets | ServerEvent | Ask


class SocketFields(msgspec.Struct, kw_only=True):
    """What a server tells of one of its sockets.

    :param rooms: its own id among them.
    :param data: the value that handlers have shared with the cluster.
    """

    id: str
    handshake: dict[str, Any] = {}
    rooms: list[Room] = []
    data: Any = None


class ServerFields(msgspec.Struct, kw_only=True):
    """What a server tells of itself.

    :param name: the machine's and the process's.
    :param counters: its numbers, and dicts of numbers.
    :param worker: what the ids of its sessions begin with; empty if nothing tells them apart.
    """

    name: str
    counters: dict[str, int | float | dict[str, int]]
    worker: str = ""


class Response(msgspec.Struct, rename="camel", kw_only=True):
    """A server's response to a request; what it has depends on the request.

    :param type: 6 with ``data``, 8 with ``client_count``, 9 with ``packet``; otherwise unset.
    :param sockets: ids or records.
    :param data: the answer to an event; unset if it has none.
    :param client_count: how many clients are asked to acknowledge.
    :param packet: the first value of a client's acknowledgement, not decoded yet
        (``decode_value``); unset if it has none.
    :param socket_ids: who is asked to acknowledge, if the asking server wants to know
        (``WANTS_IDS``); Node's servers don't tell.
    :param socket_id: whose acknowledgement it is, likewise.
    :param gone: whether the client has left instead, likewise.
    :param count: how many sockets there are, if the asking server wants no more (``COUNT``).
    :param users: the rooms of the users who have them, likewise (``USERS``).
    :param server: the server itself, likewise (``SERVER``).
    """

    type: int | UnsetType = UNSET
    request_id: str
    sockets: list[str | SocketFields] | UnsetType = UNSET
    rooms: list[Room] | UnsetType = UNSET
    data: Any = UNSET
    client_count: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    packet: Raw | UnsetType = UNSET
    socket_ids: list[str] | UnsetType = UNSET
    socket_id: str | UnsetType = UNSET
    gone: bool | UnsetType = UNSET
    count: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    users: list[Room] | UnsetType = UNSET
    server: ServerFields | UnsetType = UNSET


WANTS_IDS = "ids"
"""A flag of ``Ask``, besides Node's: responses are to have ``socket_ids``, ``socket_id`` and
``gone``."""

LIMIT = "limit"
"""A flag of ``FetchSockets``, which Node's servers ignore: how many records a response may have."""

COUNT = "count"
"""Another one: the response has the number of sockets, instead of their records."""

USERS = "users"
"""Another one: it has the rooms of users, instead."""

SERVER = "server"
"""Another one: it tells of the server, instead."""

NO_SOCKETS = "~"
"""A room that no socket is in, for questions that are not about sockets: Node's servers answer them
at once."""

EVENT_ANSWER = 6
CLIENT_COUNT = 8
ACKNOWLEDGEMENT = 9
"""The types of responses."""


class _RequestId(msgspec.Struct, rename="camel"):
    """What a response is to, for those who don't wait for it."""

    request_id: str


_ORDER = ("uid", "requestId", "type", "packet", "opts", "data", "close", "rooms")
_MESSAGEPACK = (Ask,)

_request_decoders = (
    msgspec.json.Decoder(Request),
    msgspec.msgpack.Decoder(Request, ext_hook=decode_extension),
)
_response_decoders = (
    msgspec.json.Decoder(Response),
    msgspec.msgpack.Decoder(Response, ext_hook=decode_extension),
)
_id_decoders = (msgspec.json.Decoder(_RequestId), msgspec.msgpack.Decoder(_RequestId))


def encode_request(request: Request) -> bytes:
    """Encode a request as the adapter does."""
    fields = msgspec.to_builtins(request, builtin_types=(bytes, Raw))
    if fields.get("opts", {}).get("flags", UNSET) is None:
        del fields["opts"]["flags"]
    ordered = {key: fields[key] for key in _ORDER if key in fields}
    codec = msgspec.msgpack if isinstance(request, _MESSAGEPACK) else msgspec.json
    encoded: bytes = codec.encode(ordered)
    return encoded


def decode_request(data: bytes) -> Request:
    """Decode a request; of a broadcast that is to be acknowledged, whom it is for.

    :raises DecodeError: if it is malformed, of an unknown type, or nested too deep.
    """
    request: Request = _decode(_request_decoders, data)
    if isinstance(request, ServerEvent):
        check_depth(request.data)
        check_event(request.data)
    return request


def encode_response(response: Response) -> bytes:
    """Encode a response as the adapter does."""
    codec = msgspec.msgpack if response.type == ACKNOWLEDGEMENT else msgspec.json
    encoded: bytes = codec.encode(response)
    return encoded


def decode_request_id(data: bytes) -> str:
    """Decode what a response is to, which costs little whatever else it has.

    :raises DecodeError: if it is malformed.
    """
    decoded: _RequestId = _decode(_id_decoders, data)
    return decoded.request_id


def decode_response(data: bytes, pause: Callable[[], None] | None = None) -> Response:
    """Decode a response.

    The value of a client's acknowledgement is not decoded.

    :param pause: called between the parts of the work on a large one.
    :raises DecodeError: if it is malformed, nested too deep, or an acknowledgement in JSON.
    """
    response: Response = _decode(_response_decoders, data)
    if response.packet is not UNSET and data.startswith(_BRACE):
        raise DecodeError("acknowledgement that is not MessagePack")
    values = [response.data]
    for record in response.sockets or ():
        if isinstance(record, SocketFields):
            values += record.handshake, record.data
    check_depth(values, pause)
    return response


# --- Acknowledgements -------------------------------------------------------------------------

MAX_OPENED = 10_000
"""Values that ``estimate_size`` looks at one by one."""

_ARRAYS = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
_LONG_ARRAYS = {0xDC: 3, 0xDD: 5}  # with the bytes of their heads
_MAPS = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
_TEXTS = frozenset([*range(0xA0, 0xC0), *range(0xC4, 0xCA), 0xD9, 0xDA, 0xDB])
_NUMBERS = frozenset(range(0xCA, 0xD4))
"""What values begin with; those of ``_TEXTS`` may be binary data as well."""

_ARRAY_SIZE, _MAP_SIZE, _NUMBER_SIZE, _VALUE_SIZE, _PLACE_SIZE = 88, 184, 36, 56, 8
"""Bytes of a short list and dict, of the largest number, of any other value, and of its place in a
list.
"""

MAX_DECODED = 134_217_728
"""Bytes, estimated, that an event, a request or a response may take once it is decoded."""

_MOST_PER_BYTE = _MAP_SIZE + _PLACE_SIZE
"""How often its bytes a value takes at most (``estimate_size``)."""

_NOT_ARRAYS, _NOT_MAPS, _NOT_VALUES = (
    bytes(set(range(256)) - kinds) for kinds in (_ARRAYS, _MAPS, _TEXTS | _NUMBERS)
)

_NUMBERS_ALONE = re.compile(
    rb"(?s)(?:[\x00-\x7f\xc0\xc2\xc3\xe0-\xff]++|(?:[\xcb\xcf\xd3].{8})++"
    rb"|(?:[\xca\xce\xd2].{4})++|(?:[\xcd\xd1].{2})++|(?:[\xcc\xd0].)++)*+"
)
"""Numbers one after another, and true, false and null."""

_decode_value = msgspec.msgpack.Decoder(ext_hook=decode_extension)
_open_array = msgspec.msgpack.Decoder(list[Raw])
_open_map = msgspec.msgpack.Decoder(dict[str, Raw])


def encode_value(value: Any) -> Raw:
    """Encode the value of an acknowledgement, for a response."""
    return Raw(encode_messagepack(value))


def decode_value(data: bytes, pause: Callable[[], None] | None = None) -> Any:
    """Decode the value of an acknowledgement.

    :param pause: called between the parts of the work on a large one.
    :raises DecodeError: if it is malformed, nested too deep, or takes more memory than there is.
    """
    value = decode_unchecked(_decode_value, data)
    if may_be_too_deep(data):
        if pause is not None:
            pause()
        check_depth(value, pause)
    return value


def _decode(decoders: tuple[Any, Any], data: bytes) -> Any:
    from_json, from_messagepack = decoders
    return decode_unchecked(from_json if data.startswith(_BRACE) else from_messagepack, data)


def excessive_size(data: bytes) -> int | None:
    """Return about how many bytes JSON that begins with a brace, or MessagePack, takes once it is
    decoded; ``None`` if those are no more than ``MAX_DECODED``.
    """
    if len(data) * _MOST_PER_BYTE <= MAX_DECODED:
        return None
    size = (estimate_json_size if data.startswith(_BRACE) else estimate_size)(data)
    return size if size > MAX_DECODED else None


def estimate_size(data: bytes) -> int:
    """Estimate how many bytes a value takes once it is decoded, rather too many than too few.

    Text and binary data can't be told from other values without reading all of them in order.
    Therefore only some are looked at one by one, and the rest is taken for what costs most, except
    in long arrays of numbers alone.
    """
    size, to_open, pending = 0, MAX_OPENED, [data]
    while pending:
        value = pending.pop()
        kind = value[0]
        if kind in _TEXTS:
            size += _VALUE_SIZE + 4 * len(value)
        elif (kind in _ARRAYS or kind in _MAPS) and (count := _count(value)) <= to_open:
            to_open -= count
            size += _MAP_SIZE + 2 * _VALUE_SIZE * count
            try:
                items = [bytes(item) for item in _items(value)]
            except DecodeError:
                size += _most(value)
                continue
            pending += items
            if kind in _MAPS:  # what is left are the keys
                size += 4 * (len(value) - sum(map(len, items)))
        elif kind in _LONG_ARRAYS and _NUMBERS_ALONE.fullmatch(value, _LONG_ARRAYS[kind]):
            numbers = _ARRAY_SIZE + (_NUMBER_SIZE + _PLACE_SIZE) * _count(value)
            size += min(numbers, _most(value))  # small integers take their places only
        else:
            size += _most(value)
    return size


def _count(container: bytes) -> int:
    """Return how many items an array or a map has."""
    kind = container[0]
    if kind < 0xA0:
        return kind & 0x0F
    return int.from_bytes(container[1 : 3 if kind in (0xDC, 0xDE) else 5])


def _items(container: bytes) -> Iterable[Raw]:
    """Return the items of an array, or the values of a map.

    :raises DecodeError: if it is malformed, or a key is no text.
    """
    if container[0] in _ARRAYS:
        items: list[Raw] = decode_unchecked(_open_array, container)
        return items
    values: dict[str, Raw] = decode_unchecked(_open_map, container)
    return values.values()


def _most(data: bytes) -> int:
    """Return how many bytes values may take at most, whatever they are."""
    return (
        _PLACE_SIZE * len(data)
        + _ARRAY_SIZE * len(data.translate(None, _NOT_ARRAYS))
        + _MAP_SIZE * len(data.translate(None, _NOT_MAPS))
        + _VALUE_SIZE * len(data.translate(None, _NOT_VALUES))
    )
