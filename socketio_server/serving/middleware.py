"""Loads the middleware that ``SOCKETIO_MIDDLEWARE`` names."""

from collections.abc import Callable, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from socketio_server.dispatch.middleware import CallNext, EventCall


def load_middleware(paths: Sequence[str]) -> CallNext | None:
    """Return the middleware that wraps every event; the first path's is outermost, as in Django.

    Each path names a callable that takes the next callable and returns its own.

    :return: the outermost callable; ``None`` if there are no paths.
    :raises ImproperlyConfigured: if a path names no such callable.
    """
    if not paths:
        return None
    call_next: CallNext = EventCall.run
    for path in reversed(paths):
        call_next = import_middleware(path)(call_next)
        if not callable(call_next):
            raise ImproperlyConfigured(
                f"SOCKETIO_MIDDLEWARE names {path!r}, which returned {call_next!r}: it must return "
                "a callable that takes an event's call"
            )
    return call_next


def import_middleware(path: str) -> Callable[[CallNext], Any]:
    """Return the middleware that a path names.

    :raises ImproperlyConfigured: if the path names no callable.
    """
    try:
        middleware = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"SOCKETIO_MIDDLEWARE names {path!r}, which can't be imported: {error}"
        ) from error
    if not callable(middleware):
        raise ImproperlyConfigured(f"SOCKETIO_MIDDLEWARE names {path!r}, which is not callable.")
    found: Callable[[CallNext], Any] = middleware
    return found
