"""What a project forks has no clients: it sends as every process without a server."""

import pytest

from tests.support.http import Http
from tests.support.redis import RedisServer
from tests.support.server import Server
from tests.support.types import Connect, StartServer
from tests.support.views import outside
from tests.support.wire import TRANSPORTS, TransportName


@pytest.fixture(scope="module")
def site(share_server: StartServer) -> Server:
    return share_server()


class TestAForkedProcess:
    @pytest.mark.parametrize("function", ["broadcast", "send", "broadcast_channel"])
    @pytest.mark.parametrize("transport", TRANSPORTS)
    def test_has_no_server_and_sends_nothing_to_its_parents_clients(
        self, site: Server, connect: Connect, transport: TransportName, function: str
    ) -> None:
        client = connect(transport, to=site)
        client.subscribe("room")
        args = {"send": [client.id, "stray"], "broadcast_channel": ["stray", "room"]}
        answer = outside(site, "call_forked", function, *args.get(function, ["stray"]))
        assert answer.text == "NoServer"
        assert outside(site, "call_forked", "emit", "message", "stray").text == "done"
        client.method("send", "from the parent")
        assert client.next_message() == "from the parent"
        assert client.messages() == []

    @pytest.mark.parametrize(
        ("method", "args"),
        [
            ("send", ["stray"]),
            ("emit", ["message", "stray"]),
            ("broadcast", ["stray"]),
            ("send_and_broadcast", ["stray"]),
            ("broadcast_channel", ["stray", "room"]),
            ("disconnect", [True]),
            ("disconnect", []),
            ("subscribe", ["another room"]),
        ],
    )
    @pytest.mark.parametrize("transport", TRANSPORTS)
    def test_has_no_use_for_its_parents_sockets(
        self, site: Server, connect: Connect, transport: TransportName, method: str, args: list[str]
    ) -> None:
        client, other = connect(transport, to=site), connect(to=site)
        for each in (client, other):
            each.subscribe("room")
        assert client.do("fork", method=method, args=args) == "done"
        client.method("send_and_broadcast", "from the parent")
        for each in (client, other):
            assert each.next_message() == "from the parent"
            assert each.messages() == []

    @pytest.mark.parametrize("function", ["return_forked", "exit_forked"])
    def test_writes_no_answer_to_its_parents_request(self, site: Server, function: str) -> None:
        with Http(site.address) as http:
            assert http.post(f"/outside/{function}/", "[]").text == "done"
            for _ in range(3):
                assert http.get("/state/").status == 200

    def test_reaches_clients_through_a_broker(
        self, own_redis: RedisServer, start_server: StartServer, connect: Connect
    ) -> None:
        server = start_server(settings={"SOCKETIO_BROKER_URL": own_redis.url})
        client, other = connect(to=server), connect(to=server)
        assert outside(server, "call_forked", "send", client.id, "hello").text == "done"
        assert outside(server, "call_forked", "broadcast", "to all").text == "done"
        assert client.do("fork", method="broadcast", args=["to the others"]) == "done"
        assert client.next_messages(2) == ["hello", "to all"]
        assert other.next_messages(2) == ["to all", "to the others"]
        client.method("send", "the last")
        assert client.next_message() == "the last"
