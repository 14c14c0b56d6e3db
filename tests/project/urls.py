"""The test project's URLs."""

from django.urls import include, path

from tests.project import views

urlpatterns = [
    path("login/", views.log_in),
    path("logout/", views.log_out),
    path("scheme/", views.scheme),
    path("state/", views.state),
    path("stats/", views.stats),
    path("outside/<function>/", views.outside),
    path("upload/", views.upload),
    path("nothing/<int:status>/", views.nothing),
    path("download/<int:size>/", views.download),
    path("asyncio/", include("tests.project.asynchronous")),
    path("", include("socketio_server.urls")),
]
