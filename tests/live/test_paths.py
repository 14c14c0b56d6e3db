"""Wherever a project's URLs, and a proxy before them, put the server: it is under that path."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.http import Http
from tests.support.nginx import nginx
from tests.support.project import make_project
from tests.support.server import Address, Server
from tests.support.tools import free_port
from tests.support.types import StartServer
from tests.support.wire import Polling, TransportName, open_carrier, target

URLS = """\
from django.conf.urls.i18n import i18n_patterns
from django.http import HttpResponse
from django.urls import include, path, re_path


def own(request):
    return HttpResponse(f"the project's own {request.GET['sid']}")


urlpatterns = [
    path("realtime/<int:room>/", include("socketio_server.urls")),
    path("\u00e9t\u00e9/", include("socketio_server.urls")),
    *i18n_patterns(path("", include("socketio_server.urls"))),
    re_path("", own),
]
"""

EVENTS = """\
from socketio_server import events


@events.on_message
def answer(request, socket, context, message):
    return [message, request.path]
"""


@pytest.fixture(scope="module")
def server(share_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server that is in many places."""
    folder = tmp_path_factory.mktemp("places")
    files = {"events.py": EVENTS, "site_urls.py": URLS}
    manage = make_project(folder, files, settings="\nROOT_URLCONF = 'site_urls'\n")
    return share_server(folder=folder, manage=manage)


def ask(transport: TransportName, address: Address, path: str) -> object:
    """Connect a client, and return what it is answered when it has gone over to its transport."""
    client = Client(open_carrier(transport, address, path=path), upgrades=transport == "upgraded")
    try:
        return client.connect().call("message", "hello")
    finally:
        client.close()


class TestAPath:
    @pytest.mark.parametrize(
        ("path", "seen"),
        [
            ("/en/socket.io/", "/en/socket.io/"),
            ("/fr/socket.io/", "/fr/socket.io/"),
            ("/realtime/7/socket.io/", "/realtime/7/socket.io/"),
            ("/%C3%A9t%C3%A9/socket.io/", "/\u00e9t\u00e9/socket.io/"),
        ],
    )
    def test_that_the_urls_give_works_over_every_transport(
        self, server: Server, transport: TransportName, path: str, seen: str
    ) -> None:
        assert ask(transport, server.address, path) == ["hello", seen]

    def test_is_that_of_the_handshake_for_all_that_a_session_asks(self, server: Server) -> None:
        session = Polling(server.address, path="/fr/socket.io/")
        sid = session.handshake["sid"]
        with Http(server.address) as http:
            elsewhere = http.get(target("polling", "/en/socket.io/", sid=sid))
        assert (elsewhere.status, elsewhere.json["code"]) == (400, 1)
        assert session.post("40").body == b"ok"
        session.close()

    @pytest.mark.parametrize("path", ["/", "/shop/", "/socket.io/"])
    def test_of_the_project_s_own_may_have_a_sid(self, server: Server, path: str) -> None:
        session = Polling(server.address, path="/fr/socket.io/")
        sid = session.handshake["sid"]
        with Http(server.address) as http:
            assert http.get(target("polling", path, sid=sid)).body.decode() == (
                f"the project's own {sid}"
            )
            assert http.get(f"{path}?sid=7").body == b"the project's own 7"
        session.close()

    def test_has_the_official_client_under_it(self, server: Server) -> None:
        with Http(server.address) as http:
            script = http.get("/fr/socket.io/socket.io.js")
            again = http.get(
                "/fr/socket.io/socket.io.js", {"If-None-Match": script.headers["etag"]}
            )
        assert script.status == 200
        assert b"Socket.IO v4" in script.body
        assert "set-cookie" not in script.headers
        assert again.status == 304

    def test_is_the_one_for_which_the_browser_keeps_its_cookie(self, server: Server) -> None:
        with Http(server.address) as http:
            cookie = http.get(target("polling", "/%C3%A9t%C3%A9/socket.io/")).headers["set-cookie"]
        assert "; Path=/%C3%A9t%C3%A9/socket.io/;" in cookie


SITE = """\
    server {{
        listen 127.0.0.1:{port};
        location /sub/ {{
            proxy_pass http://127.0.0.1:{behind}/;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
"""


@pytest.fixture(scope="module")
def proxied(
    share_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Address]:
    """nginx, which takes ``/sub`` away."""
    folder: Path = tmp_path_factory.mktemp("sub")
    manage = make_project(folder, {"events.py": EVENTS}, settings="\nFORCE_SCRIPT_NAME = '/sub'\n")
    behind = share_server(folder=folder, manage=manage)
    port = free_port()

    def answers() -> bool:
        with Http(("127.0.0.1", port)) as http:
            return http.get("/sub/socket.io/socket.io.js").status == 200

    site = SITE.format(port=port, behind=behind.address[1])
    with nginx(tmp_path_factory.mktemp("nginx"), site, answers):
        yield "127.0.0.1", port


class TestAPathThatAProxyTakesAway:
    """``FORCE_SCRIPT_NAME`` puts it into the URLs that Django makes."""

    def test_is_no_hindrance(self, proxied: Address, transport: TransportName) -> None:
        assert ask(transport, proxied, "/sub/socket.io/") == ["hello", "/sub/socket.io/"]

    def test_is_that_of_the_cookie(self, proxied: Address) -> None:
        with Http(proxied) as http:
            cookie = http.get(target("polling", "/sub/socket.io/")).headers["set-cookie"]
        assert "; Path=/sub/socket.io/;" in cookie
