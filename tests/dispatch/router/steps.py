"""What the tests of the router do again and again."""

from sys import getsizeof
from typing import Any

import gevent
from gevent.event import Event

from socketio_server.dispatch.inbox import ITEM_COST
from socketio_server.options import Options
from tests.fakes.hub import PATIENCE, settle
from tests.fakes.server import FakeClient, FakeServer


def make_server(**options: Any) -> FakeServer:
    """A server with an ``/admin`` namespace, whose handlers say in the context what they got."""
    server = FakeServer(Options(**options))

    def note(request: object, socket: Any, context: dict[str, Any], *args: object) -> None:
        context.setdefault("got", []).extend(args)

    for namespace in ("/", "/admin"):
        server.registry.on_connect(namespace=namespace)(note)
        server.registry.on_message(namespace=namespace)(note)
    return server


def got(client: FakeClient) -> list[object]:
    """The messages that reached the handlers of the main namespace."""
    found: list[object] = client.socket.context.get("got", [])
    return found


def namespaces(server: FakeServer) -> list[str]:
    """The namespaces of all sockets."""
    return [socket.namespace for _, socket, _ in server.clients.values()]


def gate(server: FakeServer, *namespaces: str) -> dict[str, Event]:
    """Have the handlers of namespaces wait until their event is set."""
    gates = {namespace: Event() for namespace in namespaces}

    def wait(request: object, socket: Any, *args: object) -> None:
        gates[socket.namespace].wait()

    for namespace in gates:
        server.registry.on_message(wait, namespace=namespace)
    return gates


def message(size: int, namespace: str = "/") -> str:
    """A packet that takes so many bytes while it waits."""
    head = "2" if namespace == "/" else f"2{namespace},"
    rest = size - getsizeof(head + '["message",""]') - ITEM_COST
    return f'{head}["message","{"x" * rest}"]'


def settle_all(server: FakeServer) -> None:
    """Let handlers run until all have ended; large messages get turns of their own."""
    with gevent.Timeout(PATIENCE):
        while server.dispatcher.total.bytes or server.pool.busy:
            settle()
