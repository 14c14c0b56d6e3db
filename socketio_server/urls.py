"""The URL of Socket.IO's requests: ``path("", include("socketio_server.urls"))`` in the
project's.
"""

from django.urls import path

from socketio_server.views import socketio

urlpatterns = [path("socket.io/", socketio, name="socketio")]
