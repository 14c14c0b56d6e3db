"""python-socketio's asyncio server on uvicorn: PORT."""

import sys
from typing import Any

import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi")


@server.on("__subscribe__")
async def subscribe(sid: str, channel: str) -> None:
    """Let a client enter a room."""
    await server.enter_room(sid, channel)


@server.on("message")
async def answer(sid: str, message: dict[str, Any]) -> None:
    """Send back what came, or send it to everybody."""
    if message["action"] == "echo":
        await server.emit("message", message, to=sid)
    elif message["action"] == "message":
        await server.emit("message", message, room="room-1")


if __name__ == "__main__":
    uvicorn.run(
        socketio.ASGIApp(server),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="asyncio",
        log_level="warning",
        access_log=False,
        backlog=4096,
        ws_per_message_deflate=False,
    )
