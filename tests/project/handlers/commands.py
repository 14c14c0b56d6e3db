"""Does what a message says: ``{"do": "…", …}``; the answer goes into the acknowledgement.

Registered twice, so that one of the two runs whether the socket holds channels or not.
"""

import datetime
import decimal
import uuid
from contextlib import nullcontext
from threading import Thread
from time import perf_counter, sleep
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpRequest
from django.utils.translation import get_language, gettext_lazy

import socketio_server
from socketio_server import events
from socketio_server.sockets.socket import Socket
from tests.project.asynchronous import count_users
from tests.project.forking import in_child
from tests.project.gates import open_gate, spin, wait_at
from tests.project.journal import record

Context = dict[str, Any]

THINGS: dict[str, Any] = {
    "datetime": datetime.datetime(2014, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
    "date": datetime.date(2014, 2, 3),
    "decimal": decimal.Decimal("1.10"),
    "uuid": uuid.UUID(int=5),
    "lazy": gettext_lazy("Yes"),
    "tuple": (1, 2),
    "set": {1},
    "bytes": b"\1\2\3",
    "object": object(),
}
"""What a message can hold that JSON from a client can't."""


@events.on_message(channel=".")
@events.on_message
def obey(request: HttpRequest, socket: Socket, context: Context, message: Any) -> Any:
    """Obey a command."""
    match message:
        case {"do": "nothing"}:
            return "nothing"
        case {"do": "method", "name": str(name), "args": list(args)}:
            return [getattr(socket, name)(*args, **message.get("options", {}))]
        case {"do": "function", "name": str(name), "args": list(args)}:
            return [getattr(socketio_server, name)(*args, **message.get("options", {}))]
        case {"do": "ask all", "event": str(event), "to": to}:
            answers = socketio_server.call(event, to=to, timeout=message.get("timeout"))
            return {**answers._asdict(), "unnamed": answers.unnamed, "unknown": answers.unknown}
        case {"do": "attribute", "name": str(name)}:
            return [getattr(socket, name)]
        case {"do": "answer", "values": list(values)}:
            return tuple(values)
        case {"do": "answer nothing"}:
            return None
        case {"do": "raise", "text": str(text)}:
            raise RuntimeError(text)
        case {"do": "send thing", "thing": str(thing), "method": str(method)}:
            return getattr(socket, method)({thing: THINGS[thing]})
        case {"do": "remember", "key": str(key), "value": value}:
            context[key] = value
            return "remembered"
        case {"do": "share", "data": dict(data)}:
            socket.data.update(data)
            return "shared"
        case {"do": "describe request"}:
            return describe(request)
        case {"do": "wait", "gate": str(gate)}:
            record("waiting", gate, socket)
            wait_at(gate)
            record("passed", gate, socket)
            return "passed"
        case {"do": "fork", "method": str(name), "args": list(args)}:
            return in_child(lambda: getattr(socket, name)(*args))
        case {"do": "spin"}:
            record("spinning", "", socket)
            spin()
        case {"do": "open", "gate": str(gate)}:
            open_gate(gate)
            return "opened"
        case {"do": "count", "to": int(end)}:
            Thread(target=count, args=(socket, end)).start()
            return "counting"
        case {"do": "pour", "count": int(times), "size": int(size)}:
            with transaction.atomic() if "atomic" in message else nullcontext():
                pour(socket, times, size, message.get("to"))
                compute(message.get("compute", 0.0))
                record("poured", "", socket)
            return "poured"
        case {"do": "count users in a loop", "gate": str(gate)}:
            return async_to_sync(count_users)(gate)
        case {"do": "query", "sql": str(sql)}:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchone()[0]
        case {"do": "add user", "name": str(name)}:
            User.objects.create(username=name)
            if "tell" in message:
                socket.send(f"added {name}")
                socketio_server.broadcast(f"{name} is new")
            if "then" in message:
                raise RuntimeError("added")
            return name
        case {"do": "count users"}:
            users = User.objects.count()
            if "gate" in message:
                record("waiting", message["gate"], socket)
                wait_at(message["gate"])
            if "then" in message:
                raise RuntimeError("counted")
            return users
    return None


told: list[Any] = []
"""What servers have told this one."""


@events.on_cluster("remember")
def remember(what: Any) -> None:
    """Keep what another server tells."""
    told.append(what)


@events.on_cluster("recall")
def recall() -> list[Any]:
    """Answer with what servers have told, and forget it."""
    found, told[:] = told[:], []
    return found


@events.on_cluster("add")
def add(a: int, b: int) -> int:
    """Answer with a sum."""
    return a + b


def count(socket: Socket, end: int) -> None:
    """Send the numbers one by one, letting others do something in between."""
    for number in range(end):
        socket.send(number)
        sleep(0.001)


def pour(socket: Socket, count: int, size: int, to: str | None) -> None:
    """Send many messages of some size, to this client or a channel, without letting go."""
    for number in range(count):
        socket.emit("message", f"{number} {'x' * size}", to=to)


def compute(seconds: float) -> None:
    """Keep everybody waiting, as code does that computes."""
    until = perf_counter() + seconds
    while perf_counter() < until:
        pass


def describe(request: HttpRequest) -> dict[str, Any]:
    """Tell what a handler finds in the request."""
    return {
        "class": type(request).__name__,
        "user": request.user.get_username(),
        "authenticated": request.user.is_authenticated,
        "colour": request.session.get("colour"),
        "cookies": request.COOKIES,
        "query": request.GET.dict(),
        "path": request.path,
        "agent": request.META.get("HTTP_USER_AGENT"),
        "address": request.META.get("REMOTE_ADDR"),
        "language": get_language(),
    }
