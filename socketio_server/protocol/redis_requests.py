"""The requests and responses of ``@socket.io/redis-adapter``: bytes in, values out, and back.

By them a server asks the others for their sockets, changes these, or lets code run there. They are
JSON; those with a client's data are MessagePack, because it may be binary: what begins with a brace
is JSON. The keys are written in the order in which Node writes them. ``protocol.redis_adapter`` has
the broadcasts.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from socketio_server.exceptions import DecodeError
from socketio_server.protocol.jsoncodec import MAX_DEPTH
from socketio_server.protocol.redis_adapter import (
    Opts,
    Packet,
    Room,
    check_depth,
    decode_extension,
    decode_with,
)
from socketio_server.protocol.socketio import check_event

_BRACE = b"{"


class _Request(msgspec.Struct, tag_field="type", rename="camel", kw_only=True):
    """A request of one type.

    :param uid: the server that asks; some requests are sent without.
    """

    uid: str | UnsetType = UNSET


class ListSockets(_Request, tag=0):
    """Asks for the ids of the sockets in some rooms (older servers)."""

    request_id: str
    rooms: list[Room] = []


class ListRooms(_Request, tag=1):
    """Asks for the names of all rooms."""

    request_id: str


class Join(_Request, tag=2):
    """Lets sockets join rooms."""

    opts: Opts
    rooms: list[Room]


class Leave(_Request, tag=3):
    """Lets sockets leave rooms."""

    opts: Opts
    rooms: list[Room]


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
    """

    name: str
    counters: dict[str, int | float | dict[str, int]]


class Response(msgspec.Struct, rename="camel", kw_only=True):
    """A server's response to a request; what it has depends on the request.

    :param type: 6 with ``data``, 8 with ``client_count``, 9 with ``packet``; otherwise unset.
    :param sockets: ids or records.
    :param data: the answer to an event; unset if it has none.
    :param client_count: how many clients are asked to acknowledge.
    :param packet: the first value of a client's acknowledgement; unset if it has none.
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
    client_count: int | UnsetType = UNSET
    packet: Any = UNSET
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


def encode_request(request: Request) -> bytes:
    """Encode a request as the adapter does."""
    fields = msgspec.to_builtins(request, builtin_types=(bytes,))
    if fields.get("opts", {}).get("flags", UNSET) is None:
        del fields["opts"]["flags"]
    ordered = {key: fields[key] for key in _ORDER if key in fields}
    codec = msgspec.msgpack if isinstance(request, _MESSAGEPACK) else msgspec.json
    encoded: bytes = codec.encode(ordered)
    return encoded


def decode_request(data: bytes) -> Request:
    """Decode a request.

    :raises DecodeError: if it is malformed, of an unknown type, or nested too deep.
    """
    request: Request = _decode(_request_decoders, data)
    if isinstance(request, ServerEvent):
        check_event(request.data)
    elif isinstance(request, Ask):
        check_event(request.packet.data)
    return request


def encode_response(response: Response) -> bytes:
    """Encode a response as the adapter does."""
    codec = msgspec.msgpack if response.type == ACKNOWLEDGEMENT else msgspec.json
    encoded: bytes = codec.encode(response)
    return encoded


def decode_response(data: bytes) -> Response:
    """Decode a response.

    :raises DecodeError: if it is malformed, or nested too deep.
    """
    response: Response = _decode(_response_decoders, data)
    return response


def _decode(decoders: tuple[Any, Any], data: bytes) -> Any:
    from_json, from_messagepack = decoders
    if not data.startswith(_BRACE):
        return decode_with(from_messagepack, data)
    try:
        value = from_json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DecodeError(f"malformed message: {error}") from error
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        check_depth(value)
    return value
