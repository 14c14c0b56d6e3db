"""Handlers, and which of them an event selects."""

from collections.abc import Callable, Sequence
from typing import Any

from socketio_server.registry.events import (
    Event,
    Registry,
)


def handler(*args: object) -> None:
    """Any handler."""


def make(name: str) -> Callable[..., None]:
    """Make another handler."""

    def made(*args: object) -> None: ...

    made.__name__ = name
    return made


def event(registry: Registry, name: str) -> Event:
    found = getattr(registry, name)
    assert isinstance(found, Event)
    return found


def selected(
    chosen: Event, channels: Sequence[str] = (), namespace: str = "/"
) -> list[Callable[..., Any]]:
    """The handlers that run for a socket on these channels."""
    return [registration.handler for registration in chosen.select(namespace, channels)]


def selected_for(chosen: Event, channel: str, namespace: str = "/") -> list[Callable[..., Any]]:
    """The handlers that run for a subscription to a channel, or its end."""
    return [registration.handler for registration in chosen.select_for(namespace, channel)]
