"""Decorators that let only some users run a handler, named as Django's decorators for views.

    from socketio_server import events
    from socketio_server.decorators import login_required

    @events.on_connect
    @login_required
    def connect(request, socket, context): ...

They are for handlers of ``on_connect``, ``authorize``, ``on_subscribe``, ``on_message`` and ``on``.
A refused client gets ``connect_error``, or an acknowledgement with an ``error``.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast, overload

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404

from socketio_server.dispatch.rights import DENIED
from socketio_server.exceptions import EventError
from socketio_server.registry.events import REGISTRY
from socketio_server.registry.guards import Guarded
from socketio_server.registry.signatures import describe

__all__ = ["login_required", "permission_required", "user_passes_test"]

H = TypeVar("H", bound=Callable[..., Any])


@overload
def login_required(handler: H) -> H: ...
@overload
def login_required(handler: None = None) -> Callable[[H], H]: ...
def login_required(handler: H | None = None) -> H | Callable[[H], H]:
    """Let only users run the handler that are logged in; used bare or called.

    :raises EventError: if the handler is registered already: the decorator stands above the
        event's, and would guard nothing.
    """
    decorate = _guard(lambda user: user.is_authenticated, "Please log in.")
    return decorate if handler is None else decorate(handler)


def permission_required(perm: str | Iterable[str]) -> Callable[[H], H]:
    """Return a decorator that lets only users run the handler that have a permission.

    :param perm: the permission, ``"app.codename"``; or several, all of which are needed.
    :raises EventError: if there is none, because the decorator is used bare.
    """
    if callable(perm):
        raise EventError(
            'permission_required needs a permission: @permission_required("app.codename") above '
            f"the handler {describe(perm)}"
        )
    perms = (perm,) if isinstance(perm, str) else tuple(perm)
    needs = f"it needs {', '.join(map(repr, perms))}"
    return _guard(lambda user: user.has_perms(perms), DENIED, note=needs)


def user_passes_test(test_func: Callable[[Any], Any], message: str = DENIED) -> Callable[[H], H]:
    """Return a decorator that lets only users run the handler that pass a test.

    :param test_func: called with ``request.user``; lets the user pass by something true, and may
        refuse by ``ObjectDoesNotExist`` or ``Http404``, too.
    :param message: what other clients are told.
    """
    return _guard(test_func, message, is_own=True)


def _guard(
    test_func: Callable[[Any], Any], message: str, *, note: str = "", is_own: bool = False
) -> Callable[[H], H]:
    """Return a decorator of handlers.

    :param note: added to the refusal for the log.
    """

    def test(request: Any) -> None:
        user = request.user
        absence = None
        try:
            passes = test_func(user)
        except (ObjectDoesNotExist, Http404) as error:
            passes, absence = False, error
        if not passes:
            refusal = PermissionDenied(message)
            is_anonymous = not getattr(user, "is_authenticated", True)
            why_anonymous = _why_anonymous(request) if is_anonymous else ""
            for each in (note, why_anonymous):
                if each:
                    refusal.add_note(each)
            raise refusal from absence

    def decorate(handler: H) -> H:
        for event in REGISTRY:
            if any(registration.handler is handler for registration in event.registrations):
                raise EventError(
                    f"The {event.name} handler {describe(handler)} is registered without its "
                    "decorator, which would guard nothing: the event's decorator goes above it"
                )
        return cast(H, Guarded(handler, test, is_own=is_own))

    return decorate


def _why_anonymous(request: Any) -> str:
    """Return what is known of the cause, for the log."""
    name = settings.SESSION_COOKIE_NAME
    if name in request.COOKIES:
        return f"the cookie {name!r} names no session of a user: it has ended, or is another site's"
    return (
        f"the request has no cookie {name!r}: log in on the host that the client connects to, to "
        "which pages of another send cookies by withCredentials"
    )
