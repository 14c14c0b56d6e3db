"""What pages can write with ``{% socketio %}``: sockets and messages."""

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.servers import connections
from tests.browser.window import OpenWindow, Window
from tests.support.server import Server

WAYS = [
    "io()",
    "io.connect()",
    "new io.connect()",
    "io({ transports: ['websocket'] })",
    "io(location.origin)",
    "io.connect('/')",
    "new io.Socket().connect()",
    "new io.Socket(null, { transports: ['xhr-polling'] }).connect()",
    "new io.Socket(location.hostname, { port: location.port }).connect()",
    "new io.Socket(undefined, { resource: 'socket.io', connectTimeout: 20000 }).connect()",
    "new io.Manager().socket('/')",
    "new io.Socket(new io.Manager(), '/').connect()",
]
"""How pages may make a socket: as today, as for django-socketio, and with the client's classes."""

MESSAGES: list[Any] = [
    "text",
    "",
    "é 👋 \u2028 \x00",
    0,
    5,
    -1.5,
    2**53 - 1,
    True,
    False,
    None,
    [],
    ["a"],
    [1, [2, {}]],
    {},
    {"a": [{"b": None}]},
    {"_placeholder": True, "num": 0},
]
"""What JSON can carry. Client and server of django-socketio made text of some of it."""


class TestWaysToConnect:
    def test_all_lead_to_our_server(self, window: Window, pages: Server) -> None:
        for way in WAYS:
            window.run(f"""
                var socket = {way};
                socket.on("message", (message) => got.push(message));
                socket.subscribe("x").send({json.dumps(way)});
            """)
            assert window.got(1) == [way]
            window.run("got = []; socket.disconnect()")
        assert [seen[:2] for seen in connections(pages, window)] == [
            [("subscribe", "x"), ("message", way)] for way in WAYS
        ]


class TestASocketOfDjangoSocketIO:
    def test_connects_when_it_is_told_to(self, window: Window, pages: Server) -> None:
        window.run("""
            var socket = new io.Socket();
            socket.on("connect", function () { got.push("connected"); });
            var another = io();
            another.on("connect", function () { got.push("another"); });
        """)
        assert window.got(1) == ["another"]
        assert len(connections(pages, window)) == 1
        window.run("socket.connect()")
        assert window.got(2) == ["another", "connected"]

    def test_knows_whether_it_is_connected(self, window: Window) -> None:
        window.run("""
            var socket = new io.Socket();
            got.push(socket.connected);
            socket.on("connect", function () {
              got.push(socket.connected);
              socket.disconnect();
              got.push(socket.connected);
            });
            socket.connect();
        """)
        assert window.got(3) == [False, True, False]

    def test_sends_in_order_what_the_page_sent_before_it_was_connected(
        self, window: Window, pages: Server
    ) -> None:
        window.run("""
            var socket = new io.Socket();
            socket.send("before connect()");
            socket.connect("arguments", { are: "ignored" });
            socket.subscribe("room-1").send("chained");
            socket.subscribe("room-2");
            socket.on("connect", function () {
              got.push("connected");
              socket.send("in the handler");
            });
            socket.addEvent("message", function (message) { got.push(message); });
            socket.on("reconnecting", function () {});  // there is no such event any more
        """)
        assert window.got(4) == ["connected", "before connect()", "chained", "in the handler"]
        assert connections(pages, window) == [
            [
                ("message", "before connect()"),
                ("subscribe", "room-1"),
                ("message", "chained"),
                ("subscribe", "room-2"),
                ("message", "in the handler"),
            ]
        ]

    def test_forgets_a_handler_that_is_removed(self, window: Window) -> None:
        window.run("""
            function removed() { got.push("removed"); }
            var socket = new io.Socket();
            socket.addEvent("message", removed);
            socket.addEvent("message", function (message) { got.push(message); });
            socket.removeEvent("message", removed);
            socket.removeEvent("message");
            socket.connect();
            socket.send("hello");
        """)
        assert window.got(1) == ["hello"]

    def test_stays_away_after_disconnect_until_it_is_told_to_connect(
        self, window: Window, pages: Server
    ) -> None:
        window.run("""
            var socket = new io.Socket();
            socket.on("connect", function () { got.push("connected"); });
            socket.on("disconnect", function () { got.push("disconnected"); });
            socket.connect();
        """)
        window.got(1)
        assert window.evaluate("socket.disconnect() === socket") is True
        assert window.got(2) == ["connected", "disconnected"]
        assert window.evaluate("socket.active") is False
        window.run("socket.connect()")
        assert window.got(3) == ["connected", "disconnected", "connected"]

    def test_is_an_instance_of_its_class(self, window: Window) -> None:
        assert window.evaluate("new io.Socket() instanceof io.Socket") is True
        assert window.evaluate("io({ autoConnect: false }) instanceof io.Socket") is True


class TestAPageWrittenForDjangoSocketIO:
    def test_works_as_it_did(self, open_window: OpenWindow, pages: Server) -> None:
        windows = [open_window(f"{pages.url}pages/legacy/") for _ in range(2)]
        for window in windows:
            expect(window.page.get_by_role("listitem")).to_have_text(["connected"])
            window.settle()  # it is on its channel now
        windows[0].page.get_by_label("Message").fill("hello")
        windows[0].page.keyboard.press("Enter")
        for window in windows:
            expect(window.page.get_by_role("listitem")).to_have_text(["connected", "Ann: hello"])
            assert connections(pages, window)[0][0] == ("subscribe", "room-1")


class TestMessages:
    def test_arrive_as_what_they_are_there_and_back(self, window: Window, pages: Server) -> None:
        window.run("var socket = io(); socket.on('message', (message) => got.push(message))")
        for message in MESSAGES:
            window.page.evaluate("(message) => { socket.send(message); }", message)
        assert json.dumps(window.got(len(MESSAGES))) == json.dumps(MESSAGES)
        (seen,) = connections(pages, window)
        assert json.dumps([message for _, message in seen]) == json.dumps(MESSAGES)

    def test_of_several_arguments_arrive_as_a_list(self, window: Window) -> None:
        window.run("""
            var socket = new io.Socket();
            socket.connect();
            socket.on("message", (message) => got.push(message));
            socket.send("a", 1, { b: 2 });
        """)
        assert window.got(1) == [["a", 1, {"b": 2}]]

    @pytest.mark.parametrize("transport", ["polling", "websocket"])
    def test_may_be_bytes_or_hold_some_there_and_back(
        self, window: Window, pages: Server, transport: str
    ) -> None:
        window.run(f"""
            var socket = io({{ transports: ["{transport}"] }});
            function numbers(buffer) {{
              got.push(buffer instanceof ArrayBuffer && Array.from(new Uint8Array(buffer)));
            }}
            socket.once("message", (buffer) => {{
              numbers(buffer);
              socket.once("message", ({{ name, parts }}) => {{
                got.push(name);
                parts.forEach(numbers);
              }});
            }});
            socket.send(new Uint8Array([0, 127, 128, 255]).buffer);
            socket.send({{
              name: "file",
              parts: [new Uint8Array([1, 2]), new ArrayBuffer(0), new ArrayBuffer(100000)],
            }});
        """)
        every = [0] * 100_000
        assert window.got(5) == [[0, 127, 128, 255], "file", [1, 2], [], every]
        assert connections(pages, window) == [
            [
                ("message", r"b'\x00\x7f\x80\xff'"),
                (
                    "message",
                    {"name": "file", "parts": [r"b'\x01\x02'", "b''", repr(bytes(100_000))]},
                ),
            ]
        ]


class TestNamespaces:
    def test_share_a_connection_and_nothing_else(
        self, open_window: OpenWindow, bare: str, pages: Server
    ) -> None:
        first, second = windows = [open_window(bare), open_window(bare)]
        for window in windows:
            window.run("""
                var main = io(), chat = io("/chat");
                main.on("message", (message) => got.push("main: " + message));
                chat.on("message", (message) => got.push("chat: " + message));
                main.subscribe("room-1");
                chat.subscribe("room-1");
            """)
            window.settle("main")
            window.settle("chat")
            assert window.evaluate("main.io === chat.io") is True
        first.run("chat.send('hello')")
        second.got(1)
        first.run("main.send('and hello')")
        for window in windows:
            assert window.got(2) == ["chat: hello", "main: and hello"]
        main, chat = connections(pages, first)
        assert main == [("subscribe", "room-1"), ("message", "and hello")]
        assert chat == [("chat:subscribe", "room-1"), ("chat:message", "hello")]

    def test_that_nobody_serves_are_refused(self, window: Window) -> None:
        window.run("""
            var socket = io("/nobody");
            socket.on("connect_error", (error) => got.push(error.message));
        """)
        assert window.got(1) == ["Invalid namespace"]
        assert window.evaluate("socket.active") is False
