"""The user of a session, read as Django's middleware and ``auth.get_user`` do, but with no right to
change the session.
"""

import copy
import functools
import weakref
from inspect import getattr_static
from types import SimpleNamespace
from typing import Any, cast

from django.contrib import auth
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils import functional
from django.utils.functional import SimpleLazyObject

OF_SESSION = object()
"""Instead of the user: it is the session's, by Django's middleware."""

_MIDDLEWARE = auth.__name__ + ".middleware"
"""The module of what finds the user of a session for a request."""

_CACHES = (
    "_perm_cache",
    "_user_perm_cache",
    "_group_perm_cache",
    "_prefetched_objects_cache",
)
"""What Django's backend, and ``prefetch_related``, keep on a user."""

_CACHED_PROPERTIES = (functional.cached_property, functools.cached_property)


def is_of_session(user: Any) -> bool:
    """Return whether a user is what Django's middleware finds in the session, read or not."""
    if type(user) is not SimpleLazyObject:
        return user is None or user is OF_SESSION
    find = user.__dict__.get("_setupfunc")
    return getattr(find, "__module__", None) in (_MIDDLEWARE, __name__)


def loosen_user(request: HttpRequest) -> None:
    """Let what Django's middleware finds in the session refer weakly to the request, which has it:
    otherwise only the garbage collector can free the two.

    Whoever keeps the request finds the user as before; whoever keeps only the user does, too.
    """
    mine = request.__dict__
    known = weakref.ref(request)
    needed = {name: mine[name] for name in ("session", "_cached_user") if name in mine}

    def find_request() -> Any:
        return known() or SimpleNamespace(**needed)

    user, auser = mine.get("user"), mine.get("auser")
    if type(user) is SimpleLazyObject and is_of_session(user):
        from django.contrib.auth.middleware import get_user  # can't be imported in all projects

        mine["user"] = SimpleLazyObject(lambda: get_user(find_request()))
    if isinstance(auser, functools.partial) and auser.func.__module__ == _MIDDLEWARE:
        aget_user = auser.func

        async def find_later() -> Any:
            return await aget_user(find_request())

        mine["auser"] = find_later


class _ReadSession(dict[str, Any]):
    """A copy of a session's data: to read it must not change the session.

    Django gives a session a new key if its hash is of an older secret key, and deletes it if the
    hash is wrong. The first would log the browser out, because an event can't set cookies.
    """

    def cycle_key(self) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""


def read_user(session: SessionBase) -> Any:
    """Return the user of a session, anonymous or not, as Django's middleware does."""
    request = SimpleNamespace(session=_ReadSession(session.items()))
    return auth.get_user(cast(Any, request))


def reread_user(user: Any, session: SessionBase | None) -> Any:
    """Return a user as it is in the database now, with what was added to the object; or the
    anonymous one if there is no such account any more, or it is no longer active.

    :param session: of which it is the user, too.
    """
    if session is not None:
        now = read_user(session)
        return now if now.pk != user.pk else renew(user, now)
    again = _copy(user)
    try:
        again.refresh_from_db()
    except type(again).DoesNotExist:
        return make_anonymous()
    # What was not loaded then would be read now.
    was_active = user.get_deferred_fields() or getattr(user, "is_active", True)
    return make_anonymous() if was_active and not getattr(again, "is_active", True) else again


def renew(user: Any, now: Any) -> Any:
    """Return a user as it was read now, with what was added to the object."""
    again = _copy(user)
    again.__dict__.update(now.__dict__)
    return again


def _copy(user: Any) -> Any:
    """Return a copy of a user that has forgotten what it has looked up, and keeps what was added to
    the object.
    """
    again = copy.copy(user._wrapped if isinstance(user, SimpleLazyObject) else user)
    own, model = again.__dict__, type(again)
    for name in list(own):
        if name in _CACHES or isinstance(getattr_static(model, name, None), _CACHED_PROPERTIES):
            del own[name]
    again._state.fields_cache.clear()
    return again


def make_anonymous() -> Any:
    """Return an anonymous user."""
    from django.contrib.auth.models import AnonymousUser  # can't be imported in projects without

    return AnonymousUser()
