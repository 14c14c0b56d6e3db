"""A page for whoever waits for the server, and the view that does what the ``orm`` handler does."""

import json

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from benchmarks.project.models import Entry


def index(request: HttpRequest) -> HttpResponse:
    """Answer."""
    return HttpResponse("ready")


@csrf_exempt
def entry(request: HttpRequest) -> HttpResponse:
    """Send the message back, with what one read found."""
    message = json.loads(request.body)
    message["title"] = Entry.objects.get(pk=1).title
    return JsonResponse(message)
