"""Users, which the demo project has none of."""

from typing import Any

from django.db import connection

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


def create_users_table() -> None:
    """Create it in the test's transaction: the demo's database has no tables."""
    from django.contrib.auth.models import User

    sql, params = connection.schema_editor().table_sql(User)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
