"""The signals of ``socketio_server.signals``, and Django's own for exceptions."""

import logging
import sys
from typing import Any

from django.conf import settings
from django.core.signals import got_request_exception
from django.dispatch import Signal

from socketio_server.dispatch.happenings import Happening
from socketio_server.sockets.socket import Socket

client_connected = Signal(use_caching=True)
client_disconnected = Signal(use_caching=True)
channel_subscribed = Signal(use_caching=True)
channel_unsubscribed = Signal(use_caching=True)
handler_failed = Signal(use_caching=True)

SIGNALS = {
    Happening.CLIENT_CONNECTED: client_connected,
    Happening.CLIENT_DISCONNECTED: client_disconnected,
    Happening.CHANNEL_SUBSCRIBED: channel_subscribed,
    Happening.CHANNEL_UNSUBSCRIBED: channel_unsubscribed,
    Happening.HANDLER_FAILED: handler_failed,
}

logger = logging.getLogger("socketio_server")

_request_logger = logging.getLogger("django.request")


def send(happening: Happening, socket: Socket, details: dict[str, Any]) -> None:
    """Send a signal; what a receiver raises is logged by Django."""
    SIGNALS[happening].send_robust(
        Socket, namespace=socket.namespace, socket=socket, request=socket.request, **details
    )


def report_exception(socket: Socket, event_name: str, error: BaseException) -> None:
    """Tell of a handler's exception where Django tells of a view's; never raises.

    While ``DEBUG`` is on, ``django.request`` is left out: by default it prints to the terminal,
    where the traceback is already, and mails to nobody.
    """
    try:
        if sys.exc_info()[1] is error:
            _report(socket, event_name, error)
            return
        try:  # receivers ask for the exception that is being handled
            raise error
        except BaseException as raised:  # noqa: BLE001  # the same
            _report(socket, event_name, raised)
    except Exception:  # of a handler of the log
        logger.exception("The exception of a handler of %s could not be reported", event_name)


def _report(socket: Socket, event_name: str, error: BaseException) -> None:
    got_request_exception.send_robust(sender=None, request=socket.request)
    if not settings.DEBUG:
        _request_logger.error(
            "Internal Server Error: Socket.IO event %s in namespace %s",
            event_name,
            socket.namespace,
            exc_info=error,
            extra={"status_code": 500, "request": socket.request},
        )
