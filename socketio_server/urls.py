"""The URL of Socket.IO's requests, for ``path("", include("socketio_server.urls"))``."""

from django.urls import path

from socketio_server.assets import CLIENT_FILES
from socketio_server.views import client_file, socketio

urlpatterns = [
    path("socket.io/", socketio, name="socketio"),
    *(path(f"socket.io/{name}", client_file, {"name": name}) for name in CLIENT_FILES),
]
