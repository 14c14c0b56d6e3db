"""Views that run asyncio's event loops; each can be kept waiting at the gate in the query."""

import asyncio
from collections.abc import AsyncIterator

from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from tests.project.gates import is_open, wait_at
from tests.project.journal import record


async def count_users(gate: str | None) -> int:
    """Ask the database before and after the gate, where the loop waits on."""
    before = await User.objects.acount()
    if gate is not None:
        record("waiting", gate)
        while not is_open(gate):
            await asyncio.sleep(0.01)
    assert await User.objects.acount() == before
    return before


async def awaiting(request: HttpRequest) -> HttpResponse:
    """Await the number of users."""
    return HttpResponse(await count_users(request.GET.get("gate")))


async def in_thread(request: HttpRequest) -> HttpResponse:
    """Await a thread that waits at the gate; no timer wakes the loop meanwhile."""
    record("waiting", request.GET["gate"])
    await asyncio.to_thread(wait_at, request.GET["gate"])
    return HttpResponse(await User.objects.acount())


async def streaming(request: HttpRequest) -> StreamingHttpResponse:
    """Stream the number of users from an asynchronous generator."""

    async def pieces() -> AsyncIterator[str]:
        yield "users: "
        yield str(await count_users(request.GET.get("gate")))

    return StreamingHttpResponse(pieces())


def synchronous(request: HttpRequest) -> HttpResponse:
    """Ask the database as most views do."""
    return HttpResponse(User.objects.count())


def by_async_to_sync(request: HttpRequest) -> HttpResponse:
    """Call a coroutine function as Django's documentation says."""
    return HttpResponse(async_to_sync(count_users)(request.GET.get("gate")))


def by_asyncio_run(request: HttpRequest) -> HttpResponse:
    """Run a loop as asyncio's documentation says."""
    return HttpResponse(asyncio.run(count_users(request.GET.get("gate"))))


async def blocking(request: HttpRequest) -> HttpResponse:
    """Block the loop, which is a mistake, and go on in the same task of it."""
    before = (asyncio.get_running_loop(), asyncio.current_task())
    record("waiting", request.GET["gate"])
    wait_at(request.GET["gate"])
    assert (asyncio.get_running_loop(), asyncio.current_task()) == before
    return HttpResponse(await User.objects.acount())


async def mistaken(request: HttpRequest) -> HttpResponse:
    """Ask the database without awaiting, which Django refuses."""
    try:
        return HttpResponse(User.objects.count())
    except SynchronousOnlyOperation:
        return HttpResponse("refused", status=500)


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (
        awaiting,
        in_thread,
        streaming,
        synchronous,
        by_async_to_sync,
        by_asyncio_run,
        blocking,
        mistaken,
    )
]
