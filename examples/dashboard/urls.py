"""The page, and the Socket.IO server."""

from django.urls import include, path
from django.views.generic import TemplateView

urlpatterns = [
    path("", TemplateView.as_view(template_name="index.html")),
    path("", include("socketio_server.urls")),
]
