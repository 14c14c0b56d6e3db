"""Views that let a test look into the server's process, and act in it outside of handlers."""

import json
from collections.abc import Callable

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

import socketio_server
from socketio_server.channels import CHANNELS
from socketio_server.clients import CLIENTS
from tests.project.gates import open_gate

FUNCTIONS: dict[str, Callable[..., None]] = {
    "send": socketio_server.send,
    "broadcast": socketio_server.broadcast,
    "broadcast_channel": socketio_server.broadcast_channel,
    "open_gate": open_gate,
}


def log_in(request: HttpRequest) -> HttpResponse:
    """Log the visitor in under the name in the query, and put a colour into the session."""
    user, _ = User.objects.get_or_create(username=request.GET["name"])
    login(request, user)
    request.session["colour"] = request.GET["colour"]
    return HttpResponse("welcome")


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


@csrf_exempt
def outside(request: HttpRequest, function: str) -> HttpResponse:
    """Call a function with the arguments in the body; a view is no handler."""
    try:
        FUNCTIONS[function](*json.loads(request.body))
    except socketio_server.NoSocket as error:
        return HttpResponse(str(error), status=404)
    return HttpResponse("done")
