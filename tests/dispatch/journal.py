"""A server whose handlers write down what happens."""

from typing import Any

from socketio_server.options import Options
from socketio_server.sockets.socket import Socket
from tests.fakes.server import FakeServer

Context = dict[str, Any]

EVERY_EVENT = [
    "on_connect",
    "on_subscribe",
    "on_message",
    "on_unsubscribe",
    "on_error",
    "on_disconnect",
    "on_finish",
]


class Boom(Exception):
    """What handlers raise here."""


class Journal(FakeServer):
    """A server whose handlers write down what happens."""

    def __init__(self, options: Options | None = None, **kwargs: Any) -> None:
        super().__init__(options, **kwargs)
        self.entries: list[object] = []

    @property
    def errors(self) -> list[type]:
        """The types of what ``on_error`` got, where it is noted."""
        return [
            type(entry[1])
            for entry in self.entries
            if isinstance(entry, tuple) and entry[0] == "on_error"
        ]

    def note(self, *events: str, **registration: Any) -> None:
        """Have events noted: their names, and what their handlers got besides the usual three."""
        for name in events:

            def handler(
                request: object, socket: Socket, context: Context, *args: object, name: str = name
            ) -> None:
                self.entries.append((name, *args) if args else name)

            getattr(self.registry, name)(**registration)(handler)
