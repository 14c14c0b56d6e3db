"""Refuses clients and subscriptions: ``?refuse=…`` in the query string, ``refused-…`` as channel.

With ``?gate=…``, and on channels with ``-at-…``, the handler sends something and then waits at that
gate first, so that a test can send more while nothing is decided yet.
"""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from socketio_server import events
from socketio_server.sockets.socket import Socket
from tests.project.gates import wait_at
from tests.project.journal import record

Context = dict[str, Any]


@events.on_connect
def judge_client(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Refuse a client that wants to be."""
    gate = request.GET.get("gate")
    if gate:
        record("waiting", gate, socket)
        socket.send("from on_connect")
        wait_at(gate)
    refuse(request.GET.get("refuse"))


@events.on_subscribe(channel="(refused|open)-")
def judge_subscription(
    request: HttpRequest, socket: Socket, context: Context, channel: str
) -> None:
    """Refuse what is named after it."""
    word, _, gate = channel.partition("-at-")
    if gate:
        record("waiting", gate, socket)
        socket.send("from on_subscribe")
        wait_at(gate)
    refuse(word.removeprefix("refused-"))


def refuse(how: str | None) -> None:
    """Raise what a handler may refuse with."""
    if how == "plain":
        raise events.Reject("not you")
    if how == "data":
        raise events.Reject("not you", {"until": "noon"})
    if how == "denied":
        raise PermissionDenied("members only")
    if how == "silent":
        raise PermissionDenied
