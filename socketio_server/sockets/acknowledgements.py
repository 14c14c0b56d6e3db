"""Acknowledgements that the server asked for, and the handlers and callbacks that wait for them."""

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from sys import getsizeof
from typing import Any, NamedTuple, Protocol

from gevent.event import Event

from socketio_server.exceptions import DecodeError
from socketio_server.protocol import socketio

MAX_PENDING = 1000
"""Acknowledgements that one client may owe; beyond it, the oldest is given up."""

ack_ids = count(1)
"""Ids for the whole process, because a broadcast with an id must be encoded only once."""


class Answer:
    """A client's acknowledgement, decoded only if a handler or callback waits for it.

    :param kept: its packet.
    :param refuse: called to end the client's session, if the packet is malformed.
    """

    __slots__ = ("_refuse", "kept")

    def __init__(self, kept: socketio.Kept, refuse: Callable[[DecodeError], None]) -> None:
        self.kept = kept
        """Its packet, not decoded yet."""
        self._refuse = refuse

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + getsizeof(self.kept)

    def values(self) -> Sequence[Any]:
        """Decode the client's answer.

        :raises DecodeError: if it is malformed.
        """
        try:
            values: Sequence[Any] = socketio.decode_kept(self.kept).data
        except DecodeError as error:
            self._refuse(error)
            raise
        return values


class Pending(Protocol):
    """Waits for a client's acknowledgement. Called in loop callbacks: must never block."""

    def answered(self, socket_id: str, answer: Answer) -> None:
        """The client acknowledged."""

    def gone(self, socket_id: str) -> None:
        """The client has disconnected, and will not acknowledge."""


class Timekeeper(Protocol):
    """Lets callers wait for clients; the test client has its own, with simulated time."""

    patience: float
    """Seconds that a sender waits for a client whose event it does not handle."""

    @property
    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    def may_wait(self) -> bool:
        """Return whether the caller may wait until a client has read some of its messages."""

    def let_others_run(self) -> None:
        """Return after the loop has taken a turn."""

    def wait(self, event: Event, timeout: float | None) -> None:
        """Wait in the caller's greenlet until the event is set, or ``timeout`` seconds."""

    def call_later(self, seconds: float, func: Callable[[], None]) -> Callable[[], None]:
        """Call ``func`` after so many seconds.

        :return: a function that cancels the call.
        """


class NoTimekeeper:
    """The ``Timekeeper`` of a process without a server: there is no client to wait for."""

    patience = now = 0.0

    def may_wait(self) -> bool:
        """Return ``False``."""
        return False

    def let_others_run(self) -> None:
        """Do nothing."""

    def wait(self, event: Event, timeout: float | None) -> None:
        """Raise ``RuntimeError``."""
        raise RuntimeError("no server runs in this process")

    def call_later(self, seconds: float, func: Callable[[], None]) -> Callable[[], None]:
        """Raise ``RuntimeError``."""
        raise RuntimeError("no server runs in this process")


class _Answers(NamedTuple):
    values: dict[str, Any]
    missing: tuple[str, ...]


class Answers(_Answers):
    """The answers of several clients.

    :param values: their answers by session id; a tuple if a client sent several values, but only
        the first of these from a client of another process.
    :param missing: the ids of clients that did not answer in time, or disconnected.
    """

    unnamed: tuple[Any, ...] = ()
    """The answers of clients of Node's servers, which don't tell whose they are."""

    unknown: int = 0
    """How many of their clients, and servers of any kind, did not answer."""


class Ledger:
    """The acknowledgements that one client owes.

    :param socket_id: the client's public id.
    """

    __slots__ = ("_pending", "_socket_id")

    def __init__(self, socket_id: str) -> None:
        self._socket_id = socket_id
        self._pending: dict[int, Pending] = {}

    def add(self, ack_id: int, pending: Pending) -> None:
        """Note that the client is asked to acknowledge ``ack_id``."""
        if len(self._pending) >= MAX_PENDING:
            self._pending.pop(next(iter(self._pending))).gone(self._socket_id)
        self._pending[ack_id] = pending

    def discard(self, ack_id: int) -> None:
        """Ignore the acknowledgement of ``ack_id``, should it still arrive."""
        self._pending.pop(ack_id, None)

    def settle(self, ack_id: int, answer: Answer) -> None:
        """Pass on an acknowledgement; ignore one that the server did not ask for."""
        pending = self._pending.pop(ack_id, None)
        if pending is not None:
            pending.answered(self._socket_id, answer)

    def close(self) -> None:
        """Tell all waiting handlers and callbacks that the client has disconnected."""
        owed, self._pending = self._pending, {}
        for pending in owed.values():
            pending.gone(self._socket_id)


class Acknowledged:
    """A client's acknowledgement on its way to a handler's callback."""

    __slots__ = ("_callback", "answer")

    def __init__(self, callback: Callable[..., Any], answer: Answer) -> None:
        self._callback = callback
        self.answer = answer

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + getsizeof(self.answer)

    def run(self, request: Any, socket: Any, context: Any, *values: Any) -> None:
        """Call the callback; the signature is a handler's."""
        self._callback(*values)


class Waiter:
    """Collects the acknowledgements of several clients (``Pending``).

    :param expected: the ids of the clients that are asked.
    """

    def __init__(self, expected: Iterable[str], timekeeper: Timekeeper) -> None:
        self._timekeeper = timekeeper
        self._due = dict.fromkeys(expected)
        self._left: list[str] = []
        self._answers: dict[str, Answer] = {}
        self._done = Event()

    def answered(self, socket_id: str, answer: Answer) -> None:
        """Note an answer."""
        self._answers[socket_id] = answer
        self._settle(socket_id)

    def gone(self, socket_id: str) -> None:
        """Note that a client will not answer."""
        self._left.append(socket_id)
        self._settle(socket_id)

    def wait(self, timeout: float | None) -> Answers:
        """Wait in the caller's greenlet for all answers, or ``timeout`` seconds."""
        if self._due:
            self._timekeeper.wait(self._done, timeout)
        values: dict[str, Any] = {}
        for socket_id, answer in self._answers.items():
            try:
                values[socket_id] = unpack(answer.values())
            except DecodeError:
                self._left.append(socket_id)
        return Answers(values, (*self._left, *self._due))

    def _settle(self, socket_id: str) -> None:
        self._due.pop(socket_id, None)
        if not self._due:
            self._done.set()


class CallbackRunner:
    """Passes one client's acknowledgement to a callback (``Pending``).

    :param run: runs the callback with the answer, in the socket's order of events.
    """

    def __init__(self, run: Callable[[Answer], None]) -> None:
        self._run = run
        self.cancel_timeout: Callable[[], None] | None = None
        """Cancels the timeout of the acknowledgement; ``None`` if it has none."""

    def answered(self, socket_id: str, answer: Answer) -> None:
        """Run the callback."""
        self._stop()
        self._run(answer)

    def gone(self, socket_id: str) -> None:
        """Stop waiting."""
        self._stop()

    def _stop(self) -> None:
        if self.cancel_timeout is not None:
            self.cancel_timeout()


def unpack(values: Sequence[Any]) -> Any:
    """Return an acknowledgement's value; a tuple if there are several, ``None`` if none."""
    if len(values) == 1:
        return values[0]
    return tuple(values) or None
