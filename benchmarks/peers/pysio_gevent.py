"""python-socketio's server on gevent: PORT geventwebsocket|simple."""

# ruff: noqa: E402 - gevent's patches come first
from gevent import monkey

monkey.patch_all()

import sys
from typing import Any

PORT, KIND = int(sys.argv[1]), sys.argv[2]
OPTIONS: dict[str, Any] = {}
if KIND == "simple":
    sys.modules["geventwebsocket"] = None  # type: ignore[assignment]
else:
    from geventwebsocket.handler import WebSocketHandler

    OPTIONS["handler_class"] = WebSocketHandler

import socketio  # looks for geventwebsocket, and takes simple-websocket without it
from gevent import pywsgi

server = socketio.Server(async_mode="gevent")


@server.on("__subscribe__")
def subscribe(sid: str, channel: str) -> None:
    """Let a client enter a room."""
    server.enter_room(sid, channel)


@server.on("message")
def answer(sid: str, message: dict[str, Any]) -> None:
    """Send back what came, or send it to everybody."""
    if message["action"] == "echo":
        server.emit("message", message, to=sid)
    elif message["action"] == "message":
        server.emit("message", message, room="room-1")


if __name__ == "__main__":
    address, application = ("127.0.0.1", PORT), socketio.WSGIApp(server)
    pywsgi.WSGIServer(address, application, log=None, backlog=4096, **OPTIONS).serve_forever()
