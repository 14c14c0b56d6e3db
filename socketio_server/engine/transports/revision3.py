"""The transports as clients of Engine.IO revision 3 (``socket.io-client`` 2.x) speak them.

Text is the same in both revisions; only binary messages and polling payloads differ.
"""

from typing import ClassVar

from socketio_server.engine.transports.base import Outgoing
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.engine.transports.websocket import WebSocketTransport
from socketio_server.protocol import engineio3
from socketio_server.protocol.engineio import Payload


class WebSocketTransport3(WebSocketTransport):
    """A WebSocket whose binary frames begin with the packet's type."""

    __slots__ = ()

    _takes_frames = False
    # A client without binary frames sends base64 in a text frame.
    _decode_packet: ClassVar = staticmethod(engineio3.decode_packet)

    def send(self, outgoing: Outgoing) -> None:
        """Send a message, with its attachments in this revision's encoding."""
        self._connection.write(outgoing.frames3)

    def _decode_binary(self, data: bytes) -> bytes:
        message = engineio3.decode_binary_packet(data).data
        assert isinstance(message, bytes)  # the only type that is binary
        return message


class PollingTransport3(PollingTransport):
    """Polling with payloads that give each packet's length."""

    __slots__ = ()

    _encode_payload: ClassVar = staticmethod(engineio3.encode_payload)

    def _packets_of(self, outgoing: Outgoing) -> list[bytes]:
        return outgoing.packets3

    def _decode_payload(self, body: bytes, content_type: str) -> Payload:
        limit = self._options.max_packets_per_payload
        return engineio3.decode_payload(body, limit, content_type=content_type)
