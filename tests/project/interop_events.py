"""The handlers that the official clients talk to in ``tests/interop``.

Messages come back as they are; what else a test wants of the server it asks for with a custom
event. How a connection ended is told on the channel ``journal-`` with the socket's id, to whoever
watches.
"""

import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gevent
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from gevent.event import Event

import socketio_server
from socketio_server import events
from socketio_server.sockets.socket import Socket

Context = dict[Any, Any]

GATES: defaultdict[str, Event] = defaultdict(Event)
"""Where handlers wait until a test lets them go on."""

TEAMS = re.compile(r"/team-\d+$")
ALL_NAMESPACES = re.compile(r"/(chat|members|slow|team-\d+)?$")


# The seven events


@events.on_connect
def welcome(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Do what the query string asks for."""
    wish = request.GET.get("on_connect")
    if wish == "reject":
        raise events.Reject("No seats left", {"seats": 0, "names": ["Zoë"]})
    if wish == "deny":
        raise PermissionDenied("Members only")
    if wish == "greet":
        socket.send({"greeting": socket.session.session_id})
        socket.send("and again")


@events.on_connect(namespace="/members")
def check_token(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Let in who has the token."""
    if not isinstance(socket.auth, dict) or socket.auth.get("token") != "the right one":
        raise events.Reject("Wrong token", {"got": socket.auth})


@events.on_connect(namespace="/slow")
def let_in_slowly(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Greet, and let in when somebody opens the gate."""
    socket.send({"greeting": socket.session.session_id})
    _announce("on_connect", request)
    GATES[request.GET["gate"]].wait()


@events.on_subscribe(channel="^slow-")
def decide_slowly(request: HttpRequest, socket: Socket, context: Context, channel: str) -> None:
    """Decide when somebody opens the gate."""
    _announce("on_subscribe", request)
    GATES[request.GET["gate"]].wait()


def _announce(event: str, request: HttpRequest) -> None:
    with suppress(socketio_server.NoSocket):  # nobody watches
        socketio_server.broadcast_channel(event, f"at-gate-{request.GET['gate']}")


@events.on("open")
def open_gate(request: HttpRequest, socket: Socket, context: Context, gate: str) -> None:
    """Let all pass who wait at a gate, and who come later."""
    GATES[gate].set()


@events.on_subscribe(channel="^closed-")
def refuse(request: HttpRequest, socket: Socket, context: Context, channel: str) -> None:
    """Refuse with a reason and data."""
    raise events.Reject("No entry", {"channel": channel})


@events.on_subscribe(channel="^members-")
def deny(request: HttpRequest, socket: Socket, context: Context, channel: str) -> None:
    """Refuse as Django's own code does."""
    raise PermissionDenied("Members only")


@events.on_subscribe(channel="^lobby-")
def enter(request: HttpRequest, socket: Socket, context: Context, channel: str) -> None:
    """Say hello."""
    socket.send({"entered": channel})


@events.on_unsubscribe(channel="^lobby-")
def leave(request: HttpRequest, socket: Socket, context: Context, channel: str) -> None:
    """Say goodbye."""
    socket.send({"left": channel})


@events.on_message
def echo_message(request: HttpRequest, socket: Socket, context: Context, message: Any) -> Any:
    """Send it back, and acknowledge it."""
    socket.send(message)
    return {"got": message}


@events.on_message(namespace="/chat")
@events.on_message(namespace=TEAMS)
def echo_with_namespace(
    request: HttpRequest, socket: Socket, context: Context, message: Any
) -> None:
    """Send it back, and say from where."""
    socket.send([socket.namespace, message])


@events.on_message(channel="^room-", namespace=ALL_NAMESPACES)
def talk(request: HttpRequest, socket: Socket, context: Context, message: Any) -> None:
    """Let everybody in the room have it."""
    socket.send_and_broadcast_channel(message)


@events.on_error
@events.on_error(channel=".")
def report(request: HttpRequest, socket: Socket, context: Context, exception: Exception) -> None:
    """Tell the client what went wrong."""
    socket.send({"error": str(exception)})


@events.on_disconnect(namespace=ALL_NAMESPACES)
def tell_disconnect(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Tell why the connection ended."""
    _tell(socket, "disconnect", str(socket.close_reason))


@events.on_finish(namespace=ALL_NAMESPACES)
def tell_finish(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Tell that this was all."""
    _tell(socket, "finish", None)


def _tell(socket: Socket, event: str, detail: Any) -> None:
    with suppress(socketio_server.NoSocket):  # nobody watches
        socketio_server.broadcast_channel([event, detail], f"journal-{socket.session.session_id}")


# What tests ask for


@events.on("who", namespace=ALL_NAMESPACES)
def who(request: HttpRequest, socket: Socket, context: Context) -> dict[str, Any]:
    """Tell what the server knows of the client."""
    return {
        "id": socket.session.session_id,
        "namespace": socket.namespace,
        "transport": socket.transport,
        "channels": list(socket.channels),
        "auth": socket.auth,
    }


@events.on("echo", namespace=ALL_NAMESPACES)
def echo(request: HttpRequest, socket: Socket, context: Context, *args: Any) -> tuple[Any, ...]:
    """Acknowledge with all arguments."""
    return args


@events.on("nothing")
def nothing(request: HttpRequest, socket: Socket, context: Context, *args: Any) -> None:
    """Acknowledge with nothing."""


@events.on("members only", channel="^room-")
def members_only(request: HttpRequest, socket: Socket, context: Context) -> str:
    """Acknowledge to those in a room."""
    return "welcome"


@dataclass
class Order:
    """A typed message."""

    dish: str
    count: int = 1


@events.on("order")
def take_order(request: HttpRequest, socket: Socket, context: Context, order: Order) -> str:
    """Acknowledge an order."""
    return f"{order.count} x {order.dish}"


@events.on("measure")
def measure(request: HttpRequest, socket: Socket, context: Context, data: Any) -> int:
    """Tell how long something is."""
    return len(data)


@events.on("fail")
def fail(request: HttpRequest, socket: Socket, context: Context, why: str) -> None:
    """Raise."""
    raise ValueError(why)


@events.on("sequence")
def sequence(
    request: HttpRequest, socket: Socket, context: Context, count: int, size: int, to: str | None
) -> int:
    """Emit many events of some size at once, to this client or to a channel."""
    for number in range(count):
        socket.emit("part", number, "x" * size, to=to)
    return count


@events.on("volatile burst")
def volatile_burst(request: HttpRequest, socket: Socket, context: Context, count: int) -> None:
    """Emit many numbers that may get lost, and one that may not."""
    for number in range(count):
        socket.emit("number", number, volatile=True)
    socket.emit("number", "end")


@events.on("tick")
def tick(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Emit a number every now and then, besides all else, until told to stop."""

    def emit_numbers() -> None:
        number = 0
        while context["ticking"] and socket.connected():
            socket.emit("tick", number)
            number += 1
            gevent.sleep(0.001)
        socket.emit("ticks", number)

    context["ticking"] = True
    gevent.spawn(emit_numbers)


@events.on("stop")
def stop(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Stop ticking."""
    context["ticking"] = False


@events.on("broadcast", namespace=ALL_NAMESPACES)
def broadcast(request: HttpRequest, socket: Socket, context: Context, message: Any) -> None:
    """Send to everybody else."""
    socket.broadcast(message)


@events.on("emit")
def emit(
    request: HttpRequest,
    socket: Socket,
    context: Context,
    to: str | list[str] | None,
    skip: list[str],
    event: str,
    *args: Any,
) -> None:
    """Emit an event to this client, to channels, or to ``"EVERYONE"``."""
    socket.emit(event, *args, to=events.EVERYONE if to == "EVERYONE" else to, skip=skip)


@events.on("call")
def call(
    request: HttpRequest,
    socket: Socket,
    context: Context,
    timeout: float | None,
    event: str,
    *args: Any,
) -> Any:
    """Ask the client, and acknowledge with what it answered; its type is told, too."""
    try:
        answer = socket.call(event, *args, timeout=timeout)
    except TimeoutError as error:
        _tell(socket, "timeout", str(error))
        return "timeout", None
    return type(answer).__name__, answer


@events.on("call all")
def call_all(
    request: HttpRequest,
    socket: Socket,
    context: Context,
    channel: str,
    timeout: float,
    event: str,
    *args: Any,
) -> dict[str, Any]:
    """Ask all clients on a channel."""
    answers = socket.call(event, *args, to=channel, timeout=timeout)
    return {"values": answers.values, "missing": list(answers.missing)}


@events.on("emit with callback")
def emit_with_callback(
    request: HttpRequest,
    socket: Socket,
    context: Context,
    timeout: float | None,
    event: str,
    *args: Any,
) -> None:
    """Emit an event to this client, and send it what it acknowledged."""
    socket.emit(
        event,
        *args,
        callback=lambda *values: socket.send({"called back": values}),
        timeout=timeout,
    )


@events.on("send away", namespace=ALL_NAMESPACES)
def send_away(request: HttpRequest, socket: Socket, context: Context, close: bool) -> None:
    """End the connection to the namespace, or the whole session."""
    socket.emit("goodbye")
    socket.disconnect(close=close)
