"""Views that look into the server's process."""

import gc
from collections import Counter

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from greenlet import greenlet

import socketio_server
from socketio_server.dispatch.router import NamespaceRouter
from socketio_server.engine.transports.polling import PollingTransport
from socketio_server.engine.transports.websocket import WebSocketTransport
from socketio_server.http.wsgi import RequestHandler
from socketio_server.net.connection import Connection
from socketio_server.net.workers import Worker
from socketio_server.sockets.socket import Socket
from tests.faults.project.handlers import FAULTS, TALLY
from tests.faults.project.turns import TURNS

KEPT = (
    Connection,
    NamespaceRouter,
    PollingTransport,
    RequestHandler,
    Socket,
    WebSocketTransport,
    WSGIRequest,
)
"""What a client costs, and what must be gone with it."""


LARGE = 65_536
"""Characters of what ``large`` answers."""


def stats(request: HttpRequest) -> JsonResponse:
    """Tell what the server counts."""
    return JsonResponse(socketio_server.stats())


def census(request: HttpRequest) -> JsonResponse:
    """Tell what is alive in the process, and what the handlers noted."""
    gc.collect()
    objects = gc.get_objects()
    kinds = Counter(type(thing).__name__ for thing in objects if isinstance(thing, KEPT))
    # Workers are parked when they have nothing to do, and kept.
    greenlets = [
        thing
        for thing in objects
        if isinstance(thing, greenlet) and not isinstance(thing, Worker) and not thing.dead
    ]
    return JsonResponse(
        {"alive": {**kinds, "greenlet": len(greenlets)}, "tally": TALLY, "faults": FAULTS}
    )


def turns(request: HttpRequest) -> JsonResponse:
    """Tell how long the longest turn of the loop was since the last time that this was asked."""
    return JsonResponse({"longest": TURNS.take_longest()})


@csrf_exempt
def body(request: HttpRequest) -> HttpResponse:
    """Tell how long the body was; one that can't be read is the client's fault, not ours."""
    try:
        return HttpResponse(str(len(request.body)))
    except UnreadablePostError:
        return HttpResponse("unreadable", status=400)


@csrf_exempt
def form(request: HttpRequest) -> HttpResponse:
    """Tell how many fields a form had."""
    try:
        return HttpResponse(str(len(request.POST)))
    except UnreadablePostError:
        return HttpResponse("unreadable", status=400)


class ClassBasedForm(View):
    """The same, as an object that refers to itself (``View.setup``)."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Answer."""
        return HttpResponse("a form")

    def post(self, request: HttpRequest) -> HttpResponse:
        """Tell how many fields a form had."""
        return form(request)


def large(request: HttpRequest) -> HttpResponse:
    """Answer with more than the kernel keeps for a client that reads nothing, before long."""
    return HttpResponse("x" * LARGE)


@csrf_exempt
def mark(request: HttpRequest) -> HttpResponse:
    """Note that the request came through: what is smuggled must not get here."""
    TALLY["mark"] += 1
    return HttpResponse("marked")
