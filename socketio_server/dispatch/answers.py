"""The acknowledgements of clients, for callers who wait for them in greenlets of their own.

They are charged and bounded as events are: text that waits is charged to its client (``router``),
what it takes once it is decoded needs room (``decoded_memory``), and to decode a large one takes a
turn.
"""

from collections.abc import Callable, Sequence
from sys import getsizeof
from typing import Any, Protocol

from gevent.event import Event

from socketio_server.dispatch.decoded_memory import SMALL, SMALL_DECODED, DecodedMemory, Tenant
from socketio_server.exceptions import DecodeError
from socketio_server.net.turns import LARGE
from socketio_server.net.workers import Pool
from socketio_server.protocol import socketio
from socketio_server.sockets.acknowledgements import Timekeeper


class AnswerRouter(Tenant, Protocol):
    """The client that answers, as its answers see it: its router."""

    def hold_answer(self, answer: "ClientAnswer") -> None:
        """Charge the client for an answer that waits."""

    def let_go(self, answer: "ClientAnswer") -> None:
        """Charge it no more. Idempotent."""

    def refuse_packet(self, error: DecodeError) -> None:
        """End the session, because a packet is malformed."""

    def start_decoding(self) -> "BoundedDecoder":
        """Begin to decode the answers that one caller has waited for."""


class ClientAnswer:
    """A client's acknowledgement, decoded only if somebody waits for it (``Answer``).

    :param kept: its packet.
    """

    __slots__ = ("_router", "kept", "size")

    def __init__(self, kept: socketio.Kept, router: AnswerRouter) -> None:
        self.kept: socketio.Kept | None = kept
        """Its packet, not decoded yet; ``None``: it was dropped."""
        self.size = getsizeof(kept)
        """Bytes that the packet takes."""
        self._router = router

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.size

    @property
    def tenant(self) -> Tenant:
        """The client."""
        return self._router

    def decoded_size(self) -> int:
        """Estimate how many bytes the answer takes once it is decoded."""
        return 0 if self.kept is None else socketio.estimate_size(self.kept)

    def values(self, pause: Callable[[], None] | None = None) -> Sequence[Any]:
        """Decode the answer.

        :param pause: as for ``socketio.decode``.
        :raises DecodeError: if it is malformed, which ends the session.
        """
        assert self.kept is not None
        try:
            values: Sequence[Any] = socketio.decode_kept(self.kept, pause).data
        except DecodeError as error:
            self._router.refuse_packet(error)
            raise
        return values

    def hold(self) -> None:
        """Charge the client for the answer until it is dropped, unless it is small."""
        if self.size > SMALL:
            self._router.hold_answer(self)

    def drop(self) -> None:
        """Forget the packet. Idempotent."""
        self.kept = None
        self._router.let_go(self)

    def start_decoding(self) -> "BoundedDecoder":
        """Begin to decode the answers that one caller has waited for."""
        return self._router.start_decoding()


class BoundedDecoder:
    """Decodes answers in the greenlet of the caller that has waited for them (``AnswerDecoder``).

    What they take once they are decoded takes room until the handler that called has ended, or
    until it takes room for the answers to another call: then it has no use for these any more, most
    probably. Callers that are no handlers keep it until they have the answers: nobody knows how
    long a greenlet lasts, and a view may last as long as a slow client's download.

    :param patience: seconds that all of them together wait for room.
    """

    def __init__(
        self, memory: DecodedMemory, pool: Pool, timekeeper: Timekeeper, patience: float
    ) -> None:
        self._memory = memory
        self._pool = pool
        self._timekeeper = timekeeper
        self._patience = patience
        self._taken: list[tuple[Tenant, int]] = []
        self._has_job: bool | None = None  # None until room is needed

    def decode(self, answer: ClientAnswer) -> Sequence[Any] | None:
        """Return an answer's values; may wait.

        :return: ``None`` if it is malformed, was dropped, or found no room in time.
        """
        try:
            if answer.size <= SMALL:
                return answer.values()
            return self._decode_large(answer)
        except DecodeError:
            return None
        finally:
            answer.drop()

    def end(self) -> None:
        """The caller has all answers."""
        if not self._has_job:
            self._leave()

    def _decode_large(self, answer: ClientAnswer) -> Sequence[Any] | None:
        if not self._take_room(answer.tenant, answer.decoded_size()):
            return None
        is_large = answer.size > LARGE
        if is_large:
            self._take_turn()
        if answer.kept is None:  # it was dropped meanwhile
            return None
        values = answer.values(self._take_turn if is_large else None)
        answer.drop()
        if is_large:
            self._take_turn()
        return values

    def _take_turn(self) -> None:
        self._pool.take_turn(is_large=True)

    def _take_room(self, tenant: Tenant, size: int) -> bool:
        """Return whether there is room for an answer, or was in time."""
        if size <= SMALL_DECODED:
            return True
        if self._has_job is None:
            self._has_job = self._pool.call_at_end(self._leave)
        ready = Event()

        def run(taken: int) -> None:
            ready.set()

        if self._memory.take(tenant, size, run, withdraws=True):
            self._taken.append((tenant, size))
            return True
        began = self._timekeeper.now
        try:
            self._timekeeper.wait(ready, self._patience)
        finally:
            self._patience = max(self._patience - (self._timekeeper.now - began), 0.0)
            if ready.is_set():
                self._taken.append((tenant, size))
            else:  # what the caller keeps itself is no other client's fault
                self._memory.withdraw(size, run, makes_room=not self._taken)
        return ready.is_set()

    def _leave(self) -> None:
        taken, self._taken = self._taken, []
        for tenant, size in taken:
            self._memory.leave(tenant, size)
