"""Pages of a server that speaks one transport only: ``{% socketio %}`` tells them which."""

import pytest

from tests.browser.servers import PAGES
from tests.browser.window import OpenWindow, TransportName, Window
from tests.support.server import Server
from tests.support.types import StartServer

WAYS = ["io()", "io('/chat')", "io(location.origin)", "new io.Socket().connect()"]
"""How pages may make a socket without naming transports."""


def speaking(share_server: StartServer, transport: TransportName) -> Server:
    """Return the server of the pages that speaks this transport only."""
    return share_server(manage=PAGES, settings={"SOCKETIO_TRANSPORTS": [transport]})


def talk(window: Window, way: str) -> None:
    """Have a socket, made in some way, send a message and get it back."""
    window.run(f"""
        got = [];
        var socket = {way};
        socket.on("message", (message) => {{ got.push(message); socket.disconnect(); }});
        socket.send("hello");
    """)
    assert window.got(1) == ["hello"]


class TestAPage:
    @pytest.mark.parametrize("way", WAYS)
    def test_does_not_try_polling_where_there_is_none(
        self, share_server: StartServer, open_window: OpenWindow, way: str
    ) -> None:
        window = open_window(f"{speaking(share_server, 'websocket').url}pages/bare/")
        talk(window, way)
        assert window.traffic.websockets == 1
        assert (window.traffic.polls, window.complaints) == (0, [])

    @pytest.mark.parametrize("way", WAYS)
    def test_does_not_try_a_websocket_where_there_is_none(
        self, share_server: StartServer, open_window: OpenWindow, way: str
    ) -> None:
        window = open_window(f"{speaking(share_server, 'polling').url}pages/bare/")
        talk(window, way)
        assert window.traffic.websockets == 0
        assert (window.traffic.carriers("hello"), window.complaints) == ({"polling"}, [])

    @pytest.mark.parametrize("way", ["io({0})", "new io.Socket(null, {0}).connect()"])
    def test_may_know_better(
        self, share_server: StartServer, open_window: OpenWindow, way: str
    ) -> None:
        window = open_window(f"{speaking(share_server, 'websocket').url}pages/bare/")
        window.run(f"""
            var socket = {way.format("{ transports: ['polling'] }")};
            socket.on("connect_error", () => {{ got.push("refused"); socket.disconnect(); }});
        """)
        assert window.got(1) == ["refused"]
        assert (window.traffic.polls, window.traffic.websockets) == (1, 0)
