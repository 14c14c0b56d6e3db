"""Handlers that answer, and count whether each connection has each of its events exactly once.

Counted in memory rather than written into the journal: there are tens of thousands of connections.
"""

import re
from collections import Counter
from contextlib import suppress
from typing import Any

import gevent
from django.http import HttpRequest
from gevent.event import Event

import socketio_server
from socketio_server import events
from socketio_server.sockets.socket import Socket

Context = dict[Any, Any]

TALLY: Counter[str] = Counter()
"""How often each event happened."""

FAULTS: list[str] = []
"""What happened that may not happen."""

_PREDECESSORS = {"on_connect": None, "on_disconnect": "on_connect", "on_finish": "on_disconnect"}


def note(event: str, context: Context) -> None:
    """Count an event of a connection's life, which comes once and behind that before it."""
    TALLY[event] += 1
    last = context.get("last")
    if last != _PREDECESSORS[event]:
        FAULTS.append(f"{event} came behind {last}")
    context["last"] = event


@events.on_connect
def connected(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Count it."""
    context["held"] = set()
    note("on_connect", context)


@events.on_subscribe
def subscribed(request: HttpRequest, socket: Socket, context: Context, channel: str) -> None:
    """Keep in mind that it has to end again."""
    context["held"].add(channel)


@events.on_unsubscribe
def unsubscribed(request: HttpRequest, socket: Socket, context: Context, channel: str) -> None:
    """Check that what ends at a connection's end had begun, and ends once."""
    if channel not in context["held"] and context["last"] != "on_connect":
        FAULTS.append(f"on_unsubscribe of {channel} came twice")
    context["held"].discard(channel)


@events.on_disconnect
def disconnected(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Count it."""
    note("on_disconnect", context)


@events.on_finish
def finished(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Count it, and check that nothing is left."""
    note("on_finish", context)
    if context["held"]:
        FAULTS.append("on_finish came before on_unsubscribe")


@events.on_message
@events.on_message(channel=".")
def answer(request: HttpRequest, socket: Socket, context: Context, message: Any) -> Any:
    """Acknowledge a message with itself."""
    TALLY["on_message"] += 1
    return message


@events.on("echo")
def echo(request: HttpRequest, socket: Socket, context: Context, *args: Any) -> tuple[Any, ...]:
    """Acknowledge with all arguments."""
    return args


@events.on("count")
def count(request: HttpRequest, socket: Socket, context: Context, number: int) -> int:
    """Check that a client's messages are numbered without a gap, and acknowledge this one."""
    expected = context.get("counted", 0)
    if number != expected:
        FAULTS.append(f"message {number} came instead of {expected}")
    context["counted"] = number + 1
    return number


@events.on("id")
def tell_id(request: HttpRequest, socket: Socket, context: Context) -> str:
    """Acknowledge with the socket's id as the server knows it."""
    return socket.id


@events.on("tell")
def tell(
    request: HttpRequest, socket: Socket, context: Context, session_id: str, message: Any
) -> None:
    """Send a message to one client."""
    socketio_server.send(session_id, message)


@events.on("say")
def say(request: HttpRequest, socket: Socket, context: Context, channel: str, message: Any) -> None:
    """Send a message to a channel."""
    socket.broadcast_channel(message, channel)


@events.on("flood")
def flood(
    request: HttpRequest,
    socket: Socket,
    context: Context,
    channel: str,
    first: int,
    last: int,
    size: int,
) -> None:
    """Send numbered messages of some size to a channel, one right after the other."""
    filling = "x" * size
    for number in range(first, last):
        socket.broadcast_channel([number, filling], channel)


@events.on("history")
@events.on("history", namespace=re.compile("/part-[^!]+"))
def tell_history(request: HttpRequest, socket: Socket, context: Context, size: int) -> str:
    """Acknowledge with much."""
    return "h" * size


@events.on("page")
@events.on("page", namespace=re.compile("/part-[^!]+"))
def send_page(request: HttpRequest, socket: Socket, context: Context, size: int) -> None:
    """Send much, in pieces of 100 bytes."""
    socket.emit("page", ["h" * 100 for _ in range(size // 100)])


@events.on("wait")
def wait(request: HttpRequest, socket: Socket, context: Context, seconds: float) -> None:
    """Keep a handler busy."""
    gevent.sleep(seconds)


@events.on("keep")
def keep(
    request: HttpRequest, socket: Socket, context: Context, seconds: float, *args: Any
) -> None:
    """Keep a handler busy, and what the client sent."""
    gevent.sleep(seconds)


@events.on("question")
def question(request: HttpRequest, socket: Socket, context: Context, *args: Any) -> None:
    """Wait for the client's answer."""
    with suppress(TimeoutError):
        socket.call("question")


@events.on("interview")
def interview(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Wait for the client's answer, and keep it while the client thinks about a second one."""
    with suppress(TimeoutError):
        answer = socket.call("question")
        socket.call("next", answer is None)


@events.on("survey")
def survey(
    request: HttpRequest, socket: Socket, context: Context, channel: str, seconds: float
) -> tuple[int, int]:
    """Wait for the answers of a channel's clients; tell how many came, and how many did not."""
    answers = socket.call("question", to=channel, timeout=seconds)
    return len(answers.values), len(answers.missing)


@events.on("hint")
def hint(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Ask without waiting."""
    socket.emit("question", callback=lambda *args: None)


@events.on_subscribe(channel="^slow")
def decide(request: HttpRequest, socket: Socket, context: Context, channel: str) -> None:
    """Decide slowly."""
    gevent.sleep(2.0)


@events.on("questions", namespace=re.compile("/part-[^!]+"))
def ask_much(request: HttpRequest, socket: Socket, context: Context, count: int) -> None:
    """Ask the client so many things."""
    for _ in range(count):
        socket.emit("question", callback=lambda *args: None)


@events.on_connect(namespace="/slow")
def connected_slowly(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Take a while, and count it."""
    TALLY["slow"] += 1
    gevent.sleep(1.0)


@events.on_connect(namespace=re.compile("/part-[^!]+"))
def connected_in_part(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Let everybody in."""


@events.on("kick")
def kick(request: HttpRequest, socket: Socket, context: Context) -> None:
    """End the connection, and try what may do nothing then."""
    socket.disconnect()
    socket.send("too late")
    socket.subscribe("too-late")  # which lasts until the last handler has run
    context["held"].add("too-late")
    TALLY["too late"] += socket.connected()


@events.on("vote")
def vote(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Count it."""
    TALLY["vote"] += 1


@events.on("kick all", namespace=re.compile("/part-[^!]+"))
def kick_all(request: HttpRequest, socket: Socket, context: Context) -> None:
    """End the session."""
    socket.disconnect(close=True)


GO_ON = Event()
"""Set when handlers may decide on the channel ``undecided``."""


@events.on_subscribe(channel="^undecided$")
def decide_when_told(request: HttpRequest, socket: Socket, context: Context, channel: str) -> None:
    """Let everybody in, when it is time."""
    TALLY["undecided"] += 1
    GO_ON.wait()


@events.on("go on")
def go_on(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Let those handlers decide."""
    GO_ON.set()


JUDGED = Event()
"""Set when it is time to refuse strangers."""


@events.on_subscribe(channel="^judged")
def judge(request: HttpRequest, socket: Socket, context: Context, channel: str) -> bool:
    """Let those in that are known, and refuse the others when it is time."""
    if "stranger" not in request.GET:
        return True
    TALLY["judged"] += 1
    JUDGED.wait()
    context["held"].discard(channel)
    return False


@events.on("judge")
def be_judged(request: HttpRequest, socket: Socket, context: Context) -> None:
    """Let the strangers be refused."""
    JUDGED.set()
