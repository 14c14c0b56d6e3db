"""What ``startproject`` writes, and whatever a test wants else: ``TEST_SETTINGS`` holds JSON."""

import json
import os
from pathlib import Path

FOLDER = Path(os.environ["TEST_FOLDER"])
"""Where this server's own files are."""

SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "socketio_server",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "tests.project.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("TEST_DATABASE", FOLDER / "db.sqlite3"),
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the fastest
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français")]
STATIC_URL = "static/"
USE_TZ = True

SOCKETIO_EVENTS = [
    "tests.project.handlers.failing",  # first, so that other handlers follow
    "tests.project.handlers.refusing",
    "tests.project.handlers.recording",
    "tests.project.handlers.commands",
]

globals().update(json.loads(os.environ.get("TEST_SETTINGS", "{}")))
