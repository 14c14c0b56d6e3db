"""The pages' handlers: they write down what happens, and send messages back.

A window is known by its user agent, also after it has lost its connection and come back.
"""

from collections.abc import Callable
from threading import Thread
from time import sleep
from typing import Any

from django.http import HttpRequest

from socketio_server import events
from socketio_server.sockets.socket import Socket
from tests.project.journal import record

Context = dict[Any, Any]

CHAT = "/chat"


def note(request: HttpRequest, socket: Socket, event: str, *args: Any) -> None:
    """Write down an event: one of another namespace as ``chat:message``, bytes as text."""
    prefix = "" if socket.namespace == "/" else f"{socket.namespace[1:]}:"
    name = event if event == "connect" else prefix + event
    record(name, request.META["HTTP_USER_AGENT"], socket, args=[plain(arg) for arg in args])


def plain(value: Any) -> Any:
    """Return what JSON can carry for a message."""
    if isinstance(value, bytes):
        return repr(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def noting(event: str) -> Callable[..., None]:
    """Return a handler that writes down an event, unless it is but the connection's end."""

    def handle(request: HttpRequest, socket: Socket, context: Context, *args: Any) -> None:
        if socket.connected():
            note(request, socket, event, *args)

    return handle


for namespace in ("/", CHAT):
    events.on_connect(noting("connect"), namespace=namespace)
    events.on_subscribe(noting("subscribe"), namespace=namespace)
    events.on_unsubscribe(noting("unsubscribe"), namespace=namespace)


@events.on_subscribe(channel="^closed-")
def refuse(request: HttpRequest, socket: Socket, context: Context, channel: str) -> None:
    """Refuse."""
    raise events.Reject("No entry")


@events.on_connect(namespace="/closed")
def refuse_connection(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Refuse."""
    raise events.Reject("Members only")


@events.on("take off")
def take_off(
    request: HttpRequest, socket: Socket, context: Context, channel: str, reason: str
) -> None:
    """Take the client off a channel, and tell it why."""
    socket.unsubscribe(channel)
    socket.emit("__unsubscribed__", channel, reason)


@events.on("send away")
def send_away(request: HttpRequest, socket: Socket, context: Context, reason: str) -> None:
    """Disconnect the client, and tell it why."""
    socket.emit("__disconnected__", reason)
    socket.disconnect()


@events.on_message
@events.on_message(namespace=CHAT)
def echo(request: HttpRequest, socket: Socket, context: Context, message: Any) -> None:
    """Send a message back to who is on no channel."""
    note(request, socket, "message", message)
    socket.send(message)


@events.on_message(channel=".")
@events.on_message(channel=".", namespace=CHAT)
def talk(request: HttpRequest, socket: Socket, context: Context, message: Any) -> None:
    """Let everybody on the sender's channels have a message."""
    note(request, socket, "message", message)
    socket.send_and_broadcast_channel(message)


@events.on("tick")
def tick(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Send numbers, a thousand a second, until the client goes."""

    def count() -> None:
        number = 0
        while socket.connected():
            socket.emit("tick", number)
            number += 1
            sleep(0.001)

    Thread(target=count).start()


@events.on("settle")
@events.on("settle", namespace=CHAT)
def settle(request: HttpRequest, socket: Socket, context: Context) -> str:
    """Answer: then all that the client sent before has been handled, too."""
    return "settled"
