"""Gates at which handlers wait until a client, or a view, opens them; in whatever process."""

from collections import defaultdict
from pathlib import Path
from threading import Event
from time import monotonic
from typing import NoReturn

from django.conf import settings

from tests.project.settings import FOLDER

GATES: defaultdict[str, Event] = defaultdict(Event)

PATIENCE = 30.0
"""Seconds until somebody must have opened a gate."""

LOOK = 0.05
"""Seconds between two looks whether another process has opened it."""


def wait_at(name: str) -> None:
    """Wait until the gate is opened; it stays open."""
    pause = LOOK if getattr(settings, "SOCKETIO_BROKER_URL", None) else PATIENCE
    until = monotonic() + PATIENCE
    while not GATES[name].wait(pause) and not is_open(name):
        assert monotonic() < until, f"nobody opened {name}"


def is_open(name: str) -> bool:
    """Return whether a process has opened the gate."""
    return _trace_of(name).exists()


def spin() -> NoReturn:
    """Compute for ever."""
    while True:
        pass


def open_gate(name: str) -> None:
    """Let all pass who wait at the gate, and who come later."""
    _trace_of(name).touch()
    GATES[name].set()


def _trace_of(name: str) -> Path:
    return FOLDER / f"gate-{name}"
