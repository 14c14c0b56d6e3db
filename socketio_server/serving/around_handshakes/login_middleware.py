"""Handshakes under Django's ``LoginRequiredMiddleware``, which would redirect anonymous clients.

The client of Socket.IO can't follow a redirect to a page. Therefore the view is exempt from the
middleware, and refuses for itself whom the middleware would send away.
"""

from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest
from django.utils.module_loading import import_string

_MIDDLEWARE = "django.contrib.auth.middleware", "LoginRequiredMiddleware"


def refuses(request: HttpRequest) -> bool:
    """Return whether the middleware is in use, and the client is not logged in."""
    return _is_used(tuple(settings.MIDDLEWARE)) and not request.user.is_authenticated


@lru_cache(maxsize=1)
def _is_used(paths: tuple[str, ...]) -> bool:
    """Return whether the middleware, or one that is derived from it, is among these.

    It is known by its name: Django has it since 5.1, and to import it needs ``django.contrib.auth``
    among the apps.
    """
    return any(
        (base.__module__, base.__qualname__) == _MIDDLEWARE
        for path in paths
        for base in getattr(import_string(path), "__mro__", ())
    )
