"""What the shim says in the console, while ``DEBUG`` is on, to who writes a page."""

from typing import Any

import pytest
from playwright.sync_api import Route

from tests.browser.servers import PAGES
from tests.browser.window import OpenWindow, Window
from tests.support.server import Server
from tests.support.tools import free_port
from tests.support.types import StartServer

FAST = "reconnectionDelay: 10, reconnectionDelayMax: 10"

NO_SERVER = "This process does not serve Socket.IO: start it with ..."


def advice(window: Window, count: int = 1) -> str:
    """Wait until the shim has said so many things, and return the last."""
    window.wait_until(lambda: len(window.advice) >= count, "a word in the console")
    assert len(window.advice) == count
    return window.advice[-1]


def answer_with(window: Window, **answer: Any) -> None:
    """Let somebody else answer all that goes to the server."""
    window.page.route("**/socket.io/*", lambda route: route.fulfill(**answer))


class TestNothing:
    def test_is_said_or_asked_where_all_is_well(self, open_window: OpenWindow, bare: str) -> None:
        window = open_window()
        requests: list[str] = []
        window.page.on("request", lambda request: requests.append(request.url))
        window.page.goto(bare)
        window.run("var socket = io(); socket.subscribe('room-1')")
        window.wait_for_upgrade()
        window.settle()
        assert window.advice == []
        asked = [url for url in requests if "/socket.io/" in url]
        assert [url for url in asked if "transport=polling" not in url] == []

    def test_is_said_without_debug(self, open_window: OpenWindow, bare: str) -> None:
        window = open_window()

        def serve_without_debug(route: Route) -> None:
            html = route.fetch().text()
            assert " data-debug" in html
            route.fulfill(body=html.replace(" data-debug", ""), content_type="text/html")

        window.page.route(bare, serve_without_debug)
        window.page.goto(bare)
        window.run(f"""
            var socket = io(), gone = io("http://127.0.0.1:{free_port()}", {{ {FAST} }});
            socket.subscribe("closed-1", (answer) => got.push(answer));
            io("/nobody").on("connect_error", () => got.push("refused"));
            gone.io.on("reconnect_attempt", (count) => count === 3 && got.push("failed"));
        """)
        window.got(3)
        window.settle()
        assert window.advice == []

    def test_is_said_while_the_browser_has_no_network(self, window: Window) -> None:
        window.run(f"var socket = io({{ {FAST} }})")
        window.settle()
        window.run("""
            socket.io.on("reconnect_attempt", (count) => { if (count === 3) got.push("failed"); });
        """)
        window.context.set_offline(True)
        window.got(1)
        window.context.set_offline(False)
        window.settle()
        assert window.advice == []


class TestAServerThatIsNotThere:
    @pytest.mark.parametrize("transports", ["['polling', 'websocket']", "['websocket']"])
    def test_is_named_with_the_command_that_starts_it(
        self, window: Window, transports: str
    ) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        window.run(f"io({url!r}, {{ transports: {transports} }})")
        said = advice(window)
        assert said.startswith(f"Nothing answers at {url}. ")
        assert "`python manage.py runserver_socketio`" in said
        assert "SOCKETIO_PORT" in said

    def test_is_said_once_however_often_it_fails(self, window: Window) -> None:
        window.run(f"""
            var socket = io("http://127.0.0.1:{free_port()}", {{ {FAST} }});
            socket.io.on("reconnect_attempt", (count) => count === 20 && got.push("failed"));
        """)
        window.got(1)
        advice(window)


class TestAWrongPath:
    @pytest.mark.parametrize("transports", ["['polling']", "['websocket']"])
    @pytest.mark.parametrize("path", ["/pages/bare/", "/nowhere/"])
    def test_is_named_with_the_right_one(
        self, window: Window, pages: Server, path: str, transports: str
    ) -> None:
        window.run(f"io({{ path: {path!r}, transports: {transports} }})")
        said = advice(window)
        assert said.startswith(f"There is no Socket.IO at {pages.url.rstrip('/')}{path}: ")
        assert "its path is /socket.io/" in said


class TestAnotherProgram:
    def test_is_told_by_its_html(self, window: Window, pages: Server) -> None:
        answer_with(window, content_type="text/html", body="<h1>Welcome</h1>")
        window.run("io()")
        said = advice(window)
        url = f"{pages.url}socket.io/"
        assert said.startswith(f"What answers at {url} is no Socket.IO server: status 200, text/")
        assert 'include("socketio_server.urls")' in said

    def test_is_told_by_its_status(self, window: Window) -> None:
        answer_with(window, status=404, content_type="text/html", body="<h1>Not found</h1>")
        window.run("io()")
        assert "is no Socket.IO server: status 404, text/html" in advice(window)

    def test_is_told_by_json_of_another_kind(self, window: Window) -> None:
        answer_with(window, json={"hello": "world"})
        window.run("io()")
        assert "is no Socket.IO server: status 200, application/json" in advice(window)

    def test_is_quoted_where_it_says_something(self, window: Window) -> None:
        answer_with(window, status=503, content_type="text/plain", body=NO_SERVER)
        window.run("io()")
        assert f'status 503, text/plain, "{NO_SERVER}"' in advice(window)


class TestARefusal:
    @pytest.mark.parametrize("transports", ["['polling']", "['websocket']"])
    def test_of_a_foreign_origin_names_it_and_the_setting(
        self, open_window: OpenWindow, pages: Server, bare: str, transports: str
    ) -> None:
        foreign = bare.replace("127.0.0.1", "elsewhere.localhost")
        window = open_window(foreign)
        window.run(f"io({pages.url!r}, {{ transports: {transports} }})")
        said = advice(window)
        origin = foreign.removesuffix("/pages/bare/")
        assert f'add "{origin}" to SOCKETIO_ALLOWED_ORIGINS' in said
        assert pages.url.rstrip("/") in said

    def test_of_the_origin_can_be_read_behind_a_proxy(self, window: Window, pages: Server) -> None:
        answer_with(window, status=403, json={"code": 4, "message": "Forbidden"})
        window.run("io()")
        said = advice(window)
        assert f'add "{pages.url.rstrip("/")}" to SOCKETIO_ALLOWED_ORIGINS' in said
        assert "Host header" in said

    def test_of_the_protocols_version_names_the_setting(self, window: Window) -> None:
        answer_with(window, status=400, json={"code": 5, "message": "Unsupported"})
        window.run("io()")
        said = advice(window)
        assert "(Unsupported)" in said
        assert "SOCKETIO_ALLOW_EIO3 = True" in said

    def test_of_another_kind_is_quoted(self, window: Window) -> None:
        answer_with(window, status=400, json={"code": 3, "message": "Bad request"})
        window.run("io()")
        assert "refuses the connection: Bad request (status 400)" in advice(window)

    def test_of_a_namespace_that_nobody_serves_names_it(self, window: Window) -> None:
        window.run("io('/nobody')")
        said = advice(window)
        assert said.startswith("The server has no namespace /nobody")
        assert 'namespace="/nobody"' in said

    def test_by_a_handler_of_on_connect_is_quoted(self, window: Window) -> None:
        window.run("io('/closed')")
        said = advice(window)
        assert 'the namespace /closed ("Members only"). A handler of on_connect did' in said

    def test_of_a_subscription_is_quoted_once(self, window: Window) -> None:
        window.run("""
            var socket = io();
            socket.subscribe("closed-1");
            socket.subscribe("closed-1");
        """)
        window.settle()
        said = advice(window)
        assert (
            'the channel "closed-1" ("No entry"). A handler of authorize or on_subscribe did'
            in said
        )


class TestASocketThatNobodyConnects:
    @pytest.fixture
    def window(self, open_window: OpenWindow, bare: str) -> Window:
        """Give a window whose time the test lets pass."""
        window = open_window()
        window.page.clock.install()
        window.page.goto(bare)
        return window

    def test_is_told_with_the_call_after_some_seconds(self, window: Window) -> None:
        window.run("var socket = new io.Socket()")
        window.page.clock.fast_forward(4000)
        assert window.advice == []
        window.page.clock.fast_forward(2000)
        assert "call `socket.connect()` in the page" in advice(window)

    def test_is_not_one_whose_connection_fails(self, window: Window) -> None:
        window.run(f"new io.Socket(null, {{ port: {free_port()} }}).connect()")
        assert advice(window).startswith("Nothing answers at ")
        window.page.clock.fast_forward(6000)
        advice(window)


class TestAnEventThatNobodyHears:
    def test_is_told_with_its_name_once(self, window: Window) -> None:
        window.run("""
            var socket = io();
            socket.send("a");
            socket.send("b");
            socket.subscribe("room-1", () => got.push("later"));
        """)
        window.got(1)
        assert advice(window) == (
            'The server sent the event "message" in the namespace /, and nothing in this page '
            'listens to it: write socket.on("message", …), or correct the name.'
        )

    @pytest.mark.parametrize("listen", ["on('message', ", "onAny("])
    def test_is_none_that_the_page_listens_to(self, window: Window, listen: str) -> None:
        window.run(f"""
            var socket = io();
            socket.{listen}() => got.push("heard"));
            socket.send("a");
        """)
        window.got(1)
        assert window.advice == []


class TestAWebSocketThatFails:
    def test_is_told_from_a_server_that_is_not_there(
        self, open_window: OpenWindow, share_server: StartServer
    ) -> None:
        server = share_server(manage=PAGES, settings={"SOCKETIO_TRANSPORTS": ["polling"]})
        window = open_window(f"{server.url}pages/bare/")
        window.run("io({ transports: ['websocket'] })")
        said = advice(window)
        assert "answers, but no WebSocket can be opened to it" in said
        assert "SOCKETIO_TRANSPORTS" in said


class TestAContentSecurityPolicy:
    def test_that_forbids_the_connection_is_named_with_what_to_add(
        self, open_window: OpenWindow, pages: Server
    ) -> None:
        window = open_window(f"{pages.url}pages/strict/")
        server = f"127.0.0.1:{free_port()}"
        window.run(f"io('http://{server}')")
        said = advice(window)
        assert said.startswith("This page's Content-Security-Policy forbids connections to http://")
        assert f"add http://{server} and ws://{server} to its connect-src" in said
