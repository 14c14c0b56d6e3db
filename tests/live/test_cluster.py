"""Two processes, and a Redis between them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.redis import RedisServer
from tests.support.server import MANAGE, Configuration, Server
from tests.support.tools import PATIENCE, free_port, wait_until
from tests.support.types import Connect, StartServer
from tests.support.views import outside, stats
from tests.support.wire import TransportName


@pytest.fixture(scope="module")
def servers(redis: RedisServer, share_server: StartServer) -> tuple[Server, Server]:
    """Two servers of one cluster."""
    one, two = (
        share_server(
            settings={"SOCKETIO_BROKER_URL": redis.url, "SOCKETIO_EVENTS": EVENTS},
            environment={"TEST_PURPOSE": f"cluster {name}"},
        )
        for name in ("one", "two")
    )
    return one, two


EVENTS = ["tests.project.handlers.refusing", "tests.project.handlers.commands"]


@pytest.fixture
def near(servers: tuple[Server, Server], connect: Connect) -> Client:
    """A client of the first server."""
    return connect(to=servers[0])


@pytest.fixture
def far(servers: tuple[Server, Server], connect: Connect) -> Client:
    """A client of the second server."""
    return connect(to=servers[1])


class TestBroadcasts:
    def test_reach_the_clients_of_all_processes_once(
        self, servers: tuple[Server, Server], connect: Connect, transport: TransportName
    ) -> None:
        near, other = connect(transport, to=servers[0]), connect(transport, to=servers[0])
        far = connect(transport, to=servers[1])
        near.method("broadcast", {"a": [1, "é"]})
        assert far.next_message() == {"a": [1, "é"]}
        assert other.messages() == [{"a": [1, "é"]}]
        assert near.messages() == []
        assert far.messages() == []

    def test_of_a_channel_reach_its_subscribers_everywhere(self, near: Client, far: Client) -> None:
        near.subscribe("room")
        far.subscribe("room")
        near.method("broadcast_channel", "hello", "room")
        near.method("broadcast", "end")
        assert far.next_messages(2) == ["hello", "end"]

    def test_of_a_channel_reach_nobody_else(self, near: Client, far: Client) -> None:
        far.subscribe("another")
        near.method("broadcast_channel", "hello", "room")
        near.method("broadcast", "end")
        assert far.next_message() == "end"

    def test_to_several_channels_reach_each_client_once(self, near: Client, far: Client) -> None:
        far.subscribe("a")
        far.subscribe("b")
        near.method("emit", "news", 1, to=["a", "b", "c"])
        near.method("broadcast", "end")
        assert far.next_event() == ["news", 1]
        assert far.next_message() == "end"

    def test_leave_out_sockets_and_channels(
        self, near: Client, far: Client, servers: tuple[Server, Server], connect: Connect
    ) -> None:
        second, third = connect(to=servers[1]), connect(to=servers[1])
        second.subscribe("quiet")
        near.function("emit", "news", 1, skip=far.id, skip_channels="quiet")
        near.function("emit", "end")
        assert third.next_event() == ["news", 1]
        for client in (far, second, third):
            assert client.next_event() == ["end"]

    def test_keep_their_order(self, near: Client, far: Client) -> None:
        far.subscribe("room")
        for number in range(100):
            near.send({"do": "method", "name": "emit", "args": ["n", number], "options": OPTIONS})
        assert [far.next_event() for _ in range(100)] == [["n", number] for number in range(100)]

    def test_carry_djangos_types_to_all_alike(self, near: Client, far: Client) -> None:
        for thing in ("datetime", "date", "decimal", "uuid", "lazy", "tuple", "set"):
            near.do_without_answer("send thing", thing=thing, method="send_and_broadcast")
            assert far.next_message() == near.next_message()


OPTIONS = {"to": "room"}


class TestSingleSockets:
    def test_of_other_processes_get_messages(
        self, servers: tuple[Server, Server], near: Client, far: Client
    ) -> None:
        assert outside(servers[0], "send", far.id, "hello").text == "done"
        assert far.next_message() == "hello"
        near.function("send", far.id, "again")
        assert far.next_message() == "again"


class TestSubscriptions:
    def test_hear_what_is_sent_after_their_answer(self, near: Client, far: Client) -> None:
        for number in range(100):
            far.subscribe(f"new-{number}")
            near.method("broadcast_channel", number, f"new-{number}")
        assert far.next_messages(100) == list(range(100))

    def test_of_handlers_hear_what_is_sent_after_them(self, near: Client, far: Client) -> None:
        assert far.method("subscribe", "from a handler")
        near.method("broadcast_channel", 1, "from a handler")
        assert far.next_message() == 1

    def test_with_names_of_twenty_bytes_get_everything_once(
        self, near: Client, far: Client
    ) -> None:
        names = ["x" * 20, "é" * 10, "with # and * and ??"]
        for name in names:
            assert far.subscribe(name) is True
            near.method("broadcast_channel", name, name)
        near.method("broadcast", "end")
        assert far.next_messages(4) == [*names, "end"]

    def test_of_a_process_cost_it_nothing_else(
        self, servers: tuple[Server, Server], near: Client, far: Client
    ) -> None:
        near.subscribe("only here")
        far.subscribe("room")
        before = stats(servers[1])["broker_heard"]
        for number in range(10):
            near.method("broadcast_channel", number, "only here")
        near.method("broadcast_channel", "end", "room")
        assert far.next_message() == "end"
        assert stats(servers[1])["broker_heard"] == before + 1

    def test_are_the_only_ones_that_redis_passes_messages_of_a_channel_to(
        self, redis: RedisServer, servers: tuple[Server, Server], near: Client
    ) -> None:
        near.subscribe("of one process")
        assert redis.client.publish("socket.io#/#of one process#", b"") == 1
        assert redis.client.publish("socket.io#/#of nobody#", b"") == 0


class TestOperations:
    def test_sockets_of_all_processes_are_found(self, near: Client, far: Client) -> None:
        far.subscribe("find me")
        far.do("share", data={"name": "Zoë"})
        record = near.find_sockets(to="find me")[far.id]
        assert record["channels"] == ["find me"]
        assert record["data"] == {"name": "Zoë"}
        assert record["handshake"]["address"] == "127.0.0.1"
        assert near.id in far.find_sockets()

    def test_sockets_of_all_processes_are_counted(self, near: Client, far: Client) -> None:
        for client in (near, far):
            client.subscribe("count us")
        assert near.function("count_sockets", to="count us") == 2
        assert near.function("count_sockets", to="count us", skip=far.id) == 1
        assert len(near.find_sockets(to="count us", limit=1)) == 1

    def test_counters_of_all_processes_are_told(
        self, servers: tuple[Server, Server], near: Client, far: Client
    ) -> None:
        here, there = near.function("cluster_stats")
        assert here["server"] != there["server"]
        assert here["counters"].keys() == there["counters"].keys() == stats(servers[0]).keys()
        assert far.function("cluster_stats")[0]["server"] == there["server"]

    def test_channels_of_all_processes_are_listed(self, near: Client, far: Client) -> None:
        near.subscribe("near")
        far.subscribe("far")
        assert {"near", "far"} <= set(near.function("channel_names"))

    def test_sockets_of_all_processes_are_subscribed_and_disconnected(
        self, near: Client, far: Client
    ) -> None:
        far.subscribe("some")
        near.function("subscribe", "vip", to="some")
        assert near.find_sockets(to="vip").keys() == {far.id}
        near.function("broadcast_channel", "welcome", "vip")
        assert far.next_message() == "welcome"
        near.function("unsubscribe", "vip", to="some")
        assert near.find_sockets(to="vip") == {}
        near.function("disconnect", to="some")
        far.wait_until(lambda: far.disconnected)

    def test_clients_of_all_processes_are_asked(
        self, near: Client, far: Client, servers: tuple[Server, Server], connect: Connect
    ) -> None:
        silent = connect(to=servers[1])
        for client in (near, far, silent):
            client.subscribe("asked")
        near.answers["question"], far.answers["question"] = ["near"], ["far", "away"]
        command = {"do": "ask all", "event": "question", "to": "asked", "timeout": PATIENCE}
        asking = near.ask_later("message", command)
        for client in (near, far, silent):
            assert client.next_event() == ["question"]
        silent.close()
        (answers,) = near.answer_to(asking)
        assert answers["values"] == {near.id: "near", far.id: "far"}
        assert answers["missing"] == [silent.id]
        assert answers["unknown"] == 0

    def test_servers_talk_to_each_other(self, near: Client, far: Client) -> None:
        assert near.function("call_cluster", "add", 1, 2) == [3, 3]
        near.function("emit_cluster", "remember", "this")
        assert near.function("call_cluster", "recall") == [["this"], ["this"]]


class TestGarbage:
    def test_is_counted_and_does_no_harm(
        self, servers: tuple[Server, Server], redis: RedisServer, near: Client, far: Client
    ) -> None:
        far.subscribe("room")
        count: Any = stats(servers[1])["refusals"].get("cluster", 0)
        for garbage in (b"", b"\xc1", b"{}", b"\x93" * 10_000, b"x" * 1000):
            redis.client.publish("socket.io#/#room#", garbage)
            redis.client.publish("socket.io#/#", garbage)
        for garbage in (b"", b'{"type":4,"opts":"x"}', b'{"type":4}', b'{"type":4,"opts":{}}'):
            redis.client.publish("socket.io-request#/#", garbage)
        near.method("broadcast_channel", "end", "room")
        assert far.next_message() == "end"
        wait_until(
            lambda: stats(servers[1])["refusals"].get("cluster", 0) == count + 14, "all to count"
        )
        servers[1].wait_for_output(r"Refused \(cluster\): message on 'socket.io#/#room#'")


class TestProcessesWithoutAServer:
    @pytest.fixture
    def run(self, redis: RedisServer, tmp_path: Path) -> Callable[..., str]:
        """Run code in ``manage.py shell``, and return what it prints."""

        def run(code: str, **settings: Any) -> str:
            settings = {"SOCKETIO_BROKER_URL": redis.url, "SOCKETIO_EVENTS": [], **settings}
            configuration = Configuration(tmp_path, settings=settings)
            lines = ["import socketio_server as s", *code.split("; ")]
            return subprocess.run(
                [sys.executable, str(MANAGE), "shell", "-c", "\n".join(lines)],
                env=configuration.variables,
                cwd=configuration.started_in,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=True,
            ).stdout

        return run

    def test_reach_clients_on_every_server(
        self, run: Callable[..., str], near: Client, far: Client
    ) -> None:
        far.subscribe("room")
        run(
            "s.broadcast('all'); "
            "s.broadcast_channel('room', 'room'); "
            f"s.send('{far.id}', 'one'); "
            f"s.emit('news', 1, to=s.SocketSession('{far.id}'))"
        )
        assert near.next_message() == "all"
        assert far.next_messages(3) == ["all", "room", "one"]
        assert far.next_event() == ["news", 1]
        assert near.messages() == []

    def test_look_up_change_and_ask_sockets_and_servers(
        self, run: Callable[..., str], near: Client, far: Client
    ) -> None:
        printed = run(
            f"s.subscribe('vip', to=s.SocketSession('{far.id}')); "
            "found = s.find_sockets(to='vip'); "
            "print([record.session_id for record in found], found.missing); "
            "print('vip' in s.channel_names(), s.call_cluster('add', 1, 2)); "
            "print(s.count_sockets(to='vip'), len(s.cluster_stats())); "
            "s.emit('news', 1, to='vip')"
        )
        assert printed.splitlines()[-3:] == [
            f"['{far.id}'] 0",
            "True Replies((3, 3), missing=0)",
            "1 2",
        ]
        assert far.next_event() == ["news", 1]
        # It was no server, and nobody waits for it.
        assert near.function("call_cluster", "add", 1, 2) == [3, 3]

    def test_reach_nobody_without_a_broker(self, run: Callable[..., str]) -> None:
        code = "exec('try: s.broadcast(1)\\nexcept s.NoServer as error: print(error)')"
        assert "set SOCKETIO_BROKER_URL" in run(code, SOCKETIO_BROKER_URL=None)

    def test_are_told_that_redis_is_gone(self, run: Callable[..., str]) -> None:
        url = f"redis://127.0.0.1:{free_port()}"
        code = "exec('try: s.broadcast(1)\\nexcept s.BrokerUnavailable as error: print(error)')"
        assert f"Redis ({url}) can't be reached" in run(code, SOCKETIO_BROKER_URL=url)


class TestALostRedis:
    @pytest.fixture
    def pair(
        self, own_redis: RedisServer, start_server: StartServer, tmp_path: Path
    ) -> tuple[Server, Server]:
        """Two servers that have it in common."""
        folders = [tmp_path / "one", tmp_path / "two"]
        for folder in folders:
            folder.mkdir()
        settings = {"SOCKETIO_BROKER_URL": own_redis.url, "SOCKETIO_EVENTS": EVENTS}
        one, two = (start_server(folder=folder, settings=settings) for folder in folders)
        return one, two

    def wait_until_back(self, pair: tuple[Server, Server]) -> None:
        """Wait until both servers have found Redis again."""
        wait_until(
            lambda: all(stats(server)["broker_connected"] for server in pair), "Redis to be back"
        )

    def check_that_messages_arrive(self, near: Client, far: Client) -> None:
        """Send a message to everyone and one to a channel."""
        near.method("broadcast", "to all")
        near.method("broadcast_channel", "to the room", "room")
        assert far.next_messages(2) == ["to all", "to the room"]
        assert far.messages() == []

    def test_is_used_again_after_its_end(
        self, own_redis: RedisServer, pair: tuple[Server, Server], connect: Connect
    ) -> None:
        near, beside, far = connect(to=pair[0]), connect(to=pair[0]), connect(to=pair[1])
        own_redis.shut_down()
        for server in pair:
            server.wait_for_output(
                r"Redis \(redis://.*\) is lost for sending: .* own clients only\."
            )
            server.wait_for_output(r"Redis \(redis://.*\) is lost for receiving: .* get nothing")
        near.method("broadcast", "while it is lost")
        assert beside.next_message() == "while it is lost"
        assert far.subscribe("room") is True
        assert [record["session_id"] for record in near.function("find_sockets")] == [
            near.id,
            beside.id,
        ]
        counted = stats(pair[0])
        assert counted["broker_connected"] == 0
        assert (counted["broker_can_send"], counted["broker_can_receive"]) == (0, 0)
        assert counted["broker_unsent"] == 1

        own_redis.start()
        self.wait_until_back(pair)
        self.check_that_messages_arrive(near, far)
        pair[0].wait_for_output(r"is back for sending after .* not confirmed: \d")
        pair[1].wait_for_output("is back for receiving after")
        assert pair[1].output.count("is lost for sending") == 1
        assert pair[1].output.count("is lost for receiving") == 1

    def test_is_used_again_after_it_has_cut_the_connections_that_hear(
        self, own_redis: RedisServer, pair: tuple[Server, Server], connect: Connect
    ) -> None:
        near, far = connect(to=pair[0]), connect(to=pair[1])
        far.subscribe("room")
        own_redis.client.client_kill_filter(_type="pubsub")
        for server in pair:
            server.wait_for_output("is lost for receiving")
        self.wait_until_back(pair)
        near.messages(), far.messages()
        self.check_that_messages_arrive(near, far)

    def test_that_stands_still_keeps_nobody_waiting(
        self, own_redis: RedisServer, pair: tuple[Server, Server], connect: Connect
    ) -> None:
        near, beside, far = connect(to=pair[0]), connect(to=pair[0]), connect(to=pair[1])
        far.subscribe("room")
        with own_redis.stopped():
            for number in range(100):
                near.method("broadcast", number)
            assert beside.next_messages(100) == list(range(100))
            for server in pair:
                server.wait_for_output("is lost")
        self.wait_until_back(pair)
        far.messages()
        self.check_that_messages_arrive(near, far)

    def test_that_is_not_there_at_the_start_is_found_later(
        self, own_redis: RedisServer, start_server: StartServer, connect: Connect
    ) -> None:
        own_redis.shut_down()
        settings = {"SOCKETIO_BROKER_URL": own_redis.url, "SOCKETIO_EVENTS": EVENTS}
        server = start_server(settings=settings)
        server.wait_for_output("is lost")
        client = connect(to=server)
        client.subscribe("room")
        own_redis.start()
        self.wait_until_back((server, server))
        wait_until(lambda: "socket.io#/#room#" in own_redis.subscriptions(), "the subscription")
        assert client.messages() == []

    def test_does_not_keep_a_server_from_stopping(
        self, own_redis: RedisServer, pair: tuple[Server, Server], connect: Connect
    ) -> None:
        client = connect(to=pair[0])
        with own_redis.stopped():
            client.method("broadcast", "hello")
            assert pair[0].stop() == 0
        own_redis.shut_down()
        pair[1].wait_for_output("is lost")
        assert pair[1].stop() == 0
        own_redis.start()


class TestStopping:
    def test_a_server_publishes_its_last_messages(
        self, redis: RedisServer, start_server: StartServer, far: Client, connect: Connect
    ) -> None:
        settings = {"SOCKETIO_BROKER_URL": redis.url, "SOCKETIO_EVENTS": EVENTS}
        server = start_server(settings=settings)
        leaving = connect(to=server)
        for number in range(1000):
            leaving.send({"do": "method", "name": "broadcast", "args": [number]})
        leaving.method("broadcast", "last")
        assert server.stop() == 0
        assert far.next_messages(1001)[-1] == "last"
