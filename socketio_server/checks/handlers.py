"""Handlers that would never run, and channels that nobody guards."""

from collections.abc import Iterable
from typing import Any

from django.core.checks import CheckMessage, Error, Warning

from socketio_server.checks.settings import with_options
from socketio_server.registry.events import REGISTRY, Event, Registration
from socketio_server.registry.guards import layers_of
from socketio_server.registry.patterns import list_patterns, literal_beginning
from socketio_server.registry.signatures import describe


def check_decorators(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E008: no handler has a decorator of Django's for views, which would answer with a page."""
    for event in REGISTRY:
        for handler in dict.fromkeys(each.handler for each in event.registrations):
            if any(map(_is_for_views, layers_of(handler))):
                yield Error(
                    f"The {event.name} handler {describe(handler)} has a decorator for views.",
                    hint=(
                        "Import login_required, permission_required or user_passes_test from "
                        "socketio_server.decorators, instead of from django.contrib.auth."
                    ),
                    id="socketio_server.E008",
                )


def _is_for_views(layer: Any) -> bool:
    """Return whether a function is what Django's decorators for users make of a view."""
    names = getattr(layer, "__globals__", {})
    return bool(names.get("__name__") == "django.contrib.auth.decorators")


def check_event_names(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W012: no handler of ``events.on`` waits for an event that no client sends."""
    custom = REGISTRY.custom
    own = {each.name: each.name for each in REGISTRY if each is not custom.get(each.name)}
    meant = {**own, **_MEANT_EVENTS}
    for name in sorted(custom.keys() & meant.keys()):
        for registration in custom[name].registrations:
            yield Warning(
                f"The handler {describe(registration.handler)} waits for an event {name!r}, which "
                "no client sends by itself.",
                hint=f"Write @events.{meant[name]}; silence this check if your clients send it.",
                id="socketio_server.W012",
            )


_MEANT_EVENTS = {
    "connection": "on_connect",
    "subscribe": "on_subscribe",
    "unsubscribe": "on_unsubscribe",
}
"""What handlers may be called after servers of Node or the page's methods, and the decorators."""


def check_authorize(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W008: the pattern of each ``authorize`` handler may match a channel that is in use."""
    if any(each.pattern is None for each in REGISTRY.on_subscribe.registrations):
        return
    for guard in REGISTRY.authorize.registrations:
        used = [each for each in _with_channels() if _share_namespace(guard, each)]
        if used and not any(_may_match_both(guard, each) for each in used):
            assert guard.pattern is not None  # without one, it matches all
            yield Warning(
                f"The authorize handler {describe(guard.handler)} guards channels like "
                f"{guard.pattern.pattern!r}, which no other handler is for.",
                hint=f"Those that have handlers are like {list_patterns(used)}.",
                id="socketio_server.W008",
            )


@with_options("subscribe_default")
def check_unguarded_channels(default: str) -> Iterable[CheckMessage]:
    """W009, with ``--deploy``: not every client may subscribe to every channel that has
    handlers.
    """
    if default != "allow":
        return
    guards = REGISTRY.authorize.registrations
    unguarded = [
        each
        for each in _with_channels()
        if not any(_share_namespace(guard, each) and _covers(guard, each) for guard in guards)
    ]
    if unguarded:
        yield Warning(
            f"Every client may subscribe to channels like {list_patterns(unguarded)}: no authorize "
            "handler is for them.",
            hint=(
                'Write one, which may return True; or set SOCKETIO_SUBSCRIBE_DEFAULT = "deny", if '
                "it is the server that subscribes clients."
            ),
            id="socketio_server.W009",
        )


def _with_channels() -> list[Registration]:
    """Return the handlers that have a channel pattern, but those of ``authorize``."""
    events: list[Event] = [event for event in REGISTRY if event is not REGISTRY.authorize]
    return [each for event in events for each in event.registrations if each.pattern is not None]


def _share_namespace(one: Registration, other: Registration) -> bool:
    """Return whether two handlers may be for the same namespace."""
    names = [each.namespace for each in (one, other) if isinstance(each.namespace, str)]
    return all(one.is_for(name) and other.is_for(name) for name in names)


def _may_match_both(one: Registration, other: Registration) -> bool:
    """Return whether a channel may be for both handlers, as far as their beginnings tell."""
    first, second = map(_beginning, (one, other))
    return first.startswith(second) or second.startswith(first)


def _covers(guard: Registration, other: Registration) -> bool:
    """Return whether a handler may be for all channels that another is for."""
    return _beginning(other).startswith(_beginning(guard))


def _beginning(registration: Registration) -> str:
    return "" if registration.pattern is None else literal_beginning(registration.pattern)
