"""Whom an event is for, and how it may be called."""

from collections.abc import Collection
from enum import Enum
from typing import Final, Literal

from socketio_server.protocol.names import RESERVED_EVENTS


class Everyone(Enum):
    """The type of ``EVERYONE``."""

    EVERYONE = "everyone in the namespace"


EVERYONE: Final = Everyone.EVERYONE
"""Instead of channels: all clients of the namespace."""

Target = str | Collection[str] | Literal[Everyone.EVERYONE]
"""Whom an event is for: a channel, several, or ``EVERYONE``."""


def check_event_name(event: str) -> None:
    """Raise ``ValueError`` if an event's name is one that the protocol keeps for itself."""
    if event in RESERVED_EVENTS:
        raise ValueError(f"the event name {event!r} is reserved")


def channels_of(target: Target) -> tuple[str, ...] | None:
    """Return the channels that a target names; ``None`` for ``EVERYONE``."""
    if target is EVERYONE:
        return None
    return (target,) if isinstance(target, str) else tuple(target)
