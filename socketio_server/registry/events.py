"""The event registry: registers handlers, and selects those that run for a socket.

Pure Python; the dispatcher runs the handlers. The seven events, their names and rules for channels
are django-socketio's; ``on``, namespaces and typed messages are new.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial, update_wrapper
from typing import Any, Self, TypeVar, overload

from socketio_server.exceptions import EventError
from socketio_server.protocol.names import (
    MAIN_NAMESPACE,
    MESSAGE,
    RESERVED_EVENTS,
    SUBSCRIBE,
    UNSUBSCRIBE,
)
from socketio_server.registry import signatures
from socketio_server.registry.guards import tests_of

Handler = Callable[..., Any]
Channel = str | re.Pattern[str]
Namespace = str | re.Pattern[str]
H = TypeVar("H", bound=Handler)

_OWN_EVENTS = {
    "connect": "on_connect",
    "disconnect": "on_disconnect",
    "disconnecting": "on_disconnect",
    MESSAGE: "on_message",
    SUBSCRIBE: "on_subscribe",
    UNSUBSCRIBE: "on_unsubscribe",
}
"""Reserved events of clients, and the decorators for their handlers."""

MAX_CACHED_NAME = 256
"""Characters of a channel or namespace whose matches are cached."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A handler, with its channels, namespace and types.

    :param pattern: matches its channels; ``None``: registered without a channel.
    :param namespace: its namespace, or a pattern of namespaces.
    :param types: types that its messages are converted to, by position; empty: none is converted.
    """

    handler: Handler
    pattern: re.Pattern[str] | None
    namespace: Namespace
    types: tuple[type | None, ...]

    def is_for(self, namespace: str) -> bool:
        """Return whether it runs in a namespace."""
        if isinstance(self.namespace, str):
            return self.namespace == namespace
        return _matches(self.namespace, namespace, is_whole=True)

    def bind(self, channel: str) -> Self:
        """Return it with the named groups of its pattern as its handler's keyword arguments.

        A group that takes no part in the match is left out, as in Django's URLs.
        """
        match = self.pattern and self.pattern.match(channel)
        groups = match.groupdict() if match else {}
        given = {name: text for name, text in groups.items() if text is not None}
        if not given:
            return self
        bound = update_wrapper(partial(self.handler, **given), self.handler)
        return replace(self, handler=bound)


class Event:
    """A point in a connection's life, and its handlers in the order of their registration.

    Use it as a decorator: bare, called, or with a channel pattern, a regular expression that is
    matched from the beginning of the channel. It returns the decorated function unchanged.

    :param name: the event's name, for instance ``on_message``.
    :param supports_channels: whether handlers may be registered for channels.
    :param can_refuse: whether handlers may raise ``Reject``.
    :param first: the names of what handlers get first.
    :param arguments: the names of what they get behind it; ``None``: whatever the client sends.
    :param always: whether handlers without a pattern run even if the socket holds channels.
    :param answers: whether what handlers return is the client's acknowledgement; then ``Reject``
        refuses no more than the message.
    :param must_grant: whether a handler refuses unless it returns something true; then the named
        groups of its pattern are its keyword arguments.
    """

    def __init__(
        self,
        name: str,
        *,
        supports_channels: bool = True,
        can_refuse: bool = False,
        first: Sequence[str] = signatures.FIRST,
        arguments: Sequence[str] | None = (),
        always: bool = False,
        answers: bool = False,
        must_grant: bool = False,
    ) -> None:
        self.name = name
        self.first = first
        self.supports_channels = supports_channels
        self.can_refuse = can_refuse
        self.arguments = arguments
        self.always = always
        self.answers = answers
        self.must_grant = must_grant
        self.registrations: list[Registration] = []

    def __repr__(self) -> str:
        return f"<Event {self.name}>"

    @overload
    def __call__(
        self, handler: H, channel: Channel | None = None, *, namespace: Namespace = MAIN_NAMESPACE
    ) -> H: ...
    @overload
    def __call__(
        self,
        handler: None = None,
        channel: Channel | None = None,
        *,
        namespace: Namespace = MAIN_NAMESPACE,
    ) -> Callable[[H], H]: ...
    def __call__(
        self,
        handler: H | None = None,
        channel: Channel | None = None,
        *,
        namespace: Namespace = MAIN_NAMESPACE,
    ) -> Any:
        """Register a handler, or return a decorator that does.

        :param channel: a regular expression for the handler's channels.
        :param namespace: the handler's namespace, or a compiled pattern that matches the whole name
            of each of its namespaces; clients may join every namespace that has a handler.
        :raises EventError: if the event supports no channels, the pattern is not a regular
            expression, the namespace is no namespace, the handler can't be called as it would be,
            or the annotation of its message can't be evaluated.
        """
        if handler is None:
            return lambda handler: self._register(handler, channel, namespace)
        return self._register(handler, channel, namespace)

    def _register(self, handler: H, channel: Channel | None, namespace: Namespace) -> H:
        if not callable(handler):
            raise EventError(
                f"{handler!r} is no handler of {self.name}: a channel's pattern is given by name, "
                f'@events.{self.name}(channel="^room-"), and the function stands below'
            )
        if tests_of(handler) and not (self.can_refuse or self.answers):
            raise EventError(
                f"The {self.name} handler {signatures.describe(handler)} has a decorator of "
                "socketio_server.decorators, which can refuse nothing there: take it away, or ask "
                "in the handler"
            )
        pattern = self._compile(handler, channel)
        groups = pattern.groupindex if pattern is not None and self.must_grant else {}
        unnamed = pattern is not None and self.must_grant and pattern.groups > len(groups)
        signatures.check(handler, self.name, self.arguments, groups, self.first, unnamed=unnamed)
        self._check_namespace(handler, namespace)
        types = signatures.find_types(handler) if self.first else ()
        self.registrations.append(Registration(handler, pattern, namespace, types))
        return handler

    def is_refusal(self, result: Any) -> bool:
        """Return whether a handler that returned this refuses the client."""
        return self.can_refuse and (not result if self.must_grant else result is False)

    def select(self, namespace: str, channels: Sequence[str]) -> tuple[Registration, ...]:
        """Return the handlers that run for a socket.

        Handlers with a pattern run while it matches any channel that the socket holds. Handlers
        without a pattern run while it holds none, or always (``always``).
        """
        return tuple(
            registration
            for registration in self.registrations
            if registration.is_for(namespace)
            and (
                (self.always or not channels)
                if registration.pattern is None
                else any(_matches(registration.pattern, channel) for channel in channels)
            )
        )

    def select_for(self, namespace: str, channel: str) -> tuple[Registration, ...]:
        """Return the handlers that run when a subscription to ``channel`` begins or ends.

        These are the handlers without a pattern, and those whose pattern matches the channel.
        """
        return tuple(
            registration
            for registration in self.registrations
            if registration.is_for(namespace)
            and (registration.pattern is None or _matches(registration.pattern, channel))
        )

    def _compile(self, handler: Handler, channel: Channel | None) -> re.Pattern[str] | None:
        if channel is None or channel == "":
            return None
        if not self.supports_channels:
            raise EventError(
                f"The {self.name} event does not support channels so the handler "
                f"{signatures.describe(handler)} could not be registered: a client that connects "
                "holds no channel yet; on_subscribe is told of each"
            )
        try:
            if not isinstance(_text_of(channel), str):
                raise TypeError("it must be a string")
            return re.compile(channel)
        except (re.error, TypeError) as error:
            remedy = '; for all channels write ".*"' if channel == "*" else ""
            raise EventError(
                f"The channel pattern {channel!r} of the {self.name} handler "
                f"{signatures.describe(handler)} is not a regular expression: {error}{remedy}"
            ) from None  # whose traceback, through the parser, is twice as long and says no more

    def _check_namespace(self, handler: Handler, namespace: Namespace) -> None:
        text = _text_of(namespace)
        is_pattern = text is not namespace
        if not isinstance(text, str) or not (is_pattern or text.startswith("/")):
            raise EventError(
                f"The namespace {namespace!r} of the {self.name} handler "
                f"{signatures.describe(handler)} is none: it is a string that begins with a slash, "
                "or a compiled pattern of such"
            )


class Registry:
    """The events of a server.

    The module's decorators are those of one registry, ``REGISTRY``.
    """

    def __init__(self) -> None:
        self.on_connect = Event("on_connect", supports_channels=False, can_refuse=True)
        self.authorize = Event(
            "authorize", can_refuse=True, arguments=("channel",), must_grant=True
        )
        self.on_subscribe = Event("on_subscribe", can_refuse=True, arguments=("channel",))
        self.on_message = Event("on_message", arguments=("message",), answers=True)
        self.on_unsubscribe = Event("on_unsubscribe", arguments=("channel",))
        self.on_error = Event("on_error", arguments=("exception",))
        self.on_disconnect = Event("on_disconnect", always=True)
        self.on_finish = Event("on_finish", always=True)
        self.custom: dict[str, Event] = {}
        """The custom Socket.IO events, by name."""
        self.cluster: dict[str, Event] = {}
        """The events that servers send each other, by name."""

    def on(
        self, name: str, channel: Channel | None = None, *, namespace: Namespace = MAIN_NAMESPACE
    ) -> Callable[[H], H]:
        """Return a decorator that registers a handler of a custom Socket.IO event.

        The handler is called as ``handler(request, socket, context, *args)``. Its return value is
        the client's acknowledgement: ``None`` for no value, a tuple for several.

        :param name: the event's name.
        :param channel: a regular expression: the handler runs while the socket holds a channel that
            it matches; without one, always.
        :param namespace: the handler's namespace, or a compiled pattern of namespaces.
        :raises EventError: if the name is none or reserved, or as for ``Event``.
        """
        if not isinstance(name, str):
            where = f" above the handler {signatures.describe(name)}" if callable(name) else ""
            raise EventError(f'events.on needs the name of an event: @events.on("news"){where}')
        if name in RESERVED_EVENTS or name in (MESSAGE, SUBSCRIBE, UNSUBSCRIBE):
            own = _OWN_EVENTS.get(name)
            remedy = "choose another" if own is None else f"@events.{own} registers its handlers"
            raise EventError(f"the event name {name!r} is reserved: {remedy}")
        event = self.custom.setdefault(name, Event(name, arguments=None, always=True, answers=True))
        return event(channel=channel, namespace=namespace)

    def on_cluster(self, name: str, *, namespace: Namespace = MAIN_NAMESPACE) -> Callable[[H], H]:
        """Return a decorator that registers a handler of an event that servers send each other.

        The handler is called as ``handler(*args)``; of several handlers, the first that returns
        something other than ``None`` answers.

        :param name: the event's name.
        :param namespace: the handler's namespace, or a compiled pattern of namespaces.
        :raises EventError: if the name is none or reserved, or as for ``Event``.
        """
        if not isinstance(name, str):
            where = f" above the handler {signatures.describe(name)}" if callable(name) else ""
            raise EventError(
                f'events.on_cluster needs the name of an event: @events.on_cluster("news"){where}'
            )
        if name in RESERVED_EVENTS:
            raise EventError(f"the event name {name!r} is reserved: choose another")
        event = self.cluster.setdefault(name, Event(name, first=(), arguments=None, always=True))
        return event(namespace=namespace)

    @property
    def namespaces(self) -> frozenset[str]:
        """The main namespace, and those that handlers name; not those that a pattern matches."""
        named = (
            registration.namespace
            for event in (*self, *self.cluster.values())
            for registration in event.registrations
            if isinstance(registration.namespace, str)
        )
        return frozenset((MAIN_NAMESPACE, *named))

    def has_namespace(self, namespace: str) -> bool:
        """Return whether clients may join a namespace: the main one, or one with a handler."""
        return namespace == MAIN_NAMESPACE or any(
            registration.is_for(namespace) for event in self for registration in event.registrations
        )

    def __iter__(self) -> Iterator[Event]:
        yield self.on_connect
        yield self.authorize
        yield self.on_subscribe
        yield self.on_message
        yield from self.custom.values()
        yield self.on_unsubscribe
        yield self.on_error
        yield self.on_disconnect
        yield self.on_finish


def _matches(pattern: re.Pattern[str], name: str, *, is_whole: bool = False) -> bool:
    """Match a pattern with a name from its beginning, or with the whole name.

    Matches are cached, because clients choose the names, and patterns may be slow. Long names are
    not, because the cache would hold them.
    """
    match = _match_once if len(name) <= MAX_CACHED_NAME else _match
    return match(pattern, name, is_whole)


def _match(pattern: re.Pattern[str], name: str, is_whole: bool) -> bool:
    match = pattern.fullmatch if is_whole else pattern.match
    return match(name) is not None


_match_once = lru_cache(maxsize=8192)(_match)


def _text_of(pattern: Any) -> Any:
    """Return a pattern as it was before it was compiled."""
    return pattern.pattern if isinstance(pattern, re.Pattern) else pattern


REGISTRY = Registry()
"""The registry that the decorators of this module fill, and whose handlers the server runs."""

on = REGISTRY.on

on_cluster = REGISTRY.on_cluster

on_connect = REGISTRY.on_connect
"""``request, socket, context``: once, when a client connects; may raise ``Reject``."""

authorize = REGISTRY.authorize
"""``request, socket, context, channel`` and the named groups of its pattern: before a client's
subscription; refuses it unless it returns something true."""

on_subscribe = REGISTRY.on_subscribe
"""``request, socket, context, channel``: the client subscribed; may raise ``Reject``."""

on_message = REGISTRY.on_message
"""``request, socket, context, message``: the client sent data."""

on_unsubscribe = REGISTRY.on_unsubscribe
"""``request, socket, context, channel``: the client left a channel, or disconnected on it."""

on_error = REGISTRY.on_error
"""``request, socket, context, exception``: a handler raised."""

on_disconnect = REGISTRY.on_disconnect
"""``request, socket, context``: once, when the connection is lost or closed by either side."""

on_finish = REGISTRY.on_finish
"""``request, socket, context``: once, at the very end, also when the server stops or reloads."""
