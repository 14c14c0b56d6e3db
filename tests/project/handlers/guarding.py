"""Lets those in who are logged in, and those on a channel who may view users."""

from typing import Any

from django.http import HttpRequest

from socketio_server import events
from socketio_server.decorators import login_required, permission_required
from socketio_server.sockets.socket import Socket

Context = dict[str, Any]


@events.on_connect
@login_required
def connect(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Let a user in."""


@events.authorize(channel="^staff$")
@permission_required("auth.view_user")
def may_enter(request: HttpRequest, socket: Socket, context: Context, channel: str) -> bool:
    """Let those on the channel who may view users."""
    return True
