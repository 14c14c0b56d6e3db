"""Views that let a test look into the server's process, and act in it outside of handlers."""

import json
import logging
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from typing import Any

from django.contrib.auth import login, logout
from django.contrib.auth.models import User
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.views.decorators.csrf import csrf_exempt

import socketio_server
from socketio_server.channels import CHANNELS
from socketio_server.clients import CLIENTS
from tests.project.forking import in_child
from tests.project.gates import open_gate, spin, wait_at
from tests.project.journal import record


def wait(gate: str) -> None:
    """Wait until a gate is opened, and say so in the journal."""
    record("waiting", gate)
    wait_at(gate)


def spin_in_view() -> None:
    """Compute for ever, and say so in the journal."""
    record("spinning", "")
    spin()


def compute(seconds: float) -> None:
    """Compute for some seconds, and say so in the journal."""
    record("computing", "")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def run_forked(gate: str) -> None:
    """Have a forked process wait at a gate that nobody opens in it; don't wait for it."""
    multiprocessing.get_context("fork").Process(target=wait, args=(gate,)).start()


def log_forked(text: str) -> None:
    """Log a line in a forked process."""
    logger = logging.getLogger("socketio_server")
    process = multiprocessing.get_context("fork").Process(target=logger.warning, args=(text,))
    process.start()
    process.join()


def compute_in_processes() -> None:
    """Compute in other processes, in the two ways that the documentation recommends."""
    assert subprocess.run(["true"], check=False).returncode == 0
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as processes:
        assert list(processes.map(nap, [1, 2])) == [1, 2]


def list_environment() -> str:
    """Return the environment of a program that a view starts."""
    return subprocess.run(["env"], check=True, capture_output=True, text=True).stdout


def nap(number: int) -> int:
    """Wait, which takes a turn of the process's loop."""
    time.sleep(0.01)
    return number


def call_forked(function: str, *args: Any) -> str:
    """Call a function of the package's face in a forked process; return what became of it."""
    return in_child(lambda: getattr(socketio_server, function)(*args))


def return_forked() -> None:
    """Return from the view in a forked process, too."""
    if child := os.fork():
        record("forked", "", child=child)


def exit_forked() -> None:
    """End a forked process inside of the view."""
    if child := os.fork():
        record("forked", "", child=child)
    else:
        sys.exit()


FUNCTIONS: dict[str, Callable[..., str | None]] = {
    "send": socketio_server.send,
    "broadcast": socketio_server.broadcast,
    "broadcast_channel": socketio_server.broadcast_channel,
    "open_gate": open_gate,
    "wait": wait,
    "spin": spin_in_view,
    "compute": compute,
    "run_forked": run_forked,
    "log_forked": log_forked,
    "compute_in_processes": compute_in_processes,
    "list_environment": list_environment,
    "call_forked": call_forked,
    "return_forked": return_forked,
    "exit_forked": exit_forked,
}


def log_in(request: HttpRequest) -> HttpResponse:
    """Log the visitor in under the name in the query, and put a colour into the session."""
    user, _ = User.objects.get_or_create(username=request.GET["name"])
    login(request, user)
    request.session["colour"] = request.GET["colour"]
    return HttpResponse("welcome")


def log_out(request: HttpRequest) -> HttpResponseBase:
    """Log the visitor out; with a gate in the query, the answer ends when that is opened."""
    logout(request)
    if "gate" in request.GET:
        return StreamingHttpResponse(answer_at(request.GET["gate"]))
    return HttpResponse("goodbye")


def answer_at(gate: str) -> Iterator[bytes]:
    """Answer as soon as a gate is opened."""
    yield b"good"
    wait_at(gate)
    yield b"bye"


def scheme(request: HttpRequest) -> HttpResponse:
    """Tell by which scheme the request came, as far as the server knows."""
    return HttpResponse(request.scheme)


def state(request: HttpRequest) -> JsonResponse:
    """Tell who is connected, and who is on which channel."""
    return JsonResponse(
        {
            "clients": {
                session_id: {
                    "path": client_request.path,
                    "id": socket.session.session_id,
                    "context": context,
                }
                for session_id, (client_request, socket, context) in CLIENTS.items()
            },
            "channels": {channel: list(CHANNELS[channel]) for channel in CHANNELS},
        }
    )


def stats(request: HttpRequest) -> JsonResponse:
    """Tell what the server counts."""
    return JsonResponse(socketio_server.stats())


@csrf_exempt
def outside(request: HttpRequest, function: str) -> HttpResponse:
    """Call a function with the arguments in the body; a view is no handler."""
    try:
        result = FUNCTIONS[function](*json.loads(request.body))
    except socketio_server.NoSocket as error:
        return HttpResponse(str(error), status=404)
    return HttpResponse(result or "done")


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    """Wait at the gate in the query, read the body piece by piece, and tell its digest."""
    if "gate" in request.GET:
        wait_at(request.GET["gate"])
    digest = sha256()
    while piece := request.read(10_000):
        digest.update(piece)
    return HttpResponse(digest.hexdigest())


def nothing(request: HttpRequest, status: int) -> JsonResponse:
    """Answer with content, and a status that allows none."""
    return JsonResponse({"ok": 1}, status=status)


def download(request: HttpRequest, size: int) -> HttpResponseBase:
    """Answer with so many bytes, in one piece or in many."""
    data = bytes(range(256)) * (size // 256)
    if "pieces" in request.GET:
        pieces = (data[start : start + 100_000] for start in range(0, size, 100_000))
        return StreamingHttpResponse(pieces)
    return HttpResponse(data)
