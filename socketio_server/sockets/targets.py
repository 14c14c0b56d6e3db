"""Recipients of events, and checks of the arguments of sending functions.

Every argument is checked at the call, before anything is sent or changed, and the error names the
argument, its value and the remedy.
"""

import reprlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from math import isfinite
from typing import Any, Final, Literal, NamedTuple, Protocol

from socketio_server.cluster.broker import Envelope, Recipients
from socketio_server.protocol.names import RESERVED_EVENTS, RESERVED_HEAD


class SocketSession(NamedTuple):
    """``socket.session``, which holds the connection's id under django-socketio's name.

    As a target it is this one connection.
    """

    session_id: str


class Audience(Enum):
    """The type of ``EVERYONE`` and ``OTHERS``."""

    EVERYONE = "everyone in the namespace"
    OTHERS = "everyone in the namespace but this socket"


EVERYONE: Final = Audience.EVERYONE
"""Instead of channels: all clients of the namespace."""

OTHERS: Final = Audience.OTHERS
"""Instead of channels: all clients of the namespace but the socket that sends."""


class User(Protocol):
    """A Django user, who may have several clients."""

    @property
    def is_authenticated(self) -> Any:
        """Whether it is somebody's account."""


Channels = str | User | Iterable[str | User]
"""A channel, a user, or several."""

Target = Channels | SocketSession | Literal[Audience.EVERYONE, Audience.OTHERS]
"""The recipients of an event."""

Skip = str | SocketSession | User | Iterable[str | SocketSession | User]
"""Clients that don't get an event: one session id, a user, or several."""

_NOBODY: frozenset[str] = frozenset()


def _no_user(value: Any) -> None:
    return None


room_of: Callable[[Any], str | None] = _no_user
"""Returns the room of a user, and ``None`` for what is no user; raises ``ValueError`` if the user
is anonymous. Set by the Django app, which knows users.
"""


class Selection(NamedTuple):
    """The recipients of an event, as the caller named them.

    :param channels: the subscribers of any of these, or users by their rooms; ``None``: everyone in
        the namespace.
    :param socket_id: this client only.
    :param skip: ids of clients that don't get it.
    :param skip_channels: channels, and users' rooms, whose clients don't get it.
    """

    channels: tuple[str, ...] | None
    socket_id: str | None
    skip: frozenset[str]
    skip_channels: tuple[str, ...]

    def within(self, namespace: str) -> Recipients:
        """Return the recipients of a namespace."""
        return Recipients(
            namespace=namespace,
            channels=self.channels,
            socket_ids=() if self.socket_id is None else (self.socket_id,),
            skip=self.skip,
            skip_channels=self.skip_channels,
        )

    def envelope(
        self, namespace: str, event_name: str, args: tuple[Any, ...], *, volatile: bool = False
    ) -> Envelope:
        """Return an event for the recipients of a namespace."""
        return Envelope(
            namespace=namespace,
            event_name=event_name,
            args=args,
            channels=self.channels,
            socket_ids=() if self.socket_id is None else (self.socket_id,),
            skip=self.skip,
            skip_channels=self.skip_channels,
            volatile=volatile,
        )

    def leaves_out(self, socket_id: str, channels: Sequence[str]) -> bool:
        """Return whether a client on these channels is skipped."""
        return socket_id in self.skip or any(channel in self.skip_channels for channel in channels)


def select(
    to: Target, skip: Skip = (), skip_channels: Channels = (), *, sender: str | None = None
) -> Selection:
    """Return the recipients of an event.

    :param sender: the id of the sending socket; ``None``: there is none.
    :raises TypeError: if an argument is of a wrong type.
    :raises ValueError: if a channel's name is empty, a user is anonymous, or ``to`` is ``OTHERS``
        without a sender.
    """
    if isinstance(to, str) and skip == () and skip_channels == ():  # nearly always
        check_channel(to, "to")
        return Selection((to,), None, _NOBODY, ())
    skipped, skipped_users = _skipped(skip)
    skipped_channels = channels_of(skip_channels, "skip_channels") + skipped_users
    if isinstance(to, SocketSession):
        return Selection((), id_of(to, "to"), skipped, skipped_channels)
    if to is OTHERS:
        if sender is None:
            raise ValueError("to=OTHERS is for socket.emit and socket.call: pass to=EVERYONE")
        skipped |= {sender}
    channels = None if isinstance(to, Audience) else channels_of(to, "to")
    return Selection(channels, None, skipped, skipped_channels)


def channels_of(channels: Channels, argument: str) -> tuple[str, ...]:
    """Return the channels of an argument that is one channel or several, and the rooms of users.

    :param argument: the name of the argument, for the error.
    :raises TypeError: if it is neither.
    :raises ValueError: if a name is empty, or a user is anonymous.
    """
    if channels == ():
        return ()  # nearly always
    if isinstance(channels, str):
        check_channel(channels, argument)
        return (channels,)
    room = room_of(channels)
    if room is not None:
        return (room,)
    found = _several(channels, argument, "a channel, a user, or several in a list")
    return tuple(_channel_or_room(each, f"a channel in {argument}") for each in found)


def _channel_or_room(value: Any, argument: str) -> str:
    room = None if isinstance(value, str) else room_of(value)
    if room is not None:
        return room
    check_channel(value, argument)
    channel: str = value
    return channel


def _skipped(skip: Skip) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the session ids of skipped clients, and the rooms of skipped users.

    :raises TypeError: if ``skip`` is neither an id, nor a ``SocketSession``, nor a user, nor
        several of them.
    :raises ValueError: if a user is anonymous.
    """
    if skip == ():
        return _NOBODY, ()  # nearly always
    several: Iterable[Any] = (skip,)
    if not isinstance(skip, str | SocketSession) and room_of(skip) is None:
        several = _several(skip, "skip", "a session id, a user, or several in a list")
    ids, rooms = [], []
    for client in several:
        room = None if isinstance(client, str | SocketSession) else room_of(client)
        if room is None:
            ids.append(id_of(client, "skip"))
        else:
            rooms.append(room)
    return frozenset(ids), tuple(rooms)


def id_of(client: str | SocketSession, argument: str) -> str:
    """Return the id of a client, from its id or its ``socket.session``.

    :param argument: the name of the argument, for the error.
    :raises TypeError: if it is neither.
    """
    session_id = client.session_id if isinstance(client, SocketSession) else client
    if not isinstance(session_id, str):
        raise TypeError(f"{argument} takes session ids, not {_show(client)}: pass socket.id")
    return session_id


def check_event_name(event: str) -> None:
    """Check the name of an event to send.

    :raises TypeError: if it is not a string.
    :raises ValueError: if the protocol reserves it.
    """
    if not isinstance(event, str):
        raise TypeError(f"the event's name must be a string, not {_show(event)}")
    if event in RESERVED_EVENTS:
        raise ValueError(f"the event name {event!r} is reserved: choose another")


def check_channel(channel: str, argument: str = "channel", wanted: str = "a string") -> None:
    """Check the name of a channel.

    :param argument: the name of the argument, for the error.
    :param wanted: what it may be.
    :raises TypeError: if it is no string.
    :raises ValueError: if it is empty.
    """
    if not isinstance(channel, str):
        remedy = "decode it" if isinstance(channel, bytes) else "pass the channel's name"
        raise TypeError(f"{argument} must be {wanted}, not {_show(channel)}: {remedy}")
    if not channel:
        raise ValueError(f"{argument} must not be empty: pass the name of a channel")
    if channel.startswith(RESERVED_HEAD):
        raise ValueError(f"{argument} must not begin with {RESERVED_HEAD!r}, which is reserved")


def check_namespace(namespace: str) -> None:
    """Check the name of a namespace.

    :raises TypeError: if it is no string.
    :raises ValueError: if it does not begin with a slash.
    """
    if not isinstance(namespace, str):
        raise TypeError(f"namespace must be a string, not {_show(namespace)}")
    if not namespace.startswith("/"):
        raise ValueError(f"namespace must begin with a slash: pass {'/' + namespace!r}")


def check_timeout(timeout: float | None) -> None:
    """Check the timeout of an acknowledgement.

    :raises TypeError: if it is not a number.
    :raises ValueError: if it is negative or not finite.
    """
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds or None, not {_show(timeout)}")
    if timeout < 0 or not isfinite(timeout):
        raise ValueError(f"timeout must be 0 or more seconds, not {timeout!r}; None waits for ever")


def check_seconds(timeout: float) -> None:
    """Check the timeout of servers' replies, as ``check_timeout``, but it can't be ``None``."""
    if timeout is None:
        raise TypeError("timeout must be a number of seconds: servers can end without a reply")
    check_timeout(timeout)


def _several(values: Any, argument: str, wanted: str) -> tuple[Any, ...]:
    iterator = None
    if not isinstance(values, bytes | bytearray | memoryview):
        with suppress(TypeError):  # a lazy object only seems to be iterable
            iterator = iter(values)
    if iterator is None:
        raise TypeError(f"{argument} must be {wanted}, not {_show(values)}")
    return tuple(iterator)  # not suppressed: a TypeError of the caller's own generator


def _show(value: object) -> str:
    return "None" if value is None else f"{reprlib.repr(value)} ({type(value).__name__})"
