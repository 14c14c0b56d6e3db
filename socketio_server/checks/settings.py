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
            hint='The page "Settings" of the documentation describes all of them.',
            id="socketio_server.E001",
        )


@with_options("max_payload", "max_pending_total", "max_queued_bytes", "max_queued_total")
def check_limits(
    payload: int, pending_total: int, queued: int, queued_total: int
) -> Iterable[CheckMessage]:
    """W013: what all clients together may have is no less than what one may."""
    if pending_total < payload:
        yield Warning(
            f"SOCKETIO_MAX_PENDING_TOTAL ({pending_total}) is less than SOCKETIO_MAX_PAYLOAD "
            f"({payload}): a client that sends as much as it may is disconnected.",
            hint=(
                "Raise SOCKETIO_MAX_PENDING_TOTAL to SOCKETIO_MAX_PAYLOAD, times the messages of "
                "this size that come at once; or lower the latter."
            ),
            id="socketio_server.W013",
        )
    if queued_total < queued:
        yield Warning(
            f"SOCKETIO_MAX_QUEUED_TOTAL ({queued_total}) is less than SOCKETIO_MAX_QUEUED_BYTES "
            f"({queued}): one slow client may keep all the room, and others be disconnected.",
            hint="Lower SOCKETIO_MAX_QUEUED_BYTES, or raise SOCKETIO_MAX_QUEUED_TOTAL.",
            id="socketio_server.W013",
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
