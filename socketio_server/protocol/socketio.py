"""Socket.IO packets: text in, values out, and back.

Knows the wire of the Socket.IO protocol, revision 5
(https://github.com/socketio/socket.io-protocol), and the shapes that the reference parser insists
on; ``protocol.jsoncodec`` does the JSON. The router decides which packet may come when, and in
which namespace. The Engine.IO layer below carries a packet's text as a text message and its
attachments as binary messages after it.

Functions over ``str`` and ``bytes`` instead of objects that encode themselves, and a short cut for
the commonest packet, an event in the main namespace, because this is the server's hot path.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from sys import getsizeof
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


class Head(msgspec.Struct, frozen=True, gc=False):
    """A packet's text up to its JSON: enough to route the packet.

    ``attachments`` is the number of binary messages that follow the text; ``start`` is where the
    JSON begins, or the text's length if there is none; ``query`` is the query of revision 4's
    CONNECT (``protocol.socketio4``).
    """

    type: PacketType
    namespace: str
    ack_id: int | None
    attachments: int
    start: int
    query: str = ""


class Packet(msgspec.Struct, frozen=True):
    """One complete packet as a client sent it; ``data`` is ``None`` if it has none."""

    type: PacketType
    namespace: str = "/"
    data: Any = None
    ack_id: int | None = None
    query: str = ""


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """An outgoing packet: its text in UTF-8, and the binary messages that follow it in order."""

    text: bytes
    attachments: tuple[bytes, ...] = ()


# --- Decoding ---------------------------------------------------------------------------------

_EVENT = PacketType.EVENT
_parse = jsoncodec.parse

# Section Packet encoding: <type>[<attachments>-][<namespace>,][<ack id>][<JSON>]. Digits are ASCII.
# An id is a number in JavaScript, where 15 digits are always exact. The first character of the JSON
# tells an array from an object.
_HEAD = re.compile(
    r"([0-6])"
    r"(?:([0-9]{1,9})-)?"
    r"(?:(/[^,]*),?)?"
    r"([0-9]{1,15})?"
    r"(?:[ \t\n\r]*([^ \t\n\r]))?"
)


class _Kind(msgspec.Struct, frozen=True):
    """The form of one type's packets: the reference parser's ``isDataValid``.

    :param begins: characters that their JSON may begin with; ``None``: it may be missing.
    :param has_id: whether they have an id; ``None``: they may have one.
    """

    type: PacketType
    begins: tuple[str | None, ...]
    has_id: bool | None = False
    is_binary: bool = False


_KINDS = {
    "0": _Kind(PacketType.CONNECT, ("{", None)),
    "1": _Kind(PacketType.DISCONNECT, (None,)),
    "2": _Kind(PacketType.EVENT, ("[",), has_id=None),
    "3": _Kind(PacketType.ACK, ("[",), has_id=True),
    "4": _Kind(PacketType.CONNECT_ERROR, ("{", '"')),
    "5": _Kind(PacketType.BINARY_EVENT, ("[",), has_id=None, is_binary=True),
    "6": _Kind(PacketType.BINARY_ACK, ("[",), has_id=True, is_binary=True),
}

# A binary packet is decoded to a plain one, with its attachments in the data.
_PLAIN_TYPES = {PacketType.BINARY_EVENT: _EVENT, PacketType.BINARY_ACK: PacketType.ACK}


def read_head(text: str, max_attachments: int = 10) -> Head:
    """Read a packet's text up to its JSON (section Packet encoding).

    Only :func:`decode` finds faults inside the JSON.

    :param text: an Engine.IO text message.
    :param max_attachments: how many attachments a packet may announce.
    :return: the head of the packet.
    :raises DecodeError: if it is malformed or over a limit, or its JSON does not fit its type.
    """
    match = _HEAD.match(text)
    if match is None:
        raise DecodeError("no Socket.IO packet type")
    digit, announced, namespace, ack_id, first = match.groups()
    kind = _KINDS[digit]
    if first is None and match.end() != len(text):
        raise DecodeError("malformed JSON")
    if first not in kind.begins:
        raise DecodeError(f"packet of type {kind.type.name} with data of a wrong type")
    if kind.has_id is not None and kind.has_id != (ack_id is not None):
        raise DecodeError("acknowledgement without an id, or an id where none may be")
    if kind.is_binary != (announced is not None):
        raise DecodeError(
            "binary packet without a count of attachments, or another packet with one"
        )
    attachments = int(announced) if announced else 0
    if attachments > max_attachments:
        raise DecodeError(
            f"{attachments} attachments, at most {max_attachments} are allowed "
            "(SOCKETIO_MAX_ATTACHMENTS)"
        )
    return Head(
        kind.type,
        namespace or "/",
        int(ack_id) if ack_id else None,
        attachments,
        len(text) if first is None else match.start(5),
    )


def decode(
    text: str, attachments: Sequence[bytes] = (), pause: Callable[[], None] | None = None
) -> Packet:
    """Decode one packet (section Packet encoding).

    :param text: an Engine.IO text message.
    :param attachments: the binary messages that followed it.
    :param pause: called before the placeholders of a binary packet are searched for, which takes as
        long as the rest.
    :return: the packet, with data in the shape of its type; a binary packet as a plain ``EVENT`` or
        ``ACK`` with ``bytes`` in place of the placeholders.
    :raises DecodeError: if it is malformed, or does not have exactly one placeholder for each
        attachment.
    """
    if text.startswith("2["):  # an event in the main namespace: nearly every packet is one
        data = _parse(text[1:])
        if data and type(data[0]) is str and data[0] not in RESERVED_EVENTS:
            return Packet(_EVENT, "/", data)
    head = read_head(text, len(attachments))
    data = _parse(text[head.start :]) if head.start < len(text) else None
    del text  # it may take four bytes for each character, and the pause may be long
    plain_type = _PLAIN_TYPES.get(head.type)
    if plain_type is not None:
        if head.attachments != len(attachments):
            raise DecodeError(f"{len(attachments)} attachments for {head.attachments}")
        if pause is not None:
            pause()
        _fill_slots(data, attachments)
    if (plain_type or head.type) is _EVENT:
        check_event(data)
    return Packet(plain_type or head.type, head.namespace, data, head.ack_id)


def check_event(data: Any) -> None:
    """Raise ``DecodeError`` unless an array is a name and arguments (section EVENT)."""
    if not data or type(data[0]) is not str:
        raise DecodeError("event is not an array that begins with a name")
    if data[0] in RESERVED_EVENTS:
        raise DecodeError("event name is reserved")


# --- Binary packets ---------------------------------------------------------------------------


_SEARCH_COST = 4
"""How many times as long the JSON of a binary packet takes, because it is searched for placeholders
and its values once more for binary data, if they are sent back."""


class Assembly:
    """Collects the attachments of one binary packet (section Packet encoding, binary packets).

    Its JSON stays text until ``decode`` is called.

    :param text: the packet's text, as ``keep`` returns it.
    :param head: its head, with the number of ``attachments`` to collect.
    :param max_size: bytes that its attachments may have together.
    """

    __slots__ = ("_attachments", "_max_size", "_size", "_text", "head")

    def __init__(self, text: str | bytes, head: Head, *, max_size: int) -> None:
        self._text = text
        self.head = head
        """The packet's head."""
        self._max_size = max_size
        self._attachments: list[bytes] = []
        self._size = 0  # bytes of the attachments

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + getsizeof(self._text) + self._size

    def add(self, data: bytes) -> bool:
        """Take the next attachment.

        :param data: an Engine.IO binary message.
        :return: whether it was the last one.
        :raises DecodeError: if the attachments become larger than allowed.
        """
        size = self._size + len(data)
        if size > self._max_size:
            raise DecodeError(
                f"attachments of {size} bytes, at most {self._max_size} are allowed "
                "(SOCKETIO_MAX_PAYLOAD)"
            )
        self._size = size
        self._attachments.append(data)
        return len(self._attachments) == self.head.attachments

    @property
    def work(self) -> int:
        """How many bytes a text event would have that takes as long."""
        return _SEARCH_COST * len(self._text)

    def estimate_size(self) -> int:
        """Estimate how many bytes the packet takes once it is decoded, beside its text."""
        return getsizeof(self._text) + jsoncodec.estimate_size(self._text) + self._size

    def decode(self, pause: Callable[[], None] | None = None) -> Packet:
        """Decode the packet once it is complete, as :func:`decode`."""
        return decode(_read_kept(self._text), self._attachments, pause)


Kept = str | bytes | Assembly
"""A packet that waits to be decoded (``keep``, ``decode_kept``)."""

_LONG = 100  # characters


def keep(text: str) -> str | bytes:
    """Return a packet's text in the form that takes less memory while it waits.

    A single emoji makes every character of a ``str`` take four bytes.
    """
    return text if len(text) < _LONG or text.isascii() else text.encode("utf-8", "surrogatepass")


def estimate_size(kept: Kept) -> int:
    """Estimate how many bytes a packet takes once it is decoded, beside its text, which stays."""
    if isinstance(kept, Assembly):
        return kept.estimate_size()
    return getsizeof(kept) + jsoncodec.estimate_size(kept)


def decode_kept(kept: Kept, pause: Callable[[], None] | None = None) -> Packet:
    """Decode a packet that has waited, as :func:`decode`."""
    return kept.decode(pause) if isinstance(kept, Assembly) else decode(_read_kept(kept))


def _read_kept(kept: str | bytes) -> str:
    return kept if isinstance(kept, str) else kept.decode("utf-8", "surrogatepass")


def _fill_slots(data: Any, attachments: Sequence[bytes]) -> None:
    """Replace each placeholder by its attachment."""
    slots: dict[int, tuple[Any, Any]] = {}  # container and key of each
    for container, key, number in _placeholders(data):
        if type(number) is not int or not 0 <= number < len(attachments) or number in slots:
            raise DecodeError("placeholder for no attachment, or for one that has another")
        slots[number] = container, key
    if len(slots) != len(attachments):
        raise DecodeError(f"{len(slots)} placeholders for {len(attachments)} attachments")
    for number, (container, key) in slots.items():
        container[key] = attachments[number]


def _placeholders(data: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield container, key and number of each placeholder in decoded JSON."""
    pending = [data]
    while pending:
        container = pending.pop()
        items = container.items() if type(container) is dict else enumerate(container)
        for key, value in items:
            if type(value) is dict and value.get("_placeholder") is True:
                yield container, key, value.get("num")
            elif type(value) in (dict, list) and value:
                pending.append(value)


# --- Encoding ---------------------------------------------------------------------------------


class Encoder:
    """Encodes packets whose data comes from an application.

    The data may hold JSON's types, binary data (``bytes``, ``bytearray``, ``memoryview``) anywhere
    inside, msgspec's types (dataclasses, structs, enums, sets, and dates, times, durations,
    decimals and UUIDs in their ISO 8601 or usual text), and the types that ``default`` converts.
    Keys of objects are converted as ``json`` does, or to the text of values of their type; NaN and
    infinities become ``null``, lone surrogates U+FFFD. The caller's objects are never changed.
    Beside binary data a dict that looks like a placeholder is refused, because clients know no
    escape for it.

    :param default: called with an object of another type; returns its replacement or raises
        ``TypeError``, like ``json.JSONEncoder.default``. ``None``: other types can't be encoded.
    """

    __slots__ = ("_dump", "_dump_foreign")

    def __init__(self, default: Callable[[Any], Any] | None = None) -> None:
        dumper = jsoncodec.Dumper(default)
        self._dump = dumper.dump
        self._dump_foreign = dumper.dump_foreign

    def copy(self, values: Sequence[Any]) -> list[Any]:
        """Return values as peers decode them: JSON's types and ``bytes``.

        Later changes of the caller's objects don't affect them.

        :raises TypeError: as for :meth:`event`.
        """
        json, attachments = self._dump(tuple(values))
        data: list[Any] = _parse(json.decode())
        if attachments:
            _fill_slots(data, attachments)
        return data

    def event(
        self,
        event_name: str,
        args: Sequence[Any],
        namespace: str = "/",
        ack_id: int | None = None,
    ) -> Encoded:
        """Encode an event (section EVENT), as a BINARY_EVENT if it has binary data.

        :param event_name: its name; the caller checks that it is not reserved.
        :param args: its arguments.
        :param namespace: its namespace.
        :param ack_id: the id of the acknowledgement that the client is to send; ``None``: none.
        :return: the packet.
        :raises TypeError: if an argument can't be encoded, or is circular or too deep.
        """
        json, attachments = self._dump((event_name, *args))
        if not attachments and ack_id is None and namespace == "/":
            return Encoded(b"2" + json)  # nearly every event
        if attachments:
            head = encode_head(b"5%d-" % len(attachments), namespace, ack_id)
        else:
            head = encode_head(b"2", namespace, ack_id)
        return Encoded(head + json, attachments)

    def event_with_values(
        self, event_name: str, args: Sequence[Any], namespace: str = "/"
    ) -> tuple[Encoded, list[Any]]:
        """Encode an event, and return its name and arguments as peers decode them, too.

        Those are JSON's types, ``bytes``, and tuples for some lists. Parts may be the caller's own
        objects.

        :raises TypeError: as for :meth:`event`.
        """
        values = (event_name, *args)
        json = jsoncodec.dump_plain(values)  # one search of the values for both results
        if json is not None:  # nearly always
            return Encoded(encode_head(b"2", namespace) + json), list(values)
        return self.event(event_name, args, namespace), self.copy(values)

    def ack(self, ack_id: int, values: Sequence[Any], *, namespace: str = "/") -> Encoded:
        """Encode an acknowledgement (section ACK), as a BINARY_ACK if it has binary data.

        :param ack_id: the id of the client's event.
        :param values: the arguments of the client's callback.
        :param namespace: the namespace of the client's event.
        :return: the packet.
        :raises TypeError: if a value can't be encoded, or is circular or too deep.
        """
        json, attachments = self._dump(tuple(values))
        if attachments:
            head = encode_head(b"6%d-" % len(attachments), namespace, ack_id)
        else:
            head = encode_head(b"3", namespace, ack_id)
        return Encoded(head + json, attachments)

    def connect_error(self, message: str, data: Any = None, *, namespace: str = "/") -> bytes:
        """Encode the refusal of a namespace (section Connection to a namespace).

        :param message: the client's ``error.message``.
        :param data: the client's ``error.data``; left out if ``None``.
        :param namespace: the namespace that the client asked for.
        :return: the text of the packet.
        :raises TypeError: if the data can't be encoded, or is binary.
        """
        error = {"message": message} if data is None else {"message": message, "data": data}
        return self._encode_refusal(error, namespace)

    def _encode_refusal(self, error: Any, namespace: str) -> bytes:
        json, attachments = self._dump_foreign(error)
        if attachments:
            raise TypeError("a connect_error packet can't carry binary data")
        return encode_head(b"4", namespace) + json


def encode_connect(socket_id: str, *, namespace: str = "/") -> bytes:
    """Encode the answer to a client's CONNECT (section Connection to a namespace).

    :param socket_id: the client's public id in this namespace.
    :param namespace: the namespace that the client joined.
    :return: the text of the packet.
    """
    return encode_head(b"0", namespace) + msgspec.json.encode({"sid": socket_id})


def encode_disconnect(*, namespace: str = "/") -> bytes:
    """Encode the server's DISCONNECT (section Disconnection from a namespace).

    :param namespace: the namespace that the client is removed from.
    :return: the text of the packet.
    """
    return encode_head(b"1", namespace)


def encode_head(head: bytes, namespace: str, ack_id: int | None = None) -> bytes:
    """Add namespace and id to a packet's type; the main namespace is not written."""
    if namespace != "/":
        head = b"%b%b," % (head, namespace.encode())
    return head if ack_id is None else b"%b%d" % (head, ack_id)
