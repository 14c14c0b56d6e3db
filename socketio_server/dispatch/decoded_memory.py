"""Bounds the memory of decoded packets: JSON takes much more memory once it is decoded. *Room* is
what of it is free.

A packet that is not small is decoded when there is room for it, and takes that room until its
handlers have ended. Those that find none wait in order, as text. If one has to wait for long, the
client is given up whose handlers take most of the room: its calls, which may be what they wait for,
fail then. As soon as one has waited as long behind others, clients that have gone are given up and
leave the line, if a client waits that has not. Those behind have to wait for less each time,
because the next handlers may be such as well, one after another. An acknowledgement takes room as
well, while the handler that asked for it may keep it.

Nobody waits behind packets that are much larger: small ones need no room, because the number of
handlers bounds them, and modest ones have a part of the room for themselves.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from socketio_server.net.deadlines import Deadlines
from socketio_server.net.held_total import HeldTotal
from socketio_server.net.loop import Loop
from socketio_server.net.refusals import RefusalKind
from socketio_server.options import Options

SMALL = 512
"""Bytes of a packet that is decoded whatever room there is."""

SMALL_DECODED = 32_768
"""Bytes that a packet takes once it is decoded, up to which it needs no room either."""

MODEST_DECODED = 1_048_576
"""Bytes that a packet takes once it is decoded, up to which it never waits behind larger ones."""

MODEST_SHARE = 2
"""One part in so many of the room is for modest packets."""

MIN_PATIENCE = 0.1
"""The shortest wait for a client to be given up, as a share of the longest."""

_WHY = "its handlers keep the memory that other packets wait for (SOCKETIO_MAX_DECODED_TOTAL)"


class Tenant(Protocol):
    """A client whose packets are decoded."""

    @property
    def is_local(self) -> bool:
        """Whether it is a client of this process: another's handlers can't be given up."""

    @property
    def is_open(self) -> bool:
        """Whether its session lasts."""

    def give_up(self, kind: RefusalKind, why: str) -> None:
        """End its session, and drop its waiting events.

        :param kind: how it is counted.
        :param why: for the log.
        """


class _Applicant(NamedTuple):
    """A packet that waits for room.

    :param joined: when it began to wait, in seconds.
    """

    tenant: Tenant
    size: int
    run: Callable[[int], None]
    withdraws: bool
    joined: float


class DecodedMemory:
    """The memory for decoded packets, of all clients together.

    :param clock: a monotonic clock, in seconds.
    :param held_total: counts what all clients make the server hold.
    """

    def __init__(
        self, loop: Loop, options: Options, held_total: HeldTotal, *, clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        most = options.max_decoded_total
        make = partial(_Part, loop, options.stall_timeout, clock, held_total)
        self._modest = make(most // MODEST_SHARE)
        self._large = make(most - most // MODEST_SHARE)

    @property
    def taken(self) -> int:
        """Bytes that are taken."""
        return self._modest.taken + self._large.taken

    def take(
        self, tenant: Tenant, size: int, run: Callable[[int], None], *, withdraws: bool = False
    ) -> bool:
        """Take room for a packet. After this, or after the call of ``run``, ``leave`` it.

        :param size: how many bytes it takes once it is decoded.
        :param run: called as soon as there is room, if there is none now, with the bytes that are
            taken: none, if the tenant was given up.
        :param withdraws: whether the caller waits with patience of its own, and then withdraws.
        :return: whether there is room.
        """
        if size <= SMALL_DECODED:
            return True
        applicant = _Applicant(tenant, size, run, withdraws, self._clock())
        return self._part_for(size).take(applicant)

    def withdraw(self, size: int, run: Callable[[int], None], *, makes_room: bool) -> None:
        """Wait for room no longer.

        :param run: as it was passed to ``take``; it was not called.
        :param makes_room: whether clients are to be given up, if nobody waits for longer.
        """
        self._part_for(size).withdraw(run, makes_room=makes_room)

    def leave(self, tenant: Tenant, size: int) -> None:
        """Give back room; those that wait for it are let in soon."""
        if size > SMALL_DECODED:
            self._part_for(size).leave(tenant, size)

    def _part_for(self, size: int) -> "_Part":
        return self._modest if size <= MODEST_DECODED else self._large


class _Part:
    """A part of the room, in which packets of similar sizes wait for each other only.

    :param patience: seconds that one waits before a client is given up. Each time one is, the next
        one that waits has half of it, until nobody waits.
    :param most: bytes that may be taken.
    """

    def __init__(
        self,
        loop: Loop,
        patience: float,
        clock: Callable[[], float],
        held_total: HeldTotal,
        most: int,
    ) -> None:
        self.taken = 0
        """Bytes that are taken."""
        self._held_total = held_total
        self._most = most
        self._patience = patience
        self._clock = clock
        self._haste = 1.0  # the share of the patience that the next one that waits has
        self._next_look = 0.0  # for clients that have gone, in seconds
        self._shares: dict[Tenant, int] = {}  # of the taken bytes
        self._given_up: set[Tenant] = set()  # until they have no share
        self._waiting: deque[_Applicant] = deque()
        # The first of those that wait; one at a time, because it holds up the others.
        self._deadline: Deadlines[_Applicant] = Deadlines(
            loop, patience, self._waited_too_long, clock=clock
        )

    def take(self, applicant: _Applicant) -> bool:
        """Take room, or wait for it."""
        if not self._waiting and self._fits(applicant.size):
            self._add(applicant.tenant, applicant.size)
            return True
        self._waiting.append(applicant)
        if len(self._waiting) == 1:
            self._limit_wait()
            self._held_total.await_room(self._let_in)
        return False

    def leave(self, tenant: Tenant, size: int) -> None:
        """Give back room; those that wait for it are let in by the loop, in ``HeldTotal``."""
        self._add(tenant, -size)

    def withdraw(self, run: Callable[[int], None], *, makes_room: bool) -> None:
        """Wait for room no longer."""
        applicant = next(each for each in self._waiting if each.run == run)
        is_first = applicant is self._waiting[0]
        self._waiting.remove(applicant)
        if is_first:
            if makes_room:
                self._make_room(applicant)
            self._limit_wait()
            self._let_in()

    def _let_in(self) -> None:
        """Let those in that wait for room, as far as there is some."""
        if not self._waiting:
            return
        self._held_total.await_room(self._let_in)  # for the others
        now = self._clock()
        if now > max(self._waiting[0].joined + self._patience, self._next_look):
            self._next_look = now + self._patience * MIN_PATIENCE  # the line may be long
            self._give_up_the_gone()
        while self._waiting and self._fits(self._waiting[0].size):
            applicant = self._waiting[0]
            applicant.run(applicant.size)  # it goes on waiting if that raises
            self._waiting.popleft()
            self._add(applicant.tenant, applicant.size)
            self._limit_wait()

    def _limit_wait(self) -> None:
        """Set the deadline of the first that waits, unless that has one of its own."""
        self._deadline.clear()
        if not self._waiting:
            self._haste = 1.0
        elif not self._waiting[0].withdraws:
            self._deadline.add(self._waiting[0], ago=self._patience * (1 - self._haste))

    def _fits(self, size: int) -> bool:
        """Return whether there is room; a packet that is alone always has it."""
        return not self.taken or self._excess(size) <= 0

    def _excess(self, size: int) -> int:
        """Return by how many bytes it would be too much, at most 0 if it would not."""
        return max(self.taken + size - self._most, self._held_total.excess(size))

    def _add(self, tenant: Tenant, size: int) -> None:
        before = min(self.taken, self._most)
        self.taken += size
        # What a single packet takes beyond the bound is not for others to make room for.
        self._held_total.count(min(self.taken, self._most) - before)
        share = self._shares.pop(tenant, 0) + size
        if share:
            self._shares[tenant] = share
        else:
            self._given_up.discard(tenant)

    def _waited_too_long(self, applicant: _Applicant) -> None:
        """Make room for a packet, and wait again."""
        self._deadline.add(applicant)
        self._give_up_the_gone()
        if self._waiting[0] is applicant:
            self._make_room(applicant)

    def _give_up_the_gone(self) -> None:
        """If a client waits that has not gone, give up those that have: they leave the line."""
        staying: deque[_Applicant] = deque()
        gone: list[_Applicant] = []
        for each in self._waiting:
            (staying if each.withdraws or each.tenant.is_open else gone).append(each)
        if not staying:
            return
        for tenant in dict.fromkeys([*self._shares, *(each.tenant for each in gone)]):
            if tenant.is_local and not tenant.is_open and tenant not in self._given_up:
                tenant.give_up(RefusalKind.DECODED, _WHY)
                if tenant in self._shares:
                    self._given_up.add(tenant)
        if gone:
            self._waiting = staying
            self._limit_wait()
        for each in gone:
            each.run(0)

    def _make_room(self, applicant: _Applicant) -> None:
        """Give up the clients that take most, until a packet will fit."""
        self._haste = max(self._haste / 2, MIN_PATIENCE)
        missing = self._excess(applicant.size)
        for tenant in sorted(self._shares, key=self._shares.__getitem__, reverse=True):
            if missing > 0 and tenant.is_local and tenant not in self._given_up:
                missing -= self._shares[tenant]
                tenant.give_up(RefusalKind.DECODED, _WHY)
                self._given_up.add(tenant)
