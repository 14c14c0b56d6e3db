"""Raises in the events that the client's query string names (``?fail=on_message``)."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

from socketio_server import events
from tests.project.every_event import EVERY_EVENT


def failing(event: events.Event) -> Callable[..., None]:
    """Return a handler that raises where the client wants it."""

    def handle(request: HttpRequest, *args: Any) -> None:
        if event.name in request.GET.getlist("fail"):
            raise RuntimeError(f"failed in {event.name}")

    return handle


for event in EVERY_EVENT:
    event(failing(event))
    if event in (events.on_message, events.on_error):
        event(channel=".")(failing(event))
