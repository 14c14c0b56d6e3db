"""What requests to an ordinary Django site leave behind: the middleware makes a cycle of each."""

from threading import Thread

import pytest

from socketio_server.serving.process.freed_memory import GROWTH
from tests.faults.crowd import connect
from tests.faults.watch import MOST, USUAL, Watch
from tests.support.http import Http
from tests.support.server import Server
from tests.support.types import StartServer
from tests.support.websocket import WebSocket, handshake_headers
from tests.support.wire import TransportName, target

ORDINARY = {
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "SOCKETIO_CONNECT_TIMEOUT": 2.0,
}
"""What ``startproject`` writes, as far as it puts objects into a request."""

FORM = {"Content-Type": "application/x-www-form-urlencoded"}

BODY = "a=" + "x" * 2_000_000

COOKIES = {"Cookie": "".join(f"{number:x}=;" for number in range(11_000))[:60_000]}
"""12 times as many bytes once they are parsed."""


@pytest.fixture(scope="module")
def ordinary(share_attacked: StartServer) -> Server:
    """A server with the middleware of an ordinary site."""
    return share_attacked(settings=ORDINARY)


@pytest.fixture(params=["/form/", "/class-based-form/"], ids=["function", "class"])
def form(request: pytest.FixtureRequest) -> str:
    """Where forms go: to a function, or to a class, whose objects are cycles by themselves."""
    path: str = request.param
    return path


def kept(form: str) -> int:
    """Return by how many bytes the server may have grown afterwards: those in cycles of the
    project's own may have to become more before they are freed.
    """
    return USUAL if form == "/form/" else USUAL + GROWTH


class TestForms:
    def test_are_freed_one_after_another(self, ordinary: Server, watch: Watch, form: str) -> None:
        what = f"forms of 2 MB to {form}"
        with (
            watch(ordinary, "requests", what, inputs=200, most=MOST, keeps=kept(form)),
            Http(ordinary.address) as http,
        ):
            for _ in range(200):
                assert http.request("POST", form, BODY, FORM).status == 200

    def test_are_freed_side_by_side(self, ordinary: Server, watch: Watch, form: str) -> None:
        def send() -> None:
            with Http(ordinary.address) as http:
                for _ in range(40):
                    assert http.request("POST", form, BODY, FORM).status == 200

        what = f"forms of 2 MB to {form}, 5 at once"
        with watch(ordinary, "requests", what, inputs=200, most=MOST, keeps=kept(form)):
            threads = [Thread(target=send) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def test_that_break_off_are_freed(self, ordinary: Server, watch: Watch, form: str) -> None:
        head = f"POST {form} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in (FORM | COOKIES).items())
        what = f"forms to {form} that break off"
        with watch(ordinary, "requests", what, inputs=200, most=MOST, keeps=kept(form)):
            for _ in range(200):
                connect(ordinary, f"{head}\r\n{BODY[:30_000]}").close()


class TestCookies:
    def test_of_pages_are_freed(self, ordinary: Server, watch: Watch) -> None:
        with (
            watch(ordinary, "requests", "60 kB of cookies", inputs=300, most=MOST, keeps=USUAL),
            Http(ordinary.address) as http,
        ):
            for _ in range(300):
                assert http.get("/nowhere/", COOKIES).status == 404

    @pytest.mark.parametrize("transport", ["polling", "websocket"])
    def test_of_handshakes_that_are_refused_are_freed(
        self, ordinary: Server, watch: Watch, transport: TransportName
    ) -> None:
        headers = {**COOKIES, "Origin": "https://evil.test"}
        headers |= handshake_headers() if transport == "websocket" else {}
        what = f"refused handshakes with 60 kB of cookies, {transport}"
        with watch(ordinary, "requests", what, inputs=300, most=MOST, keeps=USUAL):
            for _ in range(300):
                with Http(ordinary.address) as http:
                    http.send_request("GET", target(transport), headers=headers)
                    assert http.read_response().status == 403

    def test_of_sessions_that_join_nothing_are_freed(self, ordinary: Server, watch: Watch) -> None:
        what = "sessions that join nothing, with 60 kB of cookies"
        with watch(ordinary, "requests", what, inputs=8 * 30, most=MOST, keeps=USUAL):
            for _ in range(8):
                sessions = [
                    WebSocket(ordinary.address, target("websocket"), COOKIES) for _ in range(30)
                ]
                for session in sessions:
                    session.cut()
