"""Socket.IO packets: text in, values out, and back.

Knows the wire of the Socket.IO protocol, revision 5
(https://github.com/socketio/socket.io-protocol), and the shapes that the reference parser insists
on; ``protocol.jsoncodec`` does the JSON. Which packet may come when, and on which namespace, is the
session's business. The Engine.IO layer below carries a packet's text as a text message and its
attachments as binary messages after it.

This is the server's hot path, hence functions over ``str`` and ``bytes`` instead of objects that
encode themselves, and a short cut for the commonest packet, an event in the main namespace.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any

import msgspec

from socketio_server.exceptions import DecodeError
from socketio_server.protocol import jsoncodec
from socketio_server.protocol.names import RESERVED_EVENTS


class PacketType(IntEnum):
    """Packet types (section Packet types); on the wire each is its digit."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    BINARY_ACK = 6


class Packet(msgspec.Struct, frozen=True):
    """One packet as a client sent it.

    ``data`` is the decoded JSON, ``None`` where there was none; ``attachments`` is how many binary
    messages still have to come for it (see :class:`Assembly`), 0 for a packet that is complete;
    ``query`` is what revision 4's CONNECT may carry (``protocol.socketio4``).
    """

    type: PacketType
    namespace: str = "/"
    data: Any = None
    ack_id: int | None = None
    attachments: int = 0
    query: str = ""


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """An outgoing packet: its text in UTF-8, and the binary messages that follow it in order."""

    text: bytes
    attachments: tuple[bytes, ...] = ()


# --- Decoding ---------------------------------------------------------------------------------

_EVENT = PacketType.EVENT
_parse = jsoncodec.parse
_BINARY_TYPES = (PacketType.BINARY_EVENT, PacketType.BINARY_ACK)

# Section Packet encoding: <type>[<attachments>-][<namespace>,][<ack id>][<JSON>]. Digits are ASCII.
# An id is a number in JavaScript, where 15 digits are always exact.
_PACKET = re.compile(
    r"([0-6])"
    r"(?:([0-9]{1,9})-)?"
    r"(?:(/[^,]*),?)?"
    r"([0-9]{1,15})?"
    r"(.*)",
    re.DOTALL,
)


def decode(text: str, max_attachments: int = 10) -> Packet:
    """Decode the text of one packet (section Packet encoding).

    A binary packet that announces attachments is returned with ``attachments`` set and placeholders
    in its data, for :class:`Assembly`; one that announces none is returned as a plain event or ack.

    :param text: an Engine.IO text message.
    :param max_attachments: how many attachments a packet may announce.
    :returns: the packet, its data in the shape that its type asks for.
    :raises DecodeError: if the packet is malformed or over a limit.
    """
    if text.startswith("2["):  # an event in the main namespace: nearly every packet is one
        data = _parse(text[1:])
        if data and type(data[0]) is str and data[0] not in RESERVED_EVENTS:
            return Packet(_EVENT, "/", data)
    match = _PACKET.match(text)
    if match is None:
        raise DecodeError("no Socket.IO packet type")
    digit, announced, namespace, ack_id, json = match.groups()
    packet_type, check = _TYPES[digit]
    packet = Packet(
        packet_type,
        namespace or "/",
        _parse(json) if json else None,
        int(ack_id) if ack_id else None,
        int(announced) if announced else 0,
    )
    check(packet, bool(json))
    if (packet_type in _BINARY_TYPES) != (announced is not None):
        raise DecodeError("attachments are announced by binary packets, and by these always")
    if packet.attachments > max_attachments:
        raise DecodeError(
            f"{packet.attachments} attachments, at most {max_attachments} are allowed"
        )
    if announced and not packet.attachments:
        _find_slots(packet)  # there must be none
        return _as_plain(packet)
    return packet


def _check_event(data: Any) -> Any:
    """Return an event's data if it is a name and arguments (section EVENT)."""
    if type(data) is not list or not data or type(data[0]) is not str:
        raise DecodeError("an event is an array that begins with the event's name")
    if data[0] in RESERVED_EVENTS:
        raise DecodeError("the event's name is reserved")
    return data


def _check_connect(packet: Packet, has_data: bool) -> None:
    if has_data and type(packet.data) is not dict:
        raise DecodeError("a CONNECT packet carries an object or nothing")
    _check_no_id(packet)


def _check_disconnect(packet: Packet, has_data: bool) -> None:
    if has_data:
        raise DecodeError("a DISCONNECT packet carries no data")
    _check_no_id(packet)


def _check_connect_error(packet: Packet, has_data: bool) -> None:
    if type(packet.data) not in (str, dict):
        raise DecodeError("a CONNECT_ERROR packet carries a string or an object")
    _check_no_id(packet)


def _check_any_event(packet: Packet, has_data: bool) -> None:
    _check_event(packet.data)


def _check_ack(packet: Packet, has_data: bool) -> None:
    if type(packet.data) is not list or packet.ack_id is None:
        raise DecodeError("an acknowledgement is an id and an array")


def _check_no_id(packet: Packet) -> None:
    if packet.ack_id is not None:
        raise DecodeError("only events and acknowledgements have an id")


# What each type's data must be: the reference parser's ``isDataValid``.
_TYPES: dict[str, tuple[PacketType, Callable[[Packet, bool], None]]] = {
    "0": (PacketType.CONNECT, _check_connect),
    "1": (PacketType.DISCONNECT, _check_disconnect),
    "2": (PacketType.EVENT, _check_any_event),
    "3": (PacketType.ACK, _check_ack),
    "4": (PacketType.CONNECT_ERROR, _check_connect_error),
    "5": (PacketType.BINARY_EVENT, _check_any_event),
    "6": (PacketType.BINARY_ACK, _check_ack),
}


# --- Binary packets ---------------------------------------------------------------------------


class Assembly:
    """Collects the attachments of one binary packet (section Packet encoding, binary packets).

    :param packet: a packet with ``attachments`` due; the assembly owns its data from now on.
    :param max_size: how many bytes its attachments may have together.
    :raises DecodeError: if the placeholders are not exactly one for each attachment.
    """

    __slots__ = ("_max_size", "_packet", "_received", "_size", "_slots")

    def __init__(self, packet: Packet, *, max_size: int) -> None:
        self._packet = packet
        self._max_size = max_size
        self._slots = _find_slots(packet)  # where each attachment goes, by its number
        self._received = 0  # attachments so far
        self._size = 0  # their bytes

    def add(self, data: bytes) -> Packet | None:
        """Take the next attachment.

        :param data: an Engine.IO binary message.
        :returns: the complete packet, a plain ``EVENT`` or ``ACK`` with ``bytes`` where the
            placeholders were, once the last attachment is there; the assembly is spent then.
        :raises DecodeError: if the attachments become larger than allowed.
        """
        self._size += len(data)
        if self._size > self._max_size:
            raise DecodeError(
                f"attachments of {self._size} bytes, at most {self._max_size} are allowed"
            )
        container, key = self._slots[self._received]
        container[key] = data
        self._received += 1
        return _as_plain(self._packet) if self._received == len(self._slots) else None


def _find_slots(packet: Packet) -> list[tuple[Any, Any]]:
    """Find the container and key of each placeholder, in the order of their numbers."""
    slots: dict[int, tuple[Any, Any]] = {}
    for container, key, number in _placeholders(packet.data):
        if type(number) is not int or not 0 <= number < packet.attachments or number in slots:
            raise DecodeError("a placeholder stands for no attachment, or for one that is taken")
        slots[number] = container, key
    if len(slots) != packet.attachments:
        raise DecodeError(f"{len(slots)} placeholders for {packet.attachments} attachments")
    return [slots[number] for number in range(packet.attachments)]


def _placeholders(data: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield container, key and number of each placeholder in decoded JSON."""
    pending = [data]
    while pending:
        container = pending.pop()
        items = container.items() if type(container) is dict else enumerate(container)
        for key, value in items:
            if type(value) is dict and value.get("_placeholder") is True:
                yield container, key, value.get("num")
            elif type(value) in (dict, list):
                pending.append(value)


def _as_plain(packet: Packet) -> Packet:
    """Return a complete binary packet as what it is without its attachments."""
    plain_type = _EVENT if packet.type is PacketType.BINARY_EVENT else PacketType.ACK
    return Packet(plain_type, packet.namespace, packet.data, packet.ack_id)


# --- Encoding ---------------------------------------------------------------------------------


class Encoder:
    """Encodes packets whose data comes from an application.

    That is anything that JSON carries, plus binary data (``bytes``, ``bytearray``, ``memoryview``)
    anywhere inside, plus what msgspec knows (dataclasses, structs, enums, sets, and dates, times,
    durations, decimals and UUIDs in their ISO 8601 or usual text), plus what ``default`` takes.
    Keys of objects are taken as ``json`` takes them, NaN and infinities become ``null``, lone
    surrogates U+FFFD. The caller's objects are never changed.

    :param default: called with an object of another type; returns what to encode instead or raises
        ``TypeError``, like ``json.JSONEncoder.default``. ``None``: other types can't be encoded.
    """

    __slots__ = ("_dump", "_dump_foreign")

    def __init__(self, default: Callable[[Any], Any] | None = None) -> None:
        dumper = jsoncodec.Dumper(default)
        self._dump = dumper.dump
        self._dump_foreign = dumper.dump_foreign

    def event(
        self,
        event_name: str,
        args: Sequence[Any],
        namespace: str = "/",
        ack_id: int | None = None,
    ) -> Encoded:
        """Encode an event (section EVENT), as a BINARY_EVENT where it has binary data.

        :param event_name: its name; that it is not reserved is the caller's to check.
        :param args: its arguments.
        :param namespace: the namespace it belongs to.
        :param ack_id: the id that the client is to acknowledge it with; ``None`` asks for nothing.
        :returns: the packet.
        :raises TypeError: if something can't be encoded, or is circular or too deep.
        """
        json, attachments = self._dump((event_name, *args))
        if not attachments and ack_id is None and namespace == "/":
            return Encoded(b"2" + json)  # nearly every event
        if attachments:
            head = encode_head(b"5%d-" % len(attachments), namespace, ack_id)
        else:
            head = encode_head(b"2", namespace, ack_id)
        return Encoded(head + json, attachments)

    def ack(self, ack_id: int, values: Sequence[Any], *, namespace: str = "/") -> Encoded:
        """Encode an acknowledgement (section ACK), as a BINARY_ACK where it has binary data.

        :param ack_id: the id that the client asked with.
        :param values: what the client's callback is called with.
        :param namespace: the namespace of the event that it answers.
        :returns: the packet.
        :raises TypeError: if something can't be encoded, or is circular or too deep.
        """
        json, attachments = self._dump(tuple(values))
        if attachments:
            head = encode_head(b"6%d-" % len(attachments), namespace, ack_id)
        else:
            head = encode_head(b"3", namespace, ack_id)
        return Encoded(head + json, attachments)

    def connect_error(self, message: str, data: Any = None, *, namespace: str = "/") -> bytes:
        """Encode the refusal of a namespace (section Connection to a namespace).

        :param message: what the client sees as ``error.message``.
        :param data: what the client sees as ``error.data``; left out if ``None``.
        :param namespace: the namespace that was asked for.
        :returns: the text of the packet.
        :raises TypeError: if something can't be encoded; binary data can't be here.
        """
        error = {"message": message} if data is None else {"message": message, "data": data}
        json, attachments = self._dump_foreign(error)
        if attachments:
            raise TypeError("a connect_error packet can't carry binary data")
        return encode_head(b"4", namespace) + json


def encode_connect(socket_id: str, *, namespace: str = "/") -> bytes:
    """Encode the answer to a client's CONNECT (section Connection to a namespace).

    :param socket_id: the client's public id in this namespace.
    :param namespace: the namespace that was joined.
    :returns: the text of the packet.
    """
    return encode_head(b"0", namespace) + msgspec.json.encode({"sid": socket_id})


def encode_disconnect(*, namespace: str = "/") -> bytes:
    """Encode the server's leave-taking from a namespace (section Disconnection from a namespace).

    :param namespace: the namespace that ends.
    :returns: the text of the packet.
    """
    return encode_head(b"1", namespace)


def encode_head(head: bytes, namespace: str, ack_id: int | None = None) -> bytes:
    """Add namespace and id to a packet's type; the main namespace goes without saying."""
    if namespace != "/":
        head = b"%b%b," % (head, namespace.encode())
    return head if ack_id is None else b"%b%d" % (head, ack_id)
