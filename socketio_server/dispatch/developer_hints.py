"""Tells the developer why no handler ran for a client's event, which handler refused a client, and
which channels no handler guards.

Only while ``DEBUG`` is on: without it, the dispatcher has no such object.
"""

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from socketio_server.net.log import MAX_LOGGED, show
from socketio_server.protocol.names import MESSAGE, SUBSCRIBE, UNSUBSCRIBE
from socketio_server.registry.events import Event, Registration, Registry
from socketio_server.registry.patterns import list_patterns, literal_beginning
from socketio_server.registry.signatures import describe

MAX_CAUSES = 100
"""The most causes that are logged: clients choose the names of events."""

_REFUSED = {
    "on_connect": "connection",
    "authorize": "channel",
    "on_subscribe": "channel",
    "on_message": "message",
}
"""What handlers of the events refuse."""

_SHIM_METHODS = {"subscribe": SUBSCRIBE, "unsubscribe": UNSUBSCRIBE}
"""The methods of our script, and the events that it emits for them."""

logger = logging.getLogger("socketio_server")


class DeveloperHints:
    """Logs once for each cause, and for each handler that refused a client."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._told: set[object] = set()

    def unhandled_event(self, name: str, namespace: str, channels: Sequence[str]) -> None:
        """No handler ran for an event.

        :param name: the event's name.
        :param channels: the socket's channels.
        """
        is_message = name == MESSAGE
        event = self._registry.on_message if is_message else self._registry.custom.get(name)
        registrations = [] if event is None else event.registrations
        here = [each for each in registrations if each.is_for(namespace)]
        if event is None or not registrations:
            cause = f"there is no handler of it{self._suggest(name)}"
        elif not here:
            cause = _other_namespace(registrations, namespace)
        elif not event.always and any(each.pattern is None for each in here):
            cause = (
                "its handlers have no channel pattern, so they run only while the client is on no "
                f'channel; it is on {_list(channels)}: @events.on_message(channel=".*") runs on any'
            )
        else:
            on = _list(channels) or (
                f'no channel (`socket.subscribe("{_beginning(here)}…")` in the page)'
            )
            cause = (
                f"its handlers are for channels like {list_patterns(here)}; the client is on {on}"
            )
        self._tell("a message" if is_message else f"the event {show(name)}", namespace, cause)

    def unhandled_subscription(self, channel: str, namespace: str) -> None:
        """No ``on_subscribe`` handler ran for a subscription.

        This is normal if handlers of other events match the channel, or if no handler has a channel
        pattern. Where ``authorize`` handlers are, those have let the client in, or ``unguarded``
        tells of it.
        """
        registrations = self._registry.on_subscribe.registrations
        here = [each for each in registrations if each.is_for(namespace)]
        every = [
            each
            for event in self._registry
            for each in event.registrations
            if each.is_for(namespace) and each.pattern is not None
        ]
        is_meant = any(each.pattern and each.pattern.match(channel) for each in every)
        if is_meant or self._guarding(namespace):
            return
        if registrations and not here:
            cause = _other_namespace(registrations, namespace)
        elif every:
            cause = f"the handlers are for channels like {list_patterns(every)}"
        else:
            return
        self._tell(f"the subscription to {show(channel)}", namespace, cause)

    def denied(self, channel: str, namespace: str) -> None:
        """``SOCKETIO_SUBSCRIBE_DEFAULT`` refused a subscription, because no handler is for it."""
        self._say(
            f"SOCKETIO_SUBSCRIBE_DEFAULT refused the subscription to {show(channel)} in namespace "
            f"{show(namespace)}: no authorize handler is for this channel"
        )

    def unguarded(self, channel: str, namespace: str) -> None:
        """A client may subscribe, because no ``authorize`` handler is for the channel.

        This is normal if none is for any channel of the namespace.
        """
        here = self._guarding(namespace)
        if here:
            self._say(
                f"The channel {show(channel)} in namespace {show(namespace)} is open to everybody: "
                f"the authorize handlers are for channels like {list_patterns(here)}. Correct the "
                'pattern, or close such channels by SOCKETIO_SUBSCRIBE_DEFAULT = "deny"'
            )

    def rechecked(self, channel: str, namespace: str) -> None:
        """Somebody lets the clients of a channel be verified again."""
        here = self._guarding(namespace)
        if not any(each.pattern is None or each.pattern.match(channel) for each in here):
            others = f", but for channels like {list_patterns(here)}" if here else ""
            self._say(
                f"recheck({show(channel)}) in namespace {show(namespace)} verifies nobody: no "
                f"authorize handler is for this channel{others}"
            )

    def refusal(
        self,
        event: Event,
        registration: Registration,
        args: Sequence[Any],
        error: BaseException | None = None,
        *,
        result: Any = False,
    ) -> None:
        """A handler refused a client, whose console leads the developer to the log.

        :param args: what it got behind the first arguments.
        :param error: what it raised; ``None``: it returned. Its notes are told, too.
        :param result: what it returned.
        """
        handler = describe(registration.handler)
        notes = getattr(error, "__notes__", ())
        what = _REFUSED.get(event.name, f"event {show(event.name)}")
        if what == "channel":
            what = f"channel {show(str(args[0]))}"
        did, value = ("returned", result) if error is None else ("raised", error)
        text = f"{handler} refused the {what}: it {did} {value!r:.{MAX_LOGGED}}"
        if result is None:
            text += ", or has no return statement"
        self._say("; ".join([text, *notes]), (handler, *notes))

    def _guarding(self, namespace: str) -> list[Registration]:
        """Return the ``authorize`` handlers of a namespace."""
        return [each for each in self._registry.authorize.registrations if each.is_for(namespace)]

    def _tell(self, what: str, namespace: str, cause: str) -> None:
        self._say(f"No handler ran for {what} in namespace {show(namespace)}: {cause}")

    def _say(self, text: str, cause: object = None) -> None:
        """Log a text, once for each cause; ``None``: the text is the cause."""
        cause = cause or text
        if cause not in self._told and len(self._told) < MAX_CAUSES:
            self._told.add(cause)
            logger.warning("%s (said once)", text)

    def _suggest(self, name: str) -> str:
        if name == MESSAGE:
            return ": @events.on_message registers one"
        if name in _SHIM_METHODS:
            event = _SHIM_METHODS[name]
            return f": clients without django-socketio.js emit {event!r} to {name}"
        close = get_close_matches(name[:MAX_LOGGED], self._registry.custom, n=1)
        if close:
            return f"; did you mean {close[0]!r}?"
        return f": @events.on({show(name)}) registers one"


def _other_namespace(registrations: Sequence[Registration], namespace: str) -> str:
    names = sorted({repr(each.namespace) for each in registrations})
    return (
        f"its handlers are for the namespace {', '.join(names)}: connect the page there, or "
        f"register one here by namespace={show(namespace)}"
    )


def _beginning(registrations: Sequence[Registration]) -> str:
    """Return what channels of the first pattern begin with, as far as it is plain text."""
    return literal_beginning(next(r.pattern for r in registrations if r.pattern))


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(show, names[:3])) + (", …" if len(names) > 3 else "")
