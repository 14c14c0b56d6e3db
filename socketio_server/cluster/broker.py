"""The interfaces between the sockets of a process and the broker that carries broadcasts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gevent.event import Event

from socketio_server.net.statistics import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A broadcast event and its recipients; plain data, because it crosses to other processes.

    :param event_name: the Socket.IO event.
    :param args: its arguments.
    :param channels: the subscribers of any of these get it; ``None``: everyone in the namespace.
    :param session_ids: these clients get it as well.
    :param skip: ids of sockets that don't get it.
    :param skip_channels: the subscribers of any of these don't get it either.
    :param volatile: whether it is dropped for clients that can't take it at once.
    """

    namespace: str
    event_name: str
    args: tuple[Any, ...]
    channels: tuple[str, ...] | None = None
    session_ids: tuple[str, ...] = ()
    skip: frozenset[str] = frozenset()
    skip_channels: tuple[str, ...] = ()
    volatile: bool = False


class LocalNode(Protocol):
    """The sockets of this process, as its broker sees them."""

    def deliver(self, envelope: Envelope) -> None:
        """Send an event to its recipients in this process.

        :raises TypeError: if an argument can't be encoded; then it was sent to nobody.
        """

    def plain(self, values: Sequence[Any]) -> list[Any]:
        """Return values as clients decode them: JSON's types and ``bytes``.

        :raises TypeError: if one can't be encoded.
        """

    def has_client(self, session_id: str, namespace: str) -> bool:
        """Return whether a client is connected to this process."""

    def is_wanted(self, namespace: str, channel: str | None) -> bool:
        """Return whether a client of this process is on a channel; ``None``: in the namespace."""


class Broker(Protocol):
    """Carries envelopes to every process of a cluster, this one included."""

    reaches_others: bool
    """Whether there may be clients that this process does not know of."""

    def publish(self, envelope: Envelope) -> None:
        """Deliver the envelope to local sockets at once, and to other processes soon.

        :raises TypeError: if an argument can't be encoded; then it was sent to nobody.
        """

    def listen(self, namespace: str, channel: str | None = None) -> None:
        """Return when what other processes publish on a channel arrives here as well.

        Waits for a moment if the channel is new to this process, and the caller may wait.

        :param channel: ``None``: for everyone in the namespace.
        """

    def start(self, namespaces: Iterable[str]) -> None:
        """Connect in the background; wait a moment for it.

        :param namespaces: those that clients may join at any time.
        """

    def stop(self, timeout: float) -> None:
        """Publish what waits, for so many seconds at most, and disconnect."""

    def count(self, snapshot: Snapshot) -> None:
        """Add the broker's state and counters to those of the server."""


class Patience(Protocol):
    """Lets the caller's greenlet wait."""

    def may_wait(self) -> bool:
        """Return whether the caller may wait."""

    def let_others_run(self) -> None:
        """Return after the loop has taken a turn."""

    def wait(self, event: Event, timeout: float | None) -> None:
        """Wait until the event is set, or ``timeout`` seconds."""
