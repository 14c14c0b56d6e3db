"""Who is on which channel.

``CHANNELS`` is django-socketio's mapping from channels to the session ids subscribed, for looking
and not for writing: subscriptions are changed through ``socket.subscribe`` and
``socket.unsubscribe``. Channels are names that clients choose, so they share no space with the
sockets' own ids.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from socketio_server.protocol.names import MAIN_NAMESPACE

if TYPE_CHECKING:
    from socketio_server.sockets.socket import Socket


class Channels(Mapping[str, tuple[str, ...]]):
    """The subscribers of each channel of each namespace; as a mapping, the main namespace's."""

    def __init__(self) -> None:
        # Namespace, then channel, then sockets in order of subscription (the values mean nothing).
        self._subscribers: dict[str, dict[str, dict[Socket, None]]] = {}

    def add(self, socket: "Socket", channel: str) -> None:
        """Put a socket on a channel of its namespace."""
        channels = self._subscribers.setdefault(socket.namespace, {})
        channels.setdefault(channel, {})[socket] = None

    def discard(self, socket: "Socket", channel: str) -> None:
        """Take a socket off a channel, and forget the channel when it was the last."""
        channels = self._subscribers.get(socket.namespace, {})
        subscribers = channels.get(channel, {})
        subscribers.pop(socket, None)
        if not subscribers:
            channels.pop(channel, None)
        if not channels:
            self._subscribers.pop(socket.namespace, None)

    def subscribers(self, namespace: str, channel: str) -> "Collection[Socket]":
        """Return the sockets on a channel, in order of subscription; it lives, so don't keep it."""
        return self._subscribers.get(namespace, {}).get(channel, {}).keys()

    @property
    def total(self) -> int:
        """How many channels somebody is on, in all namespaces."""
        return sum(map(len, self._subscribers.values()))

    def __getitem__(self, channel: str) -> tuple[str, ...]:
        subscribers = self._subscribers.get(MAIN_NAMESPACE, {})[channel]
        return tuple(socket.id for socket in subscribers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._subscribers.get(MAIN_NAMESPACE, {}))

    def __len__(self) -> int:
        return len(self._subscribers.get(MAIN_NAMESPACE, {}))


CHANNELS = Channels()
