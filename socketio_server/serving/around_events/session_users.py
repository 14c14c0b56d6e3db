"""The user of a session, read as Django's middleware and ``auth.get_user`` do, but with no right to
change the session.
"""

import copy
from types import SimpleNamespace
from typing import Any, cast

from django.contrib import auth
from django.contrib.sessions.backends.base import SessionBase
from django.utils.functional import SimpleLazyObject

OF_SESSION = object()
"""Instead of the user: it is the session's, by Django's middleware."""

_MIDDLEWARE = auth.__name__ + ".middleware"
"""The module of what finds the user of a session for a request."""

_PERMISSION_CACHES = ("_perm_cache", "_user_perm_cache", "_group_perm_cache")
"""What Django's backend keeps on a user."""


def is_of_session(user: Any) -> bool:
    """Return whether a user is what Django's middleware finds in the session, read or not."""
    if type(user) is not SimpleLazyObject:
        return user is None or user is OF_SESSION
    find = user.__dict__.get("_setupfunc")
    return getattr(find, "__module__", None) == _MIDDLEWARE


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
    again = copy.copy(user._wrapped if isinstance(user, SimpleLazyObject) else user)
    for name in _PERMISSION_CACHES:
        again.__dict__.pop(name, None)
    if session is not None:
        now = read_user(session)
        if now.pk != user.pk:
            return now
        again.__dict__.update(now.__dict__)
        return again
    try:
        again.refresh_from_db()
    except type(again).DoesNotExist:
        return make_anonymous()
    was_active, is_active = (getattr(each, "is_active", True) for each in (user, again))
    return make_anonymous() if was_active and not is_active else again


def make_anonymous() -> Any:
    """Return an anonymous user."""
    from django.contrib.auth.models import AnonymousUser  # can't be imported in projects without

    return AnonymousUser()
