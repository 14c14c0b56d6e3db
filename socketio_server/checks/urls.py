"""The server's URL leads to the server, and the pages' script is a static file."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.contrib.staticfiles import finders
from django.core.checks import CheckMessage, Error
from django.urls import NoReverseMatch, get_script_prefix, resolve, reverse
from django.utils import translation

from socketio_server import assets


def check_urls(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E002: the server's URL is in the project's URLconf, and leads to the server's view."""
    try:
        astray = next(filter(None, map(_find_astray, _languages_of_urls())), None)
    except NoReverseMatch:
        yield Error(
            "The URLconf has no place for Socket.IO's requests.",
            hint='Add path("", include("socketio_server.urls")) to the urlpatterns.',
            id="socketio_server.E002",
        )
        return
    if astray is not None:
        yield Error(
            astray,
            hint=(
                'Put include("socketio_server.urls") before what matches the same path, and give '
                'no other URL the name "socketio".'
            ),
            id="socketio_server.E002",
        )


def _languages_of_urls() -> list[str]:
    """Return the languages in which the project's URLs may differ."""
    uses_prefixes, _ = is_language_prefix_patterns_used(settings.ROOT_URLCONF)
    if settings.USE_I18N and uses_prefixes:
        return [code for code, _ in settings.LANGUAGES]
    return [settings.LANGUAGE_CODE]


def _find_astray(language: str) -> str | None:
    """Return a message if the server's URL, in a language, leads to another view.

    :raises NoReverseMatch: if the server has no URL.
    """
    with translation.override(language):
        url = reverse("socketio")
        match = resolve("/" + unquote(url).removeprefix(get_script_prefix()))
    view = match.func
    if (view.__module__, getattr(view, "__name__", "")) == _VIEW:
        return None
    return f"Socket.IO's requests to {url} lead to another view, by the pattern {match.route!r}."


_VIEW = ("socketio_server.views", "socketio")
"""The module and name of the server's view, which the project's decorators keep."""


def check_bundle(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E003: the official client, which the build copies into the package, is a static file."""
    if finders.find(assets.CLIENT_BUNDLE) is None:
        yield Error(
            f"The static file {assets.CLIENT_BUNDLE} is missing.",
            hint=(
                "Run `pip install -e .` in the checkout of django-socketio-server, or install the "
                "package anew; and keep django.contrib.staticfiles in INSTALLED_APPS."
            ),
            id="socketio_server.E003",
        )
