"""Databases that handlers wait for, and sessions that they can't change."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning

from socketio_server.checks.settings import with_options


def check_sessions(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W011: handlers can change sessions, and see that one has ended."""
    if settings.SESSION_ENGINE == "django.contrib.sessions.backends.signed_cookies":
        yield Warning(
            "SESSION_ENGINE keeps sessions in cookies, which handlers can't set: their changes are "
            "lost, and who has logged out stays logged in on connections that are open.",
            hint="Keep sessions in the database or in a cache.",
            id="socketio_server.W011",
        )


def check_database_drivers(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """W002: no database driver waits in C, where gevent can't switch to other greenlets."""
    for alias, database in settings.DATABASES.items():
        engine = str(database.get("ENGINE", ""))
        driver, hint = _PATIENT_DRIVERS.get(engine, ("", ""))
        if driver and find_spec(driver) is None:
            yield Warning(
                f"The database {alias!r} ({engine}) stops all clients while its driver waits.",
                hint=hint,
                id="socketio_server.W002",
            )


_PATIENT_DRIVERS = {
    "django.db.backends.postgresql": (
        "psycopg",
        "Install psycopg 3, which waits in Python: `pip install psycopg[binary]`.",
    ),
    "django.db.backends.mysql": (
        "pymysql",
        "Install PyMySQL, which is Python, and call `pymysql.install_as_MySQLdb()`.",
    ),
    "django.db.backends.oracle": (
        "oracledb",
        "Install python-oracledb, whose thin mode is Python: `pip install oracledb`.",
    ),
}
"""By engine, the driver that lets other greenlets run while it waits: gevent can't patch C
libraries. SQLite waits for no server, only for its own file."""


@with_options("max_concurrent_handlers")
def check_connections(handlers: int) -> Iterable[CheckMessage]:
    """W004: a database's server allows as many connections as there may be handlers."""
    if handlers <= USUAL_CONNECTIONS:
        return
    for alias, database in settings.DATABASES.items():
        options: Any = database.get("OPTIONS") or {}
        if database.get("ENGINE") in _PATIENT_DRIVERS and not options.get("pool"):
            yield Warning(
                f"Up to {handlers} handlers (SOCKETIO_MAX_CONCURRENT_HANDLERS) may each open a "
                f"connection to the database {alias!r}; its server allows about "
                f"{USUAL_CONNECTIONS}, unless you have told it otherwise.",
                hint=(
                    'Give it a pool: "OPTIONS": {"pool": True}, with psycopg and Django 5.1 or '
                    "later; or set SOCKETIO_MAX_CONCURRENT_HANDLERS to fewer than the server "
                    "allows."
                ),
                id="socketio_server.W004",
            )


USUAL_CONNECTIONS = 100
"""PostgreSQL's default for ``max_connections``; MySQL's is 151."""
