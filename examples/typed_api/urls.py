"""The Socket.IO server: the example has no pages."""

from django.urls import include, path

urlpatterns = [path("", include("socketio_server.urls"))]
