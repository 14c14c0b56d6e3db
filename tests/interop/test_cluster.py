"""Our server and Node's in one cluster: the official adapter and the official emitter."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.redis import RedisServer
from tests.support.server import ROOT, Address, Server
from tests.support.tools import PATIENCE, require
from tests.support.types import StartServer
from tests.support.wire import open_carrier

SCRIPT = ROOT / "tests" / "interop" / "node_server.mjs"
EVENTS = ["tests.project.handlers.commands"]
PACKAGES = ["socket.io", "@socket.io/redis-adapter", "@socket.io/redis-emitter", "redis"]


class NodeServer:
    """A server of Node's."""

    def __init__(self, redis: RedisServer) -> None:
        require("node")
        for package in PACKAGES:
            require(f"{package} (npm ci)", found=(ROOT / "node_modules" / package).exists())
        self._process = subprocess.Popen(
            ["node", str(SCRIPT), redis.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.address: Address = ("127.0.0.1", self._read())

    def emit(self, *event: Any, by: str = "server", **options: Any) -> None:
        """Emit an event; ``{"date": …}`` is a Date and ``{"bytes": […]}`` a Buffer."""
        self.do("emit", by=by, event=event, **options)

    def do(self, command: str, **options: Any) -> Any:
        """Have it obey a command; return the result."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **options}) + "\n")
        return self._read()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate(timeout=PATIENCE)

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ours(redis: RedisServer, share_server: StartServer) -> Server:
    """Our server."""
    settings = {"SOCKETIO_BROKER_URL": redis.url, "SOCKETIO_BROKER_SHARED_WITH_NODE": True}
    return share_server(settings=settings, events=EVENTS)


@pytest.fixture(scope="module")
def node(redis: RedisServer) -> Iterator[NodeServer]:
    """Node's server."""
    server = NodeServer(redis)
    yield server
    server.stop()


@pytest.fixture
def clients(ours: Server, node: NodeServer) -> Iterator[list[Client]]:
    """Two clients of our server, and two of Node's, ready to hear from each other."""
    addresses = [ours.address, ours.address, node.address, node.address]
    clients = [Client(open_carrier("websocket", address)).connect() for address in addresses]
    clients[0].function("emit", "ready", to=[client.id for client in clients[2:]])
    assert [client.next_event() for client in clients[2:]] == [["ready"]] * 2
    yield clients
    for client in clients:
        client.close()


@pytest.fixture(params=["server", "emitter"])
def by(request: pytest.FixtureRequest) -> str:
    """What of Node's sends: its server, or the emitter of a process without one."""
    name: str = request.param
    return name


class TestFromNode:
    def test_everybody_hears_what_is_for_everybody(
        self, node: NodeServer, clients: list[Client], by: str
    ) -> None:
        node.emit("news", {"a": [1, "é", None, 1.5, True]}, by=by)
        for client in clients:
            assert client.next_event() == ["news", {"a": [1, "é", None, 1.5, True]}]

    def test_a_channel_hears_what_is_for_a_room(
        self, node: NodeServer, clients: list[Client], by: str
    ) -> None:
        clients[0].subscribe("room")
        clients[2].ask("join", "room")
        node.emit("news", 1, by=by, rooms=["room"])
        node.emit("end", by=by)
        assert [len(self.until_end(client)) for client in clients] == [1, 0, 1, 0]

    def test_several_rooms_are_heard_once_and_others_are_left_out(
        self, node: NodeServer, clients: list[Client], by: str
    ) -> None:
        for channel in ("a", "b"):
            clients[0].subscribe(channel)
            clients[1].subscribe(channel)
            clients[2].ask("join", channel)
        clients[1].subscribe("quiet")
        node.emit("news", 1, by=by, rooms=["a", "b"], **{"except": ["quiet", clients[2].id]})
        node.emit("end", by=by)
        assert [len(self.until_end(client)) for client in clients] == [1, 0, 0, 0]

    def test_a_single_socket_is_a_room(
        self, node: NodeServer, clients: list[Client], by: str
    ) -> None:
        node.emit("news", 1, by=by, rooms=[clients[1].id])
        node.emit("end", by=by)
        assert [len(self.until_end(client)) for client in clients] == [0, 1, 0, 0]

    def test_what_is_volatile_reaches_who_can_take_it(
        self, node: NodeServer, clients: list[Client], by: str
    ) -> None:
        node.emit("news", 1, by=by, volatile=True)
        assert clients[0].next_event() == ["news", 1]

    def test_a_number_is_a_room(self, node: NodeServer, clients: list[Client], by: str) -> None:
        clients[0].subscribe("42")
        node.emit("news", 1, by=by, rooms=[42])
        assert clients[0].next_event() == ["news", 1]

    def test_dates_and_binary_data_arrive(self, ours: Server, node: NodeServer, by: str) -> None:
        client_id = node.do("connect", url=ours.url)
        for value in ({"date": "2014-02-03T04:05:06Z"}, {"bytes": [1, 2, 3]}):
            node.emit("news", value, by=by, rooms=[client_id])
        assert node.do("next") == ["news", "2014-02-03T04:05:06Z"]
        assert node.do("next") == ["news", {"type": "Buffer", "data": [1, 2, 3]}]

    def until_end(self, client: Client) -> list[Any]:
        """Return the events before one named ``end``."""
        return list(iter(client.next_event, ["end"]))


class TestFromUs:
    def test_everybody_hears_what_is_for_everybody(self, clients: list[Client]) -> None:
        clients[0].function("emit", "news", {"a": [1, "é", None, 1.5, True]})
        for client in clients:
            assert client.next_event() == ["news", {"a": [1, "é", None, 1.5, True]}]

    def test_a_room_hears_what_is_for_a_channel(self, clients: list[Client]) -> None:
        clients[2].ask("join", "room")
        clients[0].function("emit", "news", 1, to="room")
        clients[0].function("broadcast", "end")
        assert clients[2].next_event() == ["news", 1]
        assert clients[2].next_message() == clients[3].next_message() == "end"

    def test_several_channels_are_heard_once_and_others_are_left_out(
        self, clients: list[Client]
    ) -> None:
        for room in ("a", "b"):
            clients[2].ask("join", room)
            clients[3].ask("join", room)
        clients[3].ask("join", "quiet")
        clients[0].function("emit", "news", 1, to=["a", "b"], skip_channels="quiet")
        clients[0].function("emit", "more", 2, to=["a", "b"], skip=clients[2].id)
        clients[0].function("emit", "end")
        assert [clients[2].next_event() for _ in range(2)] == [["news", 1], ["end"]]
        assert [clients[3].next_event() for _ in range(2)] == [["more", 2], ["end"]]

    def test_a_single_socket_of_node_is_reached_by_its_id(self, clients: list[Client]) -> None:
        clients[0].function("send", clients[3].id, "only you")
        clients[0].function("broadcast", "end")
        assert clients[3].next_messages(2) == ["only you", "end"]
        assert clients[2].next_message() == "end"

    def test_binary_data_arrives(self, node: NodeServer, clients: list[Client]) -> None:
        port = node.address[1]
        node.do("connect", url=f"http://127.0.0.1:{port}")
        clients[0].do_without_answer("send thing", thing="bytes", method="broadcast")
        assert node.do("next") == ["message", {"bytes": {"type": "Buffer", "data": [1, 2, 3]}}]

    def test_no_client_can_take_the_name_of_a_socket_of_node(self, clients: list[Client]) -> None:
        answer = clients[0].subscribe(clients[2].id)
        assert answer == {"error": "Invalid channel: it could be the id of a socket"}
