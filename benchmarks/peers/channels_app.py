"""Django Channels with its layer in memory: a consumer that speaks JSON over bare WebSockets."""

# ruff: noqa: E402 - Django is set up before Channels is imported
import json
from typing import Any

import django
from django.conf import settings

settings.configure(
    DEBUG=False,
    SECRET_KEY="insecure: for benchmarks on this machine only",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path


class Consumer(AsyncWebsocketConsumer):
    """What the other servers do with a Socket.IO client."""

    room: str | None = None

    async def disconnect(self, code: int) -> None:
        """Leave the room."""
        if self.room:
            await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive(self, text_data: str = "", bytes_data: bytes = b"") -> None:
        """Send back what came, send it to everybody, or enter a room."""
        message = json.loads(text_data)
        if message["action"] == "echo":
            await self.send(text_data=json.dumps(message))
        elif message["action"] == "message":
            await self.channel_layer.group_send("room-1", {"type": "tell", "message": message})
        elif message["action"] == "subscribe":
            self.room = message["room"]
            await self.channel_layer.group_add(self.room, self.channel_name)

    async def tell(self, event: dict[str, Any]) -> None:
        """Send what somebody in the room said."""
        await self.send(text_data=json.dumps(event["message"]))


application = ProtocolTypeRouter({"websocket": URLRouter([re_path(r"^.*$", Consumer.as_asgi())])})
