"""Lets ``request.user`` and ``request.session`` in handlers be those of now, not of the handshake.

A handshake's request gets a class of its own, whose properties look when a handler asks. An event
whose handlers ask for neither costs nothing.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from socketio_server.dispatch.member import MemberRouter
from socketio_server.serving.around_events.identity import Identity
from socketio_server.serving.around_events.session_users import OF_SESSION, is_of_session
from socketio_server.serving.around_events.snapshots import Freshness

KEY = "_socketio_client"
"""The attribute of a request that holds its router, weakly, and after the first look its
``Identity``."""

_WATCHER = "_socketio_watcher"
"""The attribute of a watched request's class that holds its ``RequestWatcher``."""

_NOTHING: dict[str, Any] = {}


class RequestWatcher:
    """Lets the requests of a server's clients look at the user and session of now.

    :param interval: ``SOCKETIO_REFRESH_INTERVAL``.
    :param clock: a monotonic clock, in seconds.
    """

    def __init__(self, interval: float | None, clock: Callable[[], float]) -> None:
        self._freshness = Freshness(interval, clock)
        # By class of requests, the same with properties that look.
        self._watched: dict[type[HttpRequest], type[HttpRequest]] = {}

    def watch(self, request: Any, router: MemberRouter) -> None:
        """Let the handshake's request look from now on. Idempotent."""
        if isinstance(request, HttpRequest) and KEY not in request.__dict__:
            mine = request.__dict__
            mine[KEY] = weakref.ref(router)
            if "user" in mine and is_of_session(mine["user"]):  # frees what refers to the request
                mine["user"] = OF_SESSION
                for name in ("auser", "_cached_user", "_acached_user"):
                    mine.pop(name, None)
            original = type(request)
            if original not in self._watched:
                self._watched[original] = self._make_watched(original)
            request.__class__ = self._watched[original]

    def find_identity(self, request: Any) -> Identity | None:
        """Return the identity of a request if somebody has looked at it already."""
        found = getattr(request, "__dict__", _NOTHING).get(KEY)
        return found if type(found) is Identity else None

    def find_user(self, request: Any) -> None:
        """Read the client's user, unless that was done already, or it can be only the anonymous
        one.
        """
        mine = getattr(request, "__dict__", _NOTHING)
        if KEY not in mine:
            return
        if type(mine[KEY]) is not Identity:  # nobody has looked: the handshake's are still there
            session, user = mine.get("session"), mine.get("user")
            has_key = session is not None and session.session_key is not None
            if user is None or (is_of_session(user) and not has_key):
                return
        self.identity_of(request).find_user()

    @contextmanager
    def aside(self, request: Any) -> Iterator[None]:
        """Let somebody look who is no handler, inside or outside of an event: what changes outside
        is not saved.
        """
        identity = self.find_identity(request)
        is_event = identity is not None and identity.is_open
        yield
        identity = self.find_identity(request)
        if identity is not None and not is_event:
            identity.leave()

    def identity_of(self, request: HttpRequest) -> Identity:
        """Return the identity of a watched request."""
        found = request.__dict__[KEY]
        if type(found) is not Identity:
            found = request.__dict__[KEY] = Identity(request, found, self._freshness)
        identity: Identity = found
        return identity

    def _make_watched(self, original: type[HttpRequest]) -> type[HttpRequest]:
        identity_of = self.identity_of

        def get_user(request: HttpRequest) -> Any:
            return identity_of(request).user

        def set_user(request: HttpRequest, user: Any) -> None:
            identity_of(request).user = user

        def get_session(request: HttpRequest) -> Any:
            return identity_of(request).session

        def set_session(request: HttpRequest, session: Any) -> None:
            identity_of(request).session = session

        def get_messages(request: HttpRequest) -> Any:
            return identity_of(request).messages(request)

        async def auser(request: HttpRequest) -> Any:
            return await sync_to_async(get_user)(request)

        members = {
            _WATCHER: self,
            "__module__": original.__module__,
            "__doc__": original.__doc__,
            "user": property(get_user, set_user),
            "session": property(get_session, set_session),
            "_messages": property(get_messages),
            "auser": auser,
        }
        return type(original.__name__, (original,), members)


def session_key_of(request: Any) -> str | None:
    """Return the key of a request's session, without looking at the session."""
    mine = getattr(request, "__dict__", _NOTHING)
    found = mine.get(KEY)
    if type(found) is Identity:
        return found.key
    key: str | None = getattr(mine.get("session"), "session_key", None)
    return key


def identity_of(request: Any) -> Identity | None:
    """Return the identity of a request; ``None`` if it is not watched."""
    watcher: RequestWatcher | None = getattr(type(request), _WATCHER, None)
    return None if watcher is None else watcher.identity_of(request)
