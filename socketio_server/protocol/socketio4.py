"""Socket.IO revision 4, which ``socket.io-client`` 2.x speaks: where its packets differ from 5's.

The specification is https://github.com/socketio/socket.io-protocol/tree/v4. What is here stands in
for its namesake of ``protocol.socketio``; packets are that module's, events and acknowledgements
are the same bytes (so one encoding goes to clients of both), and binary ones are put together by
the same ``Assembly``. What differs:

* A client is in the main namespace without asking: the server sends CONNECT unasked, ``0``, before
  anything else (section Connection to the default namespace).
* CONNECT never has data. A client's may carry a query behind the namespace, ``0/admin?token=1,``,
  and the server's tells no id: the client makes up its own, of the Engine.IO ``sid`` and the
  namespace (section Packet types, CONNECT).
* A refusal is called ERROR, and has one value: its data, where there is some, else its message
  (section Packet types, ERROR; the choice is the reference server's).
* Clients keep ``error``, ``ping``, ``pong`` and all names of ``connect…`` and ``reconnect…`` to
  themselves: an event of such a name would pass for their own.
"""

import re
from collections.abc import Sequence

from socketio_server.exceptions import DecodeError
from socketio_server.protocol import socketio
from socketio_server.protocol.socketio import Head, Packet, PacketType, encode_disconnect

__all__ = ["Encoder", "decode", "encode_connect", "encode_disconnect", "read_head"]

# Section Packet encoding; the comma may be missing at a packet's end, as for the other types.
_CONNECT = re.compile(r"0(?:(/[^,?]*)(?:\?([^,]*))?,?)?")


def read_head(text: str, max_attachments: int = 10) -> Head:
    """Read a packet's text up to its JSON, as ``protocol.socketio.read_head``.

    :param text: an Engine.IO text message.
    :param max_attachments: how many attachments a packet may announce.
    :return: the head of the packet; that of a CONNECT has its query, as it came.
    :raises DecodeError: if the packet is malformed or over a limit.
    """
    if not text.startswith("0"):
        return socketio.read_head(text, max_attachments)
    match = _CONNECT.fullmatch(text)
    if match is None:
        raise DecodeError("a CONNECT packet carries a namespace and a query at most")
    namespace, query = match.groups()
    return Head(PacketType.CONNECT, namespace or "/", None, 0, len(text), query or "")


def decode(text: str, attachments: Sequence[bytes] = ()) -> Packet:
    """Decode one packet (section Packet encoding), as ``protocol.socketio.decode``."""
    if not text.startswith("0"):
        return socketio.decode(text, attachments)
    head = read_head(text)
    return Packet(head.type, head.namespace, query=head.query)


class Encoder(socketio.Encoder):
    """Encodes packets whose data comes from an application, as ``protocol.socketio.Encoder``."""

    __slots__ = ()

    def connect_error(self, message: str, data: object = None, *, namespace: str = "/") -> bytes:
        """Encode the refusal of a namespace (section Packet types, ERROR).

        :param message: what the client's ``error`` event gets where there is no ``data``.
        :param data: what it gets otherwise.
        :param namespace: the namespace that was asked for.
        :return: the text of the packet.
        :raises TypeError: if it can't be encoded; binary data can't be here.
        """
        return self._encode_refusal(message if data is None else data, namespace)


def encode_connect(socket_id: str, *, namespace: str = "/") -> bytes:
    """Encode the server's CONNECT (section Exchange protocol): asked for or, for ``/``, not.

    :param socket_id: left out: the client has made up an id of its own.
    :param namespace: the namespace that was joined.
    :return: the text of the packet.
    """
    return socketio.encode_head(b"0", namespace)
