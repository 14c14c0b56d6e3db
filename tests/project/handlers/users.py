"""Tells and changes who a client is, and what is in its session."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest

import socketio_server
from socketio_server import events
from socketio_server.sockets.socket import Socket

Context = dict[str, Any]


@events.on("who am I?")
def tell_user(request: HttpRequest, socket: Socket, context: Context) -> str:
    """Return the user's name."""
    return request.user.get_username()


@events.on("get")
def get(request: HttpRequest, socket: Socket, context: Context, key: str) -> Any:
    """Return a value of the session."""
    return request.session.get(key)


@events.on("set")
def store(request: HttpRequest, socket: Socket, context: Context, key: str, value: Any) -> str:
    """Put a value into the session."""
    request.session[key] = value
    return "done"


@events.on("tell")
def tell(request: HttpRequest, socket: Socket, context: Context, name: str, news: Any) -> None:
    """Tell a user news."""
    socketio_server.emit("news", news, to=User.objects.get(username=name))


@events.on("who is on")
def tell_users(request: HttpRequest, socket: Socket, context: Context, channel: str) -> list[str]:
    """Return the names of the users on a channel, in all processes."""
    return sorted(user.get_username() for user in socketio_server.users_on(channel))
