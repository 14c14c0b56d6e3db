"""Engine.IO over polling, over WebSocket, and from one to the other, for clients under test.

A ``Carrier`` carries the packets of one session; all three have the same interface, so that one
suite of behaviour runs over each.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

from tests.support.http import Http, Refused, Response
from tests.support.server import Address
from tests.support.tools import PATIENCE
from tests.support.websocket import WebSocket

TransportName = Literal["polling", "websocket", "upgraded"]
TRANSPORTS: tuple[TransportName, ...] = ("polling", "websocket", "upgraded")

PATH = "/socket.io/"
SEPARATOR = "\x1e"


def target(transport: str, at: str = PATH, /, **query: str) -> str:
    """Return the path and query of a request.

    :param at: the path.
    """
    return f"{at}?{urlencode({'EIO': '4', 'transport': transport, **query})}"


class Carrier(Protocol):
    """Carries one session's packets."""

    @property
    def handshake(self) -> dict[str, Any]:
        """What the server said of the session when it opened it."""

    def send(self, *packets: str) -> None:
        """Send packets."""

    def receive(self, *, timeout: float = PATIENCE) -> list[str]:
        """Wait for packets.

        :raises ConnectionError: if the session is over.
        :raises TimeoutError: if none came.
        """

    def close(self) -> None:
        """End the session as a client does. Idempotent."""

    def cut(self) -> None:
        """Close all connections without a word. Idempotent."""

    def reset(self) -> None:
        """Let all connections break."""


class Polling:
    """A session over polling.

    :param query: further parameters of the handshake.
    :param path: where the server is.
    """

    def __init__(
        self,
        address: Address,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
        path: str = PATH,
    ) -> None:
        self.address = address
        self.path = path
        self._headers = headers
        self._getter = Http(address, receive_buffer=receive_buffer)
        self._poster = Http(address)
        self._pending = False  # a GET waits for its answer
        response = self._getter.get(target("polling", path, **(query or {})), headers)
        if response.status != 200:
            self.cut()
            raise Refused(response)
        opening, *self._packets = response.text.split(SEPARATOR)
        assert opening.startswith("0"), opening
        self.handshake: dict[str, Any] = json.loads(opening[1:])

    @property
    def target(self) -> str:
        """The path and query of the session's requests."""
        return target("polling", self.path, sid=self.handshake["sid"])

    def send(self, *packets: str) -> None:
        """Send packets as one payload (``Carrier``)."""
        response = self.post(SEPARATOR.join(packets))
        if (response.status, response.body) != (200, b"ok"):
            raise Refused(response)

    def send_later(self, *packets: str) -> None:
        """Send packets, and go on without the answer."""
        self._poster.send_request("POST", self.target, SEPARATOR.join(packets), self._headers)

    def wait_for_ok(self) -> None:
        """Wait for the answer to what ``send_later`` sent."""
        assert self._poster.read_response().body == b"ok"

    def post(self, body: str | bytes) -> Response:
        """Send a payload, right or wrong, and return the response."""
        return self._poster.request("POST", self.target, body, self._headers)

    def start_poll(self) -> None:
        """Send a GET, unless one waits for its answer already."""
        if not self._pending:
            self._pending = True
            self._getter.send_request("GET", self.target, headers=self._headers)

    def receive(self, *, timeout: float = PATIENCE) -> list[str]:
        """Return the next payload's packets (``Carrier``)."""
        if self._packets:
            packets, self._packets = self._packets, []
            return packets
        self.start_poll()
        if not self._getter.has_response(timeout):
            raise TimeoutError
        response = self._getter.read_response()
        self._pending = False
        if response.status != 200:
            raise ConnectionError(f"{response.status} {response.body!r}")
        return response.text.split(SEPARATOR)

    def has_answer(self) -> bool:
        """Return whether the GET that waits for its answer has it."""
        return self._getter.has_response()

    def finish(self) -> list[str]:
        """Wait for the answer to a GET that waits for it; return its packets."""
        return self.receive() if self._pending else []

    def close(self) -> None:
        """End the session with a close packet (``Carrier``)."""
        self.cut()
        with suppress(OSError), Http(self.address) as http:  # the server may be gone
            http.request("POST", self.target, "1", self._headers)

    def cut(self) -> None:
        """Close the connections (``Carrier``)."""
        self._getter.close()
        self._poster.close()

    def reset(self) -> None:
        """Let the connections break (``Carrier``)."""
        self._getter.reset()
        self._poster.reset()


class OverWebSocket:
    """A session over WebSocket from its start."""

    def __init__(
        self,
        address: Address,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
        path: str = PATH,
    ) -> None:
        asked = target("websocket", path, **(query or {}))
        self.websocket = WebSocket(address, asked, headers, receive_buffer=receive_buffer)
        opening = self.websocket.receive_text()
        assert opening.startswith("0"), opening
        self.handshake: dict[str, Any] = json.loads(opening[1:])

    def send(self, *packets: str) -> None:
        """Send packets, a frame each (``Carrier``)."""
        for packet in packets:
            self.websocket.send_text(packet)

    def receive(self, *, timeout: float = PATIENCE) -> list[str]:
        """Return the next packet (``Carrier``)."""
        if not self.websocket.has_frame(timeout):
            raise TimeoutError
        return [self.websocket.receive_text()]

    def close(self) -> None:
        """End the session with a close frame (``Carrier``)."""
        self.websocket.close()

    def cut(self) -> None:
        """Close the connection without a close frame (``Carrier``)."""
        self.websocket.cut()

    def reset(self) -> None:
        """Let the connection break (``Carrier``)."""
        self.websocket.reset()


class Upgrading:
    """A session that begins over polling, and goes on over WebSocket after ``upgrade``.

    A test that wants something to happen in between takes the steps of ``upgrade`` by itself.
    """

    def __init__(
        self,
        address: Address,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
        path: str = PATH,
    ) -> None:
        self.polling = Polling(
            address, query=query, headers=headers, receive_buffer=receive_buffer, path=path
        )
        self.handshake = self.polling.handshake
        self._headers = headers
        self._receive_buffer = receive_buffer
        self._probe: WebSocket | None = None  # while it is under way
        self._websocket: WebSocket | None = None  # when it is done
        self._waiting: list[str] = []  # from the last poll

    def upgrade(self) -> None:
        """Go over to WebSocket."""
        self.probe()
        self.finish_polling()
        self.complete()

    def probe(self) -> None:
        """Open the WebSocket and send the probe; its answer is awaited."""
        self._probe = open_probe(self.polling, self._headers, receive_buffer=self._receive_buffer)
        self._probe.send_text("2probe")
        assert self._probe.receive_text() == "3probe"

    def finish_polling(self) -> None:
        """Wait for the answer to the GET that is under way, if one is."""
        self._waiting += self.polling.finish()

    def complete(self) -> None:
        """Send the packet that makes the WebSocket the session's transport."""
        assert self._probe is not None
        self._websocket, self._probe = self._probe, None
        self._websocket.send_text("5")

    def send(self, *packets: str) -> None:
        """Send packets over what is the session's transport just now (``Carrier``)."""
        if self._websocket is None:
            self.polling.send(*packets)
        else:
            for packet in packets:
                self._websocket.send_text(packet)

    def receive(self, *, timeout: float = PATIENCE) -> list[str]:
        """Return the next packets: what the last poll brought comes first (``Carrier``)."""
        if self._waiting:
            packets, self._waiting = self._waiting, []
            return packets
        if self._websocket is None:
            return self.polling.receive(timeout=timeout)
        if not self._websocket.has_frame(timeout):
            raise TimeoutError
        return [self._websocket.receive_text()]

    def close(self) -> None:
        """End the session as its transport does (``Carrier``)."""
        if self._websocket is None:
            self.polling.close()
        else:
            self._websocket.close()
        self.cut()

    def cut(self) -> None:
        """Close all connections (``Carrier``)."""
        self.polling.cut()
        for websocket in (self._probe, self._websocket):
            if websocket is not None:
                websocket.cut()

    def reset(self) -> None:
        """Let the WebSocket break, or the polling connections (``Carrier``)."""
        if self._websocket is None:
            self.polling.reset()
        else:
            self._websocket.reset()


def open_probe(
    polling: Polling,
    headers: Mapping[str, str] | None = None,
    *,
    receive_buffer: int | None = None,
) -> WebSocket:
    """Open a WebSocket for a session over polling; the probe is not sent yet."""
    return WebSocket(
        polling.address,
        target("websocket", polling.path, sid=polling.handshake["sid"]),
        headers,
        receive_buffer=receive_buffer,
    )


def open_carrier(
    transport: TransportName,
    address: Address,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    receive_buffer: int | None = None,
    path: str = PATH,
) -> Carrier:
    """Open a session."""
    kinds: dict[str, type[Polling] | type[OverWebSocket] | type[Upgrading]] = {
        "polling": Polling,
        "websocket": OverWebSocket,
        "upgraded": Upgrading,
    }
    return kinds[transport](
        address, query=query, headers=headers, receive_buffer=receive_buffer, path=path
    )
