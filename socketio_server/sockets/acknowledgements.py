"""Acknowledgements that the server asked for, and the handlers and callbacks that wait for them."""

from collections.abc import Callable, Iterable, Sequence
from itertools import count, repeat
from sys import getsizeof
from typing import Any, NamedTuple, Protocol

from gevent.event import Event

from socketio_server.exceptions import DecodeError
from socketio_server.protocol.cluster_requests import decode_value

MAX_PENDING = 1000
"""Acknowledgements that one client may owe in a namespace; beyond it, the oldest is given up."""

PENDING_SIZE = 600
"""Bytes that one of them takes, about."""

ack_ids = count(1)
"""Ids for the whole process, because a broadcast with an id must be encoded only once."""


class Answer(Protocol):
    """A client's acknowledgement, decoded only if a handler or callback waits for it."""

    def decoded_size(self) -> int:
        """Estimate how many bytes it takes once it is decoded."""

    def values(self, pause: Callable[[], None] | None = None) -> Sequence[Any]:
        """Decode it.

        :param pause: called between the parts of the work on a large one.
        :raises DecodeError: if it is malformed.
        """

    def hold(self) -> None:
        """Keep it until it is read or dropped, at the client's expense. It may be dropped for lack
        of memory before.
        """

    def drop(self) -> None:
        """Forget it. Idempotent."""

    def start_decoding(self) -> "AnswerDecoder":
        """Begin to decode the answers that one caller has waited for."""


class AnswerDecoder(Protocol):
    """Decodes the answers that one caller has waited for, one after another."""

    def decode(self, answer: Any) -> Sequence[Any] | None:
        """Return the values of an answer, and drop it; may wait for memory, and for others.

        :return: ``None`` if it is malformed, or there was no memory for it.
        """

    def end(self) -> None:
        """The caller has all answers."""


class UnchargedAnswer:
    """The answer of another process's client, where no server runs and it harms no client
    (``Answer``, ``AnswerDecoder``).

    :param socket_id: the client.
    :param packet: what it answered, in MessagePack.
    """

    def __init__(self, socket_id: str | None, packet: bytes) -> None:
        self._packet = packet

    def decoded_size(self) -> int:
        """Return 0: nobody counts it."""
        return 0

    def values(self, pause: Callable[[], None] | None = None) -> Sequence[Any]:
        """Decode it.

        :raises DecodeError: if it is malformed.
        """
        return (decode_value(self._packet, pause),)

    def hold(self) -> None:
        """Do nothing."""

    def drop(self) -> None:
        """Do nothing."""

    def start_decoding(self) -> "AnswerDecoder":
        """Return itself."""
        return self

    def decode(self, answer: Answer) -> Sequence[Any] | None:
        """Return the values of an answer; ``None`` if it is malformed."""
        try:
            return answer.values()
        except DecodeError:
            return None

    def end(self) -> None:
        """Do nothing."""


class Pending(Protocol):
    """Waits for a client's acknowledgement. Called in loop callbacks: must never block."""

    def answered(self, socket_id: str, answer: Answer) -> None:
        """The client acknowledged."""

    def gone(self, socket_id: str) -> None:
        """The client has disconnected, and will not acknowledge."""


class Collector(Pending, Protocol):
    """Keeps acknowledgements for a caller, until it is closed."""

    def close(self) -> None:
        """Drop the answers that were not read."""


class Timekeeper(Protocol):
    """Lets callers wait for clients; the test client has its own, with simulated time."""

    patience: float
    """Seconds that a sender waits for a client whose event it does not handle."""

    dropped: int
    """Messages that were dropped because their client had gone, by callers that may wait."""

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
    dropped = 0

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
    :param missing: the ids of clients that did not answer in time, or disconnected, or whose large
        answers there was no memory for.
    """

    unnamed: tuple[Any, ...] = ()
    """The answers of clients of Node's servers, which don't tell whose they are."""

    unknown: int = 0
    """How many of their clients, and servers of any kind, did not answer."""

    def __repr__(self) -> str:
        return (
            f"Answers(values={self.values!r}, missing={self.missing!r}, unnamed={self.unnamed!r}, "
            f"unknown={self.unknown!r})"
        )


class Ledger:
    """The acknowledgements that one client owes.

    :param socket_id: the client's public id.
    """

    __slots__ = ("_pending", "_socket_id")

    def __init__(self, socket_id: str) -> None:
        self._socket_id = socket_id
        self._pending: dict[int, Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, ack_id: int, pending: Pending) -> None:
        """Note that the client is asked to acknowledge ``ack_id``."""
        if len(self._pending) >= MAX_PENDING:
            self._pending.pop(next(iter(self._pending))).gone(self._socket_id)
        self._pending[ack_id] = pending

    def pop(self, ack_id: int) -> Pending | None:
        """Expect the acknowledgement of ``ack_id`` no more.

        :return: who waits for it; ``None`` if the server did not ask for it.
        """
        return self._pending.pop(ack_id, None)

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
        self._answers: dict[str, Answer] = {}  # those that are not read yet
        self._unnamed: list[Answer] = []  # likewise, of clients whose ids nobody tells
        self._done = Event()

    def answered(self, socket_id: str, answer: Answer) -> None:
        """Note an answer."""
        self._answers[socket_id] = answer
        answer.hold()
        self._settle(socket_id)

    def answered_elsewhere(self, socket_id: str | None, answer: Answer) -> None:
        """Note the answer of another process's client, for which nobody waits here.

        :param socket_id: ``None``: its server does not tell.
        """
        if socket_id in self._answers:
            return
        answer.hold()
        if socket_id is None:
            self._unnamed.append(answer)
        else:
            self._answers[socket_id] = answer

    def gone(self, socket_id: str) -> None:
        """Note that a client will not answer."""
        self._left.append(socket_id)
        self._settle(socket_id)

    def wait(self, timeout: float | None) -> Answers:
        """Wait in the caller's greenlet for all answers, or ``timeout`` seconds."""
        if self._due:
            self._timekeeper.wait(self._done, timeout)
        values: dict[str, Any] = {}
        missing = [*self._left, *self._due]
        unnamed: list[Any] = []
        decoder = None
        try:
            for socket_id, answer in (*self._answers.items(), *zip(repeat(None), self._unnamed)):
                decoder = decoder or answer.start_decoding()
                found = decoder.decode(answer)
                if socket_id is None:
                    unnamed += () if found is None else (unpack(found),)
                elif found is None:
                    missing.append(socket_id)
                else:
                    values[socket_id] = unpack(found)
        finally:
            if decoder is not None:
                decoder.end()
        answers = Answers(values, tuple(missing))
        if unnamed:
            answers.unnamed = tuple(unnamed)
        return answers

    def close(self) -> None:
        """Drop the answers that were not read (``Collector``)."""
        for answer in (*self._answers.values(), *self._unnamed):
            answer.drop()

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
