"""Clients that poll and upgrade by the thousand, over connections that they share.

A proxy sends requests over whatever connection is free. So do these clients: hardly any connection
is at the worker whose session the next request is for, and most requests move it.
"""

import random
from collections import Counter
from time import monotonic

import gevent
from gevent.lock import BoundedSemaphore

from tests.scale.site import site
from tests.scale.tables import say, show, spread
from tests.support.http import Http, Refused
from tests.support.server import Address
from tests.support.tools import wait_until
from tests.support.websocket import WebSocket
from tests.support.wire import SEPARATOR, target

MESSAGES = 3
SIDE_BY_SIDE = 200
"""Clients that come at once."""

SPARE = 100
"""Connections that are free at any time: a request takes one of them at random."""

POLLING = 60.0
"""Seconds that a poll may take: without news, the server answers with a ping after 25 s."""

STAYING = 400.0
"""Seconds that all may take."""

TICK = '42["tick",0]'


class Connections:
    """Connections that are kept alive, for whoever has a request."""

    def __init__(self, address: Address) -> None:
        self.requests = 0
        self.moves = 0
        """Requests that found their connection at another worker than their session's."""
        self._address = address
        self._free: list[tuple[Http, str]] = []  # with the worker that has it

    def request(self, method: str, path: str, body: str, worker: str) -> tuple[int, str]:
        """Send a request; return status and body.

        :param worker: who has the session; nothing if there is none yet.
        """
        http, at = self._take()
        try:
            http.send_request(method, path, body)
            response = http.read_response(timeout=POLLING)
        except BaseException:
            http.close()
            raise
        self.requests += 1
        self.moves += bool(at and worker) and at != worker
        self._free.append((http, worker or at))
        return response.status, response.text

    def close(self) -> None:
        """Close all that are free."""
        for http, _ in self._free:
            http.close()

    def _take(self) -> tuple[Http, str]:
        if len(self._free) < SPARE:
            return Http(self._address), ""
        place = random.randrange(len(self._free))
        self._free[place], self._free[-1] = self._free[-1], self._free[place]
        return self._free.pop()


class Guest:
    """A client that has numbers sent back, over polling or, after the first, over WebSocket."""

    def __init__(self, address: Address, connections: Connections, *, upgrades: bool) -> None:
        self.upgrades = upgrades
        self.sid = ""
        self.came_in = 0.0
        """Seconds from its handshake to its last answer."""
        self.slowest = 0.0
        """Seconds of its slowest message."""
        self.ticked = 0.0
        """When it heard the tick."""
        self.fault = ""
        self.state = "coming"
        self._address = address
        self._connections = connections
        self._packets: list[str] = []
        self._websocket: WebSocket | None = None
        self._next = 0

    def run(self, gate: BoundedSemaphore) -> None:
        """Come, have numbers sent back, stay until all are there, and then once more."""
        try:
            with gate:
                self._come()
            self.state = "there"
            while (packet := self._receive()) != TICK:
                assert packet == "2", f"{packet} for a tick"
                self._send("3")
            self.ticked = monotonic()
            self._ask()
            self.state = "done"
        except (OSError, AssertionError, Refused) as fault:
            self.fault = f"{self.state}: {type(fault).__name__}: {str(fault)[:60]}"
            self.state = "failed"
        if self._websocket is not None:
            self._websocket.cut()

    def _come(self) -> None:
        began = monotonic()
        opening = self._request("GET")
        self.sid = opening.partition('"sid":"')[2].partition('"')[0]
        self._send("40")
        assert self._receive().startswith("40"), "not connected"
        self._ask()
        if self.upgrades:
            websocket = WebSocket(self._address, target("websocket", sid=self.sid))
            websocket.send_text("2probe")
            assert websocket.receive_text() == "3probe", "no probe"
            websocket.send_text("5")
            self._websocket = websocket
        for _ in range(MESSAGES - 1):
            self._ask()
        self._ask("join")
        self.came_in = monotonic() - began

    def _ask(self, event: str = "count") -> None:
        """Send the next number; its answer has to be the next packet."""
        began, number = monotonic(), self._next
        self._next += 1
        self._send(f'42{number}["{event}"{"" if event == "join" else f",{number}"}]')
        while (packet := self._receive()) == "2":
            self._send("3")
        expected = f"43{number}[{'true' if event == 'join' else number}]"
        assert packet == expected, f"{packet} for {expected}"
        self.slowest = max(self.slowest, monotonic() - began)

    def _send(self, packet: str) -> None:
        if self._websocket is not None:
            self._websocket.send_text(packet)
        else:
            assert self._request("POST", packet) == "ok", "not ok"

    def _receive(self) -> str:
        if self._websocket is not None:
            return self._websocket.receive_text(timeout=60)
        while not self._packets:
            self._packets = self._request("GET").split(SEPARATOR)
        return self._packets.pop(0)

    def _request(self, method: str, body: str = "") -> str:
        path = target("polling", **({"sid": self.sid} if self.sid else {}))
        worker = self.sid.partition(".")[0]
        status, text = self._connections.request(method, path, body, worker)
        assert status == 200, f"{status} {text}"
        return text


def main(clients: int, workers: int) -> None:
    """Try it, and print what came of it."""
    with site(workers) as at:
        address, gate = at.server.address, BoundedSemaphore(SIDE_BY_SIDE)
        connections = Connections(address)
        guests = [Guest(address, connections, upgrades=n % 2 == 1) for n in range(clients)]
        began = monotonic()
        running = [gevent.spawn(guest.run, gate) for guest in guests]
        wait_until(lambda: all(g.state != "coming" for g in guests), "all clients", STAYING)
        came = monotonic() - began
        say(f"all came in {came:.0f} s")
        voice = WebSocket(address, target("websocket"))
        voice.send_text("40")
        voice.send_text('42["tick",0]')
        said = monotonic()
        gevent.joinall(running, STAYING)
        faults = Counter(guest.fault for guest in guests if guest.fault)
        at_worker = Counter(guest.sid.partition(".")[0] for guest in guests)
        show(
            f"{clients} clients over {workers} workers, without sticky sessions",
            [
                ("what", "found"),
                ("had all answers and the tick, in order, once", count_done(guests)),
                ("of these after an upgrade", count_done([g for g in guests if g.upgrades])),
                ("errors", dict(faults) or 0),
                ("clients by worker", sorted(at_worker.values())),
                ("requests", connections.requests),
                ("of these moved their connection", connections.moves),
                ("all there after, s", f"{came:.1f}"),
                ("from handshake to the last answer, s", spread([g.came_in for g in guests])),
                ("slowest message of a client, s", spread([g.slowest for g in guests])),
                ("until the tick, s", spread([g.ticked - said for g in guests if g.ticked])),
                ("tracebacks in the log", at.server.output.count("Traceback")),
            ],
        )
        connections.close()
        voice.cut()


def count_done(guests: list[Guest]) -> int:
    """Return how many had all that they should."""
    return sum(guest.state == "done" for guest in guests)
