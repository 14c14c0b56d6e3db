"""Runs the package's checks."""

from django.core import checks as django_checks
from django.core.checks import CheckMessage


def run() -> list[CheckMessage]:
    """Run the package's checks as ``manage.py check`` does."""
    return django_checks.run_checks(tags=["socketio_server"])


def ids() -> list[str | None]:
    return [message.id for message in run()]
