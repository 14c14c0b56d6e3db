"""The URLs that a project includes."""

import importlib

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from socketio_server import urls


def test_urls_without_the_app_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "is_installed", lambda name: False)
    with pytest.raises(ImproperlyConfigured, match="to INSTALLED_APPS"):
        importlib.reload(urls)
