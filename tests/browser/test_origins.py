"""Pages of other origins: those that may talk to the server, and all others."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.browser.servers import PAGES, connections, django_server
from tests.browser.window import OpenWindow
from tests.support.server import Configuration, Server
from tests.support.tools import free_port

TALK = """
    socket.on("connect", () => got.push("connected"));
    socket.on("connect_error", () => got.push("refused"));
    socket.on("message", (message) => got.push(message));
    socket.send("hello");
"""


WAYS = [
    "io()",
    "io('/chat')",
    "io({ withCredentials: true, forceNew: true })",
    "io({ transports: ['websocket'], forceNew: true })",
    "new io.Socket().connect()",
]
"""How pages may make a socket without saying where our server is."""


class Pair(NamedTuple):
    """A project's two servers: Django's own, of which this is a page, and ours."""

    page: str
    socketio: Server


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Run both servers with the same settings."""
    folder = tmp_path_factory.mktemp("pair")
    pages_port, port = free_port(), free_port()
    pages_url = f"http://127.0.0.1:{pages_port}"
    project = Configuration(
        folder,
        arguments=("--noreload",),
        settings={"SOCKETIO_PORT": port, "SOCKETIO_ALLOWED_ORIGINS": [pages_url]},
        manage=PAGES,
    )
    with django_server(project, pages_port):
        server = Server(project)
        try:
            assert server.address == ("127.0.0.1", port)
            yield Pair(f"{pages_url}/pages/bare/", server)
        finally:
            server.stop()


class TestAPageThatDjangosOwnServerServes:
    def test_finds_the_port_in_the_settings_and_is_let_in_from_its_origin(
        self, open_window: OpenWindow, pair: Pair
    ) -> None:
        window = open_window(pair.page)
        for count, way in enumerate(WAYS, start=1):
            window.run(f"var socket = {way}; {TALK}")
            assert window.got(2) == ["connected", "hello"], way
            assert len(connections(pair.socketio, window)) == count
            window.run("socket.disconnect(); got = []")

    def test_gets_over_to_websocket(self, open_window: OpenWindow, pair: Pair) -> None:
        window = open_window(pair.page)
        window.run(f"var socket = io(); {TALK}")
        window.wait_for_upgrade()
        window.settle()

    def test_is_refused_from_any_other_origin(self, open_window: OpenWindow, pair: Pair) -> None:
        window = open_window(pair.page.replace("127.0.0.1", "localhost"))
        window.run(f"var socket = io(); {TALK}")
        assert window.got(1)[0] == "refused"
        assert "blocked by CORS policy" in window.complaints[0]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Run both servers on two hosts of one site: the settings name ours."""
    folder = tmp_path_factory.mktemp("split")
    pages_port, port = free_port(), free_port()
    pages_url = f"http://www.site.localhost:{pages_port}"
    project = Configuration(
        folder,
        arguments=("--noreload", f"127.0.0.1:{port}"),
        settings={
            "SOCKETIO_PUBLIC_URL": f"http://live.site.localhost:{port}",
            "SOCKETIO_ALLOWED_ORIGINS": [pages_url],
            "ALLOWED_HOSTS": [".site.localhost"],
        },
        manage=PAGES,
    )
    with django_server(project, pages_port):
        server = Server(project)
        try:
            yield Pair(f"{pages_url}/pages/bare/", server)
        finally:
            server.stop()


class TestAPageWhoseServerIsOnAnotherHost:
    def test_goes_to_where_the_settings_say(self, open_window: OpenWindow, split: Pair) -> None:
        window = open_window(split.page)
        for count, way in enumerate(WAYS, start=1):
            window.run(f"var socket = {way}; {TALK}")
            assert window.got(2) == ["connected", "hello"], way
            assert window.evaluate("new URL(socket.io.uri).hostname") == "live.site.localhost"
            assert len(connections(split.socketio, window)) == count
            window.run("socket.disconnect(); got = []")


class TestAPageOfAnotherSite:
    def test_is_refused_over_polling(
        self, open_window: OpenWindow, pages: Server, bare: str
    ) -> None:
        window = open_window(bare.replace("127.0.0.1", "elsewhere.localhost"))
        window.run(f"var socket = io({pages.url!r}); {TALK}")
        assert window.got(1)[0] == "refused"
        assert "blocked by CORS policy" in window.complaints[0]

    def test_is_refused_over_websocket(
        self, open_window: OpenWindow, pages: Server, bare: str
    ) -> None:
        window = open_window(bare.replace("127.0.0.1", "elsewhere.localhost"))
        window.run(f"var socket = io({pages.url!r}, {{ transports: ['websocket'] }}); {TALK}")
        assert window.got(1)[0] == "refused"
        assert connections(pages, window) == []
        assert "Unexpected response code: 403" in window.complaints[0]

    def test_is_refused_too_where_its_origin_is_hidden(
        self, open_window: OpenWindow, bare: str
    ) -> None:
        window = open_window(bare)
        window.page.set_content(f'<iframe sandbox="allow-scripts" src="{bare}"></iframe>')
        element = window.page.query_selector("iframe")
        frame = element and element.content_frame()
        assert frame
        frame.wait_for_load_state()
        assert frame.evaluate("self.origin") == "null"
        frame.evaluate(f"var socket = io(); {TALK}; undefined")
        frame.wait_for_function("got.includes('refused')")
        assert "blocked by CORS policy" in window.complaints[0]
