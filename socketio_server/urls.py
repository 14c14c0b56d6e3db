"""The URL of Socket.IO's requests, for ``path("", include("socketio_server.urls"))``."""

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.urls import path

from socketio_server.assets import CLIENT_FILES
from socketio_server.views import client_file, socketio

if not apps.is_installed("socketio_server"):
    raise ImproperlyConfigured(
        'The URLs include socketio_server.urls: add "socketio_server" to INSTALLED_APPS, too.'
    )

urlpatterns = [
    path("socket.io/", socketio, name="socketio"),
    *(path(f"socket.io/{name}", client_file, {"name": name}) for name in CLIENT_FILES),
]
