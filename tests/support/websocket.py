"""A WebSocket over a plain socket: frames as the tests want them, right or wrong (RFC 6455)."""

import base64
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from tests.support.http import Http, Refused
from tests.support.server import Address
from tests.support.tools import PATIENCE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


class Frame(NamedTuple):
    """A frame of the server's, with its three reserved bits."""

    opcode: int
    data: bytes
    reserved: int = 0


class Closed(ConnectionError):
    """Raised when the server closes the WebSocket instead of sending what a test waits for.

    :param code: of its close frame; ``None`` if there was no frame, or no code in it.
    """

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}")
        self.code = code
        self.reason = reason


def handshake_headers(**changes: str | None) -> dict[str, str]:
    """Return the headers of a handshake.

    :param changes: other values, ``None`` for none; ``sec_websocket_key`` is the key's.
    """
    headers: dict[str, str | None] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    names = {name.lower().replace("-", "_"): name for name in headers}
    headers |= {names.get(key, key): value for key, value in changes.items()}
    return {name: value for name, value in headers.items() if value is not None}


class WebSocket:
    """A WebSocket.

    :param behind: bytes that go out behind the handshake, before it is answered.
    :raises Refused: if the server does not want one.
    """

    def __init__(
        self,
        address: Address,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        behind: bytes = b"",
        receive_buffer: int | None = None,
    ) -> None:
        self._http = Http(address, receive_buffer=receive_buffer)
        self._http.send_request("GET", target, headers={**handshake_headers(), **(headers or {})})
        if behind:
            self._http.send(behind)
        try:
            self.response = self._http.read_response()
            if self.response.status != 101:
                raise Refused(self.response)
        except BaseException:
            self._http.close()
            raise

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._http.send(data)

    def send_text(self, text: str) -> None:
        """Send a text message."""
        self.send(frame(TEXT, text))

    def receive(self, *, timeout: float = PATIENCE) -> Frame:
        """Return the next frame.

        :raises Closed: if it is a close frame, which is answered, or the connection has gone.
        """
        self._http.sock.settimeout(timeout)
        try:
            first, size = self._http.read_exactly(2)
            if size >= 126:
                extended = self._http.read_exactly(2 if size == 126 else 8)
                size = int.from_bytes(extended)
            data = self._http.read_exactly(size)
        except ConnectionError:
            raise Closed(None) from None
        received = Frame(first & 0x0F, data, first >> 4 & 0b111)
        if received.opcode == CLOSE:
            self._end(data)
        return received

    def receive_text(self, *, timeout: float = PATIENCE) -> str:
        """Return the next frame, which must be text."""
        received = self.receive(timeout=timeout)
        assert received.opcode == TEXT, received
        return received.data.decode()

    def wait_for_close(self) -> Closed:
        """Read until the server closes, and close as well; return how it did."""
        try:
            while True:
                self.receive()
        except Closed as closed:
            return closed
        finally:
            self._http.close()

    def has_frame(self, timeout: float = 0.0) -> bool:
        """Return whether there is something to read, be it the end."""
        return self._http.has_response(timeout)

    def read_some(self, size: int) -> bytes:
        """Read what is there, frames or not, and no more than so many bytes; nothing at the end."""
        return self._http.read_some(size)

    def read_to_the_end(self) -> bytes:
        """Read until the connection ends; return what came."""
        return self._http.read_to_the_end()

    def close(self, code: int = 1000) -> None:
        """Send a close frame, and wait until the server has answered and closed. Idempotent."""
        if self._http.sock.fileno() >= 0:
            with suppress(OSError):  # the server may be faster
                self.send(frame(CLOSE, struct.pack("!H", code)))
                self.wait_for_close()
            self._http.close()

    def cut(self) -> None:
        """End the connection without a close frame. Idempotent."""
        self._http.close()

    def reset(self) -> None:
        """Let the connection break."""
        self._http.reset()

    def _end(self, data: bytes) -> None:
        with suppress(OSError):  # the server need not wait for it
            self.send(frame(CLOSE, data[:2]))
        raise Closed(int.from_bytes(data[:2]) if data else None, data[2:].decode())


def frame(
    opcode: int,
    data: bytes | str = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
) -> bytes:
    """Return a client's frame (section 5.2).

    :param reserved: the three reserved bits.
    """
    payload = data.encode() if isinstance(data, str) else data
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    head = frame_head(first, len(payload), masked=masked)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked_payload = int.from_bytes(payload) ^ int.from_bytes(repeated)  # far faster than by bytes
    return head + mask + masked_payload.to_bytes(len(payload))


def frame_head(first: int, size: int, *, masked: bool = True) -> bytes:
    """Return a frame's first bytes, up to its length."""
    bit = 0x80 if masked else 0
    if size <= 125:
        return struct.pack("!BB", first, bit | size)
    if size <= 0xFFFF:
        return struct.pack("!BBH", first, bit | 126, size)
    return struct.pack("!BBQ", first, bit | 127, size)
