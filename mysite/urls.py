"""The demo project's URLs: the page, the switch of its language, and the Socket.IO server."""

from django.urls import include, path

from mysite import views

urlpatterns = [
    path("", views.index, name="index"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("socketio_server.urls")),
]
