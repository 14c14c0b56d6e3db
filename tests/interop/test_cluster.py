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
    """A server of Node's.

    :param options: the adapter's.
    """

    def __init__(self, redis: RedisServer, **options: Any) -> None:
        require("node")
        for package in PACKAGES:
            require(f"{package} (npm ci)", found=(ROOT / "node_modules" / package).exists())
        self._process = subprocess.Popen(
            ["node", str(SCRIPT), redis.url, json.dumps(options)],
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
        self.start(command, **options)
        return self.result()

    def start(self, command: str, **options: Any) -> None:
        """Have it obey a command, and go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **options}) + "\n")

    def result(self) -> Any:
        """Wait for the result of the command that was started."""
        return self._read()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate(timeout=PATIENCE)

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


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


class TestOperationsFromNode:
    def test_sockets_are_fetched_with_their_channels_and_data(
        self, node: NodeServer, clients: list[Client]
    ) -> None:
        clients[0].subscribe("room")
        clients[0].do("share", data={"name": "Zoë"})
        found = {socket["id"]: socket for socket in node.do("fetch")}
        assert found.keys() >= {client.id for client in clients}
        ours = found[clients[0].id]
        assert ours["rooms"] == [clients[0].id, "room"]
        assert ours["data"] == {"name": "Zoë"}
        assert ours["handshake"]["address"] == "127.0.0.1"
        assert ours["handshake"]["query"] == {}
        assert found[clients[1].id]["data"] == {}

    def test_those_in_a_room_are_fetched(self, node: NodeServer, clients: list[Client]) -> None:
        clients[0].subscribe("room")
        clients[2].ask("join", "room")
        found = {socket["id"] for socket in node.do("fetch", to=["room"])}
        assert found == {clients[0].id, clients[2].id}
        assert [socket["id"] for socket in node.do("fetch", to=[clients[1].id])] == [clients[1].id]

    def test_rooms_are_listed(self, node: NodeServer, clients: list[Client]) -> None:
        clients[0].subscribe("only here")
        assert {"only here", clients[0].id, clients[2].id} <= set(node.do("rooms"))

    def test_sockets_join_and_leave_rooms(
        self, node: NodeServer, clients: list[Client], by: str
    ) -> None:
        node.do("join", by=by, to=[clients[0].id], rooms=["joined", "other"])
        assert [socket["id"] for socket in node.do("fetch", to=["joined"])] == [clients[0].id]
        assert clients[0].attribute("channels") == ["joined", "other"]
        node.emit("news", 1, rooms=["joined"])
        assert clients[0].next_event() == ["news", 1]
        node.do("leave", by=by, to=[clients[0].id], rooms=["joined"])
        assert node.do("fetch", to=["joined"]) == []
        assert clients[0].attribute("channels") == ["other"]

    @pytest.mark.parametrize("close", [False, True])
    def test_sockets_are_disconnected(
        self, node: NodeServer, clients: list[Client], by: str, close: bool
    ) -> None:
        node.do("disconnect", by=by, to=[clients[0].id], close=close)
        clients[0].wait_until(lambda: clients[0].closed or clients[0].disconnected)
        assert clients[1].do("nothing") == "nothing"

    def test_clients_acknowledge(self, node: NodeServer, clients: list[Client]) -> None:
        clients[0].subscribe("asked")
        clients[0].answers["question"] = ["first", "second"]
        node.start("ask", to=["asked"], event=["question", 1], timeout=5000)
        assert clients[0].next_event() == ["question", 1]
        assert node.result() == {"error": None, "answers": ["first"]}


class TestOperationsFromUs:
    def test_sockets_are_found_with_their_channels_and_data(self, clients: list[Client]) -> None:
        clients[2].ask("join", "room")
        found = clients[0].find_sockets()
        assert found.keys() >= {client.id for client in clients}
        assert found[clients[2].id]["channels"] == ["room"]
        assert found[clients[2].id]["data"] == {"on": "Node"}
        assert found[clients[2].id]["handshake"]["address"]
        assert found[clients[2].id]["handshake"]["time"]

    def test_those_on_a_channel_are_found(self, clients: list[Client]) -> None:
        clients[0].subscribe("room")
        clients[2].ask("join", "room")
        assert clients[1].find_sockets(to="room").keys() == {clients[0].id, clients[2].id}
        found = clients[1].find_sockets(to="room", skip=clients[2].id)
        assert found.keys() == {clients[0].id}

    def test_they_are_counted(self, clients: list[Client]) -> None:
        clients[0].subscribe("room")
        clients[2].ask("join", "room")
        clients[3].ask("join", "room")
        assert clients[1].function("count_sockets", to="room") == 3
        assert len(clients[1].find_sockets(to="room", limit=2)) == 2

    def test_servers_of_node_tell_no_numbers_and_keep_nobody_waiting(
        self, clients: list[Client]
    ) -> None:
        (told,) = clients[0].function("cluster_stats", timeout=PATIENCE)
        assert told["counters"]["sockets"] >= 2

    def test_channels_are_listed_without_ids(self, clients: list[Client]) -> None:
        clients[0].subscribe("here")
        clients[2].ask("join", "there")
        names = set(clients[1].function("channel_names"))
        assert {"here", "there"} <= names
        assert not names & {client.id for client in clients}

    def test_sockets_are_subscribed_and_unsubscribed(self, clients: list[Client]) -> None:
        clients[2].ask("join", "some")
        clients[0].function("subscribe", "vip", to="some")
        assert clients[0].find_sockets(to="vip").keys() == {clients[2].id}
        clients[0].function("emit", "news", 1, to="vip")
        assert clients[2].next_event() == ["news", 1]
        clients[0].function("unsubscribe", "vip", to="some")
        assert clients[0].find_sockets(to="vip") == {}

    def test_sockets_are_disconnected(self, clients: list[Client]) -> None:
        clients[2].ask("join", "some")
        clients[0].function("disconnect", to="some")
        clients[2].wait_until(lambda: clients[2].disconnected)
        left = [client.id for client in clients if client.id in clients[0].find_sockets()]
        assert left == [clients[n].id for n in (0, 1, 3)]

    def test_clients_acknowledge(self, clients: list[Client]) -> None:
        clients[1].subscribe("asked")
        clients[2].ask("join", "asked")
        clients[1].answers["question"] = ["ours"]
        clients[2].answers["question"] = ["Node's", "second"]
        command = {"do": "ask all", "event": "question", "to": "asked", "timeout": PATIENCE}
        asking = clients[0].ask_later("message", command)
        for client in clients[1:3]:
            assert client.next_event() == ["question"]
        assert clients[0].answer_to(asking) == [
            {"values": {clients[1].id: "ours"}, "missing": [], "unnamed": ["Node's"], "unknown": 0}
        ]


class TestEventsOfServers:
    def test_reach_our_handlers(self, node: NodeServer, clients: list[Client], by: str) -> None:
        node.do("tell", by=by, event=["remember", {"a": [1, by]}])
        assert node.do("askServers", event=["recall"]) == {"answers": [[{"a": [1, by]}]]}

    def test_are_answered_by_our_handlers(self, node: NodeServer, clients: list[Client]) -> None:
        assert node.do("askServers", event=["add", 1, 2]) == {"answers": [3]}

    def test_reach_nodes_handlers(self, node: NodeServer, clients: list[Client]) -> None:
        clients[0].function("emit_cluster", "note", {"from": "us"}, 1)
        # Node answers in order.
        assert clients[0].function("call_cluster", "add", 1, 2) == [3, 3]
        assert node.do("notes") == [{"from": "us"}]


class TestAServerOfNodeWhoseAnswersGoToWhoAsks:
    """Its adapter has the option ``publishOnSpecificResponseChannel``."""

    @pytest.fixture
    def ours(self, own_redis: RedisServer, start_server: StartServer) -> Server:
        """Our server at this Redis."""
        settings = {"SOCKETIO_BROKER_URL": own_redis.url, "SOCKETIO_BROKER_SHARED_WITH_NODE": True}
        return start_server(settings=settings, events=EVENTS)

    @pytest.fixture
    def node(self, own_redis: RedisServer) -> Iterator[NodeServer]:
        """Node's server with that option."""
        server = NodeServer(own_redis, publishOnSpecificResponseChannel=True)
        yield server
        server.stop()

    def test_finds_our_sockets_and_rooms(self, node: NodeServer, clients: list[Client]) -> None:
        clients[0].subscribe("ours")
        assert [socket["id"] for socket in node.do("fetch", to=["ours"])] == [clients[0].id]
        assert "ours" in node.do("rooms")

    def test_asks_our_clients_and_servers(self, node: NodeServer, clients: list[Client]) -> None:
        clients[0].subscribe("asked")
        clients[0].answers["question"] = ["first"]
        node.start("ask", to=["asked"], event=["question", 1], timeout=5000)
        assert clients[0].next_event() == ["question", 1]
        assert node.result() == {"error": None, "answers": ["first"]}
        assert node.do("askServers", event=["add", 1, 2]) == {"answers": [3]}

    def test_answers_what_we_ask(self, clients: list[Client]) -> None:
        near, _, far, _ = clients
        far.ask("join", "theirs")
        far.answers["question"] = ["Node's"]
        found = near.function("find_sockets", to="theirs", timeout=PATIENCE)
        assert [record["session_id"] for record in found] == [far.id]
        assert near.function("count_sockets", to="theirs", timeout=PATIENCE) == 1
        assert "theirs" in near.function("channel_names", timeout=PATIENCE)
        assert near.function("call_cluster", "add", 1, 2) == [3, 3]
        command = {"do": "ask all", "event": "question", "to": "theirs", "timeout": PATIENCE}
        asking = near.ask_later("message", command)
        assert far.next_event() == ["question"]
        (answers,) = near.answer_to(asking)
        assert (answers["unnamed"], answers["unknown"]) == (["Node's"], 0)
