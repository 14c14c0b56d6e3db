"""Users, which the demo project has none of."""

from typing import Any

from django.db import connection
from django.db.models import Model

WITH_USERS: dict[str, Any] = {
    "INSTALLED_APPS": [
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "socketio_server",
    ],
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
}
"""The demo project has no users; these settings give it some."""


WITH_SESSIONS: dict[str, Any] = {
    **WITH_USERS,
    "INSTALLED_APPS": [*WITH_USERS["INSTALLED_APPS"], "django.contrib.messages"],
    "MIDDLEWARE": [
        *WITH_USERS["MIDDLEWARE"],
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage",
    "SESSION_ENGINE": "django.contrib.sessions.backends.db",
}
"""The same with sessions in the database, and messages in the sessions."""


def create_users_table() -> None:
    """Create it in the test's transaction: the demo's database has no tables."""
    from django.contrib.auth.models import User

    _create_table(User)


def create_tables() -> None:
    """Create those of users and sessions, as ``create_users_table``."""
    from django.contrib.sessions.models import Session

    create_users_table()
    _create_table(Session)


def _create_table(model: type[Model]) -> None:
    sql, params = connection.schema_editor().table_sql(model)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
