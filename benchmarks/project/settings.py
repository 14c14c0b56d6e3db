"""The measured project's settings: ``startproject``'s, and what a benchmark needs.

Without ``socketio_server`` where the environment says ``BENCHMARK_PLAIN``: what Django alone takes.
"""

import os

IS_PLAIN = "BENCHMARK_PLAIN" in os.environ

DEBUG = False
SECRET_KEY = "insecure: for benchmarks on this machine only"
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "benchmarks.project",
]
if not IS_PLAIN:
    INSTALLED_APPS.append("socketio_server")
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "benchmarks.project.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BENCHMARK_DATABASE", "benchmark.sqlite3"),
    },
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
USE_TZ = True

# No line for each request of a polling client, nor for each message.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"null": {"class": "logging.NullHandler"}},
    "loggers": {"django.server": {"handlers": ["null"], "level": "ERROR", "propagate": False}},
}
if not IS_PLAIN:
    SOCKETIO_MESSAGE_LOG_FORMAT = None
    SOCKETIO_MAX_CONNECTIONS = 16_000
    SOCKETIO_MAX_PACKET_BURST = 10_000_000  # one client may send as fast as it can
    SOCKETIO_BROKER_URL = os.environ.get("BENCHMARK_BROKER")
    SOCKETIO_EVENTS: list[str] = []  # our own events.py only, not one that is found by chance
