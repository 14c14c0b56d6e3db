"""Who a client is at the time of an event: its user and session, read at the first look."""

import copy
import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from django.contrib import auth
from django.contrib.messages.storage import default_storage
from django.contrib.messages.storage.session import SessionStorage
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.db import DatabaseError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from greenlet import getcurrent, greenlet

from socketio_server.dispatch.member import MemberRouter
from socketio_server.serving.around_events.session_users import (
    is_of_session,
    make_anonymous,
    read_user,
    reread_user,
)
from socketio_server.serving.around_events.sessions import MergingStore, is_read_only, merging
from socketio_server.serving.around_events.snapshots import UNREAD, Freshness, Snapshot
from socketio_server.serving.users import find_room

logger = logging.getLogger("socketio_server")


class Identity:
    """Who a client is: what its request's ``user`` and ``session`` are.

    An event sees the same user and session from its first look to its end. Who looks outside of the
    client's events, a view that goes through ``CLIENTS`` say, gets those of the last event unless
    they are too old; a change of the session there is not saved.

    :param request: the handshake's, from which it takes the session and user.
    :param router: the client's, weakly, because the router holds the request.
    :param freshness: how long an event's session and user may serve the next ones.
    """

    __slots__ = (
        "_events",
        "_freshness",
        "_handshake_messages",
        "_has_user",
        "_joined_at",
        "_kept",
        "_key",
        "_last",
        "_logged_in",
        "_look_number",
        "_router",
        "_store",
    )

    def __init__(
        self, request: HttpRequest, router: "weakref.ref[MemberRouter]", freshness: Freshness
    ) -> None:
        self._freshness = freshness
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
        self._kept: Any = None if is_of_session(user) else user
        self._has_user = user is not None
        # The key of the user whom the session named at first: if the kept user is the same, or the
        # middleware that set it had read the session, it goes with the session.
        self._logged_in: Any = UNREAD
        self._joined_at: float | None = None  # when its sockets were put into the user's room
        self._look_number = 0  # another when what was read, or is being read, is out of date
        # By greenlet, what the events that are under way see.
        self._events: dict[greenlet, Snapshot] = {}
        if session is not None and "_session_cache" in session.__dict__:
            self._logged_in = session.get(auth.SESSION_KEY)
            if freshness.interval is None:
                self._last = self._adopt(session)

    @property
    def user(self) -> Any:
        """The user as of now.

        :raises AttributeError: if the project has none.
        """
        snapshot = self._look()
        if snapshot.user is UNREAD:
            look = self._look_number
            snapshot.user = self._read_user(snapshot)
            if look == self._look_number:  # else it is the user of before a logout, say
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
            snapshot.user = UNREAD

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

    def find_user(self) -> None:
        """Read the user for those who send messages to it, unless it was read lately: a client may
        connect to many namespaces.
        """
        if self._has_user and self._freshness.is_over(self._joined_at):
            _ = self.user  # who reads it joins its room
            if self._freshness.interval is not None:
                self._last = None  # frees its memory: no handler has looked, and perhaps none will

    # --- For those who verify the client again ------------------------------------------------

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

    @property
    def is_borrowed(self) -> bool:
        """Whether the user is not the session's own, and yet set by a middleware that knew who is
        logged in: as to impersonate somebody. Then it is gone with the login.
        """
        kept, lender = self._kept, self._logged_in
        is_model = isinstance(kept, Model) and kept.pk is not None
        return is_model and lender is not UNREAD and lender not in (None, _key_of(kept))

    def is_lent_by(self, user: Any) -> bool:
        """Return whether a user, anonymous or not, is the one who was logged in at first."""
        return bool(user.is_authenticated and _key_of(user) == self._logged_in)

    def look_again(self) -> None:
        """Let the next one that looks read the session and user anew."""
        self._last = self._joined_at = None
        self._look_number += 1

    def log_out(self) -> None:
        """See the session as ended, before it is: it will be in a moment."""
        snapshot = self._read()
        if self._kept is None or self.is_borrowed or self.goes_with(snapshot.session):
            self._look_number += 1
            self._last = snapshot
            if snapshot.session is not None:
                snapshot.fill({})
            if self._has_user:
                snapshot.user = make_anonymous()
                self._join_room_of(snapshot.user)

    def leave_room(self) -> None:
        """Get no more of what is sent to the user, until the user is read."""
        self._join_room_of(None)

    def goes_with(self, session: Any) -> bool:
        """Return whether the kept user is the one whom the session named at first: if so, it is
        logged out when the session ends.

        :param session: the session of now, or its data; ``None`` if the project has none.
        """
        kept = self._kept
        if not isinstance(kept, Model) or kept.pk is None:
            return False
        if self._logged_in is UNREAD:
            now = None if session is None else session.get(auth.SESSION_KEY)
            self._logged_in = now if now == _key_of(kept) else None
        return bool(self._logged_in == _key_of(kept))

    @contextmanager
    def seeing(self, user: Any = UNREAD) -> Iterator[None]:
        """Let the current greenlet, and no event of the client, see a user that was read; without
        one, the session and user that were read last, however old they are.
        """
        if user is UNREAD:
            snapshot = self._last or self._read()
        else:
            snapshot = self._read()
            snapshot.user = user
        self._events[getcurrent()] = snapshot
        snapshot.is_shown = True
        try:
            yield
        finally:
            snapshot.is_shown = False
            self.leave()

    def see_as(self, other: "Identity") -> None:
        """See the session and user that another client of the same session sees."""
        if self._kept is None and other._last is not None:
            seen = other._last
            self._last = self._read() if seen.session is None else self._adopt(seen.session)
            self._last.user = seen.user
            if seen.user is not UNREAD:
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
                key = session.session_key
                if key != self._key:
                    if (key and self._key) or auth.SESSION_KEY in session:
                        _tell_of_new_key()
                    self._key = key or self._key
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
        snapshot = self._events.get(getcurrent())
        if snapshot is not None and not snapshot.is_shown:
            self.leave()
            if snapshot is self._last:
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
        is_shared = is_event and self._events and self._freshness.interval is not None
        if last is None or is_shared or self._freshness.is_stale(last):
            last = self._last = self._read()
        if is_event:
            self._events[caller] = last
            cast(Any, caller).is_dirty = True  # for after_event() to be called
        return last

    def _read(self) -> Snapshot:
        session = None if self._store is None else self._store(self._key)
        return Snapshot(session, self._freshness.clock())

    def _adopt(self, session: SessionBase) -> Snapshot:
        """Return a snapshot with a copy of the data of a session that was loaded before."""
        snapshot = self._read()
        data = copy.deepcopy(dict(session.items()))
        snapshot.fill(data, getattr(session, "loaded_at", None))
        return snapshot

    def _read_user(self, snapshot: Snapshot) -> Any:
        kept, session = self._kept, snapshot.session
        if not self._has_user:
            raise AttributeError(
                "the request has no user: AuthenticationMiddleware is not installed"
            )
        if kept is None:
            return read_user(session)
        if not isinstance(kept, Model) or kept.pk is None:
            return kept
        goes_with = self.goes_with(session)
        if self._freshness.interval is None and not self._look_number:
            return kept  # the handshake's
        if self.is_borrowed and not self.is_lent_by(read_user(session)):
            self._kept = make_anonymous()
        else:
            self._kept = reread_user(kept, session if goes_with else None)
        return self._kept

    def _join_room_of(self, user: Any) -> None:
        """Put the client's sockets into the user's room."""
        self._joined_at = self._freshness.clock()
        router = self._router()
        if router is not None:
            router.set_user_room(find_room(user))


def _key_of(user: Any) -> str:
    """Return the primary key of a user as sessions have it."""
    key: str = user._meta.pk.value_to_string(user)
    return key


@cache
def _tell_of_new_key() -> None:
    logger.warning(
        "A handler has given a session a new key, by login() or cycle_key() say. The browser keeps "
        "the old one, and its next page is not logged in, because an event can't set cookies: do "
        "that in views (said once)"
    )
