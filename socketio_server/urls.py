"""The URL of Socket.IO's requests: ``path("", include("socketio_server.urls"))`` in the
project's.
"""

from django.urls import path

from socketio_server.assets import CLIENT_FILES
from socketio_server.views import client_file, socketio

urlpatterns = [
    path("socket.io/", socketio, name="socketio"),
    *(path(f"socket.io/{name}", client_file, {"name": name}) for name in CLIENT_FILES),
]
