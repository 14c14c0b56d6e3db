"""The demo's URLs, and those of the pages beside it."""

from django.conf import settings
from django.urls import include, path
from django.views.static import serve

from tests.browser.pages import views

urlpatterns = [
    path("pages/strict/", views.strict),
    path("pages/<slug:name>/", views.page),
    # What a web server does in production; with DEBUG, the command is faster.
    path("static/<path:path>", serve, {"document_root": settings.STATIC_ROOT}),
    path("", include("mysite.urls")),
]
