"""Clients that read at their own pace while much is sent to them, and what it costs the server.

``python -m benchmarks.readers NAME --port PORT --server-pid PID`` prints JSON. ``slow``: a handler
each sends 100 MB to clients that read 5 MB/s. ``burst``: 20 messages of 500 kB are broadcast to 100
clients that read 10 MB/s.
"""

import argparse
import json
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
PACE = 0.002
"""Seconds between two looks at all clients."""

PATIENCE = 240.0
"""Seconds that all may take."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Who reads how much of what.

    :param clients: how many read.
    :param rate: bytes a second that each reads.
    :param times: messages to each.
    :param size: characters of each message.
    :param room: whether they are broadcast to a room, once, and not sent to each by its handler.
    """

    clients: int
    rate: float
    times: int
    size: int
    room: bool


READINGS = {
    "slow": Reading(clients=4, rate=5e6, times=500, size=200_000, room=False),
    "burst": Reading(clients=100, rate=10e6, times=20, size=500_000, room=True),
}


class Client:
    """A client on a WebSocket, which counts the bytes that it reads."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port))
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        lines = [
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
            f"Host: {HOST}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.send("40")
        self.read_until(b'40{"sid"')
        self.received = 0

    def send(self, text: str) -> None:
        """Send a text frame; its mask is zero, which RFC 6455 does not forbid."""
        data = text.encode()
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
        self.socket.sendall(b"\x81" + size + bytes(4) + data)

    def read_until(self, end: bytes) -> None:
        """Read until something has come."""
        data = b""
        while end not in data:
            data += self.socket.recv(65_536)

    def read(self, size: int) -> None:
        """Read no more than that, if it is there."""
        with suppress(BlockingIOError):
            data = self.socket.recv(min(size, 1 << 20))
            if not data:
                raise SystemExit("the server has closed a connection")
            self.received += len(data)


def memory(pid: int, what: str) -> int:
    """Return the bytes that a process has resident: ``VmRSS`` as of now, ``VmHWM`` at most."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"no {what} in /proc/{pid}/status")


def measure(reading: Reading, port: int, pid: int) -> dict[str, float]:
    """Have the messages sent, read them, and return what that cost."""
    clients = [Client(port) for _ in range(reading.clients)]
    sender = Client(port)
    if reading.room:
        for client in clients:
            client.send('421["__subscribe__","room-1"]')
            client.read_until(b"431[true]")
    command = {"action": "pour", "times": reading.times, "size": reading.size}
    text = "42" + json.dumps(["message", {**command, "room": "room-1" if reading.room else None}])
    expected = reading.times * (10 + len('42["message",""]') + reading.size)
    before = memory(pid, "VmRSS")
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")
    for client in [sender] if reading.room else clients:
        client.send(text)
    for client in clients:
        client.socket.setblocking(False)
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < PATIENCE:
        left = [client for client in clients if client.received < expected]
        if not left:
            break
        for client in left:
            allowed = int(reading.rate * elapsed) - client.received
            if allowed > 0:
                client.read(min(allowed, expected - client.received))
        time.sleep(PACE)
    else:
        raise SystemExit("the clients did not get all")
    growth = memory(pid, "VmHWM") - before
    return {
        "seconds": elapsed,
        "growth_bytes": growth,
        "growth_bytes_per_client": growth / reading.clients,
    }


def main() -> None:
    """Measure what the command line asks for, and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=READINGS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--server-pid", type=int, required=True)
    parser.add_argument("--smoke", action="store_true", help="only see whether it works")
    given = parser.parse_args()
    reading = READINGS[given.name]
    if given.smoke:
        reading = Reading(clients=2, rate=50e6, times=3, size=reading.size, room=reading.room)
    sys.stdout.write(json.dumps(measure(reading, given.port, given.server_pid)) + "\n")


if __name__ == "__main__":
    main()
