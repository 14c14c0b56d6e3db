"""The measured project's URLs."""

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path

from benchmarks.project import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.index),
    path("entry/", views.entry),
]
if apps.is_installed("socketio_server"):
    urlpatterns.append(path("", include("socketio_server.urls")))
