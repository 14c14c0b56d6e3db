"""Clients by the hundred, as cheap as they can be, and bytes sent to many connections at once."""

import re
import selectors
import socket
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Thread
from time import monotonic

from tests.support.http import Http
from tests.support.server import Address, Server
from tests.support.tools import PATIENCE
from tests.support.websocket import TEXT, WebSocket, frame, handshake_headers
from tests.support.wire import Polling, target

WEBSOCKET = target("websocket")
STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")

OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate"}
"""Headers of a client that compresses its messages."""

Wire = tuple[Server, Callable[[str], bytes], dict[str, str]]
"""A server, what makes frames for it, and headers of the handshake (``conftest.py``)."""

OPEN: list[WebSocket | Polling | Http] = []
"""What a test has opened with the functions below; closed at its end (``conftest.py``)."""

SIDE_BY_SIDE = 50
"""Connections that ``exchange`` has open at once."""


def close_all() -> None:
    """Close what is still open."""
    while OPEN:
        thing = OPEN.pop()
        if isinstance(thing, Http):
            thing.close()
        else:
            thing.cut()


def join(
    server: Server,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    receive_buffer: int | None = None,
) -> WebSocket:
    """Return the WebSocket of a client that is connected to the main namespace."""
    websocket = WebSocket(
        server.address,
        target("websocket", **(query or {})),
        headers,
        behind=frame(TEXT, "40"),
        receive_buffer=receive_buffer,
    )
    OPEN.append(websocket)
    assert websocket.receive_text().startswith('0{"sid"')
    answer = websocket.receive_text()
    assert answer.startswith('40{"sid"'), answer
    return websocket


def ask(websocket: WebSocket, event: str, ack_id: int = 1) -> str:
    """Send an event, and return the answer; nothing else may come before it.

    :param event: its name and arguments, as JSON.
    """
    websocket.send_text(f"42{ack_id}{event}")
    answer = websocket.receive_text()
    head = f"43{ack_id}"
    assert answer.startswith(head), answer
    return answer.removeprefix(head)


def crowd(
    server: Server,
    count: int,
    *,
    channel: str | None = None,
    receive_buffer: int | None = None,
) -> list[WebSocket]:
    """Return clients that are connected.

    :param channel: what they subscribe to.
    """
    clients = [join(server, receive_buffer=receive_buffer) for _ in range(count)]
    if channel is not None:
        for client in clients:
            client.send_text(f'421["__subscribe__","{channel}"]')
        for client in clients:
            assert client.receive_text() == "431[true]"
    return clients


def join_over_polling(server: Server, *, receive_buffer: int | None = None) -> Polling:
    """Return the session of a client over polling that is connected to the main namespace."""
    session = Polling(server.address, receive_buffer=receive_buffer)
    OPEN.append(session)
    session.send("40")
    (answer,) = session.receive()
    assert answer.startswith('40{"sid"'), answer
    return session


def crowd_over_polling(server: Server, count: int, *, channel: str) -> list[Polling]:
    """Return sessions of clients over polling that are connected, and on a channel."""
    sessions = [join_over_polling(server) for _ in range(count)]
    for session in sessions:
        session.send(f'421["__subscribe__","{channel}"]')
        assert session.receive() == ["431[true]"]
    return sessions


def send_all(clients: list[WebSocket], data: bytes) -> None:
    """Have clients send the same at once, as far as the server reads it."""
    send_each(clients, [data] * len(clients))


def send_each(clients: list[WebSocket], frames: list[bytes], *, answers: int = 0) -> None:
    """Have each client send its own at once, as far as the server reads it.

    :param answers: how many of them each client waits for, unless it is closed: one that cuts its
        connection spares the server what it has not looked at yet.
    """

    def talk(client: WebSocket, data: bytes) -> None:
        with suppress(OSError):
            client.send(data)
            for _ in range(answers):
                client.receive(timeout=90)

    threads = [Thread(target=talk, args=each) for each in zip(clients, frames, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def deflate(data: bytes) -> bytes:
    """Return a compressed message (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(9, wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def deflated(text: str) -> bytes:
    """Return a compressed frame."""
    return frame(TEXT, deflate(text.encode()), reserved=4)


def plain(text: str) -> bytes:
    """Return a frame that is not compressed."""
    return frame(TEXT, text)


def close_code(websocket: WebSocket) -> int | None:
    """Return the code that the server closes with."""
    return websocket.wait_for_close().code


def connect(server: Server, start: str | bytes = b"", *, receive_buffer: int | None = None) -> Http:
    """Return a connection over which something was sent."""
    connection = Http(server.address, receive_buffer=receive_buffer)
    OPEN.append(connection)
    connection.send(start.encode() if isinstance(start, str) else start)
    return connection


def handshake_bytes(server: Server) -> bytes:
    """Return the request that opens a WebSocket."""
    lines = [f"{name}: {value}" for name, value in handshake_headers().items()]
    head = [f"GET {WEBSOCKET} HTTP/1.1", f"Host: {host_of(server)}", *lines, "", ""]
    return "\r\n".join(head).encode()


def host_of(server: Server) -> str:
    """Return the Host header's value."""
    return f"{server.address[0]}:{server.address[1]}"


def exchange(address: Address, inputs: Sequence[bytes]) -> Iterator[bytes]:
    """Send each input over a connection of its own, say that nothing follows, and read to the end.

    :return: what the server answered to each, in order.
    """
    for start in range(0, len(inputs), SIDE_BY_SIDE):
        yield from _exchange_some(address, inputs[start : start + SIDE_BY_SIDE])


def _exchange_some(address: Address, inputs: Sequence[bytes]) -> list[bytes]:
    answers = [b""] * len(inputs)
    deadline = monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        for number, data in enumerate(inputs):
            connection = socket.create_connection(address, PATIENCE)
            selector.register(connection, selectors.EVENT_READ, number)
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:  # it was faster to close
                pass
        while selector.get_map():
            assert monotonic() < deadline, "the server did not close"
            for key, _ in selector.select(1.0):
                assert isinstance(key.fileobj, socket.socket)
                try:
                    received = key.fileobj.recv(65_536)
                except ConnectionError:
                    received = b""
                answers[key.data] += received
                if not received:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
    return answers


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of the HTTP responses in what a server sent."""
    return [int(status) for status in STATUS.findall(answer)]


def send_and_read(server: Server, data: bytes) -> bytes:
    """Send bytes, and read until the server closes, which it must do by itself."""
    with Http(server.address) as http:
        http.send(data)
        return http.read_to_the_end()
