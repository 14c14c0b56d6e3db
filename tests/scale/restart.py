"""``HUP``: gunicorn starts new workers, and the old ones say goodbye to thousands of clients."""

import signal
from collections import Counter
from time import monotonic

import gevent

from tests.scale.site import Site, site
from tests.scale.tables import say, show, spread
from tests.scale.visitors import Ticker, Visitor
from tests.support.http import Http
from tests.support.tools import wait_until
from tests.support.wire import TransportName

TRANSPORTS: tuple[TransportName, ...] = ("websocket", "websocket", "upgraded", "polling")
TICKS = 1.0
ARRIVING = 120.0
"""Seconds that all may take to come."""


class Requests:
    """Requests to Django, over a new connection each, and over one that stays."""

    def __init__(self, at: Site) -> None:
        self.answered = 0
        self.slowest = 0.0
        self.failed: Counter[str] = Counter()
        self._address = at.server.address
        self._greenlets = [gevent.spawn(self._run, keep) for keep in (False, True)]

    def stop(self) -> None:
        """Ask no more."""
        gevent.killall(self._greenlets)

    def _run(self, keep: bool) -> None:
        http: Http | None = None
        while True:
            began = monotonic()
            try:
                if http is None:
                    http = Http(self._address)
                response = http.get("/scheme/")
                self.answered += 1
                if response.status != 200:
                    self.failed[str(response.status)] += 1
                self.slowest = max(self.slowest, monotonic() - began)
            except OSError as fault:
                self.failed[repr(fault)] += 1
                response = None
            if http is not None and (
                not keep or response is None or response.headers.get("connection") == "close"
            ):
                http.close()
                http = None
            gevent.sleep(0.05)


def main(clients: int, workers: int) -> None:
    """Try it, and print what came of it."""
    with site(workers) as at:
        faults: Counter[str] = Counter()
        began = monotonic()
        visitors = []
        for number in range(clients):
            transport = TRANSPORTS[number % len(TRANSPORTS)]
            visitors.append(Visitor(at.server.address, transport, faults))
            gevent.sleep(0.002)
        wait_until(lambda: all(each.is_there for each in visitors), "all clients", ARRIVING)
        say(f"{clients} clients in {monotonic() - began:.1f} s; faults: {dict(faults)}")
        faults.clear()
        old = {visitor.stays[-1].worker for visitor in visitors}
        ticker = Ticker(lambda: next((each for each in visitors if each.is_there), None), TICKS)
        requests = Requests(at)
        gevent.sleep(3)
        hung_up = monotonic()
        at.server.send_signal(signal.SIGHUP)
        wait_until(
            lambda: all(each.is_there and each.stays[-1].worker not in old for each in visitors),
            "all clients to be back",
            ARRIVING,
        )
        back = monotonic() - hung_up
        gevent.sleep(5)
        ticker.stop()
        gevent.sleep(2)
        requests.stop()
        goodbyes = [v.stays[0].until - hung_up for v in visitors if v.stays[0].until is not None]
        away = [seconds for visitor in visitors for seconds in visitor.away]
        stays = [stay for visitor in visitors for stay in visitor.stays]
        entries = at.server.journal.entries()
        ends = Counter(entry.socket for entry in entries if entry.event == "finish")
        of_old = {entry.socket for entry in entries if entry.process in old}
        show(
            f"HUP, {clients} clients, {workers} workers",
            [
                ("what", "found"),
                ("goodbyes after the HUP, s (median / p99 / max)", spread(goodbyes)),
                ("away, s (median / p99 / max)", spread(away)),
                ("clients that went more than once", sum(len(v.stays) > 2 for v in visitors)),
                ("failed attempts to come back", dict(faults) or 0),
                ("all back after, s", f"{back:.1f}"),
                ("ticks", len(ticker.ticks)),
                ("lost while connected", sum(len(stay.missed(ticker.ticks)) for stay in stays)),
                ("missed while away, a client", f"≤ {max(map(len, _gaps(visitors, ticker)))}"),
                ("heard twice", sum(len(stay.heard) - len(set(stay.heard)) for stay in stays)),
                ("out of order", sum(stay.heard != sorted(stay.heard) for stay in stays)),
                ("last handlers of old sockets: once", sum(ends[s] == 1 for s in of_old)),
                ("never, or more than once", sum(ends[s] != 1 for s in of_old)),
                ("Django's requests: answered", requests.answered),
                ("failed", dict(requests.failed) or 0),
                ("slowest, s", f"{requests.slowest:.2f}"),
                ("tracebacks in the log", at.server.output.count("Traceback")),
            ],
        )
        for visitor in visitors:
            visitor.leave()


def _gaps(visitors: list[Visitor], ticker: Ticker) -> list[set[int]]:
    """Return what each client never heard, be it away or not."""
    started = {v: v.stays[0].since for v in visitors}
    return [
        {n for n, at in ticker.ticks.items() if at > started[v]}
        - {number for stay in v.stays for number in stay.heard}
        for v in visitors
    ]
