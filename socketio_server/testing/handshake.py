"""The handshake: a WebSocket request of Django's test client to the server's own view."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from django.test import Client
from django.urls import reverse

from socketio_server.dispatch.dispatcher import Dispatcher
from socketio_server.engine.engine import Engine
from socketio_server.http.wsgi import UPGRADE_KEY, Upgrade
from socketio_server.options import Options
from socketio_server.protocol import engineio
from socketio_server.serving import current
from socketio_server.testing.exceptions import ConnectionRefused
from socketio_server.testing.world import world

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

_QUERY = {"EIO": str(engineio.PROTOCOL_VERSION), "transport": "websocket"}
_HEADERS = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@dataclass(frozen=True)
class Handshake:
    """A client's handshake request; the parameters are ``SocketIOClient``'s."""

    client: Client
    user: "AbstractBaseUser | None"
    headers: Mapping[str, str]
    query: Mapping[str, str]
    secure: bool

    def make(self, options: Options, dispatcher: Dispatcher) -> Upgrade:
        """Make the request; return its acceptance, whose context is the request that handlers get.

        :raises ConnectionRefused: if the view or a middleware refuses it.
        """
        websocket_only = replace(options, transports=("websocket",))
        engine = Engine(
            world, websocket_only, dispatcher.accept, dispatcher.stats, clock=lambda: world.now
        )
        if self.user is not None:
            self.client.force_login(self.user)
        with _serving(engine):
            response = self.client.get(
                reverse("socketio"),
                {**self.query, **_QUERY},
                secure=self.secure,
                headers={**_HEADERS, **self.headers},
            )
        upgrade: Upgrade | None = response.wsgi_request.META.pop(UPGRADE_KEY, None)
        if upgrade is None or response.status_code != 101:
            text = response.content[:200].decode(errors="replace")
            message = f"{response.status_code} {response.reason_phrase}: {text}"
            raise ConnectionRefused(message, response=response)
        return upgrade


@contextmanager
def _serving(engine: Engine) -> Iterator[None]:
    """Give the view a server, of which it needs only the engine that verifies the handshake."""
    usual = current.server
    current.server = cast(Any, SimpleNamespace(engine=engine))
    try:
        yield
    finally:
        current.server = usual
