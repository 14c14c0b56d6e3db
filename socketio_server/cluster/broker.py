"""The interfaces between the sockets of a process and the broker that carries broadcasts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from gevent.event import Event

from socketio_server.engine.transports.base import Outgoing
from socketio_server.net.statistics import Snapshot
from socketio_server.protocol.cluster_requests import (
    Question,
    Request,
    Response,
    ServerFields,
    SocketFields,
)


class Recipients(msgspec.Struct, frozen=True, kw_only=True):
    """Clients of a namespace; plain data, because it crosses to other processes.

    :param channels: the subscribers of any of these; ``None``: everyone in the namespace.
    :param socket_ids: these clients as well.
    :param skip: but not sockets of these ids.
    :param skip_channels: and not the subscribers of any of these.
    """

    namespace: str
    channels: tuple[str, ...] | None = None
    socket_ids: tuple[str, ...] = ()
    skip: frozenset[str] = frozenset()
    skip_channels: tuple[str, ...] = ()


class Envelope(Recipients, frozen=True, kw_only=True):
    """A broadcast event and its recipients.

    :param event_name: the Socket.IO event.
    :param args: its arguments.
    :param volatile: whether it is dropped for clients that can't take it at once.
    """

    event_name: str
    args: tuple[Any, ...]
    volatile: bool = False


class Responses(NamedTuple):
    """The responses of other servers to a request, without the acknowledgements of their clients.

    :param received: in the order of their arrival.
    :param missing: how many servers have not responded in time; 1 or more if nobody knows.
    """

    received: Sequence[Response]
    missing: int


class LocalNode(Protocol):
    """The sockets of this process, as its broker sees them."""

    def deliver(self, envelope: Envelope) -> None:
        """Send an event to its recipients in this process.

        :raises TypeError: if an argument can't be encoded; then it was sent to nobody.
        """

    def encode(self, namespace: str, event_name: str, args: Sequence[Any]) -> Outgoing:
        """Encode an event, once for all recipients.

        :raises TypeError: if an argument can't be encoded.
        :raises ValueError: if the message is larger than what may wait for a client.
        """

    def encode_with_values(
        self, namespace: str, event_name: str, args: Sequence[Any]
    ) -> tuple[Outgoing, list[Any]]:
        """Encode an event, and return its name and arguments as clients decode them, too.

        Those are JSON's types, ``bytes``, and tuples for some lists. Parts may be the caller's own
        objects: to be encoded before anybody may change them.

        :raises TypeError: if an argument can't be encoded.
        :raises ValueError: if the message is larger than what may wait for a client.
        """

    def verify_for_others(self, event_name: str, message: bytes) -> None:
        """Verify that other processes take an event.

        :param message: it, in MessagePack.
        :raises ValueError: if it is larger than what they take.
        """

    def deliver_encoded(
        self, recipients: Recipients, several: Sequence[Outgoing], *, volatile: bool = False
    ) -> None:
        """Send events to their recipients in this process, in one write to each."""

    def has_client(self, socket_id: str, namespace: str) -> bool:
        """Return whether a client is connected to this process."""

    def is_wanted(self, namespace: str, channel: str | None) -> bool:
        """Return whether a client of this process is on a channel; ``None``: in the namespace."""


class LocalOperations(Protocol):
    """What other servers may ask of this process and its sockets."""

    def join(self, recipients: Recipients, channels: Sequence[str]) -> None:
        """Put clients on channels; must not wait."""

    def leave(self, recipients: Recipients, channels: Sequence[str]) -> None:
        """Take clients off channels."""

    def disconnect(self, recipients: Recipients, *, close: bool) -> None:
        """Disconnect clients from their namespace, or with ``close`` end their sessions."""

    def records(self, recipients: Recipients, limit: int | None = None) -> list[SocketFields]:
        """Return what other servers may know of clients.

        :param limit: of how many at most; ``None``: of all.
        """

    def count(self, recipients: Recipients) -> int:
        """Return how many of the recipients are clients of this process."""

    def users(self, recipients: Recipients) -> list[str]:
        """Return the rooms of these clients' users, each once."""

    def server(self) -> ServerFields | None:
        """Return what other servers may know of this one; ``None`` if none runs here."""

    def rooms(self, namespace: str) -> list[str]:
        """Return the channels and the sockets' ids of a namespace."""

    def pass_on(
        self,
        envelope: Envelope,
        timeout: float,
        *,
        asked: Callable[[Sequence[str]], None],
        answered: Callable[[str, Sequence[Any] | None], None],
    ) -> Callable[[], None]:
        """Send clients an event that they are to acknowledge; must not wait.

        :param timeout: seconds to wait.
        :param asked: called at first with the ids of these clients.
        :param answered: called for each that has acknowledged with the values, and for each that
            has left with ``None``.
        :return: waits until they have; to be called once.
        :raises TypeError: if an argument can't be encoded; then nobody is asked.
        :raises ValueError: if the event is larger than what may wait for a client; likewise.
        """

    def run_event(
        self, namespace: str, data: Sequence[Any], answer: Callable[[Any], None] | None
    ) -> bool:
        """Let handlers run soon for an event of another server; must not wait.

        :param data: the event's name and arguments.
        :param answer: called with the handlers' answer, if there is one.
        :return: ``False`` if no server runs in this process.
        """


class Broker(Protocol):
    """Carries envelopes to every process of a cluster, this one included."""

    reaches_others: bool
    """Whether there may be clients that this process does not know of."""

    def publish(self, envelope: Envelope) -> None:
        """Deliver the envelope to local sockets at once, and to other processes soon.

        :raises TypeError: if an argument can't be encoded; then it was sent to nobody.
        :raises ValueError: if it is larger than what clients or other processes take; likewise.
        """

    def tell(self, namespace: str, request: Request) -> None:
        """Have the servers of all other processes act upon a request, soon."""

    def ask(
        self,
        namespace: str,
        question: Question,
        timeout: float,
        acknowledged: Callable[[Response], None] | None = None,
    ) -> Responses:
        """Send a request to the servers of all other processes, and wait for their responses.

        :param timeout: seconds to wait.
        :param acknowledged: called with each acknowledgement of a client, as it arrives; must not
            wait.
        """

    def listen(self, namespace: str, channel: str | None = None, *, wait: bool = True) -> None:
        """Return when what other processes publish on a channel arrives here as well.

        Waits for a moment if the channel is new to this process, and the caller may wait.

        :param channel: ``None``: for everyone in the namespace.
        :param wait: whether to wait at all.
        """

    def start(self, namespaces: Iterable[str]) -> None:
        """Connect in the background; wait a moment for it.

        :param namespaces: those that clients may join at any time.
        """

    def stop(self, timeout: float) -> None:
        """Publish what waits, for so many seconds at most, and disconnect."""

    def leave_to_parent(self) -> None:
        """Let go of the connections in a process that was forked from this one."""

    def count(self, snapshot: Snapshot) -> None:
        """Add the broker's state and counters to those of the server."""


class Patience(Protocol):
    """Lets the caller's greenlet wait."""

    def may_wait(self) -> bool:
        """Return whether the caller may wait."""

    def let_others_run(self, seconds: float = 0.0) -> None:
        """Return after so many seconds, in which the loop has taken a turn at least."""

    def wait(self, event: Event, timeout: float | None) -> None:
        """Wait until the event is set, or ``timeout`` seconds."""
