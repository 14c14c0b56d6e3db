"""Django's signals that say that rights have changed: the clients concerned are verified again.

What a request changes is announced when its view and the middleware have returned: only then is a
session flushed after ``user_logged_out``, or its key replaced after a change of password. Where no
``watch`` tells of that, in other WSGI servers, it is announced behind the answer.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends import signed_cookies
from django.core.signals import request_finished, request_started
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.http import parse_cookie
from django.utils.module_loading import import_string

from socketio_server.serving.around_handshakes.refused_hosts import Application
from socketio_server.serving.rights.fingerprints import members_field
from socketio_server.serving.rights.recheck_scopes import Kind, Scope, digest_of
from socketio_server.serving.rights.rechecks import request_recheck
from socketio_server.serving.users import find_room

_IRRELEVANT = frozenset(["last_login"])
"""The fields of a user that no right depends on, which are saved alone."""

_CHANGED = ("post_add", "post_remove", "post_clear")

_ANY_CHANGED = Scope("everyone", is_forced=False)


class _Request(threading.local):
    """The request that the current thread answers."""

    scopes: list[Scope] | None = None
    """Whom to verify again when its view has returned; ``None``: there is no request, or it has."""

    has_new_session = False
    """Whether the last signal was of a new session: if so, the next one deleted was replaced."""


_request = _Request()


def connect() -> None:
    """Listen to Django's signals, if the project has users."""
    _listen_to_sessions.cache_clear()  # tests may have installed other apps before
    if not apps.is_installed("django.contrib.auth"):
        return
    request_started.connect(_begin, weak=False)  # quicker: they are called for each request
    request_finished.connect(_finish, weak=False)
    user_logged_out.connect(_logged_out)
    user_logged_in.connect(_logged_in)
    model = get_user_model()
    for each in _with_heirs(model):
        post_save.connect(_user_saved, sender=each)
        post_delete.connect(_user_deleted, sender=each)
    for name in ("groups", "user_permissions"):
        _listen_to_members(model, name, _user_permissions_changed)
    from django.contrib.auth.models import Group, Permission

    _listen_to_members(Group, "permissions", _group_changed)
    for each in (*_with_heirs(Group), *_with_heirs(Permission)):
        post_delete.connect(_group_changed, sender=each)


def _with_heirs(model: type[Model]) -> Iterable[type[Model]]:
    """Return a model and those that inherit from it, proxies say: each sends its own signals."""
    return [each for each in apps.get_models() if issubclass(each, model)]


def _listen_to_members(model: Any, name: str, receiver: Any) -> None:
    field = members_field(model, name)
    if field is not None:
        m2m_changed.connect(receiver, sender=field.remote_field.through)


def watch(application: Application) -> Application:
    """Return Django's WSGI application, with changes announced before the answer is sent, because a
    client may take that slowly, or not at all.

    A session whose key was replaced waits for its answer: the page would come back without its new
    cookies.
    """

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = application(environ, start_response)
        scopes = _request.scopes
        if scopes and any(scope.kind == "user" for scope in scopes):
            _notice_new_key(environ, scopes)
        if not scopes or all(scope.kind != "replaced" for scope in scopes):
            _finish()
        return response

    return call


def _notice_new_key(environ: dict[str, Any], scopes: list[Scope]) -> None:
    """Announce that the request's session has another key, with a new password say, if it is not in
    the database, so that no signal tells of it.
    """
    store = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    if hasattr(store, "get_model_class") or issubclass(store, signed_cookies.SessionStore):
        return
    old = parse_cookie(environ.get("HTTP_COOKIE", "")).get(settings.SESSION_COOKIE_NAME)
    if not old or Scope("logout", digest_of(old)) in scopes:
        return
    with suppress(Exception):  # the store is down: who verifies the user logs it
        if not store().exists(old):
            scopes.append(Scope("replaced", digest_of(old)))


def _tell(scope: Scope, using: str | None = None) -> None:
    """Announce a scope, when its view has returned if there is a request."""
    if _request.scopes is None:
        request_recheck(scope, using)
    else:
        _request.scopes.append(scope)


def _begin(**kwargs: Any) -> None:
    if _request.scopes is not None:  # the last request has not finished
        _finish()
    _request.scopes, _request.has_new_session = [], False
    _listen_to_sessions(settings.SESSION_ENGINE)


def _finish(**kwargs: Any) -> None:
    scopes = _request.scopes
    if scopes is None:
        return
    _request.scopes, _request.has_new_session = None, False
    if scopes:
        for scope in sorted(dict.fromkeys(scopes), key=lambda each: each.kind != "replaced"):
            request_recheck(scope)


@cache
def _listen_to_sessions(engine: str) -> None:
    """Listen to sessions that end, if they are in the database.

    Only in processes that answer requests: to delete thousands of sessions, as ``clearsessions``
    does, takes much longer and all of the memory while somebody listens.
    """
    if not apps.is_installed("django.contrib.sessions"):
        return
    store = import_string(f"{engine}.SessionStore")
    if hasattr(store, "get_model_class"):
        model = store.get_model_class()
        post_save.connect(_session_saved, sender=model)
        post_delete.connect(_session_deleted, sender=model)


def _session_saved(created: bool, **kwargs: Any) -> None:
    _request.has_new_session = created


def _session_deleted(instance: Any, using: str, **kwargs: Any) -> None:
    """A session is gone: replaced, if another was made just before (``cycle_key``)."""
    kind: Kind = "replaced" if _request.has_new_session else "session"
    _request.has_new_session = False
    _tell(Scope(kind, digest_of(instance.session_key)), using)


def _logged_out(request: Any, **kwargs: Any) -> None:
    key = getattr(getattr(request, "session", None), "session_key", None)
    if key:
        _tell(Scope("logout", digest_of(key)))


def _logged_in(request: Any, **kwargs: Any) -> None:
    """Somebody has logged in, under a new key if there was a session before."""
    _request.has_new_session = False  # it is the login's: what is deleted next is another
    old = getattr(request, "COOKIES", {}).get(settings.SESSION_COOKIE_NAME)
    if old and _request.scopes is not None and old != request.session.session_key:
        _tell(Scope("replaced", digest_of(old)))


def _user_saved(
    instance: Any, created: bool, using: str, update_fields: Any, **kwargs: Any
) -> None:
    if not created and not (update_fields and _IRRELEVANT.issuperset(update_fields)):
        _tell_user(instance, using)


def _user_deleted(instance: Any, using: str, **kwargs: Any) -> None:
    _tell_user(instance, using)


def _user_permissions_changed(
    instance: Any, action: str, reverse: bool, pk_set: Any, using: str, model: Any, **kwargs: Any
) -> None:
    if action not in _CHANGED:
        return
    if not reverse:
        _tell_user(instance, using)
    elif pk_set is None:  # group.user_set.clear(): nobody says who they were
        _tell(_ANY_CHANGED, using)
    else:
        for key in pk_set:
            _tell_user(model(pk=key), using)


def _group_changed(using: str, action: str = "post_clear", **kwargs: Any) -> None:
    if action in _CHANGED:
        _tell(_ANY_CHANGED, using)


def _tell_user(user: Any, using: str) -> None:
    room = find_room(user)
    if room is not None:
        _tell(Scope("user", room), using)
