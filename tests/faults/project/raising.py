"""Handlers that raise in every event what the client's query string names (``?raise=…``)."""

from collections.abc import Callable
from typing import Any

import gevent
from django.http import HttpRequest
from gevent import GreenletExit

from socketio_server import events
from tests.project.every_event import EVERY_EVENT


class Untellable(Exception):
    """An exception that can't even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words for it")

    __repr__ = __str__


def recurse() -> None:
    """Call itself, without end."""
    recurse()


def leave_a_timeout_behind() -> None:
    """Let a timeout go off when the handler is over."""
    gevent.Timeout(0.001).start()


def raise_(make: Callable[[], BaseException]) -> Callable[[], None]:
    """Return a function that raises, always a new exception: they keep what they went through."""

    def fail() -> None:
        raise make()

    return fail


WAYS: dict[str, Callable[[], None]] = {
    "RuntimeError": raise_(lambda: RuntimeError("on purpose")),
    "MemoryError": raise_(MemoryError),
    "RecursionError": recurse,
    "Untellable": raise_(Untellable),
    "a timeout left behind": leave_a_timeout_behind,
    "GreenletExit": raise_(GreenletExit),
    "BaseExceptionGroup": raise_(lambda: BaseExceptionGroup("several", [GreenletExit()])),
}


def raising(request: HttpRequest, *args: Any) -> None:
    """Raise what the client wants."""
    WAYS.get(request.GET.get("raise", ""), lambda: None)()


for event in EVERY_EVENT:
    if event is not events.on_connect:
        event(raising)
for event in (events.on_message, events.on_error):
    event(channel=".")(raising)

events.on("fail")(raising)
events.on_connect(namespace="/refusing")(raising)  # what it raises refuses the client
