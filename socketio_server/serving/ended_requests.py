"""Lets large requests be freed when they are over, with their bodies and cookies.

Django's middleware puts objects into each request that refer to it: its user, its messages. Such a
request would stay until a full garbage collection, which comes after millions of objects, however
many megabytes each of them has. Where a project's own code makes cycles, as class-based views do,
``FreedMemory`` has the collector look for them.
"""

import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.http import HttpRequest

from socketio_server.http.wsgi import END_KEY
from socketio_server.serving.around_events.session_users import loosen_user
from socketio_server.serving.around_handshakes.refused_hosts import Application


def watch(application: Application) -> Application:
    """Return Django's WSGI application, whose large requests are loosened at their end."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = application(environ, start_response)
        if END_KEY not in environ:  # the collector is soon enough for a small request
            return response
        # The one place where a response refers to its request, until it is closed.
        for close in getattr(response, "_resource_closers", ()):
            request = getattr(close, "__self__", None)
            if isinstance(request, HttpRequest):
                environ[END_KEY] = partial(_end, weakref.ref(request))
        return response

    return call


def _end(known: "weakref.ref[HttpRequest]") -> None:
    request = known()
    if request is not None:
        loosen(request)


def loosen(request: HttpRequest) -> None:
    """Let a request's user, messages and upload handlers refer to it weakly.

    Who keeps the request can use it as before.
    """
    loosen_user(request)
    mine = request.__dict__
    messages = mine.get("_messages")
    holders = [messages, *getattr(messages, "storages", ()), *mine.get("_upload_handlers", ())]
    for holder in holders:
        if getattr(holder, "request", None) is request:
            holder.request = weakref.proxy(request)
