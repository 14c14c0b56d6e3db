"""Requests of polling clients on connections that move between two workers, and that stay.

``python -m benchmarks.moves --port PORT`` prints JSON. Each connection carries the requests of two
sessions by turns, as those of a proxy do. Where the sessions belong to two workers, the connection
moves with every request; where one worker has both, it stays. Both run by turns, in short slices.
"""

import argparse
import json
import re
import socket
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass

HOST = "127.0.0.1"
PATH = "/socket.io/?EIO=4&transport=polling"
ECHO = '42["message",{"action":"echo","data":"' + "x" * 64 + '"}]'
WORKERS = 2
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection:
    """A connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, sid: str | None, body: str | None = None) -> None:
        """Send a request: a POST if there is a body, else a GET."""
        path = PATH if sid is None else f"{PATH}&sid={sid}"
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: {HOST}\r\n"
        if body is not None:
            head += f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        self.socket.sendall(f"{head}\r\n{body or ''}".encode())

    def receive(self) -> str:
        """Read a response, and return its body."""
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0 or len(data) < end + 4 + _length(data[:end]):
            received = self.socket.recv(65_536)
            if not received:
                raise SystemExit("the server has closed a connection")
            data += received
        if not data.startswith(b"HTTP/1.1 200"):
            raise SystemExit(data[:100].decode("latin-1"))
        return data[end + 4 :].decode()


def _length(head: bytes) -> int:
    found = LENGTH.search(head)
    return int(found[1]) if found else 0


@dataclass
class Pair:
    """Two sessions whose requests share a connection."""

    connection: Connection
    sids: tuple[str, str]


def open_sessions(port: int, count: int) -> dict[int, list[str]]:
    """Open sessions until both workers have so many; return them by the worker's process id."""
    found: dict[int, list[str]] = defaultdict(list)
    deadline = time.monotonic() + 30
    while len(found) < WORKERS or min(map(len, found.values())) < count:
        if time.monotonic() > deadline:
            raise SystemExit("one worker has taken nearly all sessions")
        connection = Connection(port)
        connection.send(None)
        sid = json.loads(connection.receive().partition("\x1e")[0][1:])["sid"]
        connection.send(sid, "40")
        connection.receive()
        connection.send(sid)
        connection.receive()
        connection.socket.close()
        found[int(sid.partition(".")[0])].append(sid)
    return found


def run(pairs: list[Pair], seconds: float) -> int:
    """Have messages echoed to all for a while; return the number of requests."""
    requests = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for body in (ECHO, None):
            for turn in (0, 1):
                for pair in pairs:
                    pair.connection.send(pair.sids[turn], body)
                for pair in pairs:
                    answer = pair.connection.receive()
                    if body is None and "xxxxxxxx" not in answer:
                        raise SystemExit(f"not an echo: {answer}")
                requests += len(pairs)
    return requests


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU time that processes have used."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def measure(port: int, *, smoke: bool) -> dict[str, float]:
    """Return the CPU time of both workers per request, in µs."""
    count, slices, seconds = (2, 1, 0.1) if smoke else (20, 10, 0.25)
    sessions = open_sessions(port, 2 * count)
    one, two = [iter(sids) for sids in sessions.values()]
    kinds = {
        "moved": [Pair(Connection(port), (next(one), next(two))) for _ in range(count)],
        "stayed": [
            Pair(Connection(port), (next(sids), next(sids)))
            for sids in (one, two)
            for _ in range(count // 2)
        ],
    }
    for pairs in kinds.values():
        run(pairs, seconds)
    costs: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(slices):
        for kind, pairs in kinds.items():
            before = cpu_seconds(list(sessions))
            requests = run(pairs, seconds)
            costs[kind].append((cpu_seconds(list(sessions)) - before) * 1e6 / requests)
    times = [moved / stayed for moved, stayed in zip(costs["moved"], costs["stayed"], strict=True)]
    return {
        "moved_us": statistics.median(costs["moved"]),
        "stayed_us": statistics.median(costs["stayed"]),
        "times": statistics.median(times),
    }


def main() -> None:
    """Measure, and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--smoke", action="store_true", help="only see whether it works")
    given = parser.parse_args()
    sys.stdout.write(json.dumps(measure(given.port, smoke=given.smoke)) + "\n")


if __name__ == "__main__":
    main()
