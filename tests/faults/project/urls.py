"""The project's URLs."""

from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from tests.faults.project import views

urlpatterns = [
    path("stats/", views.stats),
    path("census/", views.census),
    path("turns/", views.turns),
    path("body/", views.body),
    path("mark/", views.mark),
    path("large/", views.large),
    path("form/", views.form),
    path("class-based-form/", csrf_exempt(views.ClassBasedForm.as_view())),
    path("", include("socketio_server.urls")),
]
