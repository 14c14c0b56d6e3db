"""The demo's settings, and whatever a test wants else: ``TEST_SETTINGS`` holds JSON."""

import json
import os
from pathlib import Path

from mysite import settings as demo

globals().update({name: value for name, value in vars(demo).items() if name.isupper()})

INSTALLED_APPS = [*demo.INSTALLED_APPS, "tests.browser.pages"]
ROOT_URLCONF = "tests.browser.pages.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["TEST_FOLDER"]) / "db.sqlite3",
    },
}

SOCKETIO_EVENTS = ["tests.browser.pages.handlers"]  # and not the demo's

globals().update(json.loads(os.environ.get("TEST_SETTINGS", "{}")))
