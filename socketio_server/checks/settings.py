"""Settings: each has a valid value, and shows nothing to strangers."""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from socketio_server import conf
from socketio_server.serving.middleware import import_middleware

Check = Callable[..., Iterable[CheckMessage]]


def with_options(*names: str) -> Callable[[Check], Check]:
    """Decorate a check with the options that it gets as arguments.

    If the setting of one is invalid, the check does not run, because E001 says so.
    """

    def decorate(check: Check) -> Check:
        def run(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
            try:
                values = [conf.option(name) for name in names]
            except ImproperlyConfigured:
                return ()
            return check(*values)

        return run

    return decorate


def check_settings(app_configs: Any, **kwargs: Any) -> Iterable[CheckMessage]:
    """E001: each ``SOCKETIO_`` setting exists, and has a valid value."""
    for problem in conf.problems():
        yield Error(
            f"{problem.setting} {problem.message}",
            hint="The module socketio_server.options describes all settings.",
            id="socketio_server.E001",
        )


@with_options("middleware")
def check_middleware(paths: Sequence[str]) -> Iterable[CheckMessage]:
    """E004: each path in ``SOCKETIO_MIDDLEWARE`` names a callable."""
    for path in paths:
        try:
            import_middleware(path)
        except ImproperlyConfigured as error:
            yield Error(
                str(error),
                hint='Name a module and a callable in it, "chat.middleware.Timing" say.',
                id="socketio_server.E004",
            )


@with_options("host")
def check_debug(host: str) -> Iterable[CheckMessage]:
    """W003: no error page shows the project's code to other machines."""
    if settings.DEBUG and not is_local(host):
        yield Warning(
            f"DEBUG is on, and others can reach {host} (SOCKETIO_HOST): its error pages show them "
            "the project's settings and code.",
            hint="Set DEBUG = False, or SOCKETIO_HOST = '127.0.0.1'.",
            id="socketio_server.W003",
        )


def is_local(address: str) -> bool:
    """Return whether only this machine can reach an address; host names other than its own
    can't.
    """
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
