"""The registry of subscriptions: the clients on each channel.

Channels and sockets' ids are kept apart, because clients choose the names of channels, and so are
channels and rooms of our own (``RESERVED_HEAD``), because nobody is to see those.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar, overload

from socketio_server.protocol.names import MAIN_NAMESPACE, RESERVED_HEAD
from socketio_server.sockets.recipient import Recipient

D = TypeVar("D")

_SUBSCRIPTION_SIZE = 400


def subscription_size(channel: str) -> int:
    """Return about how many bytes a client's subscription takes, if it is the only one."""
    return _SUBSCRIPTION_SIZE + (len(channel) if channel.isascii() else 4 * len(channel))


class Channels(Mapping[str, list[str]]):
    """The subscribers of each channel of each namespace, and the clients in each room of our own.

    As a mapping it is django-socketio's ``CHANNELS``: from the main namespace's channels to lists
    of their subscribers' session ids, a new list each time. A channel without subscribers has an
    empty list, but is not in the mapping. Change subscriptions with ``socket.subscribe`` and
    ``socket.unsubscribe``. The mapping has no rooms.
    """

    def __init__(self) -> None:
        # Namespace, then channel, then recipients in order of subscription, without values.
        self._subscribers: dict[str, dict[str, dict[Recipient, None]]] = {}
        self._in_rooms: dict[str, dict[str, dict[Recipient, None]]] = {}  # likewise

    def add(self, recipient: Recipient, channel: str) -> None:
        """Register a recipient as a subscriber of a channel of its namespace, or in a room."""
        channels = self._registry_of(channel).setdefault(recipient.namespace, {})
        channels.setdefault(channel, {})[recipient] = None

    def discard(self, recipient: Recipient, channel: str) -> None:
        """Unregister a subscriber, and forget the channel or room when it was the last."""
        registry = self._registry_of(channel)
        channels = registry.get(recipient.namespace, {})
        subscribers = channels.get(channel, {})
        subscribers.pop(recipient, None)
        if not subscribers:
            channels.pop(channel, None)
        if not channels:
            registry.pop(recipient.namespace, None)

    def clear(self) -> None:
        """Unregister everybody."""
        self._subscribers.clear()
        self._in_rooms.clear()

    def subscribers(self, namespace: str, channel: str) -> Collection[Recipient]:
        """Return the subscribers of a channel or room, in order of subscription.

        It is a live view; don't hold on to it.
        """
        registry = self._in_rooms if channel.startswith(RESERVED_HEAD) else self._subscribers
        return registry.get(namespace, {}).get(channel, {}).keys()

    def names(self, namespace: str) -> Collection[str]:
        """Return the channels of a namespace that somebody is on.

        It is a live view; don't hold on to it.
        """
        return self._subscribers.get(namespace, {}).keys()

    def _registry_of(self, channel: str) -> dict[str, dict[str, dict[Recipient, None]]]:
        return self._in_rooms if channel.startswith(RESERVED_HEAD) else self._subscribers

    @property
    def total(self) -> int:
        """The number of channels with subscribers, in all namespaces."""
        return sum(map(len, self._subscribers.values()))

    def __getitem__(self, channel: str) -> list[str]:
        return [recipient.id for recipient in self.subscribers(MAIN_NAMESPACE, channel)]

    def __contains__(self, channel: object) -> bool:
        return channel in self._subscribers.get(MAIN_NAMESPACE, {})

    @overload
    def get(self, channel: str, /) -> list[str] | None: ...

    @overload
    def get(self, channel: str, /, default: list[str] | D) -> list[str] | D: ...

    def get(self, channel: str, /, default: Any = None) -> Any:
        """Return a channel's session ids; ``default`` if it has no subscribers."""
        if channel not in self:
            return default
        return self[channel]

    def __iter__(self) -> Iterator[str]:
        return iter(self._subscribers.get(MAIN_NAMESPACE, {}))

    def __len__(self) -> int:
        return len(self._subscribers.get(MAIN_NAMESPACE, {}))
