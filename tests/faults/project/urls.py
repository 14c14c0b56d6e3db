"""The project's URLs."""

from django.urls import include, path

from tests.faults.project import views

urlpatterns = [
    path("stats/", views.stats),
    path("census/", views.census),
    path("turns/", views.turns),
    path("body/", views.body),
    path("mark/", views.mark),
    path("large/", views.large),
    path("", include("socketio_server.urls")),
]
