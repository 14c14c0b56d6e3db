"""Channels of pages: they outlive lost connections, and no page has one twice."""

import pytest

from tests.browser.servers import PAGES, connections
from tests.browser.window import OpenWindow, Window
from tests.support.server import Server
from tests.support.tools import free_port
from tests.support.types import StartServer

MAKE = {
    "io": "var socket = io({ reconnectionDelay: 20 })",
    "io.Socket": "var socket = new io.Socket(null, { reconnectionDelay: 20 }); socket.connect()",
}
"""A socket that comes back fast, as pages make one today and as they did for django-socketio."""

AGAIN = {
    "nothing": "",
    "connect() at once": "socket.connect();",
    "connect() later": "later(function () { socket.connect(); });",
    "another socket at once": "start();",
    "another socket later": "later(start);",
}
"""What pages written for django-socketio do when they are disconnected."""


@pytest.fixture
def page(window: Window) -> Window:
    """Give a window with a socket as in django-socketio."""
    window.run(MAKE["io.Socket"])
    return window


def come_back(window: Window, script: str = "") -> None:
    """Lose the connection as a network does, and wait until it is back.

    :param script: what the page does meanwhile.
    """
    window.evaluate(f"""
        new Promise((resolve) => {{
          socket.once("disconnect", () => {{
            socket.once("connect", () => resolve());
            {script};
          }});
          socket.io.engine.close();
        }})
    """)
    window.settle()


class TestASubscription:
    def test_is_answered(self, page: Window) -> None:
        page.settle()
        page.run("""
            socket.subscribe("room-1", (answer) => got.push(answer));
            socket.subscribe("room-1", (answer) => got.push(answer));
            socket.unsubscribe("room-1", (answer) => got.push(answer));
            socket.unsubscribe("room-1", (answer) => got.push(answer));
            socket.subscribe("closed-1", (answer) => got.push(answer));
        """)
        assert page.got(5) == [True, False, True, False, {"error": "No entry"}]

    def test_is_asked_for_whenever_the_page_asks(self, page: Window, pages: Server) -> None:
        page.run('socket.subscribe("room-1")')
        page.settle()
        page.run('socket.subscribe("room-1")')
        page.settle()
        assert connections(pages, page) == [[("subscribe", "room-1")] * 2]

    @pytest.mark.parametrize("way", MAKE)
    def test_is_taken_up_again_before_anything_else(
        self, window: Window, pages: Server, way: str
    ) -> None:
        window.run(f'{MAKE[way]}; socket.subscribe("room-1"); socket.subscribe("room-2")')
        window.settle()
        come_back(window, 'socket.send("meanwhile")')
        assert connections(pages, window) == [
            [("subscribe", "room-1"), ("subscribe", "room-2")],
            [("subscribe", "room-1"), ("subscribe", "room-2"), ("message", "meanwhile")],
        ]

    @pytest.mark.parametrize("way", MAKE)
    def test_in_the_pages_own_connect_handler_is_made_once_per_connection(
        self, window: Window, pages: Server, way: str
    ) -> None:
        window.run(f"""
            {MAKE[way]};
            socket.on("connect", () => {{
              socket.subscribe("room-1", (answer) => got.push(answer));
            }});
        """)
        window.got(1)
        come_back(window)
        come_back(window)
        assert window.got(3) == [True] * 3
        made = [seen.count(("subscribe", "room-1")) for seen in connections(pages, window)]
        assert made == [1] * 3

    def test_that_was_ended_is_not_taken_up_again(self, page: Window, pages: Server) -> None:
        page.run('socket.subscribe("room-1"); socket.unsubscribe("room-1")')
        page.settle()
        come_back(page)
        assert connections(pages, page) == [
            [("subscribe", "room-1"), ("unsubscribe", "room-1")],
            [],
        ]

    def test_that_was_refused_is_not_taken_up_again(self, page: Window, pages: Server) -> None:
        page.run('socket.subscribe("closed-1", (answer) => got.push(answer))')
        page.got(1)
        come_back(page)
        assert connections(pages, page) == [[("subscribe", "closed-1")], []]

    def test_may_begin_and_end_while_there_is_no_connection(
        self, page: Window, pages: Server
    ) -> None:
        page.run('socket.subscribe("room-1"); socket.subscribe("room-2")')
        page.settle()
        come_back(
            page,
            """
            socket.subscribe("room-1", (answer) => got.push(["room-1", answer]));
            socket.send("first");
            socket.subscribe("room-3", (answer) => got.push(["room-3", answer]));
            socket.subscribe("room-3");
            socket.unsubscribe("room-2", (answer) => got.push(["room-2", answer]));
            socket.send("second");
            """,
        )
        assert connections(pages, page)[1] == [
            ("subscribe", "room-1"),
            ("message", "first"),
            ("subscribe", "room-3"),
            ("message", "second"),
        ]
        assert sorted(page.got(3)) == [["room-1", True], ["room-2", False], ["room-3", True]]

    def test_is_each_namespaces_own(self, window: Window, pages: Server) -> None:
        window.run("""
            var socket = io({ reconnectionDelay: 20 }), chat = io("/chat");
            socket.subscribe("room-1");
            chat.subscribe("room-2");
        """)
        window.settle("chat")
        window.settle()
        come_back(window)
        window.settle("chat")
        assert connections(pages, window)[2:] == [
            [("subscribe", "room-1")],
            [("chat:subscribe", "room-2")],
        ]


class TestAPageThatTheServerTakesOffAChannel:
    def test_hears_of_it_with_the_reason(self, page: Window) -> None:
        page.run("""
            socket.on("unsubscribed", (channel, reason) => got.push([channel, reason]));
            socket.subscribe("room-1");
            socket.emit("take off", "room-1", "too loud");
        """)
        assert page.got(1) == [["room-1", "too loud"]]

    def test_does_not_subscribe_again_by_itself(self, page: Window, pages: Server) -> None:
        page.run("""
            socket.subscribe("room-1");
            socket.subscribe("room-2");
            socket.emit("take off", "room-1", "too loud");
        """)
        page.settle()
        come_back(page)
        assert connections(pages, page)[1] == [("subscribe", "room-2")]

    def test_may_subscribe_again_which_lasts(self, page: Window, pages: Server) -> None:
        """Also where the page asked before it could know."""
        page.settle()
        page.run("""
            socket.subscribe("room-1");
            socket.emit("take off", "room-1", "too loud");
            socket.subscribe("room-1");
        """)
        page.settle()
        come_back(page)
        assert connections(pages, page)[1] == [("subscribe", "room-1")]


class TestAPageThatTheServerDisconnects:
    @pytest.mark.parametrize("way", MAKE)
    def test_hears_why(self, window: Window, way: str) -> None:
        window.run(f"""
            {MAKE[way]};
            socket.on("disconnect", (cause, {{ description }}) => {{
              got.push(cause, description, socket.active);
            }});
            socket.emit("send away", "too loud");
        """)
        assert window.got(3) == ["io server disconnect", "too loud", False]

    def test_hears_nothing_of_it_at_the_next_end(self, page: Window) -> None:
        page.run("""
            socket.once("disconnect", () => {
              socket.on("disconnect", (cause, details) => got.push([cause, details || null]));
              socket.connect();
              socket.on("connect", () => socket.disconnect());
            });
            socket.emit("send away", "too loud");
        """)
        assert page.got(1) == [["io client disconnect", None]]


class TestPagesThatConnectAgainByThemselves:
    """As they had to with django-socketio; sockets come back by themselves, too, today."""

    def test_have_one_connection_and_get_each_message_once(
        self, start_server: StartServer, open_window: OpenWindow
    ) -> None:
        arguments = ("--noreload", f"127.0.0.1:{free_port()}")
        server = start_server(manage=PAGES, arguments=arguments)
        windows = {way: open_window(f"{server.url}pages/bare/") for way in AGAIN}
        for way, window in windows.items():
            window.run(f"""
                var socket, sockets = [], due = 0;
                function later(action) {{
                  due += 1;
                  setTimeout(function () {{ due -= 1; action(); }}, 1000);
                }}
                function start() {{
                  socket = new io.Socket(null, {{ reconnectionDelayMax: 1000 }});
                  sockets.push(socket);
                  socket.connect();
                  socket.on("connect", function () {{ socket.subscribe("room-1"); }});
                  socket.on("disconnect", function () {{ got.push("lost"); {AGAIN[way]} }});
                  socket.on("message", function (message) {{ got.push(message); }});
                }}
                start();
            """)
            window.settle()
        server.stop()
        for window in windows.values():
            assert window.got(1) == ["lost"]

        server = start_server(manage=PAGES, arguments=arguments)
        for window in windows.values():
            # Nothing is under way any more that could bring another connection.
            window.page.wait_for_function("""
                due === 0 && socket.connected
                && sockets.every((socket) => socket.connected || !socket.active)
            """)
            window.settle()
        windows["nothing"].run("socket.send('hello')")
        for way, window in windows.items():
            assert window.got(2) == ["lost", "hello"], way
        windows["nothing"].run("socket.send('again')")
        for way, window in windows.items():
            assert window.got(3) == ["lost", "hello", "again"], way
            *_, last = connections(server, window)
            assert last.count(("subscribe", "room-1")) == 1, way
            assert window.evaluate("sockets.filter((socket) => socket.connected).length") == 1, way
