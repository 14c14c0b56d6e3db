"""Socket.IO revision 4, spoken by ``socket.io-client`` 2.x: the differences to revision 5.

The specification is https://github.com/socketio/socket.io-protocol/tree/v4. Each function and class
replaces the one of the same name in ``protocol.socketio``. ``Packet`` and ``Assembly`` are that
module's, and events and acknowledgements are the same bytes, so that one encoding serves clients of
both revisions. The differences:

* A client joins the main namespace without asking for it: the server sends CONNECT, ``0``, before
  anything else (section Connection to the default namespace).
* CONNECT never has data. A client's CONNECT may carry a query behind the namespace,
  ``0/admin?token=1,``. The server's CONNECT carries no id, because the client makes its own from
  the Engine.IO ``sid`` and the namespace (section Packet types, CONNECT).
* A refusal is called ERROR, and has one value: its data, or its message if there is no data
  (section Packet types, ERROR; the choice is the reference server's).
* Clients use ``error``, ``ping``, ``pong`` and all names of ``connect…`` and ``reconnect…`` for
  events of their own, and can't tell a server's event of such a name from them.
"""

import re
from collections.abc import Sequence

from socketio_server.exceptions import DecodeError
from socketio_server.protocol import socketio
from socketio_server.protocol.socketio import Head, Packet, PacketType, encode_disconnect

__all__ = ["Encoder", "decode", "encode_connect", "encode_disconnect", "read_head"]

# Section Packet encoding; the comma at a packet's end may be missing, as in the other types.
_CONNECT = re.compile(r"0(?:(/[^,?]*)(?:\?([^,]*))?,?)?")


def read_head(text: str, max_attachments: int = 10) -> Head:
    """Read a packet's text up to its JSON, as ``protocol.socketio.read_head``.

    :param text: an Engine.IO text message.
    :param max_attachments: how many attachments a packet may announce.
    :return: the head of the packet; with the query, undecoded, if it is a CONNECT.
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

        :param message: the argument of the client's ``error`` event if there is no ``data``.
        :param data: the argument of that event otherwise.
        :param namespace: the namespace that the client asked for.
        :return: the text of the packet.
        :raises TypeError: if it can't be encoded, or is binary.
        """
        return self._encode_refusal(message if data is None else data, namespace)


def encode_connect(socket_id: str, *, namespace: str = "/") -> bytes:
    """Encode the server's CONNECT (section Exchange protocol): an answer or, for ``/``, unasked.

    :param socket_id: ignored, because the client makes its own id.
    :param namespace: the namespace that the client joined.
    :return: the text of the packet.
    """
    return socketio.encode_head(b"0", namespace)
