"""The client's side of a WebSocket (RFC 6455), as far as an examination needs it: text, no more."""

import base64
import os
from collections.abc import Mapping
from http.client import parse_headers
from io import BytesIO
from time import monotonic
from typing import Self

from socketio_server.doctor.site import NO_HEADERS, PATIENCE, Answer, Site
from socketio_server.protocol.websocket.frames import Opcode, encode_frame

_MASKED = 0x80
_READ_SIZE = 65_536
_SWITCHING_PROTOCOLS = 101


class Refused(Exception):
    """Raised when a WebSocket's handshake is answered with anything else.

    :param answer: what was answered.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Closed(Exception):
    """Raised when the WebSocket is over.

    :param in_order: whether a close frame said so; if not, the connection was cut.
    """

    def __init__(self, *, in_order: bool) -> None:
        super().__init__(in_order)
        self.in_order = in_order


class WebSocket:
    """An open WebSocket; leaving its ``with`` block cuts the connection.

    :raises Refused: if the handshake is answered with anything else.
    :raises Closed: if it is not answered at all.
    :raises OSError: if there is no connection to be had.
    """

    def __init__(self, site: Site, target: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        self._connection = site.connect()
        self._sock = self._connection.sock
        self._buffer = b""
        try:
            self._sock.sendall(_handshake(site, target, headers))
            status, self.headers = self._read_head()
            if status != _SWITCHING_PROTOCOLS:
                body = self._read_body(int(self.headers.get("content-length", 0)))
                raise Refused(Answer(status, self.headers, [], body))
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()

    def send(self, text: str) -> None:
        """Send a message.

        :raises Closed: if the connection was cut.
        """
        self._send(Opcode.TEXT, text.encode())

    def receive(self, timeout: float = PATIENCE) -> str:
        """Wait for a message, and answer pings meanwhile.

        :raises TimeoutError: if none comes.
        :raises Closed: if the WebSocket is over.
        """
        until = monotonic() + timeout
        while True:
            frame = self._take_frame()
            if frame is None:
                self._fill(until - monotonic())
                continue
            opcode, data = frame
            if opcode == Opcode.TEXT:
                return data.decode()
            if opcode == Opcode.PING:
                self._send(Opcode.PONG, data)
            elif opcode == Opcode.CLOSE:
                raise Closed(in_order=True)

    def _send(self, opcode: Opcode, data: bytes) -> None:
        key = os.urandom(4)
        size = len(data)
        pad = (key * (size // 4 + 1))[:size]
        masked = (int.from_bytes(data) ^ int.from_bytes(pad)).to_bytes(size)
        frame = encode_frame(opcode, masked)
        head = bytearray(frame[: len(frame) - size])
        head[1] |= _MASKED
        self._sock.settimeout(PATIENCE)
        try:
            self._sock.sendall(head + key + masked)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(in_order=False) from error

    def _take_frame(self) -> tuple[int, bytes] | None:
        """Return opcode and data of the next frame; ``None`` if not all of it is there."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1], 2
        if size >= 126:
            start += 2 if size == 126 else 8
            size = int.from_bytes(buffer[2:start])
        if len(buffer) < start or len(buffer) < start + size:
            return None
        self._buffer = buffer[start + size :]
        return buffer[0] & 0x0F, buffer[start : start + size]

    def _read_head(self) -> tuple[int, dict[str, str]]:
        """Read the head of the answer to the handshake."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill(PATIENCE)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, _, fields = head.partition(b"\r\n")
        headers = parse_headers(BytesIO(fields + b"\r\n\r\n"))
        return int(first.split()[1]), {name.lower(): value for name, value in headers.items()}

    def _read_body(self, size: int) -> bytes:
        """Read the body of a refusal."""
        while len(self._buffer) < size:
            self._fill(PATIENCE)
        return self._buffer[:size]

    def _fill(self, timeout: float) -> None:
        """Wait for more bytes.

        :raises TimeoutError: if none come.
        :raises Closed: if none will come any more.
        """
        if timeout <= 0:
            raise TimeoutError
        self._sock.settimeout(timeout)
        try:
            data = self._sock.recv(_READ_SIZE)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed(in_order=False)
        self._buffer += data


def _handshake(site: Site, target: str, headers: Mapping[str, str]) -> bytes:
    """Return the request that asks for a WebSocket (RFC 6455 section 4.1)."""
    fields = {
        "Host": site.host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **headers,
    }
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()
