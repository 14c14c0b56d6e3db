"""``{% load socketio_tags %}{% socketio %}``: the script elements of a page that uses Socket.IO.

Two files, the official client and our shim, and no inline script: the shim's settings stand in
``data-`` attributes, which the shim documents.
"""

from typing import Any

from django import template
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse

from socketio_server import conf
from socketio_server.assets import CLIENT_BUNDLE, CLIENT_SHIM
from socketio_server.options import Options
from socketio_server.serving import current

register = template.Library()


@register.inclusion_tag("socketio_server/scripts.html", takes_context=True)
def socketio(context: template.Context, *, nonce: str | None = None) -> dict[str, Any]:
    """Write the script elements.

    :param nonce: the page's Content-Security-Policy nonce; by default the one of Django's or
        django-csp's middleware, if there is one.
    :raises ImproperlyConfigured: if the project's URLs don't include the server's.
    """
    url = conf.option("public_url")
    port = _server_port() if url is None else None
    if port is not None and settings.DEBUG:
        what = f"A page with {{% socketio %}} will connect to port {port}"
        request = context.get("request")
        current.tell_missing(what, request.META if request else {})
    return {
        "bundle": CLIENT_BUNDLE,
        "shim": CLIENT_SHIM,
        "path": _server_path(),
        "url": url,
        "port": port,
        "transports": _server_transports(),
        "debug": settings.DEBUG,
        "nonce": _page_nonce(context) if nonce is None else nonce,
    }


def _server_path() -> str:
    try:
        return reverse("socketio")
    except NoReverseMatch as error:
        raise ImproperlyConfigured(
            "{% socketio %} needs the server's URL: add "
            '`path("", include("socketio_server.urls"))` to the urlpatterns of your ROOT_URLCONF.'
        ) from error


def _server_port() -> str | None:
    """Guess the port for clients; ``None``: the page's own, because our server served the page."""
    return None if current.server is not None else str(conf.options().port)


def _server_transports() -> str | None:
    """Return the transports that clients may use; ``None``: all, the client's default."""
    spoken = conf.options().transports
    return None if set(spoken) == set(Options().transports) else " ".join(spoken)


def _page_nonce(context: template.Context) -> str:
    """Return the nonce of Django (6.0 and later) or django-csp.

    Both are lazy objects, which are false until they are read as a string; that also puts them into
    the header.
    """
    nonce = context.get("csp_nonce")
    if nonce is None:
        nonce = getattr(context.get("request"), "csp_nonce", None)
    return "" if nonce is None else str(nonce)
