"""Requests that are over are freed at once, without the garbage collector."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
from django.contrib import messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path

from socketio_server.http.wsgi import END_KEY
from socketio_server.serving import ended_requests
from socketio_server.serving.around_events.session_users import is_of_session, make_anonymous
from tests.support.users import WITH_SESSIONS

pytestmark = pytest.mark.django_db

View = Callable[[HttpRequest], HttpResponseBase]

seen: list["weakref.ref[HttpRequest]"] = []
kept: list[Any] = []
view: list[View] = []


def call_view(request: HttpRequest) -> HttpResponseBase:
    """Call the view of a test."""
    seen.append(weakref.ref(request))
    return view[0](request)


urlpatterns = [path("", call_view)]


@pytest.fixture(autouse=True)
def _project() -> Iterator[None]:
    with override_settings(
        **WITH_SESSIONS
        | {
            "MESSAGE_STORAGE": "django.contrib.messages.storage.fallback.FallbackStorage",
            "ROOT_URLCONF": __name__,
            "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
        }
    ):
        yield
    seen.clear()
    kept.clear()
    view.clear()


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def serve(answer: View, environ: dict[str, Any] | None = None) -> None:
    """Have Django answer a request, as the server does."""
    view[:] = [answer]
    if environ is None:
        environ = RequestFactory().get("/").environ
    environ[END_KEY] = None  # it is large
    application = ended_requests.watch(WSGIHandler())
    response: Any = application(environ, lambda status, headers: None)
    for _ in response:
        pass
    response.close()
    environ.pop(END_KEY)()


def ignore(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ignored")


def use(request: HttpRequest) -> HttpResponse:
    """Use what the middleware has put into a request."""
    assert not request.user.is_authenticated
    messages.info(request, "hello")
    return HttpResponse(str(len(list(messages.get_messages(request)))))


def upload(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.FILES)))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(str(request.user) for _ in range(2))


def keep(request: HttpRequest) -> HttpResponse:
    kept.append(request)
    return HttpResponse()


def keep_user(request: HttpRequest) -> HttpResponse:
    kept.append(request.user)
    return HttpResponse()


def someone() -> Any:
    from django.contrib.auth.models import User  # not before there is such an app

    return User(username="someone")


@pytest.mark.usefixtures("_no_collector")
class TestARequestThatIsOver:
    @pytest.mark.parametrize("answer", [ignore, use, stream])
    def test_is_freed_without_the_collector(self, answer: View) -> None:
        serve(answer)
        assert [known() for known in seen] == [None]

    def test_is_freed_with_what_was_uploaded(self) -> None:
        file = SimpleUploadedFile("a.txt", b"x" * 1000)
        serve(upload, RequestFactory().post("/", {"file": file}).environ)
        assert [known() for known in seen] == [None]

    def test_is_freed_if_its_user_is_kept_and_let_go_of(self) -> None:
        serve(keep_user)
        assert str(kept[0]) == "AnonymousUser"
        kept.clear()
        assert [known() for known in seen] == [None]


class TestARequestThatIsKept:
    """As a thread, a callback after a commit or a receiver of a signal may keep it."""

    def test_has_its_user_and_messages_as_before(self) -> None:
        serve(keep)
        (request,) = kept
        assert is_of_session(request.user)
        assert request.user == make_anonymous()
        messages.info(request, "later")
        assert [str(each) for each in messages.get_messages(request)] == ["later"]

    @pytest.mark.skipif(django.VERSION < (5, 0), reason="Django has request.auser() since 5.0")
    def test_has_its_user_for_coroutines_as_before(self) -> None:
        serve(keep)
        (request,) = kept
        assert asyncio.run(request.auser()) == make_anonymous()

    def test_has_the_user_that_was_read(self) -> None:
        user = someone()

        def answer(request: Any) -> HttpResponse:
            request._cached_user = user
            assert request.user == user
            return keep(request)

        serve(answer)
        assert kept[0].user.get_username() == "someone"

    def test_has_the_user_that_a_middleware_has_set(self) -> None:
        user = someone()

        def answer(request: HttpRequest) -> HttpResponse:
            request.user = user
            return keep(request)

        serve(answer)
        assert kept[0].user is user

    def test_need_not_be_kept_with_its_user(self) -> None:
        serve(keep)
        user = kept.pop().user
        assert [known() for known in seen] == [None]
        assert user == make_anonymous()


class TestASmallRequest:
    def test_is_left_to_the_collector(self) -> None:
        view[:] = [ignore]
        environ = RequestFactory().get("/").environ
        application = ended_requests.watch(WSGIHandler())
        response: Any = application(environ, lambda status, headers: None)
        response.close()
        assert END_KEY not in environ


class TestWhatIsNoRequestOfDjango:
    def test_is_left_alone(self) -> None:
        environ: dict[str, Any] = {END_KEY: None}
        application = ended_requests.watch(lambda environ, start: [b"hello"])
        assert list(application(environ, lambda *args: None)) == [b"hello"]
        assert environ == {END_KEY: None}
