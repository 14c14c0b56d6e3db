"""The API of the client that django-socketio brought (Socket.IO 0.6.1), as its pages used it."""

import pytest
from playwright.sync_api import expect

from tests.browser.servers import connections
from tests.browser.window import OpenWindow, Window
from tests.support.server import Server
from tests.support.tools import free_port


class TestAPageWrittenForTheOldClient:
    def test_works_with_every_call_that_it_makes(
        self, open_window: OpenWindow, pages: Server
    ) -> None:
        window = open_window(f"{pages.url}pages/client-0-6/")
        expect(window.page.get_by_role("listitem")).to_have_text(
            [
                "connecting over websocket",
                "connected",
                "message: hello",
                "fired by hand",
                "disconnected",
            ]
        )
        assert window.crashes == []
        assert window.complaints == []
        assert connections(pages, window) == [[("message", "hello")]]


class TestHandlers:
    @pytest.mark.parametrize("add", ["on", "addEvent", "addListener", "addEventListener"])
    def test_are_added_under_four_names_and_chained(self, window: Window, add: str) -> None:
        window.run(f"""
            var socket = new io.Socket();
            socket.{add}("message", function (message) {{ got.push(message, this === socket); }})
              .connect().send("hello");
        """)
        assert window.got(2) == ["hello", True]

    @pytest.mark.parametrize("remove", ["removeEvent", "removeListener", "removeEventListener"])
    def test_are_removed_under_three_names(self, window: Window, remove: str) -> None:
        window.run(f"""
            var socket = new io.Socket();
            function handler() {{ got.push("removed"); }}
            socket.on("message", handler);
            socket.{remove}("message", handler).fire("message", ["hello"]);
        """)
        assert window.evaluate("got") == []


class TestFire:
    def test_calls_the_pages_own_handlers_with_a_list_of_arguments(self, window: Window) -> None:
        window.run("""
            var socket = new io.Socket();
            socket.on("sum", function (a, b) { got.push(a + b, this === socket); });
            socket.on("nothing", function () { got.push(arguments.length); });
            got.push(socket.fire("sum", [1, 2]).fire("nothing").fire("unheard of") === socket);
        """)
        assert window.evaluate("got") == [3, True, 0, True]

    def test_sends_nothing_to_the_server(self, window: Window, pages: Server) -> None:
        window.run("""
            var socket = new io.Socket().connect();
            socket.fire("message", ["for this page only"]);
        """)
        window.settle()
        assert connections(pages, window) == [[]]


class TestTheState:
    def test_is_connecting_from_connect_to_connected(self, window: Window) -> None:
        window.run("""
            var socket = new io.Socket();
            function state() { got.push([socket.connecting, socket.connected]); }
            state();
            socket.on("connecting", state);
            socket.on("connect", state);
            socket.connect();
            state();
        """)
        assert window.got(4)[0] == [False, False]
        assert window.evaluate("got.slice(2)") == [[True, False], [False, True]]

    def test_is_told_by_connect_failed_once_per_connect(self, window: Window) -> None:
        window.run(f"""
            var socket = new io.Socket(null, {{ port: {free_port()}, reconnectionDelay: 10 }});
            var errors = 0;
            socket.on("connect_failed", function () {{ got.push("failed"); }});
            socket.on("connect_error", function () {{ errors += 1; }});
            socket.connect();
        """)
        window.page.wait_for_function("errors >= 3")
        assert window.evaluate("got") == ["failed"]


class TestTheTransport:
    def test_has_the_old_names_and_the_sockets_public_id(self, window: Window) -> None:
        window.run("""
            var socket = new io.Socket(null, { transports: ["xhr-polling"] });
            got.push(socket.transport.type, socket.getTransport().type);
            socket.connect();
            socket.on("connect", function () {
              got.push(socket.transport.type, socket.transport.sessionid === socket.id);
            });
        """)
        assert window.got(4) == ["xhr-polling", "xhr-polling", "xhr-polling", True]

    def test_is_websocket_after_the_upgrade(self, window: Window) -> None:
        window.run("var socket = new io.Socket().connect()")
        window.wait_for_upgrade()
        window.page.wait_for_function("socket.transport.type === 'websocket'")


class TestTheOptions:
    def test_can_be_read_with_the_old_defaults(self, window: Window, pages: Server) -> None:
        window.run("""
            var socket = new io.Socket(null, { rememberTransport: false });
            var { port, secure, resource, rememberTransport, transports } = socket.options;
            got.push(socket.host, port, secure, resource, rememberTransport, transports[0]);
        """)
        host, port = pages.address
        assert window.evaluate("got") == [host, str(port), False, "socket.io", False, "websocket"]

    def test_without_a_meaning_today_do_no_harm(self, window: Window) -> None:
        window.run("""
            io.setPath("/static/");
            var socket = new io.Socket(null, {
              document: document,
              rememberTransport: true,
              tryTransportsOnConnectTimeout: false,
              transports: ["flashsocket", "htmlfile", "jsonp-polling"],
              transportOptions: { "xhr-polling": { timeout: 25000 } },
            });
            socket.options.rememberTransport = false;
            socket.on("message", function (message) { got.push(message); });
            socket.connect().send("hello");
        """)
        assert window.got(1) == ["hello"]
