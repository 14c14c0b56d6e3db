"""Bounds the memory of decoded packets: JSON takes much more memory once it is decoded.

A packet that is not small is decoded when there is room for it, and takes that room until its
handlers have ended. Those that find none wait in order, as text. If one has to wait for long, the
client is given up whose handlers take most of the room: its calls, which may be what they wait for,
fail then.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from socketio_server.net.deadlines import Deadlines
from socketio_server.net.loop import Loop
from socketio_server.options import Options

SMALL = 2048
"""Bytes of a packet that is decoded whatever room there is."""


class Tenant(Protocol):
    """A client whose packets are decoded."""

    @property
    def is_open(self) -> bool:
        """Whether its session lasts."""

    def give_up(self, why: str) -> None:
        """End its session, and drop its waiting events.

        :param why: for the log.
        """


class _Applicant(NamedTuple):
    """A packet that waits for room."""

    tenant: Tenant
    size: int
    run: Callable[[], None]


class DecodedRoom:
    """The room for decoded packets, of all clients together.

    :param clock: a monotonic clock, in seconds.
    """

    def __init__(self, loop: Loop, options: Options, *, clock: Callable[[], float]) -> None:
        self.taken = 0
        """Bytes that are taken."""
        self._most = options.max_decoded_total
        self._shares: dict[Tenant, int] = {}  # of the taken bytes
        self._waiting: deque[_Applicant] = deque()
        # The first of those that wait; one at a time, because it holds up the others.
        self._deadline: Deadlines[_Applicant] = Deadlines(
            loop, options.stall_timeout, self._waited_too_long, clock=clock
        )

    def take(self, tenant: Tenant, size: int, run: Callable[[], None]) -> bool:
        """Take room for a packet. After this, or after the call of ``run``, ``leave`` it.

        :param run: called as soon as there is room, if there is none now.
        :return: whether there is.
        """
        if not self._waiting and self._fits(size):
            self._add(tenant, size)
            return True
        applicant = _Applicant(tenant, size, run)
        self._waiting.append(applicant)
        if len(self._waiting) == 1:
            self._deadline.add(applicant)
        return False

    def leave(self, tenant: Tenant, size: int) -> None:
        """Give back room, and let those in that wait for it."""
        self._add(tenant, -size)
        while self._waiting and self._fits(self._waiting[0].size):
            applicant = self._waiting.popleft()
            self._deadline.discard(applicant)
            if self._waiting:
                self._deadline.add(self._waiting[0])
            self._add(applicant.tenant, applicant.size)
            applicant.run()

    def _fits(self, size: int) -> bool:
        """Return whether there is room; a packet that is alone always has it."""
        return not self.taken or self.taken + size <= self._most

    def _add(self, tenant: Tenant, size: int) -> None:
        self.taken += size
        share = self._shares.pop(tenant, 0) + size
        if share:
            self._shares[tenant] = share

    def _waited_too_long(self, applicant: _Applicant) -> None:
        """Give up the client that takes most of the room, and wait again."""
        self._deadline.add(applicant)
        tenants = [tenant for tenant in self._shares if tenant.is_open]
        if tenants:
            largest = max(tenants, key=self._shares.__getitem__)
            largest.give_up("its handlers keep the memory that other packets wait for")
