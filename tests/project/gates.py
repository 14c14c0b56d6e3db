"""Gates at which handlers wait until a client, or a view, opens them."""

from collections import defaultdict
from threading import Event
from typing import NoReturn

GATES: defaultdict[str, Event] = defaultdict(Event)


def wait_at(name: str) -> None:
    """Wait until the gate is opened; it stays open."""
    assert GATES[name].wait(30), f"nobody opened {name}"


def spin() -> NoReturn:
    """Compute for ever."""
    while True:
        pass


def open_gate(name: str) -> None:
    """Let all pass who wait at the gate, and who come later."""
    GATES[name].set()
