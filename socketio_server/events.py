"""The event registry: what an ``events.py`` imports.

    from socketio_server import events

    @events.on_message(channel="^room-")
    def message(request, socket, context, message):
        socket.send_and_broadcast_channel(message)

Pure Python; nothing here runs handlers. The seven events, their names and their rules for channels
are django-socketio's.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, overload

from socketio_server.exceptions import EventError, Reject

__all__ = [
    "Event",
    "EventError",
    "Registry",
    "Reject",
    "on_connect",
    "on_disconnect",
    "on_error",
    "on_finish",
    "on_message",
    "on_subscribe",
    "on_unsubscribe",
]

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)


class Registration(NamedTuple):
    """A handler, and the channels that it was registered for; ``None`` where it was for none."""

    handler: Handler
    pattern: re.Pattern[str] | None


class Event:
    """A point in a connection's life, and its handlers in the order of their registration.

    Used as a decorator: bare, called, or with a channel pattern, a regular expression that is
    matched from the channel's beginning. The decorated function is returned unchanged.

    :param name: the event's name, ``on_message`` say.
    :param supports_channels: whether handlers may be registered for channels.
    :param can_refuse: whether handlers may raise ``Reject``.
    """

    def __init__(
        self, name: str, *, supports_channels: bool = True, can_refuse: bool = False
    ) -> None:
        self.name = name
        self.supports_channels = supports_channels
        self.can_refuse = can_refuse
        self.registrations: list[Registration] = []

    def __repr__(self) -> str:
        return f"<Event {self.name}>"

    @overload
    def __call__(self, handler: H, channel: str | None = None) -> H: ...
    @overload
    def __call__(self, handler: None = None, channel: str | None = None) -> Callable[[H], H]: ...
    def __call__(self, handler: H | None = None, channel: str | None = None) -> Any:
        """Register a handler, or return a decorator that does.

        :param channel: a regular expression for the channels that the handler is for.
        :raises EventError: if the event takes no channel, or the pattern is no regular expression.
        """
        if handler is None:
            return lambda handler: self(handler, channel)
        self.registrations.append(Registration(handler, self._compile(handler, channel)))
        return handler

    def select(self, channels: Sequence[str]) -> tuple[Handler, ...]:
        """Return the handlers that run for a socket.

        Those without a pattern run while the socket holds no channel, those with one while it
        matches any that the socket holds.

        :param channels: the channels that the socket holds.
        """
        return tuple(
            handler
            for handler, pattern in self.registrations
            if (not channels if pattern is None else any(map(pattern.match, channels)))
        )

    def select_for(self, channel: str) -> tuple[Handler, ...]:
        """Return the handlers that run for a subscription to ``channel``, or its end.

        Those without a pattern, and those whose pattern matches the channel.
        """
        return tuple(
            handler
            for handler, pattern in self.registrations
            if pattern is None or pattern.match(channel)
        )

    def _compile(self, handler: Handler, channel: str | None) -> re.Pattern[str] | None:
        if not channel:
            return None
        if not self.supports_channels:
            raise EventError(
                f"The {self.name} event does not support channels so the handler "
                f"`{_name(handler)}` could not be registered"
            )
        try:
            return re.compile(channel)
        except re.error as error:
            raise EventError(
                f"The channel pattern {channel!r} of the {self.name} handler `{_name(handler)}` "
                f"is not a regular expression: {error}"
            ) from error


class Registry:
    """The seven events of a server; the module's own are what ``from socketio_server import
    events`` gives."""

    def __init__(self) -> None:
        self.on_connect = Event("on_connect", supports_channels=False, can_refuse=True)
        self.on_subscribe = Event("on_subscribe", can_refuse=True)
        self.on_message = Event("on_message")
        self.on_unsubscribe = Event("on_unsubscribe")
        self.on_error = Event("on_error")
        self.on_disconnect = Event("on_disconnect")
        self.on_finish = Event("on_finish")

    def __iter__(self) -> Iterator[Event]:
        return (
            event
            for event in (
                self.on_connect,
                self.on_subscribe,
                self.on_message,
                self.on_unsubscribe,
                self.on_error,
                self.on_disconnect,
                self.on_finish,
            )
        )


def _name(handler: Handler) -> str:
    return getattr(handler, "__name__", repr(handler))


REGISTRY = Registry()
"""What the decorators of this module register in, and what the server runs."""

on_connect = REGISTRY.on_connect
"""``request, socket, context``: once, when the connection is made; may raise ``Reject``."""

on_subscribe = REGISTRY.on_subscribe
"""``request, socket, context, channel``: the client subscribed; may raise ``Reject``."""

on_message = REGISTRY.on_message
"""``request, socket, context, message``: the client sent data."""

on_unsubscribe = REGISTRY.on_unsubscribe
"""``request, socket, context, channel``: the client left a channel, or ended while on it."""

on_error = REGISTRY.on_error
"""``request, socket, context, exception``: a handler raised."""

on_disconnect = REGISTRY.on_disconnect
"""``request, socket, context``: once, when the connection is lost or closed by either side."""

on_finish = REGISTRY.on_finish
"""``request, socket, context``: once, at the very end, also when the server stops or reloads."""
