"""No more than the example needs: no users, no database."""

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent

DEBUG = True
SECRET_KEY = "insecure: good for an example on your own machine only"

INSTALLED_APPS = ["django.contrib.staticfiles", "socketio_server"]
ROOT_URLCONF = "urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    },
]
STATIC_URL = "static/"
TIME_ZONE = "UTC"
USE_TZ = True
