"""Users, which the demo project has none of, and their browsers."""

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.test import Client

from socketio_server.testing import SocketIOClient

Connect = Callable[..., SocketIOClient]
"""Connects a client to the handlers of a test."""

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


def create_permissions() -> None:
    """Create the tables of groups and permissions, too."""
    create_tables()
    create_permission_tables()


def create_permission_tables() -> None:
    """Create the tables of groups and permissions alone."""
    from django.contrib.auth.models import Group, Permission, User
    from django.contrib.contenttypes.models import ContentType

    for model in (
        ContentType,
        Permission,
        Group,
        Group.permissions.through,
        User.groups.through,
        User.user_permissions.through,
    ):
        _create_table(model)


def _create_table(model: type[Model]) -> None:
    editor = connection.schema_editor()
    editor.deferred_sql = []  # for indexes, which nobody misses
    sql, params = editor.table_sql(model)
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def make_user(name: str = "ann") -> Any:
    """Create a user without a password."""
    from django.contrib.auth.models import User

    return User.objects.create(username=name)


def delete_user(user: Any) -> None:
    """Delete a user, without its groups, of which there is no table."""
    type(user).objects.filter(pk=user.pk)._raw_delete("default")


def browser_of(user: Any) -> Client:
    """A browser in which a user is logged in."""
    browser = Client()
    browser.force_login(user)
    return browser


def request_of(browser: Client) -> HttpRequest:
    """A request of a browser, as a view gets it."""
    from django.contrib.auth.middleware import AuthenticationMiddleware

    request = HttpRequest()
    request.session = browser.session
    request.COOKIES = {name: morsel.value for name, morsel in browser.cookies.items()}
    AuthenticationMiddleware(lambda request: HttpResponse()).process_request(request)
    return request
