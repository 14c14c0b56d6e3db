"""Clients that hear numbered ticks, come back by themselves as the official client does, and know
what they have missed. For processes that gevent has patched."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

import gevent
from gevent import Greenlet

from tests.support.http import Refused
from tests.support.server import Address
from tests.support.wire import Carrier, TransportName, Upgrading, open_carrier

FAULTS = (OSError, AssertionError, Refused)
RECONNECTION_DELAYS = (0.5, 1.5)
"""The official client's first delay is one second, by half of it more or less."""

MARGIN = 1.0
"""Seconds about the ends of a connection in which a tick may or may not arrive."""


@dataclass
class Stay:
    """The time that a client was there.

    :param worker: the process that served it.
    :param until: when it noticed its end.
    """

    worker: int
    since: float
    until: float | None = None
    heard: list[int] = field(default_factory=list)

    def missed(self, ticks: dict[int, float]) -> list[int]:
        """Return the ticks that it should have heard."""
        until = monotonic() if self.until is None else self.until
        heard = set(self.heard)
        return [
            number
            for number, at in ticks.items()
            if self.since + MARGIN < at < until - MARGIN and number not in heard
        ]


class Visitor:
    """A client that hears ticks."""

    def __init__(self, address: Address, transport: TransportName, faults: Counter[str]) -> None:
        self.address = address
        self.transport = transport
        self.stays: list[Stay] = []
        self.tries = 0
        """Attempts to connect that failed."""
        self._faults = faults
        self._carrier: Carrier | None = None
        self._greenlet: Greenlet[[], None] = gevent.spawn(self._run)

    @property
    def is_there(self) -> bool:
        """Whether it hears ticks just now."""
        return bool(self.stays) and self.stays[-1].until is None

    @property
    def away(self) -> list[float]:
        """The times in seconds that it was away, but for the last if it still is."""
        pairs = zip(self.stays, self.stays[1:], strict=False)
        return [after.since - before.until for before, after in pairs if before.until is not None]

    def send(self, *packets: str) -> None:
        """Send packets; a fault shows where it receives."""
        if self._carrier is not None:
            with suppress(*FAULTS):
                self._carrier.send(*packets)

    def leave(self) -> None:
        """Go for good."""
        self._greenlet.kill(block=False)
        if self._carrier is not None:
            self._carrier.cut()

    def _run(self) -> None:
        while True:
            try:
                self._visit()
            except FAULTS as fault:
                if self.is_there:
                    self.stays[-1].until = monotonic()
                else:
                    self.tries += 1
                    self._faults[f"{type(fault).__name__}: {str(fault)[:60]}"] += 1
            if self._carrier is not None:
                self._carrier.cut()
                self._carrier = None
            gevent.sleep(random.uniform(*RECONNECTION_DELAYS))

    def _visit(self) -> None:
        carrier = self._carrier = open_carrier(self.transport, self.address)
        carrier.send("40")
        self._read_until(carrier, lambda packet: packet.startswith("40"))
        if isinstance(carrier, Upgrading):
            carrier.upgrade()
        carrier.send('420["join"]')
        self._read_until(carrier, lambda packet: packet == "430[true]")
        worker = int(carrier.handshake["sid"].partition(".")[0].rpartition("-")[2])
        self.stays.append(Stay(worker, monotonic()))
        self._read_until(carrier, lambda packet: False)

    def _read_until(self, carrier: Carrier, wanted: Callable[[str], bool]) -> None:
        while True:
            for packet in carrier.receive(timeout=60):
                if packet == "2":
                    carrier.send("3")
                elif packet in ("1", "41"):
                    raise ConnectionError("goodbye")
                elif packet.startswith('42["tick",'):
                    if self.stays:
                        self.stays[-1].heard.append(int(packet[10:-1]))
                elif wanted(packet):
                    return


class Ticker:
    """Has one of the clients send a tick to all, again and again."""

    def __init__(self, voice: Callable[[], Visitor | None], interval: float) -> None:
        self.ticks: dict[int, float] = {}
        """When each tick was sent."""
        self._voice = voice
        self._greenlet: Greenlet[[float], None] = gevent.spawn(self._run, interval)

    def stop(self) -> None:
        """Send no more."""
        self._greenlet.kill()

    def _run(self, interval: float) -> None:
        while True:
            visitor = self._voice()
            if visitor is not None and visitor.is_there:
                number = len(self.ticks)
                self.ticks[number] = monotonic()
                visitor.send(f'42["tick",{number}]')
            gevent.sleep(interval)
