"""The cookies that bind polling sessions to their browser."""

from tests.browser.window import Window

MANY = 5
"""Connections over polling at once: Chromium has six to a host, and one must be left for POSTs."""


class TestANewBrowser:
    def test_may_open_many_connections_at_the_same_moment(self, window: Window) -> None:
        """As with tabs: no handshake's answer is there yet when the next one goes out."""
        window.run(f"""
            var sockets = Array.from({{ length: {MANY} }}, () =>
              io({{ transports: ["polling"], forceNew: true, reconnection: false }}));
            sockets.forEach((socket, index) => {{
              socket.on("connect", () => socket.send(index));
              socket.on("message", (message) => got.push(message));
              socket.on("disconnect", (reason) => got.push(reason));
              socket.on("connect_error", (error) => got.push(error.message));
            }});
        """)
        assert sorted(window.got(MANY), key=str) == sorted(range(MANY), key=str)
        window.run("sockets.forEach((socket) => socket.disconnect())")
        assert window.complaints == []

    def test_gets_no_other_cookie_when_it_has_one(self, window: Window) -> None:
        for _ in range(3):
            window.run("""
                got = [];
                var socket = io({ transports: ["polling"], forceNew: true });
                socket.on("connect", () => { got.push("connected"); socket.disconnect(); });
            """)
            assert window.got(1) == ["connected"]
        ours = [cookie for cookie in window.context.cookies() if cookie["path"] == "/socket.io/"]
        assert [cookie["name"].partition("-")[0] for cookie in ours] == ["socketio"]
