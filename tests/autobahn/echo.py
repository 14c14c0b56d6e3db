"""A server that echoes WebSocket messages as they are, as the Autobahn test suite wants it.

Everything below Engine.IO is the package's own, in the parts that a real server consists of: the
HTTP handler and its handshake, the connection, the frames' parser, compression. Only the limits are
wider, because some cases send 16 MB or 65,536 fragments.

Run it as ``python -m gevent.monkey --module tests.autobahn.echo [deflate]``.
"""

import sys
from collections.abc import Callable, Iterable
from time import monotonic, time
from typing import Any

import gevent
from gevent.event import Event

from socketio_server.engine.engine import Engine
from socketio_server.engine.request import EngineRequest
from socketio_server.engine.transports.base import Transport
from socketio_server.engine.transports.websocket import UpgradedConnection, WebSocketTransport
from socketio_server.http.engine_requests import engine_request_of
from socketio_server.http.listener import HttpListener
from socketio_server.http.wsgi import UPGRADE_KEY, Upgrade
from socketio_server.net.loop import GuardedLoop, Loop
from socketio_server.net.refusals import Refusals
from socketio_server.net.statistics import Stats
from socketio_server.options import Options
from socketio_server.protocol.close_reasons import CloseReason
from socketio_server.protocol.engineio import Packet
from socketio_server.protocol.websocket.frames import Opcode, encode_deflated_frame, encode_frame

LARGE = 64 * 1024 * 1024


class Nobody:
    """A session that is none (``TransportHandler``)."""

    def message_received(self, transport: Transport, data: str | bytes) -> None:
        """Take a message, which never comes: it was echoed."""

    def packet_received(self, transport: Transport, packet: Packet) -> None:
        """Take another packet, which never comes."""

    def charge_session(self, change: int) -> None:
        """Hear that a part of a message came."""

    def client_refused(self, kind: str, why: str) -> None:
        """Hear that the client broke a rule."""

    def room_made(self, transport: Transport) -> None:
        """Hear that the client takes more again."""

    def transport_closed(self, transport: Transport, reason: CloseReason) -> None:
        """Hear of the end."""


class EchoTransport(WebSocketTransport):
    """A WebSocket whose messages go back as they are, instead of up as packets."""

    __slots__ = ()

    def _handle(self, event: Any) -> None:
        if isinstance(event, str):
            self._echo(Opcode.TEXT, event.encode())
        elif isinstance(event, bytes):
            self._echo(Opcode.BINARY, event)
        else:
            super()._handle(event)

    def _echo(self, opcode: Opcode, data: bytes) -> None:
        encode = encode_deflated_frame if self._deflates else encode_frame
        self._connection.write(encode(opcode, data))


class EchoEngine(Engine):
    """Lets every WebSocket echo."""

    def __init__(self, loop: Loop, options: Options) -> None:
        def accept(session: Any, request: Any) -> Any:
            raise AssertionError("there are no sessions here")

        super().__init__(loop, options, accept, Stats(monotonic), clock=monotonic)
        self._arguments = loop, options, monotonic, self._closings, self.turns

    def open_websocket(
        self, request: EngineRequest, context: Any, upgraded: UpgradedConnection
    ) -> None:
        """Echo (overrides the engine's, which opens a session)."""
        EchoTransport(upgraded, Nobody(), *self._arguments).start()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Ask for the WebSocket, as the package's view does."""
    environ[UPGRADE_KEY] = Upgrade(engine_request_of(environ), None)
    start_response("101 Switching Protocols", [])
    return [b""]


def main() -> None:
    """Serve, and say on which port, until the process is ended."""
    options = Options(
        max_payload=LARGE,
        max_queued_bytes=LARGE,
        max_fragments=LARGE,
        max_packet_burst=LARGE,
        per_message_deflate="deflate" in sys.argv[1:],
    )
    loop = GuardedLoop(gevent.get_hub().loop, Refusals(monotonic))
    engine = EchoEngine(loop, options)
    server = HttpListener(
        ("127.0.0.1", 0),
        application,
        engine=engine,
        options=options,
        loop=loop,
        clock=monotonic,
        wall_clock=time,
        request_ended=lambda size: None,
    )
    server.start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    Event().wait()


if __name__ == "__main__":
    main()
