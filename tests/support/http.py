"""HTTP over a plain socket: what the tests say goes over the wire as it is, right or wrong."""

import json
import select
import socket
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from tests.support.server import Address
from tests.support.tools import PATIENCE


class Response(NamedTuple):
    """An HTTP response; ``headers`` by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body, decoded."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.body)


class Refused(Exception):
    """Raised when the server answers a client's request otherwise than the client needs."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"{response.status} {response.body!r}")
        self.response = response


class Http:
    """One HTTP connection, for one request after the other.

    :param receive_buffer: the size of the kernel's buffer, for readers that are to be slow.
    """

    def __init__(self, address: Address, *, receive_buffer: int | None = None) -> None:
        self.address = address
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def request(
        self,
        method: str,
        target: str,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request and return the response."""
        self.send_request(method, target, body, headers)
        return self.read_response(method)

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Response:
        """Send a GET and return the response."""
        return self.request("GET", target, headers=headers)

    def post(self, target: str, body: bytes | str) -> Response:
        """Send a POST and return the response."""
        return self.request("POST", target, body)

    @property
    def host(self) -> str:
        """The ``Host`` header's value."""
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def send_request(
        self,
        method: str,
        target: str,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        *,
        version: str = "1.1",
    ) -> None:
        """Send a request; ``headers`` add to and replace what every request has."""
        data = body.encode() if isinstance(body, str) else body
        default = {"Host": self.host}
        if data or method in ("POST", "PUT"):
            default["Content-Type"] = "text/plain;charset=UTF-8"
            default["Content-Length"] = str(len(data))
        lines = [f"{name}: {value}" for name, value in {**default, **(headers or {})}.items()]
        head = "\r\n".join([f"{method} {target} HTTP/{version}", *lines, "", ""])
        self.send(head.encode() + data)

    def begin_post(self, target: str, beginning: bytes = b"", *, size: int | None = None) -> None:
        """Send the head of a POST, and the beginning of its body.

        :param size: of the whole body, in bytes; ``None``: it comes in chunks.
        """
        framing = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
        head = f"POST {target} HTTP/1.1\r\nHost: {self.host}\r\n{framing}\r\n\r\n"
        self.send(head.encode() + beginning)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def read_response(self, method: str = "GET", *, timeout: float = PATIENCE) -> Response:
        """Read the response to a request that was sent.

        :raises ConnectionError: if the server closes instead.
        """
        self.sock.settimeout(timeout)
        head = self._read_until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = head[:-4].split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        status = int(status_line.split(" ")[1])
        if method == "HEAD" or status in (101, 204, 304):
            return Response(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Response(status, headers, self._read_chunks())
        if "content-length" in headers:
            return Response(status, headers, self.read_exactly(int(headers["content-length"])))
        return Response(status, headers, self.read_to_the_end())

    def has_response(self, timeout: float = 0.0) -> bool:
        """Return whether there is something to read, be it the end."""
        if self._received:
            return True
        poll = select.poll()  # select() itself takes no more than 1,024 files
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def read_exactly(self, size: int) -> bytes:
        """Read so many bytes.

        :raises ConnectionError: if the server closes before that.
        """
        while len(self._received) < size:
            self._receive()
        data, self._received = self._received[:size], self._received[size:]
        return data

    def read_some(self, size: int) -> bytes:
        """Read what is there, and no more than so many bytes; nothing at the end."""
        if not self._received:
            try:
                return self.sock.recv(size)
            except ConnectionError:
                return b""
        data, self._received = self._received[:size], self._received[size:]
        return data

    def read_to_the_end(self) -> bytes:
        """Read until the server closes."""
        try:
            while True:
                self._receive()
        except ConnectionError:
            data, self._received = self._received, b""
            return data

    def end(self) -> None:
        """Send no more, but read on."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self.sock.close()

    def reset(self) -> None:
        """Let the connection break: the server gets a reset instead of an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._received:
            self._receive()
        return self.read_exactly(self._received.index(end) + len(end))

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self._read_until(b"\r\n"), 16):
            body += self.read_exactly(size)
            self._read_until(b"\r\n")
        self._read_until(b"\r\n")
        return body

    def _receive(self) -> None:
        data = self.sock.recv(65_536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._received += data
