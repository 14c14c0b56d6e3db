"""``request.user`` and ``request.session`` in handlers: those of now, not of the handshake.

A handshake's request gets a class of its own, whose properties look when a handler asks. An event
whose handlers ask for neither costs nothing.
"""

import copy
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.contrib import auth
from django.contrib.messages.storage import default_storage
from django.contrib.messages.storage.session import SessionStorage
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.db import DatabaseError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from greenlet import getcurrent, greenlet

from socketio_server.dispatch.member import MemberRouter
from socketio_server.serving.around_events.sessions import MergingStore, is_read_only, merging
from socketio_server.serving.rights.users import find_room

KEY = "_socketio_client"
"""The attribute of a request that holds its router, weakly, and after the first look its
``Identity``."""

_LOOKS = "_socketio_looks"
"""The attribute of a watched request's class that holds its ``Looks``."""

_PERMISSION_CACHES = ("_perm_cache", "_user_perm_cache", "_group_perm_cache")
"""What Django's backend keeps on a user."""

_UNREAD: Any = object()

_OF_SESSION = object()
"""Instead of the user: it is the session's, by Django's middleware."""

_NOTHING: dict[str, Any] = {}


class Snapshot:
    """The session and user at one time.

    :param read_at: by the clock of ``Looks``.
    """

    __slots__ = ("messages", "read_at", "session", "user")

    def __init__(self, session: Any, read_at: float) -> None:
        self.session = session
        """``None`` if the project has no sessions."""
        self.read_at = read_at
        self.user: Any = _UNREAD
        self.messages: Any = None
        """The messages of this event, where the project stores them in sessions."""


class Looks:
    """When and how the requests of a server look again.

    :param interval: ``SOCKETIO_REFRESH_INTERVAL``.
    :param clock: a monotonic clock, in seconds.
    """

    def __init__(self, interval: float | None, clock: Callable[[], float]) -> None:
        self.interval = interval
        self.clock = clock
        # By class of requests, the same with properties that look.
        self._watched: dict[type[HttpRequest], type[HttpRequest]] = {}

    def watch(self, request: Any, router: MemberRouter) -> None:
        """Let the handshake's request look from now on. Idempotent."""
        if isinstance(request, HttpRequest) and KEY not in request.__dict__:
            mine = request.__dict__
            mine[KEY] = weakref.ref(router)
            if "user" in mine and _is_djangos(mine["user"]):  # frees what refers to the request
                mine["user"] = _OF_SESSION
                for name in ("auser", "_cached_user", "_acached_user"):
                    mine.pop(name, None)
            original = type(request)
            if original not in self._watched:
                self._watched[original] = self._make_watched(original)
            request.__class__ = self._watched[original]

    def find_identity(self, request: Any) -> "Identity | None":
        """Return the identity of a request if somebody has looked at it already."""
        found = getattr(request, "__dict__", _NOTHING).get(KEY)
        return found if type(found) is Identity else None

    def join_user_room(self, request: Any) -> None:
        """Read the client's user, unless that was done already, or it can be only the anonymous
        one.
        """
        mine = getattr(request, "__dict__", _NOTHING)
        if KEY not in mine:
            return
        if (
            type(mine[KEY]) is not Identity
        ):  # nobody has looked, and the handshake's are still there
            session, user = mine.get("session"), mine.get("user")
            has_key = session is not None and session.session_key is not None
            if user is None or (_is_djangos(user) and not has_key):
                return
        self.identity_of(request).join_user_room()

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

    def identity_of(self, request: HttpRequest) -> "Identity":
        """Return the identity of a watched request."""
        found = request.__dict__[KEY]
        if type(found) is not Identity:
            found = request.__dict__[KEY] = Identity(request, found, self)
        identity: Identity = found
        return identity

    def is_stale(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot is too old for another event."""
        return self.interval is not None and self.clock() - snapshot.read_at >= self.interval

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
            _LOOKS: self,
            "__module__": original.__module__,
            "__doc__": original.__doc__,
            "user": property(get_user, set_user),
            "session": property(get_session, set_session),
            "_messages": property(get_messages),
            "auser": auser,
        }
        return type(original.__name__, (original,), members)


class Identity:
    """Who a client is: what its request's ``user`` and ``session`` are.

    An event sees the same user and session from its first look to its end. Who looks outside of the
    client's events, a view that goes through ``CLIENTS`` say, gets those of the last event unless
    they are too old; a change of the session there is not saved.

    :param request: the handshake's, from which it takes the session and user.
    :param router: the client's, weakly, because the router holds the request.
    """

    __slots__ = (
        "_events",
        "_handshake_messages",
        "_has_user",
        "_kept",
        "_key",
        "_last",
        "_logged_in",
        "_looks",
        "_router",
        "_store",
    )

    def __init__(
        self, request: HttpRequest, router: "weakref.ref[MemberRouter]", looks: Looks
    ) -> None:
        self._looks = looks
        self._router = router
        mine = request.__dict__
        session, user = mine.pop("session", None), mine.pop("user", None)
        self._handshake_messages = mine.pop("_messages", None)
        mine.pop("auser", None)
        self._key: str | None = None
        self._store: type[MergingStore] | None = None  # None: the project has no sessions
        self._last: Snapshot | None = None  # None: the next one that looks reads anew
        if session is not None:
            self._key, self._store = session.session_key, merging(type(session))
        # A user that does not come from the session by Django's middleware, a token's say; None: it
        # comes from there.
        self._kept: Any = None if _is_djangos(user) else user
        self._has_user = user is not None
        # The key of the user whom the session named at first: if the kept user is the same, it goes
        # with the session.
        self._logged_in: Any = _UNREAD
        # By greenlet, what the events that are under way see.
        self._events: dict[greenlet, Snapshot] = {}
        if session is not None and "_session_cache" in session.__dict__:
            self._logged_in = session.get(auth.SESSION_KEY)
            if looks.interval is None:
                self._last = self._adopt(session)

    @property
    def user(self) -> Any:
        """The user as of now.

        :raises AttributeError: if the project has none.
        """
        snapshot = self._look()
        if snapshot.user is _UNREAD:
            snapshot.user = self._read_user(snapshot)
            self._join_room_of(snapshot.user)
        return snapshot.user

    @user.setter
    def user(self, user: Any) -> None:
        self._look().user = self._kept = user
        self._has_user, self._logged_in = True, None
        self._join_room_of(user)

    @property
    def session(self) -> Any:
        """The session as of now.

        :raises AttributeError: if the project has none.
        """
        snapshot = self._look()
        if snapshot.session is None:
            raise AttributeError("the request has no session: SessionMiddleware is not installed")
        return snapshot.session

    @session.setter
    def session(self, session: SessionBase) -> None:
        self._key, self._store = session.session_key, merging(type(session))
        snapshot = self._look()
        snapshot.session = session
        if self._kept is None:
            snapshot.user = _UNREAD

    def messages(self, request: HttpRequest) -> Any:
        """Return the messages of this event, if they are stored in sessions; else those of the
        handshake.

        :raises AttributeError: if the project has none.
        """
        original = self._handshake_messages
        if original is None:
            raise AttributeError("the request has no messages: MessageMiddleware is not installed")
        if not isinstance(original, SessionStorage):
            return original
        snapshot = self._look()
        if snapshot.messages is None:
            snapshot.messages = default_storage(request)
        return snapshot.messages

    def join_user_room(self) -> None:
        """Read the user for those who send messages to it, unless a handler has read it."""
        last = self._last
        if not self._has_user or (last is not None and last.user is not _UNREAD):
            return
        _ = self.user  # who reads it joins its room
        if self._looks.interval is not None:
            self._last = None  # frees its memory: no handler has looked, and perhaps none will

    # --- For those who judge the client again -------------------------------------------------

    @property
    def key(self) -> str | None:
        """The key of the session, which may be gone; ``None`` if the client has none."""
        return self._key

    @property
    def store(self) -> type[SessionBase] | None:
        """The class of the session; ``None`` if the project has none."""
        return self._store

    @property
    def kept(self) -> Any:
        """The user, if it is not the session's; ``None``: it is."""
        return self._kept

    @property
    def has_user(self) -> bool:
        """Whether the request has a user, anonymous or not."""
        return self._has_user

    def look_again(self) -> None:
        """Let the next one that looks read the session and user anew."""
        self._last = None

    def log_out(self) -> None:
        """See the session as ended, before it is: it will be in a moment."""
        if self._kept is None:
            snapshot = self._last = self._read()
            if snapshot.session is not None:
                snapshot.session._session_cache = {}
                snapshot.session.note({})
            if self._has_user:
                snapshot.user = _anonymous()
                self._join_room_of(snapshot.user)

    @contextmanager
    def seeing(self, user: Any) -> Iterator[None]:
        """Let the current greenlet, and no event of the client, see a user that was read."""
        snapshot = self._events[getcurrent()] = self._read()
        snapshot.user = user
        try:
            yield
        finally:
            self.leave()

    def see_as(self, other: "Identity") -> None:
        """See the session and user that another client of the same session sees."""
        if self._kept is None and other._last is not None:
            seen = other._last
            self._last = self._read() if seen.session is None else self._adopt(seen.session)
            self._last.user = seen.user
            if seen.user is not _UNREAD:
                self._join_room_of(seen.user)

    # ------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """End the event of the current greenlet: save the session if it was changed.

        :raises Exception: whatever the store of sessions raises.
        """
        snapshot = self._events.get(getcurrent())
        if snapshot is None:
            return
        try:
            if snapshot.messages is not None:
                snapshot.messages.update(HttpResponse())
            session = snapshot.session
            if session is not None:
                self._key = session.session_key or self._key
                if session.modified and session.session_key and not is_read_only(session):
                    session.save()
        except UpdateError as error:
            self.forget()
            if isinstance(error.__context__, DatabaseError):  # else the session is gone
                raise
        except BaseException:
            self.forget()
            raise
        finally:
            snapshot.messages = None
            self._events.pop(getcurrent(), None)

    @property
    def is_open(self) -> bool:
        """Whether the event of the current greenlet has looked."""
        return getcurrent() in self._events

    def leave(self) -> None:
        """End the event of the current greenlet, and save nothing."""
        self._events.pop(getcurrent(), None)

    def forget(self) -> None:
        """Forget what the event of the current greenlet has seen and changed."""
        snapshot = self._events.pop(getcurrent(), None)
        if snapshot is not None and snapshot is self._last:
            self._last = None

    # ------------------------------------------------------------------------------------------

    def _look(self) -> Snapshot:
        """Return what the current greenlet is to see."""
        caller = getcurrent()
        snapshot = self._events.get(caller)
        if snapshot is not None:
            return snapshot
        router = self._router()
        is_event = router is not None and router.is_handled_by(caller)
        last = self._last
        # Events of several namespaces may run side by side: none is to see another's changes.
        is_shared = is_event and self._events and self._looks.interval is not None
        if last is None or is_shared or self._looks.is_stale(last):
            last = self._last = self._read()
        if is_event:
            self._events[caller] = last
            cast(Any, caller).is_dirty = True  # for after_event() to be called
        return last

    def _read(self) -> Snapshot:
        session = None if self._store is None else self._store(self._key)
        return Snapshot(session, self._looks.clock())

    def _adopt(self, session: SessionBase) -> Snapshot:
        """Return the session of the handshake as it was loaded then."""
        snapshot = self._read()
        data = copy.deepcopy(dict(session.items()))
        snapshot.session._session_cache = data
        snapshot.session.note(data)
        return snapshot

    def _read_user(self, snapshot: Snapshot) -> Any:
        kept, session = self._kept, snapshot.session
        if not self._has_user:
            raise AttributeError(
                "the request has no user: AuthenticationMiddleware is not installed"
            )
        if kept is None:
            return _user_of(session)
        if not isinstance(kept, Model) or kept.pk is None or self._looks.interval is None:
            return kept
        if self._logged_in is _UNREAD:
            self._logged_in = None if session is None else session.get(auth.SESSION_KEY)
        goes_with = self._logged_in == kept._meta.pk.value_to_string(kept)
        self._kept = _refreshed(kept, session if goes_with else None)
        return self._kept

    def _join_room_of(self, user: Any) -> None:
        """Put the client's sockets into the user's room."""
        router = self._router()
        if router is not None:
            router.user_is(find_room(user))


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
    looks: Looks | None = getattr(type(request), _LOOKS, None)
    return None if looks is None else looks.identity_of(request)


def _is_djangos(user: Any) -> bool:
    """Return whether a user is what Django's middleware finds in the session, read or not."""
    if type(user) is not SimpleLazyObject:
        return user is None or user is _OF_SESSION
    find = user.__dict__.get("_setupfunc")
    return getattr(find, "__module__", None) == auth.__name__ + ".middleware"


class _ReadSession(dict[str, Any]):
    """A copy of a session's data: to read it must not change the session.

    Django gives a session a new key if its hash is of an older secret key, and deletes it if the
    hash is wrong. The first would log the browser out, because an event can't set cookies.
    """

    def cycle_key(self) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""


def _user_of(session: SessionBase) -> Any:
    """Return the user of a session, anonymous or not, as Django's middleware does."""
    request = SimpleNamespace(session=_ReadSession(session.items()))
    return auth.get_user(cast(Any, request))


def _refreshed(user: Any, session: SessionBase | None) -> Any:
    """Return a user as it is in the database now, with what was added to the object; or the
    anonymous one if there is no such account any more, or it is no longer active.

    :param session: of which it is the user, too.
    """
    again = copy.copy(user._wrapped if isinstance(user, SimpleLazyObject) else user)
    for name in _PERMISSION_CACHES:
        again.__dict__.pop(name, None)
    if session is not None:
        now = _user_of(session)
        if now.pk != user.pk:
            return now
        again.__dict__.update(now.__dict__)
        return again
    try:
        again.refresh_from_db()
    except type(again).DoesNotExist:
        return _anonymous()
    was_active, is_active = (getattr(each, "is_active", True) for each in (user, again))
    return _anonymous() if was_active and not is_active else again


def _anonymous() -> Any:
    from django.contrib.auth.models import AnonymousUser  # can't be imported in projects without

    return AnonymousUser()
