"""The page of those who are logged in, the admin, and the Socket.IO server."""

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.urls import include, path
from django.views.generic import ListView
from rooms.models import Room

urlpatterns = [
    path("", login_required(ListView.as_view(model=Room, template_name="index.html"))),
    path("admin/", admin.site.urls),
    path("", include("socketio_server.urls")),
]
